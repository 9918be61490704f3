"""The bill of materials and the provenance of a build, and their schemas."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fixtures.core_iso import make_core_iso
from fixtures.gem import make_gem
from fixtures.gem_server import lay_out_server
from fixtures.repository import make_repository
from purekernel import Context, Effort, Outputs, Recipe, build, load_recipe, sample_bundle
from purekernel.cli import main
from purekernel.errors import LibraryError, UsageError
from purekernel.formats.extension_info import build_info
from purekernel.remaster.outputs.provenance import PREDICATE, STATEMENT
from tests.analysis.images import core, pack, tree_of
from tests.cli.test_packages import INDEX, Archive

SHA256 = "^[0-9a-f]{64}$"
DIGESTS = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "string", "minLength": 1},
    "properties": {"sha256": {"type": "string", "pattern": SHA256}},
}
# Of uri, digest and content, a descriptor has at least one.
RESOURCE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "uri": {"type": "string", "format": "uri"},
        "digest": DIGESTS,
    },
    "anyOf": [{"required": ["uri"]}, {"required": ["digest"]}, {"required": ["content"]}],
}
# Written from the in-toto attestation framework, Statement v1, and SLSA 1.0, Provenance.
SCHEMA = {
    "type": "object",
    "required": ["_type", "subject", "predicateType"],
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {
            "type": "array",
            "minItems": 1,
            "items": {**RESOURCE, "required": ["name", "digest"]},
        },
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": {
            "type": "object",
            "required": ["buildDefinition", "runDetails"],
            "additionalProperties": False,
            "properties": {
                "buildDefinition": {
                    "type": "object",
                    "required": ["buildType", "externalParameters"],
                    "additionalProperties": False,
                    "properties": {
                        "buildType": {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:."},
                        "externalParameters": {"type": "object"},
                        "internalParameters": {"type": "object"},
                        "resolvedDependencies": {"type": "array", "items": RESOURCE},
                    },
                },
                "runDetails": {
                    "type": "object",
                    "required": ["builder"],
                    "properties": {
                        "builder": {
                            "type": "object",
                            "required": ["id"],
                            "properties": {
                                "id": {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:."},
                                "version": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string"},
                                },
                            },
                        },
                        "metadata": {"type": "object"},
                        "byproducts": {"type": "array", "items": RESOURCE},
                    },
                },
            },
        },
    },
}

RECIPE = f"""\
name = "test"
version = "1.0"
[core]
iso = "core.iso"
[mirrors]
extensions = ["tcz"]
gems = ["gems"]
debian-packages = ["debian/{INDEX}"]
[extensions]
builtin = ["bash", "lshw.deb"]
[gems]
wanted = ["sample"]
[[overlay]]
path = "site"
[output]
emit = ["core", "sbom", "provenance"]
"""
INFO = {"Title": "bash.tcz", "Version": "5.2", "Copying-policy": "GPL-3.0-only"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "core.iso").write_bytes(make_core_iso(root=core()))
    contents = {
        "bash.tcz": pack(tree_of({"usr/local/bin/bash": b"text"})),
        "readline.tcz": pack(tree_of({"usr/local/lib/readline": b"text"})),
    }
    needs = {"bash.tcz": ["readline.tcz"], "readline.tcz": []}
    files = dict(make_repository(needs, contents=contents, folder="tcz"))
    files["tcz/bash.tcz.info"] = build_info(INFO)
    files["tcz/readline.tcz.info"] = build_info({"Copying-policy": "see the source <x>"})
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    lay_out_server(tmp_path / "gems", [make_gem("sample", "1.0")])
    Archive(tmp_path / "debian").add("lshw", "02.16-1", silent="1")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file").write_text("text")
    (tmp_path / "purekernel.toml").write_text(RECIPE)
    return tmp_path


def recipe(here: Path) -> Recipe:
    return load_recipe(here / "purekernel.toml")


def make(here: Path, folder: str = "out", **outputs: Any) -> Path:
    settings = {"effort": Effort.FAST, "folder": here / folder, **outputs}
    build(recipe(here), Context(cache_dir=here / "cache", jobs=1), Outputs(**settings))
    return here / folder


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


@pytest.fixture
def sbom(here: Path) -> Any:
    return read(make(here) / "test-1.0.cdx.json")


def components(sbom: Any) -> dict[str, Any]:
    return {each["bom-ref"]: each for each in sbom["components"]}


def test_bill_passes_the_schema_of_cyclonedx(here: Path) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    text = (make(here) / "test-1.0.cdx.json").read_text()
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"SHA-256"', '"none"')) is not None


def test_bill_names_every_source_with_purl_digest_and_licence(here: Path, sbom: Any) -> None:
    found = components(sbom)
    assert set(found) == {
        "base core.iso", "extension bash.tcz", "extension readline.tcz", "gem sample 1.0",
        "kernel", "overlay site", "package lshw 02.16-1",
    }  # fmt: skip
    bash = found["extension bash.tcz"]
    digest = hashlib.sha256((here / "tcz" / "bash.tcz").read_bytes()).hexdigest()
    assert bash["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert bash["version"] == "5.2"
    assert bash["licenses"] == [{"license": {"id": "GPL-3.0-only"}}]
    assert bash["purl"] == f"pkg:generic/tinycorelinux/bash.tcz@5.2?checksum=sha256:{digest}"
    readline = found["extension readline.tcz"]
    assert readline["licenses"] == [{"license": {"name": "see the source <x>"}}]
    assert found["package lshw 02.16-1"]["purl"] == "pkg:deb/debian/lshw@02.16-1?arch=i386"
    assert found["gem sample 1.0"]["purl"] == "pkg:gem/sample@1.0"
    assert "purl" not in found["overlay site"]


def test_bill_has_the_graph_of_dependencies(sbom: Any) -> None:
    graph = {each["ref"]: each.get("dependsOn", []) for each in sbom["dependencies"]}
    assert graph["extension bash.tcz"] == ["extension readline.tcz"]
    assert graph["image"] == sorted(components(sbom))


def test_bill_and_provenance_do_not_depend_on_the_folder_or_the_run(here: Path) -> None:
    first, second = make(here), make(here, "again")
    for name in ("test-1.0.cdx.json", "test-1.0.provenance.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert here.name.encode() not in (first / name).read_bytes()


def test_serial_number_changes_with_the_content(here: Path, sbom: Any) -> None:
    (here / "tcz" / "readline.tcz.info").write_bytes(build_info({"Version": "9"}))
    other = read(make(here, "again") / "test-1.0.cdx.json")
    assert sbom["serialNumber"].startswith("urn:uuid:")
    assert other["serialNumber"] != sbom["serialNumber"]


def test_provenance_passes_the_schema_and_has_every_output_and_input(here: Path) -> None:
    out = make(here)
    statement = read(out / "test-1.0.provenance.json")
    Draft202012Validator.check_schema(SCHEMA)
    assert [*Draft202012Validator(SCHEMA).iter_errors(statement)] == []
    assert (statement["_type"], statement["predicateType"]) == (STATEMENT, PREDICATE)
    subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert subjects == {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest()
        for name in ("core.gz", "test-1.0.cdx.json", "vmlinuz")
    }
    materials = {
        each["name"]: each["digest"]["sha256"]
        for each in statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    }
    expected = {
        "core.iso": here / "core.iso",
        "bash.tcz": here / "tcz" / "bash.tcz",
        "readline.tcz": here / "tcz" / "readline.tcz",
        "sample-1.0.gem": here / "gems" / "gems" / "sample-1.0.gem",
    }
    for name, path in expected.items():
        assert materials[name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "lshw_02.16-1_i386.deb" in materials


def test_checksum_file_has_both(here: Path) -> None:
    lines = (make(here) / "SHA256SUMS").read_text().splitlines()
    names = [line.split("  ")[1] for line in lines]
    assert names == ["core.gz", "test-1.0.cdx.json", "test-1.0.provenance.json", "vmlinuz"]


def test_bundle_gets_both_by_the_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["build", "--sample", "--effort", "fast", "-q", "--sbom", "--provenance"]
    assert main([*arguments, "--emit", "core", "-o", f"{tmp_path}/out/"]) == 0
    assert "error" not in capsys.readouterr().err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    stem = "rz_mk_dev-image.0.0.0+sample"
    assert names == [
        "SHA256SUMS",
        "core.gz",
        f"{stem}.cdx.json",
        f"{stem}.provenance.json",
        "vmlinuz",
    ]
    found = components(read(tmp_path / "out" / f"{stem}.cdx.json"))
    assert "overlay dependencies/ssh-setup-files.tar.gz" in found


def test_provenance_of_no_other_output_is_refused() -> None:
    with pytest.raises(UsageError, match="there are none"):
        Outputs(kinds=["provenance"]).kinds_for(Recipe())


def test_one_file_is_refused_with_the_bill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--sample", "--sbom", "-o", f"{tmp_path}/x.iso"]) == 2
    assert "several files" in capsys.readouterr().err


def test_missing_library_is_an_error_with_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cyclonedx.model", None)
    outputs = Outputs(kinds=["sbom"], folder=tmp_path, effort=Effort.FAST)
    with pytest.raises(LibraryError) as caught:
        build(sample_bundle(), Context(jobs=1), outputs)
    assert "cyclonedx-python-lib" in caught.value.message
    assert "purekernel[sbom]" in caught.value.hint
    assert list(tmp_path.iterdir()) == []

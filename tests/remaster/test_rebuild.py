"""Test images that carry their recipe, and building them again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from fixtures.core_iso import make_core_iso
from purekernel import Context, Effort, Image, Outputs, build, sample_bundle
from purekernel.analysis.contents import read_contents
from purekernel.errors import FormatError, InputError, RecipeError, UsageError, split_errors
from purekernel.fetch.shipped import load_sample_bundle
from purekernel.plan.carried import read_carried
from purekernel.recipe.model import Recipe
from purekernel.recipe.request import Request, bundle_changes, join_request
from purekernel.remaster import rebuild as rebuilding
from purekernel.remaster.rebuild import Rebuilt, Verdict, rebuild
from purekernel.tree import File, Metadata, Tree, put_file
from tests.shared import core_iso, mirror

HASH = (
    "$6$saltsalt$diqEm1MZaAfvmRGID6/fuBsSANgy545QfioEs29fE.nbIw4xah49Ul9WWGeLyGBddflSIa1rLrr6fcxv9"
    "xyYK0"
)

READ_ME = "changed  read.me: content, +0 bytes"

RECIPE = """\
name = "x"
version = "1"
[core]
iso = "BASE"
[mirrors]
tinycore = ["mirror", "https://planted-user:planted-token@mirror.invalid/tc?key=planted-key"]
[[overlay]]
path = "site"
[[overlay]]
url = "file://FOLDER/more.tar"
[[file]]
path = "etc/hello"
source = "hello.txt"
[[iso.file]]
path = "read.me"
source = "read.me"
[output]
embed = true
folder = "out"
"""

ACCOUNTS = f"""\
[accounts.tc]
password = "planted-password"
[accounts.anna]
password-hash = "{HASH}"
uid = 1005
[accounts.berta]
password-env = "BERTA_PASSWORD"
uid = 1006
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a recipe and its inputs, whose name must be in no image."""
    from purekernel.formats.tar import build_tar  # noqa: PLC0415  # beside its one use

    folder = tmp_path / "planted-home"
    (folder / "site" / "etc").mkdir(parents=True)
    (folder / "mirror").mkdir()
    (folder / "site" / "etc" / "motd").write_bytes(b"welcome\n")
    (folder / "hello.txt").write_bytes(b"hello\n")
    (folder / "read.me").write_bytes(b"read me\n")
    (folder / "base.iso").write_bytes(make_core_iso())
    tree = Tree()
    put_file(tree, b"opt/more", b"more\n", metadata=Metadata(mode=0o644))
    (folder / "more.tar").write_bytes(build_tar(tree))
    write_recipe(folder)
    return folder


def write_recipe(folder: Path, more: str = "", recipe: str = RECIPE) -> None:
    text = recipe.replace("FOLDER", folder.as_posix()).replace("BASE", str(folder / "base.iso"))
    (folder / "purekernel.toml").write_text(text + more, encoding="utf-8")


def make(
    folder: Path, environment: dict[str, str] | None = None, outputs: Outputs | None = None
) -> tuple[Path, Image]:
    """Build the recipe in a folder; return the path of the ISO, and the image."""
    recipe = join_request(Request(recipe=folder / "purekernel.toml"), {})
    outputs = outputs or Outputs(folder=folder / "out", effort=Effort.FAST)
    image = build(recipe, context_for(folder, environment), outputs)
    return image.files[0].path, image


def context_for(folder: Path, environment: dict[str, str] | None = None) -> Context:
    return Context(cache_dir=folder.parent / "cache", environment=environment or {}, offline=True)


def again(path: Path, inputs: Path | None, **options: object) -> Rebuilt:
    environment = options.pop("environment", None)
    context = Context(
        cache_dir=path.parent / "empty",
        environment=environment or {},  # type: ignore[arg-type]
        offline=True,
    )
    return rebuild(str(path), context, inputs=inputs, **options)  # type: ignore[arg-type]


def carried_files(path: Path) -> dict[str, bytes]:
    tree = read_contents(str(path)).parts[0].tree
    return {
        name.decode(): bytes(node.content)
        for name, node in tree.walk(b"boot/purekernel")
        if isinstance(node, File)
    }


def test_image_carries_recipe_lock_and_digests(folder: Path) -> None:
    path, _image = make(folder)
    files = carried_files(path)
    assert sorted(files) == [
        "boot/purekernel/inputs.json",
        "boot/purekernel/origins.json",
        "boot/purekernel/purekernel.lock",
        "boot/purekernel/recipe.toml",
    ]
    recipe = files["boot/purekernel/recipe.toml"].decode()
    assert 'iso = "inputs/base.iso"' in recipe
    assert '"inputs/site"' in recipe
    assert '"file://inputs/more.tar"' in recipe
    document = json.loads(files["boot/purekernel/inputs.json"])
    assert [(each["path"], each["kind"]) for each in document["inputs"]] == [
        ("inputs/base.iso", "file"),
        ("inputs/site", "folder"),
        ("inputs/more.tar", "file"),
        ("inputs/hello.txt", "file"),
        ("inputs/read.me", "file"),
    ]
    assert document["outputs"]["effort"] == "fast"


def test_image_carries_nothing_by_default(folder: Path) -> None:
    write_recipe(folder, recipe=RECIPE.replace("embed = true", ""))
    path, _image = make(folder)
    assert b"boot/purekernel" not in read_contents(str(path)).parts[0].tree
    with pytest.raises(InputError, match="does not carry its recipe"):
        again(path, folder)


def everything(path: Path) -> Iterator[bytes]:
    """Yield the bytes of an image, and those of each part in it, unpacked."""
    for part in read_contents(str(path)).parts:
        for file in (part.file, part.plain):
            if file is not None:
                yield bytes(file.view)
        for name, node in part.tree.walk():
            yield name
            if isinstance(node, File):
                yield bytes(node.content)


def test_image_has_no_secret_and_nothing_of_the_builder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_VARIABLE", "planted-environment")
    write_recipe(folder, ACCOUNTS)
    path, _image = make(folder, {"BERTA_PASSWORD": "planted-berta", **os.environ})
    planted = [
        b"planted-", os.fsencode(folder), os.fsencode(folder.parent),
        (b"%s" % HASH.encode())[12:],
    ]  # fmt: skip
    found = [(mark, data[:40]) for data in everything(path) for mark in planted if mark in data]
    # Linux reads the hash of a password in etc/shadow.
    assert {mark for mark, _data in found} <= {planted[3]}
    for data in carried_files(path).values():
        assert all(mark not in data for mark in planted)
    document = json.loads(carried_files(path)["boot/purekernel/inputs.json"])
    assert document["hidden"] == ["accounts.tc.password", "accounts.anna.password-hash"]
    assert document["environment"] == ["BERTA_PASSWORD"]


def test_rebuilt_image_is_the_same_with_inputs_under_other_names(
    folder: Path, tmp_path: Path
) -> None:
    path, _image = make(folder)
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (folder / "site").rename(inputs / "1")
    for number, name in enumerate(["base.iso", "more.tar", "hello.txt", "read.me"], start=2):
        (folder / name).rename(inputs / str(number))
    done = again(path, inputs)
    assert (done.verdict, done.difference, done.missing) == (Verdict.SAME, "", ())
    assert done.inputs["inputs/site"] == inputs / "1"


def test_secrets_are_named_and_then_taken_from_a_recipe(folder: Path) -> None:
    write_recipe(folder, ACCOUNTS)
    environment = {"BERTA_PASSWORD": "planted-berta"}
    path, _image = make(folder, environment)
    done = again(path, folder)
    assert done.verdict is Verdict.UNDECIDED
    assert list(map(str, done.missing)) == [
        "accounts.tc.password is missing: an image does not carry secrets",
        "accounts.anna.password-hash is missing: an image does not carry secrets",
        "the environment variable BERTA_PASSWORD is missing, which holds a password",
    ]
    secrets = folder / "purekernel.toml"
    done = again(path, folder, secrets=secrets, environment=environment)
    assert done.verdict is Verdict.SAME


def test_missing_and_changed_inputs_are_named(folder: Path) -> None:
    path, _image = make(folder)
    (folder / "site" / "etc" / "motd").write_bytes(b"changed\n")
    (folder / "hello.txt").unlink()
    done = again(path, folder)
    assert done.verdict is Verdict.UNDECIDED
    assert [str(each).partition(":")[0] for each in done.missing] == [
        "folder 'site' of 8 bytes is missing, for overlay[0].path",
        "file 'hello.txt' of 6 bytes is missing, for file[0].source",
    ]
    assert len(again(path, None).missing) == 5


def test_times_of_local_inputs_do_not_matter(folder: Path) -> None:
    path, _image = make(folder)
    for each in ("base.iso", "site/etc/motd", "hello.txt", "more.tar"):
        os.utime(folder / each, (1, 1))
    assert again(path, folder).verdict is Verdict.SAME


def test_changed_image_is_different_with_its_first_difference(folder: Path) -> None:
    path, _image = make(folder)
    iso = bytearray(path.read_bytes())
    at = iso.index(b"read me\n")
    iso[at] ^= 0x20
    path.write_bytes(iso)
    done = again(path, folder)
    assert (done.verdict, done.difference) == (
        Verdict.DIFFERENT,
        READ_ME,
    )


def test_truncated_image_differs_in_its_size(folder: Path) -> None:
    path, _image = make(folder)
    size_bytes = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-2048])
    done = again(path, folder)
    assert (done.verdict, done.difference) == (
        Verdict.DIFFERENT,
        f"the size of the image: {size_bytes - 2048} bytes, and rebuilt {size_bytes}",
    )


def test_folder_with_a_carried_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "boot" / "purekernel").mkdir(parents=True)
    (tmp_path / "boot" / "purekernel" / "inputs.json").write_text(json.dumps(VALID), "ascii")
    (tmp_path / "boot" / "purekernel" / "recipe.toml").touch()
    with pytest.raises(InputError, match="is a folder, whose bytes cannot be compared"):
        again(tmp_path, None)


def test_changed_file_in_the_core_is_the_first_difference(folder: Path) -> None:
    path, image = make(folder)
    write_recipe(folder, '[[file]]\npath = "etc/motd"\ntext = "evil"\n')
    changed, _image = make(folder)
    forged = evolve(image, iso=_with_core(image, read_contents(str(changed)).parts[0].tree))
    path.write_bytes(forged.iso_bytes())
    done = again(path, folder)
    assert done.verdict is Verdict.DIFFERENT
    assert done.difference == "changed  boot/core.gz:etc/motd: content, about +4 bytes"


def _with_core(image: Image, other: Tree) -> Tree:
    tree = image.iso.copy()
    node = other[b"boot/core.gz"]
    tree.remove(b"boot/core.gz")
    tree.add(b"boot/core.gz", node)
    return tree


def test_image_of_another_release_that_differs_is_undecided(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _image = make(folder)
    monkeypatch.setattr(rebuilding, "installed_releases", lambda: {"purekernel": "999"})
    done = again(path, folder)
    assert done.verdict is Verdict.SAME
    assert ("purekernel", "0.1.0", "999") in done.releases
    iso = bytearray(path.read_bytes())
    iso[iso.index(b"read me\n")] ^= 0x20
    path.write_bytes(iso)
    done = again(path, folder)
    assert (done.verdict, done.difference) == (
        Verdict.UNDECIDED,
        READ_ME,
    )


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_rebuilt_disk_is_the_same(form: str, folder: Path) -> None:
    recipe = RECIPE.replace("[output]", f'[disk]\nformat = "{form}"\nfree = "1K"\n[output]')
    write_recipe(folder, recipe=recipe)
    outputs = Outputs(folder=folder / "out", effort=Effort.FAST, kinds=["disk"])
    path, _image = make(folder, outputs=outputs)
    assert again(path, folder).verdict is Verdict.SAME


def test_rebuilt_sample_is_the_same(tmp_path: Path) -> None:
    changes = bundle_changes(Request(embed=True, iso_version="2"))
    outputs = Outputs(folder=tmp_path, effort=Effort.FAST)
    image = build(sample_bundle(changes=changes), Context(timestamp=1_700_000_000), outputs)
    assert again(image.files[0].path, None).verdict is Verdict.SAME


def test_rebuilt_image_of_a_bundle_is_the_same(tmp_path: Path) -> None:
    from purekernel import load_bundle  # noqa: PLC0415  # beside its one use

    (tmp_path / "in").mkdir()
    data = load_sample_bundle() + bytes(512)  # another file than the sample
    (tmp_path / "in" / "b.tar.gz").write_bytes(data)
    changes = bundle_changes(Request(embed=True))
    bundle = load_bundle(tmp_path / "in" / "b.tar.gz", changes=changes)
    image = build(bundle, Context(), Outputs(folder=tmp_path / "out", effort=Effort.FAST))
    path = image.files[0].path
    assert "file 'b.tar.gz'" in str(again(path, None).missing[0])
    assert again(path, tmp_path / "in").verdict is Verdict.SAME


def test_recipe_of_the_base_is_dropped_with_a_note(folder: Path) -> None:
    path, _image = make(folder)
    path.rename(folder / "base.iso")
    write_recipe(folder, recipe=RECIPE.replace("embed = true", ""))
    path, image = make(folder)
    assert b"boot/purekernel" not in image.iso
    assert "base.iso: dropped 'boot/purekernel', the recipe of the base" in image.notes


def test_outputs_that_cannot_carry_a_recipe_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make(folder, outputs=Outputs(folder=folder / "out", kinds=["core", "pxe"]))
    assert str(caught.value) == (
        f"{folder / 'purekernel.toml'}, line 18, embed under [output]: no output can carry the "
        "recipe: must be iso or disk, got core and pxe"
    )


def test_passes_of_a_program_are_refused(folder: Path) -> None:
    recipe: Recipe = join_request(Request(recipe=folder / "purekernel.toml"), {})
    recipe = evolve(recipe, passes=(("change nothing", lambda tree: tree),))
    with pytest.raises(UsageError, match="it has passes or layers of a program"):
        build(recipe, context_for(folder))


VALID = {
    "version": 1, "bundle": None, "is_sample": False, "releases": {}, "hidden": [],
    "environment": [],
    "inputs": [
        {
            "path": "inputs/a", "kind": "file", "sha256": "0" * 64, "bytes": 1, "files": 0,
            "only": [], "used": [],
        }
    ],
    "outputs": {
        "emit": ["iso"], "effort": "fast", "compression": "gzip", "modules": "keep",
        "nested": True,
    },
}  # fmt: skip


def carried_tree(document: object) -> Tree:
    tree = Tree()
    metadata = Metadata(mode=0o644)
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    put_file(tree, b"boot/purekernel/inputs.json", data, metadata=metadata)
    put_file(tree, b"boot/purekernel/recipe.toml", b"", metadata=metadata)
    return tree


def test_valid_digests_are_read() -> None:
    carried = read_carried(carried_tree(VALID), source="x.iso")
    assert carried is not None
    assert carried.inputs[0].name == "a"
    assert read_carried(Tree(), source="x.iso") is None


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 100_000, {**VALID, "version": 2},
        {**VALID, "inputs": [{**VALID["inputs"][0], "path": "inputs/../x"}]},  # type: ignore[index]
        {**VALID, "inputs": [{**VALID["inputs"][0], "path": "/etc/passwd"}]},  # type: ignore[index]
        {**VALID, "inputs": [{**VALID["inputs"][0], "sha256": "0"}]},  # type: ignore[index]
        {**VALID, "inputs": [{**VALID["inputs"][0], "bytes": -1}]},  # type: ignore[index]
        {**VALID, "inputs": 1}, {**VALID, "hidden": [1]}, {**VALID, "bundle": 1},
        {**VALID, "outputs": {}},
    ],
)  # fmt: skip
def test_damaged_digests_are_refused(document: object) -> None:
    with pytest.raises(FormatError) as caught:
        read_carried(carried_tree(document), source="x.iso")
    assert str(caught.value).startswith(
        "x.iso:boot/purekernel/inputs.json: expected what an image is made of, as JSON, got "
    )


def test_damaged_recipe_is_an_error_that_names_it(folder: Path) -> None:
    path, _image = make(folder)
    iso = path.read_bytes()
    path.write_bytes(iso.replace(b'name = "x"', b'nama = "x"'))
    with pytest.raises(RecipeError) as caught:
        again(path, folder)
    assert "unknown key 'nama'" in str(split_errors([caught.value])[0])


@pytest.mark.nightly
def test_rebuilt_image_with_extensions_of_the_mirror_is_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "site" / "opt").mkdir(parents=True)
    (folder / "site" / "opt" / "x").write_bytes(b"x")
    (folder / "purekernel.toml").write_text(
        f"[core]\niso = {str(core_iso())!r}\n[mirrors]\ntinycore = [{str(mirror())!r}]\n"
        '[extensions]\ncde = ["bash"]\nmerged = ["nano"]\n[[overlay]]\npath = "site"\n'
        "[accounts.tc]\nauthorized-keys = []\n[accounts.dora]\nuid = 1007\n"
        "[output]\nembed = true\n",
        encoding="utf-8",
    )
    outputs = Outputs(folder=tmp_path / "out", effort=Effort.FAST, nested=False)
    path, _image = make(folder, outputs=outputs)
    (folder / "purekernel.toml").unlink()
    assert "is missing, for core.iso, base" in str(again(path, folder).missing[0])
    done = again(path, mirror())
    assert [str(each).partition(" of ")[0] for each in done.missing] == ["folder 'site'"]
    (tmp_path / "both").mkdir()
    (folder / "site").rename(tmp_path / "both" / "site")
    for each in {done.inputs[name] for name in done.inputs}:
        (tmp_path / "both" / each.name).write_bytes(each.read_bytes())
    assert again(path, tmp_path / "both").verdict is Verdict.SAME

"""Test what the report says about an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from purekernel.analysis.report.collect import make_report
from purekernel.errors import InputError
from tests.analysis.images import core, pack, program, put, tree_of
from tests.analysis.report.images import HOSTILE, Page, make_iso, write_iso

CORE = "boot/core.gz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(make_report(write_iso(folder)).page)


@pytest.fixture(scope="module")
def with_origins(folder: Path) -> Page:
    return Page(make_report(write_iso(folder, "embedded.iso", embedded=True)).page)


def origin(page: Page, path: str) -> tuple[str, str]:
    source = page.data["sources"][page.column("origins")[path]]
    return source["kind"], source["name"]


def test_packed_sizes_add_up_to_the_size_of_the_image(page: Page, folder: Path) -> None:
    space = page.data["space"]
    parents = space["parents"]
    assert space["packed"][0] == (folder / "image.iso").stat().st_size
    inside = [0] * len(parents)
    for number in range(1, len(parents)):
        assert parents[number] < number
        inside[parents[number]] += space["packed"][number]
    for number, size in enumerate(inside):
        if number in parents:
            assert size == space["packed"][number]


def test_image_has_the_files_of_its_core_and_of_its_extensions(page: Page) -> None:
    raw = page.column("raw")
    assert raw["cde/optional/a.tcz:usr/local/bin/a"] == 5000
    assert raw[f"{CORE}:opt/hostile/<!--<script>"] == 1000
    kinds = page.column("kinds")
    assert kinds[CORE] == kinds["cde/optional/a.tcz"] == "a"
    assert kinds[f"{CORE}:usr/local/bin/linked"] == "l"
    packed = page.column("packed")
    # 5000 equal bytes, and 10 kB that repeat less.
    assert 0 < packed["cde/optional/a.tcz:usr/local/bin/a"] < 100
    assert packed["cde/optional/b.tcz:usr/local/lib/b"] > 250


def test_names_are_printable(page: Page) -> None:
    names = page.data["space"]["names"]
    for name in HOSTILE[:-1]:
        assert name.replace("/", "|") in names
    assert "\\x1b[2J\\u202e" in names
    assert all(name.isprintable() for name in names)


def test_extensions_have_their_needs_and_how_they_are_loaded(page: Page) -> None:
    extensions = {each["name"]: each for each in page.data["extensions"]}
    assert {name: each["loading"] for name, each in extensions.items()} == {
        "a.tcz": "at boot", "b.tcz": "at boot", "c.tcz": "at boot", "stored.tcz": "stored",
        "missing.tcz": "missing", "merged.tcz": "merged",
    }  # fmt: skip
    assert extensions["a.tcz"]["needs"] == ["b.tcz", "missing.tcz"]
    assert extensions["a.tcz"]["place"] == "cde/optional/a.tcz"
    assert extensions["a.tcz"]["files"] == 1
    assert extensions["missing.tcz"]["place"] == ""


def test_origins_are_those_that_the_build_embedded(with_origins: Page) -> None:
    assert with_origins.data["hasOrigins"] is True
    base, overlay = ("base", "Core-current.iso"), ("overlay", "<b>overlay</b>")
    assert origin(with_origins, "boot/vmlinuz") == base
    assert origin(with_origins, f"{CORE}:bin/busybox") == base
    assert origin(with_origins, f"{CORE}:opt/hostile/<!--<script>") == overlay
    assert origin(with_origins, "cde/optional/a.tcz:usr/local/bin/a") == ("extension", "a.tcz")
    assert origin(with_origins, "cde/optional/b.tcz:usr/local/lib/b") == base


def test_origins_without_those_of_the_build_are_what_files_show(page: Page) -> None:
    assert page.data["hasOrigins"] is False
    assert origin(page, "boot/vmlinuz") == ("unknown", "")
    assert origin(page, "cde/optional/a.tcz:usr/local/bin/a") == ("extension", "a.tcz")
    assert origin(page, "cde/optional/a.tcz.dep") == ("extension", "a.tcz")
    assert origin(page, f"{CORE}:usr/local/tce.installed/merged") == ("extension", "merged.tcz")
    assert origin(page, f"{CORE}:usr/local/bin/linked") == ("extension", "linked.tcz")


def test_extension_alone_is_its_own_origin(tmp_path: Path) -> None:
    path = tmp_path / "bash.tcz"
    path.write_bytes(pack(tree_of({"usr/local/bin/bash": b"#!"})))
    page = Page(make_report(str(path)).page)
    assert origin(page, "usr/local/bin/bash") == ("extension", "bash.tcz")
    assert [each["name"] for each in page.data["extensions"]] == ["bash.tcz"]


def test_folder_has_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"12345")
    page = Page(make_report(str(tmp_path)).page)
    assert page.data["title"] == tmp_path.name
    assert page.column("packed")["a/b"] == page.column("raw")["a"] == 5


def test_same_image_gives_the_same_bytes(folder: Path) -> None:
    path = write_iso(folder, "again.iso")
    assert make_report(path).page == make_report(path).page


def test_damaged_image_is_shown_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    iso = bytearray(make_iso())
    start = iso.index(b"hsqs")
    iso[start + 8 : start + 96] = b"\xff" * 88
    path = tmp_path / "damaged.iso"
    path.write_bytes(iso)
    report = make_report(str(path))
    assert len(report.faults) == 1
    page = Page(report.page)
    assert page.data["faults"] == [str(report.faults[0])]
    assert f"{CORE}:bin/busybox" in page.paths()


def test_damaged_origins_are_a_fault_and_unknown(tmp_path: Path) -> None:
    path = tmp_path / "image.iso"
    path.write_bytes(make_core_iso(beside_boot={b"boot/purekernel/origins.json": b"{"}))
    report = make_report(str(path))
    assert "origins.json" in str(report.faults[0])
    assert Page(report.page).data["hasOrigins"] is False


def test_missing_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        make_report(str(tmp_path / "gone.iso"))


def test_changes_are_those_since_the_earlier_image(folder: Path) -> None:
    old = folder / "old.iso"
    root = make_core_tree()
    put(root, "opt/gone", b"x" * 100)
    old.write_bytes(make_core_iso(root=root))
    page = Page(make_report(write_iso(folder, "new.iso"), against=str(old)).page)
    comparison = page.data["comparison"]
    assert comparison["old"] == "old.iso"
    changes = {each["path"]: each["kind"] for each in comparison["changes"]}
    assert changes[f"{CORE}:opt/gone"] == "removed"
    assert changes[f"{CORE}:opt/hostile"] == "added"
    assert changes["boot/core.gz"] == "changed"
    assert comparison["counts"]["removed"] == 1
    paths = set(page.paths())
    assert {path for path, kind in changes.items() if kind != "removed"} <= paths


def test_finding_names_the_file_that_will_not_run(tmp_path: Path) -> None:
    path = tmp_path / "image.iso"
    root = core()
    put(root, "bin/tool", program(b"libgone.so.1"))
    path.write_bytes(make_core_iso(root=root))
    page = Page(make_report(str(path)).page)
    found = [(each["code"], each["path"]) for each in page.data["findings"]]
    assert ("PK102", "bin/tool") in found
    assert page.data["findingsCount"] == len(found)

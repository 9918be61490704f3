from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from purekernel.errors import InputError
from purekernel.fetch import shipped
from purekernel.fetch.shipped import (
    BUILTIN_LIST,
    CUT_LIST,
    GEM_LIST,
    LISTS,
    MIRROR_LIST,
    SAMPLE_BUNDLE,
    load_sample_bundle,
    load_shipped_list,
)
from purekernel.recipe.lists import parse_extension_list, parse_gem_list, parse_path_list
from tests.processes import ROOT


def test_lists_name_microkernel_packages() -> None:
    builtin = parse_extension_list(load_shipped_list(BUILTIN_LIST), source=BUILTIN_LIST)
    assert [one.name for one in builtin] == [
        "openssh.tcz", "bash.tcz", "dmidecode.tcz", "ruby.tcz", "lshw.tcz", "scsi-KERNEL.tcz",
        "firmware-bnx2.tcz",
    ]  # fmt: skip
    mirror = parse_extension_list(load_shipped_list(MIRROR_LIST), source=MIRROR_LIST)
    assert [one.name for one in mirror] == [
        "fuse.tcz", "glib2.tcz", "libdnet.tcz", "libffi.tcz", "ncurses.tcz", "perl5.tcz",
        "procps.tcz",
    ]  # fmt: skip
    gems = parse_gem_list(load_shipped_list(GEM_LIST), source=GEM_LIST)
    assert [one.name for one in gems] == ["facter", "json_pure >= 1.7.7", "daemons"]
    cut = parse_path_list(load_shipped_list(CUT_LIST), source=CUT_LIST)
    assert [one.name for one in cut] == ["usr/local/sbin/sfdisk", "usr/local/bin/lscpu"]


def test_wheel_contains_files_of_checkout() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {Path(place).name for place in included.values()} == {SAMPLE_BUNDLE, *LISTS}
    for source, place in included.items():
        assert place == f"purekernel/shipped/{Path(source).name}"
        assert (ROOT / source).is_file()
        folder = shipped._IN_CHECKOUT[Path(source).name]
        assert Path(source) == folder / Path(source).name
    lists = {path.name for path in (ROOT / "lists").iterdir()} - {"README.md"}
    assert lists == set(LISTS)


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (lambda: load_shipped_list(GEM_LIST), "the list gem.list"),
        (load_sample_bundle, "the sample bundle"),
    ],
)
def test_incomplete_installation_is_reported(
    load, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shipped.resources, "files", lambda _package: tmp_path)
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    with pytest.raises(InputError) as caught:
        load()
    assert str(caught.value) == f"{words} is missing from this installation"
    assert caught.value.hint == "install purekernel again"


def test_installed_files_take_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / GEM_LIST).write_bytes(b"other\n")
    monkeypatch.setattr(shipped.resources, "files", lambda _package: tmp_path)
    assert load_shipped_list(GEM_LIST) == b"other\n"

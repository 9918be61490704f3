"""Test the lines and the JSON of listings."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.analysis.listing import (
    ListedEntry,
    PlaceListing,
    entry_json,
    format_time,
    list_place,
)
from purekernel.analysis.open import Places
from purekernel.formats.cpio import build_cpio
from purekernel.input import Limits
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Metadata,
    Socket,
    Symlink,
    Tree,
)

TIME = 1796056860  # 2026-11-30 16:41 UTC


def meta(mode: int, *, uid: int = 0, gid: int = 0, mtime: int = TIME) -> Metadata:
    return Metadata(mode=mode, uid=uid, gid=gid, mtime=mtime)


def every_type() -> Tree:
    tree = Tree()
    tree.add(b"dir", Directory(metadata=meta(0o2775, gid=50)))
    tree.add(b"dir/a", File(metadata=meta(0o644), content=b"12345"))
    tree.add(b"dir/b", File(metadata=meta(0o4755, uid=1001, gid=50), content=b"x" * 1234))
    tree.link(b"dir/c", b"dir/a")
    tree.add(b"dir/fifo", Fifo(metadata=meta(0o600)))
    tree.add(b"dir/link", Symlink(metadata=meta(0o777), target=b"../x"))
    tree.add(b"dir/sda", Device(metadata=meta(0o660), kind=DeviceKind.BLOCK, major=8, minor=0))
    tree.add(b"dir/tty", Device(metadata=meta(0o620), kind=DeviceKind.CHARACTER, major=4, minor=64))
    tree.add(b"dir/socket", Socket(metadata=meta(0o755)))
    tree.add(b"dir/sub", Directory(metadata=meta(0o1777)))
    tree.add(b"dir/sub/d", File(metadata=meta(0o600, mtime=0), content=b""))
    tree.link(b"other", b"dir/b")
    return tree


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "core").write_bytes(build_cpio(every_type()))
    return "core:dir"


def test_long_lines_show_each_type_of_node(place: str) -> None:
    listing = list_place(Places(Limits()), place)
    assert b"\n".join(listing.lines(is_long=True)).decode() == (
        "-rw-r--r-- 2    0  0     5 2026-11-30 16:41 a\n"
        "-rwsr-xr-x 2 1001 50  1234 2026-11-30 16:41 b\n"
        "-rw-r--r-- 2    0  0     5 2026-11-30 16:41 c link to dir/a\n"
        "prw------- 1    0  0     0 2026-11-30 16:41 fifo\n"
        "lrwxrwxrwx 1    0  0     4 2026-11-30 16:41 link -> ../x\n"
        "brw-rw---- 1    0  0  8, 0 2026-11-30 16:41 sda\n"
        "srwxr-xr-x 1    0  0     0 2026-11-30 16:41 socket\n"
        "drwxrwxrwt 1    0  0     0 2026-11-30 16:41 sub\n"
        "crw--w---- 1    0  0 4, 64 2026-11-30 16:41 tty"
    )


def test_recursive_listing_has_paths_below_the_folder(place: str) -> None:
    listing = list_place(Places(Limits()), place, is_recursive=True)
    assert listing.lines(is_long=False)[-3:] == [b"sub", b"sub/d", b"tty"]
    listing = list_place(Places(Limits()), "core", is_recursive=True)
    assert listing.lines(is_long=False)[:2] == [b"dir", b"dir/a"]
    assert listing.lines(is_long=True)[-1].endswith(b" other link to dir/b")


def test_folder_itself_is_one_line(place: str) -> None:
    listing = list_place(Places(Limits()), place, is_itself=True)
    assert listing.lines(is_long=True) == [b"drwxrwsr-x 1 0 50 0 2026-11-30 16:41 core:dir"]


def test_listing_without_entries_has_no_lines() -> None:
    listing = PlaceListing(is_folder=True, entries=())
    assert (listing.lines(is_long=False), listing.lines(is_long=True)) == ([], [])


def test_json_has_all_that_the_archive_says(place: str) -> None:
    document = list_place(Places(Limits()), place).json()
    entries = document.pop("entries")
    assert document == {"kind": None, "compression": None, "is_folder": True}
    assert isinstance(entries, list)
    by_path = {entry["path"]: entry for entry in entries}
    assert by_path[b"c"] == {
        "path": b"c", "type": "file", "mode": "0644", "uid": 0, "gid": 0, "mtime": TIME, "bytes": 5,
        "target": None, "device": None, "xattrs": {}, "names": 2, "hard_link_to": b"dir/a",
    }  # fmt: skip
    assert by_path[b"a"]["hard_link_to"] is None
    assert by_path[b"tty"]["device"] == {"kind": "character", "major": 4, "minor": 64}
    assert by_path[b"tty"]["bytes"] is None
    assert by_path[b"link"]["target"] == b"../x"
    assert by_path[b"sub"]["type"] == "folder"


def test_extended_attributes_are_in_the_json() -> None:
    metadata = Metadata(mode=0o755, xattrs=((b"security.capability", b"\x01\xff"),))
    document = entry_json(b"x", File(metadata=metadata, content=b""))
    assert document["xattrs"] == {b"security.capability": "01ff"}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "1970-01-01 00:00"),
        (TIME, "2026-11-30 16:41"),
        (-1, "1969-12-31 23:59"),
        (-62135596800, "0001-01-01 00:00"),
        (253402300799, "9999-12-31 23:59"),
        (253402300800, "@253402300800"),
        (-(1 << 62), f"@-{1 << 62}"),
        ((1 << 63) - 1, f"@{(1 << 63) - 1}"),
    ],
)
def test_time_is_shown_in_utc_or_in_seconds(seconds: int, shown: str) -> None:
    assert format_time(seconds) == shown


def test_name_of_an_entry_is_shown_as_it_is() -> None:
    entry = ListedEntry(name=b"a\n\xff", node=File(metadata=meta(0o644), content=b""))
    listing = PlaceListing(is_folder=True, entries=(entry,))
    assert listing.lines(is_long=False) == [b"a\n\xff"]
    assert listing.lines(is_long=True)[0].endswith(b" a\n\xff")


def test_names_elsewhere_are_searched_only_for_hard_links(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []
    real = Tree.hard_links

    def count(self: Tree) -> object:
        searched.append(self)
        return real(self)

    monkeypatch.setattr(Tree, "hard_links", count)
    places = Places()
    assert list_place(places, f"{place}/sub").lines(is_long=False) == [b"d"]
    assert searched == []
    assert len(list_place(places, place).lines(is_long=False)) == 9
    assert len(searched) == 1

from __future__ import annotations

import hashlib

import pytest

from fixtures.compress import gzip
from fixtures.repository import TCZ, make_extension, make_repository
from purekernel.errors import FormatError
from purekernel.sources.tinycore import DEPENDENCIES, INFO, LISTING, MD5, ExtensionMirror
from tests.sources.fakes import FakeDownloads

NEEDS = {
    "bash.tcz": ["readline.tcz", " "],
    "readline.tcz": ["ncurses.tcz"],
    "ncurses.tcz": [],
}
FOLDER = f"http://mirror.example/{TCZ}"


def test_with_indexes_three_requests_tell_all() -> None:
    downloads = FakeDownloads(make_repository(NEEDS))
    mirror = ExtensionMirror([FOLDER], downloads)
    bash, ncurses = mirror.describe(["bash.tcz", "ncurses.tcz"])
    assert downloads.asked == [
        f"{FOLDER}/{name}" for name in ("dep.db.gz", "md5.db.gz", "sizelist.gz")
    ]
    assert bash is not None
    assert ncurses is not None
    assert bash.dependencies == ("readline.tcz",)
    assert bash.package.urls == (f"{FOLDER}/bash.tcz",)
    assert bash.package.size_bytes == 64
    assert bash.package.md5 == hashlib.md5(make_extension("bash.tcz")).hexdigest()
    assert set(bash.sides) == {MD5, DEPENDENCIES, INFO, LISTING}
    assert all(side.optional for side in bash.sides.values())
    # What needs nothing has no .dep to ask for.
    assert set(ncurses.sides) == {MD5, INFO, LISTING}
    assert mirror.has_indexes
    mirror.describe(["bash.tcz", "ncurses.tcz"])
    assert len(downloads.asked) == 3


def test_what_the_indexes_do_not_know_is_looked_for_all_the_same() -> None:
    files = make_repository(NEEDS)
    files |= make_repository({"zsh.tcz": ["ncurses.tcz"]}, indexes=False)
    downloads = FakeDownloads(files)
    zsh, gone = ExtensionMirror([FOLDER], downloads).describe(["zsh.tcz", "gone.tcz"])
    assert zsh is not None
    assert zsh.dependencies == ("ncurses.tcz",)
    assert zsh.package.md5 == hashlib.md5(make_extension("zsh.tcz")).hexdigest()
    assert gone is None
    assert f"HEAD {FOLDER}/gone.tcz" in downloads.asked


@pytest.mark.parametrize("use_indexes", [True, False])
def test_without_indexes_the_files_tell_the_same(use_indexes: bool) -> None:
    with_indexes = ExtensionMirror([FOLDER], FakeDownloads(make_repository(NEEDS)))
    files = make_repository(NEEDS, indexes=not use_indexes)
    downloads = FakeDownloads(files)
    mirror = ExtensionMirror([FOLDER], downloads, use_indexes=use_indexes)
    names = ["bash.tcz", "gone.tcz", "ncurses.tcz"]
    found = mirror.describe(names)
    assert not mirror.has_indexes
    for ours, theirs in zip(found, with_indexes.describe(names), strict=True):
        if theirs is None:
            assert ours is None
            continue
        assert ours is not None
        assert (ours.dependencies, ours.package.md5, set(ours.sides)) == (
            theirs.dependencies,
            theirs.package.md5,
            set(theirs.sides),
        )
        assert ours.package.size_bytes is None
    assert f"HEAD {FOLDER}/gone.tcz" in downloads.asked


def test_an_extension_without_a_digest_is_there_all_the_same() -> None:
    files = make_repository(NEEDS, indexes=False)
    del files[f"{TCZ}/ncurses.tcz.md5.txt"]
    (found,) = ExtensionMirror([FOLDER], FakeDownloads(files)).describe(["ncurses.tcz"])
    assert found is not None
    assert found.package.md5 is None


@pytest.mark.parametrize("damage", [b"\x1f\x8bdamaged", gzip(b"<html>"), b"plain"])
def test_a_damaged_index_is_as_good_as_none(damage: bytes) -> None:
    files = make_repository(NEEDS)
    for name in ("dep.db.gz", "md5.db.gz", "sizelist.gz"):
        files[f"{TCZ}/{name}"] = damage
    mirror = ExtensionMirror([FOLDER], FakeDownloads(files))
    (bash,) = mirror.describe(["bash.tcz"])
    assert bash is not None
    assert bash.dependencies == ("readline.tcz",)
    assert not mirror.has_indexes


def test_one_index_alone_is_believed_in_what_it_says() -> None:
    files = make_repository(NEEDS)
    del files[f"{TCZ}/md5.db.gz"]
    downloads = FakeDownloads(files)
    (bash,) = ExtensionMirror([FOLDER], downloads).describe(["bash.tcz"])
    assert bash is not None
    assert f"{FOLDER}/bash.tcz.md5.txt" in downloads.asked
    assert f"{FOLDER}/bash.tcz.dep" not in downloads.asked


def test_mirrors_are_all_named_in_order() -> None:
    downloads = FakeDownloads(make_repository(NEEDS))
    mirror = ExtensionMirror(["http://first.example/tcz/", FOLDER], downloads)
    (bash,) = mirror.describe(["bash.tcz"])
    assert bash is not None
    assert bash.package.urls == ("http://first.example/tcz/bash.tcz", f"{FOLDER}/bash.tcz")


def test_damaged_files_beside_an_extension_are_refused() -> None:
    files = make_repository(NEEDS, indexes=False)
    files[f"{TCZ}/bash.tcz.md5.txt"] = b"no digest\n"
    with pytest.raises(FormatError, match=r"bash\.tcz\.md5\.txt: expected a line as md5sum"):
        ExtensionMirror([FOLDER], FakeDownloads(files)).describe(["bash.tcz"])

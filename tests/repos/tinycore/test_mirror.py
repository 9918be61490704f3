from __future__ import annotations

import hashlib

import pytest

from fixtures.compress import gzip
from fixtures.repository import TCZ, make_extension, make_repository
from purekernel.errors import DownloadError, FormatError, PurekernelError
from purekernel.repos.tinycore import DEPENDENCIES, INFO, LISTING, MD5, ExtensionMirror
from tests.fetch.fakes import FakeDownloads

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
    # That it needs nothing the index says, which may be older than its .dep.
    assert set(ncurses.sides) == {MD5, DEPENDENCIES, INFO, LISTING}
    assert mirror.went_by_indexes
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
    assert not mirror.went_by_indexes
    for ours, theirs in zip(found, with_indexes.describe(names), strict=True):
        if theirs is None:
            assert ours is None
            continue
        assert ours is not None
        assert (ours.dependencies, ours.package.md5) == (theirs.dependencies, theirs.package.md5)
        none = set() if ours.dependencies else {DEPENDENCIES}
        assert set(ours.sides) == set(theirs.sides) - none
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
    assert not mirror.went_by_indexes


def test_one_index_alone_is_believed_in_what_it_says() -> None:
    files = make_repository(NEEDS)
    del files[f"{TCZ}/md5.db.gz"]
    downloads = FakeDownloads(files)
    (bash,) = ExtensionMirror([FOLDER], downloads).describe(["bash.tcz"])
    assert bash is not None
    assert f"{FOLDER}/bash.tcz.md5.txt" in downloads.asked
    assert f"{FOLDER}/bash.tcz.dep" not in downloads.asked


OWN, OFFICIAL = "http://own.example/tcz", "http://official.example/tcz"


def two_folders(*, indexes: bool = True) -> FakeDownloads:
    """Return a folder with an extension of its own and one that is newer, and a whole mirror."""
    own = make_repository(
        {"own.tcz": ["readline.tcz"], "ncurses.tcz": []},
        contents={"ncurses.tcz": b"hsqs newer"},
        folder="own.example/tcz",
        indexes=indexes,
    )
    official = make_repository(NEEDS, folder="official.example/tcz")
    return FakeDownloads({**own, **official}, base="http:/")


@pytest.mark.parametrize("indexes", [True, False])
def test_an_extension_is_at_home_in_the_first_folder_that_has_it(indexes: bool) -> None:
    downloads = two_folders(indexes=indexes)
    mirror = ExtensionMirror([OWN + "/", OFFICIAL], downloads)
    names = ["own.tcz", "ncurses.tcz", "bash.tcz", "gone.tcz"]
    own, ncurses, bash, gone = mirror.describe(names)
    assert own is not None
    assert ncurses is not None
    assert bash is not None
    assert gone is None
    assert own.package.urls == (f"{OWN}/own.tcz", f"{OFFICIAL}/own.tcz")
    assert own.dependencies == ("readline.tcz",)
    assert ncurses.package.md5 == hashlib.md5(b"hsqs newer").hexdigest()
    assert bash.package.urls == (f"{OFFICIAL}/bash.tcz", f"{OWN}/bash.tcz")
    assert bash.package.md5 == hashlib.md5(make_extension("bash.tcz")).hexdigest()
    assert bash.dependencies == ("readline.tcz",)
    assert bash.sides[DEPENDENCIES].urls == (f"{OFFICIAL}/bash.tcz.dep",)
    for folder in (OWN, OFFICIAL):
        assert f"HEAD {folder}/gone.tcz" in downloads.asked


def test_a_folder_that_is_down_is_passed_over() -> None:
    downloads = two_folders()
    downloads.failures["own.example"] = 1000
    mirror = ExtensionMirror([OWN, OFFICIAL], downloads)
    bash, ncurses = mirror.describe(["bash.tcz", "ncurses.tcz"])
    assert bash is not None
    assert ncurses is not None
    assert bash.package.urls[0] == f"{OFFICIAL}/bash.tcz"
    assert ncurses.package.md5 == hashlib.md5(make_extension("ncurses.tcz")).hexdigest()
    (note,) = mirror.notes
    assert note.startswith(f"the mirror {OWN} was passed over, and what it may have was taken")
    # Whether it has what the others do not have, nobody can tell.
    with pytest.raises(PurekernelError, match="nobody answers"):
        mirror.describe(["own.tcz"])


def test_a_folder_that_was_down_is_asked_again_for_what_the_others_do_not_have() -> None:
    downloads = two_folders()
    downloads.failures["own.example"] = 3
    mirror = ExtensionMirror([OWN, OFFICIAL], downloads)
    own, ncurses, gone = mirror.describe(["own.tcz", "ncurses.tcz", "gone.tcz"])
    assert mirror.notes == ()
    assert own is not None
    assert own.package.urls[0] == f"{OWN}/own.tcz"
    assert ncurses is not None
    # What it has itself is not taken from the others after all.
    assert ncurses.package.urls[0] == f"{OWN}/ncurses.tcz"
    assert ncurses.package.md5 == hashlib.md5(b"hsqs newer").hexdigest()
    assert gone is None


def test_a_file_that_fails_is_asked_for_again_where_the_others_do_not_have_it() -> None:
    downloads = two_folders(indexes=False)
    downloads.failures["own.example"] = 1
    (own,) = ExtensionMirror([OWN, OFFICIAL], downloads, use_indexes=False).describe(["own.tcz"])
    assert own is not None
    assert own.package.md5 == hashlib.md5(make_extension("own.tcz")).hexdigest()
    downloads.failures["own.example"] = 1000
    with pytest.raises(DownloadError, match=r"own\.tcz\.md5\.txt: nobody answers"):
        ExtensionMirror([OWN, OFFICIAL], downloads, use_indexes=False).describe(["own.tcz"])


def test_an_extension_without_a_digest_is_taken_from_its_home_alone() -> None:
    files = make_repository({"own.tcz": []}, folder="own.example/tcz", indexes=False)
    del files["own.example/tcz/own.tcz.md5.txt"]
    official = make_repository({"own.tcz": []}, folder="official.example/tcz")
    downloads = FakeDownloads({**files, **official}, base="http:/")
    (own,) = ExtensionMirror([OWN, OFFICIAL], downloads).describe(["own.tcz"])
    assert own is not None
    assert own.package.urls == (f"{OWN}/own.tcz",)


def test_a_folder_that_has_nothing_at_all_is_noted() -> None:
    downloads = two_folders()
    mirror = ExtensionMirror(["http://typo.example/tcz", OFFICIAL], downloads)
    mirror.describe(["bash.tcz"])
    (note,) = mirror.notes
    assert note.startswith("the mirror http://typo.example/tcz has none of the extensions")


def test_a_damaged_digest_is_one_folders_fault() -> None:
    own = make_repository({"bash.tcz": []}, folder="own.example/tcz", indexes=False)
    own["own.example/tcz/bash.tcz.md5.txt"] = b"no digest"
    official = make_repository(NEEDS, folder="official.example/tcz")
    downloads = FakeDownloads({**own, **official}, base="http:/")
    mirror = ExtensionMirror([OWN, OFFICIAL], downloads)
    (bash,) = mirror.describe(["bash.tcz"])
    assert bash is not None
    assert bash.package.urls[0] == f"{OFFICIAL}/bash.tcz"
    assert "own.example" in mirror.notes[0]


def test_nothing_is_asked_where_nothing_is_wanted() -> None:
    downloads = FakeDownloads(make_repository(NEEDS))
    mirror = ExtensionMirror([FOLDER], downloads)
    assert mirror.describe([]) == []
    assert downloads.asked == []
    assert not mirror.went_by_indexes


def test_damaged_files_beside_an_extension_are_refused() -> None:
    files = make_repository(NEEDS, indexes=False)
    files[f"{TCZ}/bash.tcz.md5.txt"] = b"no digest\n"
    with pytest.raises(FormatError, match=r"bash\.tcz\.md5\.txt: expected a line as md5sum"):
        ExtensionMirror([FOLDER], FakeDownloads(files)).describe(["bash.tcz"])

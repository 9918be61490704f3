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


def test_lookup_in_indexes_needs_three_requests() -> None:
    downloads = FakeDownloads(make_repository(NEEDS))
    mirror = ExtensionMirror([FOLDER], downloads)
    bash, ncurses = mirror.describe(["bash.tcz", "ncurses.tcz"])
    assert downloads.asked == [
        f"{FOLDER}/{name}" for name in ("dep.db.gz", "md5.db.gz", "sizelist.gz")
    ]
    assert bash is not None
    assert ncurses is not None
    assert bash.dependencies == ("readline.tcz",)
    assert bash.file.urls == (f"{FOLDER}/bash.tcz",)
    assert bash.file.size_bytes == 136
    assert bash.file.md5 == hashlib.md5(make_extension("bash.tcz")).hexdigest()
    assert set(bash.companions) == {MD5, DEPENDENCIES, INFO, LISTING}
    assert all(side.optional for side in bash.companions.values())
    # The index lists no dependencies, but may be older than the .dep file.
    assert set(ncurses.companions) == {MD5, DEPENDENCIES, INFO, LISTING}
    assert mirror.went_by_indexes
    mirror.describe(["bash.tcz", "ncurses.tcz"])
    assert len(downloads.asked) == 3


def test_extension_missing_in_indexes_is_looked_up_by_its_files() -> None:
    files = make_repository(NEEDS)
    files |= make_repository({"zsh.tcz": ["ncurses.tcz"]}, indexes=False)
    downloads = FakeDownloads(files)
    zsh, gone = ExtensionMirror([FOLDER], downloads).describe(["zsh.tcz", "gone.tcz"])
    assert zsh is not None
    assert zsh.dependencies == ("ncurses.tcz",)
    assert zsh.file.md5 == hashlib.md5(make_extension("zsh.tcz")).hexdigest()
    assert gone is None
    assert f"HEAD {FOLDER}/gone.tcz" in downloads.asked


@pytest.mark.parametrize("use_indexes", [True, False])
def test_files_give_the_same_result_as_indexes(use_indexes: bool) -> None:
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
        assert (ours.dependencies, ours.file.md5) == (theirs.dependencies, theirs.file.md5)
        none = set() if ours.dependencies else {DEPENDENCIES}
        assert set(ours.companions) == set(theirs.companions) - none
        assert ours.file.size_bytes is None
    assert f"HEAD {FOLDER}/gone.tcz" in downloads.asked


def test_extension_without_digest_is_found() -> None:
    files = make_repository(NEEDS, indexes=False)
    del files[f"{TCZ}/ncurses.tcz.md5.txt"]
    (found,) = ExtensionMirror([FOLDER], FakeDownloads(files)).describe(["ncurses.tcz"])
    assert found is not None
    assert found.file.md5 is None


@pytest.mark.parametrize("damage", [b"\x1f\x8bdamaged", gzip(b"<html>"), b"plain"])
def test_damaged_index_is_ignored(damage: bytes) -> None:
    files = make_repository(NEEDS)
    for name in ("dep.db.gz", "md5.db.gz", "sizelist.gz"):
        files[f"{TCZ}/{name}"] = damage
    mirror = ExtensionMirror([FOLDER], FakeDownloads(files))
    (bash,) = mirror.describe(["bash.tcz"])
    assert bash is not None
    assert bash.dependencies == ("readline.tcz",)
    assert not mirror.went_by_indexes


def test_single_index_is_used() -> None:
    files = make_repository(NEEDS)
    del files[f"{TCZ}/md5.db.gz"]
    downloads = FakeDownloads(files)
    (bash,) = ExtensionMirror([FOLDER], downloads).describe(["bash.tcz"])
    assert bash is not None
    assert f"{FOLDER}/bash.tcz.md5.txt" in downloads.asked
    assert f"{FOLDER}/bash.tcz.dep" not in downloads.asked


OWN, OFFICIAL = "http://own.example/tcz", "http://official.example/tcz"


def two_folders(*, indexes: bool = True) -> FakeDownloads:
    """Return a folder with an extra and a newer extension, and a complete mirror."""
    own = make_repository(
        {"own.tcz": ["readline.tcz"], "ncurses.tcz": []},
        contents={"ncurses.tcz": b"hsqs newer"},
        folder="own.example/tcz",
        indexes=indexes,
    )
    official = make_repository(NEEDS, folder="official.example/tcz")
    return FakeDownloads({**own, **official}, base="http:/")


@pytest.mark.parametrize("indexes", [True, False])
def test_home_is_the_first_folder_that_has_the_extension(indexes: bool) -> None:
    downloads = two_folders(indexes=indexes)
    mirror = ExtensionMirror([OWN + "/", OFFICIAL], downloads)
    names = ["own.tcz", "ncurses.tcz", "bash.tcz", "gone.tcz"]
    own, ncurses, bash, gone = mirror.describe(names)
    assert own is not None
    assert ncurses is not None
    assert bash is not None
    assert gone is None
    assert own.file.urls == (f"{OWN}/own.tcz", f"{OFFICIAL}/own.tcz")
    assert own.dependencies == ("readline.tcz",)
    assert ncurses.file.md5 == hashlib.md5(b"hsqs newer").hexdigest()
    assert bash.file.urls == (f"{OFFICIAL}/bash.tcz", f"{OWN}/bash.tcz")
    assert bash.file.md5 == hashlib.md5(make_extension("bash.tcz")).hexdigest()
    assert bash.dependencies == ("readline.tcz",)
    assert bash.companions[DEPENDENCIES].urls == (f"{OFFICIAL}/bash.tcz.dep",)
    for folder in (OWN, OFFICIAL):
        assert f"HEAD {folder}/gone.tcz" in downloads.asked


def test_failing_folder_is_skipped_with_a_note() -> None:
    downloads = two_folders()
    downloads.failures["own.example"] = 1000
    mirror = ExtensionMirror([OWN, OFFICIAL], downloads)
    bash, ncurses = mirror.describe(["bash.tcz", "ncurses.tcz"])
    assert bash is not None
    assert ncurses is not None
    assert bash.file.urls[0] == f"{OFFICIAL}/bash.tcz"
    assert ncurses.file.md5 == hashlib.md5(make_extension("ncurses.tcz")).hexdigest()
    (note,) = mirror.notes
    assert note.startswith(
        f"the mirror {OWN} was skipped, and the other mirrors were used instead: "
    )
    # The failing folder may have an extension that the others do not have.
    with pytest.raises(PurekernelError, match="nobody answers"):
        mirror.describe(["own.tcz"])


def test_failed_folder_is_retried_for_missing_extensions() -> None:
    downloads = two_folders()
    downloads.failures["own.example"] = 3
    mirror = ExtensionMirror([OWN, OFFICIAL], downloads)
    own, ncurses, gone = mirror.describe(["own.tcz", "ncurses.tcz", "gone.tcz"])
    assert mirror.notes == ()
    assert own is not None
    assert own.file.urls[0] == f"{OWN}/own.tcz"
    assert ncurses is not None
    # The folder's own extensions are no longer taken from the other folder.
    assert ncurses.file.urls[0] == f"{OWN}/ncurses.tcz"
    assert ncurses.file.md5 == hashlib.md5(b"hsqs newer").hexdigest()
    assert gone is None


def test_failed_file_is_fetched_again_if_no_other_folder_has_it() -> None:
    downloads = two_folders(indexes=False)
    downloads.failures["own.example"] = 1
    (own,) = ExtensionMirror([OWN, OFFICIAL], downloads, use_indexes=False).describe(["own.tcz"])
    assert own is not None
    assert own.file.md5 == hashlib.md5(make_extension("own.tcz")).hexdigest()
    downloads.failures["own.example"] = 1000
    with pytest.raises(DownloadError, match=r"own\.tcz\.md5\.txt: nobody answers"):
        ExtensionMirror([OWN, OFFICIAL], downloads, use_indexes=False).describe(["own.tcz"])


def test_extension_without_digest_has_only_its_home_url() -> None:
    files = make_repository({"own.tcz": []}, folder="own.example/tcz", indexes=False)
    del files["own.example/tcz/own.tcz.md5.txt"]
    official = make_repository({"own.tcz": []}, folder="official.example/tcz")
    downloads = FakeDownloads({**files, **official}, base="http:/")
    (own,) = ExtensionMirror([OWN, OFFICIAL], downloads).describe(["own.tcz"])
    assert own is not None
    assert own.file.urls == (f"{OWN}/own.tcz",)


def test_empty_folder_gives_a_note() -> None:
    downloads = two_folders()
    mirror = ExtensionMirror(["http://typo.example/tcz", OFFICIAL], downloads)
    mirror.describe(["bash.tcz"])
    (note,) = mirror.notes
    assert note.startswith(
        "the mirror http://typo.example/tcz has no index and none of the extensions"
    )


def test_folder_with_damaged_digest_is_skipped() -> None:
    own = make_repository({"bash.tcz": []}, folder="own.example/tcz", indexes=False)
    own["own.example/tcz/bash.tcz.md5.txt"] = b"no digest"
    official = make_repository(NEEDS, folder="official.example/tcz")
    downloads = FakeDownloads({**own, **official}, base="http:/")
    mirror = ExtensionMirror([OWN, OFFICIAL], downloads)
    (bash,) = mirror.describe(["bash.tcz"])
    assert bash is not None
    assert bash.file.urls[0] == f"{OFFICIAL}/bash.tcz"
    assert "own.example" in mirror.notes[0]


def test_empty_request_fetches_nothing() -> None:
    downloads = FakeDownloads(make_repository(NEEDS))
    mirror = ExtensionMirror([FOLDER], downloads)
    assert mirror.describe([]) == []
    assert downloads.asked == []
    assert not mirror.went_by_indexes


def test_damaged_digest_in_the_only_folder_is_an_error() -> None:
    files = make_repository(NEEDS, indexes=False)
    files[f"{TCZ}/bash.tcz.md5.txt"] = b"no digest\n"
    with pytest.raises(FormatError, match=r"bash\.tcz\.md5\.txt: expected a line of md5sum"):
        ExtensionMirror([FOLDER], FakeDownloads(files)).describe(["bash.tcz"])

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from fixtures.compress import gzip
from fixtures.repository import TCZ, make_repository
from purekernel.errors import DownloadError, NotFoundError
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.store import Store
from purekernel.repos.tinycore import Catalog, ExtensionMirror, did_you_mean, similar_names
from tests.fetch.fakes import FakeDownloads

NEEDS = {
    "vim.tcz": ["ncurses.tcz", "gone.tcz"],
    "gvim.tcz": ["vim.tcz", "wifi-KERNEL.tcz"],
    "ncurses.tcz": [],
    "vim-dev.tcz": ["vim.tcz"],
    "wifi-3.0.21-tinycore.tcz": [],
    "svi.tcz": [],
}
TAGS = b"svi.tcz\tvim-like editor\nvim.tcz\teditor of text\nncurses.tcz\tno vimtutor\n"
PROVIDES = b"vim.tcz\nusr/bin/vim\nusr/share/vim/a\n\nncurses.tcz\nusr/lib/libncurses.so.5\n\n"
FIRST, SECOND = (f"http://{host}.example/{TCZ}" for host in ("first", "second"))


def catalog_of(
    first: Mapping[str, bytes],
    second: Mapping[str, bytes] | None = None,
    *,
    texts: bool = True,
    needs: bool = True,
) -> Catalog:
    downloads = FakeDownloads(first, base="http://first.example")
    folders = [FIRST]
    if second is not None:
        downloads._files |= FakeDownloads(second, base="http://second.example")._files
        folders.append(SECOND)
    mirror = ExtensionMirror(folders, downloads)
    return Catalog(mirror, downloads, texts=texts, needs=needs)


def repository(**more: bytes) -> dict[str, bytes]:
    indexes = {"tags.db.gz": TAGS, "provides.db.gz": PROVIDES}
    indexes |= {name.replace("_", "."): content for name, content in more.items()}
    return make_repository(NEEDS) | {
        f"{TCZ}/{name}": gzip(content) for name, content in indexes.items()
    }


def names(found: Iterable[object]) -> list[str]:
    return [getattr(one, "name", "").removesuffix(".tcz") for one in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # The name itself, its start, a part of it, the middle; then the tags.
        (["vim"], ["vim", "vim-dev", "gvim", "svi", "ncurses"]),
        (["VIM.tcz"], ["vim", "vim-dev", "gvim", "svi", "ncurses"]),
        (["editor"], ["svi", "vim"]),
        (["editor", "text"], ["vim"]),
        (["dev", "vim"], ["vim-dev"]),
        (["nothing"], []),
        (["editor", "nothing"], []),
    ],
)
def test_search_finds_all_words_and_ranks_names_first(
    words: Sequence[str], expected: list[str]
) -> None:
    catalog = catalog_of(repository())
    assert names(catalog.search(words)) == expected
    assert catalog.notes == ()


def test_extension_of_two_mirrors_is_that_of_the_first() -> None:
    first = make_repository({"vim.tcz": []}) | {f"{TCZ}/tags.db.gz": gzip(b"vim.tcz mine\n")}
    catalog = catalog_of(first, repository())
    assert catalog.extensions["vim.tcz"].text == "mine"
    assert catalog.extensions["vim.tcz"].folder.place == FIRST
    assert catalog.extensions["svi.tcz"].folder.place == SECOND
    assert list(catalog.extensions) == sorted(NEEDS)
    # The first vim.tcz needs nothing.
    assert catalog.dependents(["ncurses.tcz"], kernel=None).needed_by == {"ncurses.tcz": ()}


def test_mirror_without_tags_is_searched_by_names_with_a_note() -> None:
    catalog = catalog_of(make_repository(NEEDS))
    assert names(catalog.search(["vim"])) == ["vim", "vim-dev", "gvim"]
    (note,) = catalog.notes
    assert note == (
        f"the mirror {FIRST} has no index of tags (tags.db.gz): only the names of its extensions "
        "were searched"
    )


def test_list_of_names_is_used_where_the_other_indexes_are_missing() -> None:
    files = {f"{TCZ}/info.lst.gz": gzip(b"vim.tcz\n")}
    catalog = catalog_of(files, texts=False, needs=False)
    assert list(catalog.extensions) == ["vim.tcz"]
    assert catalog.notes == ()


def test_mirror_without_any_index_gives_a_note() -> None:
    catalog = catalog_of({}, texts=False)
    (note,) = catalog.notes
    assert note.startswith(f"the mirror {FIRST} has no index: which extensions it has is not known")
    assert not catalog.has_dependencies


def test_damaged_indexes_are_noted_and_the_others_used() -> None:
    files = repository() | {
        f"{TCZ}/md5.db.gz": gzip(b"damaged"),
        f"{TCZ}/tags.db.gz": b"\x1f\x8b damaged",
    }
    catalog = catalog_of(files)
    assert list(catalog.extensions) == sorted(NEEDS)
    first, second, *_lack = catalog.notes
    assert first.startswith(f"a damaged index was not used: {FIRST}/md5.db.gz, line 1: expected 32")
    assert second.startswith(f"a damaged index was not used: {FIRST}/tags.db.gz")


def test_mirror_that_does_not_answer_is_skipped_with_a_note() -> None:
    downloads = FakeDownloads(repository(), base="http://second.example")
    downloads.failures["first.example"] = 3
    mirror = ExtensionMirror([FIRST, SECOND], downloads)
    catalog = Catalog(mirror, downloads, texts=True, needs=True)
    assert list(catalog.extensions) == sorted(NEEDS)
    (note,) = catalog.notes
    assert note.startswith(f"the mirror {FIRST} was skipped")
    downloads.failures |= {"first.example": 3, "second.example": 3}
    with pytest.raises(DownloadError):
        Catalog(ExtensionMirror([SECOND], downloads), downloads, texts=True, needs=True)


@pytest.mark.parametrize(
    ("pattern", "found", "containing"),
    [
        ("vim", {"vim.tcz": ("usr/bin/vim",)}, 0),
        ("bin/vim", {"vim.tcz": ("usr/bin/vim",)}, 0),
        ("/usr/bin/vim", {"vim.tcz": ("usr/bin/vim",)}, 0),
        ("in/vim", {}, 1),
        ("libncurses", {}, 1),
        ("libncurses.so*", {"ncurses.tcz": ("usr/lib/libncurses.so.5",)}, 0),
        ("lib/lib[mn]*.so.?", {"ncurses.tcz": ("usr/lib/libncurses.so.5",)}, 0),
        ("share/*", {}, 0),
        ("share/**", {"vim.tcz": ("usr/share/vim/a",)}, 0),
        ("**ncurs**", {"ncurses.tcz": ("usr/lib/libncurses.so.5",)}, 0),
        ("emacs", {}, 0),
    ],
)
def test_files_are_found_by_name_by_the_end_of_a_path_and_by_pattern(
    pattern: str, found: Mapping[str, tuple[str, ...]], containing: int
) -> None:
    result = catalog_of(repository()).find_files(pattern)
    assert result.found == found
    assert result.containing == containing


def test_uncompressed_index_of_files_is_read() -> None:
    files = make_repository(NEEDS) | {f"{TCZ}/provides.db": PROVIDES}
    assert list(catalog_of(files).find_files("vim").found) == ["vim.tcz"]


def test_files_of_an_extension_are_those_of_the_first_mirror_that_has_it() -> None:
    first = make_repository({"vim.tcz": []}) | {f"{TCZ}/provides.db": b"vim.tcz\nopt/vim\n"}
    found = catalog_of(first, repository()).find_files("vim").found
    assert found == {"vim.tcz": ("opt/vim",)}


def test_missing_index_of_files_is_an_error_if_no_mirror_has_one() -> None:
    with pytest.raises(NotFoundError) as caught:
        catalog_of(make_repository(NEEDS)).find_files("vim")
    assert caught.value.message == (
        f"no mirror has an index of files (provides.db.gz): looked in {FIRST}"
    )
    catalog = catalog_of(make_repository({"own.tcz": []}), repository())
    assert list(catalog.find_files("vim").found) == ["vim.tcz"]
    assert any("has no index of files (provides.db.gz)" in note for note in catalog.notes)


def test_dependents_are_found_directly_and_indirectly() -> None:
    catalog = catalog_of(repository())
    dependents = catalog.dependents(["ncurses.tcz", "gone.tcz"], kernel=None)
    assert dependents.roots == ("ncurses.tcz", "gone.tcz")
    assert dependents.needed_by == {
        "ncurses.tcz": ("vim.tcz",),
        "gone.tcz": ("vim.tcz",),
        "vim.tcz": ("gvim.tcz", "vim-dev.tcz"),
        "gvim.tcz": (),
        "vim-dev.tcz": (),
    }
    assert dependents.loops == ()


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [(None, ("gvim.tcz",)), ("3.0.21-tinycore", ("gvim.tcz",)), ("9-own", ())],
)
def test_kernel_in_dependencies_means_each_release_or_the_given_one(
    kernel: str | None, expected: tuple[str, ...]
) -> None:
    name = "wifi-3.0.21-tinycore.tcz"
    found = catalog_of(repository()).dependents([name], kernel=kernel)
    assert found.needed_by[name] == expected


def test_loop_of_dependents_ends() -> None:
    needs = {"a.tcz": ["b.tcz"], "b.tcz": ["c.tcz"], "c.tcz": ["a.tcz"], "d.tcz": ["d.tcz"]}
    catalog = catalog_of(make_repository(needs), texts=False)
    dependents = catalog.dependents(["a.tcz", "d.tcz"], kernel=None)
    assert dependents.needed_by["a.tcz"] == ("c.tcz",)
    assert dependents.loops == (("b.tcz", "a.tcz"), ("d.tcz", "d.tcz"))


def test_folder_on_this_host_is_searched_without_indexes(tmp_path: Path) -> None:
    for path, content in make_repository(NEEDS, indexes=False).items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    (tmp_path / TCZ / "svi.tcz.info").write_text("Description: a small vi\nTags: editor\n")
    with Downloads(Store(tmp_path / "store")) as downloads:
        mirror = ExtensionMirror([str(tmp_path / TCZ)], downloads)
        catalog = Catalog(mirror, downloads, texts=False, needs=True)
        assert list(catalog.extensions) == sorted(NEEDS)
        assert catalog.dependents(["vim.tcz"], kernel=None).needed_by["vim.tcz"] == (
            "gvim.tcz",
            "vim-dev.tcz",
        )
        assert catalog.find_files("bin/vim.tcz").found == {"vim.tcz": ("usr/local/bin/vim.tcz",)}
        described = Catalog(mirror, downloads, texts=True, needs=False)
        assert names(described.search(["small"])) == ["svi"]
        assert (catalog.notes, described.notes) == ((), ())
        assert mirror.suggest(["nucrses.tcz", "zzz.tcz"]) == {"nucrses.tcz": ("ncurses.tcz",)}


@pytest.mark.parametrize(
    ("wanted", "similar"),
    [
        ("nnao.tcz", ("nano.tcz",)),
        ("vmi", ("vim.tcz",)),
        ("xorg.tcz", ("Xorg-7.7.tcz",)),
        ("openssl.tcz", ("openssl-1.1.1.tcz", "openssl-dev.tcz", "opensslx.tcz")),
        ("XORG-7.7.tcz", ("Xorg-7.7.tcz",)),
        ("zzz.tcz", ()),
        ("nano.tcz", ()),
    ],
)
def test_misspelt_extension_gives_similar_names(wanted: str, similar: tuple[str, ...]) -> None:
    known = ["nano.tcz", "vim.tcz", "Xorg-7.7.tcz", "openssl-1.1.1.tcz", "opensp.tcz",
             "openssl-dev.tcz", "opensslx.tcz"]  # fmt: skip
    assert similar_names(wanted, known) == similar


def test_question_names_all_choices() -> None:
    assert did_you_mean([]) == ""
    assert did_you_mean(["a"]) == "did you mean a?"
    assert did_you_mean(["a", "b", "c"]) == "did you mean a, b or c?"


def test_suggestions_need_no_further_request() -> None:
    downloads = FakeDownloads(make_repository(NEEDS), base="http://first.example")
    mirror = ExtensionMirror([FIRST], downloads)
    mirror.describe(["vmi.tcz"])
    count = len(downloads.asked)
    assert mirror.suggest(["vmi.tcz"]) == {"vmi.tcz": ("vim.tcz", "svi.tcz")}
    assert mirror.suggest([]) == {}
    assert len(downloads.asked) == count
    # A plan that distrusts the indexes still suggests names from them.
    distrusting = ExtensionMirror([FIRST], downloads, use_indexes=False)
    assert distrusting.suggest(["vmi.tcz"])["vmi.tcz"][0] == "vim.tcz"
    downloads.failures["first.example"] = 3
    silent = ExtensionMirror([FIRST], downloads)
    assert silent.suggest(["vmi.tcz"]) == {}

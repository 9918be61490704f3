"""Find the extensions that have a file, in the index of a mirror."""

from __future__ import annotations

from fixtures.compress import gzip
from purekernel.repos.tinycore.providers import MAX_PROVIDERS, find_in_mirrors
from tests.fetch.fakes import FakeDownloads

TCZ = "4.x/x86/tcz"
FOLDER = f"http://mirror.example/{TCZ}"
INDEX = b"""a.tcz
usr/local/bin/a
usr/local/lib/libx.so.1

b.tcz
usr/local/lib/libx.so.1.2
usr/local/share/bin/a
usr/local/share/a

c.tcz
/usr/local/lib/libx.so.1
usr/local/share/libx.so.1
"""


def asked(downloads: FakeDownloads) -> list[str]:
    return [url.removeprefix("http://mirror.example/") for url in downloads.asked]


def test_extensions_with_the_name_or_the_end_of_a_path_are_found() -> None:
    downloads = FakeDownloads({f"{TCZ}/provides.db.gz": gzip(INDEX)})
    names = ["libx.so.1", "bin/a", "local/bin/a", "libz.so", "a.tcz", "libx.so.1"]
    assert find_in_mirrors([FOLDER], downloads, names) == {
        "libx.so.1": ("a.tcz", "c.tcz"),
        "bin/a": ("a.tcz", "b.tcz"),
        "local/bin/a": ("a.tcz",),
    }
    assert asked(downloads) == [f"{TCZ}/provides.db.gz"]


def test_plain_index_of_older_mirrors_is_read() -> None:
    downloads = FakeDownloads({f"{TCZ}/provides.db": INDEX})
    assert find_in_mirrors([FOLDER], downloads, ["libx.so.1.2"]) == {"libx.so.1.2": ("b.tcz",)}
    assert asked(downloads) == [f"{TCZ}/provides.db.gz", f"{TCZ}/provides.db"]


def test_mirror_without_index_or_with_a_damaged_one_is_skipped() -> None:
    files = {f"{TCZ}/provides.db.gz": gzip(INDEX)[:20], "b/provides.db": INDEX}
    downloads = FakeDownloads(files)
    folders = [FOLDER, "http://mirror.example/none", "http://mirror.example/b"]
    assert find_in_mirrors(folders, downloads, ["libx.so.1.2"]) == {"libx.so.1.2": ("b.tcz",)}
    assert find_in_mirrors(folders[:2], downloads, ["libx.so.1.2"]) == {}


def test_server_that_fails_gives_no_suggestion_and_no_error() -> None:
    downloads = FakeDownloads({f"{TCZ}/provides.db.gz": gzip(INDEX)})
    downloads.failures["mirror.example"] = 2
    assert find_in_mirrors([FOLDER], downloads, ["libx.so.1"]) == {}


def test_only_the_first_providers_are_returned() -> None:
    index = "\n\n".join(f"p{number}.tcz\nusr/bin/x" for number in range(9)).encode()
    downloads = FakeDownloads({f"{TCZ}/provides.db": index})
    found = find_in_mirrors([FOLDER], downloads, ["x"])
    assert found == {"x": tuple(f"p{number}.tcz" for number in range(MAX_PROVIDERS))}

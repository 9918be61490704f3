from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pysequoia import Cert, Tsk

from purekernel.errors import (
    ChecksumError,
    DownloadError,
    FormatError,
    InputError,
    MissingFileError,
    OfflineError,
    UsageError,
)
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.store import Store
from purekernel.fetch.urls import is_url
from purekernel.formats.debian import parse_deb
from purekernel.formats.debian.release import Keyring, parse_keyring, parse_release
from purekernel.input import Input
from purekernel.repos.debian import DebianArchive, PackageCandidate
from purekernel.repos.debian.archive import IndexPlace
from tests import debian
from tests.fetch.fetching import QUICK
from tests.fetch.server import Server
from tests.oracles import require, run
from tests.repos.debian.mirrors import INDEX, Mirror, package


@pytest.fixture
def downloads(store: Store) -> Iterator[Downloads]:
    with Downloads(store, policy=QUICK) as downloads:
        yield downloads


@pytest.fixture(scope="module")
def key() -> Tsk:
    return Tsk.generate(user_id="Archive <archive@example.org>")


def keyring(*keys: Tsk) -> Keyring:
    data = b"".join(bytes(key.extract_certificate()) for key in keys)
    return parse_keyring(Input(data, name="keyring.gpg"))


def shown(candidates: Any) -> list[str]:
    return [str(candidate.record) for candidate in candidates]


def load(downloads: Downloads, candidate: PackageCandidate) -> str:
    fetched = downloads.fetch(candidate.download)
    assert fetched is not None
    return str(parse_deb(Input(downloads.load(fetched), name="x")).record)


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_package_is_found_by_name_and_by_provided_name(
    server: Server, downloads: Downloads, ending: str, key: Tsk
) -> None:
    mirror = Mirror(server)
    path = mirror.add("lshw", "1:2.0-1", Depends="libc6 (>= 2.7)", Provides="hwlister (= 2)")
    mirror.add("other")
    url = mirror.publish(key=key).removesuffix(".gz") + ending
    archive = DebianArchive([url], downloads, keyring=keyring(key))
    (found,) = archive.named("lshw")
    assert str(found.record) == "lshw 1:2.0-1 (i386)"
    assert found.download.name == "lshw_2.0-1_i386.deb"
    assert found.download.urls == (f"{mirror.url}/{path}",)
    assert load(downloads, found) == "lshw 1:2.0-1 (i386)"
    assert shown(archive.providing("hwlister")) == ["lshw 1:2.0-1 (i386)"]
    assert archive.named("hwlister") == []
    assert archive.notes == ()


def test_indexes_are_fetched_at_the_first_lookup(
    server: Server, second: Server, downloads: Downloads
) -> None:
    first, other = Mirror(server), Mirror(second, "wheezy-updates")
    first.add("tool", "1.0")
    other.add("tool", "1.1")
    urls = [first.publish(), other.publish(release=False)]
    archive = DebianArchive(urls, downloads)
    assert server.asked == []
    assert shown(archive.named("tool")) == ["tool 1.0 (i386)", "tool 1.1 (i386)"]
    assert archive.notes == (
        (
            f"the signature of {first.url}/dists/wheezy/InRelease is not checked: give a keyring "
            "to check it"
        ),
        f"no InRelease or Release lists {urls[1]}: the index is used without a check",
    )


def test_mirrors_are_tried_before_the_archive_of_the_index(
    server: Server, second: Server, downloads: Downloads
) -> None:
    mirror = Mirror(server)
    path = mirror.add("tool")
    url = mirror.publish()
    elsewhere = f"{second.url}/debian"
    archive = DebianArchive([url], downloads, mirrors=[elsewhere])
    (found,) = archive.named("tool")
    assert found.download.urls == (f"{elsewhere}/{path}", f"{mirror.url}/{path}")
    assert load(downloads, found) == "tool 1.0-1 (i386)"
    assert second.statuses() == [404]


def test_package_with_other_digest_or_size_is_an_error(
    server: Server, downloads: Downloads
) -> None:
    mirror = Mirror(server)
    path = mirror.add("tool")
    url = mirror.publish()
    (found,) = DebianArchive([url], downloads).named("tool")
    size = found.download.size_bytes
    assert size is not None
    server.put(f"/debian/{path}", bytes(size))
    with pytest.raises(ChecksumError, match=r"tool_1\.0-1_i386\.deb failed verification"):
        downloads.fetch(found.download)
    server.put(f"/debian/{path}", bytes(size + 1))
    with pytest.raises(ChecksumError, match=f"size must be {size} bytes, got {size + 1}"):
        downloads.fetch(found.download)


def test_index_with_other_digest_than_in_inrelease_is_an_error(
    server: Server, downloads: Downloads
) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish()
    server.put(f"/debian/dists/wheezy/{INDEX}.gz", b"\x1f\x8b another")
    with pytest.raises(ChecksumError, match=r"Packages\.gz failed verification"):
        DebianArchive([url], downloads).named("tool")


def sha512(content: bytes) -> str:
    return hashlib.sha512(content).hexdigest()


def publish_by_sha512(server: Server, mirror: Mirror) -> str:
    """Serve the index and ``InRelease`` with SHA-512 and no other digest; return its URL."""
    blocks = mirror.index.decode().strip().split("\n\n")
    paths = [re.search(r"^Filename: (.*)$", block, re.MULTILINE) for block in blocks]
    index = "\n\n".join(
        re.sub(
            r"(?m)^SHA256: .*$",
            f"SHA512: {sha512(mirror_file(server, '/debian/' + path[1])).upper()}",
            block,
        )
        for block, path in zip(blocks, paths, strict=True)
        if path is not None
    ).encode()
    server.put(f"/debian/dists/wheezy/{INDEX}", index)
    text = f"Suite: x\nSHA512:\n {sha512(index)} {len(index)} {INDEX}\n"
    server.put("/debian/dists/wheezy/InRelease", text.encode())
    return f"{mirror.url}/dists/wheezy/{INDEX}"


def test_index_and_release_with_sha512_only_are_used(server: Server, store: Store) -> None:
    mirror = Mirror(server)
    path = mirror.add("tool")
    url = publish_by_sha512(server, mirror)
    with Downloads(store, policy=QUICK) as downloads:
        (found,) = DebianArchive([url], downloads).named("tool")
        assert (found.download.sha256, len(found.download.sha512 or "")) == (None, 128)
        assert load(downloads, found) == "tool 1.0-1 (i386)"
    before = list(server.asked)
    with Downloads(store, policy=QUICK) as downloads:
        assert load(downloads, found) == "tool 1.0-1 (i386)"
    assert server.asked == before  # the stored file has the digest
    server.put(f"/debian/{path}", package("evil"))
    with Downloads(Store(store.folder / "other"), policy=QUICK) as downloads:
        (found,) = DebianArchive([url], downloads).named("tool")
        with pytest.raises(ChecksumError, match=r"tool_1\.0-1_i386\.deb.*(size|SHA-512) must be"):
            downloads.fetch(found.download)


def test_index_with_other_sha512_than_in_inrelease_is_an_error(
    server: Server, downloads: Downloads
) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    url = publish_by_sha512(server, mirror)
    index = mirror_file(server, f"/debian/dists/wheezy/{INDEX}")
    server.put(f"/debian/dists/wheezy/{INDEX}", index.replace(b"1.0-1", b"1.0-2"))
    with pytest.raises(ChecksumError, match="SHA-512 must be"):
        DebianArchive([url], downloads).named("tool")


def test_repeated_field_is_noted(server: Server, downloads: Downloads) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    mirror.index = mirror.index.replace(b"Version: 1.0-1", b"Version: 0\nVersion: 1.0-1")
    url = mirror.publish()
    archive = DebianArchive([url], downloads)
    assert shown(archive.named("tool")) == ["tool 1.0-1 (i386)"]
    assert archive.notes[-1] == (
        f"{url}, from byte 0, lines 1 to 10: the field Version is repeated: the last one is used"
    )


def test_replaced_index_is_fetched_by_hash(server: Server, downloads: Downloads) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish()
    digest = hashlib.sha256(mirror.index).hexdigest()
    server.put(f"/debian/dists/wheezy/main/binary-i386/by-hash/SHA256/{digest}", mirror.index)
    server.put(f"/debian/dists/wheezy/{INDEX}", b"Package: newer\n")
    archive = DebianArchive([url.removesuffix(".gz")], downloads)
    assert shown(archive.named("tool")) == ["tool 1.0-1 (i386)"]


UNTIL = "Sat, 07 Dec 2013 08:41:03 UTC"
UNTIL_SECONDS = 1386405663


@pytest.mark.parametrize("signed", [False, True])
def test_expired_release_is_refused_or_noted(
    signed: bool, server: Server, downloads: Downloads, key: Tsk
) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish(valid_until=UNTIL, key=key if signed else None)
    ring = keyring(key) if signed else None

    def archive(now: float | None, *, allow: bool = False) -> DebianArchive:
        return DebianArchive([url], downloads, keyring=ring, now=now, allow_expired=allow)

    for current in (None, 0.0, UNTIL_SECONDS):
        assert shown(archive(current).named("tool")) == ["tool 1.0-1 (i386)"]
    words = f"{mirror.url}/dists/wheezy/InRelease expired on 2013-12-07"
    with pytest.raises(DownloadError) as caught:
        archive(UNTIL_SECONDS + 0.5).named("tool")
    assert str(caught.value) == f"{words}: the mirror may hide newer packages"
    assert caught.value.hint == (
        "use another mirror; for an archive that is no longer updated, use --dpkg-allow-expired, "
        "or allow-expired under [debian]; then pin the packages with 'purekernel lock'"
    )
    allowed = archive(UNTIL_SECONDS + 1, allow=True)
    assert shown(allowed.named("tool")) == ["tool 1.0-1 (i386)"]
    assert allowed.notes[-1] == f"{words}: its packages may be out of date"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (UNTIL, UNTIL_SECONDS),
        ("7 Dec 2013 08:41:03 +0000", UNTIL_SECONDS),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("", None),
    ],
)
def test_valid_until_is_parsed(text: str, expected: int | None) -> None:
    data = f"Valid-Until: {text}\nSHA256:\n {'0' * 64} 1 a\n".encode()
    assert parse_release(Input(data, name="Release")).valid_until == expected


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "Sat, 31 Feb 2013 08:41:03 UTC",
        "Sat, 07 Dez 2013 08:41:03 UTC",
        "Sat, 07 Dec 2013 08:41:03 CET",
        "Sat, 07 Dec 0000 08:41:03 UTC",
        "9" * 5000,
        "Sat, \udcc8\udcc5",
    ],
)
def test_invalid_date_in_valid_until_is_refused(text: str) -> None:
    data = f"Valid-Until: {text}\nSHA256:\n {'0' * 64} 1 a\n".encode("utf-8", "surrogateescape")
    with pytest.raises(FormatError, match="expected a date in UTC in 'Valid-Until', got") as caught:
        parse_release(Input(data, name="Release"))
    assert len(str(caught.value)) < 200


def test_keyring_must_contain_the_signing_key(
    server: Server, downloads: Downloads, key: Tsk
) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish(key=key)
    stranger = Tsk.generate(user_id="Stranger <stranger@example.org>")
    assert DebianArchive([url], downloads, keyring=keyring(stranger, key)).named("tool")
    with pytest.raises(ChecksumError, match=r"has no valid signature by a key in keyring\.gpg"):
        DebianArchive([url], downloads, keyring=keyring(stranger)).named("tool")


def test_text_outside_the_signature_is_ignored_or_an_error(
    server: Server, downloads: Downloads, key: Tsk
) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish(key=key)
    path = "/debian/dists/wheezy/InRelease"
    signed = mirror_file(server, path)
    for spoilt in (
        signed.replace(b"Codename: wheezy", b"Codename: sleazy"),
        signed.replace(b"Origin: Debian", b"Origin: Debian\nExtra: field"),
        signed.partition(b"-----BEGIN PGP SIGNATURE-----")[0],
        b"Origin: Debian\n",
        b"",
    ):
        server.put(path, spoilt)
        with pytest.raises(ChecksumError, match="no valid signature"):
            DebianArchive([url], downloads, keyring=keyring(key)).named("tool")
    # The signature does not cover text before or after the signed part, so that text is ignored.
    server.put(path, signed + b"\nSHA256:\n " + b"0" * 64 + b" 1 " + INDEX.encode() + b".gz\n")
    try:
        assert DebianArchive([url], downloads, keyring=keyring(key)).named("tool")
    except ChecksumError as error:
        assert "no valid signature" in str(error)  # noqa: PT017  # both results are safe


def mirror_file(server: Server, path: str) -> bytes:
    return server._state.files[path].content


def test_keyring_requires_inrelease_that_lists_the_index(
    server: Server, downloads: Downloads, key: Tsk
) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish(release=False)
    with pytest.raises(
        ChecksumError, match=r"no InRelease or Release lists .*: its signature cannot be checked"
    ):
        DebianArchive([url], downloads, keyring=keyring(key)).named("tool")
    mirror.release([("another/Packages", b"")], key=key)
    with pytest.raises(ChecksumError, match="no InRelease or Release lists"):
        DebianArchive([url], downloads, keyring=keyring(key)).named("tool")


@pytest.mark.parametrize("count", [1, 2])
def test_release_with_detached_signatures_is_verified(
    count: int, server: Server, downloads: Downloads, key: Tsk
) -> None:
    stranger = Tsk.generate(user_id="Stranger <stranger@example.org>")
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish(detached=[stranger, key][-count:])
    archive = DebianArchive([url], downloads, keyring=keyring(key))
    assert archive.named("tool")
    assert archive.notes == ()
    other = Tsk.generate(user_id="Other <other@example.org>")
    with pytest.raises(
        ChecksumError, match=r"/Release has no valid signature by a key in keyring\.gpg"
    ):
        DebianArchive([url], downloads, keyring=keyring(other)).named("tool")


def test_changed_or_unsigned_release_is_refused_with_a_keyring(
    server: Server, downloads: Downloads, key: Tsk
) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish(detached=[key])
    folder = "/debian/dists/wheezy"
    text = mirror_file(server, f"{folder}/Release")
    signature = mirror_file(server, f"{folder}/Release.gpg")
    server.put(f"{folder}/Release", text.replace(b"oldstable", b"newstable"))
    with pytest.raises(ChecksumError, match="has no valid signature"):
        DebianArchive([url], downloads, keyring=keyring(key)).named("tool")
    server.put(f"{folder}/Release", text)
    for damaged in (b"", b"damaged", signature[:-200]):
        server.put(f"{folder}/Release.gpg", damaged)
        with pytest.raises(ChecksumError, match="has no valid signature"):
            DebianArchive([url], downloads, keyring=keyring(key)).named("tool")
    server.remove(f"{folder}/Release.gpg")
    with pytest.raises(ChecksumError, match=r"neither InRelease nor Release\.gpg is beside it"):
        DebianArchive([url], downloads, keyring=keyring(key)).named("tool")
    # Without a keyring, its digests are used, with a note.
    archive = DebianArchive([url], downloads)
    assert archive.named("tool")
    (note,) = archive.notes
    assert note.startswith(f"the signature of {mirror.url}/dists/wheezy/Release is not checked")
    server.put(f"{folder}/Release", re.sub(rb"[0-9a-f]{64}", b"0" * 64, text))
    with pytest.raises(ChecksumError, match=r"Packages\.gz"):
        DebianArchive([url], downloads).named("tool")


def test_release_of_a_component_lists_no_files_and_is_ignored(
    server: Server, downloads: Downloads
) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish(release=False)
    folder = "/debian/dists/wheezy/main/binary-i386"
    server.put(f"{folder}/Release", b"Archive: stable\nComponent: main\n")
    archive = DebianArchive([url], downloads)
    assert archive.named("tool")
    assert archive.notes == (
        f"no InRelease or Release lists {url}: the index is used without a check",
    )


def test_keyring_without_pysequoia_is_an_error(monkeypatch: pytest.MonkeyPatch, key: Tsk) -> None:
    monkeypatch.setitem(sys.modules, "pysequoia", None)
    with pytest.raises(UsageError, match="pysequoia is not installed") as caught:
        parse_keyring(Input(b"", name="keyring.gpg"))
    assert "purekernel[signatures]" in caught.value.hint


@pytest.mark.parametrize("data", [b"", b"no keys\n", b"\x99\x01\x0d\x04" + bytes(20)])
def test_invalid_keyring_is_an_error(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"keyring\.gpg: expected a keyring of OpenPGP keys, got"):
        parse_keyring(Input(data, name="keyring.gpg"))


def test_armoured_keyring_is_read(key: Tsk) -> None:
    text = str(key.extract_certificate())
    assert text.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert len(parse_keyring(Input(text.encode(), name="k"))._keys) == 1
    assert isinstance(keyring(key)._keys[0], Cert)


def test_missing_index_is_an_error(server: Server, downloads: Downloads) -> None:
    with pytest.raises(MissingFileError, match=r"Packages\.gz not found"):
        DebianArchive([f"{server.url}/debian/dists/x/{INDEX}.gz"], downloads).named("tool")


def test_damaged_index_is_an_error(server: Server, downloads: Downloads) -> None:
    url = server.put("/flat/Packages", b"no index at all\n")
    with pytest.raises(FormatError, match="expected an index with packages"):
        DebianArchive([url], downloads).named("tool")
    url = server.put("/flat/Packages.gz", b"\x1f\x8b\x08damaged")
    with pytest.raises(FormatError, match=r"Packages\.gz"):
        DebianArchive([url], downloads).named("tool")
    url = server.put(
        "/flat/Packages2", b"\nPackage: a\n\nPackage: tool\nVersion: 1\n\nPackage: b\n"
    )
    with pytest.raises(FormatError, match=r"Packages2, from byte 13.*: expected a field 'Architec"):
        DebianArchive([url], downloads).named("tool")


def test_empty_index_has_no_packages(server: Server, downloads: Downloads) -> None:
    url = server.put("/flat/Packages", b"\n")
    assert DebianArchive([url], downloads).named("tool") == []


def test_flat_archive_in_a_folder_is_read(tmp_path: Path, downloads: Downloads) -> None:
    from tests.debs import control, deb, listed  # noqa: PLC0415  # only this test needs it

    package = deb()
    (tmp_path / "tool.deb").write_bytes(package)
    (tmp_path / "Packages").write_bytes(listed(control(), package, "./tool.deb"))
    archive = DebianArchive([str(tmp_path / "Packages")], downloads)
    (found,) = archive.named("tool")
    assert load(downloads, found) == "tool 1.0-1 (i386)"


def test_offline_uses_only_the_store(server: Server, store: Store, key: Tsk) -> None:
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish(key=key)
    with Downloads(store, policy=QUICK) as downloads:
        (found,) = DebianArchive([url], downloads, keyring=keyring(key)).named("tool")
        downloads.fetch(found.download)
    asked = len(server.asked)
    with Downloads(store, policy=QUICK, offline=True) as downloads:
        (again,) = DebianArchive([url], downloads, keyring=keyring(key)).named("tool")
        assert again == found
        assert load(downloads, again) == "tool 1.0-1 (i386)"
        with pytest.raises(OfflineError):
            DebianArchive([f"{url}.other"], downloads).named("tool")
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("url", "base", "releases"),
    [
        (
            "https://ftp.debian.org/debian/dists/sid/main/binary-i386/Packages.xz",
            "https://ftp.debian.org/debian",
            [
                (
                    "https://ftp.debian.org/debian/dists/sid/InRelease",
                    "main/binary-i386/Packages.xz",
                ),
                (
                    "https://ftp.debian.org/debian/dists/sid/main/InRelease",
                    "binary-i386/Packages.xz",
                ),
                (
                    "https://ftp.debian.org/debian/dists/sid/main/binary-i386/InRelease",
                    "Packages.xz",
                ),
            ],
        ),
        (
            "https://example.org/flat/Packages?token=a/b",
            "https://example.org/flat?token=a/b",
            [("https://example.org/flat/InRelease?token=a/b", "Packages")],
        ),
        ("mirror/Packages", "mirror", [("mirror/InRelease", "Packages")]),
        ("Packages", ".", [("./InRelease", "Packages")]),
        (
            "/srv/debian/dists/x/Packages",
            "/srv/debian",
            [("/srv/debian/dists/x/InRelease", "Packages")],
        ),
    ],
)
def test_index_url_is_split_into_base_and_releases(
    url: str, base: str, releases: list[tuple[str, str]]
) -> None:
    place = IndexPlace.of(url)
    assert place.base == base
    if is_url(url):
        assert list(place.releases) == releases
    else:  # paths on Windows have backslashes
        found = [(Path(release), listed) for release, listed in place.releases]
        assert found == [(Path(release), listed) for release, listed in releases]


def test_index_url_with_parent_folder_is_an_error(server: Server, downloads: Downloads) -> None:
    with pytest.raises(InputError, match="not a valid file name below"):
        DebianArchive([f"{server.url}/debian/dists/../x/Packages"], downloads).named("tool")


@pytest.mark.oracle
def test_real_debian_index_is_verified_with_its_signature(downloads: Downloads) -> None:
    root = debian.archive()
    (index,) = root.glob("dists/*/main/binary-i386/Packages")
    path = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    ring = parse_keyring(Input(path.read_bytes(), name=str(path)))
    archive = DebianArchive([str(index)], downloads, keyring=ring)
    for name in ("lshw", "hello", "man-db", "tzdata"):
        (found,) = archive.named(name)
        assert found.download.urls == (str(debian.package(name)),)
        record = load(downloads, found)
        assert record == str(found.record)
        fields = run(require("dpkg-deb"), "-f", debian.package(name), "Version").decode()
        assert fields.strip() == str(found.record.version)
    assert {"exim4-daemon-light", "postfix"} <= {
        candidate.record.name for candidate in archive.providing("mail-transport-agent")
    }
    stranger = keyring(Tsk.generate(user_id="Stranger"))
    with pytest.raises(ChecksumError, match="no valid signature"):
        DebianArchive([str(index)], downloads, keyring=stranger).named("lshw")


@pytest.mark.oracle
def test_gpg_signature_is_accepted(tmp_path: Path, server: Server, downloads: Downloads) -> None:
    gpg = require("gpg")
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    base = (gpg, "--homedir", str(home), "--batch", "--quiet", "--passphrase", "")
    run(*base, "--quick-generate-key", "Archive <a@example.org>", "rsa2048", "sign", "never")
    mirror = Mirror(server)
    mirror.add("tool")
    url = mirror.publish()
    path = "/debian/dists/wheezy/InRelease"
    signed = run(*base, "--clearsign", "--digest-algo", "SHA512", stdin=mirror_file(server, path))
    server.put(path, signed)
    ring = parse_keyring(Input(run(*base, "--export"), name="gpg's"))
    assert DebianArchive([url], downloads, keyring=ring).named("tool")
    server.put(path, signed.replace(b"oldstable", b"newstable"))
    with pytest.raises(ChecksumError, match="no valid signature"):
        DebianArchive([url], downloads, keyring=ring).named("tool")

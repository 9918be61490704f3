from __future__ import annotations

import gzip
import lzma

import pytest

from purekernel.errors import FormatError
from purekernel.formats.debian.index import PackagesIndex
from purekernel.formats.debian.release import (
    ReleasedFile,
    is_signed,
    parse_release,
    unverified_text,
)
from purekernel.input import Input
from tests.debs import control, listed

FIRST = listed(control("first", "1"), b"1", "pool/first.deb")
SECOND = listed(
    control("second", "2", fields={"Provides": "one (= 3),\n two,\n\tthree"}), b"22", "second.deb"
)
LAST = listed(control("last", "3", "all"), b"333", "pool/last.deb").rstrip()
DIGEST = "0" * 64


@pytest.mark.parametrize("between", [b"\n", b"\n\n\n", b" \t\n", b"\r\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_stanzas_are_found_between_any_blank_lines(between: bytes, pack: object) -> None:
    data = between.join([FIRST, SECOND, LAST])
    index = PackagesIndex(Input(pack(data), name="Packages"))  # type: ignore[operator]
    assert len(index) == 3
    assert list(index.names()) == ["first", "second", "last"]
    found = {name: index.named(name) for name in ("first", "second", "last", "none")}
    assert [str(one.record) for one in found["first"]] == ["first 1 (i386)"]
    assert [str(one.record) for one in found["second"]] == ["second 2 (i386)"]
    assert [str(one.record) for one in found["last"]] == ["last 3 (all)"]
    assert found["none"] == []
    assert found["last"][0].file.path == "pool/last.deb"
    assert found["second"][0].file.size_bytes == 2


def test_provided_names_in_folded_fields_are_found() -> None:
    index = PackagesIndex(Input(b"\n".join([FIRST, SECOND]), name="Packages"))
    for name in ("one", "two", "three"):
        assert [one.record.name for one in index.providing(name)] == ["second"]
    assert index.providing("second") == []
    assert index.providing("four") == []


def test_several_stanzas_of_a_name_with_any_case_of_fields_are_found() -> None:
    other = FIRST.replace(b"Version: 1", b"VERSION: 2").replace(b"Package:", b"PACKAGE:")
    index = PackagesIndex(Input(FIRST + b"\n" + other, name="Packages"))
    assert [str(one.record.version) for one in index.named("first")] == ["1", "2"]


def test_damaged_stanza_matters_only_if_requested() -> None:
    index = PackagesIndex(Input(b"Package: broken\nno field\n\n" + FIRST, name="Packages"))
    assert index.named("first")
    with pytest.raises(FormatError, match=r"Packages, from byte 0, line 2: expected a field"):
        index.named("broken")


RELEASE = f"Suite: oldstable\nCodename: wheezy\nMD5Sum:\n x\nSHA256:\n {DIGEST} 12 main/Packages\n"


def test_release_file_is_read() -> None:
    release = parse_release(Input(RELEASE.encode(), name="Release"))
    assert (release.suite, release.codename) == ("oldstable", "wheezy")
    assert release.files == {"main/Packages": ReleasedFile(sha256=DIGEST, size_bytes=12)}


def test_digests_of_both_kinds_are_read_from_a_release_file() -> None:
    text = f"SHA512:\n {'AB' * 64} 12 a\n {'1' * 128} 3 b\nSHA256:\n {DIGEST} 12 a\nLabel: \xe9"
    assert parse_release(Input(text.encode("latin-1"), name="Release")).files == {
        "a": ReleasedFile(sha512="ab" * 64, sha256=DIGEST, size_bytes=12),
        "b": ReleasedFile(sha512="1" * 128, size_bytes=3),
    }


def test_package_with_a_repeated_name_is_found_by_the_last() -> None:
    index = PackagesIndex(Input(FIRST.rstrip() + b"\nPackage: other\n", name="Packages"))
    assert index.named("first") == []
    assert [str(one.record) for one in index.named("other")] == ["other 1 (i386)"]


def test_package_that_provides_a_name_twice_is_found_once() -> None:
    data = SECOND.rstrip() + b"\nProvides: one, one\n"
    index = PackagesIndex(Input(data, name="Packages"))
    assert [one.record.name for one in index.providing("one")] == ["second"]
    assert index.providing("two") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Suite: x\n", "Release, line 1: expected a field 'SHA256' or 'SHA512', got"),
        (f"SHA256:\n {DIGEST} main/Packages\n", "Release: SHA256: expected a digest, a size and"),
        (f"SHA256:\n {DIGEST[1:]} 1 x\n", "Release: SHA256: expected a digest, a size and a path"),
        ("", "Release: expected a stanza of fields, got none"),
    ],
)
def test_malformed_release_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_release(Input(text.encode(), name="Release"))
    assert str(caught.value).startswith(message)


def test_text_of_a_signed_file_is_unescaped() -> None:
    signed = (
        b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA512\r\n\r\nA: b\r\n- -C: d\r\n"
        b"-----BEGIN PGP SIGNATURE-----\r\n\r\nabc\r\n-----END PGP SIGNATURE-----\r\n"
    )
    assert is_signed(signed)
    assert unverified_text(Input(signed, name="InRelease")) == b"A: b\n-C: d\n"
    for cut in (signed[:60], signed.partition(b"-----BEGIN PGP SIGNATURE")[0], b"", b"A: b\n"):
        with pytest.raises(FormatError, match="InRelease: expected text between"):
            unverified_text(Input(cut, name="InRelease"))

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError
from purekernel.formats.debian import PackageRecord
from purekernel.formats.debian.control import IndexedFile, iter_stanzas, parse_stanza
from purekernel.formats.debian.names import DebianVersion, PackageChoice, parse_choice
from purekernel.formats.debian.relation import (
    Relation,
    parse_relation,
    parse_relations,
    show_relations,
)
from purekernel.input import Input
from tests.debs import control


def test_stanzas_are_read_with_their_lines() -> None:
    text = b"# a comment\nPackage: a\nDescription: one\n two\n .\n\n\nPACKAGE:b\r\n"
    first, second = iter_stanzas(Input(text, name="Packages"))
    assert first.fields == {"package": "a", "description": "one\ntwo\n."}
    assert first.source == "Packages, lines 2 to 5"
    assert second.get("package") == "b"
    assert second.get("Nothing", "default") == "default"
    assert second.source == "Packages, line 8"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b" a\n", "c, line 1: expected a field, got ' a'"),
        (b"A: b\nno field\n", "c, line 2: expected a field: 'Name: value', got 'no field'"),
        (b"-A: b\n", "c, line 1: expected a field: 'Name: value', got '-A: b'"),
        (b"\n\n", "c: expected a stanza of fields, got none"),
        (b"A: b\n\nA: b\n", "c: expected one stanza of fields, got several"),
        (
            b"".join(b"A%d: b\n" % number for number in range(1001)),
            "c, line 1001: expected at most 1000 fields, got more",
        ),
    ],
)
def test_malformed_stanza_raises_format_error(text: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_stanza(Input(text, name="c"))
    assert str(caught.value) == message


def test_relations_are_parsed_and_shown() -> None:
    text = "libc6 (>= 2.7), perl:any | python3 (<<3.0~), awk [linux-any !i386] ,"
    with pytest.raises(FormatError, match="linux-any !i386"):
        parse_relations(text, source="Depends")
    groups = parse_relations(text.replace("!i386", "i386"), source="Depends")
    assert groups[0] == (Relation(name="libc6", operator=">=", version=DebianVersion("2.7")),)
    assert groups[1] == (
        Relation(name="perl", qualifier="any"),
        Relation(name="python3", operator="<<", version=DebianVersion("3.0~")),
    )
    assert groups[2][0].architectures == ("linux-any", "i386")
    shown = "libc6 (>= 2.7), perl:any | python3 (<< 3.0~), awk [linux-any i386]"
    assert show_relations(groups) == shown
    assert parse_relations(shown, source="Depends") == groups


@pytest.mark.parametrize(
    ("operator", "admitted"),
    [
        ("<<", "1"), ("<=", "1 2"), ("=", "2"), (">=", "2 3"), (">>", "3"), ("<", "1 2"),
        (">", "2 3"),
    ],
)  # fmt: skip
def test_operator_admits_versions(operator: str, admitted: str) -> None:
    relation = parse_relation(f"a ({operator} 2)", source="Depends")
    found = [text for text in "123" if relation.admits(DebianVersion(text))]
    assert " ".join(found) == admitted


def test_architecture_lists_restrict_relations() -> None:
    assert parse_relation("a [i386 amd64]", source="x").counts_on("amd64")
    assert not parse_relation("a [i386]", source="x").counts_on("amd64")
    assert parse_relation("a [!i386]", source="x").counts_on("amd64")
    assert not parse_relation("a [!i386 !amd64]", source="x").counts_on("amd64")
    assert parse_relation("a [any-i386]", source="x").counts_on("i386")
    assert parse_relation("a", source="x").counts_on("i386")


@pytest.mark.parametrize("text", ["a b", "a (2)", "a (>= )", "a (>= 1 2)", "-a", "a <!x>", "a ||"])
def test_malformed_relation_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"x: expected a package, with or without a version"):
        parse_relations(text, source="x")


@pytest.mark.slow
def test_too_many_relations_are_refused() -> None:
    with pytest.raises(FormatError, match="at most 10000 packages"):
        parse_relations("a," * 10_001, source="x")


@given(st.text(max_size=60))
def test_any_text_is_refused_or_shown_equivalently(text: str) -> None:
    try:
        groups = parse_relations(text, source="x")
    except FormatError:
        return
    assert parse_relations(show_relations(groups), source="x") == groups


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("lshw.deb", PackageChoice(name="lshw")),
        ("lshw:i386.deb", PackageChoice(name="lshw", architecture="i386")),
        ("lshw=1:02.19-2+b1.deb", PackageChoice(name="lshw", version="1:02.19-2+b1")),
        (
            "libstdc++6:amd64=1.deb",
            PackageChoice(name="libstdc++6", architecture="amd64", version="1"),
        ),
        (
            "lshw_02.19-2_i386.deb",
            PackageChoice(name="lshw", architecture="i386", version="02.19-2"),
        ),
        ("lshw_02.19-2.deb", PackageChoice(name="lshw", version="02.19-2")),
    ],
)
def test_each_form_of_a_choice_is_parsed(text: str, choice: PackageChoice) -> None:
    assert parse_choice(text, source="list") == choice


@pytest.mark.parametrize(
    "text", [".deb", "_1.deb", "lshw=.deb", "lshw:.deb", "a b.deb", "lshw=1_2.deb", "a=1-.deb"]
)
def test_malformed_choice_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"list: expected a package: lshw\.deb"):
        parse_choice(text, source="list")


def test_chosen_version_matches_with_or_without_epoch() -> None:
    choice = PackageChoice(name="a", version="2.0-1")
    assert choice.admits(DebianVersion("1:2.0-1"))
    assert choice.admits(DebianVersion("2.0-1"))
    assert not choice.admits(DebianVersion("2.0-2"))
    assert not PackageChoice(name="a", version="2:2.0-1").admits(DebianVersion("1:2.0-1"))


def test_record_is_read_from_a_stanza() -> None:
    fields = {
        "Depends": "libc6 (>= 2.7), b | c",
        "Pre-Depends": "dpkg",
        "Provides": "utility, editor (= 2)",
    }
    text = control("lshw", "1:2.0-1", "i386", fields)
    record = PackageRecord.of(parse_stanza(Input(text, name="c")))
    assert show_relations(record.depends) == "dpkg, libc6 (>= 2.7), b | c"
    assert record.provides == (("utility", None), ("editor", DebianVersion("2")))
    assert record.file_name == "lshw_2.0-1_i386.deb"
    assert record.summary == "a tool"
    assert str(record) == "lshw 1:2.0-1 (i386)"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("Package", "../x", "expected the name of a package in 'Package', got '../x'"),
        ("Package", "", "expected a field 'Package', got none"),
        ("Version", "a b", "expected a version in 'Version', got 'a b'"),
        ("Architecture", "I 386", "expected an architecture in 'Architecture', got 'I 386'"),
        ("Depends", "a b c", "expected a package, with or without a version"),
    ],
)
def test_record_with_invalid_field_is_refused(key: str, value: str, message: str) -> None:
    stanza = parse_stanza(Input(control(fields={key: value}), name="c"))
    with pytest.raises(FormatError) as caught:
        PackageRecord.of(stanza)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Size: 1\nSHA256: " + "0" * 64, "a field 'Filename'"),
        ("Filename: a\nSHA256: " + "0" * 64, "a field 'Size'"),
        ("Filename: a\nSize: 1", "a digest in 'SHA512', 'SHA256' or 'MD5sum'"),
        ("Filename: a\nSize: 1\nSHA256: 12", "a digest in 'SHA256', got '12'"),
        ("Filename: a\nSize: -1\nSHA256: " + "0" * 64, "a number of bytes in 'Size'"),
        ("Filename: a/../../b\nSize: 1\nSHA256: " + "0" * 64, "a path below the archive"),
        ("Filename: /.//\nSize: 1\nSHA256: " + "0" * 64, "a path below the archive"),
        ("Filename: a\nSize: 1\nSHA512: " + "0" * 64, "a digest in 'SHA512', got '0000"),
        ("Filename: a\\b\nSize: 1\nSHA256: " + "0" * 64, "a path below the archive"),
    ],
)
def test_invalid_file_in_an_index_is_refused(text: str, message: str) -> None:
    stanza = parse_stanza(Input(text.encode(), name="Packages"))
    with pytest.raises(FormatError) as caught:
        IndexedFile.of(stanza)
    assert message in str(caught.value)


def test_file_without_a_sufficient_digest_is_not_called_damaged() -> None:
    stanza = parse_stanza(Input(b"Filename: a\nSize: 1\nSHA1: " + b"0" * 40, name="Packages"))
    with pytest.raises(FormatError, match="a digest in 'SHA512', 'SHA256' or 'MD5sum'") as caught:
        IndexedFile.of(stanza)
    assert caught.value.hint == "make the index again with SHA256, such as with dpkg-scanpackages"


def test_file_is_read_from_an_index() -> None:
    stanza = parse_stanza(
        Input(f"Filename: ./a_1.deb\nSize: 12\nMD5sum: {'A' * 32}".encode(), name="Packages")
    )
    assert IndexedFile.of(stanza) == IndexedFile(
        path="a_1.deb", size_bytes=12, sha512=None, sha256=None, md5="a" * 32
    )


@pytest.mark.parametrize("path", ["pool//a.deb", "/pool/a.deb", "./pool/./a.deb", "//pool///a.deb"])
def test_slashes_and_dots_in_a_path_are_dropped(path: str) -> None:
    text = f"Filename: {path}\nSize: 1\nSHA512: {'0' * 128}"
    file = IndexedFile.of(parse_stanza(Input(text.encode(), name="Packages")))
    assert (file.path, file.sha512, file.sha256) == ("pool/a.deb", "0" * 128, None)


def test_last_of_repeated_fields_counts_and_is_noted_if_it_is_used() -> None:
    """As in apt."""
    text = b"Package: a\nVersion: 1\nDescription: x\nTag: t\nversion: 2\n y\nTag: t\nDescription: z"
    stanza = parse_stanza(Input(text, name="c"))
    assert stanza.fields == {
        "package": "a",
        "version": "2\ny",
        "description": "z",
        "tag": "t",
    }
    assert stanza.repeated == ("Version", "Description")
    assert stanza.notes == ("c, lines 1 to 8: the field Version is repeated: the last one is used",)


def test_text_that_is_not_utf_8_is_kept() -> None:
    text = b"Package: a\nVersion: 1\nArchitecture: all\nDescription: caf\xe9\nCaf\xe9: \xff\n"
    record = PackageRecord.of(parse_stanza(Input(text, name="c")))
    assert record.summary.encode("utf-8", "surrogateescape") == b"caf\xe9"
    with pytest.raises(FormatError, match=r"the name of a package in 'Package', got"):
        PackageRecord.of(parse_stanza(Input(b"Package: caf\xe9\n", name="c")))

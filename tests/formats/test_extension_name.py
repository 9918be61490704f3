from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError
from purekernel.formats.tinycore import MAX_CHARACTERS, parse_extension_name
from tests.shared import mirror


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("bash", "bash.tcz"),
        ("bash.tcz", "bash.tcz"),
        ("lshw.deb", "lshw.deb"),
        ("openssl-1.0.0", "openssl-1.0.0.tcz"),
        ("libstdc++-6.tcz", "libstdc++-6.tcz"),
        ("Xorg-7.7-bin.tcz", "Xorg-7.7-bin.tcz"),
        ("wireless-KERNEL.tcz", "wireless-KERNEL.tcz"),
        ("perl_xml_parser", "perl_xml_parser.tcz"),
        ("915resolution.tcz", "915resolution.tcz"),
        ("a" * MAX_CHARACTERS, "a" * MAX_CHARACTERS + ".tcz"),
    ],
)
def test_name_without_suffix_gets_tcz(text: str, name: str) -> None:
    assert parse_extension_name(text) == name


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "an empty name"),
        ("a b", "'a b'"),
        ("a/b.tcz", "'a/b.tcz'"),
        ("..", "'..'"),
        (".tcz", "'.tcz'"),
        ("-rf", "'-rf'"),
        ("bash.tcz\n", "'bash.tcz\\n'"),
        ("a\\b", "'a\\\\b'"),
        ("caf\xe9", "'caf\xe9'"),
        ("a\0", "'a\\x00'"),
        ("a:b", "'a:b'"),
        ("a" * 241, "'aaaaaaaaaaaaaaaaaaaa'… with 241 characters"),
    ],
)
def test_invalid_name_is_refused(text: str, got: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_extension_name(text, source="x.lst, line 3")
    assert str(caught.value) == (
        "x.lst, line 3: expected the name of an extension: letters, digits and _ . + ~ -, "
        f"got {got}"
    )
    assert caught.value.hint == "give one name, such as bash.tcz"


@given(st.text(max_size=300))
def test_accepted_name_is_a_valid_file_name(text: str) -> None:
    try:
        name = parse_extension_name(text)
    except FormatError:
        return
    assert name.endswith((".tcz", ".deb"))
    assert name.isascii()
    assert not set(name) & set("/\\:\0 \n")
    assert len(f"{name}.md5.txt") <= 255
    assert parse_extension_name(name) == name


def test_names_of_the_mirror_are_accepted() -> None:
    index = gzip.decompress((mirror() / "4.x" / "x86" / "tcz" / "md5.db.gz").read_bytes())
    names = [line.split()[1] for line in index.decode().splitlines()]
    assert len(names) == 29
    assert [parse_extension_name(name) for name in names] == names

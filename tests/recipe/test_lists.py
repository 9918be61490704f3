from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import CombinedError, PurekernelError, RecipeError
from purekernel.recipe.keys import Named
from purekernel.recipe.lists import (
    MAX_ERRORS,
    parse_extension_list,
    parse_gem_list,
    parse_path_list,
)

WORDS = "the name of an extension: letters, digits and _ . + ~ -"


def names_and_places(names: tuple[Named, ...]) -> list[tuple[str, str]]:
    return [(entry.name, entry.place) for entry in names]


def test_comments_blanks_bom_and_crlf_are_ignored() -> None:
    data = (
        b"\xef\xbb\xbf# what is loaded\r\n"
        b"\r\n"
        b"  bash.tcz\t \r\n"
        b"lshw.deb # as a package\r\n"
        b"openssl-1.0.0\n"
        b"\t#indented\n"
        b"bash\n"
        b"scsi-KERNEL.tcz"
    )
    assert names_and_places(parse_extension_list(data, source="b.lst")) == [
        ("bash.tcz", "b.lst, line 3"),
        ("lshw.deb", "b.lst, line 4"),
        ("openssl-1.0.0.tcz", "b.lst, line 5"),
        ("scsi-KERNEL.tcz", "b.lst, line 8"),
    ]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# nothing", b"\xef\xbb\xbf", b"  \r\n#\r\n"])
def test_empty_list_has_no_entries(data: bytes) -> None:
    assert parse_extension_list(data, source="b.lst") == ()


def test_every_invalid_name_is_reported() -> None:
    data = b"bash\na.tcz b.tcz\nx/y\n#\nbash.tcz#comment\n\xc3\xa9\n\0\n"
    with pytest.raises(CombinedError) as caught:
        parse_extension_list(data, source="b.lst")
    assert [str(error) for error in caught.value.errors] == [
        f"b.lst, line 2: expected {WORDS}, got 'a.tcz b.tcz'",
        f"b.lst, line 3: expected {WORDS}, got 'x/y'",
        f"b.lst, line 5: expected {WORDS}, got 'bash.tcz#comment'",
        f"b.lst, line 6: expected {WORDS}, got '\xe9'",
        f"b.lst, line 7: expected {WORDS}, got '\\x00'",
    ]
    assert {error.hint for error in caught.value.errors} == {"give one name, such as bash.tcz"}


def test_number_of_errors_is_limited() -> None:
    with pytest.raises(CombinedError) as caught:
        parse_extension_list(b"/\n" * 400_000, source="b.lst")
    assert len(caught.value.errors) == MAX_ERRORS + 1
    assert str(caught.value.errors[-1]) == "b.lst: there may be more problems than these"


def test_gems_have_their_line_numbers() -> None:
    data = b"# gems\nfacter\njson_pure  >= 1.7.7  # a hole\ndaemons ~> 1.0, != 1.0.3\r\nfacter\n"
    assert names_and_places(parse_gem_list(data, source="gem.list")) == [
        ("facter", "gem.list, line 2"),
        ("json_pure  >= 1.7.7", "gem.list, line 3"),
        ("daemons ~> 1.0, != 1.0.3", "gem.list, line 4"),
    ]


def test_every_invalid_gem_is_reported() -> None:
    with pytest.raises(CombinedError) as caught:
        parse_gem_list(b">= 1\nx\ty\nx\n" + b"x" * 1001, source="gem.list")
    words = 'a gem name, optionally with version requirements, such as "json_pure >= 1.7.7"'
    assert [(str(error), error.hint) for error in caught.value.errors] == [
        (
            f'gem.list, line 1: expected {words}, got ">= 1"',
            "correct the line, or delete it",
        ),
        (
            f'gem.list, line 2: expected {words}, got "x\\ty"',
            "correct the line, or delete it",
        ),
        (
            f'gem.list, line 4: expected {words}, got "{"x" * 59}…',
            "correct the line, or delete it",
        ),
    ]


def test_paths_with_patterns_and_blanks_are_read() -> None:
    data = b"usr/local/sbin/sfdisk # partitions\nusr/lib/*.so.[0-9]\nopt/a b#c\n"
    assert names_and_places(parse_path_list(data, source="exec.lst")) == [
        ("usr/local/sbin/sfdisk", "exec.lst, line 1"),
        ("usr/lib/*.so.[0-9]", "exec.lst, line 2"),
        ("opt/a b#c", "exec.lst, line 3"),
    ]


@pytest.mark.parametrize("path", ["/usr/x", "..", "a/../b", "../x", "a/.."])
def test_absolute_or_parent_path_is_an_error(path: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_path_list(path.encode(), source="exec.lst")
    assert str(caught.value) == (
        "exec.lst, line 1: expected a path in the extension, without a leading slash or '..', "
        f'got "{path}"'
    )


@given(st.binary(max_size=200))
def test_random_bytes_give_unique_names_or_an_error(data: bytes) -> None:
    for parse in (parse_extension_list, parse_gem_list, parse_path_list):
        try:
            names = [entry.name for entry in parse(data, source="x")]
        except PurekernelError:
            continue
        assert len(names) == len(set(names))
        again = "\n".join(names).encode()
        assert [entry.name for entry in parse(again, source="x")] == names

from __future__ import annotations

import pytest

from purekernel.errors import PathError
from purekernel.tree.path import (
    ancestors,
    display,
    is_below,
    join,
    name,
    parent,
    parse_path,
    with_example,
)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"etc/passwd", b"etc/passwd"),
        (b"./etc/passwd", b"etc/passwd"),
        (b"etc//init.d/", b"etc/init.d"),
        (b"etc/./passwd", b"etc/passwd"),
        (b".", b""),
        (b"./", b""),
        (b"caf\xe9/\xff", b"caf\xe9/\xff"),
        (b"..data/x..", b"..data/x.."),
    ],
)
def test_parse_path_normalizes(raw: bytes, path: bytes) -> None:
    assert parse_path(raw) == path


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "a member name is empty"),
        (b"/etc/passwd", "the name '/etc/passwd' must be relative, got an absolute path"),
        (b"../etc", "the name '../etc' contains '..'"),
        (b"a/../../etc", "the name 'a/../../etc' contains '..'"),
        (b"a\0b", "the name 'a\\x00b' contains a NUL"),
        (b"x" * 256, f"the name '{'x' * 40}'… is too long: must be at most 255 bytes, got 256"),
        (
            b"/".join([b"y" * 200] * 25),
            f"the path '{'y' * 40}'… is too long: must be at most 4095 bytes, got 5024",
        ),
    ],
)
def test_parse_path_refuses_invalid_name(raw: bytes, message: str) -> None:
    with pytest.raises(PathError) as caught:
        parse_path(raw)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (b"a/../b", "create the archive again with relative names without .."),
        (b"x" * 256, "create the archive again with shorter names"),
        (b"y/" * 2512, "create the archive again with shorter names"),
        (b"a\0b", "create the archive again"),
    ],
)
def test_invalid_name_has_a_hint_that_fits(raw: bytes, hint: str) -> None:
    with pytest.raises(PathError) as caught:
        parse_path(raw)
    assert caught.value.hint == hint


def test_parent_name_join_and_ancestors() -> None:
    assert (parent(b"a/b/c"), name(b"a/b/c")) == (b"a/b", b"c")
    assert (parent(b"a"), name(b"a")) == (b"", b"a")
    assert (parent(b""), name(b"")) == (b"", b"")
    assert join(b"", b"a") == b"a"
    assert join(b"a", b"b") == b"a/b"
    assert ancestors(b"a/b/c") == [b"a", b"a/b"]
    assert ancestors(b"a") == []


def test_is_below_compares_components() -> None:
    assert is_below(b"home/tc/x", b"home/tc")
    assert not is_below(b"home/tcx", b"home/tc")
    assert not is_below(b"home/tc", b"home/tc")
    assert is_below(b"a", b"")
    assert not is_below(b"", b"")


def test_display_truncates_long_path() -> None:
    assert display(b"x" * 320) == f"'{'x' * 320}'"
    assert display(b"x" * 5_000_000) == f"'{'x' * 320}'…"


def test_display_escapes_any_bytes() -> None:
    assert display(b"caf\xc3\xa9") == "'café'"
    assert display(b"\xff\n\x1b[31m") == r"'\xff\n\x1b[31m'"


def test_example_follows_the_number_of_things() -> None:
    assert with_example(1, "member", "'a'") == "1 member: 'a'"
    assert with_example(2, "file", "'a'", clause=" outside boot/") == (
        "2 files outside boot/, for example 'a'"
    )

from __future__ import annotations

import pytest

from purekernel.errors import PathError
from purekernel.tree.path import ancestors, display, is_below, join, name, parent, parse_path


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
def test_parse_path_gives_the_plain_relative_path(raw: bytes, path: bytes) -> None:
    assert parse_path(raw) == path


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "a member has an empty name"),
        (b"/etc/passwd", "the name '/etc/passwd' is absolute"),
        (b"../etc", "the name '../etc' climbs out with '..'"),
        (b"a/../../etc", "the name 'a/../../etc' climbs out with '..'"),
        (b"a\0b", "the name 'a\\x00b' holds a NUL"),
        (b"x" * 256, f"the name '{'x' * 40}'… has 256 bytes, Linux allows 255"),
        (b"/".join([b"y" * 200] * 25), f"the path '{'y' * 40}'… has 5024 bytes, Linux allows 4095"),
    ],
)
def test_parse_path_refuses_what_no_image_may_hold(raw: bytes, message: str) -> None:
    with pytest.raises(PathError) as caught:
        parse_path(raw)
    assert str(caught.value) == message


def test_parts_of_a_path() -> None:
    assert (parent(b"a/b/c"), name(b"a/b/c")) == (b"a/b", b"c")
    assert (parent(b"a"), name(b"a")) == (b"", b"a")
    assert (parent(b""), name(b"")) == (b"", b"")
    assert join(b"", b"a") == b"a"
    assert join(b"a", b"b") == b"a/b"
    assert ancestors(b"a/b/c") == [b"a", b"a/b"]
    assert ancestors(b"a") == []


def test_is_below_is_about_folders_not_prefixes() -> None:
    assert is_below(b"home/tc/x", b"home/tc")
    assert not is_below(b"home/tcx", b"home/tc")
    assert not is_below(b"home/tc", b"home/tc")
    assert is_below(b"a", b"")
    assert not is_below(b"", b"")


def test_display_is_never_long() -> None:
    assert display(b"x" * 320) == f"'{'x' * 320}'"
    assert display(b"x" * 5_000_000) == f"'{'x' * 320}'…"


def test_display_prints_any_bytes_on_one_line() -> None:
    assert display(b"caf\xc3\xa9") == "'café'"
    assert display(b"\xff\n\x1b[31m") == r"'\xff\n\x1b[31m'"

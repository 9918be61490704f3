"""Test names in images that are invalid on Windows, or have a special meaning there."""

from __future__ import annotations

import pytest

from purekernel.errors import OutputError
from purekernel.host.windows_names import (
    check_windows_name,
    check_windows_paths,
    windows_target,
)

CHARACTER = 'it contains one of < > : " / \\ | ? *'
CONTROL = "it contains a control character"
END = "it is empty, or ends with a dot or a space"
DEVICE = "it is the name of a device"

TRAVERSAL = [
    b"..\\..\\evil.exe",
    b"C:evil.exe",
    b"C:\\Windows\\evil.dll",
    b"\\\\srv\\share\\evil",
    b"evil.txt:stream",
]
DEVICES = [
    b"CON", b"con", b"Prn", b"aux", b"NUL", b"nul.txt", b"nul.tar.gz", b"nul .txt", b"CON  .x.y",
    b"conin$", b"CONOUT$", b"CONOUT$.log",
    *(kind + b"%d" % digit for kind in (b"COM", b"lpt") for digit in range(10)),
    *(kind + digit.encode() for kind in (b"com", b"LPT") for digit in "¹²³"),
    "com¹.txt".encode(),
]  # fmt: skip
REFUSED = [
    *((name, CHARACTER) for name in TRAVERSAL),
    *((b"a" + bytes([character]) + b"b", CHARACTER) for character in b'<>:"/\\|?*'),
    *((b"a" + bytes([character]), CONTROL) for character in range(32)),
    (b"", END), (b".", END), (b"..", END), (b"a.", END), (b"a ", END), (b"a. ", END), (b" ", END),
    (b"con ", END), (b"con.", END),
    *((name, DEVICE) for name in DEVICES),
    (b"caf\xe9", "it is not UTF-8"),
    (b"\xed\xa0\x80", "it is not UTF-8"),  # half of a surrogate pair
]  # fmt: skip


@pytest.mark.parametrize(("name", "reason"), REFUSED)
def test_invalid_windows_name_has_a_reason(name: bytes, reason: str) -> None:
    assert check_windows_name(name) == reason


@pytest.mark.parametrize(
    "name",
    [
        b"a", b".mtree", b"..a", b" a", b"a b", b"libstdc++.so.6", b"[", b"console", b"com",
        b"com10", b"com1a.txt", b"lpt", b"x.con", b"nul-1", b"conin", b"\x7f",
        "café".encode(), "com⁴".encode(),
    ],
)  # fmt: skip
def test_valid_windows_name_has_no_reason(name: bytes) -> None:
    assert check_windows_name(name) is None


def test_invalid_paths_are_counted_and_first_ones_listed() -> None:
    paths = [b"", b"usr", b"usr/aux.h", b"usr/a:b", b"usr/ok", b"x\\y", b"caf\xe9", b"con"]
    with pytest.raises(OutputError) as caught:
        check_windows_paths(paths, source="x.tcz")
    assert str(caught.value) == (
        "x.tcz has names that are invalid on Windows: 'usr/aux.h' (it is the name of a device), "
        "'usr/a:b' (it contains one of < > : \" / \\ | ? *), "
        "'x\\y' (it contains one of < > : \" / \\ | ? *) and 2 more"
    )
    assert "docs/overlays.md" in caught.value.hint


def test_valid_windows_paths_are_accepted() -> None:
    paths = [b"", b"a", b"A", b"a/b", b"b/a", "straße".encode(), b"strasse", b"a.b", b"ab"]
    check_windows_paths(paths, source="x")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"libc.so.6", "libc.so.6"),
        (b"../lib/x", "..\\lib\\x"),
        (b"/usr/bin/x", "\\usr\\bin\\x"),
        (b"//srv/share/x", "\\srv\\share\\x"),
        (b"./", ".\\"),
    ],
)
def test_link_target_has_backslashes_and_no_host(target: bytes, expected: str) -> None:
    assert windows_target(target) == expected


@pytest.mark.parametrize(
    "target",
    [
        b"..\\..\\evil",
        b"C:/Windows/x",
        b"C:x",
        b"\\\\srv\\share",
        b"/??/C:/x",
        b"/dev/nul",
        b"\xff",
    ],
)
def test_invalid_windows_link_target_gives_none(target: bytes) -> None:
    assert windows_target(target) is None

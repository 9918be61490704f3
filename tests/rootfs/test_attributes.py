from __future__ import annotations

import stat
from pathlib import Path

import pytest

from purekernel.errors import FormatError, MissingPathError, TreeError, UsageError
from purekernel.rootfs.attributes import Owners, parse_mode
from purekernel.tree import Directory, File, Metadata, Tree
from tests.oracles import require, run

MODES = [
    "644", "0755", "4711", "1777", "u=rwX,go=rX", "a+x", "+x", "go-w", "g+s", "u+s,o+t", "u=",
    "ug=rw,o=", "a-s", "a=X", "u=rws", "g=s", "o=t", "ugo=rwx,a-t",
]  # fmt: skip
STARTS = (0o644, 0o755, 0o600, 0o4755, 0o2711, 0o1777, 0)


@pytest.mark.parametrize(
    ("text", "old", "of_file", "of_folder"),
    [
        ("0640", 0o4755, 0o640, 0o640),
        ("u=rwX,go=rX", 0o600, 0o644, 0o755),
        ("u=rwX,go=rX", 0o700, 0o755, 0o755),
        ("a-x", 0o755, 0o644, 0o644),
        ("g=", 0o2775, 0o705, 0o2705),
        ("+t", 0o755, 0o1755, 0o1755),
    ],
)
def test_mode_is_applied(text: str, old: int, of_file: int, of_folder: int) -> None:
    mode = parse_mode(text)
    assert (mode(old, False), mode(old, True)) == (of_file, of_folder)


@pytest.mark.oracle
def test_modes_are_those_of_chmod(tmp_path: Path) -> None:
    chmod = require("chmod")
    compared = 0
    for is_folder in (False, True):
        for text in MODES:
            # GNU chmod keeps setuid and setgid of folders for octal digits, too.
            if is_folder and text.isdigit():
                continue
            paths = [tmp_path / f"{is_folder}-{text}-{start:o}" for start in STARTS]
            for path, start in zip(paths, STARTS, strict=True):
                path.mkdir() if is_folder else path.touch()
                path.chmod(start)
            run(chmod, "--", text, *map(str, paths))
            for path, start in zip(paths, STARTS, strict=True):
                made = stat.S_IMODE(path.stat().st_mode)
                assert parse_mode(text)(start, is_folder) == made, (text, oct(start), is_folder)
                compared += 1
    assert compared > 200


@pytest.mark.parametrize("text", ["", "8", "77777", "u+q", "rwx", "u=g", "x+r"])
def test_wrong_mode_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no mode"):
        parse_mode(text)


def owners(passwd: bytes | None = b"root:x:0:0::/:/bin/sh\ntc:x:1001:50::/:/bin/sh\n") -> Owners:
    tree = Tree()
    tree.add(b"etc", Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"etc/group", File(metadata=Metadata(mode=0o644), content=b"staff:x:50:\n"))
    if passwd is not None:
        tree.add(b"etc/passwd", File(metadata=Metadata(mode=0o644), content=passwd))
    return Owners(tree)


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("tc", (1001, None)),
        ("tc:staff", (1001, 50)),
        (":staff", (None, 50)),
        ("0:7", (0, 7)),
        ("4294967294", (4294967294, None)),
    ],
)
def test_owner_is_found(text: str, owner: tuple[int | None, int | None]) -> None:
    assert owners().find(text) == owner


def test_numbers_need_no_account_files() -> None:
    assert Owners(Tree()).find("1:2") == (1, 2)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("tcc", TreeError, "the image has no user 'tcc' in etc/passwd"),
        ("tc:stuff", TreeError, "the image has no group 'stuff' in etc/group"),
        (":", UsageError, "names no owner"),
        ("4294967295", UsageError, "must be at most 4294967294"),
    ],
)
def test_unknown_owner_is_refused(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        owners().find(text)


def test_missing_and_damaged_account_files_are_named() -> None:
    with pytest.raises(MissingPathError, match="no file 'etc/passwd' to look up names in"):
        owners(None).find("tc")
    with pytest.raises(FormatError, match="etc/passwd, line 1"):
        owners(b"tc:x\n").find("tc")

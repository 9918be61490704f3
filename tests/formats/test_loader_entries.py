"""Test that the menus of systemd-boot are read, and changed in place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.formats.loader_entries import parse_loader_file
from purekernel.formats.menu_edit import EntryEdit, FoundEntry, splice

ENTRY = b"""\
# a comment
title  Tiny Core
linux  /boot/vmlinuz64\r
initrd /boot/core.gz
initrd\t/boot/more.gz
options quiet loglevel=3
options  x="a b" -- y
"""


def edited(data: bytes, edit: EntryEdit) -> bytes:
    return splice(data, parse_loader_file(data).edit_entry(edit))


def test_entry_has_names_kernel_initrds_and_all_options() -> None:
    assert parse_loader_file(ENTRY).found(b"tc.conf") == FoundEntry(
        names=(b"tc", b"tc.conf", b"Tiny Core"),
        title=b"Tiny Core",
        kernel=b"/boot/vmlinuz64",
        initrds=(b"/boot/core.gz", b"/boot/more.gz"),
        words=(b"quiet", b"loglevel=3", b'x="a b"', b"--", b"y"),
    )


def test_words_are_added_before_the_end_of_parameters_and_dropped() -> None:
    edit = EntryEdit(add=(b"one", b'two="3 4"'), drop=lambda word: word == b"quiet")
    assert edited(ENTRY, edit) == ENTRY.replace(b"quiet ", b"").replace(
        b" -- y", b' one two="3 4" -- y'
    )


@pytest.mark.parametrize(
    ("entry", "changed"),
    [
        (b"linux /k\n", b"linux /k\noptions a\n"),
        (b"linux /k", b"linux /k\noptions a"),
        (b"linux /k\r\ntitle x\r\n", b"linux /k\r\noptions a\r\ntitle x\r\n"),
        (b"linux /k\noptions\n", b"linux /k\noptions a\noptions\n"),
        (b"efi /vmlinuz\noptions b\n", b"efi /vmlinuz\noptions b a\n"),
        (b"efi /shell.efi\noptions b\n", b"efi /shell.efi\noptions b\n"),
        (b"linux /memdisk\noptions b\n", b"linux /memdisk\noptions b\n"),
        (b"title x\n", b"title x\n"),
    ],
)
def test_word_is_added_to_entries_of_linux_alone(entry: bytes, changed: bytes) -> None:
    assert edited(entry, EntryEdit(add=(b"a",))) == changed


@pytest.mark.parametrize(
    ("paths", "lines"),
    [
        ([b"/boot/core.gz"], b"initrd /boot/core.gz\n"),
        ([b"/a", b"/boot/more.gz"], b"initrd /a\ninitrd\t/boot/more.gz\n"),
        (
            [b"/boot/core.gz", b"/boot/more.gz", b"/c", b"/d"],
            b"initrd /boot/core.gz\ninitrd\t/boot/more.gz\ninitrd /c\ninitrd /d\n",
        ),
    ],
)
def test_initrds_are_lines_of_their_own(paths: list[bytes], lines: bytes) -> None:
    entry = ENTRY.replace(b"\r", b"")
    changed = edited(entry, EntryEdit(initrds=lambda _paths: paths))
    assert changed == entry.replace(b"initrd /boot/core.gz\ninitrd\t/boot/more.gz\n", lines)


@pytest.mark.parametrize(
    ("config", "timeout"),
    [
        (b"", 0),
        (b"timeout 3\n", 30),
        (b"timeout menu-force\n", None),
        (b"timeout menu-hidden\n", 0),
        (b"timeout 3\ntimeout 4", 40),
    ],
)
def test_timeout_is_in_seconds(config: bytes, timeout: int | None) -> None:
    assert parse_loader_file(config).timeout == timeout


@pytest.mark.parametrize(
    ("config", "tenths", "changed"),
    [
        (b"#timeout 3\n", 45, b"timeout 5\n#timeout 3\n"),
        (b"timeout  3 \n", 40, b"timeout  4 \n"),
        (b"timeout 3\n", 0, b"timeout menu-force\n"),
        (b"timeout 3\n", 30, b"timeout 3\n"),
    ],
)
def test_timeout_is_changed_or_added(config: bytes, tenths: int, changed: bytes) -> None:
    assert splice(config, parse_loader_file(config).edit_timeout(tenths)) == changed


@pytest.mark.parametrize(
    ("pattern", "index"),
    [
        (b"core.conf", 1),
        (b"CORE", 1),
        (b"tc-*", 0),
        (b"*.conf", 0),
        (b"?ore.conf", 1),
        (b"@saved", None),
        (b"none", None),
    ],
)
def test_default_is_a_pattern_of_file_names(pattern: bytes, index: int | None) -> None:
    config = parse_loader_file(b"default " + pattern + b"\n")
    assert config.default_of([b"tc-1.conf", b"Core.conf"]) == index


@given(st.binary(max_size=60))
def test_any_bytes_without_a_change_come_back(data: bytes) -> None:
    assert edited(data, EntryEdit()) == data


@given(st.binary(max_size=30))
def test_any_entry_of_linux_gets_the_word(more: bytes) -> None:
    changed = edited(more + b"\nlinux /k\n", EntryEdit(add=(b"word",)))
    found = parse_loader_file(changed).found(b"x.conf")
    assert found.kernel == b"/k"
    assert b"word" in b" ".join(found.words)

"""Test the boot menu that all boot loaders share, and its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel.errors import BootMenuError
from purekernel.formats.iso import parse_iso
from purekernel.formats.menu import (
    Menu,
    MenuEntry,
    build_grub_config,
    build_loader_config,
    build_syslinux_config,
    read_menu,
)
from purekernel.formats.menu_edit import split_words
from purekernel.input import Input
from purekernel.tree import Metadata, Tree, put_file
from tests.oracles import require, run

TC = MenuEntry(
    label=b"tc",
    title=b"Tom's Core $5",
    kernel=b"boot/vmlinuz64",
    initrds=(b"boot/rootfs64.gz", b"boot/modules64.gz"),
    words=(b"loglevel=3", b'note="a b"'),
)
CORE = MenuEntry(label=b"2. Core", title=b"Core", kernel=b"boot/vmlinuz64")
MENU = Menu(entries=(TC, CORE), default=b"2. Core", timeout=25)
BOOT_IMAGE = b"boot/isolinux/isolinux.bin"


def _iso(menu: bytes) -> Tree:
    tree = Tree()
    for path, content in {
        b"boot/isolinux/isolinux.cfg": menu,
        b"boot/vmlinuz": b"kernel",
        b"boot/core.gz": b"core",
        b"boot/more.gz": b"more",
    }.items():
        put_file(tree, path, content, metadata=Metadata(mode=0o644))
    return tree


def test_grub_config_of_two_entries_quotes_titles_and_words(tmp_path: Path) -> None:
    config = build_grub_config(MENU, search=b"boot/vmlinuz64")
    assert (
        config
        == rb"""set default=1
set timeout=3

search --no-floppy --set=root --file /boot/vmlinuz64

menuentry 'Tom'\''s Core $5' --id tc {
  linux /boot/vmlinuz64 loglevel=3 'note=a b'
  initrd /boot/rootfs64.gz /boot/modules64.gz
}

menuentry Core --id '2. Core' {
  linux /boot/vmlinuz64
}
"""
    )


@pytest.mark.oracle
def test_grub_config_is_valid_for_grub(tmp_path: Path) -> None:
    checker = require("grub-script-check")
    config = tmp_path / "grub.cfg"
    config.write_bytes(build_grub_config(MENU))
    run(checker, config)


def test_loader_config_of_two_entries_has_three_files() -> None:
    assert build_loader_config(MENU) == {
        b"loader/loader.conf": b"default 2.-core.conf\ntimeout 3\n",
        b"loader/entries/tc.conf": b"""title Tom's Core $5
sort-key 0
linux /boot/vmlinuz64
initrd /boot/rootfs64.gz
initrd /boot/modules64.gz
options loglevel=3 note="a b"
""",
        b"loader/entries/2.-core.conf": b"title Core\nsort-key 1\nlinux /boot/vmlinuz64\n",
    }


def test_loader_entries_whose_labels_differ_in_case_get_two_names() -> None:
    upper = MenuEntry(label=b"TC", title=b"TC", kernel=b"k")
    files = build_loader_config(Menu(entries=(TC, upper)))
    assert sorted(files) == [
        b"loader/entries/tc-2.conf",
        b"loader/entries/tc.conf",
        b"loader/loader.conf",
    ]


def test_menu_without_timeout_waits_in_all_formats() -> None:
    menu = Menu(entries=(TC,))
    assert b"set timeout=-1\n" in build_grub_config(menu)
    assert b"timeout menu-force\n" in build_loader_config(menu)[b"loader/loader.conf"]
    assert build_syslinux_config(menu).startswith(b"prompt 1\ntimeout 0\n")


def test_menu_with_timeout_of_0_boots_at_once_in_all_formats() -> None:
    menu = Menu(entries=(TC,), timeout=0)
    assert b"set timeout=0\n" in build_grub_config(menu)
    assert b"timeout 0\n" in build_loader_config(menu)[b"loader/loader.conf"]
    syslinux = build_syslinux_config(menu, interface=b"menu.c32")
    assert syslinux.startswith(b"prompt 0\n")
    assert b"ui " not in syslinux


def test_syslinux_config_with_label_with_a_blank_is_refused() -> None:
    with pytest.raises(BootMenuError) as caught:
        build_syslinux_config(MENU)
    assert caught.value.message == (
        "a menu of Syslinux cannot hold the name '2. Core', which has blanks or commas"
    )


@pytest.mark.parametrize("write", [build_grub_config, build_loader_config, build_syslinux_config])
def test_title_with_line_break_is_refused(write: type) -> None:
    entry = MenuEntry(label=b"a", title=b"a\n}", kernel=b"k")
    with pytest.raises(BootMenuError, match="line break"):
        write(Menu(entries=(entry,)))


def test_syslinux_config_is_read_back_as_the_same_menu() -> None:
    entries = (
        MenuEntry(
            label=b"a",
            title=b"The first",
            kernel=b"boot/vmlinuz",
            initrds=(b"boot/core.gz", b"boot/more.gz"),
            words=(b"quiet", b'x="1 2"'),
        ),
        MenuEntry(label=b"b", title=b"b", kernel=b"boot/vmlinuz"),
    )
    for menu in (
        Menu(entries=entries, default=b"b", timeout=50),
        Menu(entries=entries, default=b"a", timeout=0),
        Menu(entries=entries, default=b"a"),
    ):
        for interface in (None, b"menu.c32"):
            written = build_syslinux_config(menu, interface=interface)
            assert read_menu(_iso(written), BOOT_IMAGE) == menu


def test_menu_of_the_sample_has_its_label_and_files() -> None:
    menu = read_menu(parse_iso(Input(make_core_iso(), name="Core.iso")).tree, BOOT_IMAGE)
    assert menu is not None
    assert menu.default == b"sample"
    assert menu.entries[0].kernel == b"boot/vmlinuz"
    assert menu.entries[0].initrds == (b"boot/core.gz",)


def test_menu_without_labels_is_read_as_one_entry() -> None:
    menu = read_menu(
        _iso(b"default /boot/vmlinuz\nappend initrd=/boot/core.gz quiet\n"), BOOT_IMAGE
    )
    assert menu == Menu(
        entries=(
            MenuEntry(
                label=b"vmlinuz",
                title=b"vmlinuz",
                kernel=b"boot/vmlinuz",
                initrds=(b"boot/core.gz",),
                words=(b"quiet",),
            ),
        ),
        default=b"vmlinuz",
        timeout=0,
    )


@pytest.mark.parametrize("menu", [b"", b"label a\n kernel memdisk\n", b"default /boot/missing\n"])
def test_menu_without_linux_is_none(menu: bytes) -> None:
    assert read_menu(_iso(menu), BOOT_IMAGE) is None


def test_menu_label_loses_the_mark_of_its_hot_key() -> None:
    menu = read_menu(_iso(b"label a\n menu label ^A start\n kernel /boot/vmlinuz\n"), BOOT_IMAGE)
    assert menu is not None
    assert menu.entries[0].title == b"A start"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", ()),
        (b" a  b\tc ", (b"a", b"b", b"c")),
        (b'a="b c" d', (b'a="b c"', b"d")),
        (b'"a b"c"d e"', (b'"a b"c"d e"',)),
        (b'a "b c', (b"a", b'"b c')),
    ],
)
def test_words_are_split_outside_quotes(line: bytes, words: tuple[bytes, ...]) -> None:
    assert split_words(line) == words


def test_menu_of_grub_is_read_where_isolinux_has_none() -> None:
    tree = _iso(b"")
    grub = b"""set timeout=3
set default="Core 2"
menuentry "Core 1" --id one {
  linux (cd0)/boot/vmlinuz quiet
  initrd /boot/core.gz /boot/more.gz
}
menuentry "Core 2" { linux /boot/vmlinuz; }
menuentry "Gone" { linux /boot/gone; }
menuentry "Disk" { chainloader +1; }
"""
    put_file(tree, b"EFI/BOOT/grub.cfg", grub, metadata=Metadata(mode=0o644))
    assert read_menu(tree, BOOT_IMAGE) == Menu(
        entries=(
            MenuEntry(
                label=b"one",
                title=b"Core 1",
                kernel=b"boot/vmlinuz",
                initrds=(b"boot/core.gz", b"boot/more.gz"),
                words=(b"quiet",),
            ),
            MenuEntry(label=b"core-2", title=b"Core 2", kernel=b"boot/vmlinuz"),
        ),
        default=b"core-2",
        timeout=30,
    )

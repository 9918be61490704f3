"""Test that a change reaches all menus of an image, and nothing else in them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from purekernel.errors import BootMenuError
from purekernel.formats.iso import IsoBoot
from purekernel.formats.menu_finder import MAX_MENUS_BYTES, find_menus
from purekernel.recipe.boot import BootChanges
from purekernel.remaster.boot.initrds import change_initrds
from purekernel.remaster.boot.menu import MenuChange, change_boot_menu
from purekernel.remaster.boot.unreached import find_unreached_menus
from purekernel.tree import File, Metadata, Tree, put_file
from tests import pes
from tests.hybrids import GRUB_MENU, content_of

BOOT = IsoBoot.by_bios(boot_image=b"boot/isolinux/isolinux.bin", catalog=b"boot/isolinux/boot.cat")
ISOLINUX = b"boot/isolinux/isolinux.cfg"
GRUB = b"EFI/BOOT/grub.cfg"
LOADER = b"loader/loader.conf"
ENTRY = b"loader/entries/core.conf"

MENUS = {
    ISOLINUX: b"""default tc
timeout 300
label tc
  kernel /boot/vmlinuz
  initrd /boot/core.gz
  append cde
label core
  kernel /boot/vmlinuz
  initrd /boot/core.gz
  append quiet
label dos
  kernel memdisk
  append initrd=/dos.img
""",
    GRUB: b"""set timeout=30
menuentry "Core" {
  linux /boot/vmlinuz quiet
  initrd /boot/core.gz
}
menuentry "Memory" { linux16 /memtest }
""",
    LOADER: b"timeout 30\n",
    ENTRY: b"title Core only\nlinux /boot/vmlinuz\ninitrd /boot/core.gz\noptions quiet\n",
}


def make(files: Mapping[bytes, bytes]) -> Tree:
    tree = Tree()
    for path, content in files.items():
        put_file(tree, path, content, metadata=Metadata(mode=0o644))
    return tree


def changed(
    change: MenuChange, files: Mapping[bytes, bytes] = MENUS
) -> tuple[dict[bytes, bytes], tuple[str, ...]]:
    """Return the files that change, and the notes."""
    tree = make(files)
    iso, boot, notes = change_boot_menu(tree, BOOT, change)
    assert boot == BOOT
    new = {path: bytes(node.content) for path, node in iso.walk() if isinstance(node, File)}
    return {path: content for path, content in new.items() if content != files.get(path)}, notes


def boots(**changes: object) -> MenuChange:
    return MenuChange(changes=BootChanges(**changes))  # type: ignore[arg-type]


def test_appended_words_reach_all_entries_of_linux_in_all_menus() -> None:
    new, notes = changed(boots(append="a  b"))
    assert notes == ()
    assert new == {
        ISOLINUX: MENUS[ISOLINUX].replace(b"cde", b"cde a b").replace(b"quiet", b"quiet a b"),
        GRUB: MENUS[GRUB].replace(b"quiet", b"quiet a b"),
        ENTRY: MENUS[ENTRY].replace(b"quiet", b"quiet a b"),
    }


def test_timeout_is_the_same_in_all_menus() -> None:
    new, _notes = changed(boots(timeout=45))
    assert new == {
        ISOLINUX: MENUS[ISOLINUX].replace(b"300", b"45"),
        GRUB: MENUS[GRUB].replace(b"30", b"5"),
        LOADER: b"timeout 5\n",
    }


def test_timeout_of_core_is_replaced_in_all_menus() -> None:
    new, _notes = changed(MenuChange(changes=BootChanges(), timeout=100))
    assert new == {
        ISOLINUX: MENUS[ISOLINUX].replace(b"300", b"100"),
        GRUB: MENUS[GRUB].replace(b"30", b"10"),
        LOADER: b"timeout 10\n",
    }


def test_default_that_one_menu_names_is_the_entry_that_boots_the_same_in_others() -> None:
    new, notes = changed(boots(default="core"))
    assert notes == ()
    assert new == {
        ISOLINUX: MENUS[ISOLINUX].replace(b"default tc", b"default core"),
        GRUB: b"set default=Core\n" + MENUS[GRUB],
        LOADER: b"default core.conf\n" + MENUS[LOADER],
    }


def test_default_that_other_menus_lack_is_noted() -> None:
    new, notes = changed(boots(default="tc"))
    assert new == {}
    assert notes == (
        "'EFI/BOOT/grub.cfg' has no entry 'tc', and keeps its default",
        "'loader/loader.conf' has no entry 'tc', and keeps its default",
    )


def test_default_that_no_menu_has_is_refused_with_the_names() -> None:
    with pytest.raises(BootMenuError) as caught:
        changed(boots(default="x"))
    assert caught.value.message == (
        "'boot/isolinux/isolinux.cfg': label not found: must be one of 'tc', 'core', 'dos', "
        "'Core', 'Memory', got 'x'"
    )


def test_serial_console_replaces_that_of_each_entry() -> None:
    files = {GRUB: b"menuentry a {\n linux /k console=ttyS0 x\n}\n"}
    new, _notes = changed(boots(serial="ttyS0,9600"), files)
    assert new == {GRUB: b"menuentry a {\n linux /k x console=tty0 console=ttyS0,9600\n}\n"}


def test_word_for_extensions_reaches_menus_without_it_and_keeps_the_choice_of_others() -> None:
    new, _notes = changed(MenuChange(changes=BootChanges(), cde_place="r.toml"))
    assert new == {
        GRUB: MENUS[GRUB].replace(b"quiet", b"quiet cde"),
        ENTRY: MENUS[ENTRY].replace(b"quiet", b"quiet cde"),
    }


def test_new_initrds_are_named_in_all_menus_as_the_old_ones_are() -> None:
    files = {
        **MENUS,
        GRUB: b"menuentry a {\n linux /k\n initrd (loop)/boot/core.gz /x.gz\n}\n",
    }
    old = {b"boot/core.gz": b"core"}
    new = {b"boot/core.gz": b"core", b"boot/changes.gz": b"changes"}
    iso, _boot = change_initrds(make(files), BOOT, old, new)
    assert content_of(iso, ISOLINUX).count(b"initrd /boot/core.gz,/boot/changes.gz\n") == 2
    assert b"initrd (loop)/boot/core.gz (loop)/boot/changes.gz /x.gz\n" in content_of(iso, GRUB)
    assert b"initrd /boot/core.gz\ninitrd /boot/changes.gz\n" in content_of(iso, ENTRY)


def test_included_menus_are_one_menu_with_the_file_that_includes_them() -> None:
    files = {
        ISOLINUX: b"append shared\ninclude more.cfg\ntimeout 9\n",
        b"boot/isolinux/more.cfg": b"label a\n kernel /k\nmenu include /boot/Even.cfg x\n",
        b"boot/even.cfg": b"label b\n kernel /k\n append y\n",
    }
    new, _notes = changed(boots(append="z", timeout=5), files)
    assert new == {
        ISOLINUX: b"append shared\ninclude more.cfg\ntimeout 5\n",
        b"boot/isolinux/more.cfg": (
            b"label a\n kernel /k\n append shared z\nmenu include /boot/Even.cfg x\n"
        ),
        b"boot/even.cfg": b"label b\n kernel /k\n append y z\n",
    }


@pytest.mark.parametrize(
    "line",
    [
        b"label x\n config other.cfg\n",
        b"ui vesamenu.c32 other.cfg\n",
        b"default menu.c32 other.cfg\n",
        b"label x\n kernel menu.c32\n append other.cfg\n",
        b"label x\n com32 menu.c32 other.cfg\n",
    ],
)
def test_menus_that_a_menu_of_syslinux_opens_change_too(line: bytes) -> None:
    other = b"label y\n linux /k\n append a\n"
    new, _notes = changed(boots(append="b"), {ISOLINUX: line, b"boot/isolinux/other.cfg": other})
    assert new == {b"boot/isolinux/other.cfg": other.replace(b"append a", b"append a b")}


def test_files_that_grub_reads_are_found_and_parts_share_the_timeout() -> None:
    files = {
        GRUB: b"source $prefix/part.cfg\nconfigfile ($root)/boot/Own.cfg\n",
        b"EFI/BOOT/part.cfg": b"menuentry a {\n linux /k\n}\n",
        b"boot/own.cfg": b"menuentry b {\n linux /k\n}\n",
    }
    new, _notes = changed(boots(append="x", timeout=20), files)
    assert new == {
        GRUB: b"set timeout=2\n" + files[GRUB],
        b"EFI/BOOT/part.cfg": b"menuentry a {\n linux /k x\n}\n",
        b"boot/own.cfg": b"set timeout=2\nmenuentry b {\n linux /k x\n}\n",
    }


def test_files_that_include_one_another_are_read_once() -> None:
    files = {
        ISOLINUX: b"include isolinux.cfg\ninclude isolinux.cfg\nlabel a\n kernel /k\n",
        GRUB: b"source /EFI/BOOT/grub.cfg\nmenuentry a {\n linux /k\n}\n",
    }
    new, _notes = changed(boots(append="x"), files)
    assert new[GRUB].count(b" x") == 1
    assert new[ISOLINUX].count(b" x") == 1


def test_file_that_is_read_alone_and_as_a_part_gets_its_own_timeout() -> None:
    part = b"menuentry a {\n linux /k\n}\n"
    files = {GRUB: b"source /boot/grub/grub.cfg\n", b"boot/grub/grub.cfg": part}
    new, _notes = changed(boots(timeout=20), files)
    assert new == {
        GRUB: b"set timeout=2\n" + files[GRUB],
        b"boot/grub/grub.cfg": b"set timeout=2\n" + part,
    }


def test_two_menus_that_include_one_another_are_one() -> None:
    files = {
        b"a/syslinux.cfg": b"include extlinux.conf\nlabel a\n kernel /k\n append a\n",
        b"a/extlinux.conf": b"include syslinux.cfg\nlabel b\n kernel /k\n append b\n",
    }
    new, _notes = changed(boots(append="x", timeout=20), files)
    text = b"".join(new.values())
    assert (text.count(b"append a x"), text.count(b"append b x"), text.count(b"timeout")) == (
        *(1, 1, 1),
    )


def test_menus_that_are_too_large_together_are_refused() -> None:
    large = b"#" * 250_000 + b"\n"
    files = {b"%d/grub.cfg" % number: large for number in range(MAX_MENUS_BYTES // 250_000 + 1)}
    with pytest.raises(BootMenuError, match="must have at most"):
        find_menus(make(files))


@pytest.mark.parametrize(
    ("change", "count"),
    [(boots(append="x"), 1), (boots(timeout=5), 0), (boots(default="a"), 0), (boots(), 0)],
)
def test_unclear_kernel_is_unreached_only_by_a_change_of_command_lines(
    change: MenuChange, count: int
) -> None:
    iso = make({GRUB: b"\nmenuentry a {\n linux $k\n}\n"})
    notes = [loss.note for loss in find_unreached_menus(iso, BOOT, change)]
    note = (
        "the change to the boot menu does not reach 'EFI/BOOT/grub.cfg', line 3: the name of the "
        "kernel is a variable"
    )
    assert notes == count * [note]


def test_menu_that_is_too_large_to_be_read_is_unreached() -> None:
    iso = make({GRUB: b"#" * 300_000})
    (loss,) = find_unreached_menus(iso, BOOT, boots(append="x"))
    assert "which is larger than 262144 bytes" in loss.note


@pytest.mark.parametrize(
    ("program", "change", "inside"),
    [
        (pes.make_grub(config=GRUB_MENU), boots(append="x"), ["a menu of GRUB"]),
        (pes.make_grub(config=GRUB_MENU), boots(), []),
        (pes.make_grub(config=b"normal ($root)/grub.cfg\n"), boots(append="x"), []),
        (pes.make_pe({b".sdmagic": pes.STUB_MAGIC, b".linux": b"k"}), boots(timeout=1), []),
        (
            pes.make_pe({b".sdmagic": pes.STUB_MAGIC, b".linux": b"k"}),
            boots(append="x"),
            ["the command line"],
        ),
        (
            pes.make_pe({b".sdmagic": pes.STUB_MAGIC, b".linux": b"k", b".initrd": b"i"}),
            boots(),
            ["the initrd"],
        ),
        (b"no program", boots(append="x"), []),
    ],
)
def test_menu_inside_a_program_for_uefi_is_unreached_by_its_changes(
    program: bytes, change: MenuChange, inside: list[str]
) -> None:
    iso = make({b"EFI/BOOT/BOOTX64.EFI": program})
    assert [loss.note for loss in find_unreached_menus(iso, BOOT, change)] == [
        f"the change to the boot menu does not reach {what} inside 'EFI/BOOT/BOOTX64.EFI'"
        for what in inside
    ]

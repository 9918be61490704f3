from __future__ import annotations

import pytest

from purekernel.formats.syslinux import (
    build_boot_menu,
    drop_parameters,
    extend_append,
    parse_boot_menu,
    set_default,
    set_option,
)

CORE = b"""display boot.msg
default microcore

label microcore
\tkernel /boot/vmlinuz
\tappend initrd=/boot/core.gz loglevel=3

label mc
\tKERNEL /boot/vmlinuz
\tAppend initrd=/boot/core.gz loglevel=3

# label not one
label tools
\tkernel hdt.c32
\tappend quiet

label disk
\tlocalboot 0x80

implicit 0\t
prompt 1\t
timeout 300
F1 boot.msg
"""


def test_unedited_menu_keeps_its_bytes() -> None:
    for data in (CORE, b"", b"\n\n", b"\xff\xfe\r\nx", CORE.replace(b"\n", b"\r\n")):
        assert build_boot_menu(parse_boot_menu(data)) == data


def test_labels_and_options_are_read() -> None:
    menu = parse_boot_menu(CORE)
    assert menu.labels == (b"microcore", b"mc", b"tools", b"disk")
    assert menu.default == b"microcore"
    assert menu.timeout == 300
    assert menu.kernel(b"mc") == b"/boot/vmlinuz"
    assert menu.kernel(b"tools") is None
    assert menu.kernel(b"disk") is None
    assert menu.append(b"mc") == b"initrd=/boot/core.gz loglevel=3"


def test_existing_option_is_changed_in_place() -> None:
    menu = set_option(parse_boot_menu(CORE), b"timeout", b"100")
    assert build_boot_menu(menu) == CORE.replace(b"timeout 300", b"timeout 100")
    assert menu.timeout == 100
    menu = set_option(parse_boot_menu(b"label a\r\n TIMEOUT   300 \r\n"), b"timeout", b"5")
    assert build_boot_menu(menu) == b"label a\r\n TIMEOUT   5\r\n"


def test_missing_option_is_added_as_first_line() -> None:
    menu = set_option(parse_boot_menu(b"label a\n"), b"timeout", b"50")
    assert build_boot_menu(menu) == b"timeout 50\nlabel a\n"


def test_words_are_appended_only_to_linux_labels() -> None:
    menu = extend_append(parse_boot_menu(CORE), b"console=ttyS0")
    assert build_boot_menu(menu) == CORE.replace(
        b"core.gz loglevel=3", b"core.gz loglevel=3 console=ttyS0"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"label a\n  linux k\n", b"label a\n  linux k\n  append x=1\n"),
        (b"label a\r\n  linux k\r\n", b"label a\r\n  linux k\r\n  append x=1\r\n"),
        (b"label a\nkernel k\nappend -\n", b"label a\nkernel k\nappend x=1\n"),
        (
            b"append root=1\nlabel a\nkernel k\nlabel b\nkernel k\nappend own\n",
            (
                b"append root=1\nlabel a\nkernel k\nappend root=1 x=1\n"
                b"label b\nkernel k\nappend own x=1\n"
            ),
        ),
        (b"label a\nkernel k\nappend\n", b"label a\nkernel k\nappend x=1\n"),
        (b"label a\nkernel mboot.c32\n", b"label a\nkernel mboot.c32\n"),
        # Programs that are loaded like Linux, but are not Linux.
        (
            b"label a\nkernel memdisk\nappend initrd=dos.img\nlabel b\nLINUX /boot/MEMDISK iso\n",
            b"label a\nkernel memdisk\nappend initrd=dos.img\nlabel b\nLINUX /boot/MEMDISK iso\n",
        ),
        (
            b"label g\nkernel grub.exe\nappend --config=;\nlabel memtest86\n",
            b"label g\nkernel grub.exe\nappend --config=;\nlabel memtest86\n",
        ),
        (b"label i\nlinux ipxe.lkrn\n", b"label i\nlinux ipxe.lkrn\n"),
        # DEFAULT without labels is a command line, after the APPEND of the whole menu.
        (
            b"default vmlinuz64\nappend initrd=corepure64.gz\n",
            b"default vmlinuz64\nappend initrd=corepure64.gz x=1\n",
        ),
        (b"DEFAULT vmlinuz64\r\n", b"DEFAULT vmlinuz64 x=1\r\n"),
        (b"default vmlinuz\tquiet\nappend -\n", b"default vmlinuz quiet x=1\nappend -\n"),
        (b"default vmlinuz\nappend -\n", b"default vmlinuz\nappend x=1\n"),
        (
            b"default vmlinuz\nontimeout old quiet\nappend initrd=c\n",
            b"default vmlinuz x=1\nontimeout old quiet x=1\nappend initrd=c\n",
        ),
        (
            b"default k\nappend s\nlabel dos\nkernel memdisk\n",
            b"default k x=1\nappend s\nlabel dos\nkernel memdisk\n",
        ),
        (b"default memdisk\nappend initrd=a\n", b"default memdisk\nappend initrd=a\n"),
        (b"implicit 0\ndefault vmlinuz\n", b"implicit 0\ndefault vmlinuz\n"),
        (b"prompt 1\n", b"prompt 1\n"),
        (b"label a\nlinux k.bin\n", b"label a\nlinux k.bin\nappend x=1\n"),
        (b"label vmlinuz\n", b"label vmlinuz\n  append x=1\n"),
        (b"label hd\n localboot 0\n", b"label hd\n localboot 0\n"),
        (
            b"label a\nkernel k\ntext help\nappend this\nendtext\n",
            b"label a\nkernel k\nappend x=1\ntext help\nappend this\nendtext\n",
        ),
    ],
)
def test_words_are_appended_for_every_form_of_label(before: bytes, after: bytes) -> None:
    assert build_boot_menu(extend_append(parse_boot_menu(before), b"x=1")) == after


def test_only_blanks_separate_words() -> None:
    menu = parse_boot_menu(b"\x0btimeout 300\nappend a\x0bb\n")
    assert menu.timeout is None
    assert menu.option(b"append") == b"a\x0bb"
    assert build_boot_menu(set_option(menu, b"append", b"c")) == b"\x0btimeout 300\nappend c\n"


def test_invalid_values_are_ignored() -> None:
    assert parse_boot_menu(b"timeout soon\n").timeout is None
    assert parse_boot_menu(b"timeout " + b"9" * 5000).timeout is None
    assert parse_boot_menu(b"").default is None
    assert parse_boot_menu(b"default a\ndefault b\n").default == b"b"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"default a\nlabel a\nlabel b\n", b"default b\nlabel a\nlabel b\n"),
        (b"label a\nlabel b\n", b"default b\nlabel a\nlabel b\n"),
        (
            b"default a\nontimeout a\nlabel a\nlabel b\n",
            b"default b\nontimeout b\nlabel a\nlabel b\n",
        ),
        (
            b"default vesamenu.c32\nlabel a\n menu default\nlabel b\n kernel k\n",
            b"default vesamenu.c32\nlabel a\nlabel b\n  menu default\n kernel k\n",
        ),
        (
            b"ui menu.c32\ndefault a\nlabel a\nlabel b\n",
            b"ui menu.c32\ndefault b\nlabel a\nlabel b\n  menu default\n",
        ),
    ],
)
def test_default_is_set_for_prompt_menu_program_and_ontimeout(before: bytes, after: bytes) -> None:
    assert build_boot_menu(set_default(parse_boot_menu(before), b"b")) == after


def test_line_with_200000_blanks_is_read() -> None:
    line = b"append a" + b" " * 200_000 + b"c"
    assert parse_boot_menu(line).lines[0].argument == line.removeprefix(b"append ")


def test_words_are_dropped_from_the_command_lines_of_linux_only() -> None:
    before = (
        b"default vmlinuz  a=1 console=x\n"
        b"append\tquiet  a=1\nlabel l\n linux /k\n append a=1 b a=2\r\n"
        b"label m\n com32 chain.c32\n append a=1\nlabel n\n linux /k\n  append  b  c\n"
    )
    menu = drop_parameters(parse_boot_menu(before), lambda word: word.startswith(b"a="))
    assert build_boot_menu(menu) == (
        b"default vmlinuz console=x\n"
        b"append\tquiet\nlabel l\n linux /k\n append b\r\n"
        b"label m\n com32 chain.c32\n append a=1\nlabel n\n linux /k\n  append  b  c\n"
    )

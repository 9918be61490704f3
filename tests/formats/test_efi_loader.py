from __future__ import annotations

import pytest

from fixtures.kernel import make_kernel
from purekernel.errors import FormatError
from purekernel.formats.efi_loader import EfiLoader, LoaderKind, find_grub_menu, parse_loader
from purekernel.formats.pe import Machine
from purekernel.input import Input
from tests import debs, pes
from tests.formats import fats


def parse(data: bytes) -> EfiLoader:
    return parse_loader(Input(data, name="x.efi"))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (pes.make_grub(), LoaderKind.GRUB),
        (pes.make_grub(machine=Machine.IA32), LoaderKind.GRUB),
        (pes.make_systemd_boot(), LoaderKind.SYSTEMD_BOOT),
        (pes.make_syslinux(), LoaderKind.SYSLINUX),
        (pes.make_syslinux(Machine.IA32), LoaderKind.SYSLINUX),
        (pes.make_shim(), LoaderKind.SHIM),
        (
            pes.make_pe({b".sdmagic": pes.STUB_MAGIC, b".linux": b"kernel"}),
            LoaderKind.UNIFIED,
        ),
        (pes.make_pe(), None),
    ],
)
def test_content_tells_the_boot_loader(data: bytes, kind: LoaderKind | None) -> None:
    loader = parse(data)
    assert loader.kind is kind
    assert not loader.is_stub
    assert not loader.is_kernel


def test_stub_and_kernel_are_no_boot_loaders() -> None:
    assert parse(pes.make_stub()).is_stub
    assert parse(pes.make_stub()).kind is None
    kernel = parse(pes.with_efi_stub(make_kernel()))
    assert kernel.is_kernel
    assert kernel.kind is None


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (pes.make_pe(subsystem=11), "subsystem 11, for x86_64 (x64)"),
        (pes.make_pe(machine=0x200), "one for another processor"),
    ],
)
def test_file_that_uefi_cannot_start_is_refused(data: bytes, got: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(data)
    assert str(caught.value) == (
        "x.efi: expected a program for UEFI on x86 (ia32), x86_64 (x64), ARM, aarch64 (aa64), "
        f"RISC-V (riscv64), got {got}"
    )


# The menu of GRUB.

# As in Debian's images.
DEBIAN = b"""\
if [ -z "$prefix" -o ! -e "$prefix" ]; then
\tif ! search --file --set=root /.disk/info; then
\t\tsearch --file --set=root /.disk/mini-info
\tfi
\tset prefix=($root)/boot/grub
fi
if [ -e $prefix/x86_64-efi/grub.cfg ]; then
\tsource $prefix/x86_64-efi/grub.cfg
elif [ -e $prefix/grub.cfg ]; then
\tsource $prefix/grub.cfg
else
\tsource $cmdpath/grub.cfg
fi
"""
# As grub-mkrescue and grub-mkstandalone do it.
RESCUE = b"search.fs_uuid 2026-11-30-00-00-00-00 root\nset prefix=($root)/boot/grub\n"
STANDALONE = b"""\
# a comment; set prefix=/wrong
search --no-floppy --set=root --file /boot/corepure64.gz
set prefix=($root)/EFI/BOOT/grub
configfile $prefix/grub.cfg
"""
NORMAL = b"normal (memdisk)/grub.cfg\n"


def fat(script: bytes) -> bytes:
    return bytes(fats.make_fat12({"GRUB.CFG": script}))


def tar(script: bytes) -> bytes:
    return debs.tar([debs.entry("boot/grub/grub.cfg", script)])


@pytest.mark.parametrize(
    ("image", "path"),
    [
        (pes.make_grub(b"/EFI/debian"), b"EFI/debian/grub.cfg"),
        (pes.make_grub(b"/boot/grub", machine=Machine.IA32), b"boot/grub/grub.cfg"),
        (pes.make_grub(b"(,gpt1)/EFI/x/"), b"EFI/x/grub.cfg"),
        (pes.make_grub(b"/"), b"grub.cfg"),
        (
            pes.make_grub(b"/EFI/debian", config=NORMAL, memdisk=fat(DEBIAN)),
            b"EFI/debian/grub.cfg",
        ),
        (pes.make_grub(b"/", config=RESCUE), b"boot/grub/grub.cfg"),
        (
            pes.make_grub(b"(memdisk)/boot/grub", memdisk=tar(STANDALONE)),
            b"EFI/BOOT/grub/grub.cfg",
        ),
        (
            pes.make_grub(b"(memdisk)/boot/grub", memdisk=tar(b"set prefix='($root)/x'; normal")),
            b"x/grub.cfg",
        ),
        (pes.make_grub(b"(memdisk)/boot/grub", memdisk=tar(b"menuentry a {\n}\n")), None),
        (pes.make_grub(b"(memdisk)/boot/grub", memdisk=b"an unknown format"), None),
        (pes.make_grub(b"(memdisk)/boot/grub"), None),
        # A script that includes itself.
        (pes.make_grub(b"(memdisk)/x", config=NORMAL, memdisk=fat(NORMAL)), None),
    ],
)
def test_menu_of_grub_is_where_prefix_and_scripts_say(image: bytes, path: bytes | None) -> None:
    assert find_grub_menu(parse(image)) == path

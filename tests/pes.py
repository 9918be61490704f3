"""Make small PE files: the boot loaders of UEFI, stubs, and kernels with an EFI stub."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from purekernel.formats.pe import Machine

HEADER = 0x40
HEADERS_BYTES = 0x400
SECTION_ADDRESS = 0x1000
FILE_ALIGNMENT = 0x200

STUB_MAGIC = b"#### LoaderInfo: systemd-stub 252 ####"
SYSTEMD_BOOT_MAGIC = b"#### LoaderInfo: systemd-boot 252 ####"


def make_pe(
    sections: Mapping[bytes, bytes] | None = None,
    *,
    machine: int = Machine.X64.number,
    subsystem: int = 10,
    signature: bytes = b"",
    wide: bool = True,
    headers_bytes: int = HEADERS_BYTES,
    alignment: int = 0x1000,
) -> bytes:
    """Return a PE file: PE32+ or, if it is not ``wide``, PE32.

    Args:
        sections: the content of each section; by default one of code.
        machine: the number of the processor.
        subsystem: what the file is for.
        signature: a certificate table to put at the end.
        wide: the form of the optional header.
        headers_bytes: the size of the headers.
        alignment: the alignment of sections in memory.
    """
    sections = {b".text": b"\xc3"} if sections is None else sections
    optional_bytes = 240 if wide else 224
    optional = bytearray(optional_bytes)
    struct.pack_into("<H", optional, 0, 0x20B if wide else 0x10B)
    struct.pack_into("<II", optional, 32, alignment, FILE_ALIGNMENT)
    struct.pack_into("<I", optional, 60, headers_bytes)
    struct.pack_into("<H", optional, 68, subsystem)
    directories = 108 if wide else 92
    struct.pack_into("<I", optional, directories, 16)
    table = body = b""
    address = SECTION_ADDRESS
    for name, content in sections.items():
        stored = content + bytes(-len(content) % FILE_ALIGNMENT)
        table += struct.pack(
            "<8sIIIIIIHHI", name, len(content), address, len(stored), headers_bytes + len(body),
            0, 0, 0, 0, 0x6000_0020,
        )  # fmt: skip
        body += stored
        address += -(-len(content) // 0x1000) * 0x1000
    struct.pack_into("<I", optional, 56, address)
    if signature:
        struct.pack_into(
            "<II", optional, directories + 4 + 32, headers_bytes + len(body), len(signature)
        )
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", HEADER)
    head += b"PE\0\0" + struct.pack(
        "<HHIIIHH", machine, len(sections), 0, 0, 0, optional_bytes, 0x206
    )
    return (head + optional + table).ljust(headers_bytes, b"\0") + body + signature


def make_stub(**options: int | bytes) -> bytes:
    """Return a stub for unified kernel images."""
    return make_pe({b".text": b"\xc3", b".sdmagic": STUB_MAGIC}, **options)  # type: ignore[arg-type]


def make_systemd_boot(machine: Machine = Machine.X64) -> bytes:
    """Return systemd-boot."""
    sections = {b".text": b"\xc3", b".sdmagic": SYSTEMD_BOOT_MAGIC}
    return make_pe(sections, machine=machine.number, wide=machine is not Machine.IA32)


def make_grub(
    prefix: bytes = b"/EFI/debian",
    *,
    config: bytes = b"",
    memdisk: bytes = b"",
    machine: Machine = Machine.X64,
    signature: bytes = b"",
) -> bytes:
    """Return an image of GRUB, with a module and the objects that are given."""
    wide = machine is not Machine.IA32
    unit = 8 if wide else 4
    objects = b""
    for kind, content in ((0, b"\x7fELF"), (1, memdisk), (2, config), (3, prefix)):
        if content:
            padded = content + bytes(unit - len(content) % unit)
            objects += struct.pack("<II", kind, 8 + len(padded)) + padded
    if wide:
        section = b"mimg" + struct.pack("<IQQ", 0, 24, 24 + len(objects)) + objects
    else:
        section = b"mimg" + struct.pack("<II", 12, 12 + len(objects)) + objects
    return make_pe(
        {b".text": b"\xc3", b"mods": section.ljust(24, b"\0")},
        machine=machine.number,
        wide=wide,
        signature=signature,
    )


def make_shim(*, signature: bytes = b"") -> bytes:
    """Return shim."""
    sbat = b"sbat,1,SBAT Version\nshim,4,UEFI shim,shim,1,https://example.org\n"
    return make_pe({b".text": b"\xc3", b".sbat": sbat}, signature=signature)


def make_syslinux(machine: Machine = Machine.X64) -> bytes:
    """Return SYSLINUX."""
    core = b"ldlinux.e32" if machine is Machine.IA32 else b"ldlinux.e64"
    return make_pe(
        {b".text": core + b"\0"}, machine=machine.number, wide=machine is not Machine.IA32
    )


def with_efi_stub(
    kernel: bytes, machine: Machine = Machine.X64, *, signature: bytes = b""
) -> bytes:
    """Return a bzImage with the PE header of a kernel with an EFI stub."""
    pe = bytearray(
        make_pe({}, machine=machine.number, wide=machine is not Machine.IA32, signature=signature)
    )
    # The kernel's own header begins at 0x1F1.
    end = 0x1F1
    struct.pack_into("<I", pe, HEADER + 24 + 56, len(kernel) + 0x10000)
    if signature:
        offset = HEADER + 24 + (108 if machine is not Machine.IA32 else 92) + 4 + 32
        struct.pack_into("<II", pe, offset, len(kernel), len(signature))
    whole = bytearray(kernel)
    whole[:end] = pe[:end]
    whole[0x236] |= 1 if machine is Machine.X64 else 0
    return bytes(whole) + signature

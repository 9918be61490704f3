"""Fuzz the readers of programs, kernels, modules and their indexes."""

from __future__ import annotations

from collections.abc import Callable

from fuzz import mutators
from fuzz.target import Plant, attempt, given, require_equal, target
from purekernel.formats.bzimage import (
    kernel_release,
    parse_boot_header,
    payload_kind,
    unpack_kernel,
)
from purekernel.formats.disk_boot import DiskFile, build_disk_boot
from purekernel.formats.efi_loader import find_grub_menu, find_scripts, parse_loader
from purekernel.formats.elf import (
    parse_elf_header,
    parse_object,
    parse_shared_library,
    read_object,
)
from purekernel.formats.elf.reader import parse_elf
from purekernel.formats.initramfs import read_compressions
from purekernel.formats.kernel_module import (
    describe_module,
    list_module,
    parse_kernel_module,
)
from purekernel.formats.ld_cache import build_ld_cache, list_ld_cache, parse_ld_cache
from purekernel.formats.ld_cache.layout import CacheFormat
from purekernel.formats.module_index import build_index, parse_index
from purekernel.formats.pe import NewSection, add_sections, parse_pe
from purekernel.rootfs.depmod import parse_symvers, parse_system_map


@target(
    Plant(path="formats/elf/reader.py", before='raise self.file.fail(offset, "a'),
    Plant(path="formats/elf/library.py", before="return elf.view[:0]"),
)
def elf(data: bytes) -> None:
    """Read a shared library, by each rule of ldconfig's releases."""
    for byte_order in (None, "little", "big"):
        header = attempt(parse_elf_header, given(data), byte_order=byte_order)
        if header is None:
            continue
        attempt(parse_elf, given(data), header)
        for modern in (True, False):
            attempt(
                parse_shared_library,
                given(data),
                header,
                pointer_bytes=8 if modern else 4,
                aligned_notes=modern,
                strings_by_segment=modern,
            )


@target(
    Plant(path="formats/elf/object.py", before='raise self._fail(dynamic.offset, "a table'),
)
def elf_object(data: bytes) -> None:
    """Read a program or a library as the loader does, whole and in parts."""
    whole = attempt(parse_object, given(data))
    parts = attempt(read_object, _reader(data), len(data), name="input")
    require_equal("object", parts, whole)


@target(
    Plant(path="formats/pe.py", before="raise file.fail(entry"),
    Plant(path="formats/efi_loader.py", before="break"),
)
def efi_loader(data: bytes) -> None:
    """Read a boot loader of UEFI; add a section, and read it again."""
    loader = attempt(parse_loader, given(data))
    if loader is not None:
        attempt(find_grub_menu, loader)
        attempt(find_scripts, loader)
    image = attempt(parse_pe, given(data))
    if image is None:
        return
    section = NewSection(name=b".fuzz", content=[b"added"])
    whole = attempt(add_sections, image, [section])
    if whole is not None:
        again = attempt(parse_pe, given(bytes(whole)))
        if again is not None:
            require_equal("added section", bytes(again.section(b".fuzz") or b""), b"added")


def _reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda start, size_bytes: data[start : start + size_bytes]


@target(
    Plant(path="formats/ld_cache/reader.py", before='raise file.fail(start, f"an extension'),
)
def ld_cache(data: bytes) -> None:
    """Read a loader's cache; write what is read, and read it again."""
    cache = attempt(parse_ld_cache, given(data))
    if cache is None:
        return
    list_ld_cache(cache, name=b"/etc/ld.so.cache")
    again = attempt(
        build_ld_cache, cache.entries, format=CacheFormat.NEW, generator=cache.generator
    )
    if again is not None:
        found = parse_ld_cache(given(again))
        require_equal(
            "ld.so.cache", sorted(map(repr, found.entries)), sorted(map(repr, cache.entries))
        )


@target(
    Plant(path="formats/kernel_module/sections.py", before='raise file.fail(offset, "names of'),
    Plant(path="formats/kernel_module/reader.py", before="return [ExportedSymbol(name, 0)"),
    mutate=mutators.packed(),
)
def kernel_module(data: bytes) -> None:
    """Read a kernel module, packed or not, and its signature."""
    attempt(parse_kernel_module, given(data))
    information = attempt(describe_module, given(data))
    if information is not None:
        list_module(information, file_name=b"x.ko")


@target(
    Plant(
        path="formats/module_index.py",
        before='raise self._truncated(position, "a range of characters")',
    ),
)
def module_index(data: bytes) -> None:
    """Read an index of modules; write what is read, and read it again."""
    entries = attempt(parse_index, given(data))
    if entries is None:
        return
    for root_first in (False, True):
        again = attempt(build_index, entries, root_first=root_first)
        if again is not None:
            found = parse_index(given(again))
            require_equal("index", sorted(found), sorted(entries))


@target(
    Plant(path="formats/initramfs.py", before="return None"),
    Plant(path="formats/bzimage.py", before="continue"),
    mutate=mutators.kernel,
)
def kernel(data: bytes) -> None:
    """Read a kernel's header, release and code, and what it can unpack; boot it from a disk."""
    attempt(kernel_release, data)
    attempt(parse_boot_header, given(data))
    attempt(payload_kind, given(data))
    file = DiskFile(size_bytes=len(data), sectors=((2048, len(data) // 512 + 1),))
    attempt(build_disk_boot, given(data), file, [file], [data[:16]])
    attempt(unpack_kernel, given(data))
    attempt(read_compressions, given(data))


@target(
    Plant(path="rootfs/depmod/kernel_symbols.py", before="symbols[words[1]] = int(words[0], 16)"),
)
def kernel_symbols(data: bytes) -> None:
    """Read the lists of a kernel's symbols."""
    parse_system_map(data)
    parse_symvers(data)

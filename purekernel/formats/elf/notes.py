"""The notes of an ELF file that its makers leave for loaders.

Source: Linux Extensions to gABI, "Program Property"; the x86-64 psABI, "ISA needed"; the ABI
note of the Linux Standard Base, "ABI note tag".
"""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.formats.elf.layout import (
    NT_GNU_ABI_TAG,
    NT_GNU_PROPERTY_TYPE_0,
    PT_GNU_PROPERTY,
    PT_NOTE,
)
from purekernel.formats.elf.reader import Elf, Segment

# The levels that a file needs, as bits: 0 is the baseline, 1 is x86-64-v2, and so on.
GNU_PROPERTY_X86_ISA_1_NEEDED = 0xC0008002

NOTE_HEADER_BYTES = 12
OWNER = b"GNU\0"

# The word in an ABI note for a file that needs Linux, before the three of its version.
ABI_LINUX = 0


def read_isa_level(elf: Elf) -> int:
    """Return the highest level of x86 instructions that the file needs, 0 where it says none."""
    level = 0
    for segment in elf.segments:
        if segment.type == PT_GNU_PROPERTY and segment.align == elf.layout.word_bytes:
            for kind, content in _notes(elf, segment):
                if kind == NT_GNU_PROPERTY_TYPE_0:
                    level = _isa_needed(elf, content, level)
                    break
    return level


def read_os_version(elf: Elf) -> int:
    """Return the oldest Linux that the file runs on: 0x020600 for 2.6.0, 0 where it says none."""
    word = elf.layout.word
    for segment in elf.segments:
        if segment.type != PT_NOTE:
            continue
        for kind, content in _notes(elf, segment):
            if kind == NT_GNU_ABI_TAG and len(content) >= 4 * word.size:
                system, major, minor, sub = (
                    word.unpack_from(content, index * word.size)[0] for index in range(4)
                )
                if system == ABI_LINUX:
                    return int((major & 0xFF) << 16 | (minor & 0xFF) << 8 | sub & 0xFF)
    return 0


def _notes(elf: Elf, segment: Segment) -> Iterator[tuple[int, memoryview]]:
    """Yield type and content of those notes in ``segment`` that are GNU's."""
    align = 8 if segment.align == 8 else 4
    view = elf.view[segment.offset : segment.offset + segment.filesz]
    word = elf.layout.word
    here = 0
    while here + NOTE_HEADER_BYTES < len(view):
        name_bytes, content_bytes, kind = (
            word.unpack_from(view, here + index * word.size)[0] for index in range(3)
        )
        name_end = here + NOTE_HEADER_BYTES + name_bytes
        start = here + _align(NOTE_HEADER_BYTES + name_bytes, align)
        if start + content_bytes > len(view):
            return
        if view[here + NOTE_HEADER_BYTES : name_end] == OWNER:
            yield kind, view[start : start + content_bytes]
        here = start + _align(content_bytes, align)


def _isa_needed(elf: Elf, properties: memoryview, level: int) -> int:
    """Return the level in a note of properties, or ``level`` where it has none."""
    word = elf.layout.word
    here = 0
    last = 0
    while len(properties) - here >= 2 * word.size:
        (kind,) = word.unpack_from(properties, here)
        (size,) = word.unpack_from(properties, here + word.size)
        here += 2 * word.size
        # They are sorted: what comes behind a greater one was not written by a linker.
        if kind < last or here + size > len(properties):
            break
        last = kind
        if kind >= GNU_PROPERTY_X86_ISA_1_NEEDED:
            if kind == GNU_PROPERTY_X86_ISA_1_NEEDED and size == word.size:
                (needed,) = word.unpack_from(properties, here)
                return int(needed).bit_length() - 1 if needed else level
            break
        here += _align(size, elf.layout.word_bytes)
    return level


def _align(size: int, alignment: int) -> int:
    return size + -size % alignment

"""The notes of an ELF file that its makers leave for loaders.

Source: Linux Extensions to gABI, "Program Property"; the x86-64 psABI, "ISA needed"; the ABI
note of the Linux Standard Base, "ABI note tag".
"""

from __future__ import annotations

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

# Header, owner, and four words: the system, and the version that is needed.
ABI_NOTE_BYTES = 32


def read_isa_level(elf: Elf) -> int:
    """Return the highest level of x86 instructions that the file needs, 0 where it says none.

    Read as ldconfig does: the note counts as long as it says it is, though it ran out of its
    segment.
    """
    level = 0
    for segment in elf.segments:
        if segment.type == PT_GNU_PROPERTY and segment.align == elf.layout.word_bytes:
            level = _isa_needed(elf, _properties(elf, segment), level)
    return level


def _properties(elf: Elf, segment: Segment) -> memoryview:
    """Return the first note of properties in ``segment``, empty where there is none."""
    word = elf.layout.word
    here = 0
    while here + NOTE_HEADER_BYTES < segment.filesz:
        start = segment.offset + here
        if start + NOTE_HEADER_BYTES + len(OWNER) > len(elf.view):
            break
        name_bytes, content_bytes, kind = (
            word.unpack_from(elf.view, start + index * word.size)[0] for index in range(3)
        )
        content = start + NOTE_HEADER_BYTES + len(OWNER)
        if (name_bytes, kind) == (len(OWNER), NT_GNU_PROPERTY_TYPE_0) and (
            elf.view[start + NOTE_HEADER_BYTES : content] == OWNER
        ):
            if content_bytes < 2 * word.size or content_bytes % elf.layout.word_bytes:
                break
            return elf.view[content : content + content_bytes]
        here += _note_bytes(name_bytes, content_bytes, segment.align)
    return elf.view[:0]


def read_os_version(elf: Elf, *, aligned: bool = True) -> int:
    """Return the oldest system that the file runs on: 0x020600 for Linux 2.6.0.

    Returns 0 where it says none. Other systems than Linux have a number in the highest byte.
    Read as ldconfig of glibc 2.13 to 2.35 does: the last note of a segment is not seen where
    fewer than 32 bytes are left for it, nor any in a segment of odd alignment.

    Args:
        elf: the file.
        aligned: whether notes are aligned as their segment is, as from glibc 2.27 on; before,
            all were to 4 bytes.
    """
    for segment in elf.segments:
        if segment.type != PT_NOTE or segment.filesz < ABI_NOTE_BYTES or segment.align < 4:
            continue
        if aligned and segment.align not in (4, 8):
            continue
        version = _abi_version(elf, segment, align=segment.align if aligned else 4)
        if version:
            return version
    return 0


def _abi_version(elf: Elf, segment: Segment, *, align: int) -> int:
    """Return what the ABI note in a segment says, 0 if there is none."""
    word = elf.layout.word
    here = segment.offset
    left = segment.filesz
    while here + ABI_NOTE_BYTES <= len(elf.view):
        name_bytes, content_bytes, kind = (
            word.unpack_from(elf.view, here + index * word.size)[0] for index in range(3)
        )
        name = elf.view[here + NOTE_HEADER_BYTES : here + NOTE_HEADER_BYTES + len(OWNER)]
        if (name_bytes, content_bytes, kind) == (len(OWNER), 16, NT_GNU_ABI_TAG) and name == OWNER:
            system, major, minor, sub = (
                word.unpack_from(elf.view, here + 16 + index * word.size)[0] for index in range(4)
            )
            numbers = bytes(number & 0xFF for number in (system, major, minor, sub))
            return int.from_bytes(numbers, "big")
        note_bytes = _note_bytes(name_bytes, content_bytes, align)
        if left - ABI_NOTE_BYTES < note_bytes:
            break
        left -= note_bytes
        here += note_bytes
    return 0


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


def _note_bytes(name_bytes: int, content_bytes: int, align: int) -> int:
    return _align(_align(NOTE_HEADER_BYTES + name_bytes, align) + content_bytes, align)


def _align(size: int, alignment: int) -> int:
    return size + -size % alignment

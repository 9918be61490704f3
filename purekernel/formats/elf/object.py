"""Read what the dynamic loader reads of a program or a library: libraries, folders, versions.

Only these parts of the file are read, so that it need not be unpacked as a whole. Faults are
refused where glibc's loader would fail too; what it ignores, such as sections, is not read.

Source: System V Application Binary Interface, chapter 5; the Linux Standard Base, "Symbol
Versioning"; glibc, elf/dl-load.c and elf/dl-version.c; Linux, fs/binfmt_elf.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import field

from purekernel.formats.elf.layout import (
    DF_1_NODEFLIB,
    DT_FLAGS_1,
    DT_NEEDED,
    DT_NULL,
    DT_RPATH,
    DT_RUNPATH,
    DT_SONAME,
    DT_STRTAB,
    DT_VERDEF,
    DT_VERNEED,
    ET_DYN,
    ET_EXEC,
    PT_DYNAMIC,
    PT_INTERP,
    PT_LOAD,
    VER_FLG_WEAK,
)
from purekernel.formats.elf.reader import (
    MAX_STRING_BYTES,
    ElfHeader,
    ElfSegment,
    parse_elf_header,
)
from purekernel.input import Buffer, Input
from purekernel.records import frozen

# The longest ELF header, that of 64 bits.
HEADER_BYTES = 64

# Linux refuses programs with more program headers (load_elf_phdrs in fs/binfmt_elf.c).
MAX_PROGRAM_HEADER_BYTES = 65_536

# Real dynamic sections have tens of entries, and one for each library needed.
MAX_DYNAMIC_BYTES = 1 << 20

# glibc 2.42 defines 46 versions, and needs 6. Each may cost a read of a whole string.
MAX_VERSIONS = 4096
MAX_NEEDED = 4096

# Most names end within this many bytes; longer ones are read again.
_USUAL_STRING_BYTES = 128

Read = Callable[[int, int], Buffer]
"""Return bytes of a file, given their start and size; fewer at the end of the file."""


@frozen
class NeededVersion:
    """A version that a file needs of a library.

    Attributes:
        library: name of the library, as among the needed libraries.
        name: such as ``GLIBC_2.28``.
        is_weak: whether the loader only warns if the library lacks the version.
    """

    library: bytes
    name: bytes
    is_weak: bool = False


@frozen(kw_only=True)
class ElfObject:
    """A program or a library, as the dynamic loader sees it.

    Attributes:
        header: its header.
        interpreter: path of its loader; ``None`` in most libraries and in static programs.
        is_dynamic: whether it has a dynamic section.
        soname: the name that programs request; ``None`` without one.
        needed: names of the libraries that it needs, in order.
        rpath: the folders of ``DT_RPATH``, separated by colons; empty without any.
        runpath: those of ``DT_RUNPATH``, which replaces ``DT_RPATH``; ``None`` without one.
        skips_default_folders: whether the loader's default folders are not searched.
        needed_versions: the versions that it needs of libraries.
        versions: the versions that it defines; its own name is among them.
    """

    header: ElfHeader
    interpreter: bytes | None = None
    is_dynamic: bool = False
    soname: bytes | None = None
    needed: tuple[bytes, ...] = ()
    rpath: bytes = b""
    runpath: bytes | None = None
    skips_default_folders: bool = False
    needed_versions: tuple[NeededVersion, ...] = field(default=(), repr=False)
    versions: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def is_program(self) -> bool:
        """Whether the kernel can run it: it names a loader, or is static and no library."""
        return self.interpreter is not None or self.header.type == ET_EXEC


def parse_object(file: Input) -> ElfObject | None:
    """Return a program or library; ``None`` for other ELF files, such as kernel modules.

    Raises:
        FormatError: the file is not an ELF file, or it is damaged.
    """
    view = file.view
    return read_object(
        lambda start, size_bytes: view[start : start + size_bytes], len(file), name=file.name
    )


def read_object(read: Read, size_bytes: int, *, name: str) -> ElfObject | None:
    """Return a program or library, as :func:`parse_object` does, from a file read in parts.

    Args:
        read: reads a part of the file.
        size_bytes: the size of the file.
        name: the name of the file, for messages.

    Raises:
        FormatError: as :func:`parse_object`.
        PurekernelError: ``read`` raises it.
    """
    head = read(0, HEADER_BYTES)
    header = parse_elf_header(Input(head, name=name))
    if header.type not in (ET_EXEC, ET_DYN):
        return None
    return _ObjectReader(read, size_bytes, header, Input(head, name=name)).read()


class _ObjectReader:
    """Read one object."""

    def __init__(self, read: Read, size_bytes: int, header: ElfHeader, file: Input) -> None:
        self._read = read
        self._size_bytes = size_bytes
        self._header = header
        self._layout = header.layout
        self._file = file
        self._segments = self._read_segments()
        self._strings = 0

    def read(self) -> ElfObject:
        """Return the object."""
        interpreter = self._segment(PT_INTERP)
        loader = None if interpreter is None else self._string(interpreter.offset)
        dynamic = self._segment(PT_DYNAMIC)
        if dynamic is None:
            return ElfObject(header=self._header, interpreter=loader)
        entries = self._entries(dynamic)
        # Of tags that may be given once, the last counts.
        last = dict(entries)
        needed = [value for tag, value in entries if tag == DT_NEEDED]
        if len(needed) > MAX_NEEDED:
            raise self._fail(dynamic.offset, f"at most {MAX_NEEDED} needed libraries", "more")
        if DT_STRTAB in last:
            self._strings = self._offset(last[DT_STRTAB])
        elif needed or DT_VERNEED in last or DT_VERDEF in last:
            raise self._fail(dynamic.offset, "a table of strings", "none")
        verneed, verdef = last.get(DT_VERNEED), last.get(DT_VERDEF)
        return ElfObject(
            header=self._header,
            interpreter=loader,
            is_dynamic=True,
            soname=self._name(last.get(DT_SONAME)),
            needed=tuple(self._string(self._strings + value) for value in needed),
            rpath=self._name(last.get(DT_RPATH)) or b"",
            runpath=self._name(last.get(DT_RUNPATH)),
            skips_default_folders=bool(last.get(DT_FLAGS_1, 0) & DF_1_NODEFLIB),
            needed_versions=() if verneed is None else tuple(self._needed_versions(verneed)),
            versions=() if verdef is None else tuple(self._versions(verdef)),
        )

    def _read_segments(self) -> tuple[ElfSegment, ...]:
        layout, header = self._layout.program_header, self._header
        size_bytes = header.phnum * layout.size
        if size_bytes > MAX_PROGRAM_HEADER_BYTES:
            raise self._fail(
                header.phoff,
                f"at most {MAX_PROGRAM_HEADER_BYTES} bytes of program headers",
                f"{size_bytes}",
            )
        data = self._part(header.phoff, size_bytes, f"{header.phnum} program headers")
        return tuple(map(ElfSegment._make, layout.iter_unpack(data)))

    def _segment(self, kind: int) -> ElfSegment | None:
        return next((segment for segment in self._segments if segment.type == kind), None)

    def _entries(self, dynamic: ElfSegment) -> list[tuple[int, int]]:
        entry = self._layout.dynamic
        size_bytes = min(dynamic.filesz, MAX_DYNAMIC_BYTES)
        data = self._part(dynamic.offset, size_bytes - size_bytes % entry.size, "a dynamic section")
        entries: list[tuple[int, int]] = []
        for tag, value in entry.iter_unpack(data):
            if tag == DT_NULL:
                return entries
            entries.append((tag, value))
        # The loader would read on in memory, where zeros usually follow.
        return entries

    def _needed_versions(self, address: int) -> Iterator[NeededVersion]:
        start, count = self._offset(address), 0
        layout = self._layout
        while True:
            _versions, library, aux, following = layout.verneed.unpack(
                self._part(start, layout.verneed.size, "a needed version")
            )
            name = self._string(self._strings + library)
            at = start + aux
            while True:
                count += 1
                if count > MAX_VERSIONS:
                    raise self._fail(start, f"at most {MAX_VERSIONS} needed versions", "more")
                flags, version, step = layout.vernaux.unpack(
                    self._part(at, layout.vernaux.size, "a needed version")
                )
                text = self._string(self._strings + version)
                yield NeededVersion(name, text, bool(flags & VER_FLG_WEAK))
                if not step:
                    break
                at += step
            if not following:
                return
            start += following

    def _versions(self, address: int) -> Iterator[bytes]:
        start = self._offset(address)
        layout = self._layout
        for _index in range(MAX_VERSIONS):
            aux, following = layout.verdef.unpack(
                self._part(start, layout.verdef.size, "a defined version")
            )
            (name,) = layout.word.unpack(
                self._part(start + aux, layout.word.size, "the name of a version")
            )
            yield self._string(self._strings + name)
            if not following:
                return
            start += following
        raise self._fail(start, f"at most {MAX_VERSIONS} defined versions", "more")

    def _offset(self, address: int) -> int:
        """Return the file offset of what is loaded at ``address``."""
        for segment in self._segments:
            if segment.type == PT_LOAD and 0 <= address - segment.vaddr < segment.filesz:
                return address - segment.vaddr + segment.offset
        raise self._fail(None, "an address in a loaded segment", f"{address:#x}")

    def _name(self, value: int | None) -> bytes | None:
        return None if value is None else self._string(self._strings + value)

    def _string(self, offset: int) -> bytes:
        for most_bytes in (_USUAL_STRING_BYTES, MAX_STRING_BYTES):
            text, nul, _rest = bytes(self._read(offset, most_bytes)).partition(b"\0")
            if nul:
                return text
        raise self._fail(
            offset,
            f"a string of less than {MAX_STRING_BYTES} bytes that ends in a NUL",
            "a longer one" if len(text) == MAX_STRING_BYTES else "the end of the file",
        )

    def _part(self, start: int, size_bytes: int, what: str) -> Buffer:
        data = self._read(start, size_bytes) if start < self._size_bytes else b""
        if len(data) != size_bytes:
            raise self._fail(start, what, "the end of the file")
        return data

    def _fail(self, offset: int | None, expected: str, got: str) -> Exception:
        return self._file.fail(offset, expected, got)

"""Read and change the menus of systemd-boot; all bytes that do not change are kept.

Source: the Boot Loader Specification (UAPI.1), "Type #1"; loader.conf(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cached_property

from attrs import field

from purekernel.formats.menu_edit import (
    WORD,
    EntryEdit,
    FoundEntry,
    Span,
    Splice,
    edit_words,
    is_other_program,
)
from purekernel.records import frozen

ENTRY_ENDING = b".conf"

_LINE = re.compile(rb"[ \t]*(?:([^\s#]+)(?:[ \t]+([^\n]*))?|[^\n]*)(\n|\Z)")
_NUMBER = re.compile(rb"[0-9]{1,9}")
# Kernels by name, which start by their EFI stub if "efi" names them.
_KERNEL = re.compile(rb"(?:vmlinuz|vmlinux|bzimage|linux)[^/]*", re.IGNORECASE)

_TENTHS = 10
# What waits for the user.
_FOREVER = b"menu-force"


@frozen(kw_only=True)
class LoaderLine:
    """A line with a key.

    Attributes:
        start: where the line starts in the file.
        end: where the next one starts.
        key: the key, in lower case.
        value_start: where the value starts.
        value: the value, without blanks around it.
    """

    start: int
    end: int
    key: bytes
    value_start: int
    value: bytes

    @property
    def value_end(self) -> int:
        """Where the value ends."""
        return self.value_start + len(self.value)


@frozen(kw_only=True)
class LoaderFile:
    """A file of ``loader/entries``, or ``loader.conf``.

    Attributes:
        data: its bytes.
        lines: the lines that have a key.
    """

    data: bytes = field(repr=False)
    lines: tuple[LoaderLine, ...]

    def values(self, key: bytes) -> list[LoaderLine]:
        """Return the lines with a key, in order."""
        return [line for line in self.lines if line.key == key]

    def value(self, key: bytes) -> bytes | None:
        """Return the value of the last line with a key."""
        lines = self.values(key)
        return lines[-1].value if lines else None

    @property
    def ending(self) -> bytes:
        """How its lines end."""
        return b"\r\n" if b"\r\n" in self.data[:4096] else b"\n"

    # An entry.

    def found(self, name: bytes) -> FoundEntry:
        """Return what an entry boots.

        Args:
            name: the name of its file.
        """
        title = self.value(b"title") or b""
        kernel = self._kernel
        return FoundEntry(
            names=(name.removesuffix(ENTRY_ENDING), name, *filter(None, [title])),
            title=title or name.removesuffix(ENTRY_ENDING),
            kernel=None if kernel is None else kernel.value,
            initrds=tuple(line.value for line in self.values(b"initrd")),
            words=tuple(span.text or b"" for span in self._words),
        )

    def edit_entry(self, edit: EntryEdit) -> list[Splice]:
        """Return the splices that change what an entry boots."""
        kernel, options = self._kernel, self.values(b"options")
        if kernel is None:
            return []
        splices: list[Splice] = []
        if options:
            before = options[0].value_start
            splices += edit_words(before, self._words, edit, bytes)
        elif edit.add:
            new = b"options " + b" ".join(edit.add) + self.ending
            splices.append(self._insert(kernel, new))
        lines = self.values(b"initrd")
        paths = [line.value for line in lines]
        changed = list(edit.initrds(paths)) if paths else paths
        if changed != paths:
            splices += self._edit_initrds(lines, changed)
        return splices

    # loader.conf

    @property
    def timeout(self) -> int | None:
        """The timeout in tenths of a second; 0 for at once; ``None`` for waiting."""
        value = self.value(b"timeout")
        if value is None or value in (b"menu-hidden", b"menu-disabled"):
            return 0
        return int(value) * _TENTHS if _NUMBER.fullmatch(value) else None

    def default_of(self, names: Sequence[bytes]) -> int | None:
        """Return the index of the default entry; ``None`` if the file does not say.

        Args:
            names: the names of the files of all entries.
        """
        pattern = self.value(b"default")
        if pattern is None or pattern.startswith(b"@") or len(pattern) > 255:
            return None
        wanted = pattern.lower()
        for index, name in enumerate(names):
            lower = name.lower()
            # Before release 249, a pattern was for the name without its ending.
            if fnmatchcase(lower, wanted) or fnmatchcase(
                lower.removesuffix(ENTRY_ENDING), wanted.removesuffix(ENTRY_ENDING)
            ):
                return index
        return None

    def edit_timeout(self, tenths: int) -> list[Splice]:
        """Return the splices that set the timeout: tenths of a second, rounded up to seconds.

        0 waits for the user.
        """
        value = b"%d" % -(-tenths // _TENTHS) if tenths else _FOREVER
        return self._edit_value(b"timeout", value)

    def edit_default(self, name: bytes) -> list[Splice]:
        """Return the splices that set the default to the entry whose file has a name."""
        return self._edit_value(b"default", name)

    # How it is changed.

    def _edit_value(self, key: bytes, value: bytes) -> list[Splice]:
        lines = self.values(key)
        if not lines:
            return [Splice(start=0, end=0, new=key + b" " + value + self.ending)]
        return [
            Splice(start=line.value_start, end=line.value_end, new=value)
            for line in lines
            if line.value != value
        ]

    @property
    def _kernel(self) -> LoaderLine | None:
        """The line that names a Linux kernel."""
        for line in reversed(self.lines):
            if line.key == b"linux" and line.value and not is_other_program(line.value):
                return line
            base = line.value.replace(b"\\", b"/").rpartition(b"/")[2]
            if line.key == b"efi" and _KERNEL.fullmatch(base):
                return line
        return None

    @cached_property
    def _words(self) -> list[Span]:
        """The words of the command line, which all lines with "options" make."""
        return [
            Span(
                start=line.value_start + match.start(),
                end=line.value_start + match.end(),
                text=match[0],
            )
            for line in self.values(b"options")
            for match in WORD.finditer(line.value)
        ]

    def _edit_initrds(
        self, lines: Sequence[LoaderLine], paths: Sequence[bytes]
    ) -> Iterator[Splice]:
        for line, path in zip(lines, paths, strict=False):
            if line.value != path:
                yield Splice(start=line.value_start, end=line.value_end, new=path)
        for line in lines[len(paths) :]:
            yield Splice(start=line.start, end=line.end, new=b"")
        added = b"".join(b"initrd " + path + self.ending for path in paths[len(lines) :])
        if added:
            yield self._insert(lines[-1], added)

    def _insert(self, line: LoaderLine, new: bytes) -> Splice:
        """Return the splice that adds lines below a line, which may be the last, without an end."""
        if not self.data[line.start : line.end].endswith(b"\n"):
            new = self.ending + new.removesuffix(self.ending)
        return Splice(start=line.end, end=line.end, new=new)


def parse_loader_file(data: bytes) -> LoaderFile:
    """Return the file in ``data``; no file is invalid."""
    return LoaderFile(data=data, lines=tuple(_lines(data)))


def _lines(data: bytes) -> Iterator[LoaderLine]:
    offset = 0
    while offset < len(data):
        match = _LINE.match(data, offset)
        assert match is not None  # noqa: S101  # it matches any line
        key, value = match[1], match[2]
        # systemd-boot, too, ignores a key that nothing follows.
        if key is not None and value is not None:
            yield LoaderLine(
                start=offset,
                end=match.end(),
                key=key.lower(),
                value_start=match.start(2),
                value=value.rstrip(b" \t\r"),
            )
        offset = match.end()

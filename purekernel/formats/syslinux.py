"""The configuration file of isolinux and its kin, edited by structure.

Lines that no edit touches keep their bytes. Source: the Syslinux Project's config
reference ("Configuration file options").
"""

from __future__ import annotations

import re

from attrs import evolve, field, frozen

# Options whose kernel is no Linux: these names boot something else, and take no APPEND
# that a kernel would read.
_OTHER_KINDS = (b".c32", b".com", b".cbt", b".bss", b".bs", b".bin", b".img", b".0")

# Keywords that name what a label boots.
_KERNEL_KEYWORDS = (b"kernel", b"linux")

_LINE = re.compile(rb"(?P<indent>[ \t]*)(?P<keyword>[^ \t]*)(?P<gap>[ \t]*)(?P<rest>.*?)[ \t\r]*")


@frozen(kw_only=True)
class Line:
    """One line.

    Attributes:
        raw: the bytes as they stand, without the newline.
        keyword: its first word in lower case; empty for blank lines and comments.
        argument: all that follows the keyword, without the blanks around it.
        label: the label it belongs to; ``None`` before the first.
    """

    raw: bytes
    keyword: bytes
    argument: bytes
    label: bytes | None

    def with_argument(self, argument: bytes) -> Line:
        """Return the line with another argument, and its keyword and indent as they were."""
        match = _LINE.match(self.raw)
        indent, keyword, gap = match.group("indent", "keyword", "gap") if match else (b"",) * 3
        ending = b"\r" if self.raw.endswith(b"\r") else b""
        raw = indent + keyword + (gap or b" ") + argument + ending
        return evolve(self, raw=raw, argument=argument)


@frozen(kw_only=True)
class BootMenu:
    """A whole configuration file."""

    lines: tuple[Line, ...] = field(default=())

    @property
    def labels(self) -> tuple[bytes, ...]:
        """The labels in their order."""
        return tuple(line.argument for line in self.lines if line.keyword == b"label")

    @property
    def default(self) -> bytes | None:
        """The label that boots when nobody chooses."""
        return self.option(b"default")

    @property
    def timeout(self) -> int | None:
        """Tenths of a second until the default boots; ``None`` where none is set."""
        text = self.option(b"timeout")
        return int(text) if text is not None and text.isdigit() else None

    def option(self, keyword: bytes, label: bytes | None = None) -> bytes | None:
        """Return what the last ``keyword`` of ``label``, or of the whole menu, says."""
        for line in reversed(self.lines):
            if line.keyword == keyword and line.label == label:
                return line.argument
        return None

    def kernel(self, label: bytes) -> bytes | None:
        """Return the path of the Linux kernel that ``label`` boots, if it boots one."""
        for keyword in _KERNEL_KEYWORDS:
            path = self.option(keyword, label)
            if path is not None and not path.lower().endswith(_OTHER_KINDS):
                return path
        return None

    def append(self, label: bytes) -> bytes:
        """Return the kernel command line of ``label``; a lone ``-`` means an empty one."""
        own = self.option(b"append", label)
        found = self.option(b"append") if own is None else own
        return b"" if found in (None, b"-") else bytes(found or b"")


def parse_boot_menu(data: bytes) -> BootMenu:
    """Return the menu in ``data``; every file is one, however odd."""
    lines: list[Line] = []
    label: bytes | None = None
    for raw in data.split(b"\n"):
        match = _LINE.fullmatch(raw)
        keyword, argument = match.group("keyword", "rest") if match else (b"", b"")
        keyword = keyword.lower()
        if keyword.startswith(b"#"):
            keyword, argument = b"", b""
        if keyword == b"label":
            label = argument
        # These stand for the whole menu wherever they are.
        whole = keyword in (b"default", b"timeout", b"ontimeout", b"prompt", b"implicit")
        whole = whole or re.fullmatch(rb"f([1-9]|1[0-2])", keyword) is not None
        lines.append(
            Line(raw=raw, keyword=keyword, argument=argument, label=None if whole else label)
        )
    return BootMenu(lines=tuple(lines))


def build_boot_menu(menu: BootMenu) -> bytes:
    """Return the file that ``menu`` is."""
    return b"\n".join(line.raw for line in menu.lines)


def set_option(menu: BootMenu, keyword: bytes, argument: bytes) -> BootMenu:
    """Return ``menu`` with a whole-menu option changed where it stands, or put first."""
    if menu.option(keyword) is None:
        line = Line(raw=keyword + b" " + argument, keyword=keyword, argument=argument, label=None)
        return evolve(menu, lines=(line, *menu.lines))
    return evolve(
        menu,
        lines=tuple(
            line.with_argument(argument) if line.keyword == keyword and line.label is None else line
            for line in menu.lines
        ),
    )


def extend_append(menu: BootMenu, words: bytes) -> BootMenu:
    """Return ``menu`` with ``words`` at the end of the command line of each Linux kernel."""
    for label in menu.labels:
        if menu.kernel(label) is not None:
            menu = _extend_label(menu, label, words)
    return menu


def _extend_label(menu: BootMenu, label: bytes, words: bytes) -> BootMenu:
    command_line = b" ".join(part for part in (menu.append(label), words) if part)
    lines = list(menu.lines)
    for index in reversed(range(len(lines))):
        if lines[index].keyword == b"append" and lines[index].label == label:
            lines[index] = lines[index].with_argument(command_line)
            return evolve(menu, lines=tuple(lines))
    # The label has none of its own: give it one below its kernel, with that line's indent.
    for index in reversed(range(len(lines))):
        if lines[index].keyword in _KERNEL_KEYWORDS and lines[index].label == label:
            match = _LINE.match(lines[index].raw)
            indent = match.group("indent") if match else b""
            ending = b"\r" if lines[index].raw.endswith(b"\r") else b""
            line = Line(
                raw=indent + b"append " + command_line + ending,
                keyword=b"append",
                argument=command_line,
                label=label,
            )
            lines.insert(index + 1, line)
            break
    return evolve(menu, lines=tuple(lines))

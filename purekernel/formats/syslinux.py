"""The configuration file of isolinux and its kin, edited by structure.

Lines that no edit touches keep their bytes. Source: the Syslinux Project's config
reference ("Configuration file options").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from attrs import evolve, field, frozen

BLANKS = b" \t\r"

# KERNEL tells what a file is by its name; these are something else than Linux. LINUX says
# that it is Linux, whatever the name.
_OTHER_KINDS = (b".c32", b".com", b".cbt", b".bss", b".bs", b".bin", b".img", b".0")
_LOADERS = (
    b"kernel", b"linux", b"boot", b"bss", b"pxe", b"fdimage", b"com32", b"config", b"localboot",
)  # fmt: skip

_WORD = re.compile(rb"[^ \t\r]*")
_TIMEOUT = re.compile(rb"[0-9]{1,9}")

# These stand for the whole menu wherever they are.
_WHOLE_MENU = re.compile(rb"default|timeout|ontimeout|prompt|implicit|ui|f([1-9]|1[0-2])")


@frozen(kw_only=True)
class Line:
    """One line.

    Attributes:
        raw: the bytes as they stand, without the newline.
        keyword: its first word in lower case; empty for blank lines and comments.
        argument: all that follows the keyword, without the blanks around it.
        label: the label it belongs to; ``None`` before the first, and for options that
            stand for the whole menu.
    """

    raw: bytes
    keyword: bytes
    argument: bytes
    label: bytes | None

    @property
    def indent(self) -> bytes:
        """The blanks it starts with."""
        return self.raw[: len(self.raw) - len(self.raw.lstrip(BLANKS))]

    @property
    def ending(self) -> bytes:
        """The carriage return it ends with, if it does."""
        return b"\r" if self.raw.endswith(b"\r") else b""

    @property
    def marks_default(self) -> bool:
        """Whether it makes its label the one that a menu program boots by itself."""
        return self.keyword == b"menu" and self.argument.lower() == b"default"

    def with_argument(self, argument: bytes) -> Line:
        """Return the line with another argument, and its keyword and blanks as they were."""
        text = self.raw[len(self.indent) :].rstrip(BLANKS)
        found = _WORD.match(text)
        word = found[0] if found else b""
        gap = text[len(word) : len(text) - len(text[len(word) :].lstrip(BLANKS))] or b" "
        raw = self.indent + word + gap + argument + self.ending
        return evolve(self, raw=raw, argument=argument)


@frozen(kw_only=True)
class BootMenu:
    """A whole configuration file."""

    lines: tuple[Line, ...] = field(default=())

    @cached_property
    def _options(self) -> dict[tuple[bytes | None, bytes], bytes]:
        """What each keyword of each label, or of the whole menu, says last."""
        return {(line.label, line.keyword): line.argument for line in self.lines}

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
        return int(text) if text is not None and _TIMEOUT.fullmatch(text) else None

    def option(self, keyword: bytes, label: bytes | None = None) -> bytes | None:
        """Return what the last ``keyword`` of ``label``, or of the whole menu, says."""
        return self._options.get((label, keyword))

    def kernel(self, label: bytes) -> bytes | None:
        """Return the path of the Linux kernel that ``label`` boots, if it boots one."""
        linux = self.option(b"linux", label)
        if linux is not None:
            return linux
        kernel = self.option(b"kernel", label)
        if kernel is None and not any((label, loader) in self._options for loader in _LOADERS):
            kernel = label  # a label that says nothing else boots the file of its name
        if kernel is None or kernel.lower().endswith(_OTHER_KINDS):
            return None
        return kernel

    @property
    def linux_labels(self) -> tuple[bytes, ...]:
        """The labels that boot a Linux kernel."""
        return tuple(label for label in self.labels if self.kernel(label) is not None)

    @property
    def interface(self) -> bytes | None:
        """The program that shows the menu, such as ``vesamenu.c32``; ``None`` for a prompt."""
        shown = self.option(b"ui")
        if shown is None and (self.default or b"").split(b" ")[0].lower().endswith(b".c32"):
            shown = self.default
        return shown

    def append(self, label: bytes) -> bytes:
        """Return the kernel command line of ``label``; a lone ``-`` means an empty one."""
        own = self.option(b"append", label)
        found = self.option(b"append") if own is None else own
        return b"" if found in (None, b"-") else bytes(found or b"")


def parse_boot_menu(data: bytes) -> BootMenu:
    """Return the menu in ``data``; every file is one, however odd. INCLUDE is not followed."""
    return BootMenu(lines=tuple(_lines(data)))


def _lines(data: bytes) -> Iterator[Line]:
    label: bytes | None = None
    in_help_text = False
    for raw in data.split(b"\n"):
        text = raw.strip(BLANKS)
        word = _WORD.match(text)
        keyword = word[0].lower() if word else b""
        argument = text[len(keyword) :].lstrip(BLANKS)
        if in_help_text or keyword.startswith(b"#"):
            in_help_text = in_help_text and keyword != b"endtext"
            keyword, argument = b"", b""
        elif keyword == b"text" and argument.lower() == b"help":
            in_help_text = True
        if keyword == b"label":
            label = argument
        whole = _WHOLE_MENU.fullmatch(keyword) is not None
        yield Line(raw=raw, keyword=keyword, argument=argument, label=None if whole else label)


def build_boot_menu(menu: BootMenu) -> bytes:
    """Return the file that ``menu`` is."""
    return b"\n".join(line.raw for line in menu.lines)


def set_option(menu: BootMenu, keyword: bytes, argument: bytes) -> BootMenu:
    """Return ``menu`` with a whole-menu option changed where it stands, or put first."""
    if menu.option(keyword) is None:
        ending = menu.lines[0].ending if menu.lines else b""
        raw = keyword + b" " + argument + ending
        line = Line(raw=raw, keyword=keyword, argument=argument, label=None)
        return evolve(menu, lines=(line, *menu.lines))
    return evolve(
        menu,
        lines=tuple(
            line.with_argument(argument) if line.keyword == keyword and line.label is None else line
            for line in menu.lines
        ),
    )


def set_default(menu: BootMenu, label: bytes) -> BootMenu:
    """Return ``menu`` with ``label`` as what boots when nobody chooses.

    At a prompt that is what DEFAULT names. A program that shows a menu takes the label marked
    MENU DEFAULT; DEFAULT may name the program itself and is left alone then. ONTIMEOUT, where
    there is one, overrules both.
    """
    if menu.option(b"ontimeout") is not None:
        menu = set_option(menu, b"ontimeout", label)
    marked = any(line.marks_default for line in menu.lines)
    if menu.interface is None or menu.option(b"ui") is not None:
        menu = set_option(menu, b"default", label)
    if menu.interface is None and not marked:
        return menu
    lines: list[Line] = []
    for line in menu.lines:
        if line.marks_default:
            continue
        lines.append(line)
        if line.keyword == b"label" and line.argument == label:
            raw = line.indent + b"  menu default" + line.ending
            lines.append(Line(raw=raw, keyword=b"menu", argument=b"default", label=label))
    return evolve(menu, lines=tuple(lines))


def extend_append(menu: BootMenu, words: bytes) -> BootMenu:
    """Return ``menu`` with ``words`` at the end of the command line of each Linux kernel."""
    wanted = {
        label: b" ".join(part for part in (menu.append(label), words) if part)
        for label in menu.linux_labels
    }
    # The line that each label's words go to: its last APPEND, or else below its kernel.
    places: dict[bytes, int] = {}
    for index, line in enumerate(menu.lines):
        label = line.label
        if label is None or label not in wanted:
            continue
        if line.keyword == b"append":
            places[label] = index
        elif line.keyword in (b"kernel", b"linux", b"label"):
            known = places.get(label)
            if known is None or menu.lines[known].keyword != b"append":
                places[label] = index
    chosen = {index: label for label, index in places.items()}
    lines: list[Line] = []
    for index, line in enumerate(menu.lines):
        if index not in chosen:
            lines.append(line)
        elif line.keyword == b"append":
            lines.append(line.with_argument(wanted[chosen[index]]))
        else:
            lines += (line, _append_below(line, wanted[chosen[index]]))
    return evolve(menu, lines=tuple(lines))


def _append_below(line: Line, command_line: bytes) -> Line:
    indent = line.indent if line.keyword != b"label" else line.indent + b"  "
    return Line(
        raw=indent + b"append " + command_line + line.ending,
        keyword=b"append",
        argument=command_line,
        label=line.label,
    )

"""Parse and edit the configuration file of isolinux and the other Syslinux loaders.

Lines that are not edited keep their bytes.

Source: the Syslinux Project's config reference ("Configuration file options").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import cached_property

from attrs import evolve, field

from purekernel.records import frozen

BLANKS = b" \t\r"

# KERNEL detects the type of a file by its name. Files with these endings are not Linux kernels.
# LINUX loads any file as a Linux kernel.
_OTHER_KINDS = (b".c32", b".com", b".cbt", b".bss", b".bs", b".bin", b".img", b".0")
# These programs start like a Linux kernel, but their arguments are not those of Linux: memdisk of
# Syslinux, grub.exe of GRUB4DOS, memtest86, iPXE.
_OTHER_PROGRAMS = re.compile(rb"(?:memdisk|memtest)[^/]*|[^/]*\.(?:exe|lkrn|krn)", re.IGNORECASE)
# The commands that boot without a choice by the user.
_AUTOMATIC = (b"default", b"ontimeout")
_LOADERS = (
    b"kernel", b"linux", b"boot", b"bss", b"pxe", b"fdimage", b"com32", b"config", b"localboot",
)  # fmt: skip

_WORD = re.compile(rb"[^ \t\r]*")

# Files that include others deeper than this are not read; Syslinux has no more memory either.
_MOST_DEPTH = 16
_TIMEOUT = re.compile(rb"[0-9]{1,9}")

# These options apply to the whole menu, in any position.
_WHOLE_MENU = re.compile(rb"default|timeout|ontimeout|prompt|implicit|ui|f([1-9]|1[0-2])")


@frozen(kw_only=True)
class Line:
    """A line of the file.

    Attributes:
        raw: the bytes of the line, without the newline.
        keyword: the first word in lower case; empty for blank lines and comments.
        argument: the rest of the line, without surrounding blanks.
        label: the label of the line; ``None`` before the first label, and for options of the
            whole menu.
        source: the path of the included file that has the line; ``None`` for the file itself.
    """

    raw: bytes
    keyword: bytes
    argument: bytes
    label: bytes | None
    source: bytes | None = None

    @property
    def indent(self) -> bytes:
        """The blanks at the start."""
        return self.raw[: len(self.raw) - len(self.raw.lstrip(BLANKS))]

    @property
    def ending(self) -> bytes:
        """The carriage return at the end, if any."""
        return b"\r" if self.raw.endswith(b"\r") else b""

    @property
    def marks_default(self) -> bool:
        """Whether the line makes its label the default of a menu program."""
        return self.keyword == b"menu" and self.argument.lower() == b"default"

    def with_argument(self, argument: bytes) -> Line:
        """Return the line with another argument, and unchanged keyword and blanks."""
        text = self.raw[len(self.indent) :].rstrip(BLANKS)
        match = _WORD.match(text)
        word = match[0] if match else b""
        gap = text[len(word) : len(text) - len(text[len(word) :].lstrip(BLANKS))] or b" "
        raw = self.indent + word + gap + argument + self.ending
        return evolve(self, raw=raw, argument=argument)


@frozen(kw_only=True)
class BootMenu:
    """A configuration file."""

    lines: tuple[Line, ...] = field(default=())

    @cached_property
    def _options(self) -> dict[tuple[bytes | None, bytes], bytes]:
        """The last argument of each keyword, by label and keyword.

        ``menu label`` is a keyword of its own.
        """
        options = {(line.label, line.keyword): line.argument for line in self.lines}
        for line in self.lines:
            if line.keyword == b"menu" and line.argument[:5].lower() == b"label":
                options[line.label, b"menu label"] = line.argument[5:].strip(BLANKS)
        return options

    @property
    def labels(self) -> tuple[bytes, ...]:
        """The labels in order."""
        return tuple(line.argument for line in self.lines if line.keyword == b"label")

    @property
    def default(self) -> bytes | None:
        """The label or command line that boots without a choice by the user."""
        return self.option(b"default")

    @property
    def timeout(self) -> int | None:
        """The time until the default boots, in tenths of a second; ``None`` if not set."""
        text = self.option(b"timeout")
        return int(text) if text is not None and _TIMEOUT.fullmatch(text) else None

    def option(self, keyword: bytes, label: bytes | None = None) -> bytes | None:
        """Return the argument of the last ``keyword`` of ``label``, or of the whole menu."""
        return self._options.get((label, keyword))

    def kernel(self, label: bytes) -> bytes | None:
        """Return the path of the Linux kernel that ``label`` boots, if it boots one."""
        linux = self.option(b"linux", label)
        if linux is not None:
            return None if _is_other_program(linux) else linux
        kernel = self.option(b"kernel", label)
        if kernel is None and not any((label, loader) in self._options for loader in _LOADERS):
            kernel = label  # a label without a loader boots the file of its name
        return kernel if kernel is not None and _is_linux(kernel) else None

    def command(self, keyword: bytes) -> tuple[bytes, bytes] | None:
        """Return the kernel and the words of DEFAULT or ONTIMEOUT, if it names a kernel's file.

        A first word that is not a label is the path of a file, unless IMPLICIT is 0. The options of
        the whole menu (APPEND) precede the words.
        """
        argument = self.option(keyword) or b""
        word = _WORD.match(argument)
        kernel = word[0] if word else b""
        words = argument[len(kernel) :]
        if not kernel or kernel in self.labels or self.option(b"implicit") == b"0":
            return None
        return (kernel, words.strip(BLANKS)) if _is_linux(kernel) else None

    @property
    def boots_linux(self) -> bool:
        """Whether a label, or a command that is not a label, boots a Linux kernel."""
        return bool(self.linux_labels) or any(map(self.command, _AUTOMATIC))

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
        """Return the kernel command line of ``label``; the argument ``-`` means an empty line."""
        own = self.option(b"append", label)
        return self.shared_append if own is None else b"" if own == b"-" else own

    @property
    def shared_append(self) -> bytes:
        """The APPEND of the whole menu, for labels without their own and for other commands."""
        argument = self.option(b"append")
        return b"" if argument in (None, b"-") else bytes(argument or b"")


def _is_other_program(path: bytes) -> bool:
    return _OTHER_PROGRAMS.fullmatch(path.rpartition(b"/")[2]) is not None


def _is_linux(path: bytes) -> bool:
    """Return whether KERNEL loads the file at ``path`` as a Linux kernel, by its name."""
    return not path.lower().endswith(_OTHER_KINDS) and not _is_other_program(path)


Read = Callable[[bytes], tuple[bytes, bytes] | None]
"""Returns path and content of the file that INCLUDE names, or ``None`` if it is missing."""


def parse_boot_menu(data: bytes, *, path: bytes = b"", read: Read = lambda _name: None) -> BootMenu:
    """Return the menu in ``data``; no file is invalid.

    Args:
        data: the content of the file.
        path: its path, so that it does not include itself.
        read: finds the files that it includes. Each is read once.
    """
    return BootMenu(lines=tuple(_Reader(path, read).lines(data, None)))


class _Reader:
    """Reads a file, and those that it includes, as one."""

    def __init__(self, path: bytes, read: Read) -> None:
        self._read = read
        self._label: bytes | None = None
        self._in_help_text = False
        self._included = {path}

    def lines(self, data: bytes, source: bytes | None, depth: int = 0) -> Iterator[Line]:
        for raw in data.split(b"\n"):
            line = self._line(raw, source)
            yield line
            name = _included_name(line)
            found = None if name is None or depth >= _MOST_DEPTH else self._read(name)
            if found is not None and found[0] not in self._included:
                self._included.add(found[0])
                yield from self.lines(found[1], found[0], depth + 1)

    def _line(self, raw: bytes, source: bytes | None) -> Line:
        text = raw.strip(BLANKS)
        word = _WORD.match(text)
        keyword = word[0].lower() if word else b""
        argument = text[len(keyword) :].lstrip(BLANKS)
        if self._in_help_text or keyword.startswith(b"#"):
            self._in_help_text = self._in_help_text and keyword != b"endtext"
            keyword, argument = b"", b""
        elif keyword == b"text" and argument.lower() == b"help":
            self._in_help_text = True
        if keyword == b"label":
            self._label = argument
        whole = _WHOLE_MENU.fullmatch(keyword) is not None
        return Line(
            raw=raw,
            keyword=keyword,
            argument=argument,
            label=None if whole else self._label,
            source=source,
        )


def _included_name(line: Line) -> bytes | None:
    """Return the name of the file that a line includes. A tag of a message may follow it."""
    words = line.argument.split()
    if line.keyword == b"menu" and len(words) > 1 and words[0].lower() == b"include":
        return words[1]
    return words[0] if line.keyword == b"include" and words else None


def build_boot_menu(menu: BootMenu, source: bytes | None = None) -> bytes:
    """Return ``menu`` as a configuration file, or the included file with the path ``source``."""
    return b"\n".join(line.raw for line in menu.lines if line.source == source)


def find_other_menus(menu: BootMenu) -> tuple[bytes, ...]:
    """Return the names of files with menus of their own that this menu opens.

    CONFIG names one, and so do the arguments of the programs that show menus.
    """
    names: list[bytes] = []
    for line in menu.lines:
        words = line.argument.split()
        if line.keyword == b"config":
            names += words[:1]
        elif line.keyword in (b"ui", *_AUTOMATIC) and words and _is_menu_program(words[0]):
            names += words[1:]
    for label in dict.fromkeys(menu.labels):
        for keyword in (b"kernel", b"com32"):
            words = (menu.option(keyword, label) or b"").split()
            if words and _is_menu_program(words[0]):
                names += (*words[1:], *menu.append(label).split())
    return tuple(dict.fromkeys(names))


def _is_menu_program(path: bytes) -> bool:
    return path.lower().endswith(b"menu.c32")


def set_option(menu: BootMenu, keyword: bytes, argument: bytes) -> BootMenu:
    """Return ``menu`` with an option of the whole menu changed, or added as the first line."""
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
    """Return ``menu`` with ``label`` as the label that boots without a choice by the user.

    At a prompt, DEFAULT names that label. A menu program uses the label with MENU DEFAULT; DEFAULT
    may then name the program, and is not changed. ONTIMEOUT, if present, overrides both.
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
            lines.append(
                Line(
                    raw=raw,
                    keyword=b"menu",
                    argument=b"default",
                    label=label,
                    source=line.source,
                )
            )
    return evolve(menu, lines=tuple(lines))


def drop_parameters(menu: BootMenu, dropped: Callable[[bytes], bool]) -> BootMenu:
    """Return ``menu`` without some words of the command lines of its Linux kernels.

    Args:
        menu: a menu.
        dropped: returns whether to drop a word.
    """
    linux = menu.linux_labels

    def changed(line: Line) -> Line:
        is_append = line.keyword == b"append" and (line.label is None or line.label in linux)
        if not is_append and not (line.keyword in _AUTOMATIC and menu.command(line.keyword)):
            return line
        words = line.argument.split()
        kept = [word for word in words if not dropped(word)]
        return line if kept == words else line.with_argument(b" ".join(kept))

    return evolve(menu, lines=tuple(map(changed, menu.lines)))


def labels_with(menu: BootMenu, word: bytes) -> tuple[bytes, ...]:
    """Return the labels whose kernel command line has ``word``."""
    return tuple(label for label in menu.linux_labels if word in menu.append(label).split())


def extend_append(
    menu: BootMenu, words: bytes, *, labels: Collection[bytes] | None = None
) -> BootMenu:
    """Return ``menu`` with ``words`` at the end of the command line of each Linux kernel.

    A kernel that DEFAULT or ONTIMEOUT names, without a label, has its command line there, or in the
    APPEND of the whole menu.

    Args:
        menu: the menu.
        words: the words to append.
        labels: the labels to change, and no kernel without a label; ``None`` for all kernels.
    """
    command_lines = {
        label: b" ".join(part for part in (menu.append(label), words) if part)
        for label in menu.linux_labels
        if labels is None or label in labels
    }
    # The line to change for each label: its last APPEND, or the line of its kernel, after which
    # APPEND is added.
    line_of_label: dict[bytes, int] = {}
    for index, line in enumerate(menu.lines):
        label = line.label
        if label is None or label not in command_lines:
            continue
        if line.keyword == b"append":
            line_of_label[label] = index
        elif line.keyword in (b"kernel", b"linux", b"label"):
            known = line_of_label.get(label)
            if known is None or menu.lines[known].keyword != b"append":
                line_of_label[label] = index
    label_of_line = {index: label for label, index in line_of_label.items()}
    lines: list[Line] = []
    for index, line in enumerate(menu.lines):
        if index not in label_of_line:
            lines.append(line)
        elif line.keyword == b"append":
            lines.append(line.with_argument(command_lines[label_of_line[index]]))
        else:
            lines += (line, _append_below(line, command_lines[label_of_line[index]]))
    changed = evolve(menu, lines=tuple(lines))
    return changed if labels is not None else _extend_commands(menu, changed, words)


def _extend_commands(before: BootMenu, menu: BootMenu, words: bytes) -> BootMenu:
    """Return ``menu`` with ``words`` for DEFAULT and ONTIMEOUT, if they name a kernel's file."""
    commands = {keyword: before.command(keyword) for keyword in _AUTOMATIC}
    found = [command for command in commands.values() if command is not None]
    # Labels without an APPEND of their own inherit that of the menu.
    is_shared = before.option(b"append") is not None and not before.labels
    if found and is_shared and not any(own for _file, own in found):
        shared = b" ".join(part for part in (before.shared_append, words) if part)
        return set_option(menu, b"append", shared)
    for keyword, command in commands.items():
        if command is not None:
            kernel, own = command
            line = b" ".join(part for part in (kernel, own, words) if part)
            menu = set_option(menu, keyword, line)
    return menu


def _append_below(line: Line, command_line: bytes) -> Line:
    indent = line.indent if line.keyword != b"label" else line.indent + b"  "
    return Line(
        raw=indent + b"append " + command_line + line.ending,
        keyword=b"append",
        argument=command_line,
        label=line.label,
        source=line.source,
    )


# An initrd= word of a command line; the list of names follows.
_INITRD_WORD = re.compile(rb"(?<![^ \t])initrd=([^ \t]*)")


def map_initrds(menu: BootMenu, change: Callable[[bytes], bytes]) -> BootMenu:
    """Return ``menu`` with ``change`` applied to each list of initrds, names parted by commas."""

    def in_words(match: re.Match[bytes]) -> bytes:
        return b"initrd=" + change(match[1])

    lines: list[Line] = []
    for line in menu.lines:
        argument = line.argument
        if line.keyword == b"initrd":
            argument = change(argument)
        elif line.keyword in (b"append", *_AUTOMATIC):
            argument = _INITRD_WORD.sub(in_words, argument)
        lines.append(line if argument == line.argument else line.with_argument(argument))
    return evolve(menu, lines=tuple(lines))

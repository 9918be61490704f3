"""Find what GRUB's configuration files boot, and change it; all other bytes are kept.

Source: the GRUB manual, "Writing full configuration files directly"; GRUB's
grub-core/normal/menu.c for the meaning of ``default`` and ``timeout``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from attrs import field

from purekernel.formats.grub_script import (
    Assignment,
    Command,
    GrubScript,
    Word,
    is_assignment,
    parse_grub_script,
    quote_parameter,
    quote_word,
)
from purekernel.formats.menu_edit import (
    EntryEdit,
    FoundEntry,
    Part,
    Span,
    Splice,
    Unclear,
    edit_words,
    is_other_program,
)
from purekernel.records import frozen

_LINUX = frozenset((b"linux", b"linux16", b"linuxefi"))
_INITRD = frozenset((b"initrd", b"initrd16", b"initrdefi"))
_ENTRIES = (b"menuentry", b"submenu")
# Options of menuentry with an argument.
_WITH_ARGUMENT = (b"--id", b"--class", b"--users", b"--hotkey", b"--source")

# Commands that read another file as a script, in place of the menu or as a part of it.
_CONFIGURATIONS = (b"configfile", b"normal")
_PARTS = (b"source", b".")

# Devices that are not the boot medium.
_ELSEWHERE = re.compile(rb"\((?:memdisk|tftp|http|https|pxe|proc)\b")
_DEVICE = re.compile(rb"\([^()]*\)")

# GRUB has these from its environment block: the user at the machine chose an entry.
_CHOSEN = frozenset((b"saved_entry", b"next_entry", b"prev_saved_entry"))

_TENTHS = 10
_NUMBER = re.compile(rb"-?[0-9]{1,6}")
# What GRUB takes for a name, and not for a number or a path of submenus.
_PLAIN_NAME = re.compile(rb"[^\s0-9>][^\s>]*")
# A name in a path of submenus, which are parted by ">"; ">>" stands for one in a name.
_STEP = re.compile(rb"(?:[^>]|>>)+")

_LINUX_PARTS = Part.LINUX | Part.INITRDS
_ALL_PARTS = _LINUX_PARTS | Part.TIMEOUT | Part.DEFAULT


@frozen(kw_only=True)
class Followed:
    """A file that a script reads.

    Attributes:
        path: its path on the boot medium, or the end of it if the start is not known.
        is_whole: whether the path is known to its start.
        is_part: whether the file is a part of the same menu, not a menu of its own.
    """

    path: bytes
    is_whole: bool
    is_part: bool


@frozen(kw_only=True)
class GrubEntry:
    """An entry of the menu, or a submenu.

    Attributes:
        index: the index of its command.
        command: the command ``menuentry`` or ``submenu``.
        parent: the index of the submenu's command that has the entry, if it has a parent.
        number: its number in its menu; ``None`` if that depends on conditions.
    """

    index: int
    command: Command
    parent: int | None
    number: int | None

    @property
    def is_submenu(self) -> bool:
        """Whether it is a submenu."""
        return self.command.name == b"submenu"

    @property
    def title(self) -> bytes | None:
        """The title, if it has no variable."""
        words = iter(self.command.words[1:])
        for word in words:
            text = word.text
            if text in _WITH_ARGUMENT:
                next(words, None)
            elif text is None or not text.startswith(b"--"):
                return text
        return None

    @property
    def id(self) -> bytes | None:
        """The id, if it has one without a variable."""
        words = self.command.words
        for word, following in zip(words, (*words[1:], None), strict=True):
            text = word.text or b""
            if text in (b"--id", b"$menuentry_id_option"):
                return None if following is None else following.text
            if word.variables == {b"menuentry_id_option"} and following is not None:
                return following.text
            if text.startswith(b"--id="):
                return text.removeprefix(b"--id=")
        return None


@frozen(kw_only=True)
class GrubFile:
    """A configuration file."""

    script: GrubScript = field(repr=False)

    @cached_property
    def entries(self) -> tuple[GrubEntry, ...]:
        """The entries and submenus, in order."""
        found: list[GrubEntry] = []
        counts: dict[int | None, int | None] = {}
        for index, command in enumerate(self.script.commands):
            if command.name not in _ENTRIES:
                continue
            parent = self._owner(command)
            number = counts.get(parent, 0) if command.is_certain else None
            counts[parent] = None if number is None else number + 1
            found.append(GrubEntry(index=index, command=command, parent=parent, number=number))
        return tuple(found)

    @cached_property
    def found(self) -> tuple[FoundEntry, ...]:
        """What the entries boot, in order; then what is booted outside of entries."""
        return tuple(map(self._found, [*(entry.index for entry in self.entries), None]))

    @cached_property
    def unclear(self) -> tuple[Unclear, ...]:
        """The places that were not understood."""
        return tuple(sorted(self._unclear(), key=lambda each: each.line))

    @cached_property
    def followed(self) -> tuple[Followed, ...]:
        """The files that the script reads, as far as their names are known."""
        return tuple(filter(None, (self._followed(each) for each in self.script.commands)))

    @property
    def timeout(self) -> int | None:
        """The timeout in tenths of a second; 0 for at once; ``None`` for waiting, or if unknown."""
        texts = [each.value.text for each in self._assigned(b"timeout")]
        text = texts[-1] if texts else None
        if text is None or _NUMBER.fullmatch(text) is None or int(text) < 0:
            return None
        return int(text) * _TENTHS

    @property
    def default(self) -> int | None:
        """The index in :attr:`found` of the entry that boots without a choice, if it is known."""
        values = [each.value.text for each in self._assigned(b"default")]
        text = next((value for value in values if value is not None), None if values else b"0")
        return None if text is None else self._by_path(text)

    # Changes.

    def edit_entry(self, index: int, edit: EntryEdit) -> list[Splice]:
        """Return the splices that change what the entry at ``index`` in :attr:`found` boots."""
        owner = self.entries[index].index if index < len(self.entries) else None
        splices: list[Splice] = []
        for command in self._commands(owner, _LINUX):
            if len(command.words) > 1 and self._is_linux(command.words[1]):
                words = [_span(word) for word in command.words[2:]]
                splices += edit_words(command.words[1].end, words, edit, quote_parameter)
        for command in self._commands(owner, _INITRD):
            paths = self._paths(command)
            changed = list(edit.initrds(paths)) if paths else paths
            if changed != paths:
                raw = dict(zip(paths, map(self._raw, command.words[1:]), strict=True))
                new = b" ".join(raw.get(path) or quote_word(path) for path in changed)
                splices.append(Splice(start=command.words[1].start, end=command.end, new=new))
        return splices

    def edit_timeout(self, tenths: int, *, insert: bool) -> list[Splice]:
        """Return the splices that set the timeout.

        Args:
            tenths: tenths of a second, rounded up to seconds; 0 waits for the user.
            insert: whether to add the command if there is none.
        """
        value = b"%d" % (-(-tenths // _TENTHS) if tenths else -1)
        return self._edit_variable(b"timeout", value, insert=insert)

    def edit_default(self, value: bytes, *, insert: bool) -> list[Splice]:
        """Return the splices that set the default entry to ``value``, by :meth:`name_entry`.

        A default that the user at the machine chose, which GRUB keeps in a file, stays.
        """
        return self._edit_variable(b"default", value, insert=insert)

    def sets(self, variable: bytes) -> bool:
        """Return whether the file gives a variable a value, outside of entries."""
        return any(True for _each in self._assigned(variable))

    def name_entry(self, index: int) -> bytes | None:
        """Return the value of ``default`` for an entry; ``None`` if nothing names it for sure."""
        steps: list[bytes] = []
        at: int | None = self.entries[index].index
        while at is not None:
            entry = self._by_index[at]
            step = self._step(entry)
            if step is None:
                return None
            steps.insert(0, step)
            at = entry.parent
        return b">".join(steps)

    # How it is read.

    def _step(self, entry: GrubEntry) -> bytes | None:
        siblings = [each for each in self.entries if each.parent == entry.parent]
        # GRUB takes an id to end at a blank.
        for name, allowed in ((entry.id, b""), (entry.title, b" ")):
            if name is None or _PLAIN_NAME.fullmatch(name.translate(None, allowed)) is None:
                continue
            if sum(name in (each.id, each.title) for each in siblings) == 1:
                return name
        return None if entry.number is None else b"%d" % entry.number

    def _by_path(self, path: bytes) -> int | None:
        parent: int | None = None
        found: int | None = None
        for step in _STEP.findall(path):
            name = step.replace(b">>", b">")
            siblings = [
                (index, each) for index, each in enumerate(self.entries) if each.parent == parent
            ]
            found = next(
                (index for index, each in siblings if name in (each.id, each.title)),
                next(
                    (index for index, each in siblings if b"%d" % (each.number or 0) == name), None
                ),
            )
            if found is None:
                return None
            parent = self.entries[found].index
        return found

    def _owner(self, command: Command) -> int | None:
        """Return the index of the entry's command that has ``command`` in its block."""
        block = command.block
        while block is not None and self.script.commands[block].name not in _ENTRIES:
            block = self.script.commands[block].block
        return block

    @cached_property
    def _by_index(self) -> Mapping[int, GrubEntry]:
        return {entry.index: entry for entry in self.entries}

    @cached_property
    def _by_owner(self) -> Mapping[int | None, list[Command]]:
        owned: dict[int | None, list[Command]] = {}
        for command in self.script.commands:
            owned.setdefault(self._owner(command), []).append(command)
        return owned

    def _commands(self, owner: int | None, names: frozenset[bytes]) -> Iterator[Command]:
        """Yield the commands of an entry that have one of ``names``."""
        for command in self._by_owner.get(owner, ()):
            known = self.script.texts(command.words[0])
            if known is not None and known <= names:
                yield command

    def _found(self, owner: int | None) -> FoundEntry:
        linux = [
            command
            for command in self._commands(owner, _LINUX)
            if len(command.words) > 1 and self._is_linux(command.words[1])
        ]
        initrds = [path for each in self._commands(owner, _INITRD) for path in self._paths(each)]
        entry = None if owner is None else self._by_index[owner]
        names = () if entry is None else (entry.id, entry.title)
        return FoundEntry(
            names=tuple(name for name in names if name is not None),
            title=(entry.title if entry is not None else None) or b"",
            kernel=self._text(linux[0].words[1]) if linux else None,
            initrds=tuple(dict.fromkeys(initrds)),
            words=tuple(map(self._text, linux[0].words[2:])) if linux else (),
        )

    def _text(self, word: Word) -> bytes:
        """Return the text of a word; variables as they stand if they have no one value."""
        texts = self.script.texts(word) or frozenset()
        return next(iter(texts)) if len(texts) == 1 else self._raw(word)

    def _raw(self, word: Word) -> bytes:
        return self.script.data[word.start : word.end]

    def _paths(self, command: Command) -> list[bytes]:
        """Return the paths of initrds that a command names, if all of them are known."""
        texts = [self.script.texts(word) for word in command.words[1:]]
        if not all(known is not None and len(known) == 1 for known in texts):
            return []
        return [path for known in texts for path in known or ()]

    def _is_linux(self, word: Word) -> bool | None:
        """Return whether a word names a Linux kernel; ``None`` if that is not known."""
        texts = self.script.texts(word)
        if texts is None:
            # Enough if the start of the file's name is known: "/boot/vmlinuz-$release".
            name = word.tail if b"/" in word.tail else word.head.rpartition(b"/")[2]
            return None if name in (b"", word.head) else not is_other_program(name)
        kinds = {not is_other_program(text) for text in texts}
        return kinds.pop() if len(kinds) == 1 else None

    def _assigned(self, variable: bytes) -> Iterator[Assignment]:
        commands = self.script.commands
        for each in self.script.assignments:
            owner = each.block
            while owner is not None and commands[owner].name not in _ENTRIES:
                owner = commands[owner].block
            if each.name == variable and owner is None and not each.value.variables & _CHOSEN:
                yield each

    def _edit_variable(self, variable: bytes, value: bytes, *, insert: bool) -> list[Splice]:
        data, splices, start = self.script.data, [], len(variable) + 1
        assigned = list(self._assigned(variable))
        for each in assigned:
            if each.value.text == value:
                continue
            raw = data[each.word.start : each.word.end]
            is_in_quotes = raw[start : start + 1] == b'"' and raw.endswith(b'"')
            new = b'"' + value + b'"' if is_in_quotes and b'"' not in value else quote_word(value)
            new = variable + b"=" + new
            splices.append(Splice(start=each.word.start, end=each.word.end, new=new))
        if not assigned and insert:
            ending = b"\r\n" if b"\r\n" in data[:4096] else b"\n"
            new = b"set " + variable + b"=" + quote_word(value) + ending
            splices.append(Splice(start=0, end=0, new=new))
        return splices

    def _followed(self, command: Command) -> Followed | None:
        if command.name not in (*_CONFIGURATIONS, *_PARTS):
            return None
        words = [word for word in command.words[1:] if not (word.text or b"").startswith(b"--")]
        if not words:
            return None
        texts = self.script.texts(words[0])
        path = next(iter(texts)) if texts is not None and len(texts) == 1 else words[0].tail
        is_whole = path is not words[0].tail or words[0].text is not None
        if _ELSEWHERE.match(path):
            return None
        path = _DEVICE.sub(b"", path, count=1) if is_whole else path.removeprefix(b")")
        if not path.strip(b"/"):
            return None
        return Followed(path=path, is_whole=is_whole, is_part=command.name in _PARTS)

    def _unclear(self) -> Iterator[Unclear]:
        script = self.script
        if script.stopped is not None:
            line = script.line(script.stopped)
            reason = "GRUB would refuse what follows"
            yield Unclear(line=line, reason=reason, concerns=_ALL_PARTS)
        for command in script.commands:
            if is_assignment(command):
                continue
            reason, concerns = self._reason(command)
            if reason:
                yield Unclear(line=script.line(command.start), reason=reason, concerns=concerns)

    def _reason(self, command: Command) -> tuple[str, Part]:
        """Return why a command is not understood, and what it may concern; nothing if it is."""
        names = self.script.texts(command.words[0])
        boots = None if names is None else names & (_LINUX | _INITRD)
        if names is None or (boots and not (names <= _LINUX or names <= _INITRD)):
            return "the name of the command is a variable", _LINUX_PARTS
        if names == {b"eval"}:
            return "eval runs a command that is made while GRUB runs", _ALL_PARTS
        if names <= _LINUX:
            word = command.words[1] if len(command.words) > 1 else None
            if word is not None and self._is_linux(word) is None:
                return "the name of the kernel is a variable", Part.LINUX
        if names <= _INITRD and not self._paths(command) and len(command.words) > 1:
            return "the name of an initrd is a variable", Part.INITRDS
        if command.name in (*_CONFIGURATIONS, *_PARTS):
            words = command.words[1:]
            if words and self._followed(command) is None:
                return "the file that it reads is not known, or not on the boot medium", _ALL_PARTS
        return "", _ALL_PARTS


def parse_grub_config(data: bytes) -> GrubFile:
    """Return the configuration file in ``data``; no file is invalid, but may be read in part."""
    return GrubFile(script=parse_grub_script(data))


def _span(word: Word) -> Span:
    return Span(start=word.start, end=word.end, text=word.text)

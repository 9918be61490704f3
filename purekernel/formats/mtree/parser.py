"""Parse a manifest into entries.

Both forms of mtree(5) are supported: full paths, which contain a slash, and the nested form, in
which the entry of a folder opens the folder and ``..`` closes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from purekernel.errors import PathError
from purekernel.formats.mtree.entry import (
    BYTE_ORDER_MARK,
    SIGNATURE,
    UNVERIFIED,
    EntryType,
    ManifestEntry,
    ManifestLine,
    check_keyword,
    decode_escapes,
    is_mtree,
    make_entry,
)
from purekernel.input import Input
from purekernel.tree import ROOT, display, parse_path, with_example
from purekernel.tree.path import join

Keywords = dict[bytes, tuple[bytes | None, ManifestLine]]

# Comments have lines of their own; elsewhere '#' is an ordinary character, as in bsdtar.
_COMMENT = re.compile(rb"[ \t]*#")


def parse_mtree(manifest: Input) -> tuple[ManifestEntry, ...]:
    r"""Return the entries of a manifest, each path once, in the order of first mention.

    Supports ``#`` comments, lines continued with ``\``, ``/set`` and ``/unset``, names escaped as
    by vis(3), and Windows line ends. If a path is named more than once, the keywords of later lines
    override earlier ones.

    ``uid`` and ``gid`` take precedence over ``uname`` and ``gname``, which must be accounts of Tiny
    Core: root, tc; root, staff. ``cksum``, ``flags``, ``inode``, ``nlink``, ``resdevice``, ``tags``
    and the RIPEMD digests are ignored; notes report file flags, and sums that are not verified.
    ``ignore`` has no meaning for files that are created.

    Raises:
        FormatError: a line is malformed; the message has its number.
        PathError: a path is absolute or has ``..``.
    """
    text = bytes(manifest.data)
    if not is_mtree(text):
        raise manifest.fail_at_line(
            1,
            f"{SIGNATURE.decode()} on the first line",
            display(text.partition(b"\n")[0][:40]),
            hint="put '#mtree' on the first line of the manifest",
        )
    parser = _Parser()
    for line, words in _read_lines(manifest, text.removeprefix(BYTE_ORDER_MARK)):
        parser.add_line(words, line)
    parser.report(manifest)
    return parser.entries()


def _read_lines(manifest: Input, text: bytes) -> Iterator[tuple[ManifestLine, list[bytes]]]:
    """Yield the words of each line that is not empty; continued lines are joined."""
    pieces: list[bytes] = []
    first = 1
    for number, raw in enumerate(text.split(b"\n"), start=1):
        line = raw.removesuffix(b"\r")
        if not pieces:
            first = number
        if not pieces and _COMMENT.match(line):
            continue
        if (len(line) - len(line.rstrip(b"\\"))) % 2:
            pieces.append(line[:-1])
            continue
        words = b"".join([*pieces, line]).split()
        pieces = []
        if words:
            yield ManifestLine(manifest, first), words
    if pieces:
        last = ManifestLine(manifest, first)
        raise last.fail("a line after the '\\' at the end of the line", "nothing")


class _Parser:
    """The entries and defaults of the lines so far."""

    def __init__(self) -> None:
        self._defaults: Keywords = {}
        # The folders that nested entries have opened, innermost last.
        self._open: list[bytes] = []
        # Maps each path to the number of its first line, and its keywords.
        self._entries: dict[bytes, tuple[int, Keywords]] = {}

    def add_line(self, words: list[bytes], line: ManifestLine) -> None:
        """Add the words of a line."""
        first, *rest = words
        if first == b"/set":
            self._defaults.update(_keywords(rest, line))
        elif first == b"/unset":
            self._unset(rest, line)
        elif first == b"..":
            if rest:
                raise line.fail("'..' alone on its line", display(b" ".join(words)))
            if not self._open:
                raise line.fail("an open folder for '..' to close", "none")
            self._open.pop()
        else:
            self._add_entry(first, _keywords(rest, line), line)

    def entries(self) -> tuple[ManifestEntry, ...]:
        """Return the entries."""
        return tuple(
            make_entry(path, keywords, number) for path, (number, keywords) in self._entries.items()
        )

    def report(self, manifest: Input) -> None:
        """Send a note about file flags, and one about sums that are not verified."""
        flags = self._having(
            lambda words: words.get(b"flags", (b"none",))[0] != b"none",
            clause=", which an image cannot hold",
        )
        if flags:
            manifest.note(f"ignored the flags of {flags}")
        sums = self._having(lambda words: not UNVERIFIED.isdisjoint(words), clause=" (use sha256)")
        if sums:
            manifest.note(f"did not verify the cksum or RIPEMD digest of {sums}")

    def _having(self, matches: Callable[[Keywords], bool], *, clause: str) -> str:
        """Return how many names match, with an example; empty without any."""
        paths = [path for path, (_line, words) in self._entries.items() if matches(words)]
        return with_example(len(paths), "name", display(paths[0]), clause=clause) if paths else ""

    def _unset(self, keywords: list[bytes], line: ManifestLine) -> None:
        for keyword in keywords:
            if keyword == b"all":
                self._defaults.clear()
            elif self._defaults.pop(keyword, None) is None:
                raise line.fail("a keyword that /set has set", display(keyword))

    def _add_entry(self, word: bytes, keywords: Keywords, line: ManifestLine) -> None:
        name = decode_escapes(word, line)
        full = b"/" in word or name == b"."
        try:
            path = parse_path(name)
            if not full and self._open:
                path = parse_path(join(self._open[-1], name))
        except PathError as error:
            raise error.within(f"{line.manifest.name}, line {line.number}") from None
        number = line.number
        earlier = self._entries.get(path)
        if earlier is None:
            keywords = {**self._defaults_for(keywords), **keywords}
        else:
            _check_type(path, earlier, keywords, line)
            number, keywords = earlier[0], {**earlier[1], **keywords}
        self._entries[path] = number, keywords
        if not full and _is_folder(keywords):
            self._open.append(path)
        elif path == ROOT and not self._open:
            self._open.append(ROOT)

    def _defaults_for(self, keywords: Keywords) -> Keywords:
        """Return the defaults from ``/set``, without numbers that the entry replaces by names."""
        replaced = {
            number
            for number, account in ((b"uid", b"uname"), (b"gid", b"gname"))
            if account in keywords
        }
        return {key: value for key, value in self._defaults.items() if key not in replaced}


def _keywords(words: list[bytes], line: ManifestLine) -> Keywords:
    keywords: Keywords = {}
    for word in words:
        keyword, equals, value = word.partition(b"=")
        check_keyword(keyword, value if equals else None, line)
        keywords[keyword] = (value if equals else None), line
    return keywords


def _is_folder(keywords: Keywords) -> bool:
    return keywords.get(b"type", (None,))[0] == EntryType.FOLDER.value


def _check_type(
    path: bytes, earlier: tuple[int, Keywords], keywords: Keywords, line: ManifestLine
) -> None:
    first_number, first = earlier
    if (old := first.get(b"type")) and (new := keywords.get(b"type")) and old[0] != new[0]:
        raise line.fail(
            f"{display(path)} of type {display(old[0] or b'')} as on line {first_number}",
            display(new[0] or b""),
        )

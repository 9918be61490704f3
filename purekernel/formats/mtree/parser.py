"""Read a manifest into entries.

Both forms of mtree(5) are read: full paths, which contain a slash, and the nested form, in
which a folder's entry opens it and ``..`` closes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from purekernel.errors import PathError
from purekernel.formats.mtree.entry import (
    BYTE_ORDER_MARK,
    SIGNATURE,
    Entry,
    Kind,
    Place,
    check_keyword,
    is_mtree,
    make_entry,
)
from purekernel.formats.mtree.escapes import decode
from purekernel.tree import ROOT, Buffer, display, parse_path
from purekernel.tree.path import join

Keywords = dict[bytes, tuple[bytes | None, Place]]

# A comment has a line of its own; elsewhere '#' is a character, as bsdtar has it.
_COMMENT = re.compile(rb"[ \t]*#")


def parse_mtree(data: Buffer, *, source: str) -> tuple[Entry, ...]:
    r"""Return the entries of a manifest, each path once, in the order of first mention.

    Reads ``#`` comments, lines continued with ``\``, ``/set`` and ``/unset``, names
    escaped as vis(3) does, and lines that end as on Windows. When a path is named more
    than once, what later lines say themselves overrides what was said before.

    The numbers of ``uid`` and ``gid`` count; ``uname`` and ``gname`` are read where there
    are none, and must be accounts of Tiny Core: root, tc; root, staff. ``cksum``,
    ``flags``, ``inode``, ``nlink``, ``resdevice``, ``tags`` and the RIPEMD digests are
    passed over, and ``ignore`` has no meaning for what is made rather than checked.

    Raises:
        FormatError: naming the line.
    """
    text = bytes(data)
    if not is_mtree(text):
        raise Place(source=source, line=1).refuse(
            f"{SIGNATURE.decode()} on the first line",
            display(text.partition(b"\n")[0][:40]),
            hint="put '#mtree' on the first line of the manifest",
        )
    parser = _Parser(source)
    for line, words in _lines(text.removeprefix(BYTE_ORDER_MARK), source):
        parser.feed(words, Place(source=source, line=line))
    return parser.entries()


def _lines(text: bytes, source: str) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the number and words of each line that has any, continued ones joined."""
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
            yield first, words
    if pieces:
        raise Place(source=source, line=first).refuse(
            "a line after the '\\' at a line's end", "the end"
        )


class _Parser:
    """What a manifest has said so far."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._defaults: Keywords = {}
        # The folders that nested entries have opened, innermost last.
        self._open: list[bytes] = []
        self._said: dict[bytes, tuple[Place, Keywords]] = {}

    def feed(self, words: list[bytes], place: Place) -> None:
        """Take one line in."""
        first, *rest = words
        if first == b"/set":
            self._defaults.update(_keywords(rest, place))
        elif first == b"/unset":
            self._unset(rest, place)
        elif first == b"..":
            if rest:
                raise place.refuse("'..' alone on its line", display(b" ".join(words)))
            if not self._open:
                raise place.refuse("an open folder for '..' to close", "none")
            self._open.pop()
        else:
            self._name(first, _keywords(rest, place), place)

    def entries(self) -> tuple[Entry, ...]:
        """Return what was said."""
        return tuple(
            make_entry(path, keywords, place) for path, (place, keywords) in self._said.items()
        )

    def _unset(self, keywords: list[bytes], place: Place) -> None:
        for keyword in keywords:
            if keyword == b"all":
                self._defaults.clear()
            elif self._defaults.pop(keyword, None) is None:
                raise place.refuse("a keyword that /set gave", display(keyword))

    def _name(self, word: bytes, keywords: Keywords, place: Place) -> None:
        name = decode(word, place.refuse)
        full = b"/" in word or name == b"."
        try:
            path = parse_path(name)
            if not full and self._open:
                path = parse_path(join(self._open[-1], name))
        except PathError as error:
            raise error.within(f"{self._source}, line {place.line}") from None
        earlier = self._said.get(path)
        if earlier is None:
            keywords = {**self._defaults_for(keywords), **keywords}
        else:
            _check_type(path, earlier, keywords, place)
            place, keywords = earlier[0], {**earlier[1], **keywords}
        self._said[path] = place, keywords
        if not full and _is_folder(keywords):
            self._open.append(path)
        elif path == ROOT and not self._open:
            self._open.append(ROOT)

    def _defaults_for(self, keywords: Keywords) -> Keywords:
        """Return what ``/set`` said, less the numbers that the entry's own names replace."""
        replaced = {
            number
            for number, account in ((b"uid", b"uname"), (b"gid", b"gname"))
            if account in keywords
        }
        return {key: said for key, said in self._defaults.items() if key not in replaced}


def _keywords(words: list[bytes], place: Place) -> Keywords:
    keywords: Keywords = {}
    for word in words:
        keyword, equals, value = word.partition(b"=")
        check_keyword(keyword, value if equals else None, place)
        keywords[keyword] = (value if equals else None), place
    return keywords


def _is_folder(keywords: Keywords) -> bool:
    return keywords.get(b"type", (None,))[0] == Kind.FOLDER.value


def _check_type(
    path: bytes, earlier: tuple[Place, Keywords], keywords: Keywords, place: Place
) -> None:
    first_place, first = earlier
    if (old := first.get(b"type")) and (new := keywords.get(b"type")) and old[0] != new[0]:
        raise place.refuse(
            f"{display(path)} of type {display(old[0] or b'')} as on line {first_place.line}",
            display(new[0] or b""),
        )

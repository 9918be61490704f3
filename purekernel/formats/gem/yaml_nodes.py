"""YAML as a tree of plain nodes: no tag makes an object, no text becomes a number or a date.

The specification in a gem is YAML that Ruby wrote, from 2004 on by several libraries, each
with ideas of its own about what needs quotes. So the text of a scalar counts as it stands
(``version: 1.10`` is no number), and whoever asks for it says what it should be.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import TypeAlias

import yaml
from attrs import field, frozen

from purekernel.errors import FormatError, LimitError
from purekernel.tree import Buffer

# A gem of ten thousand files has a specification of half a megabyte.
MAX_YAML_BYTES = 4 << 20
MAX_NODES = 500_000

# Specifications are seven deep.
MAX_DEPTH = 32

# The one in C where it was built; both yield the same events.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NULL_TAGS = frozenset({"tag:yaml.org,2002:null"})
_BINARY_TAGS = frozenset({"!binary", "tag:yaml.org,2002:binary"})

HINT = "the gem is damaged, or too old for anything to read: fetch it again, or leave it out"


@frozen(kw_only=True)
class Scalar:
    """Text.

    Attributes:
        text: without quotes; ``None`` is null.
        line: where it stands, from 1.
    """

    text: str | None
    line: int


@frozen(kw_only=True)
class Sequence:
    """Nodes in a row."""

    items: tuple[Node, ...] = field(repr=False)
    line: int


@frozen(kw_only=True)
class Mapping:
    """Nodes by name; of two of one name, the last counts."""

    entries: dict[str, Node] = field(repr=False)
    line: int


Node: TypeAlias = "Scalar | Sequence | Mapping"


def parse_yaml(data: Buffer, *, source: str) -> Node:
    """Return the first document of ``data``; what is aliased is one node.

    Args:
        data: UTF-8, or Latin-1 where it is no UTF-8.
        source: its name, for messages.

    Raises:
        FormatError: it is no YAML, or a key is no text.
        LimitError: it is very large, or nested very deeply.
    """
    if len(data) > MAX_YAML_BYTES:
        raise _too_much(source, f"at most {MAX_YAML_BYTES} bytes of YAML", f"{len(data)}")
    raw = bytes(data)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    try:
        return _Composer(source).compose(iter(yaml.parse(text, Loader=_LOADER)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise FormatError(
            source=f"{source}, line {line}", expected="YAML", got=f"{error.problem}", hint=HINT
        ) from None
    except FormatError:
        raise
    except (yaml.YAMLError, ValueError):  # the latter for "\U00110000", which is no character
        raise FormatError(
            source=source, expected="YAML", got="characters that it may not hold", hint=HINT
        ) from None


class _Composer:
    """Puts nodes together from the parser's events, with a stack of its own."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._anchors: dict[str, Node] = {}
        # What is open, innermost last: its nodes so far, its first event.
        self._open: list[tuple[list[Node], yaml.CollectionStartEvent]] = []

    def compose(self, events: Iterator[yaml.Event]) -> Node:
        count = 0
        for event in events:
            node = self._node(event)
            if node is None:
                continue
            count += 1
            if count > MAX_NODES:
                raise _too_much(self._source, f"at most {MAX_NODES} values", "more")
            if not self._open:
                return node
            self._open[-1][0].append(node)
        raise FormatError(source=self._source, expected="YAML", got="nothing", hint=HINT)

    def _node(self, event: yaml.Event) -> Node | None:
        """Return the node that ``event`` completes, if it does."""
        if isinstance(event, yaml.ScalarEvent):
            return self._named(event, self._scalar(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if isinstance(event, yaml.CollectionStartEvent):
            if len(self._open) == MAX_DEPTH:
                raise _too_much(self._source, f"values at most {MAX_DEPTH} deep", "more")
            self._open.append(([], event))
        elif isinstance(event, yaml.CollectionEndEvent):
            nodes, start = self._open.pop()
            return self._named(start, self._collection(nodes, start))
        return None

    def _named(self, event: yaml.NodeEvent, node: Node) -> Node:
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent) -> Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise FormatError(
                source=f"{self._source}, line {_line(event)}",
                expected="an alias of what stands before it",
                got=f"*{event.anchor}",
                hint=HINT,
            )
        return node

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        text: str | None = event.value
        if event.tag in _BINARY_TAGS:
            text = _binary(event.value)
        elif event.tag in _NULL_TAGS or (
            event.tag is None and not event.style and event.value in _NULLS
        ):
            text = None
        return Scalar(text=text, line=_line(event))

    def _collection(self, nodes: list[Node], start: yaml.CollectionStartEvent) -> Node:
        line = _line(start)
        if isinstance(start, yaml.SequenceStartEvent):
            return Sequence(items=tuple(nodes), line=line)
        entries: dict[str, Node] = {}
        for key, value in zip(nodes[::2], nodes[1::2], strict=True):
            if not isinstance(key, Scalar):
                raise FormatError(
                    source=f"{self._source}, line {key.line}",
                    expected="text as a key",
                    got="something else",
                    hint=HINT,
                )
            entries[key.text or ""] = value
        return Mapping(entries=entries, line=line)


def _binary(text: str) -> str:
    """Return what base64 holds; what is no base64 stays as it is."""
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return text
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def _too_much(source: str, expected: str, got: str) -> LimitError:
    return LimitError(
        source=source,
        expected=expected,
        got=got,
        hint="the gem is damaged or hostile: no gem's specification is like that",
    )

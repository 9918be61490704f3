"""Parse YAML into plain nodes: tags create no objects, and scalars stay text.

The specification in a gem is YAML that was written by several libraries of Ruby since 2004, which
differ in what they quote. So scalars keep their text (``version: 1.10`` is not a number), and the
caller converts it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import TypeAlias

import yaml
from attrs import field

from purekernel.errors import FormatError
from purekernel.input import Input
from purekernel.records import frozen

# The specification of a gem with ten thousand files has half a megabyte.
MAX_YAML_BYTES = 4 << 20
MAX_NODES = 500_000

# Specifications are nested seven deep.
MAX_DEPTH = 32

# The loader in C if it was built; both yield the same events.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NULL_TAGS = frozenset({"tag:yaml.org,2002:null"})
_BINARY_TAGS = frozenset({"!binary", "tag:yaml.org,2002:binary"})

HINT = "the gem is damaged or too old: download it again, or leave it out"
HOSTILE = "the gem is damaged or hostile: real specifications are smaller"


@frozen(kw_only=True)
class YamlScalar:
    """A text.

    Attributes:
        text: the text without quotes; ``None`` for null.
        line: its line, counted from 1.
    """

    text: str | None
    line: int


@frozen(kw_only=True)
class YamlSequence:
    """A list of nodes."""

    items: tuple[YamlNode, ...] = field(repr=False)
    line: int


@frozen(kw_only=True)
class YamlMapping:
    """Nodes by key; of several with one key, the last counts."""

    entries: dict[str, YamlNode] = field(repr=False)
    line: int


YamlNode: TypeAlias = "YamlScalar | YamlSequence | YamlMapping"


def parse_yaml(file: Input) -> YamlNode:
    """Return the first document of ``file``; aliases are the same node.

    Args:
        file: UTF-8, or Latin-1 if it is not valid UTF-8.

    Raises:
        FormatError: the file is not YAML, or a key is not text.
        LimitError: the file is too large, or nested too deeply.
    """
    if len(file) > MAX_YAML_BYTES:
        expected = f"at most {MAX_YAML_BYTES} bytes of YAML"
        raise file.exceed(None, expected, f"{len(file)}", hint=HOSTILE)
    raw = bytes(file.data)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    try:
        return _Composer(file).compose(iter(yaml.parse(text, Loader=_LOADER)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise file.fail_at_line(line, "YAML", f"{error.problem}", hint=HINT) from None
    except FormatError:
        raise
    except (yaml.YAMLError, ValueError):  # ValueError for "\U00110000", which is not a character
        raise file.fail(None, "YAML", "invalid characters", hint=HINT) from None


class _Composer:
    """Compose nodes from the parser's events, without recursion."""

    def __init__(self, file: Input) -> None:
        self._file = file
        self._anchors: dict[str, YamlNode] = {}
        # The open collections, innermost last: their nodes so far and their first event.
        self._open: list[tuple[list[YamlNode], yaml.CollectionStartEvent]] = []

    def compose(self, events: Iterator[yaml.Event]) -> YamlNode:
        count = 0
        for event in events:
            node = self._node(event)
            if node is None:
                continue
            count += 1
            if count > MAX_NODES:
                raise self._file.exceed(None, f"at most {MAX_NODES} values", "more", hint=HOSTILE)
            if not self._open:
                return node
            self._open[-1][0].append(node)
        raise self._file.fail(None, "YAML", "nothing", hint=HINT)

    def _node(self, event: yaml.Event) -> YamlNode | None:
        """Return the node that ``event`` completes, or ``None``."""
        if isinstance(event, yaml.ScalarEvent):
            return self._named(event, self._scalar(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if isinstance(event, yaml.CollectionStartEvent):
            if len(self._open) == MAX_DEPTH:
                expected = f"values nested at most {MAX_DEPTH} deep"
                raise self._file.exceed(None, expected, "more", hint=HOSTILE)
            self._open.append(([], event))
        elif isinstance(event, yaml.CollectionEndEvent):
            nodes, start = self._open.pop()
            return self._named(start, self._collection(nodes, start))
        return None

    def _named(self, event: yaml.NodeEvent, node: YamlNode) -> YamlNode:
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent) -> YamlNode:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise self._file.fail_at_line(
                _line(event), "an alias of an earlier value", f"*{event.anchor}", hint=HINT
            )
        return node

    def _scalar(self, event: yaml.ScalarEvent) -> YamlScalar:
        text: str | None = event.value
        if event.tag in _BINARY_TAGS:
            text = _binary(event.value)
        elif event.tag in _NULL_TAGS or (
            event.tag is None and not event.style and event.value in _NULLS
        ):
            text = None
        return YamlScalar(text=text, line=_line(event))

    def _collection(self, nodes: list[YamlNode], start: yaml.CollectionStartEvent) -> YamlNode:
        line = _line(start)
        if isinstance(start, yaml.SequenceStartEvent):
            return YamlSequence(items=tuple(nodes), line=line)
        entries: dict[str, YamlNode] = {}
        for key, value in zip(nodes[::2], nodes[1::2], strict=True):
            if not isinstance(key, YamlScalar):
                raise self._file.fail_at_line(
                    key.line, "text as a key", "something else", hint=HINT
                )
            entries[key.text or ""] = value
        return YamlMapping(entries=entries, line=line)


def _binary(text: str) -> str:
    """Decode base64; return other text unchanged."""
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

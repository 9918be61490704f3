"""Write a comparison as lines of text, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from purekernel.analysis.diff.compare import compare, place_of
from purekernel.analysis.diff.details import Detail, describe_change
from purekernel.analysis.diff.model import (
    Aspect,
    Change,
    ChangeKind,
    Comparison,
    Cost,
    FactChange,
    Side,
)
from purekernel.analysis.diff.unified import Hunks
from purekernel.analysis.listing import entry_json, format_time
from purekernel.input import Report, limits_of
from purekernel.records import frozen
from purekernel.tree import Device, Directory, Node, Symlink, describe
from purekernel.tree.path import escape

# The number of changes that are shown, and of lines about each, unless the user gives another.
MOST_CHANGES = 200
MOST_LINES = 40

# A line of a text that was made by a program may have many megabytes.
MAX_LINE_CHARACTERS = 400

# Files of which only owner, mode, time or the like changed, all in the same way, are one line if
# there are more.
_MOST_ALIKE = 3

# So many items of a property are on one line.
_MOST_ON_LINE = 4

_OF_METADATA = frozenset({Aspect.MODE, Aspect.OWNER, Aspect.TIME})


@frozen(kw_only=True)
class Shown:
    """How much of a comparison is shown.

    Attributes:
        changes: the number of changes; 0 for all.
        lines: the number of lines about each; 0 for all.
        has_details: whether to show how contents differ.
    """

    changes: int = MOST_CHANGES
    lines: int = MOST_LINES
    has_details: bool = True


DEFAULT_SHOWN = Shown()


@frozen(kw_only=True, eq=False)
class DiffReport:
    """A comparison, and how much of it is shown."""

    comparison: Comparison
    shown: Shown

    def lines(self) -> list[str]:
        """Return the lines of :func:`render`."""
        return render(self.comparison, self.shown)

    def json(self) -> dict[str, object]:
        """Return the JSON of :func:`comparison_json`."""
        return comparison_json(self.comparison, self.shown)


def diff_places(
    old: str,
    new: str,
    *,
    ignore: Iterable[str],
    shown: Mapping[str, Any],
    is_expanded: bool,
    max_unpacked: int | None,
    note: Report,
) -> DiffReport:
    """Compare what is at two addresses.

    Args:
        old: the address of the old one.
        new: the address of the new one.
        ignore: the values of the aspects not to compare.
        shown: the attributes of :class:`Shown`.
        is_expanded: as for :func:`~purekernel.analysis.diff.compare.compare`.
        max_unpacked: the limit of what is unpacked, in bytes; ``None`` for the default.
        note: called with what the readers drop or replace, a line each.

    Raises as :func:`~purekernel.analysis.diff.compare.compare`.
    """
    comparison = compare(
        old,
        new,
        ignore=map(Aspect, ignore),
        limits=limits_of(max_unpacked, report=note),
        is_expanded=is_expanded,
    )
    return DiffReport(comparison=comparison, shown=Shown(**shown))


def render(comparison: Comparison, shown: Shown = DEFAULT_SHOWN) -> list[str]:
    """Return the lines that describe a comparison; none if nothing differs.

    All that is not printable is escaped.
    """
    if comparison.is_same:
        return []
    lines = [f"--- {_side(comparison.old)}", f"+++ {_side(comparison.new)}"]
    if comparison.is_repacked:
        lines.append("changed  the bytes of the image, and nothing that is compared in it")
    elif comparison.facts:
        lines += ["changed  the image itself", *_fact_lines(comparison.facts, shown)]
    groups = _grouped(comparison.changes)
    first = groups[: shown.changes] if shown.changes else groups
    for alike in first:
        if len(alike) > 1:
            lines.append(_alike_line(alike))
            continue
        change = alike[0]
        lines.append(change_line(change))
        if shown.has_details:
            lines += _detail_lines(describe_change(change), shown)
    if left := sum(map(len, groups)) - sum(map(len, first)):
        lines.append(f"and {left} more changes: --changes 0 shows all")
    return [*lines, summary_line(comparison)]


def render_short(comparison: Comparison, *, most: int = 8) -> list[str]:
    """Return a few lines about a comparison: what changed, without how; then the summary."""
    if comparison.is_same:
        return []
    lines = ["changed  the image itself"] if comparison.facts else []
    groups = _grouped(comparison.changes)
    lines += [
        change_line(alike[0]) if len(alike) == 1 else _alike_line(alike) for alike in groups[:most]
    ]
    if left := sum(map(len, groups[most:])):
        lines.append(f"and {left} more changes")
    return [*map(_shortened, lines), summary_line(comparison)]


def summary_line(comparison: Comparison) -> str:
    """Return how many names changed, and how the size did."""
    counts = [
        f"{count} {kind.value}" for kind in ChangeKind if (count := comparison.count(kind))
    ] or ["no file changed"]
    old, new = comparison.old.size_bytes, comparison.new.size_bytes
    if old is None or new is None:
        return ", ".join(counts)
    return f"{', '.join(counts)}; {old} -> {new} bytes ({signed_size(new - old)})"


def change_line(change: Change) -> str:
    """Return one line about a change, without how its content differs."""
    where = place_of(change) or "the file itself"
    if change.old_path is not None:
        old = escape(change.old_path)
        where = f"{change.place}:{old}" if change.place else old
        where += f" -> {escape(change.path)}"
    node = change.new if change.new is not None else change.old
    if isinstance(node, Directory) and change.path:
        where += "/"
    if change.kind in (ChangeKind.ADDED, ChangeKind.REMOVED):
        where += _target(node)
    details = [] if change.names == 1 else [f"{change.names} names"]
    details += [_aspect_text(each, change) for each in change.aspects]
    if change.cost is not None and (change.cost.more_bytes or Aspect.CONTENT in change.aspects):
        details.append(_cost_text(change.cost))
    ending = f": {', '.join(details)}" if details else ""
    return f"{change.kind.value:8} {where}{ending}"


def signed_size(size_bytes: int) -> str:
    """Return a size with its sign: ``+512 bytes``, ``-1.2 kB``, ``+3.45 MB``."""
    if abs(size_bytes) < 1000:
        return f"{size_bytes:+} bytes"
    if abs(size_bytes) < 1_000_000:
        return f"{size_bytes / 1e3:+.1f} kB"
    return f"{size_bytes / 1e6:+.2f} MB"


def _side(side: Side) -> str:
    size = "" if side.size_bytes is None else f", {side.size_bytes} bytes"
    return f"{escape(side.address.encode('utf-8', 'surrogateescape'))} ({side.kind}{size})"


def _target(node: Node | None) -> str:
    if isinstance(node, Symlink):
        return f" -> {escape(node.target)}"
    if isinstance(node, Device):
        return f" ({node.kind.value} device {node.major}:{node.minor})"
    return ""


def _cost_text(cost: Cost) -> str:
    about = "about " if cost.is_estimate else ""
    return f"{about}{signed_size(cost.more_bytes)}"


def _grouped(changes: Sequence[Change]) -> list[list[Change]]:
    """Return the changes in order; those of metadata that are alike together, if there are many."""
    groups: dict[object, list[Change]] = {}
    for number, change in enumerate(changes):
        key: object = number
        if change.kind is ChangeKind.CHANGED and not change.facts:
            aspects = frozenset(change.aspects)
            if aspects and aspects <= _OF_METADATA:
                same = [
                    _aspect_text(each, change) for each in change.aspects if each is not Aspect.TIME
                ]
                key = (change.place, Aspect.TIME in aspects, tuple(same))
        groups.setdefault(key, []).append(change)
    result = []
    for group in groups.values():
        result += [group] if len(group) > _MOST_ALIKE else [[change] for change in group]
    return result


def _alike_line(alike: Sequence[Change]) -> str:
    first = alike[0]
    texts = ["time" if each is Aspect.TIME else _aspect_text(each, first) for each in first.aspects]
    where = f"{first.place}: " if first.place else ""
    example = escape(first.path) or "."
    return f"{first.kind.value:8} {where}{len(alike)} names, such as {example}: {', '.join(texts)}"


def _aspect_text(aspect: Aspect, change: Change) -> str:
    old, new = change.old, change.new
    if aspect is Aspect.PACKING:
        return "packed in another way, the same inside"
    if aspect is Aspect.HARD_LINKS:
        return f"hard links {_links(change.old_links)} -> {_links(change.new_links)}"
    if aspect is Aspect.CONTENT or old is None or new is None:
        return str(aspect.value)
    value = _VALUES[aspect]
    return f"{aspect.value} {value(old)} -> {value(new)}"


def _time(seconds: int) -> str:
    """Return a time in UTC with its seconds."""
    text = format_time(seconds)
    return text if text.startswith("@") else f"{text}:{seconds % 60:02}"


def _attributes(node: Node) -> str:
    return " ".join(escape(key) for key, _value in node.metadata.xattrs) or "none"


_VALUES: dict[Aspect, Callable[[Node], str]] = {
    Aspect.TYPE: describe,
    Aspect.MODE: lambda node: f"{node.metadata.mode:04o}",
    Aspect.OWNER: lambda node: f"{node.metadata.uid}:{node.metadata.gid}",
    Aspect.TIME: lambda node: _time(node.metadata.mtime),
    Aspect.LINK: lambda node: escape(node.target) if isinstance(node, Symlink) else "",
    Aspect.DEVICE: lambda node: (
        f"{node.kind.value} {node.major}:{node.minor}" if isinstance(node, Device) else ""
    ),
    Aspect.XATTRS: _attributes,
}


def _links(paths: Sequence[bytes]) -> str:
    shown = " ".join(map(escape, paths[:_MOST_ON_LINE])) or "none"
    more = len(paths) - _MOST_ON_LINE
    return f"{shown} and {more} more" if more > 0 else shown


def _detail_lines(detail: Detail, shown: Shown) -> list[str]:
    lines = _fact_lines(detail.facts, shown)
    if detail.has_same_meaning:
        lines.append("    the same in meaning")
    if detail.hunks is not None:
        lines += _cut([f"    {_text_line(line)}" for line in detail.hunks.lines], shown)
    return lines


def _fact_lines(facts: Sequence[FactChange], shown: Shown) -> list[str]:
    return _cut([line for fact in facts for line in _fact_text(fact)], shown)


def _fact_text(fact: FactChange) -> Iterator[str]:
    subject = _printable(fact.subject)
    items = [f"- {_printable(each)}" for each in fact.removed]
    items += [f"+ {_printable(each)}" for each in fact.added]
    if not items:
        if fact.old is None and fact.new is None:
            yield f"    {subject}"
        else:
            values = ("none" if each is None else each for each in (fact.old, fact.new))
            yield f"    {subject}: {' -> '.join(_printable(each) or repr('') for each in values)}"
    elif len(items) <= _MOST_ON_LINE:
        yield f"    {subject}: {', '.join(items)}"
    else:
        yield f"    {subject}:"
        for item in items:
            yield f"      {item}"


def _cut(lines: list[str], shown: Shown) -> list[str]:
    left = len(lines) - shown.lines
    if not shown.lines or left <= 0:
        return lines
    return [*lines[: shown.lines], f"    and {left} more lines: --lines 0 shows all"]


def _printable(text: str) -> str:
    return _shortened(escape(text.encode("utf-8", "surrogateescape")))


def _text_line(line: bytes) -> str:
    return _shortened(escape(line.expandtabs()))


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_LINE_CHARACTERS else text[:MAX_LINE_CHARACTERS] + "…"


# JSON; docs/json.md explains the keys.


def comparison_json(comparison: Comparison, shown: Shown = DEFAULT_SHOWN) -> dict[str, object]:
    """Return the JSON of a comparison."""
    first = comparison.changes[: shown.changes] if shown.changes else comparison.changes
    return {
        "old": _side_json(comparison.old),
        "new": _side_json(comparison.new),
        "is_same": comparison.is_same and not comparison.faults,
        "counts": {kind.value: comparison.count(kind) for kind in ChangeKind},
        "structure": [_fact_json(each) for each in comparison.facts],
        "is_repacked": comparison.is_repacked,
        "changes": [_change_json(each, shown) for each in first],
        "more_changes": len(comparison.changes) - len(first),
    }


def _side_json(side: Side) -> dict[str, object]:
    return {"address": side.address, "kind": side.kind, "bytes": side.size_bytes}


def _change_json(change: Change, shown: Shown) -> dict[str, object]:
    detail = describe_change(change) if shown.has_details else Detail(facts=change.facts)
    cost = change.cost
    return {
        "kind": change.kind.value,
        "place": change.place,
        "path": change.path,
        "old_path": change.old_path,
        "names": change.names,
        "aspects": [each.value for each in change.aspects],
        "old": _node_json(change.old_path or change.path, change.old),
        "new": _node_json(change.path, change.new),
        "packed": cost
        and {
            "old_bytes": cost.old_bytes,
            "new_bytes": cost.new_bytes,
            "is_estimate": cost.is_estimate,
        },
        "old_links": list(change.old_links),
        "new_links": list(change.new_links),
        "facts": [_fact_json(each) for each in detail.facts],
        "has_same_meaning": detail.has_same_meaning,
        "text": _text_json(detail.hunks, shown),
    }


def _node_json(path: bytes, node: Node | None) -> dict[str, object] | None:
    return None if node is None else entry_json(path, node)


def _fact_json(fact: FactChange) -> dict[str, object]:
    return {
        "subject": fact.subject,
        "old": fact.old,
        "new": fact.new,
        "removed": list(fact.removed),
        "added": list(fact.added),
    }


def _text_json(hunks: Hunks | None, shown: Shown) -> dict[str, object] | None:
    if hunks is None:
        return None
    lines = hunks.lines[: shown.lines] if shown.lines else hunks.lines
    return {
        "removed": hunks.removed,
        "added": hunks.added,
        "lines": list(lines),
        "more_lines": len(hunks.lines) - len(lines),
    }

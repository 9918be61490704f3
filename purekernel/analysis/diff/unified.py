"""Compare texts line by line, in bounded time, and write the differences as hunks.

Source: Eugene W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986); the unified
format of diff(1), as POSIX describes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from purekernel.records import frozen

CONTEXT_LINES = 3

# Time and memory grow with the square of the first number, and with the second. Texts that differ
# in more lines, or need more steps, are shown as one block that is replaced by another.
MOST_EDITS = 300
MOST_STEPS = 300_000

# Real configuration files have some kilobytes.
MAX_TEXT_BYTES = 1 << 20

_NO_NEWLINE = b"\\ No newline at end of file"

Edit = tuple[int, int, int, int]
"""Start and end of old lines, and start and end of the new lines that replace them."""


@frozen(kw_only=True)
class Hunks:
    """The differences of two texts.

    Attributes:
        lines: lines in the unified format, from the first ``@@`` on, without their ends.
        removed: the number of old lines that are not in the new text.
        added: the number of new lines that are not in the old text.
    """

    lines: tuple[bytes, ...]
    removed: int
    added: int


def compare_texts(old: bytes, new: bytes) -> Hunks:
    """Return the differences of two texts, which are split at newlines only."""
    old_lines, new_lines = _lines(old), _lines(new)
    edits = find_edits(old_lines, new_lines)
    return Hunks(
        lines=tuple(_hunks(old_lines, new_lines, edits)),
        removed=sum(end - start for start, end, _new_start, _new_end in edits),
        added=sum(end - start for _old_start, _old_end, start, end in edits),
    )


def _lines(text: bytes) -> list[bytes]:
    """Return the lines with their newlines, of which the last may have none."""
    return [line + b"\n" for line in text.split(b"\n")[:-1]] + [text.rpartition(b"\n")[2]] * (
        not text.endswith(b"\n") and bool(text)
    )


def find_edits(old: Sequence[bytes], new: Sequence[bytes]) -> list[Edit]:
    """Return the edits that make ``new`` of ``old``: the fewest lines, unless they are too many."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    old_end, new_end = len(old), len(new)
    while old_end > start and new_end > start and old[old_end - 1] == new[new_end - 1]:
        old_end, new_end = old_end - 1, new_end - 1
    if start == old_end and start == new_end:
        return []
    # Numbers are compared faster than lines.
    numbers: dict[bytes, int] = {}
    olds = [numbers.setdefault(line, len(numbers)) for line in old[start:old_end]]
    news = [numbers.setdefault(line, len(numbers)) for line in new[start:new_end]]
    steps = _shortest(olds, news)
    if steps is None:
        return [(start, old_end, start, new_end)]
    return [
        (start + first, start + last, start + new_first, start + new_last)
        for first, last, new_first, new_last in _join(steps, len(olds), len(news))
    ]


def _shortest(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, int]] | None:
    """Return the pairs of equal items on the shortest path, in order; ``None`` if it is too long.

    ``reached[k]`` is how much of ``old`` is done on the diagonal ``k``: the number of items done of
    ``old`` less those of ``new``.
    """
    reached = {1: 0}
    trace: list[dict[int, int]] = []
    steps = 0
    for edits in range(min(MOST_EDITS, len(old) + len(new)) + 1):
        trace.append(dict(reached))
        for k in range(-edits, edits + 1, 2):
            down = k == -edits or (k != edits and reached[k - 1] < reached[k + 1])
            x = reached[k + 1] if down else reached[k - 1] + 1
            y, started = x - k, x
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y = x + 1, y + 1
            reached[k] = x
            steps += x - started
            if x >= len(old) and y >= len(new):
                return _walk_back(trace, len(old), len(new))
        if steps > MOST_STEPS:
            break
    return None


def _walk_back(trace: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for edits in range(len(trace) - 1, -1, -1):
        reached, k = trace[edits], x - y
        down = k == -edits or (k != edits and reached[k - 1] < reached[k + 1])
        before_k = k + 1 if down else k - 1
        before_x = reached[before_k]
        before_y = before_x - before_k
        while x > before_x and y > before_y and x > 0 and y > 0:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        x, y = before_x, before_y
    # The first edit starts before both texts; only items of both count.
    return pairs[::-1]


def _join(pairs: list[tuple[int, int]], old_count: int, new_count: int) -> Iterator[Edit]:
    """Yield what lies between equal items."""
    x = y = 0
    for old_index, new_index in (*pairs, (old_count, new_count)):
        if old_index > x or new_index > y:
            yield x, old_index, y, new_index
        x, y = old_index + 1, new_index + 1


def _hunks(old: Sequence[bytes], new: Sequence[bytes], edits: Sequence[Edit]) -> Iterator[bytes]:
    group: list[Edit] = []
    for edit in edits:
        if group and edit[0] - group[-1][1] > 2 * CONTEXT_LINES:
            yield from _hunk(old, new, group)
            group = []
        group.append(edit)
    if group:
        yield from _hunk(old, new, group)


def _hunk(old: Sequence[bytes], new: Sequence[bytes], edits: Sequence[Edit]) -> Iterator[bytes]:
    before = min(CONTEXT_LINES, edits[0][0])
    after = min(CONTEXT_LINES, len(old) - edits[-1][1])
    start, end = edits[0][0] - before, edits[-1][1] + after
    new_start, new_end = edits[0][2] - before, edits[-1][3] + after
    yield b"@@ -%s +%s @@" % (_range(start, end), _range(new_start, new_end))
    position = start
    for old_first, old_last, new_first, new_last in edits:
        yield from _marked(b" ", old[position:old_first])
        yield from _marked(b"-", old[old_first:old_last])
        yield from _marked(b"+", new[new_first:new_last])
        position = old_last
    yield from _marked(b" ", old[position:end])


def _marked(mark: bytes, lines: Sequence[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line.endswith(b"\n"):
            yield mark + line[:-1]
        else:
            yield mark + line
            yield _NO_NEWLINE


def _range(start: int, end: int) -> bytes:
    """Return a range of lines: empty ones start at the line before them."""
    count = end - start
    first = start + 1 if count else start
    return b"%d" % first if count == 1 else b"%d,%d" % (first, count)

"""Draw what was measured: points by time and size, as an SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from html import escape

from purekernel.records import frozen

_PANEL_WIDTH, _PANEL_HEIGHT = 520, 360
_LEFT, _TOP, _RIGHT, _BOTTOM = 66, 44, 120, 48
_OURS, _PEERS, _INK, _GRID = "#0b6e4f", "#b5541c", "#222222", "#dddddd"
_LABEL_HEIGHT, _LETTER_WIDTH = 13, 6.5
_MARK_RADIUS, _LABEL_GAP = 4.5, 9

_Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@frozen(kw_only=True)
class Point:
    """One contestant.

    Attributes:
        name: its label.
        time: more than 0.
        size: of what it made.
        is_ours: drawn as a filled point, else as a ring.
    """

    name: str
    time: float
    size: float
    is_ours: bool


@frozen(kw_only=True)
class Panel:
    """Points that are compared with each other."""

    title: str
    points: tuple[Point, ...]


def draw(panels: Sequence[Panel], *, x_title: str, y_title: str) -> str:
    """Return panels side by side: time to the right, on a scale of powers, size upwards."""
    width = len(panels) * (_PANEL_WIDTH + _LEFT + _RIGHT)
    height = _PANEL_HEIGHT + _TOP + _BOTTOM
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="{_INK}">'
    )
    lines = [head, f'<rect width="{width}" height="{height}" fill="white"/>']
    for index, panel in enumerate(panels):
        lines.append(f'<g transform="translate({index * (_PANEL_WIDTH + _LEFT + _RIGHT)} 0)">')
        lines += _panel(panel, x_title, y_title)
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


def _panel(panel: Panel, x_title: str, y_title: str) -> Iterator[str]:
    first = math.floor(math.log10(min(point.time for point in panel.points)))
    last = math.ceil(math.log10(max(point.time for point in panel.points)))
    step = _step(max(point.size for point in panel.points) - min(p.size for p in panel.points))
    low = math.floor(min(point.size for point in panel.points) / step) * step
    high = math.ceil(max(point.size for point in panel.points) / step) * step

    def x(time: float) -> float:
        return _LEFT + (math.log10(time) - first) / (last - first) * _PANEL_WIDTH

    def y(size: float) -> float:
        return _TOP + (high - size) / (high - low) * _PANEL_HEIGHT

    yield _text(_LEFT, _TOP - 20, panel.title, size=15)
    for power in range(first, last + 1):
        at = x(10**power)
        yield _line(at, _TOP, at, _TOP + _PANEL_HEIGHT)
        yield _text(at, _TOP + _PANEL_HEIGHT + 16, f"{10**power:g}", anchor="middle")
    for count in range(round((high - low) / step) + 1):
        size = low + count * step
        yield _line(_LEFT, y(size), _LEFT + _PANEL_WIDTH, y(size))
        yield _text(_LEFT - 6, y(size) + 4, f"{size:.3f}", anchor="end")
    middle = _LEFT + _PANEL_WIDTH / 2
    yield _text(middle, _TOP + _PANEL_HEIGHT + 38, x_title, anchor="middle")
    yield (
        f'<text transform="translate(16 {_TOP + _PANEL_HEIGHT / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_title)}</text>'
    )
    taken = [_around(x(point.time), y(point.size)) for point in panel.points]
    for point in sorted(panel.points, key=lambda point: (point.size, point.time, point.name)):
        colour = _OURS if point.is_ours else _PEERS
        at_x, at_y = x(point.time), y(point.size)
        fill = colour if point.is_ours else "white"
        yield (
            f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="{_MARK_RADIUS}" fill="{fill}" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
        box = _place_label(at_x, at_y, len(point.name) * _LETTER_WIDTH, taken)
        taken.append(box)
        left, _top, right, bottom = box
        is_behind = left > at_x
        yield _text(
            left if is_behind else right, bottom - 3, point.name,
            anchor="start" if is_behind else "end", colour=colour,
        )  # fmt: skip


def _around(x: float, y: float) -> _Box:
    """Return what a point covers."""
    return x - _MARK_RADIUS, y - _MARK_RADIUS, x + _MARK_RADIUS, y + _MARK_RADIUS


def _place_label(x: float, y: float, width: float, taken: Sequence[_Box]) -> _Box:
    """Return where a point's label runs over nothing, as near to it as can be."""
    places = []
    for shift in (0, -1, 1, -2, 2, -3, 3):
        top = y - _LABEL_HEIGHT / 2 + shift * _LABEL_HEIGHT
        bottom = top + _LABEL_HEIGHT
        places.append((x + _LABEL_GAP, top, x + _LABEL_GAP + width, bottom))
        places.append((x - _LABEL_GAP - width, top, x - _LABEL_GAP, bottom))
    free = (box for box in places if box[0] > _LEFT and not any(map(partial(_meet, box), taken)))
    return next(free, places[0])


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _step(span: float) -> float:
    """Return a round step of which there are some in ``span``."""
    step = 10 ** math.floor(math.log10(max(span, 1e-6)))
    return step / 5 if span / step < 2 else step / 2 if span / step < 5 else step


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_GRID}"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = _INK
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{colour}">{escape(text)}</text>'
    )

"""Draw what was measured: points by time and size, as an SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from attrs import frozen

_PANEL_WIDTH, _PANEL_HEIGHT = 520, 360
_LEFT, _TOP, _RIGHT, _BOTTOM = 66, 44, 120, 48
_OURS, _PEERS, _INK, _GRID = "#0b6e4f", "#b5541c", "#222222", "#dddddd"
_LABEL_HEIGHT = 13


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
    taken: list[tuple[float, float]] = []
    for point in sorted(panel.points, key=lambda point: (point.size, point.time, point.name)):
        colour = _OURS if point.is_ours else _PEERS
        at_x, at_y = x(point.time), y(point.size)
        fill = colour if point.is_ours else "white"
        yield (
            f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="4.5" fill="{fill}" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
        label_y = _free(at_x, at_y + 4, taken)
        taken.append((at_x, label_y))
        yield _text(at_x + 9, label_y, point.name, colour=colour)


def _free(x: float, y: float, taken: Iterable[tuple[float, float]]) -> float:
    """Return where at ``y`` or above a label runs over none before it."""
    near = sorted((other for at, other in taken if abs(at - x) < _RIGHT), reverse=True)
    for other in near:
        if abs(other - y) < _LABEL_HEIGHT:
            y = other - _LABEL_HEIGHT
    return y


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

"""Show what extensions need: as a tree, or for Graphviz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from purekernel.cli.drawing import Drawn, megabytes
from purekernel.repos.tinycore import KERNEL, ExtensionGraph


def draw_graph(
    graph: ExtensionGraph, roots: Iterable[str], sizes: Mapping[str, int]
) -> tuple[Drawn, ...]:
    """Return the trees of ``roots``, with the sizes in bytes that are known.

    What several need is drawn in full where it comes first, and marked where it comes again;
    so is what no mirror has, and what leads back to where it came from.
    """
    missing = {one.name for one in graph.missing}
    shown: set[str] = set()
    # From the leaves up, so that a long chain is no deep recursion.
    trees: list[Drawn] = []
    for root in roots:
        above: set[str] = set()
        pending: list[_Open] = [_Open(root)]
        done: Drawn | None = None
        while pending:
            here = pending[-1]
            if done is not None:
                here.below.append(done)
                done = None
            if not here.entered:
                here.entered = True
                mark = _mark(here.name, above, missing, shown)
                here.text = _text(here.name, sizes.get(here.name), mark)
                if not mark:
                    shown.add(here.name)
                    here.left = list(reversed(graph.needs.get(here.name, ())))
            if here.left:
                above.add(here.name)
                pending.append(_Open(here.left.pop()))
                continue
            done = Drawn(text=here.text, below=tuple(here.below))
            pending.pop()
            if here.below:
                above.discard(here.name)
        if done is not None:
            trees.append(done)
    return tuple(trees)


class _Open:
    """A tree whose branches are still being drawn."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entered = False
        self.text = ""
        self.left: list[str] = []
        self.below: list[Drawn] = []


def _mark(name: str, above: set[str], missing: set[str], shown: set[str]) -> str:
    if name in missing:
        return "which one depends on --kernel" if name.endswith(KERNEL) else "missing"
    if name in above:
        return "loop"
    return "shared" if name in shown else ""


def _text(name: str, size_bytes: int | None, mark: str) -> str:
    parts = (name, megabytes(size_bytes), f"({mark})" if mark else "")
    return "  ".join(part for part in parts if part)


def graph_as_dot(graph: ExtensionGraph, sizes: Mapping[str, int]) -> Iterator[str]:
    """Yield the lines of the graph in Graphviz's language.

    Source: https://graphviz.org/doc/info/lang.html
    """
    loops = set(graph.loops)
    yield "digraph extensions {"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    counts: dict[str, int] = {}
    for needs in graph.needs.values():
        for need in needs:
            counts[need] = counts.get(need, 0) + 1
    for name in sorted(graph.extensions):
        size = megabytes(sizes.get(name))
        label = f"{name}\\n{size}" if size else name
        style = ", style=bold" if counts.get(name, 0) > 1 else ""
        yield f'  "{name}" [label="{label}"{style}];'
    for name in sorted(one.name for one in graph.missing):
        yield f'  "{name}" [label="{name}\\nmissing", style=dashed, color=red];'
    for name, needs in sorted(graph.needs.items()):
        for need in needs:
            style = " [color=red, constraint=false]" if (name, need) in loops else ""
            yield f'  "{name}" -> "{need}"{style};'
    yield "}"

"""What extensions need, followed to its end.

Source: tce-load of Tiny Core, which loads what an extension needs before it, each once, and
goes on where extensions need each other in a circle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import field, frozen

from purekernel.errors import DependencyError, LimitError, raise_all
from purekernel.fetch.urls import redact
from purekernel.repos.tinycore.extension import (
    KERNEL,
    Extension,
    ExtensionRepository,
    resolve_kernel,
)

# The real repositories hold some 4,000; nobody's image holds a tenth of them.
MAX_EXTENSIONS = 10_000


@frozen(kw_only=True)
class Missing:
    """A name that no mirror has.

    Attributes:
        name: as it would be on a mirror.
        chain: what led there, from a name in a list to ``name`` itself.
    """

    name: str
    chain: tuple[str, ...]


@frozen(kw_only=True)
class ExtensionGraph:
    """Extensions and what they need.

    Attributes:
        roots: the names that were asked for, in order, as they are on a mirror.
        extensions: all of them by name, in the order in which they were found.
        needs: for each, the names that it needs and that are not left out.
        skipped: names that were left out and that something needs.
        missing: names that no mirror has.
        loops: pairs of extensions of which the first needs the second, which needs the first
            in turn, by whatever way: each such pair is where a circle closes.
    """

    roots: tuple[str, ...]
    extensions: Mapping[str, Extension]
    needs: Mapping[str, tuple[str, ...]]
    skipped: frozenset[str] = frozenset()
    missing: tuple[Missing, ...] = ()
    loops: tuple[tuple[str, str], ...] = field(default=())

    def order(self, roots: Iterable[str]) -> tuple[str, ...]:
        """Return ``roots`` and all they need, each once, what is needed before what needs it.

        In a circle what comes first stays first, as tce-load has it.
        """
        ordered: dict[str, None] = {}
        entered: set[str] = set()
        for root in roots:
            pending: list[tuple[str, bool]] = [(root, False)]
            while pending:
                name, done = pending.pop()
                if done:
                    ordered[name] = None
                elif name not in entered and name in self.extensions:
                    entered.add(name)
                    pending.append((name, True))
                    pending.extend((need, False) for need in reversed(self.needs[name]))
        return tuple(ordered)


def resolve_extensions(
    roots: Sequence[str],
    repository: ExtensionRepository,
    *,
    kernel: str | None = None,
    skip: Collection[str] = (),
    follow: bool = True,
) -> ExtensionGraph:
    """Return ``roots`` and what they need; what is missing is noted, not refused.

    Args:
        roots: names of extensions.
        repository: who knows them.
        kernel: the release that ``-KERNEL`` stands for.
        skip: names that are left out, with or without ``-KERNEL`` in them.
        follow: whether what they need comes with them.

    Raises:
        LimitError: there are more than any image could hold.
    """
    left_out = {resolve_kernel(name, kernel) for name in skip}
    asked = [resolve_kernel(name, kernel) for name in roots]
    asked = [name for name in dict.fromkeys(asked) if name not in left_out]
    skipped: set[str] = {resolve_kernel(name, kernel) for name in roots} & left_out
    extensions: dict[str, Extension] = {}
    needs: dict[str, tuple[str, ...]] = {}
    missing: list[Missing] = []
    # What first led to each name: breadth first, so that the chain told is the shortest.
    parents: dict[str, str | None] = dict.fromkeys(asked)
    pending = list(asked)
    while pending:
        if len(parents) > MAX_EXTENSIONS:
            raise LimitError(
                source="the extensions",
                expected=f"at most {MAX_EXTENSIONS} of them",
                got="more",
                hint="shorten the lists",
            )
        found = repository.describe(pending)
        following: list[str] = []
        for name, extension in zip(pending, found, strict=True):
            if extension is None:
                missing.append(Missing(name=name, chain=_chain(name, parents)))
                continue
            extensions[name] = extension
            wanted = [resolve_kernel(need, kernel) for need in extension.dependencies]
            skipped.update(need for need in wanted if need in left_out)
            kept = tuple(need for need in dict.fromkeys(wanted) if need not in left_out)
            needs[name] = kept if follow else ()
            for need in needs[name]:
                if need not in parents:
                    parents[need] = name
                    following.append(need)
        pending = following
    return ExtensionGraph(
        roots=tuple(asked),
        extensions=extensions,
        needs=needs,
        skipped=frozenset(skipped),
        missing=tuple(missing),
        loops=_loops(asked, needs),
    )


def refuse_missing(
    graph: ExtensionGraph,
    places: Mapping[str, str] | None = None,
    *,
    looked_in: Iterable[str] = (),
    hint: str = "",
) -> None:
    """Refuse a graph in which something is missing; all of it is told.

    A name that still has ``-KERNEL`` in it is not: nobody said which release that is.

    Args:
        graph: what was resolved.
        places: where each root was asked for, such as ``builtin.lst, line 3``.
        looked_in: the folders of extensions that were asked.
        hint: what to do, in place of leaving the name out.

    Raises:
        DependencyError: something is missing.
        CombinedError: several things are.
    """
    where = ", ".join(map(redact, looked_in))
    if len(graph.missing) > 1 and not graph.extensions and where:
        raise DependencyError(
            f"none of the {len(graph.missing)} extensions that are asked for is in {where}",
            hint="check the mirrors (under [mirrors] in a recipe), and which Core is asked for",
        )
    looked = f"looked in {where}; " if where else ""
    errors = []
    for missing in graph.missing:
        if missing.name.endswith(KERNEL):
            continue
        root = missing.chain[0]
        place = (places or {}).get(root)
        if len(missing.chain) == 1:
            what = f"no mirror has {missing.name}"
            todo = hint or f"correct the name, or leave it out with --skip {missing.name}"
        else:
            what = f"no mirror has {missing.name}, which is needed: {' → '.join(missing.chain)}"
            todo = hint or (
                f"leave it out with --skip {missing.name} (in a recipe: skip under [extensions]) "
                "if the rest can do without it"
            )
        message = f"{place}: {what}" if place else what
        errors.append(DependencyError(message, hint=looked + todo))
    raise_all(errors)


def _chain(name: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    chain: list[str] = []
    step: str | None = name
    while step is not None:
        chain.append(step)
        step = parents[step]
    return tuple(reversed(chain))


def _loops(
    roots: Iterable[str], needs: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, str], ...]:
    """Return the edges that lead back to where the walk came from."""
    loops: dict[tuple[str, str], None] = {}
    done: set[str] = set()
    for root in roots:
        path: dict[str, None] = {}
        pending: list[tuple[str, str | None]] = [(root, None)]
        while pending:
            name, leaving = pending.pop()
            if leaving is not None:
                del path[leaving]
                done.add(leaving)
                continue
            if name in done or name in path:
                continue
            path[name] = None
            pending.append(("", name))
            for need in reversed(needs.get(name, ())):
                if need in path:
                    loops[name, need] = None
                else:
                    pending.append((need, None))
    return tuple(loops)

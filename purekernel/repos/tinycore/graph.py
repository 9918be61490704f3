"""Resolve the dependencies of extensions.

Source: tce-load of Tiny Core, which loads the dependencies of an extension before it, each once,
and accepts cycles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import field

from purekernel.errors import DependencyError, LimitError, make_chain, raise_all
from purekernel.fetch.model import Download
from purekernel.fetch.urls import redact
from purekernel.records import frozen
from purekernel.repos.tinycore.extension import (
    DEPENDENCIES,
    KERNEL,
    Extension,
    ExtensionRepository,
    did_you_mean,
    resolve_kernel,
)

# Tiny Core's repositories have about 4,000 extensions, and an image has far fewer.
MAX_EXTENSIONS = 10_000


@frozen(kw_only=True)
class MissingExtension:
    """An extension that no mirror has.

    Attributes:
        name: name that was looked up, with ``-KERNEL`` replaced.
        chain: chain of dependencies from a name in a list to ``name``; shortened in the middle if
            it is long.
    """

    name: str
    chain: tuple[str, ...]


@frozen(kw_only=True)
class ExtensionGraph:
    """Extensions and their dependencies.

    Attributes:
        roots: listed names in order, with ``-KERNEL`` replaced.
        extensions: all extensions by name, in the order in which they were found.
        needs: for each extension, its dependencies, without skipped names.
        skipped: skipped names that are listed or that an extension depends on.
        missing: names that no mirror has.
        loops: the edges that close cycles, as pairs of names: the first depends directly on the
            second, and the second depends on the first, directly or indirectly.
    """

    roots: tuple[str, ...]
    extensions: Mapping[str, Extension[Download]]
    needs: Mapping[str, tuple[str, ...]]
    skipped: frozenset[str] = frozenset()
    missing: tuple[MissingExtension, ...] = ()
    loops: tuple[tuple[str, str], ...] = field(default=())

    def order(self, roots: Iterable[str]) -> tuple[str, ...]:
        """Return ``roots`` and all their dependencies, each once, dependencies first.

        In a cycle the order is that of tce-load.
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

    def chain(self, name: str) -> tuple[str, ...]:
        """Return the shortest chain of dependencies from a listed name to ``name``."""
        parents: dict[str, str | None] = dict.fromkeys(self.roots)
        pending = deque(self.roots)
        while pending and name not in parents:
            parent = pending.popleft()
            for need in self.needs.get(parent, ()):
                if need not in parents:
                    parents[need] = parent
                    pending.append(need)
        return _chain(name, parents) if name in parents else (name,)


def resolve_extensions(
    roots: Sequence[str],
    repository: ExtensionRepository,
    *,
    kernel: str | None = None,
    skip: Collection[str] = (),
    follow: bool = True,
) -> ExtensionGraph:
    """Return the graph of ``roots`` and their dependencies; missing names are recorded.

    Args:
        roots: names of extensions.
        repository: source of extensions.
        kernel: the kernel release that ``-KERNEL`` stands for.
        skip: names to leave out, with ``-KERNEL`` or with the release.
        follow: whether to include dependencies.

    Raises:
        LimitError: there are more extensions than any image can hold.
    """
    left_out = {resolve_kernel(name, kernel) for name in skip}
    listed = [resolve_kernel(name, kernel) for name in roots]
    listed = [name for name in dict.fromkeys(listed) if name not in left_out]
    skipped: set[str] = {resolve_kernel(name, kernel) for name in roots} & left_out
    extensions: dict[str, Extension[Download]] = {}
    needs: dict[str, tuple[str, ...]] = {}
    missing: list[MissingExtension] = []
    # The first parent of each name. The search is breadth-first, so chains are the shortest.
    parents: dict[str, str | None] = dict.fromkeys(listed)
    pending = list(listed)
    while pending:
        if len(parents) > MAX_EXTENSIONS:
            raise _too_many(parents[pending[0]], extensions)
        described = repository.describe(pending)
        following: list[str] = []
        for name, extension in zip(pending, described, strict=True):
            if extension is None:
                missing.append(MissingExtension(name=name, chain=_chain(name, parents)))
                continue
            extensions[name] = extension
            named = [resolve_kernel(need, kernel) for need in extension.dependencies]
            skipped.update(need for need in named if need in left_out)
            kept = tuple(need for need in dict.fromkeys(named) if need not in left_out)
            needs[name] = kept if follow else ()
            for need in needs[name]:
                if need not in parents:
                    parents[need] = name
                    following.append(need)
        pending = following
    return ExtensionGraph(
        roots=tuple(listed),
        extensions=extensions,
        needs=needs,
        skipped=frozenset(skipped),
        missing=tuple(missing),
        loops=find_loops(listed, needs),
    )


def refuse_missing(
    graph: ExtensionGraph,
    places: Mapping[str, str] | None = None,
    *,
    looked_in: Iterable[str] = (),
    hint: str = "",
    similar: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Raise an error if extensions are missing; all of them are reported.

    A name that still has ``-KERNEL`` in it is not reported, because the release is unknown.

    Args:
        graph: the resolved graph.
        places: file and line of each root, such as ``builtin.lst, line 3``.
        looked_in: the folders that were searched.
        hint: what to do; by default, to leave the name out.
        similar: similar names, by missing name; see :meth:`ExtensionMirror.suggest`.

    Raises:
        DependencyError: an extension is missing.
        CombinedError: several things are.
    """
    where = ", ".join(map(redact, looked_in))
    looked = f"looked in {where}; " if where else ""
    if len(graph.missing) > 1 and not graph.extensions and where and not similar:
        # The mirror is more likely wrong than all names.
        hint = "check the mirrors ([mirrors] in a recipe), and the version of Core"
    errors = []
    for missing in graph.missing:
        if missing.name.endswith(KERNEL):
            continue
        root = missing.chain[0]
        place = (places or {}).get(root)
        if len(missing.chain) == 1:
            advice = hint or f"correct the name, or leave it out with --skip {missing.name}"
        else:
            advice = hint or (
                f"leave it out with --skip {missing.name} (in a recipe: skip under [extensions]) "
                "if the others work without it"
            )
        question = did_you_mean((similar or {}).get(missing.name, ()))
        full = f"{question} {looked}{advice}".lstrip()
        errors.append(
            DependencyError.of_missing(missing.name, place=place, chain=missing.chain, hint=full)
        )
    raise_all(errors)


def _chain(name: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    chain: list[str] = []
    step: str | None = name
    while step is not None:
        chain.append(step)
        step = parents[step]
    return make_chain(reversed(chain))


def _too_many(parent: str | None, extensions: Mapping[str, Extension[Download]]) -> LimitError:
    """Return the error for more extensions than an image can hold.

    Args:
        parent: the last extension whose dependencies were added; ``None`` if the lists are too long
            by themselves.
        extensions: the extensions found so far.
    """
    source, hint = "the lists of extensions", "shorten the lists"
    if parent is not None:
        urls = extensions[parent].file.urls
        source = redact(urls[0] if urls else parent) + DEPENDENCIES
        hint += ", or use another mirror: the dependencies on this one may be damaged"
    return LimitError(
        source=source,
        expected=f"at most {MAX_EXTENSIONS} extensions, with all that they depend on",
        got="more",
        hint=hint,
    )


def find_loops(
    roots: Iterable[str], needs: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, str], ...]:
    """Return the edges that close cycles."""
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

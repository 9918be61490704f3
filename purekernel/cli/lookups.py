"""Do the work of ``purekernel deps``, ``search`` and ``info``, which ask mirrors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from textwrap import fill
from typing import Any, TypeVar

from purekernel.cli.build_image import take_context
from purekernel.cli.drawing import MAX_DEPTH, draw, draw_graph, graph_as_dot, guides
from purekernel.cli.printer import Printer
from purekernel.cli.summary import (
    describe_dependents,
    describe_extension,
    describe_found,
    describe_graph,
)
from purekernel.cli.terminal import choose_progress, megabytes
from purekernel.fetch.urls import redact
from purekernel.formats import extension_info
from purekernel.plan.fetch_plan import open_plan_context
from purekernel.plan.lookup import Description, ExtensionLookup, FoundExtension
from purekernel.recipe.request import COMMAND_LINE, ask_about

# How many names a line of a description has. The library of a desktop has hundreds of dependents.
MOST_NAMES = 12

# The columns of a result, in characters. Longer names move the rest of their line.
NAME_COLUMN, SIZE_COLUMN = 28, 9

# The column of the values of a description, and how long lists of names in it are, in characters.
VALUE_COLUMN, VALUE_COLUMNS = 16, 70

T = TypeVar("T")


def show_dependencies(
    printer: Printer,
    *,
    names: Sequence[str],
    reverse: bool,
    depth: int | None,
    dot: bool,
    **options: Any,
) -> None:
    """Print the dependencies of extensions, or with ``reverse`` what depends on them.

    Raises:
        DependencyError: no mirror has an extension.
    """
    depth = MAX_DEPTH if depth is None else depth
    if reverse:
        _show_dependents(printer, names, depth, dot=dot, options=options)
        return
    found = _look_up(printer, options, lambda lookup: lookup.dependencies(names))
    graph, sizes = found.graph, found.sizes
    missing = [one.name for one in graph.missing]
    printer.document |= describe_graph(graph, sizes)
    if dot:
        lines = graph_as_dot(
            graph.extensions, graph.needs, sizes, missing=missing, loops=graph.loops
        )
        printer.text(*lines)
    else:
        trees = draw_graph(graph.roots, graph.needs, sizes, missing=missing, depth=depth)
        for tree in trees:
            printer.text(*draw(tree, guides()))
        total = f", {megabytes(sum(sizes.values()))}" if sizes else ""
        printer.text(f"{_count(len(graph.extensions), 'extension')}{total}")
    if found.error is not None:
        raise found.error


def _show_dependents(
    printer: Printer, names: Sequence[str], depth: int, *, dot: bool, options: dict[str, Any]
) -> None:
    found = _look_up(printer, options, lambda lookup: lookup.dependents(names))
    roots, needed_by = found.dependents.roots, found.dependents.needed_by
    printer.document |= describe_dependents(found)
    if dot:
        needs: dict[str, list[str]] = {}
        for need, dependents in needed_by.items():
            for name in dependents:
                needs.setdefault(name, []).append(need)
        lines = graph_as_dot(
            needed_by.keys() - set(found.missing),
            {name: sorted(needed) for name, needed in needs.items()},
            found.sizes,
            missing=found.missing,
            loops=[(end, start) for start, end in found.dependents.loops],
        )
        printer.text(*lines)
    else:
        trees = draw_graph(roots, needed_by, found.sizes, missing=found.missing, depth=depth)
        for tree in trees:
            printer.text(*draw(tree, guides()))
        direct = {name for root in roots for name in needed_by[root]}
        what = "it" if len(roots) == 1 else "them"
        count = len(needed_by.keys() - set(roots))
        verb = "depends" if count == 1 else "depend"
        printer.text(f"{_count(count, 'extension')} {verb} on {what}, {len(direct)} directly")
    if found.error is not None:
        raise found.error


def show_search(
    printer: Printer, *, words: Sequence[str], file: str | None, **options: Any
) -> None:
    """Print the extensions that a search finds.

    Raises:
        NotFoundError: it finds none.
    """
    result = _look_up(printer, options, lambda lookup: lookup.search(words, file))
    printer.document |= {"found": [describe_found(one) for one in result.found]}
    printer.text(*(line for one in result.found for line in _found_lines(one)))
    if result.error is not None:
        raise result.error


def show_info(printer: Printer, *, names: Sequence[str], files: bool, **options: Any) -> None:
    """Print what is known of extensions.

    Raises:
        DependencyError: no mirror has one of them.
    """
    result = _look_up(printer, options, lambda lookup: lookup.describe(names))
    printer.document |= {"extensions": [describe_extension(one) for one in result.known]}
    for number, one in enumerate(result.known):
        printer.text(*([""] if number else []), *_description(one, files=files))
    if result.error is not None:
        raise result.error


def _look_up(printer: Printer, options: dict[str, Any], ask: Callable[[ExtensionLookup], T]) -> T:
    """Return the answer of the mirrors that the options name; print the notes."""
    options["no_lock"] = True  # the answer is what the mirrors have now
    path: Path | None = options.pop("recipe")
    asked = ("config", "mirrors", "core", "arch", "kernel_release")
    chosen = {name: options.pop(name) for name in asked}
    recipe = ask_about(path, os.environ, **chosen)
    for warning in recipe.warnings:
        printer.note(warning)
    progress = choose_progress(quiet=False, verbose=False, json=printer.as_json)
    with closing(progress):
        context = take_context(options, progress, printer)
        with open_plan_context(recipe, context) as plan_context, progress.step("asking"):
            lookup = ExtensionLookup(plan_context, source=COMMAND_LINE)
            answer = ask(lookup)
    for note in lookup.notes:
        printer.note(note)
    return answer


def _found_lines(found: FoundExtension) -> Iterator[str]:
    """Yield a line for each file that was found in an extension, or one without files."""
    if found.files:
        yield from (f"{found.name:<{NAME_COLUMN}}  {path}" for path in found.files)
        return
    size = megabytes(found.size_bytes)
    yield f"{found.name:<{NAME_COLUMN}}  {size:>{SIZE_COLUMN}}  {found.text}".rstrip()


def _description(described: Description, *, files: bool) -> Iterator[str]:
    """Yield the lines that describe an extension."""
    yield described.extension.name
    for label, value in _values(described):
        first, *rest = value.split("\n")
        yield f"  {label + ':':<{VALUE_COLUMN}}{first}".rstrip()
        yield from (f"  {'':<{VALUE_COLUMN}}{line}".rstrip() for line in rest)
    if files:
        for path in described.files or ():
            yield f"    {path.decode('utf-8', 'backslashreplace')}"


def _values(described: Description) -> Iterator[tuple[str, str]]:
    """Yield labels and values; what is unknown is left out."""
    name, info = described.extension.name, described.info
    fields = [] if info is None else list(info.fields)
    shown = {extension_info.TITLE: "", extension_info.SIZE: ""}
    if info is not None:
        if info.value(extension_info.TITLE) not in ("", name, name.removesuffix(".tcz")):
            yield "title", info.value(extension_info.TITLE)
        for key, label in (
            (extension_info.DESCRIPTION, "description"),
            (extension_info.VERSION, "version"),
            (extension_info.LICENCE, "licence"),
            (extension_info.AUTHOR, "author"),
            (extension_info.SITE, "site"),
            (extension_info.PACKAGER, "extension by"),
            (extension_info.TAGS, "tags"),
        ):
            shown[key] = label
            if info.value(key):
                yield label, info.value(key)
    yield from _facts(described)
    for field, value in fields:
        if value and extension_info.plain_name(field) not in shown:
            yield field.lower().replace("_", " ").replace("-", " ") or "text", value


def _facts(described: Description) -> Iterator[tuple[str, str]]:
    """Yield what the mirror's indexes and files say."""
    extension = described.extension
    if described.size_bytes is not None:
        yield "size", megabytes(described.size_bytes)
    yield "depends on", _names(extension.dependencies) or "nothing"
    if described.missing:
        yield "missing", f"{_names(described.missing)}: no mirror has it"
    needed = len(described.all_dependencies)
    if needed and described.total_bytes is not None:
        total = megabytes(described.total_bytes)
        yield "in all", f"{total} with {_count(needed, 'dependency', 'dependencies')}"
    if described.needed_by is not None:
        others = len(described.all_needed_by or ()) - len(described.needed_by)
        more = f"; indirectly by {others} more" if others else ""
        yield "needed by", f"{_names(described.needed_by) or 'nothing'}{more}"
    if described.files is not None:
        yield "files", str(len(described.files))
    if extension.file.md5 is not None:
        yield "md5", extension.file.md5
    if extension.file.urls:
        yield "from", redact(extension.file.urls[0])


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
    return fill(
        ", ".join(listed[:MOST_NAMES]) + more,
        width=VALUE_COLUMNS,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"

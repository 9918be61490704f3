"""Find what is wrong with the tables that change files before anything is fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from purekernel.errors import PathError, PurekernelError, RecipeError, UsageError
from purekernel.host.read import exists
from purekernel.recipe.changes import AttributeChange, EditChange, FileChange, LinkChange
from purekernel.recipe.keys import Placed
from purekernel.recipe.model import Recipe
from purekernel.recipe.system import written_files
from purekernel.rootfs.attributes import parse_mode
from purekernel.rootfs.expressions import parse_expression, parse_replacement
from purekernel.rootfs.patterns import Pattern, is_wild, parse_pattern
from purekernel.tree import ROOT, parse_path
from purekernel.tree.path import ancestors


def change_faults(recipe: Recipe) -> list[PurekernelError]:
    """Return the errors in the tables that change files, and the contradictions between them.

    What depends on the image, such as a path that it lacks, shows when the passes run.
    """
    faults = [
        *_single_faults(recipe),
        *(fault for file in recipe.files for fault in _missing_source(recipe, file)),
        *_Contradictions(recipe).find(),
    ]
    return sorted(faults, key=_line)


def _line(fault: PurekernelError) -> int:
    location = fault.location
    return (location and location.line) or 0


def _single_faults(recipe: Recipe) -> Iterator[PurekernelError]:
    """Yield what is wrong with one table alone."""
    for edit in recipe.edits:
        yield from _edit_faults(edit)
    checked: tuple[tuple[Placed, str], ...] = (
        *((file, "mode") for file in recipe.files),
        *((change, "mode") for change in recipe.attributes),
        *((change, "folder_mode") for change in recipe.attributes),
    )
    for table, attribute in checked:
        if (mode := getattr(table, attribute)) is not None:
            yield from _attempt(table.place(attribute), parse_mode, mode)
    for table, attribute in _paths(recipe):
        if (path := getattr(table, attribute)) is not None:
            yield from _attempt(table.place(attribute), _parsed, path)
    for paths in (
        *(removal.paths for removal in recipe.removals),
        *(edit.paths for edit in recipe.edits),
        *(change.paths for change in recipe.attributes),
    ):
        for path in paths:
            yield from _attempt(path.place, _parsed, path.name)


def _paths(recipe: Recipe) -> Iterator[tuple[Placed, str]]:
    yield from ((file, "path") for file in recipe.files)
    for link in recipe.links:
        yield link, "path"
        yield link, "into"


def _attempt(place: str, parse: Callable[..., Any], *arguments: Any) -> Iterator[PurekernelError]:
    try:
        parse(*arguments)
    except PurekernelError as error:
        yield error.within(place)


def _edit_faults(edit: EditChange) -> Iterator[PurekernelError]:
    expression = None
    if edit.regex is not None:
        try:
            expression = parse_expression(edit.regex)
        except PurekernelError as error:
            yield error.within(edit.place("regex"))
    finds = edit.find is not None or edit.regex is not None
    if finds and edit.replace is None:
        key = "find" if edit.regex is None else "regex"
        yield UsageError(
            f"{key} needs replace, which is missing",
            hint='add replace = "…"; replace = "" deletes what is found',
        ).within(edit.place(key))
    if not finds and edit.replace is not None:
        yield UsageError(
            "replace needs find or regex, which is missing", hint="say what to replace"
        ).within(edit.place("replace"))
    if edit.append is not None or edit.prepend is not None:
        for key in ("count", "every"):
            if getattr(edit, key):
                yield UsageError(
                    f"{key} is for find, regex and set", hint=f"leave out {key}"
                ).within(edit.place(key))
    if expression is not None and edit.replace is not None:
        yield from _attempt(edit.place("replace"), parse_replacement, edit.replace, expression)


def _missing_source(recipe: Recipe, file: FileChange) -> Iterator[PurekernelError]:
    if file.source is not None and not exists(recipe.folder / file.source):
        yield RecipeError(
            f"file not found: {recipe.folder / file.source}",
            hint="correct its path; it is relative to the recipe's folder",
        ).within(file.place("source"))


class _Contradictions:
    """Finds tables that contradict one another.

    Paths are compared as they are written: an image is not known yet, and so are its links not.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._removed: list[tuple[Pattern, str]] = [
            (parse_pattern(parsed), path.place)
            for removal in recipe.removals
            for path in removal.paths
            if (parsed := _or_none(path.name)) is not None
        ]
        # Where each path is written or linked.
        self._made: dict[bytes, str] = {}

    def find(self) -> Iterator[PurekernelError]:
        yield from self._settings_removed()
        for file in self._recipe.files:
            path = _or_none(file.path)
            if path is not None:
                yield from self._make(path, file)
                yield from self._is_removed(path, file)
        for link in self._recipe.links:
            path = None if link.path is None else _or_none(link.path)
            if path is not None:
                yield from self._make(path, link)
        for edit in self._recipe.edits:
            yield from self._changes_removed(edit)
        for change in self._recipe.attributes:
            yield from self._changes_removed(change)
        yield from self._attributes_twice()

    def _settings_removed(self) -> Iterator[PurekernelError]:
        for path, place in written_files(self._recipe.system):
            self._made[path] = place
            for pattern, removed_place in self._removed:
                if any(map(pattern.matches, (path, *ancestors(path)))):
                    yield _contradiction(
                        f"{_shown(path)} is removed, and set by another key",
                        removed_place,
                        place,
                        "leave out one of the two",
                    )

    def _make(self, path: bytes, change: FileChange | LinkChange) -> Iterator[PurekernelError]:
        place = change.place("path")
        if path in self._made:
            yield _contradiction(
                f"{_shown(path)} is made twice", place, self._made[path], "keep one of the two"
            )
        self._made.setdefault(path, place)

    def _is_removed(self, path: bytes, file: FileChange) -> Iterator[PurekernelError]:
        for pattern, place in self._removed:
            if pattern.matches(path):
                yield _contradiction(
                    f"{_shown(path)} is written, and removed before that",
                    file.place("path"),
                    place,
                    "leave out the removal: a file that exists is replaced",
                )
                return

    def _changes_removed(self, change: EditChange | AttributeChange) -> Iterator[PurekernelError]:
        for path in change.paths:
            parsed = None if is_wild(path.name.encode()) else _or_none(path.name)
            if parsed is None or parsed in self._made:
                continue
            for pattern, place in self._removed:
                if any(map(pattern.matches, (parsed, *ancestors(parsed)))):
                    yield _contradiction(
                        f"{_shown(parsed)} is changed, and removed before that",
                        path.place,
                        place,
                        "leave out one of the two",
                    )
                    break

    def _attributes_twice(self) -> Iterator[PurekernelError]:
        seen: dict[tuple[bytes, str], tuple[str, str]] = {}
        for file in self._recipe.files:
            path = _or_none(file.path)
            for key in ("mode", "owner"):
                if path is not None and getattr(file, key) is not None:
                    seen[path, key] = getattr(file, key), file.place(key)
        for change in self._recipe.attributes:
            for item in change.paths:
                path = _or_none(item.name)
                for key in ("mode", "folder_mode", "owner"):
                    value = getattr(change, key)
                    if path is None or value is None:
                        continue
                    old, place = seen.setdefault((path, key), (value, change.place(key)))
                    if old != value:
                        yield _contradiction(
                            f"the {key.replace('_', '-')} of {_shown(path)} is set to both "
                            f"{old!r} and {value!r}",
                            change.place(key),
                            place,
                            "keep one of the two",
                        )


def _parsed(path: str) -> bytes:
    parsed = parse_path(path.encode("utf-8", "surrogateescape").lstrip(b"/"))
    if parsed == ROOT:
        raise PathError(f"{path!r} is the root of the image", hint="give a path below it")
    return parsed


def _or_none(path: str) -> bytes | None:
    """Return the path as a tree has it; ``None`` if it is invalid, which is reported elsewhere."""
    try:
        return _parsed(path)
    except PurekernelError:
        return None


def _shown(path: bytes) -> str:
    return repr(path.decode("utf-8", "replace"))


def _contradiction(problem: str, place: str, other: str, hint: str) -> PurekernelError:
    also = f": {other}" if other else ""
    return RecipeError(f"{problem}{also}", hint=hint).within(place)

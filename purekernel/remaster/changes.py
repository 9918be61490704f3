"""Make the passes of the recipe's tables that change files, from their values.

An error in one table does not end the pass: the others are applied, and the last pass raises all
errors together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve

from purekernel.errors import (
    MissingPathError,
    PurekernelError,
    TreeError,
    inside,
    raise_all,
)
from purekernel.host.read import load_file
from purekernel.input import Limits
from purekernel.recipe.changes import (
    AttributeChange,
    EditChange,
    FileChange,
    LinkChange,
    Removal,
    operation_of,
)
from purekernel.recipe.keys import Placed
from purekernel.recipe.model import Recipe
from purekernel.rootfs.attributes import Owners, parse_mode
from purekernel.rootfs.changes import (
    Existing,
    OwnerChange,
    add_link,
    farm_links,
    find_files,
    match_paths,
    remove_paths,
    set_attributes,
    write_file,
)
from purekernel.rootfs.edits import Replacing, append_lines, edit_text, prepend_lines, set_value
from purekernel.rootfs.expressions import parse_expression, parse_replacement
from purekernel.rootfs.ownership import owners_of
from purekernel.tree import File, Origin, OriginKind, Pass, Tree, display
from purekernel.tree.origin import OriginPass

# More errors of one table would not help the reader: their number does.
MOST_ERRORS = 10

_TextEdit = Callable[[str], str]

_Prepare = Callable[[Tree], Callable[[Any], None]]
"""Returns the function that applies one table to a tree."""


def change_passes(recipe: Recipe, *, mtime: int, limits: Limits) -> list[tuple[str, Pass]]:
    """Return the passes, each with its description for the user; none for tables not given.

    Args:
        recipe: the tables, and the folder of the files that they name.
        mtime: the time of new files, in seconds since 1970, UTC.
        limits: limits on the size of files that the recipe names.
    """
    return _Changes(recipe.folder, mtime, limits).passes(recipe)


class _Changes:
    """Applies tables to a tree, and collects the errors."""

    def __init__(self, folder: Path, mtime: int, limits: Limits) -> None:
        self._folder = folder
        self._mtime = mtime
        self._limits = limits
        self._errors: list[PurekernelError] = []

    def passes(self, recipe: Recipe) -> list[tuple[str, Pass]]:
        steps: list[tuple[str, str, _Prepare, tuple[Placed, ...]]] = [
            ("remove paths", "remove", self._removing, recipe.removals),
            ("write files", "file", self._writing, recipe.files),
            ("edit files", "edit", self._editing, recipe.edits),
            ("add links", "link", self._linking, recipe.links),
            ("set modes and owners", "attributes", self._setting, recipe.attributes),
        ]
        given = [step for step in steps if step[3]]
        passes: list[tuple[str, Pass]] = []
        for index, (words, name, prepare, tables) in enumerate(given):
            origins: dict[bytes, Origin] = {}
            run = partial(
                self._run,
                prepare=prepare,
                tables=tables,
                name=name,
                origins=origins,
                is_first=index == 0,
                is_last=index == len(given) - 1,
            )
            passes.append((words, OriginPass(run, Origin(OriginKind.EDIT, f"[[{name}]]"), origins)))
        return passes

    def _run(
        self,
        tree: Tree,
        *,
        prepare: _Prepare,
        tables: tuple[Placed, ...],
        name: str,
        origins: dict[bytes, Origin],
        is_first: bool,
        is_last: bool,
    ) -> Tree:
        if is_first:
            self._errors.clear()
        changed = tree.copy()
        apply = prepare(changed)
        for number, table in enumerate(tables, start=1):
            before = len(self._errors)
            with changed.recorded() as paths:
                apply(table)
            origins.update(dict.fromkeys(paths, Origin(OriginKind.EDIT, f"[[{name}]] {number}")))
            self._shorten(before + MOST_ERRORS, table)
        if is_last:
            raise_all(self._errors)
        return changed

    def _shorten(self, most: int, table: Placed) -> None:
        """Replace the errors of ``table`` from the index ``most`` on by their number."""
        more = len(self._errors) - most
        if more > 0:
            error = TreeError(
                f"{more} more errors of this table", hint="correct the ones above first"
            )
            self._errors[most:] = [error.within(table.place())]

    @contextmanager
    def _collecting(self, *places: str, missing: str | None = None) -> Iterator[None]:
        """Collect an error of the block, with the places around it, outermost first.

        If ``missing`` is given, a missing path is none.
        """
        try:
            yield
        except PurekernelError as error:
            if missing is not None and isinstance(error, MissingPathError):
                return
            for place in reversed(places):
                error.within(place)
            self._errors.append(error)

    def _removing(self, tree: Tree) -> Callable[[Removal], None]:
        def apply(removal: Removal) -> None:
            for path in removal.paths:
                with self._collecting(path.place, missing=removal.missing):
                    remove_paths(tree, path.name)

        return apply

    def _writing(self, tree: Tree) -> Callable[[FileChange], None]:
        owners, owned = Owners(tree), owners_of(tree)

        def apply(file: FileChange) -> None:
            with self._collecting():
                content = self._content(file)
                owner = _owner(owners, file)
                with inside(file.place("path")):
                    write_file(
                        tree,
                        file.path,
                        content,
                        mode=None if file.mode is None else parse_mode(file.mode),
                        owner=owner,
                        mtime=self._mtime,
                        owned=owned,
                    )

        return apply

    def _content(self, file: FileChange) -> bytes:
        if file.source is None:
            return (file.text or "").encode("utf-8", "surrogateescape")
        with inside(file.place("source")):
            return load_file(self._folder / file.source, limits=self._limits)

    def _editing(self, tree: Tree) -> Callable[[EditChange], None]:
        def apply(edit: EditChange) -> None:
            key = operation_of(edit)
            replacing = Replacing(edit.count or 1, optional=edit.missing is not None)
            if edit.every:
                replacing = Replacing(None)
            before = len(self._errors)
            with self._collecting(edit.place(key)):
                operation = _operation(edit, replacing)
                seen: set[int] = set()
                for path in edit.paths:
                    with self._collecting(path.place, missing=edit.missing):
                        self._edit(tree, path.name, seen, operation, edit.place(key))
                if edit.missing is None and len(self._errors) == before:
                    replacing.require_some()

        return apply

    def _edit(
        self, tree: Tree, pattern: str, seen: set[int], operation: _TextEdit, place: str
    ) -> None:
        """Edit each file that ``pattern`` matches; an error names the file and ``place``."""
        for found in find_files(tree, pattern, seen):
            node = found.node
            if isinstance(node, File):
                with self._collecting(place, display(found.path)[1:-1]):
                    content = edit_text(node.content, operation)
                    tree.replace(found.path, evolve(node, content=content))

    def _linking(self, tree: Tree) -> Callable[[LinkChange], None]:
        owned = owners_of(tree)

        def add(link: LinkChange, path: str, target: str) -> None:
            add_link(
                tree,
                path,
                target,
                existing=Existing(link.existing),
                hard=link.hard,
                mtime=self._mtime,
                owned=owned,
            )

        def apply(link: LinkChange) -> None:
            if link.path is not None:
                with self._collecting(link.place("path")):
                    add(link, link.path, link.target)
            if link.into is None:
                return
            with self._collecting(link.place("target"), missing=link.missing):
                for path, target in farm_links(tree, link.target, link.into):
                    with self._collecting(link.place("into")):
                        add(link, path, target)

        return apply

    def _setting(self, tree: Tree) -> Callable[[AttributeChange], None]:
        owners = Owners(tree)

        def apply(change: AttributeChange) -> None:
            with self._collecting():
                mode = None if change.mode is None else parse_mode(change.mode)
                folder_mode = None if change.folder_mode is None else parse_mode(change.folder_mode)
                owner = _owner(owners, change)
                for path in change.paths:
                    with self._collecting(path.place, missing=change.missing):
                        done = [
                            set_attributes(
                                tree, found, mode=mode, folder_mode=folder_mode, owner=owner
                            )
                            for found in match_paths(tree, path.name)
                        ]
                        if not any(done):
                            raise TreeError(
                                f"{display(path.name.encode())} matches nothing that has such a "
                                "mode",
                                hint="a symbolic link has no mode; folder-mode is for folders",
                            )

        return apply


def _operation(edit: EditChange, replacing: Replacing) -> _TextEdit:
    """Return the function from text to text that an edit describes."""
    new = edit.replace or ""
    if edit.append is not None:
        return partial(append_lines, lines=edit.append)
    if edit.prepend is not None:
        return partial(prepend_lines, lines=edit.prepend)
    if edit.find is not None:
        return partial(replacing.text, old=edit.find, new=new)
    if edit.regex is not None:
        expression = parse_expression(edit.regex)
        replacement = parse_replacement(new, expression)
        return partial(replacing.matches, expression=expression, replacement=replacement)
    count = None if edit.every else edit.count or 1

    def set_all(text: str) -> str:
        errors: list[PurekernelError] = []
        for setting in edit.set:
            key, _equals, value = setting.partition("=")
            try:
                text = set_value(text, key, value, count=count)
            except PurekernelError as error:
                errors.append(error)
        raise_all(errors)
        return text

    return set_all


def _owner(owners: Owners, change: FileChange | AttributeChange) -> OwnerChange:
    if change.owner is None:
        return None, None
    with inside(change.place("owner")):
        return owners.find(change.owner)

"""Find the files that a recipe extends.

The result is one order of all files, each once: a file comes after the files that it extends, and
these come in the order in which they are named. So a file that two others extend is joined once.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

from purekernel.errors import PurekernelError, RecipeError, inside, make_chain
from purekernel.fetch.urls import is_url, redact
from purekernel.formats.toml import TomlDocument, parse_toml
from purekernel.host.read import resolve_links
from purekernel.input import Input
from purekernel.recipe.kinds import CHECKED_FILE
from purekernel.recipe.words import show
from purekernel.records import frozen

EXTENDS = "extends"

# A system, its variants, the machines of a site and a few layers more.
MAX_DEPTH = 8

# Each has at most a megabyte. No user names more, and a hostile recipe can name thousands.
MAX_FILES = 64


@frozen(kw_only=True)
class RecipeFile:
    """One of the files that are joined to a recipe.

    Attributes:
        document: what it says.
        folder: its folder as a path from the recipe's folder, with slashes; empty for the same
            folder. An absolute path for a file elsewhere.
    """

    document: TomlDocument
    folder: str = ""


@frozen(kw_only=True)
class _Parent:
    """A file that another one names.

    Attributes:
        text: its path from the recipe's folder.
        path: the path to read it from.
        identity: its path without links, by which it is recognized.
        sha256: its expected digest, in lower case; empty for none.
        place: file, line and key that name it.
    """

    text: str
    path: Path
    identity: Path
    sha256: str
    place: str


def find_files(
    document: TomlDocument,
    *,
    folder: Path,
    read: Callable[[Path], bytes],
    errors: list[PurekernelError],
) -> list[RecipeFile]:
    """Return the files that a recipe is joined from, the recipe itself last.

    Args:
        document: the recipe. What its ``extends`` has that is invalid is ignored here.
        folder: the recipe's folder.
        read: reads a file.
        errors: receives an error for each file that is missing, refused, or not TOML, and for
            cycles.
    """
    recipe = RecipeFile(document=document)
    if EXTENDS not in document.values:
        return [recipe]
    try:
        finder = _Finder(resolve_links(folder), folder, read, errors)
        identity = resolve_links(folder / Path(document.source).name)
    except PurekernelError as error:
        errors.append(error)
        return [recipe]
    finder.add(recipe, identity, ())
    return finder.files


class _Finder:
    """Walks through the files, each once."""

    def __init__(
        self,
        real_folder: Path,
        folder: Path,
        read: Callable[[Path], bytes],
        errors: list[PurekernelError],
    ) -> None:
        self._real_folder = real_folder
        self._folder = folder
        self._read = read
        self._errors = errors
        self._digests: dict[Path, str] = {}
        self.files: list[RecipeFile] = []

    def add(self, file: RecipeFile, identity: Path, chain: tuple[tuple[Path, str], ...]) -> None:
        """Append the files that ``file`` extends, then ``file``.

        Args:
            file: the file.
            identity: its path without links.
            chain: identity and name of each file that led here, the recipe first.
        """
        chain = (*chain, (identity, file.document.source))
        given = file.document.values.get(EXTENDS)
        for index, item in enumerate(given[: MAX_FILES + 1] if isinstance(given, list) else ()):
            if CHECKED_FILE.accepts(item):
                try:
                    self._visit(file, index, item, chain)
                except PurekernelError as error:
                    self._errors.append(error)
        self.files.append(file)

    def _visit(
        self, file: RecipeFile, index: int, item: Any, chain: tuple[tuple[Path, str], ...]
    ) -> None:
        """Append a file that ``file`` names, unless that is done."""
        parent = self._locate(file, index, item)
        known = [identity for identity, _name in chain]
        if parent.identity in known:
            names = [name for _identity, name in chain[known.index(parent.identity) :]]
            cycle = " → ".join(make_chain([*names, names[0]]))
            raise RecipeError(
                f"{parent.place}: {names[0]} extends itself: {cycle}",
                hint="delete one of the files of this chain from 'extends'",
            )
        if parent.identity in self._digests:
            self._check(parent)
            return
        if len(chain) > MAX_DEPTH:
            names = [*(name for _identity, name in chain), str(parent.path)]
            raise RecipeError(
                f"{parent.place}: must be at most {MAX_DEPTH} files deep, got "
                f"{' → '.join(make_chain(names))}",
                hint="join some of these files",
            )
        if len(self._digests) == MAX_FILES or index == MAX_FILES:
            raise RecipeError(
                f"{parent.place}: a recipe must extend at most {MAX_FILES} files",
                hint="join some of these files",
            )
        try:
            data = self._read(parent.path)
        except PurekernelError as error:
            raise RecipeError(
                f"{parent.place}: {error.message}",
                hint="give the path of a file, relative to the folder of the file that names it",
            ) from None
        self._digests[parent.identity] = hashlib.sha256(data).hexdigest()
        self._check(parent)
        document = parse_toml(Input(data, name=str(parent.path)))
        inner = Path(parent.text).parent.as_posix()
        parent_file = RecipeFile(document=document, folder="" if inner == "." else inner)
        self.add(parent_file, parent.identity, chain)

    def _locate(self, file: RecipeFile, index: int, item: Any) -> _Parent:
        """Return the file that an item of ``extends`` names.

        Raises:
            RecipeError: the item is a URL, or a file elsewhere without its digest.
        """
        text, sha256 = (item, "") if isinstance(item, str) else (item["path"], item["sha256"])
        place = f"{file.document.place((EXTENDS, index))}, {EXTENDS}"
        if is_url(text):
            raise RecipeError(
                f"{place}: must be a file, got {show(redact(text))}",
                hint="download it, and give its path: a recipe is read without the network",
            )
        joined = in_folder(file.folder, text)
        path = self._folder / joined
        short = posixpath.normpath(joined)
        with inside(place):
            identity = resolve_links(path)
            if resolve_links(self._folder / short) == identity:  # no ".." in it follows a link
                joined, path = short, self._folder / short
        if not (sha256 or identity.is_relative_to(self._real_folder)):
            raise RecipeError(
                f"{place}: {path} is outside the folder of the recipe, so it must have a sha256",
                hint=f'write {{ path = {show(text)}, sha256 = "…" }}, or move it below the recipe',
            )
        return _Parent(
            text=joined, path=path, identity=identity, sha256=sha256.lower(), place=place
        )

    def _check(self, parent: _Parent) -> None:
        actual = self._digests[parent.identity]
        if parent.sha256 and parent.sha256 != actual:
            raise RecipeError(
                f"{parent.place}: {parent.path} failed verification: SHA-256 must be "
                f"{parent.sha256}, got {actual}",
                hint="correct the digest, or restore the file",
            )


def in_folder(folder: str, text: str) -> str:
    """Return a path that a file in ``folder`` gives, from the recipe's folder; a URL unchanged."""
    if not folder or is_url(text) or Path(text).anchor:
        return text
    return f"{folder.rstrip('/')}/{text}"

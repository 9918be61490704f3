"""List, search and describe the extensions that mirrors have, by their indexes.

Where a mirror lacks an index, its other indexes are used, and for a folder on this host its files.
What cannot be known is said in a note.

Source: search.sh, provides.sh, depends-on.sh of Tiny Core, which search the same indexes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from attrs import evolve

from purekernel.errors import DownloadError, FormatError, NotFoundError
from purekernel.fetch.model import Download, DownloadedFile
from purekernel.fetch.urls import redact
from purekernel.formats.extension_info import DESCRIPTION, TAGS, parse_info
from purekernel.formats.tinycore import (
    TCZ,
    parse_dependencies,
    parse_listing,
    parse_name_index,
    parse_tag_index,
    plain_path,
    read_provided,
)
from purekernel.input import Input, Limits
from purekernel.records import frozen
from purekernel.repos.tinycore.extension import (
    DEPENDENCIES,
    INFO,
    KERNEL,
    LISTING,
    resolve_kernel,
)
from purekernel.repos.tinycore.folder import (
    DEPENDENCY_INDEX,
    INDEX_LIMITS,
    NAME_INDEX,
    PLAIN_PROVIDES_INDEX,
    PROVIDES_INDEX,
    PROVIDES_LIMITS,
    TAG_INDEX,
    ExtensionFetcher,
    ExtensionFolder,
    Indexes,
    companion_download,
)
from purekernel.repos.tinycore.graph import find_loops
from purekernel.repos.tinycore.mirror import ExtensionMirror
from purekernel.rootfs.patterns import Pattern, is_wild, parse_pattern

T = TypeVar("T")

# The .info files that are read in place of an index of tags. A complete mirror has the index.
MOST_INFOS = 1000

# The name of an extension for one kernel: wireless-3.0.21-tinycore.tcz.
_OF_RELEASE = re.compile(r"(?P<stem>.+?)-[0-9]+\.[0-9][^/]*\.tcz")

# What a pattern of shells says literally.
_LITERAL = re.compile(rb"[^*?\[\]]+(?![^\[]*\])")

_PARTS = re.compile(r"[^a-z0-9]+")


@frozen(kw_only=True)
class Listed:
    """An extension in the list of a mirror.

    Attributes:
        name: such as ``bash.tcz``.
        folder: the first folder that has it.
        size_bytes: its size, if the folder's index has it.
        text: tags or a description, from the folder's index of tags.
        dependencies: the names that it depends on, with ``-KERNEL`` not replaced; ``None`` if
            they are not known, or were not asked for.
    """

    name: str
    folder: ExtensionFolder
    size_bytes: int | None = None
    text: str = ""
    dependencies: tuple[str, ...] | None = None


@frozen(kw_only=True)
class Dependents:
    """The extensions that depend on others.

    Attributes:
        roots: the extensions that were asked about.
        needed_by: for each of them, and for each that depends on one of them directly or not: the
            extensions that depend on it directly, sorted.
        loops: the edges that close cycles, as pairs: the second depends directly on the first.
    """

    roots: tuple[str, ...]
    needed_by: Mapping[str, tuple[str, ...]]
    loops: tuple[tuple[str, str], ...]


class Catalog:
    """The extensions of several folders. Of those with one name, the first folder's counts.

    Attributes:
        extensions: by name, sorted.
        notes: what cannot be known, one line each.
    """

    def __init__(
        self, mirror: ExtensionMirror, downloads: ExtensionFetcher, *, texts: bool, needs: bool
    ) -> None:
        """Read the indexes of the folders of ``mirror``.

        Args:
            mirror: the folders.
            downloads: fetches files.
            texts: whether to read the indexes of tags.
            needs: whether to read the dependencies where an index of them is missing.

        Raises:
            DownloadError: no folder answers.
            CombinedError: likewise, of several folders.
        """
        self._downloads = downloads
        self._notes: dict[str, None] = {}
        self._dependents: dict[str | None, dict[str, list[str]]] = {}
        self._limits = evolve(INDEX_LIMITS, report=self._note)
        self._indexes = {
            folder: indexes for folder, indexes in mirror.indexes().items() if indexes is not None
        }
        for note in (*mirror.skipped, *self._damaged()):
            self._note(note)
        tags = self._fetch_each(TAG_INDEX, self._indexes if texts else ())
        unlisted = [folder for folder, indexes in self._indexes.items() if not indexes.names()]
        lists = self._fetch_each(NAME_INDEX, unlisted)
        found: dict[str, Listed] = {}
        for folder, indexes in self._indexes.items():
            folder_tags = self._parse(folder, tags.get(folder), parse_tag_index) or {}
            if texts and not folder_tags and len(folder.listed_names()) <= MOST_INFOS:
                folder_tags = self._descriptions(folder)
            names = self._parse(folder, lists.get(folder), parse_name_index) or ()
            known = {*indexes.names(), *folder.listed_names(), *folder_tags, *names}
            self._note_lack(folder, known, has_tags=bool(folder_tags) or not texts)
            new = sorted(known - found.keys())
            needed = self._dependencies(folder, indexes, new) if needs else {}
            for name in new:
                found[name] = Listed(
                    name=name,
                    folder=folder,
                    size_bytes=indexes.sizes.get(name),
                    text=folder_tags.get(name, ""),
                    dependencies=needed.get(name),
                )
        self.extensions: Mapping[str, Listed] = dict(sorted(found.items()))

    @property
    def notes(self) -> tuple[str, ...]:
        """What cannot be known, and what was ignored, one line each."""
        return tuple(self._notes)

    @property
    def has_dependencies(self) -> bool:
        """Whether the dependencies of any extension are known."""
        return any(one.dependencies is not None for one in self.extensions.values())

    def search(self, words: Sequence[str]) -> list[Listed]:
        """Return the extensions whose name or text contains all of ``words``, the best first.

        Case does not matter. A match in the name ranks before one in the text, and the start of
        a name or part of a name before the middle. Equal ranks are sorted by name.
        """
        wanted = [word.lower().removesuffix(TCZ) for word in words]
        ranked = []
        for one in self.extensions.values():
            ranks = [_rank(word, one) for word in wanted]
            if None not in ranks:
                total = sum(rank for rank in ranks if rank is not None)
                ranked.append((total, one.name.lower(), one.name))
        return [self.extensions[name] for _rank, _lower, name in sorted(ranked)]

    def find_files(self, pattern: str) -> Files:
        """Return the files that match ``pattern``, by the indexes of files.

        Args:
            pattern: a name (``libssl.so.1.1``), the end of a path (``bin/vim``), or a pattern of
                either (``libssl.so*``); ``**`` also matches slashes.

        Raises:
            NotFoundError: no folder has an index of files.
        """
        search = _FileSearch(pattern)
        packed = self._fetch_each(PROVIDES_INDEX, self._indexes)
        rest = [folder for folder in self._indexes if packed.get(folder) is None]
        plain = self._fetch_each(PLAIN_PROVIDES_INDEX, rest)
        lacking = []
        limits = evolve(PROVIDES_LIMITS, report=self._note)
        for folder in self._indexes:
            fetched = packed.get(folder) or plain.get(folder)
            see_all = partial(self._see_all, search, folder)
            is_read = self._parse(folder, fetched, partial(_see_index, see_all), limits)
            if not is_read and folder.listed_names():
                see_all(self._lists(folder))
            elif not is_read:
                lacking.append(folder)
        if len(lacking) == len(self._indexes):
            places = ", ".join(redact(folder.place) for folder in lacking)
            raise NotFoundError(
                f"no mirror has an index of files ({PROVIDES_INDEX}): looked in {places}",
                hint="search for a name without --file, or ask a complete mirror with --mirror",
            )
        for folder in lacking:
            self._note(
                f"the mirror {redact(folder.place)} has no index of files ({PROVIDES_INDEX}): "
                "files in its extensions are not found"
            )
        return search.result()

    def dependents(self, names: Iterable[str], *, kernel: str | None) -> Dependents:
        """Return what depends on ``names``, directly or not.

        Args:
            names: names of extensions.
            kernel: the release that ``-KERNEL`` stands for; without it, ``wifi-KERNEL.tcz`` means
                the ``wifi.tcz`` of every release.
        """
        direct = self._direct(kernel)
        needed_by: dict[str, tuple[str, ...]] = {}
        roots = tuple(dict.fromkeys(resolve_kernel(name, kernel) for name in names))
        pending = list(roots)
        while pending:
            name = pending.pop()
            if name in needed_by:
                continue
            match = _OF_RELEASE.fullmatch(name)
            of_any = [] if match is None else direct.get(match["stem"] + KERNEL, [])
            needed_by[name] = tuple(sorted({*direct.get(name, ()), *of_any}))
            pending += needed_by[name]
        return Dependents(roots=roots, needed_by=needed_by, loops=find_loops(roots, needed_by))

    def _direct(self, kernel: str | None) -> Mapping[str, list[str]]:
        """Return the extensions that depend directly on each name."""
        if kernel not in self._dependents:
            direct = self._dependents[kernel] = {}
            for one in self.extensions.values():
                for need in one.dependencies or ():
                    direct.setdefault(resolve_kernel(need, kernel), []).append(one.name)
        return self._dependents[kernel]

    def _see_all(
        self, search: _FileSearch, folder: ExtensionFolder, paths: Iterable[tuple[str, bytes]]
    ) -> None:
        for name, path in paths:
            home = self.extensions.get(name)
            if home is None or home.folder is folder:
                search.see(name, path)

    def _note(self, text: str) -> None:
        self._notes[text] = None

    def _damaged(self) -> Iterator[str]:
        for indexes in self._indexes.values():
            yield from (f"a damaged index was not used: {words}" for words in indexes.damaged)

    def _note_lack(self, folder: ExtensionFolder, known: set[str], *, has_tags: bool) -> None:
        place = redact(folder.place)
        if not known:
            self._note(
                f"the mirror {place} has no index: which extensions it has is not known; check its "
                "URL or path"
            )
        elif not has_tags:
            self._note(
                f"the mirror {place} has no index of tags ({TAG_INDEX}): only the names of its "
                "extensions were searched"
            )

    def _fetch_each(
        self, name: str, folders: Iterable[ExtensionFolder]
    ) -> dict[ExtensionFolder, DownloadedFile]:
        """Return an index of each folder that has it; note where it cannot be fetched."""
        files = {folder: folder.index_file(name) for folder in folders}
        answers = self._downloads.try_all(files.values())
        found = {}
        for folder, answer in zip(files, answers, strict=True):
            if isinstance(answer, DownloadError):
                self._note(f"an index was not used: {answer}")
            elif answer is not None:
                found[folder] = answer
        return found

    def _parse(
        self,
        folder: ExtensionFolder,
        fetched: DownloadedFile | None,
        parse: Callable[[Input], T],
        limits: Limits | None = None,
    ) -> T | None:
        if fetched is None:
            return None
        try:
            return parse(folder.read_index(fetched, limits or self._limits))
        except FormatError as error:
            self._note(f"a damaged index was not used: {error}")
            return None

    def _descriptions(self, folder: ExtensionFolder) -> dict[str, str]:
        """Return descriptions and tags from the ``.info`` files of a folder on this host."""
        texts = {}
        for name, file in self._companions(folder, INFO, sorted(folder.listed_names())):
            info = parse_info(file)
            values = (info.value(DESCRIPTION), info.value(TAGS))
            texts[name] = " ".join(" ".join(values).split())
        return texts

    def _dependencies(
        self, folder: ExtensionFolder, indexes: Indexes, names: Sequence[str]
    ) -> dict[str, tuple[str, ...]]:
        if indexes.dependencies is not None:
            return {name: indexes.dependencies.get(name, ()) for name in names}
        listed = folder.listed_names()
        if not listed:
            if names:
                self._note(
                    f"the mirror {redact(folder.place)} has no index of dependencies "
                    f"({DEPENDENCY_INDEX}): what its extensions depend on is not known"
                )
            return {}
        found: dict[str, tuple[str, ...]] = {name: () for name in names if name in listed}
        for name, file in self._companions(folder, DEPENDENCIES, list(found)):
            found[name] = parse_dependencies(file)
        return found

    def _lists(self, folder: ExtensionFolder) -> Iterator[tuple[str, bytes]]:
        """Yield each extension of a folder on this host, and each path in its ``.list``."""
        for name, file in self._companions(folder, LISTING, sorted(folder.listed_names())):
            for path in parse_listing(file):
                yield name, path

    def _companions(
        self, folder: ExtensionFolder, suffix: str, names: Sequence[str]
    ) -> Iterator[tuple[str, Input]]:
        """Yield the names of extensions that have the file beside them, and its content."""
        files: list[Download] = [
            companion_download(name, suffix, (folder.url(name + suffix),)) for name in names
        ]
        for name, answer in zip(names, self._downloads.try_all(files), strict=True):
            if isinstance(answer, DownloadError):
                self._note(f"a file was not used: {answer}")
            elif answer is not None:
                yield name, Input(self._downloads.load(answer), name=answer.url)


@frozen(kw_only=True)
class Files:
    """The result of a search for files.

    Attributes:
        found: the paths that match, by the extension that has them; the extensions and the paths
            are sorted.
        containing: the number of extensions with a path that only contains the words.
    """

    found: Mapping[str, tuple[str, ...]]
    containing: int


class _FileSearch:
    """Collects the paths that match.

    Args:
        text: a name, the end of a path, or a pattern of either.
    """

    def __init__(self, text: str) -> None:
        # Names of files that are not UTF-8 come from the command line with escaped bytes.
        plain = plain_path(text.encode("utf-8", "surrogateescape"))
        self._whole, self._end = plain, b"/" + plain
        self._pattern: Pattern | None = None
        if is_wild(plain):
            self._is_name = b"/" not in plain and b"**" not in plain
            self._pattern = parse_pattern(plain if self._is_name else b"**/" + plain)
            # Most paths lack it, and a pattern is slow.
            self._whole = max(_LITERAL.findall(plain), key=len, default=b"")
        self._found: dict[str, set[bytes]] = {}
        self._containing: set[str] = set()

    def see(self, name: str, path: bytes) -> None:
        """Look at a path of the extension ``name``."""
        if self._whole not in path:
            return
        if self._pattern is not None:
            matches = self._pattern.matches(path.rpartition(b"/")[2] if self._is_name else path)
        else:
            matches = path == self._whole or path.endswith(self._end)
        if matches:
            self._found.setdefault(name, set()).add(path)
        else:
            self._containing.add(name)

    def result(self) -> Files:
        found = {
            name: tuple(path.decode("utf-8", "surrogateescape") for path in sorted(paths))
            for name, paths in sorted(self._found.items())
        }
        others = self._containing - found.keys() if self._pattern is None else ()
        return Files(found=found, containing=len(others))


def _see_index(see: Callable[[Iterable[tuple[str, bytes]]], None], file: Input) -> bool:
    see(read_provided(file))
    return True


def _rank(word: str, listed: Listed) -> int | None:
    """Return how well a word matches, from 0, the best; ``None`` if it does not."""
    stem, text = listed.name.removesuffix(TCZ).lower(), listed.text.lower()
    if word == stem:
        return 0
    if stem.startswith(word):
        return 1
    if word in stem:
        return 2 if any(part.startswith(word) for part in _PARTS.split(stem)) else 3
    if word not in text:
        return None
    return 4 if word in _PARTS.split(text) else 5

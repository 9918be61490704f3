"""Look up extensions and their dependencies in several folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from attrs import evolve

from purekernel.errors import CombinedError, DownloadError, PurekernelError, raise_all
from purekernel.fetch.model import Download, DownloadedFile
from purekernel.fetch.urls import redact
from purekernel.formats.tinycore import parse_dependencies
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.repos.tinycore.extension import (
    DEPENDENCIES,
    INFO,
    LISTING,
    MD5,
    Extension,
    similar_names,
)
from purekernel.repos.tinycore.folder import (
    ExtensionFetcher,
    ExtensionFolder,
    Indexes,
    companion_download,
    extension_download,
)

# Comparing one name with an index takes 20 ms. If more are missing, the mirror is wrong.
MOST_SUGGESTED = 10


@frozen(kw_only=True)
class _Home:
    """The folder that an extension is taken from.

    Attributes:
        folder: the folder.
        digest: MD5 of the extension in hexadecimal; ``None`` if it is unknown.
        listed: whether the folder's index lists it; otherwise its files were looked up.
    """

    folder: ExtensionFolder
    digest: str | None
    listed: bool


class ExtensionMirror:
    """Folders of extensions, in order of precedence.

    The folders can be mirrors of each other, or one can have extensions of its own. The home of
    an extension is the first folder that has it, and only the files beside it there are used.
    If the home fails to deliver the extension, and its MD5 is known, the other folders are tried.

    With its indexes, a folder describes any number of extensions in three requests.
    """

    def __init__(
        self, folders: Sequence[str], downloads: ExtensionFetcher, *, use_indexes: bool = True
    ) -> None:
        """Create a repository for several folders.

        Args:
            folders: URLs or paths of folders that hold ``NAME.tcz``; at least one.
            downloads: fetches files.
            use_indexes: whether to use the indexes. An index can be older than the files that it
                describes.
        """
        # Keep a slash at the end: it may belong to a token.
        places = dict.fromkeys(folders)
        self._folders = tuple(ExtensionFolder(place, downloads) for place in places)
        # A short failure must not change the folder that an extension comes from, so try twice.
        self._attempts = 2 if len(self._folders) > 1 else None
        self._downloads = downloads
        self._use_indexes = use_indexes
        self._indexes: dict[ExtensionFolder, Indexes | None] | None = None
        self._known: dict[str, Extension[Download] | None] = {}
        self._went_by_indexes = False
        self._failed: dict[ExtensionFolder, DownloadError] = {}
        self._gave: set[ExtensionFolder] = set()

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about skipped folders and the reason, one line each."""
        empty = [
            f"the mirror {redact(folder.place)} has no index and none of the extensions: check its "
            "URL or path"
            for folder, indexes in (self._indexes or {}).items()
            if folder not in self._gave
            and indexes in (Indexes(), None)
            and folder not in self._failed
        ]
        return (*self.skipped, *(empty if len(self._folders) > 1 else []))

    @property
    def skipped(self) -> tuple[str, ...]:
        """Warnings about folders that did not answer, one line each."""
        return tuple(
            f"the mirror {redact(folder.place)} was skipped, and the other mirrors were used "
            f"instead: {error}"
            for folder, error in self._failed.items()
        )

    @property
    def went_by_indexes(self) -> bool:
        """Whether any result so far comes from an index."""
        return self._went_by_indexes

    def describe(self, names: Sequence[str]) -> list[Extension[Download] | None]:
        """Return each extension, in the same order; ``None`` if no folder has it.

        Raises:
            DownloadError: the only folder does not answer.
            CombinedError: no folder that answers has an extension, and others do not answer. It
                has one error for each of them.
            FormatError: a file in a folder is damaged.
        """
        new = [name for name in dict.fromkeys(names) if name not in self._known]
        if new:
            self._known.update(zip(new, self._describe(new), strict=True))
        return [self._known[name] for name in names]

    def indexes(self) -> Mapping[ExtensionFolder, Indexes | None]:
        """Return the indexes of every folder, in order; ``None`` for one that does not answer.

        Raises:
            DownloadError: the only folder does not answer.
            CombinedError: no folder answers; it has an error for each.
        """
        indexes = self._all_indexes()
        if all(folder_indexes is None for folder_indexes in indexes.values()):
            raise_all(self._failed.values())
        return indexes

    def suggest(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the known names that are most similar to each of ``names``, the best first.

        Only the first names are looked at, and those without a similar one are left out. Folders
        whose indexes cannot be fetched are ignored.
        """
        wanted = [name for name in names if name][:MOST_SUGGESTED]
        known: set[str] = set()
        if wanted:
            with suppress(PurekernelError):
                known |= self._indexed_names()
            for folder in self._folders:
                known |= folder.listed_names()
        found = {name: similar_names(name, known) for name in wanted}
        return {name: similar for name, similar in found.items() if similar}

    def _indexed_names(self) -> set[str]:
        """Return the names in the indexes, also if the indexes are not used otherwise."""
        if self._use_indexes:
            indexes = self._all_indexes()
        else:
            other = ExtensionMirror([one.place for one in self._folders], self._downloads)
            indexes = dict(other.indexes())
        found = (one.names() for one in indexes.values() if one is not None)
        return set().union(*found)

    def _describe(self, names: list[str]) -> list[Extension[Download] | None]:
        homes = self._homes(names)
        needs = self._needs(homes)
        return [
            self._extension(name, homes[name], needs[name]) if name in homes else None
            for name in names
        ]

    def _homes(self, names: list[str]) -> dict[str, _Home]:
        """Return the home of each extension.

        If there are several folders, one that fails is skipped. It is asked again, with the full
        number of attempts, only for extensions that the others do not have.
        """
        homes: dict[str, _Home] = {}
        unsure: dict[ExtensionFolder, list[str]] = {}

        def remaining() -> list[str]:
            return [name for name in names if name not in homes]

        indexes = self._all_indexes()
        for folder in self._folders:
            folder_indexes = indexes[folder]
            if folder_indexes is None:
                unsure[folder] = remaining()
            elif folder_indexes.digests is None:
                unsure[folder] = self._look(folder, remaining(), homes, attempts=self._attempts)
            else:
                self._take_listed(folder, folder_indexes.digests, remaining(), homes)
        # An extension that no index lists may be newer than the indexes: look up its files.
        for folder in self._folders:
            if folder not in unsure:
                unsure[folder] = self._look(folder, remaining(), homes, attempts=self._attempts)
        for folder, doubtful in unsure.items():
            self._look_again(folder, [name for name in doubtful if name not in homes], homes)
        return homes

    def _take_listed(
        self,
        folder: ExtensionFolder,
        digests: Mapping[str, str],
        names: list[str],
        homes: dict[str, _Home],
    ) -> None:
        for name in names:
            if name in digests:
                homes[name] = _Home(folder=folder, digest=digests[name], listed=True)
                self._gave.add(folder)
                self._went_by_indexes = True

    def _look(
        self,
        folder: ExtensionFolder,
        names: list[str],
        homes: dict[str, _Home],
        *,
        attempts: int | None,
    ) -> list[str]:
        """Look up extensions by a folder's files; return the names that it gave no answer for.

        Raises:
            DownloadError: ``attempts`` is ``None``, and the folder gave no answer for a name.
            CombinedError: the same, for several names.
        """
        found = folder.look(names, attempts=attempts)
        errors = {
            name: answer for name, answer in found.items() if isinstance(answer, DownloadError)
        }
        if attempts is None:
            raise_all(errors.values())
        for error in errors.values():
            self._failed.setdefault(folder, error)
        for name, answer in found.items():
            if not isinstance(answer, DownloadError):
                homes[name] = _Home(folder=folder, digest=answer, listed=False)
                self._gave.add(folder)
        return list(errors)

    def _look_again(
        self, folder: ExtensionFolder, names: list[str], homes: dict[str, _Home]
    ) -> None:
        """Ask a folder again, with the full number of attempts.

        The folder also becomes the home of extensions that it has and that a later folder gave
        in its place.
        """
        if not names:
            return
        indexes = self._all_indexes()
        folder_indexes = indexes[folder]
        after = self._folders[self._folders.index(folder) + 1 :]
        lent = [name for name, home in homes.items() if home.folder in after]
        if folder_indexes is None:
            answers = self._downloads.try_all(folder.index_files(attempts=None))
            folder_indexes = self._read_indexes(folder, answers)
            if folder_indexes is None:
                raise CombinedError(self._failed.values())
            indexes[folder] = folder_indexes
            if folder_indexes.digests is not None:
                self._take_listed(folder, folder_indexes.digests, [*names, *lent], homes)
        remaining = [name for name in names if name not in homes]
        self._look(
            folder,
            remaining if folder_indexes.digests is not None else [*remaining, *lent],
            homes,
            attempts=None,
        )
        if not self._known:
            self._failed.pop(folder, None)

    def _needs(self, homes: dict[str, _Home]) -> dict[str, tuple[str, ...] | None]:
        """Return the dependencies of each extension; ``None`` if it has no ``.dep`` file."""
        needs: dict[str, tuple[str, ...] | None] = {}
        files: dict[str, Download] = {}
        for name, home in homes.items():
            indexes = self._indexes_of(home)
            if indexes.dependencies is not None and (home.listed or indexes.digests is None):
                needs[name] = indexes.dependencies.get(name, ())
                self._went_by_indexes = True
            else:
                files[name] = self._companion(name, DEPENDENCIES, home.folder)
        for name, fetched in zip(files, self._downloads.fetch_all(files.values()), strict=True):
            needs[name] = (
                None
                if fetched is None
                else parse_dependencies(Input(self._downloads.load(fetched), name=fetched.url))
            )
        return needs

    def _extension(
        self, name: str, home: _Home, needs: tuple[str, ...] | None
    ) -> Extension[Download]:
        sizes = self._indexes_of(home).sizes
        suffixes = [MD5, *([] if needs is None else [DEPENDENCIES]), INFO, LISTING]
        digest = home.digest
        return Extension(
            name=name,
            dependencies=needs or (),
            file=evolve(
                extension_download(name, self._extension_urls(name, home)),
                md5=digest,
                size_bytes=sizes.get(name) if home.listed else None,
            ),
            companions={suffix: self._companion(name, suffix, home.folder) for suffix in suffixes},
        )

    def _companion(self, name: str, suffix: str, home: ExtensionFolder) -> Download:
        # The file in another folder may belong to another extension of the same name.
        return companion_download(name, suffix, (home.url(name + suffix),))

    def _extension_urls(self, name: str, home: _Home) -> tuple[str, ...]:
        """Return the URLs of an extension; other folders only if a digest can prove the content."""
        others = self._folders if home.digest is not None else ()
        folders = (home.folder, *(folder for folder in others if folder is not home.folder))
        return tuple(dict.fromkeys(folder.url(name) for folder in folders))

    def _indexes_of(self, home: _Home) -> Indexes:
        return self._all_indexes()[home.folder] or Indexes()

    def _all_indexes(self) -> dict[ExtensionFolder, Indexes | None]:
        """Return the indexes of every folder; ``None`` for a folder that does not answer.

        Raises:
            DownloadError: there is only one folder, and it does not answer.
        """
        if self._indexes is None:
            self._indexes = (
                self._fetch_indexes()
                if self._use_indexes
                else dict.fromkeys(self._folders, Indexes())
            )
        return self._indexes

    def _fetch_indexes(self) -> dict[ExtensionFolder, Indexes | None]:
        files_of = {folder: folder.index_files(attempts=self._attempts) for folder in self._folders}
        requested = [file for files in files_of.values() for file in files]
        results = dict(zip(requested, self._downloads.try_all(requested), strict=True))
        indexes = {
            folder: self._read_indexes(folder, [results[file] for file in files])
            for folder, files in files_of.items()
        }
        if list(indexes.values()) == [None]:
            raise_all(self._failed.values())
        return indexes

    def _read_indexes(
        self, folder: ExtensionFolder, answers: Iterable[DownloadedFile | DownloadError | None]
    ) -> Indexes | None:
        """Return the indexes of a folder, or record why it does not answer and return ``None``."""
        files = []
        for answer in answers:
            if isinstance(answer, DownloadError):
                # The indexes fail together: one error is enough for a folder.
                self._failed[folder] = answer
                return None
            files.append(answer)
        return folder.read_indexes(files)

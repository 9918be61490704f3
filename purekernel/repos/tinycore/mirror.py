"""The folders that hold extensions: which has what, and what each extension needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from purekernel.errors import DownloadError, raise_all
from purekernel.fetch.urls import redact
from purekernel.fetch.wanted import Wanted
from purekernel.formats.tinycore import parse_dependencies
from purekernel.repos.tinycore.extension import DEPENDENCIES, INFO, LISTING, MD5, Extension
from purekernel.repos.tinycore.folder import (
    Downloads,
    ExtensionFolder,
    Found,
    Indexes,
    package_wanted,
    side_wanted,
)


@frozen(kw_only=True)
class _Home:
    """The folder that an extension is taken from."""

    folder: ExtensionFolder
    found: Found


class ExtensionMirror:
    """Folders that hold extensions, in the order in which they are asked.

    They may be mirrors of one another, or one may have a few extensions of its own. An extension
    is at home in the first folder that has it, and what stands beside it there is what counts;
    the other folders are asked for the extension where that one does not give it, and its MD5 is
    known.

    With its indexes a folder tells all about any number of extensions in three requests.
    """

    def __init__(
        self, folders: Sequence[str], downloads: Downloads, *, use_indexes: bool = True
    ) -> None:
        """Ask ``folders`` (URLs or paths that hold ``NAME.tcz``) through ``downloads``.

        Args:
            folders: at least one.
            downloads: what fetches.
            use_indexes: whether the indexes are believed. An index may be older than the
                files that it speaks of.
        """
        # Not by their slashes: one at the end may belong to a token.
        places = dict.fromkeys(folders)
        self._folders = tuple(ExtensionFolder(place, downloads) for place in places)
        # What passes by itself must not change where an extension comes from.
        self._attempts = 2 if len(self._folders) > 1 else None
        self._downloads = downloads
        self._use_indexes = use_indexes
        self._indexes: dict[ExtensionFolder, Indexes | None] | None = None
        self._known: dict[str, Extension | None] = {}
        self._went_by_indexes = False
        self._failed: dict[ExtensionFolder, DownloadError] = {}
        self._gave: set[ExtensionFolder] = set()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know: which folders were passed over, and why, a line each."""
        passed_over = [
            f"the mirror {redact(folder.place)} was passed over, and what it may have was taken "
            f"from the others: {error}"
            for folder, error in self._failed.items()
        ]
        empty = [
            f"the mirror {redact(folder.place)} has none of the extensions, and no index: is it "
            "where you say?"
            for folder, said in (self._indexes or {}).items()
            if folder not in self._gave and said in (Indexes(), None) and folder not in self._failed
        ]
        return tuple(passed_over + (empty if len(self._folders) > 1 else []))

    @property
    def went_by_indexes(self) -> bool:
        """Whether anything that it has said so far comes from an index."""
        return self._went_by_indexes

    def describe(self, names: Sequence[str]) -> list[Extension | None]:
        """Return what the folders have of each extension, in the same order.

        Raises:
            DownloadError: no folder that answers has it, and one does not answer.
            FormatError: what a folder says is damaged.
        """
        new = [name for name in dict.fromkeys(names) if name not in self._known]
        if new:
            self._known.update(zip(new, self._describe(new), strict=True))
        return [self._known[name] for name in names]

    def _describe(self, names: list[str]) -> list[Extension | None]:
        homes = self._homes(names)
        needs = self._needs(homes)
        return [
            self._extension(name, homes[name], needs[name]) if name in homes else None
            for name in names
        ]

    def _homes(self, names: list[str]) -> dict[str, _Home]:
        """Return where each extension is at home.

        Where there are several folders, one that fails is passed over, and asked with all
        patience only for what the others do not have.
        """
        homes: dict[str, _Home] = {}
        unsure: dict[ExtensionFolder, list[str]] = {}

        def rest() -> list[str]:
            return [name for name in names if name not in homes]

        indexes = self._all_indexes()
        for folder in self._folders:
            said = indexes[folder]
            if said is None:
                unsure[folder] = rest()
            elif said.digests is None:
                unsure[folder] = self._look(folder, rest(), homes, attempts=self._attempts)
            else:
                self._take_listed(folder, said.digests, rest(), homes)
        # What no index lists is looked for among the files all the same: it may be new.
        for folder in self._folders:
            if folder not in unsure:
                unsure[folder] = self._look(folder, rest(), homes, attempts=self._attempts)
        for folder, doubtful in unsure.items():
            self._look_patiently(folder, [name for name in doubtful if name not in homes], homes)
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
                found = Found(digest=digests[name], listed=True)
                homes[name] = _Home(folder=folder, found=found)
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
        """Look for extensions among a folder's files; return those of which it did not tell.

        Raises:
            DownloadError: it did not tell, with all patience.
            CombinedError: of several.
        """
        found = folder.look(names, attempts=attempts)
        errors = {name: one for name, one in found.items() if isinstance(one, DownloadError)}
        if attempts is None:
            raise_all(errors.values())
        for error in errors.values():
            self._failed.setdefault(folder, error)
        for name, one in found.items():
            if isinstance(one, Found):
                homes[name] = _Home(folder=folder, found=one)
                self._gave.add(folder)
        return list(errors)

    def _look_patiently(
        self, folder: ExtensionFolder, names: list[str], homes: dict[str, _Home]
    ) -> None:
        """Ask a folder with all patience; then it has what is its own, too.

        What a later folder gave in its place is taken from it after all.
        """
        if not names:
            return
        indexes = self._all_indexes()
        said = indexes[folder]
        after = self._folders[self._folders.index(folder) + 1 :]
        lent = [name for name, home in homes.items() if home.folder in after]
        if said is None:
            fetched = self._downloads.fetch_all(folder.index_files(attempts=None))
            said = indexes[folder] = folder.read_indexes(fetched)
            if said.digests is not None:
                self._take_listed(folder, said.digests, [*names, *lent], homes)
        rest = [name for name in names if name not in homes]
        self._look(
            folder, rest if said.digests is not None else [*rest, *lent], homes, attempts=None
        )
        if not self._known:
            self._failed.pop(folder, None)

    def _needs(self, homes: dict[str, _Home]) -> dict[str, tuple[str, ...] | None]:
        """Return what each extension needs; ``None`` where it has no ``.dep``."""
        needs: dict[str, tuple[str, ...] | None] = {}
        asked: dict[str, Wanted] = {}
        for name, home in homes.items():
            indexes = self._indexes_of(home)
            if indexes.dependencies is not None and (home.found.listed or indexes.digests is None):
                needs[name] = indexes.dependencies.get(name, ())
                self._went_by_indexes = True
            else:
                asked[name] = self._side(name, DEPENDENCIES, home.folder)
        for name, fetched in zip(asked, self._downloads.fetch_all(asked.values()), strict=True):
            needs[name] = (
                None
                if fetched is None
                else parse_dependencies(self._downloads.load(fetched), source=fetched.url)
            )
        return needs

    def _extension(self, name: str, home: _Home, needs: tuple[str, ...] | None) -> Extension:
        sizes = self._indexes_of(home).sizes
        sides = [MD5, *([] if needs is None else [DEPENDENCIES]), INFO, LISTING]
        digest = home.found.digest
        return Extension(
            name=name,
            dependencies=needs or (),
            package=evolve(
                package_wanted(name, self._package_urls(name, home)),
                md5=digest,
                size_bytes=sizes.get(name) if home.found.listed else None,
            ),
            sides={side: self._side(name, side, home.folder) for side in sides},
        )

    def _side(self, name: str, side: str, home: ExtensionFolder) -> Wanted:
        # Another folder's may be that of another extension of the same name.
        return side_wanted(name, side, (home.url(name + side),))

    def _package_urls(self, name: str, home: _Home) -> tuple[str, ...]:
        """Return where an extension may be had: elsewhere only what a digest proves the same."""
        others = self._folders if home.found.digest is not None else ()
        folders = (home.folder, *(folder for folder in others if folder is not home.folder))
        return tuple(dict.fromkeys(folder.url(name) for folder in folders))

    def _indexes_of(self, home: _Home) -> Indexes:
        return self._all_indexes()[home.folder] or Indexes()

    def _all_indexes(self) -> dict[ExtensionFolder, Indexes | None]:
        """Return the indexes of every folder; ``None`` of one that does not answer.

        Raises:
            DownloadError: the only folder does not.
        """
        if self._indexes is None:
            self._indexes = (
                self._fetch_indexes()
                if self._use_indexes
                else dict.fromkeys(self._folders, Indexes())
            )
        return self._indexes

    def _fetch_indexes(self) -> dict[ExtensionFolder, Indexes | None]:
        wanted = {folder: folder.index_files(attempts=self._attempts) for folder in self._folders}
        everything = [one for files in wanted.values() for one in files]
        results = dict(zip(everything, self._downloads.try_all(everything), strict=True))
        indexes: dict[ExtensionFolder, Indexes | None] = {}
        for folder, files in wanted.items():
            found = [results[one] for one in files]
            errors = [one for one in found if isinstance(one, DownloadError)]
            if errors and len(self._folders) == 1:
                # They are asked for together, and fail together.
                raise errors[0]
            if errors:
                self._failed[folder] = errors[0]
            there = [one for one in found if not isinstance(one, DownloadError)]
            indexes[folder] = None if errors else folder.read_indexes(there)
        return indexes

"""Run ldconfig on a tree."""

from __future__ import annotations

from collections.abc import Sequence

from purekernel.formats.ld_cache import CacheFormat, LdCacheEntry, build_ld_cache
from purekernel.records import frozen
from purekernel.rootfs.ldconfig.architecture import Architecture
from purekernel.rootfs.ldconfig.conf import read_conf
from purekernel.rootfs.ldconfig.detect import detect_architecture
from purekernel.rootfs.ldconfig.folders import SearchFolder, SearchList, system_folders
from purekernel.rootfs.ldconfig.glibc import OWN_GENERATOR, find_glibc
from purekernel.rootfs.ldconfig.hwcaps import Hwcaps
from purekernel.rootfs.ldconfig.libraries import Libraries, Library
from purekernel.rootfs.ldconfig.links import Linked, link_soname
from purekernel.rootfs.ldconfig.rules import DEFAULT_RELEASE, Release, Rules, rules_of
from purekernel.tree import Metadata, Tree, put_file

CONFIGURATION = b"etc/ld.so.conf"
CACHE = b"etc/ld.so.cache"


@frozen(kw_only=True)
class Searched:
    """A folder that was searched.

    Attributes:
        folder: the folder.
        hwcap: the bits of its hardware folders, as before ``glibc-hwcaps``.
        links: a library for each soname, in the order of the search.
    """

    folder: SearchFolder
    hwcap: int
    links: tuple[Linked, ...]


@frozen(kw_only=True)
class Configured:
    """The result of a run.

    Attributes:
        tree: the tree with links and cache.
        release: the release of the glibc whose rules were used.
        warnings: what was skipped and why, one line each, in order.
        entries: the entries of the cache, in the order of the search.
        searched: the folders, in order.
    """

    tree: Tree
    release: Release
    warnings: tuple[str, ...]
    entries: tuple[LdCacheEntry, ...]
    searched: tuple[Searched, ...]


def ldconfig(
    tree: Tree,
    *,
    mtime: int,
    architecture: Architecture | None = None,
    release: Release | None = None,
    format: CacheFormat | None = None,  # noqa: A002  # ldconfig's own name
    generator: bytes | None = None,
    folders: Sequence[bytes] = (),
    configuration: bytes | None = CONFIGURATION,
    cache: bytes | None = CACHE,
    links: bool = True,
    stale: bool = True,
) -> Configured:
    """Return ``tree`` as ``ldconfig -r`` of its glibc leaves it, without the aux-cache.

    Args:
        tree: a root file system; it is not changed.
        mtime: the time of new links and the cache, in seconds since 1970, UTC.
        architecture: the architecture of ldconfig; ``None`` to detect it from the tree's loader.
        release: the release of glibc, as ``(2, 36)``; ``None`` for that of the tree, or 2.36 if
            the tree has no glibc.
        format: the format of the cache; ``None`` for that of the release: the new format from 2.32
            on, else the compatible one. A tree without a glibc gets the compatible format, which
            all loaders can read.
        generator: the generator in the cache; ``None`` for the ldconfig of the tree's glibc, or
            ours if the tree has no glibc.
        folders: folders to search before the configured ones.
        configuration: the file with the folders to search; ``None`` to search only ``folders``.
        cache: the file to write, ``None`` to write no cache.
        links: whether to create, change and remove links to libraries.
        stale: whether to remove broken links. If part of a root file system is missing from
            ``tree``, their targets may exist there.

    Raises:
        LimitError: the configuration includes more than a thousand files.
        TreeError: the path of the cache cannot be replaced.
    """
    changed = tree.copy()
    chosen = architecture or detect_architecture(changed)
    request = _Request(
        tree=changed, architecture=chosen, folders=folders, configuration=configuration
    )
    rules = rules_of(release or DEFAULT_RELEASE)
    search, hwcaps = request.find(rules)
    glibc = find_glibc(changed, search, chosen, rules)
    if glibc is not None:
        rules = rules_of(release or glibc.version, debian=glibc.is_debian)
        search, hwcaps = request.find(rules)
    libraries = Libraries(changed, chosen, rules, hwcaps, remove_stale=links and stale)
    entries: list[LdCacheEntry] = []
    searched: list[Searched] = []
    for place in search:
        linked_sonames: list[Linked] = []
        for library in libraries.search(place, search):
            if place.hwcaps is None and not library.is_link:
                linked = Linked(library.soname, library.name)
                if links:
                    linked = link_soname(changed, place, library, mtime=mtime)
                if linked.warning is not None:
                    libraries.warnings.append(linked.warning)
                linked_sonames.append(linked)
            entries.append(_entry(place, library, hwcaps))
        hwcap = hwcaps.of_path(place.path) if place.hwcaps is None else 0
        searched.append(Searched(folder=place, hwcap=hwcap, links=tuple(linked_sonames)))
    if cache is not None:
        content = build_ld_cache(
            entries,
            format=format or (rules.format if release or glibc else CacheFormat.COMPAT),
            generator=_first(generator, glibc.generator if glibc else None, OWN_GENERATOR),
            extended=rules.extended_cache,
            marked=rules.marks_byte_order,
            byte_order=chosen.byte_order,
            signed_bytes=chosen.signed_bytes,
            hwcaps=search.hwcaps,
        )
        put_file(changed, cache, content, metadata=Metadata(mode=0o644, mtime=mtime))
    return Configured(
        tree=changed,
        release=rules.release,
        warnings=(*search.warnings, *libraries.warnings),
        entries=tuple(entries),
        searched=tuple(searched),
    )


@frozen(kw_only=True)
class _Request:
    """The request, independent of the rules."""

    tree: Tree
    architecture: Architecture
    folders: Sequence[bytes]
    configuration: bytes | None

    def find(self, rules: Rules) -> tuple[SearchList, Hwcaps]:
        """Return the folders to search and the hardware folders."""
        search = SearchList(self.tree, rules)
        hwcaps = Hwcaps(self.architecture, rules)
        for folder in self.folders:
            search.add_line(folder, origin=b"<cmdline>:0")
        if self.configuration is not None:
            read_conf(self.tree, self.configuration, search, hwcaps)
            for folder in system_folders(self.tree, self.architecture):
                search.add_line(folder, origin=b"<builtin>:0")
        return search, hwcaps


def _entry(folder: SearchFolder, library: Library, hwcaps: Hwcaps) -> LdCacheEntry:
    if folder.hwcaps is None:
        # The path has the soname, so that the cache stays valid if the link's target changes.
        return LdCacheEntry(
            name=library.soname,
            path=folder.path + b"/" + library.soname,
            flags=library.flags,
            hwcap=hwcaps.of_path(folder.path),
            os_version=library.os_version,
        )
    return LdCacheEntry(
        name=library.soname,
        path=folder.path + b"/" + library.name,
        flags=library.flags,
        hwcaps=folder.hwcaps,
        isa_level=library.isa_level,
        os_version=library.os_version,
    )


def _first(*choices: bytes | None) -> bytes:
    return next(choice for choice in choices if choice is not None)

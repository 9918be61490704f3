"""Run ldconfig over a tree."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from purekernel.formats.ld_cache import CacheEntry, CacheFormat, build_ld_cache
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
        folder: which.
        hwcap: the old hardware that it is for, as bits.
        links: a library for each soname, in the order of finding.
    """

    folder: SearchFolder
    hwcap: int
    links: tuple[Linked, ...]


@frozen(kw_only=True)
class Configured:
    """What came of a run.

    Attributes:
        tree: with links and cache.
        release: of the glibc whose rules were followed.
        warnings: what was passed over and why, one line each, in the order of finding.
        entries: of the cache, in the order of finding.
        searched: the folders, in order.
    """

    tree: Tree
    release: Release
    warnings: tuple[str, ...]
    entries: tuple[CacheEntry, ...]
    searched: tuple[Searched, ...]


def ldconfig(
    tree: Tree,
    *,
    mtime: int,
    architecture: Architecture | None = None,
    release: Release | None = None,
    format: CacheFormat | None = None,  # noqa: A002  # the word that ldconfig has for it
    generator: bytes | None = None,
    folders: Sequence[bytes] = (),
    configuration: bytes | None = CONFIGURATION,
    cache: bytes | None = CACHE,
    links: bool = True,
    stale: bool = True,
) -> Configured:
    """Return ``tree`` as ``ldconfig -r`` of its glibc leaves it, but for its own aux-cache.

    Args:
        tree: is left as it is.
        mtime: of links and cache that are made, in seconds since 1970, UTC.
        architecture: whose ldconfig; ``None`` to tell by the loader in the tree.
        release: the glibc whose ldconfig, as ``(2, 36)``; ``None`` for that in the tree, or
            2.36 where there is none.
        format: of the cache; ``None`` for the one that the release writes: the new one from
            2.32 on, else the compatible one, which is also what a tree without a glibc gets:
            all can read it.
        generator: who the cache says wrote it; ``None`` for the ldconfig of the tree's glibc,
            or, where there is none, ours.
        folders: to search before those that are configured.
        configuration: the file that names the folders to search; ``None`` to search ``folders``
            and no others.
        cache: the file to write, ``None`` for none.
        links: whether to make, change and remove links to libraries.
        stale: whether to remove those that lead nowhere. Where not all of a root file system is
            known, they may lead somewhere.

    Raises:
        LimitError: the configuration includes more than a thousand files.
        TreeError: what stands where the cache is to be cannot be replaced.
    """
    changed = tree.copy()
    chosen = architecture or detect_architecture(changed)
    wanted = _Wanted(
        tree=changed, architecture=chosen, folders=folders, configuration=configuration
    )
    rules = rules_of(release or DEFAULT_RELEASE)
    search, hwcaps = wanted.find(rules)
    glibc = find_glibc(changed, search, chosen, rules)
    if glibc is not None:
        rules = rules_of(release or glibc.version, debian=glibc.is_debian)
        search, hwcaps = wanted.find(rules)
    libraries = Libraries(changed, chosen, rules, hwcaps, remove_stale=links and stale)
    entries: list[CacheEntry] = []
    searched: list[Searched] = []
    for place in search:
        made: list[Linked] = []
        for library in libraries.search(place, search):
            if place.hwcaps is None and not library.is_link:
                linked = Linked(library.soname, library.name)
                if links:
                    linked = link_soname(changed, place, library, mtime=mtime)
                if linked.warning is not None:
                    libraries.warnings.append(linked.warning)
                made.append(linked)
            entries.append(_entry(place, library, hwcaps))
        hwcap = hwcaps.of_path(place.path) if place.hwcaps is None else 0
        searched.append(Searched(folder=place, hwcap=hwcap, links=tuple(made)))
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
class _Wanted:
    """What is asked for, whatever the rules."""

    tree: Tree
    architecture: Architecture
    folders: Sequence[bytes]
    configuration: bytes | None

    def find(self, rules: Rules) -> tuple[SearchList, Hwcaps]:
        """Return the folders to search, and which are for special hardware."""
        search = SearchList(self.tree, rules)
        hwcaps = Hwcaps(self.architecture, rules)
        for folder in self.folders:
            search.add_line(folder, origin=b"<cmdline>:0")
        if self.configuration is not None:
            read_conf(self.tree, self.configuration, search, hwcaps)
            for folder in system_folders(self.tree, self.architecture):
                search.add_line(folder, origin=b"<builtin>:0")
        return search, hwcaps


def _entry(folder: SearchFolder, library: Library, hwcaps: Hwcaps) -> CacheEntry:
    if folder.hwcaps is None:
        # By its soname, so that a newer file behind the link needs no new cache.
        return CacheEntry(
            name=library.soname,
            path=folder.path + b"/" + library.soname,
            flags=library.flags,
            hwcap=hwcaps.of_path(folder.path),
            os_version=library.os_version,
        )
    return CacheEntry(
        name=library.soname,
        path=folder.path + b"/" + library.name,
        flags=library.flags,
        hwcaps=folder.hwcaps,
        isa_level=library.isa_level,
        os_version=library.os_version,
    )


def _first(*choices: bytes | None) -> bytes:
    return next(choice for choice in choices if choice is not None)

"""Run depmod over a tree."""

from __future__ import annotations

from attrs import evolve, frozen

from purekernel.rootfs.depmod.busybox import Busybox, build_busybox_files, search_as_busybox
from purekernel.rootfs.depmod.config import read_depmod_config
from purekernel.rootfs.depmod.dialect import Dialect, detect_dialect
from purekernel.rootfs.depmod.found import FoundModule, Listing
from purekernel.rootfs.depmod.kernel_symbols import KernelSymbols
from purekernel.rootfs.depmod.kmod import relate_modules
from purekernel.rootfs.depmod.kmod_files import build_kmod_files
from purekernel.rootfs.depmod.search import ModuleSearch
from purekernel.rootfs.modules import MODULES, release_folder
from purekernel.tree import File, Metadata, Tree, look_up
from purekernel.tree.path import join


@frozen(kw_only=True)
class Indexed:
    """What came of a run.

    Attributes:
        tree: with the files.
        files: what was written, by name, in the order of writing.
        warnings: what was passed over and why, one line each, in the order of finding.
    """

    tree: Tree
    files: dict[bytes, bytes]
    warnings: tuple[str, ...]


def depmod(
    tree: Tree,
    release: bytes,
    *,
    mtime: int,
    dialect: Dialect | None = None,
    kernel: KernelSymbols | None = None,
    report_unknown: bool = True,
    report_duplicates: bool = False,
    listing: Listing | None = None,
) -> Indexed:
    """Return ``tree`` with the modules.* files of a release, as depmod writes them.

    Args:
        tree: is left as it is.
        release: of the kernel; the name of a folder in ``lib/modules``.
        mtime: of the files that are made, in seconds since 1970, UTC.
        dialect: whose depmod; ``None`` for the one in the tree.
        kernel: what the kernel exports, to be told of symbols that it has otherwise (kmod only).
        report_unknown: whether to be told, then, of those that nobody has.
        report_duplicates: whether to be told of aliases and symbols that are there twice (kmod
            only).
        listing: the order of names in a folder. Real programs take them as the file system
            has them: it decides on the order of busybox's lines, and, with either, which of
            two modules of one name counts where nothing else does. ``None`` for that of bytes.

    Raises:
        MissingPathError: there is no such release.
        ModuleLoopError: modules need one another in a circle.
        LimitError: links to folders lead on and on.
        ConflictError: a folder stands where a file is to be written.
    """
    place = release_folder(tree, release)
    chosen = dialect or detect_dialect(tree)
    warnings: list[str] = []
    modules = _search(tree, release, chosen, warnings, listing)
    if isinstance(chosen, Busybox):
        files = build_busybox_files(modules, chosen, warnings)
    else:
        related = relate_modules(
            modules,
            order=_read(tree, place, b"modules.order"),
            version=chosen.version,
            kernel=kernel,
            report_unknown=report_unknown,
        )
        warnings += related.warnings
        files = build_kmod_files(
            related,
            builtin=_read(tree, place, b"modules.builtin"),
            builtin_modinfo=_read(tree, place, b"modules.builtin.modinfo"),
            version=chosen.version,
            warn=warnings.append,
            report_duplicates=report_duplicates,
        )
    changed = tree.copy()
    for file_name, content in files.items():
        path = join(place, file_name)
        made = File(metadata=Metadata(mode=0o644, mtime=mtime), content=content)
        there = look_up(tree, path)
        if isinstance(chosen, Busybox) and there is not None and isinstance(there.node, File):
            # busybox writes into what is there, by whatever names that goes; kmod puts a new
            # file in its place.
            metadata = evolve(there.node.metadata, mtime=mtime)
            changed.replace(there.path, evolve(made, metadata=metadata))
        else:
            changed.add(path, made)
    return Indexed(tree=changed, files=files, warnings=tuple(warnings))


def find_modules(
    tree: Tree, release: bytes, *, dialect: Dialect | None = None
) -> dict[bytes, FoundModule]:
    """Return the modules of a release that count, by the kernel's names for them.

    Raises:
        MissingPathError: there is no such release.
    """
    release_folder(tree, release)
    found = _search(tree, release, dialect or detect_dialect(tree), [], None)
    return {module.name: module for module in found}


def is_up_to_date(tree: Tree, release: bytes) -> bool:
    """Say whether no module of a release is newer than its modules.dep, by their times."""
    index = tree.get(join(release_folder(tree, release), b"modules.dep"))
    return isinstance(index, File) and all(
        module.node.metadata.mtime <= index.metadata.mtime
        for module in find_modules(tree, release).values()
    )


def _search(
    tree: Tree,
    release: bytes,
    dialect: Dialect,
    warnings: list[str],
    listing: Listing | None,
) -> list[FoundModule]:
    """Return the modules of a release that count, in the order of finding."""
    folder = join(MODULES, release)
    if isinstance(dialect, Busybox):
        return search_as_busybox(tree, folder, dialect, warnings, listing)
    config = read_depmod_config(tree, release, version=dialect.version)
    search = ModuleSearch(tree, folder, config, listing)
    warnings += [*config.warnings, *search.warnings]
    return search.modules()


def _read(tree: Tree, folder: bytes, file_name: bytes) -> bytes | None:
    found = look_up(tree, join(folder, file_name))
    return bytes(found.node.content) if found is not None and isinstance(found.node, File) else None

"""Run depmod over a tree."""

from __future__ import annotations

from attrs import evolve

from purekernel.records import frozen
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
    """The result of a run.

    Attributes:
        tree: the tree with the files.
        files: the content of each file, by name, in the order of writing.
        warnings: what was skipped and why, one line each, in order.
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
        tree: a root file system; it is not changed.
        release: the kernel's release; the name of a folder in ``lib/modules``.
        mtime: the time of new files, in seconds since 1970, UTC.
        dialect: which depmod to follow; ``None`` for the one in the tree.
        kernel: the symbols of the kernel, to warn about symbols with other checksums (kmod only).
        report_unknown: whether to warn about unknown symbols, too, if ``kernel`` is given.
        report_duplicates: whether to warn about duplicate aliases and symbols (kmod only).
        listing: returns the order of names in a folder. The real programs use the order of the
            file system. It decides the order of busybox's lines, and which of two modules of one
            name is used if no other rule decides. ``None`` to sort by bytes.

    Raises:
        MissingPathError: the release is not found.
        ModuleLoopError: modules depend on one another in a cycle.
        LimitError: links between folders lead to too many names.
        ConflictError: a folder exists where a file must be written.
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
        new_file = File(metadata=Metadata(mode=0o644, mtime=mtime), content=content)
        existing = look_up(tree, path)
        if isinstance(chosen, Busybox) and existing is not None and isinstance(existing.node, File):
            # busybox writes into the existing file, through links; kmod replaces it with a new
            # file.
            metadata = evolve(existing.node.metadata, mtime=mtime)
            changed.replace(existing.path, evolve(new_file, metadata=metadata))
        else:
            changed.add(path, new_file)
    return Indexed(tree=changed, files=files, warnings=tuple(warnings))


def find_modules(
    tree: Tree, release: bytes, *, dialect: Dialect | None = None
) -> dict[bytes, FoundModule]:
    """Return the modules of a release that are indexed, by kernel name.

    Raises:
        MissingPathError: the release is not found.
    """
    release_folder(tree, release)
    found = _search(tree, release, dialect or detect_dialect(tree), [], None)
    return {module.name: module for module in found}


def is_up_to_date(tree: Tree, release: bytes) -> bool:
    """Say whether no module of a release is newer than its modules.dep, by mtime."""
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
    """Return the modules of a release that are indexed, in the order of the search."""
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

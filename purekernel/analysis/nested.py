"""Say which files of an archive are archives that belong to it, by where they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from purekernel.formats.booted import CORES, KERNELS
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.tinycore import TCZ
from purekernel.tree import ROOT, Directory, File, Tree
from purekernel.tree.path import join, name

# The folders of extensions: on a disc or partition, and in a root file system.
EXTENSION_FOLDERS = (
    b"cde/optional", b"tce/optional", b"optional", b"tmp/builtin/optional", b"tmp/tce/optional",
)  # fmt: skip

# The files of a Razor bundle.
BUNDLE_ISO, BUNDLE_OVERLAYS = b"Core-current.iso", b"dependencies"

# The members of a Debian package and of a gem. Their readers are slow to import, and rarely met.
FORMAT_MEMBER, CONTROL_STEM, DATA_STEM = b"debian-binary", b"control.tar", b"data.tar"
METADATA, PLAIN_METADATA, DATA = b"metadata.gz", b"metadata", b"data.tar.gz"

# What kernels unpack as an initrd.
INITRD_KINDS = frozenset({
    FileKind.GZIP, FileKind.BZIP2, FileKind.XZ, FileKind.LZMA, FileKind.ZSTD, FileKind.LZ4,
    FileKind.CPIO,
})  # fmt: skip

# Enough to tell any kind, see detect().
_HEAD_BYTES = 33 * 1024

# A folder of outputs has a few files. In one with more, only usual names count.
_MOST_OUTPUTS = 50


def find_nested(tree: Tree, kind: FileKind | None) -> Iterator[bytes]:
    """Yield the paths of the archives in an archive that belong to it, besides its initrds.

    These are the partitions of a disk, the archives of a package, the ISO and the overlays of a
    bundle, and extensions where Tiny Core looks for them.

    Args:
        tree: its files.
        kind: its kind; ``None`` for a folder.
    """
    if kind in (FileKind.DISK, FileKind.QCOW2):
        yield from _files(tree, ROOT)
    elif kind is FileKind.AR and FORMAT_MEMBER in tree:
        for path in _files(tree, ROOT):
            if path.startswith((CONTROL_STEM, DATA_STEM)):
                yield path
    elif kind is FileKind.TAR and is_gem(tree):
        yield from (path for path in _files(tree, ROOT) if path == DATA)
    elif kind in (FileKind.TAR, None):
        yield from _bundle(tree)
    for folder in EXTENSION_FOLDERS:
        for path in _files(tree, folder):
            if path.endswith(TCZ.encode()):
                yield path


def is_gem(tree: Tree) -> bool:
    """Return whether the files of a tar archive are those of a gem."""
    return METADATA in tree or PLAIN_METADATA in tree


def is_root(tree: Tree) -> bool:
    """Return whether a tree looks like a root file system."""
    return b"init" in tree or b"sbin/init" in tree or (b"etc" in tree and b"bin" in tree)


def find_initrds(tree: Tree) -> tuple[bytes, ...]:
    """Return the paths of the initrds of a file system without a boot menu."""
    usual = [path for path in CORES if isinstance(tree.get(path), File)]
    return tuple(usual) or _of_kinds(tree, INITRD_KINDS)


def find_kernel(tree: Tree) -> bytes | None:
    """Return the path of the kernel of a file system without a boot menu; ``None`` without one."""
    usual = [path for path in KERNELS if isinstance(tree.get(path), File)]
    return next(iter(usual or _of_kinds(tree, frozenset({FileKind.BZIMAGE}))), None)


def _of_kinds(tree: Tree, kinds: frozenset[FileKind]) -> tuple[bytes, ...]:
    """Return the files of some kinds beside a kernel, in a folder that has outputs alone."""
    found: Sequence[bytes] = list(_files(tree, ROOT))
    if is_root(tree) or len(found) > _MOST_OUTPUTS:
        return ()
    heads = {path: _kind(tree, path) for path in found}
    if FileKind.BZIMAGE not in heads.values():
        return ()
    return tuple(path for path, kind in heads.items() if kind in kinds)


def _kind(tree: Tree, path: bytes) -> FileKind:
    node = tree[path]
    assert isinstance(node, File)  # noqa: S101  # of the caller
    return detect(node.part(0, _HEAD_BYTES))


def _bundle(tree: Tree) -> Iterator[bytes]:
    """Yield the ISO and the overlays of a bundle, which may be below one folder."""
    entries = tree.entries(ROOT)
    tops = (ROOT, entries[0]) if len(entries) == 1 else (ROOT,)
    for top in tops:
        iso = join(top, BUNDLE_ISO)
        if isinstance(tree.get(iso), File):
            yield iso
            for path in _files(tree, join(top, BUNDLE_OVERLAYS)):
                if b".tar" in name(path) or name(path).endswith(b".tgz"):
                    yield path


def _files(tree: Tree, folder: bytes) -> Iterator[bytes]:
    if isinstance(tree.get(folder), Directory):
        for entry in tree.entries(folder):
            path = join(folder, entry)
            if isinstance(tree[path], File):
                yield path

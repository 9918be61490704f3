"""Root file systems on their way through a whole build, for machines to boot."""

from __future__ import annotations

import gzip
from pathlib import Path

from fixtures.bundle import make_bundle
from purekernel import Emit, write_image
from purekernel.formats.core_iso import parse_base
from purekernel.formats.tar import build_tar
from purekernel.tree import File, Metadata, Tree
from tests.builds import make_image
from tests.shared import core_iso


def core_root() -> Tree:
    """Return the root file system of the shared Core 4.4."""
    return parse_base(core_iso().read_bytes(), source="Core-current.iso").root


def build(root: Tree, folder: Path, *, kernel_line: str) -> list[str | Path]:
    """Build an image whose root file system is ``root``; return what tells QEMU to boot it.

    The kernel and the core are loaded by QEMU itself: how the menu does it is the business of
    other tests.
    """
    bundle, overlay = folder / "bundle.tar.gz", folder / "root.tar"
    bundle.write_bytes(make_bundle(iso=core_iso().read_bytes(), pack=gzip.compress))
    overlay.write_bytes(build_tar(root))
    image = make_image(bundle, overlays=overlay, keep_owners=True, iso_version="1")
    write_image(image, folder, kinds=[Emit.CORE])
    return [
        "-kernel", folder / "vmlinuz", "-initrd", folder / "core.gz", "-append", kernel_line,
    ]  # fmt: skip


def put(root: Tree, path: bytes, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file of root's."""
    root.add_parents(path)
    root.add(path, File(metadata=Metadata(mode=mode), content=content))

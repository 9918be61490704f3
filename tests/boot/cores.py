"""Build whole images from root file systems, for QEMU to boot."""

from __future__ import annotations

import gzip
from pathlib import Path

from fixtures.bundle import make_bundle
from fixtures.core_iso import make_core_iso
from purekernel import Emit, write_image
from purekernel.formats.core_iso import parse_base
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.tree import File, Metadata, Tree
from tests.builds import make_image
from tests.shared import core_iso, modern


def core_4_4() -> bytes:
    """Return the shared ISO of Core 4.4, for x86."""
    return core_iso().read_bytes()


def core_6_4_1() -> bytes:
    """Return an ISO with the kernel and the core of the shared CorePure64 6.4.1, for x86_64.

    Its boot sector is the sample's, which does not load a kernel.
    """
    folder = modern() / "roots" / "6.4.1"
    core, kernel = folder / "rootfs64.gz", folder / "vmlinuz64"
    return make_core_iso(core=core.read_bytes(), kernel=kernel.read_bytes())


def core_root(iso: bytes | None = None) -> Tree:
    """Return the root file system of an ISO, by default the shared Core 4.4."""
    return parse_base(Input(core_4_4() if iso is None else iso, name="Core-current.iso")).root


def build(
    root: Tree, folder: Path, *, kernel_line: str, iso: bytes | None = None
) -> list[str | Path]:
    """Build an image whose root file system is ``root``; return the QEMU arguments that boot it.

    The kernel is that of ``iso``, by default the shared Core 4.4. QEMU loads the kernel and the
    core directly; other tests boot through the menu.
    """
    bundle, overlay = folder / "bundle.tar.gz", folder / "root.tar"
    bundle.write_bytes(make_bundle(iso=core_4_4() if iso is None else iso, pack=gzip.compress))
    overlay.write_bytes(build_tar(root))
    image = make_image(bundle, overlays=overlay, keep_owners=True, iso_version="1")
    write_image(image, folder, kinds=[Emit.CORE])
    return [
        "-kernel", folder / "vmlinuz", "-initrd", folder / "core.gz", "-append", kernel_line,
    ]  # fmt: skip


def put(root: Tree, path: bytes, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file owned by root."""
    root.add_parents(path)
    root.add(path, File(metadata=Metadata(mode=mode), content=content))

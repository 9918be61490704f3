"""Write the bundle that benchmarks build from: real extensions over the shared Core 4.4."""

from __future__ import annotations

import gzip
import os
import sys
from functools import partial
from pathlib import Path

from fixtures.bundle import make_bundle
from purekernel.tree import Directory, File, Metadata, Tree

EXTENSIONS_BYTES = 25_000_000


def make_benchmark_bundle(path: Path) -> int:
    """Write a bundle over the shared Core 4.4; return how many bytes its extensions have.

    All shared extensions are in the mirror that the image carries, and as many of them once
    more among its builtins as make 25 MB, as real bundles repeat theirs.
    """
    shared = Path(os.environ.get("PUREKERNEL_SHARED", "../shared/mirror")) / "tinycorelinux/4.x/x86"
    if not shared.is_dir():
        sys.exit(f"no shared mirror at {shared}")
    extensions = sorted((shared / "tcz").glob("*.tcz"), key=lambda found: found.name)
    folders = {"tmp/tinycorelinux/4.x/x86/tcz": extensions, "tmp/builtin/optional": []}
    total = sum(extension.stat().st_size for extension in extensions)
    for extension in extensions:
        if total + extension.stat().st_size <= EXTENSIONS_BYTES * 1.04:
            folders["tmp/builtin/optional"].append(extension)
            total += extension.stat().st_size
    overlay = Tree()
    for folder, found in folders.items():
        path_in_image = folder.encode()
        overlay.add_parents(path_in_image)
        overlay.add(path_in_image, Directory(metadata=Metadata(mode=0o755)))
        for extension in found:
            overlay.add(
                path_in_image + b"/" + extension.name.encode(),
                File(metadata=Metadata(mode=0o644), content=extension.read_bytes()),
            )
    bundle = make_bundle(
        iso=(shared / "release" / "Core-current.iso").read_bytes(),
        overlay_extra=overlay,
        pack=partial(gzip.compress, compresslevel=6, mtime=0),
    )
    path.write_bytes(bundle)
    return total


if __name__ == "__main__":
    print(make_benchmark_bundle(Path(sys.argv[1])))

"""Build the recipes in ``examples/`` on stand-ins for a mirror, and list what they change.

The root file system and the kernel are real ones, of Tiny Core 6.4.1 for x86_64. The extensions are
stand-ins: each has a program of its name, and what the recipes edit or start. ``python -m
tests.examples`` writes the listings, which a test compares.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from attrs import evolve

from fixtures.compress import gzip
from fixtures.core_iso import make_core_iso
from fixtures.planting import Planting
from purekernel import Context, Effort, Image, Outputs, build, load_recipe
from purekernel.encode.blocks import DEFLATERS
from purekernel.formats.cpio import build_cpio, parse_cpio
from purekernel.formats.squashfs import build_squashfs
from purekernel.formats.squashfs.codecs import GZIP, Codec
from purekernel.input import Input
from purekernel.recipe.base import Mirrors
from purekernel.recipe.model import Recipe
from purekernel.tree import Directory, File, Node, Symlink, Tree
from tests import shared
from tests.executors import AtOnce
from tests.kernel_modules import make_module
from tests.processes import ROOT

FOLDER = ROOT / "examples"
LISTING = "tree.txt"
RELEASE = "3.16.6-tinycore64"
SERIES = Path("15.x", "x86_64")

# The time of the images: that of a checked-out file must not count.
TIME = 1_700_000_000

MENU = b"""\
default tc
label tc
\tkernel /boot/vmlinuz64
\tappend initrd=/boot/corepure64.gz quiet cde
timeout 300
"""

# What the recipes edit or start of some extensions, besides a program.
CONTENTS = {
    "lighttpd": {"usr/local/etc/init.d/lighttpd": b"#!/bin/sh\n"},
    "nginx": {"usr/local/etc/init.d/nginx": b"#!/bin/sh\n"},
    "openssh": {
        "usr/local/etc/init.d/openssh": b"#!/bin/sh\n",
        "usr/local/etc/ssh/sshd_config": b"Port 22\n#PermitRootLogin prohibit-password\n",
    },
    "php-8.2-cgi": {"usr/local/etc/php.ini": b"upload_max_filesize = 2M\nexpose_php = On\n"},
    "python3.9": {"usr/local/lib/libpython3.9.a": b"!<arch>\n"},
    "bash": {"usr/local/share/doc/bash/README": b"bash\n"},
}


def names() -> list[str]:
    """Return the names of the examples."""
    return sorted(path.parent.name for path in FOLDER.glob("*/purekernel.toml"))


def list_changes(name: str, top: Path) -> str:
    """Return the listing of an example: how its root file system differs from that of the base.

    Args:
        name: the name of the example.
        top: a folder for the mirror and the store.
    """
    recipe = load_recipe(FOLDER / name)
    release = top / SERIES / "release"
    if not release.exists():
        _write_release(release)
    _write_extensions(top / SERIES / "tcz", recipe)
    recipe = evolve(recipe, mirrors=Mirrors(tinycore=(str(top),)))
    context = Context(cache_dir=top / "store", no_lock=True, jobs=1, timestamp=TIME)
    image = build(recipe, context, Outputs(kinds=["core"], effort=Effort.FAST, nested=False))
    return "".join(f"{line}\n" for line in _listing(image))


def _listing(image: Image) -> Iterator[str]:
    old, new = _real_root(), image.root
    for path in sorted({path for tree in (old, new) for path, _node in tree.walk()}):
        was, now = old.get(path), new.get(path)
        if now is None:
            yield f"- /{path.decode()}"
        elif was is None or _describe(path, was) != _describe(path, now):
            yield f"{'+' if was is None else '~'} {_describe(path, now)} /{path.decode()}"
    for path, node in image.iso.walk(b"cde") if b"cde" in image.iso else ():
        if isinstance(node, File):
            yield f"disc {path.decode()}"


def _describe(path: bytes, node: Node) -> str:
    """Return kind, mode and owner of a node, and its content in a few digits of its SHA-256."""
    owner = f"{node.metadata.mode:04o} {node.metadata.uid}:{node.metadata.gid}"
    if isinstance(node, Symlink):
        return f"link {owner} {node.target.decode()}"
    if isinstance(node, Directory):
        return f"folder {owner}"
    if not isinstance(node, File):
        return f"device {owner}"
    if b".tcz" in path:  # a compressor decides its bytes
        return f"file {owner}"
    return f"file {owner} {hashlib.sha256(node.content).hexdigest()[:12]}"


def _real(name: str) -> bytes:
    return (shared.modern() / "roots" / "6.4.1" / name).read_bytes()


@cache
def _real_root() -> Tree:
    return parse_cpio(Input(zlib.decompress(_real("rootfs64.gz"), wbits=31), name="rootfs64.gz"))


def _write_release(release: Path) -> None:
    """Write ISOs, and the files that they are made of, as in the folder of a release."""
    core, kernel = _real("rootfs64.gz"), _real("vmlinuz64")
    modules = Planting()
    modules.file(f"lib/modules/{RELEASE}/kernel/fs/sample.ko".encode(), make_module())
    plain, with_cde = (
        make_core_iso(
            core=core,
            kernel=kernel,
            menu=MENU,
            core_path=b"boot/corepure64.gz",
            kernel_path=b"boot/vmlinuz64",
            beside_boot=beside,
        )
        for beside in (None, {b"cde/onboot.lst": b"", b"cde/optional/README": b"extensions\n"})
    )
    files = {
        "CorePure64-current.iso": plain,
        "TinyCorePure64-current.iso": with_cde,
        "distribution_files/vmlinuz64": kernel,
        "distribution_files/corepure64.gz": core,
        "distribution_files/rootfs64.gz": core,
        "distribution_files/modules64.gz": gzip(build_cpio(modules.tree)),
    }
    for name, content in files.items():
        _write(release / name, content)


def _write_extensions(folder: Path, recipe: Recipe) -> None:
    chosen = recipe.extensions
    for listed in (chosen.builtin, chosen.mirror, chosen.merged, chosen.cde, chosen.tce):
        for named in listed or ():
            name = named.name.removesuffix(".tcz").replace("KERNEL", RELEASE)
            planting = Planting()
            planting.file(f"usr/local/bin/{name}".encode(), b"#!/bin/sh\n", 0o755)
            if named.name != f"{name}.tcz":
                path = f"usr/local/lib/modules/{RELEASE}/kernel/{name}.ko"
                planting.file(path.encode(), make_module())
            for path, content in CONTENTS.get(name, {}).items():
                planting.file(path.encode(), content, 0o755 if "init.d" in path else 0o644)
            codec = Codec(compression=GZIP, pack=DEFLATERS[Effort.FAST])
            data = build_squashfs(planting.tree, codec=codec, executor=AtOnce())
            _write(folder / f"{name}.tcz", data)


def _write(path: Path, content: bytes) -> None:
    """Write a file of a mirror, with its MD5 beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    digest = hashlib.md5(content).hexdigest()  # as mirrors have it
    path.with_name(f"{path.name}.md5.txt").write_text(f"{digest}  {path.name}\n")


def main() -> int:
    """Write the listings."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names():
            text = list_changes(name, Path(folder))
            (FOLDER / name / LISTING).write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

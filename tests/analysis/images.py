"""Make small root file systems and extensions for the checks of images."""

from __future__ import annotations

from collections.abc import Mapping

from purekernel.analysis.findings import Finding
from purekernel.analysis.system import Subject
from purekernel.encode.blocks import DEFLATERS
from purekernel.encode.encoders import Effort
from purekernel.formats.elf.layout import EM_386, ET_EXEC
from purekernel.formats.squashfs import build_squashfs
from purekernel.formats.squashfs.codecs import GZIP, Codec
from purekernel.tree import File, Metadata, Symlink, Tree
from tests.elves import make_library
from tests.executors import AtOnce

LOADER = b"/lib/ld-linux.so.2"

LIBC = make_library(
    b"libc.so.6",
    machine=EM_386,
    bits=32,
    versions=[b"libc.so.6", b"GLIBC_2.0", b"GLIBC_2.9", b"GLIBC_2.13", b"GLIBC_PRIVATE"],
)
PLAIN_PROGRAM = make_library(
    None, b"libc.so.6", machine=EM_386, bits=32, kind=ET_EXEC, interpreter=LOADER
)


def program(*needed: bytes, **options: object) -> bytes:
    """Return a program for x86 that needs libraries."""
    settings: dict[str, object] = {
        "machine": EM_386, "bits": 32, "kind": ET_EXEC, "interpreter": LOADER, **options,
    }  # fmt: skip
    return make_library(None, *needed, **settings)  # type: ignore[arg-type]


def library(soname: bytes, *needed: bytes, **options: object) -> bytes:
    """Return a library for x86."""
    settings: dict[str, object] = {"machine": EM_386, "bits": 32, **options}
    return make_library(soname, *needed, **settings)  # type: ignore[arg-type]


def tree_of(files: Mapping[str, bytes], *, mode: int = 0o755) -> Tree:
    """Return a tree of files; content that begins with ``->`` is a symbolic link's target."""
    tree = Tree()
    for path, content in files.items():
        put(tree, path, content, mode=mode)
    return tree


def put(tree: Tree, path: str, content: bytes, *, mode: int = 0o755) -> None:
    tree.add_parents(path.encode())
    if content.startswith(b"->"):
        link = Symlink(metadata=Metadata(mode=0o777), target=content[2:])
        tree.add(path.encode(), link)
    else:
        tree.add(path.encode(), File(metadata=Metadata(mode=mode), content=content))


def core() -> Tree:
    """Return a root file system for x86 with glibc 2.13 and busybox."""
    return tree_of(
        {
            "lib/ld-linux.so.2": library(b"ld-linux.so.2"),
            "lib/libc.so.6": LIBC,
            "bin/busybox": PLAIN_PROGRAM,
            "bin/sh": b"->busybox",
            "usr/bin/env": b"->../../bin/busybox",
            "etc/ld.so.conf": b"/usr/local/lib\n",
        }
    )


def pack(tree: Tree) -> bytes:
    """Return an extension with the files of ``tree``."""
    codec = Codec(compression=GZIP, pack=DEFLATERS[Effort.FAST])
    return build_squashfs(tree, codec=codec, executor=AtOnce())


def image(
    added: Mapping[str, bytes] | None = None,
    *,
    builtin: Mapping[str, Tree] | None = None,
    mirror: Mapping[str, Tree] | None = None,
    needs: Mapping[str, tuple[str, ...]] | None = None,
    stock: Tree | None = None,
    **more: object,
) -> Subject:
    """Return an image of a core with added files, and extensions by name."""
    stock = core() if stock is None else stock
    root = stock.copy()
    for path, content in (added or {}).items():
        put(root, path, content)
    for folder, extensions in (
        ("tmp/builtin/optional", builtin or {}),
        ("tmp/tinycorelinux/4.x/x86/tcz", mirror or {}),
    ):
        for name, tree in extensions.items():
            put(root, f"{folder}/{name}", pack(tree))
            if name in (needs or {}):
                listed = "".join(f"{each}\n" for each in (needs or {})[name])
                put(root, f"{folder}/{name}.dep", listed.encode())
    if builtin:
        put(root, "tmp/builtin/onboot.lst", "".join(f"{name}\n" for name in builtin).encode())
    return Subject(root=root, stock_root=stock, **more)  # type: ignore[arg-type]


def brief(findings: tuple[Finding, ...]) -> list[tuple[str, str, str, str]]:
    """Return code, owner, path and subject of each finding."""
    return [(each.code, each.owner.name, each.path.decode(), each.subject) for each in findings]

"""Make trees for ldconfig, and run the ldconfig of glibc on them to compare with."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from purekernel.formats.elf.layout import EM_386, EM_IA_64, EM_S390
from purekernel.formats.ld_cache import CacheFormat
from purekernel.tree import Directory, File, Metadata, Symlink, Tree
from tests.elves import make_library
from tests.oracles import require, skip_or_fail


def make_tree(files: dict[str, bytes | str]) -> Tree:
    """Return a tree; bytes are a file's content, text is a link's target."""
    tree = Tree()
    for name, content in files.items():
        path = name.encode()
        tree.add_parents(path)
        if isinstance(content, bytes):
            tree.add(path, File(metadata=Metadata(mode=0o644), content=content))
        else:
            tree.add(path, Symlink(metadata=Metadata(mode=0o777), target=content.encode()))
    return tree


def links(tree: Tree) -> dict[bytes, bytes]:
    return {path: node.target for path, node in tree.walk() if isinstance(node, Symlink)}


def cache_bytes(tree: Tree) -> bytes:
    node = tree[b"etc/ld.so.cache"]
    assert isinstance(node, File)
    return bytes(node.content)


def command_for(program: Path, architecture: str) -> list[str]:
    """Return the command that runs a static ldconfig of ``amd64``, ``i386`` or ``arm64``."""
    if os.geteuid() != 0:
        skip_or_fail("ldconfig -r needs root")
    # An x86-64 kernel runs i386 programs directly.
    return [require("qemu-aarch64-static")] * (architecture == "arm64") + [str(program)]


def run_judge(command: Sequence[str], root: Path, form: CacheFormat) -> bytes:
    """Run glibc's ldconfig on a root; return its cache, and delete its auxiliary cache."""
    (root / "etc/ld.so.cache").unlink(missing_ok=True)
    done = subprocess.run(
        [*command, "-i", "-r", str(root), "-c", form.value],
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(root / "var/cache/ldconfig", ignore_errors=True)
    return (root / "etc/ld.so.cache").read_bytes()


def lay_down(root: Path, target: Path, *, links: bool) -> None:
    """Make a copy of a root for glibc's ldconfig to change.

    ldconfig deletes and renames files, but does not write into existing files. The copy can
    therefore use hard links.

    Args:
        root: the folder to copy; it does not change.
        target: the new folder, which must not exist.
        links: whether to keep the links between libraries.
    """

    def leave_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if ".so." in name and Path(folder, name).is_symlink()]

    shutil.copytree(
        root,
        target,
        symlinks=True,
        copy_function=link_or_copy,
        ignore=None if links else leave_out,
    )


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)


def load(root: Path) -> Tree:
    """Return a folder as a tree that maps its files without reading them."""
    tree = Tree()
    for folder, folders, files in os.walk(os.fsencode(root)):
        above = os.path.relpath(folder, os.fsencode(root))
        for name in folders + files:
            here = os.path.join(folder, name)  # noqa: PTH118  # names are bytes
            path = os.path.normpath(os.path.join(above, name))  # noqa: PTH118
            if os.path.islink(here):  # noqa: PTH114
                tree.add(path, Symlink(metadata=Metadata(mode=0o777), target=os.readlink(here)))  # noqa: PTH115
            elif name in folders:
                tree.add(path, Directory(metadata=Metadata(mode=0o755)))
            else:
                tree.add(path, File(metadata=Metadata(mode=0o644), content=mapped(here)))
    return tree


def mapped(path: bytes) -> memoryview | bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        if not os.fstat(file.fileno()).st_size:
            return b""
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


def hard_tree() -> Tree:
    """Return a tree for each rule of ldconfig, without folders for old hardware."""
    i386 = {"machine": EM_386, "bits": 32}
    return make_tree(
        {
            "etc/ld.so.conf": b"# a comment\n\n  /opt/a  # and another\n/opt/b/\n/opt/none\n"
            b"include /etc/ld.so.conf.d/*.conf  /etc/more\nhwcap 1 nosegneg\n/opt/old=libc5\n"
            b"/opt/what = libc9\n/opt/a/../a\n/opt/same\n/etc/ld.so.conf\n",
            "etc/ld.so.conf.d/b.conf": b"/opt/c\n",
            "etc/ld.so.conf.d/a.conf": b"/opt/d\ninclude sub/x.conf\n",
            "etc/ld.so.conf.d/sub/x.conf": b"\t/opt/e\t\n",
            "etc/ld.so.conf.d/.hidden.conf": b"/opt/hidden\n",
            "etc/more": b"/opt/f/glibc-hwcaps/..\n",
            "opt/hidden/libhidden.so.1": make_library(b"libhidden.so.1"),
            "opt/same": "a",
            # Several versions, of which ldconfig uses the highest.
            "opt/a/libv.so.1.9": make_library(b"libv.so.1"),
            "opt/a/libv.so.1.10": make_library(b"libv.so.1"),
            "opt/a/libv.so.1.10a": make_library(b"libv.so.1"),
            "opt/a/libv.so.1": "libv.so.1.9",
            "opt/a/libv.so": "libv.so.1",
            "opt/a/libw.so.2.0": make_library(b"libw.so.2"),
            "opt/a/libw.so": "libw.so.2.0",
            "opt/a/libfile.so.1": make_library(b"libfile.so.1"),
            "opt/a/libfile.so.1.2": make_library(b"libfile.so.1"),
            "opt/a/libnone.so.3.1": make_library(None),
            "opt/a/libdirect.so.5": "libother-name.so",
            "opt/a/libother-name.so": make_library(b"libother.so.0"),
            # Links to missing files, out of the root, and in cycles.
            "opt/a/libstale.so.1": "libgone.so",
            "opt/a/libstale.so": "libgone.so",
            "opt/a/libloop.so.1": "libloop.so.1",
            "opt/a/libout.so.1": "../b/libout.so.1.1",
            "opt/b/libout.so.1.1": make_library(b"libout.so.1"),
            "opt/a/libfolder.so.1": "../b",
            "opt/a/libdir.so.1/x": b"",
            # Files that are not libraries.
            "opt/a/libempty.so": b"",
            "opt/a/libtiny.so": b"\x7fELF",
            "opt/a/libshort.so": b"short",
            "opt/a/libtext.so": b"just some text, which is long enough to be a header or two" * 2,
            "opt/a/libscript.so": b"/* GNU ld script */\nGROUP ( /lib/libc.so.6 )\n" + b" " * 64,
            "opt/a/libfoo.so.1-gdb.py": b"import gdb\n" + b"#" * 100,
            "opt/a/libobject.so": make_library(kind=1),
            "opt/a/libcut.so.1": make_library(b"libcut.so.1")[:130],
            "opt/a/libforeign.so": make_library(b"libforeign.so", machine=EM_S390),
            "opt/a/libbig.so": make_library(b"libbig.so", byte_order="big"),
            "opt/a/libaout.so.4.5.6": b"\x0b\x01\x64\x00" + bytes(100),
            "opt/a/notalib.so": make_library(b"notalib.so"),
            "opt/a/libpre.so.1.#prelink#": make_library(b"libpre.so.1"),
            "opt/a/libpre.so.1.#prelink#.Abcdef": make_library(b"libpre.so.1"),
            "opt/a/ld.so.9": make_library(b"ld.so.9"),
            "opt/a/ld64.so.9": make_library(None),
            # Kinds: x86-64, x32, i386 with and without a C library, by loader, by folder.
            "opt/b/libx32.so.1": make_library(b"libx32.so.1", bits=32),
            "opt/b/libplain.so.1": make_library(b"libplain.so.1", **i386),
            "opt/b/libwith.so.1": make_library(b"libwith.so.1", b"libc.so.6", **i386),
            "opt/b/libprogram.so.1": make_library(
                b"libprogram.so.1", interpreter=b"/lib/ld-linux.so.2", **i386
            ),
            "opt/old/libold.so.1": make_library(b"libold.so.1", **i386),
            # The same name in many folders, a name of two kinds, and names with odd bytes.
            "opt/c/libv.so.1": make_library(b"libv.so.1"),
            "opt/d/libv.so.1": make_library(b"libv.so.1", b"libc.so.6", **i386),
            "opt/e/libv.so.1": make_library(b"libv.so.1", bits=32),
            "opt/e/lib1.so.0": make_library(b"lib1.so.0"),
            "opt/e/lib01.so.1": make_library(b"lib01.so.1"),
            "opt/e/libé.so.1": make_library("libé.so.1".encode()),
            "opt/e/lib20231115123456.so.1": make_library(b"lib20231115123456.so.1"),
            "opt/e/libsuffix.so": make_library(b"so.1"),
            "opt/e/libempty-name.so": make_library(b""),
            # glibc-hwcaps: used, unused, hidden, linked.
            "opt/f/glibc-hwcaps/x86-64-v3/libh.so.1.2": make_library(b"libh.so.1", isa_needed=7),
            "opt/f/glibc-hwcaps/x86-64-v2/libh.so.1.1": make_library(b"libh.so.1", isa_needed=3),
            "opt/f/glibc-hwcaps/x86-64-v2/other": "libh.so.1.1",
            "opt/f/glibc-hwcaps/empty/x": b"",
            "opt/f/glibc-hwcaps/.hidden/libh.so.1": make_library(b"libh.so.1"),
            "opt/f/glibc-hwcaps/co:lon/libh.so.1": make_library(b"libh.so.1"),
            "opt/f/glibc-hwcaps/linked": "../elsewhere",
            "opt/f/elsewhere/libh.so.1.3": make_library(b"libh.so.1"),
            "opt/f/libh.so.1": make_library(b"libh.so.1"),
            "usr/lib/libz.so.1.2": make_library(b"libz.so.1"),
            "lib": "usr/lib",
        }
    )


def release_tree() -> Tree:
    """Return :func:`hard_tree`, and files for which releases of glibc have different rules."""
    tree = hard_tree()
    i386 = {"machine": EM_386, "bits": 32}
    conf = tree[b"etc/ld.so.conf"]
    assert isinstance(conf, File)
    lines = bytes(conf.content) + b"hwcap 0x2 foo\n/\n"
    tree.add(b"etc/ld.so.conf", File(metadata=conf.metadata, content=lines))
    # A link cannot have an empty name, and glibc 2.13 creates no such link.
    tree.remove(b"opt/e/libempty-name.so")
    hardware = (
        "tls i386 i586 i686 i686/sse2 i686/nosegneg tls/i686 haswell/x86_64 sse2 nosegneg foo "
        "avx512_1 xeon_phi"
    )
    added: dict[str, bytes] = {
        # Temporary files.
        "opt/a/libnew.so.1.2.dpkg-new": make_library(b"libnew.so.1"),
        "opt/a/libtmp.so.1.2.dpkg-tmp": make_library(b"libtmp.so.1"),
        "opt/a/librpm.so.1;5d1b2c": make_library(b"librpm.so.1"),
        # The Linux release that a library needs.
        "opt/a/libos.so.1.0": make_library(b"libos.so.1", os_version=(2, 6, 32)),
        "opt/b/libos.so.1.0": make_library(b"libos.so.1", os_version=(3, 2, 0)),
        "opt/c/libos.so.1.0": make_library(b"libos.so.1"),
        # Other machines, strings in a separate segment, a folder with an equals sign.
        "opt/a/libia64.so": make_library(b"libia64.so", machine=EM_IA_64),
        "opt/a/libpower.so": make_library(b"libpower.so", machine=20, bits=32),
        "opt/a/libapart.so.1.0": make_library(b"libapart.so.1", apart_bytes=0x1000),
        "opt/old=libc5/libequals.so.1": make_library(b"libequals.so.1", **i386),
        "opt/e/libo.so.1": make_library(b"libo.so.1", b"libc.so.6", **i386),
        "libroot.so.1": make_library(b"libroot.so.1"),
    } | {
        f"opt/e/{folder}/libo.so.1": make_library(b"libo.so.1", **i386)
        for folder in hardware.split()
    }
    for name, content in added.items():
        path = name.encode()
        tree.add_parents(path)
        tree.add(path, File(metadata=Metadata(mode=0o644), content=content))
    tree.add(b"opt/a/libfolderlink.so.1", Symlink(metadata=Metadata(mode=0o777), target=b"../b"))
    return tree


def with_libc(tree: Tree, banner: bytes, *, machine: int, bits: int) -> Tree:
    """Return ``tree`` with a C library that names its release."""
    changed = tree.copy()
    content = make_library(b"libc.so.6", machine=machine, bits=bits) + banner
    changed.add(b"usr/lib/libc.so.6", File(metadata=Metadata(mode=0o644), content=content))
    return changed

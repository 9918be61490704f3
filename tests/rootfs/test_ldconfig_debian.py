"""Whole Debian roots, each held against the ldconfig of its own processor."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from purekernel.formats.ld_cache import CacheFormat, parse_ld_cache
from purekernel.rootfs.ldconfig import ARCHITECTURES, Configured, ldconfig
from purekernel.tree import Directory, File, Metadata, Symlink, Tree
from tests import debian
from tests.oracles import require, skip_or_fail

NOW = 1_500_000_000

# Debian's name of the processor, and ours.
PROCESSORS = {"amd64": "x86_64", "i386": "i386", "arm64": "aarch64"}


def judge_command(architecture: str) -> list[str]:
    """Return the real ldconfig of a processor; those of others come with the root."""
    if os.geteuid() != 0:
        skip_or_fail("ldconfig -r needs root")
    if architecture == "amd64":
        return [require("ldconfig")]
    # It is linked statically: an x86-64 kernel runs that of i386 as it is.
    own = str(debian.libraries(architecture) / "sbin/ldconfig")
    return [require("qemu-aarch64-static"), own] if architecture == "arm64" else [own]


def lay_down(root: Path, target: Path, *, links: bool) -> None:
    """Make a copy of a root for the judge to change.

    ldconfig removes and renames, and writes into no file that was there: files are hard
    links where they can be.

    Args:
        root: stays as it is.
        target: is not there yet.
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
    """Return a folder as a tree that maps its files, and reads none."""
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


def judge(architecture: str, root: Path, form: CacheFormat) -> bytes:
    """Run the real ldconfig on a root; return its cache, and take its own state away."""
    (root / "etc/ld.so.cache").unlink(missing_ok=True)
    done = subprocess.run(
        [*judge_command(architecture), "-i", "-r", str(root), "-c", form.value],
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(root / "var", ignore_errors=True)
    return (root / "etc/ld.so.cache").read_bytes()


def links(tree: Tree) -> dict[bytes, bytes]:
    return {path: node.target for path, node in tree.walk() if isinstance(node, Symlink)}


def ours(architecture: str, tree: Tree, form: CacheFormat, cache: bytes) -> Configured:
    return ldconfig(
        tree,
        mtime=NOW,
        architecture=ARCHITECTURES[PROCESSORS[architecture]],
        format=form,
        # The old format has no place for it.
        generator=parse_ld_cache(cache, source="the judge's").generator,
    )


def cache_bytes(done: Configured) -> bytes:
    node = done.tree[b"etc/ld.so.cache"]
    assert isinstance(node, File)
    return bytes(node.content)


@pytest.mark.oracle
@pytest.mark.parametrize("architecture", PROCESSORS)
def test_a_debians_cache_is_the_same_in_all_formats(tmp_path: Path, architecture: str) -> None:
    root = tmp_path / "root"
    lay_down(debian.libraries(architecture), root, links=True)
    before = load(root)
    assert not before.get(b"var")
    for form in CacheFormat:
        cache = judge(architecture, root, form)
        done = ours(architecture, before, form, cache)
        assert cache_bytes(done) == cache
        assert len(done.entries) > 130
    assert links(done.tree) == links(load(root))


@pytest.mark.oracle
@pytest.mark.parametrize("architecture", PROCESSORS)
def test_a_debian_whose_links_are_lost_gets_the_same_ones_back(
    tmp_path: Path, architecture: str
) -> None:
    root = tmp_path / "root"
    lay_down(debian.libraries(architecture), root, links=False)
    before = load(root)
    cache = judge(architecture, root, CacheFormat.NEW)
    done = ours(architecture, before, CacheFormat.NEW, cache)
    made = links(load(root))
    assert len(made.keys() - links(before).keys()) > 100
    assert links(done.tree) == made
    assert cache_bytes(done) == cache
    # All is found by itself, too: the processor, and who signs the cache.
    alone = ldconfig(before, mtime=NOW)
    assert cache_bytes(alone) == cache
    assert links(alone.tree) == made

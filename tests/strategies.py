"""Define Hypothesis strategies for image trees."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Metadata,
    Node,
    Symlink,
    Tree,
)
from purekernel.tree.path import join

# Make each strategy once. Making one inspects the signature of what it builds, which took three
# quarters of the time when each node had its own strategy.

# These are not valid as file names in Linux or in cpio. (Hypothesis finds the latter in
# purekernel's source.)
RESERVED = (b".", b"..", b"TRAILER!!!")


@cache
def names(*, utf8: bool = False) -> st.SearchStrategy[bytes]:
    """Return names of one component: any bytes that Linux allows, or only valid UTF-8."""
    if utf8:
        text = st.text(
            st.characters(exclude_characters="/\0", exclude_categories=("Cs",)),
            min_size=1,
            max_size=20,
        )
        return text.map(str.encode).filter(lambda name: name not in RESERVED)
    return st.binary(min_size=1, max_size=30).filter(
        lambda name: b"/" not in name and b"\0" not in name and name not in RESERVED
    )


@cache
def metadata() -> st.SearchStrategy[Metadata]:
    """Return any permission bits, and owners and times that every format can store."""
    return st.builds(
        Metadata,
        mode=st.integers(0, 0o7777),
        uid=st.one_of(st.sampled_from([0, 50, 1001]), st.integers(0, 0xFFFFFFFE)),
        gid=st.one_of(st.sampled_from([0, 50, 1001]), st.integers(0, 0xFFFFFFFE)),
        mtime=st.integers(0, 0x7FFFFFFF),
    )


@cache
def leaves(*, utf8: bool = False, devices: bool = True) -> st.SearchStrategy[Node]:
    """Return any node that is not a folder."""
    files = st.builds(File, metadata=metadata(), content=st.binary(max_size=300))
    links = st.builds(
        Symlink,
        metadata=st.builds(Metadata, mode=st.just(0o777), mtime=st.integers(0, 0x7FFFFFFF)),
        target=st.lists(names(utf8=utf8), min_size=1, max_size=3).map(b"/".join),
    )
    if not devices:
        return st.one_of(files, links)
    nodes = st.builds(
        Device,
        metadata=metadata(),
        kind=st.sampled_from(DeviceKind),
        major=st.integers(0, 0xFFF),
        minor=st.integers(0, 0xFFFFF),
    )
    return st.one_of(files, links, nodes, st.builds(Fifo, metadata=metadata()))


SIZES = st.integers(0, 12)
KINDS = st.sampled_from(["folder", "leaf", "leaf", "link"])


@st.composite
def trees(
    draw: st.DrawFn,
    *,
    utf8: bool = False,
    devices: bool = True,
    hard_links: bool = True,
    any_links: bool = False,
) -> Tree:
    """Return trees of up to a dozen names, nested, with hard links among them.

    The hard links lead to files only; with ``any_links``, to devices and fifos too.
    """
    tree = Tree(Directory(metadata=draw(metadata())))
    folders = [b""]
    files: list[bytes] = []
    for _ in range(draw(SIZES)):
        path = join(draw(st.sampled_from(folders)), draw(names(utf8=utf8)))
        if path in tree:
            continue
        kind = draw(KINDS)
        if kind == "folder":
            tree.add(path, Directory(metadata=draw(metadata())))
            folders.append(path)
        elif kind == "link" and files and hard_links:
            tree.link(path, draw(st.sampled_from(files)))
        else:
            node = draw(leaves(utf8=utf8, devices=devices))
            tree.add(path, node)
            # The kernel does not follow a link when it makes a hard link to it.
            if isinstance(node, File) or (any_links and not isinstance(node, Symlink)):
                files.append(path)
    return tree

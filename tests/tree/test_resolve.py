from __future__ import annotations

import pytest

from purekernel.errors import ConflictError, LinkLoopError, MissingPathError
from purekernel.tree import Directory, File, Found, Metadata, Symlink, Tree, look_up, resolve

LINK = Metadata(mode=0o777)


def linked(**links: str) -> Tree:
    tree = Tree()
    for folder in (b"usr", b"usr/lib", b"etc"):
        tree.add(folder, Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"etc/passwd", File(metadata=Metadata(mode=0o644)))
    for name, target in links.items():
        tree.add(name.replace("__", "/").encode(), Symlink(metadata=LINK, target=target.encode()))
    return tree


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        (b"lib/libc.so", b"usr/lib/libc.so"),
        (b"/lib", b"usr/lib"),
        (b"usr/lib64/x", b"usr/lib/x"),
        (b"away", b"etc/passwd"),
        (b"up/../etc/passwd", b"etc/passwd"),
        (b"usr/root/etc/passwd", b"etc/passwd"),
        (b"../../../etc/./passwd", b"etc/passwd"),
        (b"no-such", b"no-such"),
        (b"", b""),
    ],
)
def test_resolve_follows_links_inside_tree(path: bytes, leads_to: bytes) -> None:
    tree = linked(
        lib="usr/lib",
        usr__lib64="lib",
        away="../../../../etc/passwd",
        up="/usr",
        usr__root="/",
    )
    assert resolve(tree, path) == leads_to


def test_resolve_without_follow_last_keeps_last_link() -> None:
    tree = linked(lib="usr/lib", usr__lib64="lib")
    assert resolve(tree, b"lib", follow_last=False) == b"lib"
    assert resolve(tree, b"usr/lib64/x", follow_last=False) == b"usr/lib/x"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (b"loop", LinkLoopError),
        (b"me/x", LinkLoopError),
        (b"no/x", MissingPathError),
        (b"dangling/x", MissingPathError),
        (b"etc/passwd/x", ConflictError),
    ],
)
def test_resolve_unresolvable_path_is_refused(path: bytes, error: type[Exception]) -> None:
    tree = linked(loop="pool", pool="loop", me="me", dangling="no/where")
    with pytest.raises(error):
        resolve(tree, path)


def test_resolve_follows_at_most_forty_links() -> None:
    tree = linked(**{f"l{n}": f"l{n + 1}" for n in range(45)})
    assert resolve(tree, b"l5") == b"l45"
    with pytest.raises(LinkLoopError):
        resolve(tree, b"l4")


def test_look_up_returns_node_or_none() -> None:
    tree = linked(lib="usr/lib", loop="loop", dangling="no/where", gone="usr/no")
    folder = Found(path=b"usr/lib", inode=tree.inode(b"usr/lib"), node=tree[b"usr/lib"])
    assert look_up(tree, b"usr/lib") == look_up(tree, b"/lib/.") == folder
    for path in (b"loop", b"dangling", b"gone", b"etc/passwd/x", b"no"):
        assert look_up(tree, path) is None

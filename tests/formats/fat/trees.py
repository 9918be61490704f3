"""Make trees that FAT can hold, and what is read back of them."""

from __future__ import annotations

import string
from collections.abc import Iterable
from functools import cache

from hypothesis import strategies as st

from purekernel.formats.fat import FatImage, parse_fat
from purekernel.formats.fat.names import fault_of_name, fold
from purekernel.input import Input, Limits
from purekernel.tree import Directory, File, Metadata, Tree
from purekernel.tree.path import join

FIRST_TIME, LAST_TIME = 315532800, 4354819198  # 1980-01-01 00:00:00, 2107-12-31 23:59:58


@cache
def names() -> st.SearchStrategy[bytes]:
    """Return names: short and long ones, with any character, and many with the same start."""
    short = st.text(string.ascii_uppercase + string.digits + "~_", min_size=1, max_size=8)
    long = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=40)
    similar = st.builds(
        "{}{}.{}".format,
        st.sampled_from(["Long file name", "LONGFI~", ".longfi", "longfi"]),
        st.integers(0, 12),
        st.sampled_from(["txt", "TXT", "conf", "é"]),
    )
    text = st.one_of(short, long, similar).filter(lambda name: not fault_of_name(name))
    return text.map(lambda name: name.encode("utf-8", "surrogatepass")).filter(
        lambda name: name not in (b".", b"..")
    )


@cache
def metadata(*, is_folder: bool = False) -> st.SearchStrategy[Metadata]:
    return st.builds(
        Metadata,
        mode=st.just(0o755) if is_folder else st.sampled_from([0o644, 0o444]),
        mtime=st.integers(FIRST_TIME // 2, LAST_TIME // 2).map(lambda half: 2 * half),
    )


@st.composite
def fat_trees(draw: st.DrawFn, *, most: int = 20) -> Tree:
    """Return trees that come back from FAT as they are."""
    tree = Tree()
    folders, folded = [b""], {""}
    for name in draw(st.lists(names(), max_size=most)):
        path = join(draw(st.sampled_from(folders)), name)
        key = fold(path.decode("utf-8", "surrogatepass"))
        if key in folded or path.count(b"/") > 5:
            continue
        folded.add(key)
        if draw(st.integers(0, 3)) == 0:
            tree.add(path, Directory(metadata=draw(metadata(is_folder=True))))
            folders.append(path)
            continue
        size = draw(st.one_of(st.integers(0, 5000), st.sampled_from([511, 512, 513, 4096])))
        content = draw(st.binary(min_size=1, max_size=8)) * (size // 8 + 1)
        tree.add(path, File(metadata=draw(metadata()), content=content[:size]))
    return tree


def file_tree(files: dict[str, bytes], *, mtime: int = FIRST_TIME) -> Tree:
    """Return a tree of files with their folders."""
    tree = Tree()
    for path, content in files.items():
        raw = path.encode()
        tree.add_parents(raw, Metadata(mode=0o755, mtime=mtime))
        tree.add(raw, File(metadata=Metadata(mode=0o644, mtime=mtime), content=content))
    return tree


def read_back(image: FatImage, limits: Limits | None = None) -> Tree:
    data = image.to_bytes()
    return parse_fat(Input(data, name="x", limits=limits or Limits()))


def paths(tree: Tree) -> Iterable[bytes]:
    return [path for path, _node in tree.walk()]

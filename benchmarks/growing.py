"""Pack a made-up tree, in a process of its own, for :mod:`benchmarks.growth` to look at.

    python -m benchmarks.growing EFFORT FILES CORE.gz

The tree has FILES files of some 10,000 bytes each in folders of 500: a third text, a third
programs, a third noise, which stands for what is packed already. What text and programs are made of
is Core 4.4's, each file at another place of it and no two alike. CORE.gz is that core. Prints
seconds, the size of the tree, of the archive and of what it is packed to, and the peak before and
behind.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from purekernel.encode.encoders import Effort
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.detect import FileKind, detect
from purekernel.input import Input
from purekernel.remaster.core import pack_core, recompress_nested
from purekernel.tree import Directory, File, Metadata, Tree, content_bytes

FILE_BYTES = 10_000
_IN_A_FOLDER = 500
_MODE = Metadata(mode=0o644)


def main() -> None:
    """Do it once."""
    effort, files, core = sys.argv[1:]
    tree = _make_tree(int(files), Path(core))
    before = _peak_bytes()
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as executor:
        done = recompress_nested(tree, effort=Effort(effort), executor=executor)
        packed = pack_core(done, effort=Effort(effort), executor=executor)
    seconds = time.perf_counter() - start
    print(seconds, content_bytes(tree), packed.cpio_bytes, len(packed.data), before, _peak_bytes())


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _make_tree(files: int, core: Path) -> Tree:
    programs, texts = [], []
    for _path, node in parse_cpio(Input(core.read_bytes(), name=core.name)).walk():
        if isinstance(node, File) and node.content:
            (programs if detect(node.content) is FileKind.ELF else texts).append(
                bytes(node.content)
            )
    sources = [
        b"".join(text for text in texts if b"\0" not in text[:1000]),
        b"".join(programs),
    ]
    tree = Tree()
    for index in range(files):
        folder = b"d%03d" % (index // _IN_A_FOLDER)
        if folder not in tree:
            tree.add(folder, Directory(metadata=Metadata(mode=0o755)))
        chance = random.Random(index)
        size = chance.randrange(FILE_BYTES * 2)
        if index % 3 == 2:
            content = chance.randbytes(size)
        else:
            source = sources[index % 3]
            start = chance.randrange(len(source) - size)
            head = b"\x7fELF" if index % 3 else b"#! "
            content = head + str(index).encode() + source[start : start + size]
        tree.add(b"%s/f%06d" % (folder, index), File(metadata=_MODE, content=content))
    return tree


if __name__ == "__main__":
    main()

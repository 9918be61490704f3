"""Run depmod or ldconfig over a folder of the host that is read into memory before.

Run with ``python -m benchmarks.indexing depmod|ldconfig ROOT [RELEASE DIALECT] OUTPUT``. What is
made goes into the folder OUTPUT, and what it took, as JSON, to the standard output. With
``modules ISO OUTPUT`` the modules in a Core's ISO are laid down there.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from purekernel.host.overlay_folder import load_folder
from purekernel.input import Limits
from purekernel.rootfs.depmod import Busybox, Kmod, depmod
from purekernel.rootfs.ldconfig import ldconfig
from purekernel.tools.roots import open_root
from purekernel.tree import Directory, File, Tree, content_bytes

# More than any root that is measured here.
LIMITS = Limits(unpacked_bytes=4 << 30)

# Debian's, which is what the others are.
DIALECTS = {"kmod": Kmod(), "busybox": Busybox()}

CACHE = b"etc/ld.so.cache"


def main() -> None:
    """Do what the command line says."""
    what, *words = sys.argv[1:]
    output = Path(words.pop())
    if what == "modules":
        _lay_down_modules(words[0], output)
        return
    tree = load_folder(Path(words[0]), mtime=0, limits=LIMITS).tree
    if what == "depmod":
        release, dialect = words[1].encode(), DIALECTS[words[2]]
        took = _time(lambda: depmod(tree, release, mtime=0, dialect=dialect).files, tree, output)
    else:
        took = _time(lambda: _cache(ldconfig(tree, mtime=0).tree), tree, output)
    print(json.dumps(took))


def _time(make: Callable[[], dict[bytes, bytes]], tree: Tree, output: Path) -> dict[str, float]:
    start, start_cpu = time.perf_counter(), time.process_time()
    made = make()
    took = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - start_cpu,
        "tree_bytes": content_bytes(tree),
    }
    output.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (output / name.decode()).write_bytes(content)
    return took


def _cache(tree: Tree) -> dict[bytes, bytes]:
    node = tree[CACHE]
    assert isinstance(node, File)
    return {CACHE.rpartition(b"/")[2]: bytes(node.content)}


def _lay_down_modules(iso: str, output: Path) -> None:
    tree = open_root(iso).tree
    for path, node in tree.walk(b"lib/modules"):
        place = output / path.decode()
        if isinstance(node, Directory):
            place.mkdir(parents=True)
        elif isinstance(node, File) and b".ko" in path:
            place.write_bytes(node.content)


if __name__ == "__main__":
    main()

"""Make, list or unpack a squashfs image in this process, and say what it took, as JSON.

Run with ``python -m benchmarks.squashing make FOLDER BLOCK_BYTES EFFORT OUTPUT``, whose folder is
read into memory before; ``list IMAGE`` or ``unpack IMAGE FOLDER``.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from purekernel.encode.encoders import Effort
from purekernel.encode.squashfs import SquashfsCompression, make_codec
from purekernel.formats.squashfs import (
    Options,
    list_details,
    open_squashfs,
    parse_squashfs,
    write_squashfs,
)
from purekernel.host.rootfs_folder import load_root_folder
from purekernel.host.unpack import unpack_tree
from purekernel.input import Input, Limits
from purekernel.threads import running_executor
from purekernel.tree import File, Tree, content_bytes

LIMITS = Limits(unpacked_bytes=4 << 30)
# What mksquashfs is given as well.
PROCESSORS = 2


def main() -> None:
    """Do what the command line says."""
    what, *words = sys.argv[1:]
    if what == "make":
        took = _make(Path(words[0]), int(words[1]), Effort(words[2]), Path(words[3]))
    elif what == "list":
        took = _list(Path(words[0]))
    else:
        took = _unpack(Path(words[0]), Path(words[1]))
    print(json.dumps(took))


def _make(folder: Path, block_bytes: int, effort: Effort, output: Path) -> dict[str, float]:
    tree = _load(folder)
    before_bytes = _peak_bytes()
    codec = make_codec(SquashfsCompression.GZIP, effort, block_bytes)

    def make() -> None:
        with running_executor(jobs=PROCESSORS) as executor, output.open("w+b") as stream:
            write_squashfs(
                tree,
                stream,
                codec=codec,
                executor=executor,
                options=Options(block_bytes=block_bytes),
            )

    took = _time(make)
    return {
        **took,
        "tree_bytes": content_bytes(tree),
        "beyond_bytes": _peak_bytes() - before_bytes,
        "size_bytes": output.stat().st_size,
    }


def _load(folder: Path) -> Tree:
    """Return what is in a folder, contents and all."""
    tree = load_root_folder(folder, limits=LIMITS).tree
    for path, node in list(tree.walk()):
        if isinstance(node, File):
            tree.replace(path, File(metadata=node.metadata, content=node.content))
    return tree


def _list(image: Path) -> dict[str, float]:
    data = image.read_bytes()

    def show() -> None:
        opened = open_squashfs(Input(data, name=image.name, limits=LIMITS))
        b"".join(list_details(opened, opened.tree, top=b"root"))

    first = _time(show)
    return {**first, "again_seconds": _time(show)["seconds"]}


def _unpack(image: Path, folder: Path) -> dict[str, float]:
    data = image.read_bytes()
    read = _time(lambda: parse_squashfs(Input(data, name=image.name, limits=LIMITS)))
    tree = parse_squashfs(Input(data, name=image.name, limits=LIMITS))
    written = _time(lambda: unpack_tree(tree, folder))
    return {
        "read_seconds": read["seconds"],
        "write_seconds": written["seconds"],
        "tree_bytes": content_bytes(tree),
    }


def _time(do: Callable[[], object]) -> dict[str, float]:
    start, start_cpu = time.perf_counter(), time.process_time()
    do()
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - start_cpu,
    }


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()

"""Pack a core again, in a process of its own, for :mod:`benchmarks.compression` to time.

    python -m benchmarks.compressing HOW IN.gz OUT.gz [CACHE]

HOW is an effort, ``raw`` for the most of it on unpacked modules, or ``zopfli`` for zopfli alone, as
it is commonly called.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zopfli import zlib as zopfli

from purekernel.encode.disk_cache import EncodedCache
from purekernel.encode.encoders import Effort
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.gzip import build_gzip
from purekernel.input import Input
from purekernel.remaster.core import pack_core, recompress_nested
from purekernel.rootfs.modules import unpack_modules


def main() -> None:
    """Do it once."""
    how, source, target, *cache = sys.argv[1:]
    data = Path(source).read_bytes()
    if how == "zopfli":
        plain = gzip.decompress(data)
        stream = zopfli.compress(plain)[2:-4]
        made = build_gzip(stream, crc32=zlib.crc32(plain), size_bytes=len(plain))
    else:
        tree = parse_cpio(Input(data, name=source))
        if how == "raw":
            tree = unpack_modules(tree)
        effort = Effort.MAX if how == "raw" else Effort(how)
        kept = EncodedCache(Path(cache[0])) if cache else None
        with ThreadPoolExecutor(2) as executor:
            tree = recompress_nested(tree, effort=effort, executor=executor, cache=kept)
            made = pack_core(tree, effort=effort, executor=executor, cache=kept).data
    Path(target).write_bytes(made)


if __name__ == "__main__":
    main()

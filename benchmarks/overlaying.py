"""Write an overlay of made-up files, for :mod:`benchmarks.growth` to build from.

    python -m benchmarks.overlaying FOLDER NAMES BYTES

FOLDER gets NAMES names: files of BYTES bytes each, 49 in a folder. The files of fewer than 4096
bytes are text; larger ones are noise, which stands for what is packed already.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

_IN_A_FOLDER = 50


def main() -> None:
    """Write them."""
    top, names, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder = top
    for index in range(names):
        number, place = divmod(index, _IN_A_FOLDER)
        if not place:
            folder = top / "opt" / f"a{number // 400}" / f"b{number // 20 % 20}" / f"c{number % 20}"
            folder.mkdir(parents=True)
            continue
        (folder / f"file{place:03d}").write_bytes(_content(index, size))


def _content(index: int, size: int) -> bytes:
    if size >= 4096:
        return random.Random(index).randbytes(size)
    return (f"content of {index}\n".encode() * (size // 8))[:size]


if __name__ == "__main__":
    main()

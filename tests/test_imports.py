"""Test what is imported where: libraries by load_library(), each by one module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "purekernel"

# Each module that load_library() imports, and the one module that uses it.
LIBRARIES = {
    "backports.zstd": "formats/zstd.py",
    "compression.zstd": "formats/zstd.py",
    "deflate": "encode/libraries.py",
    "lz4.block": "formats/lz4.py",
    "passlib.hash": "rootfs/passwords.py",
    "pysequoia": "formats/debian/release.py",
    "zopfli": "encode/libraries.py",
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_bytes())


def test_each_loaded_library_has_one_user() -> None:
    users = {
        (node.args[0].value, source)
        for source, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "load_library"
        and isinstance(node.args[0], ast.Constant)
    }
    assert users == set(LIBRARIES.items())

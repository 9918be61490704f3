"""Give zstd from the standard library or, before Python 3.14, from its backport.

The library takes milliseconds to import, so the first use of a name loads it. Import this module,
not names from it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from purekernel.libraries import load_library

if TYPE_CHECKING:
    if sys.version_info >= (3, 14):
        from compression.zstd import CompressionParameter, ZstdDecompressor, ZstdError, compress
    else:
        from backports.zstd import CompressionParameter, ZstdDecompressor, ZstdError, compress

__all__ = ["CompressionParameter", "ZstdDecompressor", "ZstdError", "compress"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if sys.version_info >= (3, 14):
        hint = "use a Python that was built with zstd"
        return getattr(load_library("compression.zstd", package="Python", hint=hint), name)
    return getattr(load_library("backports.zstd", package="backports.zstd"), name)

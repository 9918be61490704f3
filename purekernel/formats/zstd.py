"""zstd, from Python itself where it has it, else from the backport of the same module.

Imported when a stream is first met: loading the library takes some milliseconds.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

__all__ = ["ZstdDecompressor", "ZstdError"]

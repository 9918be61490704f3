"""Load the two deflate libraries, and check that they are the expected ones.

Other packages install modules of the same names: ``zopflipy`` overwrites files of ``zopfli``. So
each library must first compress a few bytes with the arguments that the encoders use.

No other module uses either library.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from purekernel.errors import LibraryError
from purekernel.libraries import load_library
from purekernel.records import frozen

_PROBE = b"purekernel purekernel"


@frozen(kw_only=True)
class EncoderLibrary:
    """A library that passed its check.

    Attributes:
        version: its release.
        compress: its compression function.
    """

    version: str
    compress: Callable[..., bytes | bytearray]


@cache
def load_deflate() -> EncoderLibrary:
    """Return libdeflate's ``deflate_compress(data, level)``, which returns a raw stream.

    Raises:
        LibraryError: the package ``deflate`` is missing, too old, or replaced by another package.
    """
    library: EncoderLibrary = load_library("deflate", check=_check_deflate)
    return library


@cache
def load_zopfli() -> EncoderLibrary:
    """Return zopfli's ``zlib.compress``, which returns a zlib stream.

    Raises:
        LibraryError: the package ``zopfli`` is missing, or another package overwrote its files.
    """
    library: EncoderLibrary = load_library(
        "zopfli",
        check=_check_zopfli,
        hint="pip uninstall zopflipy && pip install --force-reinstall zopfli",
    )
    return library


def _check_deflate(deflate: Any) -> EncoderLibrary:
    library = EncoderLibrary(version=str(deflate.__version__), compress=deflate.deflate_compress)
    _compare(zlib.decompress(library.compress(_PROBE, 12), -zlib.MAX_WBITS))
    return library


def _check_zopfli(zopfli: Any) -> EncoderLibrary:
    compress = import_module("zopfli.zlib").compress
    library = EncoderLibrary(version=str(zopfli.__version__), compress=compress)
    packed = library.compress(_PROBE, numiterations=1, blocksplitting=True, blocksplittingmax=2)
    _compare(zlib.decompress(packed))
    return library


def _compare(unpacked: bytes) -> None:
    if unpacked != _PROBE:
        raise LibraryError("it does not compress")

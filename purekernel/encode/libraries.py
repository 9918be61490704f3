"""Load the two deflate libraries, and check that they are the expected ones.

Other packages install modules of the same names: ``zopflipy`` overwrites files of ``zopfli``. So
each library must first compress a few bytes with the arguments that the encoders use.

No other module imports either library.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache

from attrs import frozen

from purekernel.errors import LibraryError

_PROBE = b"purekernel purekernel"


@frozen(kw_only=True)
class Library:
    """A library that passed its check.

    Attributes:
        version: its release.
        compress: its compression function.
    """

    version: str
    compress: Callable[..., bytes | bytearray]


@cache
def load_deflate() -> Library:
    """Return libdeflate's ``deflate_compress(data, level)``, which returns a raw stream.

    Raises:
        LibraryError: the package ``deflate`` is missing, too old, or replaced by another package.
    """
    try:
        import deflate  # noqa: PLC0415  # report a bad package instead of failing on import

        library = Library(version=str(deflate.__version__), compress=deflate.deflate_compress)
        works = zlib.decompress(library.compress(_PROBE, 12), -zlib.MAX_WBITS) == _PROBE
    except Exception as error:  # noqa: BLE001  # another package may raise anything
        raise _unusable("deflate", error, "pip install --force-reinstall deflate") from None
    if not works:
        raise _unusable("deflate", None, "pip install --force-reinstall deflate")
    return library


@cache
def load_zopfli() -> Library:
    """Return zopfli's ``zlib.compress``, which returns a zlib stream.

    Raises:
        LibraryError: the package ``zopfli`` is missing, or another package overwrote its files.
    """
    hint = "pip uninstall zopflipy && pip install --force-reinstall zopfli"
    try:
        import zopfli  # noqa: PLC0415  # slow efforts only
        from zopfli import zlib as zopfli_zlib  # noqa: PLC0415

        library = Library(version=str(zopfli.__version__), compress=zopfli_zlib.compress)
        packed = library.compress(_PROBE, numiterations=1, blocksplitting=True, blocksplittingmax=2)
        works = zlib.decompress(packed) == _PROBE
    except Exception as error:  # noqa: BLE001  # another package may raise anything
        raise _unusable("zopfli", error, hint) from None
    if not works:
        raise _unusable("zopfli", None, hint)
    return library


def _unusable(name: str, error: Exception | None, hint: str) -> LibraryError:
    if isinstance(error, ModuleNotFoundError) and error.name == name:
        return LibraryError(
            f"the Python package {name} is not installed", hint=f"pip install {name}"
        )
    what = "it does not compress" if error is None else f"{type(error).__name__}: {error}"
    return LibraryError(
        f"the Python module {name} must come from a recent package {name}, got another one: "
        f"{' '.join(what.split())}",
        hint=hint,
    )

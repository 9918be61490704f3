"""Load the data files that purekernel includes: the sample bundle and the default lists."""

from __future__ import annotations

from contextlib import suppress
from importlib import resources
from pathlib import Path

from purekernel.errors import InputError
from purekernel.host.hints import reason

SAMPLE_BUNDLE = "razor-microkernel-bundle-dev.tar.gz"

BUILTIN_LIST = "builtin-extensions.lst"
MIRROR_LIST = "mirror-extensions.lst"
GEM_LIST = "gem.list"
CUT_LIST = "util-linux-exec.lst"
LISTS = (BUILTIN_LIST, MIRROR_LIST, GEM_LIST, CUT_LIST)

# The folders of a checkout with the files that a wheel has in purekernel/shipped.
_IN_CHECKOUT = {
    SAMPLE_BUNDLE: Path("fixtures", "sample"),
    **dict.fromkeys(LISTS, Path("lists")),
}


def load_sample_bundle() -> bytes:
    """Return the sample bundle, which ``fixtures/`` generates.

    Raises:
        InputError: the installation is incomplete.
    """
    return _load(SAMPLE_BUNDLE, words="the sample bundle")


def load_shipped_list(name: str) -> bytes:
    """Return one of the default lists of ``lists/``.

    Args:
        name: one of ``LISTS``.

    Raises:
        InputError: the installation is incomplete.
    """
    return _load(name, words=f"the list {name}")


def _load(name: str, *, words: str) -> bytes:
    installed = resources.files("purekernel").joinpath("shipped", name)
    checkout = Path(__file__).parents[2] / _IN_CHECKOUT[name] / name
    try:
        for path in (installed, checkout):
            with suppress(FileNotFoundError, NotADirectoryError):
                return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{words} cannot be read: {reason(error)}",
            hint="check the permissions of the installation",
        ) from None
    raise InputError(f"{words} is missing from this installation", hint="install purekernel again")

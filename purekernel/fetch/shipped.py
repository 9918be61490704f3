"""The data that purekernel brings along."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from purekernel.errors import InputError

SAMPLE_BUNDLE = "razor-microkernel-bundle-dev.tar.gz"

BUILTIN_LIST = "builtin-extensions.lst"
MIRROR_LIST = "mirror-extensions.lst"
GEM_LIST = "gem.list"
CUT_LIST = "util-linux-exec.lst"
LISTS = (BUILTIN_LIST, MIRROR_LIST, GEM_LIST, CUT_LIST)

# Where a checkout keeps what a wheel has in purekernel/shipped.
_IN_CHECKOUT = {
    SAMPLE_BUNDLE: Path("fixtures", "sample"),
    **dict.fromkeys(LISTS, Path("lists")),
}


def load_sample_bundle() -> bytes:
    """Return the sample bundle, made of our own bytes by ``fixtures/``.

    Raises:
        InputError: the installation is not whole.
    """
    return _load(SAMPLE_BUNDLE, words="the sample bundle")


def load_shipped_list(name: str) -> bytes:
    """Return one of our default lists, as ``lists/`` has them.

    Args:
        name: one of ``LISTS``.

    Raises:
        InputError: the installation is not whole.
    """
    return _load(name, words=f"the list {name}")


def _load(name: str, *, words: str) -> bytes:
    installed = resources.files("purekernel").joinpath("shipped", name)
    checkout = Path(__file__).parents[2] / _IN_CHECKOUT[name] / name
    try:
        for place in (installed, checkout):
            if place.is_file():
                return place.read_bytes()
    except OSError as error:
        raise InputError(
            f"{words} cannot be read: {error.strerror or error}",
            hint="check the permissions of the installation",
        ) from None
    raise InputError(f"{words} is missing from this installation", hint="install purekernel again")

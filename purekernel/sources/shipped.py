"""The data that purekernel brings along."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from purekernel.errors import InputError

SAMPLE_BUNDLE = "razor-microkernel-bundle-dev.tar.gz"

# Where a checkout keeps what a wheel has in purekernel/shipped.
_IN_CHECKOUT = Path("fixtures", "sample")


def load_sample_bundle() -> bytes:
    """Return the sample bundle, made of our own bytes by ``fixtures/``.

    Raises:
        InputError: the installation is not whole.
    """
    try:
        return _load(SAMPLE_BUNDLE)
    except OSError as error:
        raise InputError(
            f"the sample bundle cannot be read: {error.strerror or error}",
            hint="check the permissions of the installation",
        ) from None


def _load(name: str) -> bytes:
    installed = resources.files("purekernel").joinpath("shipped", name)
    if installed.is_file():
        return installed.read_bytes()
    checkout = Path(__file__).parents[2] / _IN_CHECKOUT / name
    if checkout.is_file():
        return checkout.read_bytes()
    raise InputError(
        "the sample bundle is missing from this installation", hint="install purekernel again"
    )

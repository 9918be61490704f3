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
    installed = resources.files("purekernel").joinpath("shipped", SAMPLE_BUNDLE)
    if installed.is_file():
        return installed.read_bytes()
    checkout = Path(__file__).parents[2] / _IN_CHECKOUT / SAMPLE_BUNDLE
    if checkout.is_file():
        return checkout.read_bytes()
    raise InputError(
        "the sample bundle is missing from this installation", hint="install purekernel again"
    )

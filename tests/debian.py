"""Find Debian's libraries and kernels, unpacked from their packages by ``.ci/debian-roots``.

``PUREKERNEL_DEBIAN`` names their folder. Tests only read them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.oracles import skip_or_fail


def libraries(architecture: str) -> Path:
    """Return a root with the libraries of ``amd64``, ``i386`` or ``arm64``."""
    return _find(architecture)


def ldconfig(suite: str, architecture: str) -> Path:
    """Return the ldconfig of another release of Debian; skip the test if no mirror has it."""
    libraries(architecture)
    root = Path(os.environ["PUREKERNEL_DEBIAN"]) / f"{suite}-{architecture}"
    for place in ("usr/sbin/ldconfig", "sbin/ldconfig"):
        if (root / place).is_file():
            return root / place
    pytest.skip(f"there is no ldconfig of {suite} for {architecture}")


def kernel(architecture: str) -> tuple[Path, str]:
    """Return a root with the modules of ``amd64`` or ``i386``, and their kernel release."""
    root = _find(f"linux-{architecture}")
    (release,) = (root / "lib/modules").iterdir()
    return root, release.name


def archive() -> Path:
    """Return part of a Debian mirror: a signed index for i386, and a few packages."""
    return _find("archive")


def package(name: str) -> Path:
    """Return a real package from that mirror, for i386 or all architectures."""
    (found,) = archive().glob(f"pool/*/*/*/{name}_*.deb")
    return found


def _find(name: str) -> Path:
    folder = os.environ.get("PUREKERNEL_DEBIAN")
    if not folder:
        skip_or_fail("PUREKERNEL_DEBIAN names no folder; .ci/debian-roots makes one")
    found = Path(folder) / name
    if not found.is_dir():
        skip_or_fail(f"there is no {found}")
    return found

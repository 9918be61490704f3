"""Find the shared Tiny Core mirror and the data beside it, which are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

from tests.oracles import skip_or_fail

ROOT = Path(__file__).parents[1]


def _where() -> Path:
    return Path(os.environ.get("PUREKERNEL_SHARED", ROOT.parent / "shared" / "mirror"))


def mirror() -> Path:
    """Return the mirror's ``tinycorelinux`` folder; skip or fail the test if it is missing."""
    folder = _where() / "tinycorelinux"
    if not folder.is_dir():
        skip_or_fail(f"no shared mirror at {_where()}")
    return folder


def modern() -> Path:
    """Return the folder with data of other Tiny Core systems, by default beside the mirror.

    PUREKERNEL_MODERN names another folder. Skip or fail the test if the folder is missing.
    """
    folder = Path(os.environ.get("PUREKERNEL_MODERN", _where().parent / "modern"))
    if not folder.is_dir():
        skip_or_fail(f"no shared data at {folder}")
    return folder


def modern_extension(name: str) -> Path:
    """Return the first extension of that name, without ``.tcz``, in the data of other systems."""
    found = sorted((modern() / "tcz").rglob(f"{name}.tcz"))
    if not found:
        skip_or_fail(f"no {name}.tcz in {modern()}")
    return found[0]


def core_iso() -> Path:
    """Return the shared, bootable Core 4.4 ISO."""
    return mirror() / "4.x" / "x86" / "release" / "Core-current.iso"


def extension(name: str) -> Path:
    """Return one of the shared extensions, named without ``.tcz``."""
    return mirror() / "4.x" / "x86" / "tcz" / f"{name}.tcz"

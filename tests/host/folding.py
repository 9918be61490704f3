"""Make the host's file system take some names for one another, as those of Windows and macOS do."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# The calls of the host by which folders are written, and which of their arguments are paths.
CALLS = {
    "open": (0,),
    "mkdir": (0,),
    "mknod": (0,),
    "symlink": (1,),
    "link": (0, 1),
    "unlink": (0,),
    "replace": (0, 1),
    "stat": (0,),
    "lstat": (0,),
}


def ignore_case(name: str) -> str:
    return name.casefold()


def ignore_normalisation(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def ignore_end(name: str) -> str:
    """Ignore dots and blanks at the end, as vfat does."""
    return name.rstrip(". ") or name


def short_name(name: str) -> str:
    """Find a long name by its short one too, as Windows and vfat do."""
    return "LONGNA~1.TXT" if name.lower().startswith("longname") else name


def fold_names(monkeypatch: pytest.MonkeyPatch, top: Path, fold: Callable[[str], str]) -> None:
    """Make names below ``top``, and those relative to open folders, equal if ``fold`` says so."""

    def folded(path: Any) -> Any:
        if isinstance(path, int):
            return path
        text = os.fspath(path)
        if isinstance(text, bytes):
            return text
        if not text.startswith("/"):
            return fold(text)
        if not text.startswith(f"{top}/"):
            return path
        return "/".join([str(top), *map(fold, text[len(str(top)) + 1 :].split("/"))])

    def wrap(real: Callable[..., Any], places: tuple[int, ...]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            changed = [
                folded(value) if index in places else value for index, value in enumerate(arguments)
            ]
            return real(*changed, **options)

        return call

    for name, places in CALLS.items():
        monkeypatch.setattr(os, name, wrap(getattr(os, name), places))

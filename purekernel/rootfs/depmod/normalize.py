"""Normalize aliases as kmod does, so that dashes and underscores are equal.

Source: alias_normalize() in shared/util.c of kmod.
"""

from __future__ import annotations

import re

# Dashes in brackets are kept, because they mean a range there.
_ALIAS = re.compile(rb"(?:[^\[\]]|\[[^\]]*\])*")
_OUTSIDE = re.compile(rb"\[[^\]]*\]|-")


def normalize_alias(alias: bytes) -> bytes | None:
    """Return ``alias`` as written in indexes, ``None`` if a bracket is unmatched."""
    if b"[" not in alias and b"]" not in alias:
        return alias.replace(b"-", b"_")
    if _ALIAS.fullmatch(alias) is None:
        return None
    return _OUTSIDE.sub(lambda match: b"_" if match[0] == b"-" else match[0], alias)

"""How kmod writes aliases so that dashes and underscores are the same.

Source: alias_normalize() in shared/util.c of kmod.
"""

from __future__ import annotations

import re

# A class of characters keeps its dashes, for there they mean a range.
_ALIAS = re.compile(rb"(?:[^\[\]]|\[[^\]]*\])*")
_OUTSIDE = re.compile(rb"\[[^\]]*\]|-")


def normalize_alias(alias: bytes) -> bytes | None:
    """Return ``alias`` as indexes have it, ``None`` where a bracket has no other."""
    if b"[" not in alias and b"]" not in alias:
        return alias.replace(b"-", b"_")
    if _ALIAS.fullmatch(alias) is None:
        return None
    return _OUTSIDE.sub(lambda match: b"_" if match[0] == b"-" else match[0], alias)

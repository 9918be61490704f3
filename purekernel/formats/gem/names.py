"""Names of gems and of their platforms, which become names of files and parts of URLs."""

from __future__ import annotations

import re

# What RubyGems' servers take, less what no name starts with.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_PLATFORM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")

# With version and platform a name must fit in the name of a file.
MAX_NAME_CHARS = 150
MAX_PLATFORM_CHARS = 80

RUBY = "ruby"
"""The platform of gems that run wherever Ruby does."""


def is_gem_name(text: str) -> bool:
    """Say whether ``text`` can be the name of a gem."""
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def is_platform(text: str) -> bool:
    """Say whether ``text`` can be the name of a platform."""
    return len(text) <= MAX_PLATFORM_CHARS and _PLATFORM.fullmatch(text) is not None


def full_name(name: str, version: object, platform: str) -> str:
    """Return what a gem's file is named after: ``rake-0.9.2``, ``json-1.8.6-java``."""
    return f"{name}-{version}" if platform == RUBY else f"{name}-{version}-{platform}"

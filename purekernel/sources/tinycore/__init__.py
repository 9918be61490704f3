"""Tiny Core's repository: releases, extensions, and what they need."""

from purekernel.sources.tinycore.extension import (
    DEPENDENCIES,
    IMPORT_SCRIPT,
    INFO,
    KERNEL,
    LISTING,
    MD5,
    SIDES,
    Extension,
    ExtensionRepository,
    resolve_kernel,
)
from purekernel.sources.tinycore.graph import (
    ExtensionGraph,
    Missing,
    refuse_missing,
    resolve_extensions,
)
from purekernel.sources.tinycore.mirror import ExtensionMirror
from purekernel.sources.tinycore.release import Release

__all__ = [
    "DEPENDENCIES",
    "IMPORT_SCRIPT",
    "INFO",
    "KERNEL",
    "LISTING",
    "MD5",
    "SIDES",
    "Extension",
    "ExtensionGraph",
    "ExtensionMirror",
    "ExtensionRepository",
    "Missing",
    "Release",
    "refuse_missing",
    "resolve_extensions",
    "resolve_kernel",
]

"""Look up releases and extensions of Tiny Core, and resolve dependencies of extensions."""

from purekernel.repos.tinycore.extension import (
    COMPANIONS,
    DEPENDENCIES,
    IMPORT_SCRIPT,
    INFO,
    KERNEL,
    LISTING,
    MD5,
    Extension,
    ExtensionRepository,
    resolve_kernel,
)
from purekernel.repos.tinycore.graph import (
    ExtensionGraph,
    MissingExtension,
    refuse_missing,
    resolve_extensions,
)
from purekernel.repos.tinycore.mirror import ExtensionMirror
from purekernel.repos.tinycore.release import CoreRelease

__all__ = [
    "COMPANIONS",
    "DEPENDENCIES",
    "IMPORT_SCRIPT",
    "INFO",
    "KERNEL",
    "LISTING",
    "MD5",
    "CoreRelease",
    "Extension",
    "ExtensionGraph",
    "ExtensionMirror",
    "ExtensionRepository",
    "MissingExtension",
    "refuse_missing",
    "resolve_extensions",
    "resolve_kernel",
]

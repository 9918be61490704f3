"""Look up releases and extensions of Tiny Core, and resolve dependencies of extensions."""

from purekernel.repos.tinycore.catalog import Catalog, Dependents, Files, Listed
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
    did_you_mean,
    resolve_kernel,
    similar_names,
)
from purekernel.repos.tinycore.graph import (
    ExtensionGraph,
    MissingExtension,
    refuse_missing,
    resolve_extensions,
)
from purekernel.repos.tinycore.mirror import ExtensionMirror
from purekernel.repos.tinycore.release import CoreRelease, check_edition

__all__ = [
    "COMPANIONS",
    "DEPENDENCIES",
    "IMPORT_SCRIPT",
    "INFO",
    "KERNEL",
    "LISTING",
    "MD5",
    "Catalog",
    "CoreRelease",
    "Dependents",
    "Extension",
    "ExtensionGraph",
    "ExtensionMirror",
    "ExtensionRepository",
    "Files",
    "Listed",
    "MissingExtension",
    "check_edition",
    "did_you_mean",
    "refuse_missing",
    "resolve_extensions",
    "resolve_kernel",
    "similar_names",
]

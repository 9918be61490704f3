"""Kernel modules: what they say of themselves, the symbols they offer and need."""

from purekernel.formats.kernel_module.modinfo import parse_modinfo
from purekernel.formats.kernel_module.reader import LIMITS, KernelModule, parse_kernel_module
from purekernel.formats.kernel_module.sections import Sections, parse_sections
from purekernel.formats.kernel_module.symbols import (
    Export,
    Requirement,
    read_exports,
    read_requirements,
    read_versions,
)

__all__ = [
    "LIMITS",
    "Export",
    "KernelModule",
    "Requirement",
    "Sections",
    "parse_kernel_module",
    "parse_modinfo",
    "parse_sections",
    "read_exports",
    "read_requirements",
    "read_versions",
]

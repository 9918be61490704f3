"""Kernel modules: what they say of themselves, the symbols they offer and need."""

from purekernel.formats.kernel_module.listing import list_field, list_module, with_signature
from purekernel.formats.kernel_module.reader import (
    LIMITS,
    KernelModule,
    describe_module,
    parse_kernel_module,
)
from purekernel.formats.kernel_module.sections import Sections, parse_sections
from purekernel.formats.kernel_module.signature import ModuleSignature, parse_module_signature
from purekernel.formats.kernel_module.symbols import (
    Export,
    Requirement,
    SymbolTable,
    parse_modinfo,
    read_exports,
    read_requirements,
    read_symbol_table,
    read_versions,
)

__all__ = [
    "LIMITS",
    "Export",
    "KernelModule",
    "ModuleSignature",
    "Requirement",
    "Sections",
    "SymbolTable",
    "describe_module",
    "list_field",
    "list_module",
    "parse_kernel_module",
    "parse_modinfo",
    "parse_module_signature",
    "parse_sections",
    "read_exports",
    "read_requirements",
    "read_symbol_table",
    "read_versions",
    "with_signature",
]

"""Read the information, the symbols and the signature of kernel modules."""

from purekernel.formats.kernel_module.modinfo import (
    ModuleSignature,
    describe_module,
    list_field,
    list_module,
    parse_module_signature,
    with_signature,
)
from purekernel.formats.kernel_module.reader import (
    LIMITS,
    ExportedSymbol,
    KernelModule,
    NeededSymbol,
    SymbolTable,
    parse_kernel_module,
    parse_modinfo,
    read_exports,
    read_needed_symbols,
    read_symbol_table,
    read_versions,
)
from purekernel.formats.kernel_module.sections import Sections, parse_sections

__all__ = [
    "LIMITS",
    "ExportedSymbol",
    "KernelModule",
    "ModuleSignature",
    "NeededSymbol",
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
    "read_needed_symbols",
    "read_symbol_table",
    "read_versions",
    "with_signature",
]

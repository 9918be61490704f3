"""Read a kernel module, packed or not."""

from __future__ import annotations

from contextlib import suppress

from attrs import frozen

from purekernel.errors import FormatError
from purekernel.formats.compression import XZ_MAGIC, ZSTD_MAGIC, unpack
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.kernel_module.listing import with_signature
from purekernel.formats.kernel_module.sections import parse_sections
from purekernel.formats.kernel_module.signature import parse_module_signature
from purekernel.formats.kernel_module.symbols import (
    Export,
    Requirement,
    read_exports,
    read_modinfo,
    read_requirements,
    read_symbol_table,
)
from purekernel.input import Input, Limits
from purekernel.tree import Buffer

# The largest modules there are, with all that debugging needs, have some 100 MB; Debian's
# largest has 7.
LIMITS = Limits(unpacked_bytes=256 << 20)

# What libkmod unpacks; anything else must be a module as it is.
_PACKINGS = (GZIP_MAGIC, XZ_MAGIC, ZSTD_MAGIC)


@frozen(kw_only=True)
class KernelModule:
    """What others must know of a module.

    Attributes:
        information: keys and values of ``.modinfo``, in order; a key may come more than once.
        exports: the symbols that it offers, in the order of its table.
        requires: the symbols that it needs, in the order of its table.
    """

    information: tuple[tuple[bytes, bytes], ...]
    exports: tuple[Export, ...]
    requires: tuple[Requirement, ...]

    def values(self, key: bytes) -> list[bytes]:
        """Return all values of ``key``, in order."""
        return [value for found, value in self.information if found == key]


def parse_kernel_module(data: Buffer, *, source: str, limits: Limits = LIMITS) -> KernelModule:
    """Return what a module says of itself, offers and needs.

    A module whose table of symbols is missing or broken needs nothing.

    Args:
        data: a ``.ko``, or one packed with gzip, xz or zstd.
        source: its name, for messages.
        limits: the bound on what it may unpack to.

    Raises:
        FormatError: it is no module, is damaged, or is packed in a way that is not read.
        LimitError: it unpacks to more than ``limits`` allow.
    """
    if bytes(data[:6]).startswith(_PACKINGS):
        data = unpack(Input(data, name=source, limits=limits))
    sections = parse_sections(data, source=source)
    table = read_symbol_table(sections)
    requires: list[Requirement] = []
    if table is not None:
        with suppress(FormatError):
            requires = read_requirements(sections, table)
    return KernelModule(
        information=read_modinfo(sections),
        exports=tuple(read_exports(sections, table)),
        requires=tuple(requires),
    )


def describe_module(
    data: Buffer, *, source: str, limits: Limits = LIMITS
) -> list[tuple[bytes, bytes]]:
    """Return keys and values of a module, those of its signature last.

    Raises:
        FormatError, LimitError: as :func:`parse_kernel_module`.
    """
    plain = unpack(Input(data, name=source, limits=limits))
    information = read_modinfo(parse_sections(plain, source=source))
    return with_signature(information, parse_module_signature(plain))

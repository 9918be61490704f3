"""Define what a build writes: the kinds of files, their folder, and the core's compression."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from attrs import field

from purekernel.encode.encoders import Effort
from purekernel.errors import UsageError
from purekernel.formats.compress import check_taken, choose_compression
from purekernel.formats.initramfs import Compression, read_compressions
from purekernel.input import Input, Limits
from purekernel.recipe.destination import Destination, check_file, check_single, form_of
from purekernel.recipe.flavour import EMITS, Emit, Flavour
from purekernel.recipe.model import Recipe
from purekernel.records import frozen
from purekernel.tree import Buffer

# A production image is built once and downloaded often.
_OF_FLAVOURS = {Flavour.PROD: Effort.MAX}


class Modules(Enum):
    """How to store kernel modules that are compressed with gzip."""

    KEEP = "keep"
    """Keep the modules as they are."""
    REDO = "redo"
    """Recompress the modules to a smaller size, as for other gzip files."""
    RAW = "raw"
    """Decompress the modules: the core compresses better, and the modules take more memory after
    booting."""


def _path(folder: str | os.PathLike[str] | None) -> Path | None:
    return None if folder is None else Path(folder)


def _kinds(kinds: Iterable[Emit | str] | None) -> tuple[Emit, ...] | None:
    if kinds is None:
        return None
    try:
        chosen = {Emit(kind) for kind in kinds}
    except ValueError as error:
        raise UsageError(
            f"unknown output: must be {', '.join(EMITS[:-1])} or {EMITS[-1]}: {error}"
        ) from None
    if not chosen:
        raise UsageError("no output is named", hint=f"name {', '.join(EMITS[:-1])} or {EMITS[-1]}")
    return tuple(kind for kind in Emit if kind in chosen)


@frozen(kw_only=True)
class Outputs:
    """What to write and where.

    Attributes:
        folder: the folder to write to, created if missing.
        file: the file to write the one output to, in place of a folder. Its name must have an
            ending of that output, such as ``.iso``; ``-o`` of the command line accepts the same.
        stream: a binary stream to write the one output to, in place of a folder; it need not be
            able to seek. Without folder, file and stream the image is made in memory only.
        kinds: the kinds of files: ``Emit.ISO`` gives ``NAME.iso``; ``Emit.CORE`` gives the initrds
            and the kernel, of an ISO with one initrd as ``core.gz`` and ``vmlinuz``;
            ``Emit.INITRD`` gives the second initrd as ``NAME.gz``; ``Emit.PXE`` gives the folder
            ``NAME.pxe`` for a TFTP or HTTP server; ``Emit.TCE`` gives ``NAME.tce.tar``, the
            extensions for a writable partition; ``Emit.DISK`` gives ``NAME.img`` or
            ``NAME.qcow2``, a disk that boots; ``Emit.SBOM`` gives ``NAME.cdx.json``, the bill of
            materials; ``Emit.PROVENANCE`` gives ``NAME.provenance.json``, how the other files were
            made. Their values, such as ``"iso"``, are accepted
            too. ``None`` for the recipe's, or else an ISO; for a base without a boot loader, the
            initrds and the kernel; and the extensions for a partition if there are any.
        sbom: write the bill of materials, too.
        provenance: write the provenance, too.
        effort: the effort of compression; ``None`` for the flavour's: the highest for production,
            balanced otherwise.
        nested: recompress gzip files inside the image, at efforts that do so.
        modules: how to store kernel modules.
        changes: whether to compare each output with the file that it replaces, for
            ``Image.changes``.
        compression: the core's compression; ``None`` for the smallest that the kernel is known to
            support. With a compression other than gzip, the result depends only on the release of
            its library; it is neither split into segments nor cached.

    Raises:
        UsageError: ``kinds`` is empty, or has an unknown value; or more than one of ``folder``,
            ``file`` and ``stream`` is given.
    """

    folder: Path | None = field(default=None, converter=_path)
    file: Path | None = field(default=None, converter=_path)
    stream: BinaryIO | None = None
    kinds: tuple[Emit, ...] | None = field(default=None, converter=_kinds)
    sbom: bool = False
    provenance: bool = False
    effort: Effort | None = None
    nested: bool = True
    modules: Modules = Modules.REDO
    compression: Compression | None = Compression.GZIP
    changes: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse several destinations."""
        if sum(each is not None for each in (self.folder, self.file, self.stream)) > 1:
            raise UsageError("folder, file and stream exclude one another", hint="give one of them")

    @property
    def destination(self) -> Destination:
        """Where the outputs go."""
        return Destination(folder=self.folder, file=self.file, stream=self.stream)

    def check_destination(self, kinds: tuple[Emit, ...]) -> None:
        """Refuse a file or stream for outputs that are several files, and a file of another kind.

        Raises:
            UsageError: ``file`` or ``stream`` does not fit ``kinds``.
        """
        if self.file is not None:
            check_file(self.file, form_of(kinds), f"the file {self.file}")
        elif self.stream is not None:
            check_single(form_of(kinds), "a stream")

    def kinds_for(self, recipe: Recipe) -> tuple[Emit, ...]:
        """Return the kinds of files to write for ``recipe``.

        Raises:
            UsageError: the recipe names an unknown kind, or the provenance is of no other file.
        """
        has_loader = not recipe.core.initrd or recipe.efi.is_given
        first = Emit.ISO if has_loader else Emit.CORE
        default = (first, *((Emit.TCE,) if recipe.extensions.tce else ()))
        chosen = self.kinds or _kinds(recipe.output.emit or None) or default
        more = ((self.sbom, Emit.SBOM), (self.provenance, Emit.PROVENANCE))
        kinds = {*chosen, *(kind for is_wanted, kind in more if is_wanted)}
        if kinds == {Emit.PROVENANCE}:
            raise UsageError(
                "the output provenance tells how other files were made, and there are none",
                hint="name another output too, such as --emit iso,provenance",
            )
        return tuple(kind for kind in Emit if kind in kinds)

    def effort_for(self, flavour: Flavour | None) -> Effort:
        """Return the effort for an image of ``flavour``."""
        if self.effort is not None:
            return self.effort
        return Effort.BALANCED if flavour is None else _OF_FLAVOURS.get(flavour, Effort.BALANCED)

    def compression_for(self, kernel: Buffer, *, source: str, limits: Limits) -> Compression:
        """Return the compression to use for a core that ``kernel`` decompresses.

        Raises:
            UsageError: the kernel is known not to support the requested compression, or any
                compression that purekernel can write.
            LibraryError: the optional package that the compression needs is missing.
        """
        if self.compression is Compression.GZIP:
            return self.compression  # every kernel of a Core release supports it
        # The unpacked kernel is not kept.
        file = Input(kernel, name=source, limits=limits.unbudgeted())
        supported = read_compressions(file)
        if self.compression is None:
            return choose_compression(supported)
        check_taken(self.compression, supported)
        return self.compression

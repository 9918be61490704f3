"""Write an image, or a bundle, as files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import BinaryIO

from purekernel.errors import UsageError
from purekernel.formats.boot_losses import refuse_losses
from purekernel.formats.iso import write_iso
from purekernel.host.write import Output, WriteOutput, publish
from purekernel.progress import Progress, Silent
from purekernel.razor.bundle import bundle_name
from purekernel.recipe.flavour import Flavour
from purekernel.remaster.compose import Assembly
from purekernel.remaster.image import Image
from purekernel.remaster.pxe import build_pxe_files
from purekernel.tree import Buffer


class Emit(Enum):
    """Kinds of output files."""

    ISO = "iso"
    CORE = "core"
    PXE = "pxe"


def write_image(
    image: Image,
    folder: str | os.PathLike[str],
    *,
    emit: Iterable[Emit | str] = (Emit.ISO,),
    progress: Progress | None = None,
) -> list[Output]:
    """Write ``image`` into ``folder``, all files or none.

    Args:
        image: the image to write.
        folder: the folder to write to; created if missing.
        emit: ``ISO`` gives ``NAME.iso``; ``CORE`` gives ``core.gz`` and ``vmlinuz``; ``PXE``
            gives the folder ``NAME.pxe`` for a TFTP or HTTP server. Their values, such as
            ``"iso"``, are accepted too.
        progress: receives the steps.

    Raises:
        UsageError: ``emit`` is empty, or has an unknown value.
        BootLossError: ``emit`` includes an ISO, but the image was made for other outputs and an
            ISO would lose one of the base's boot methods.
        CombinedError: it would lose several.
        BootMenuError: the ISO's menu cannot be converted for a server's folder.
        OutputError: a file cannot be written; existing files stay unchanged.
        UnrepresentableError: ISO 9660 cannot represent an entry of the image.
    """
    wanted = _wanted(emit)
    if Emit.ISO in wanted:
        refuse_losses(image.iso_losses, source=image.name)
    writers: dict[str, WriteOutput] = {}
    if Emit.ISO in wanted:
        writers[f"{image.name}.iso"] = partial(_write_iso, image)
    if Emit.CORE in wanted:
        writers["core.gz"] = partial(_write_bytes, image.core)
        writers["vmlinuz"] = partial(_write_bytes, image.kernel)
    if Emit.PXE in wanted:
        for path, content in build_pxe_files(image).items():
            writers[f"{image.name}.pxe/{path}"] = partial(_write_bytes, content)
    with (progress or Silent()).step("writing"):
        return publish(Path(folder), writers)


def output_names(name: str, emit: Iterable[Emit | str]) -> list[str]:
    """Return the names that :func:`write_image` writes for an image called ``name``.

    Raises:
        UsageError: ``emit`` is empty, or has an unknown value.
    """
    names = {
        Emit.ISO: [f"{name}.iso"],
        Emit.CORE: ["core.gz", "vmlinuz"],
        Emit.PXE: [f"{name}.pxe"],
    }
    wanted = _wanted(emit)
    return [path for output, paths in names.items() if output in wanted for path in paths]


def _wanted(emit: Iterable[Emit | str]) -> set[Emit]:
    try:
        wanted = {Emit(value) for value in emit}
    except ValueError as error:
        raise UsageError(f"unknown output: must be iso, core or pxe: {error}") from None
    if not wanted:
        raise UsageError("no output is named", hint="name iso, core or pxe")
    return wanted


def _write_bytes(content: Buffer, stream: BinaryIO) -> None:
    stream.write(content)


def _write_iso(image: Image, stream: BinaryIO) -> None:
    write_iso(
        image.iso,
        stream,
        fields=image.volume,
        boot=image.boot,
        timestamp=image.timestamp,
    )


# Write a bundle atomically.


def write_bundle(assembly: Assembly, folder: Path, *, progress: Progress | None = None) -> Output:
    """Write the bundle into ``folder``, which is created if missing.

    Raises:
        PurekernelError: an input is damaged, or two inputs contradict each other.
        OutputError: the bundle cannot be written; an existing file stays unchanged.
    """
    progress = progress or Silent()
    with progress.step("assembling"):
        content = assembly.bundle()
    name = bundle_name(assembly.flavour or Flavour.DEV)
    with progress.step("writing"):
        (output,) = publish(folder, {name: partial(_write, content)})
    return output


def _write(content: bytes, stream: BinaryIO) -> None:
    stream.write(content)

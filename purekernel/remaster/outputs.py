"""The files that an image is given out as."""

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
from purekernel.host.write import Output, Writer, publish
from purekernel.progress import Progress, Silent
from purekernel.razor.bundle import bundle_name
from purekernel.recipe.flavour import Flavour
from purekernel.remaster.compose import Assembly
from purekernel.remaster.image import Image
from purekernel.remaster.pxe import build_pxe_files
from purekernel.tree import Buffer


class Emit(Enum):
    """What can be made of an image."""

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
    """Write ``image`` into ``folder``, all of it or nothing.

    Args:
        image: what to write.
        folder: made where it is missing.
        emit: ``ISO`` gives ``NAME.iso``; ``CORE`` gives ``core.gz`` and ``vmlinuz``; ``PXE``
            gives the folder ``NAME.pxe`` for a TFTP or HTTP server. Their values (``"iso"``)
            do as well.
        progress: is told of the steps.

    Raises:
        UsageError: ``emit`` names nothing, or what there is not.
        BootLossError: an ISO is wanted, and the image was made without one in mind from a base
            that boots in more ways.
        BootMenuError: the ISO's menu cannot be carried over to a server's folder.
        OutputError: something cannot be written; what stood there before still stands.
        UnrepresentableError: the ISO format has no room for something in the image.
    """
    wanted = _wanted(emit)
    if Emit.ISO in wanted:
        refuse_losses(image.iso_losses, source=image.name)
    writers: dict[str, Writer] = {}
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
    """Return what :func:`write_image` would write of an image called ``name``, in its folder.

    Raises:
        UsageError: ``emit`` names nothing, or what there is not.
    """
    names = {
        Emit.ISO: [f"{name}.iso"],
        Emit.CORE: ["core.gz", "vmlinuz"],
        Emit.PXE: [f"{name}.pxe"],
    }
    wanted = _wanted(emit)
    return [path for one, paths in names.items() if one in wanted for path in paths]


def _wanted(emit: Iterable[Emit | str]) -> set[Emit]:
    try:
        wanted = {Emit(one) for one in emit}
    except ValueError as error:
        raise UsageError(
            f"nothing can be made of an image but iso, core and pxe: {error}"
        ) from None
    if not wanted:
        raise UsageError("nothing is to be made of the image", hint="name iso, core or pxe")
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


# Write a bundle, whole or not at all.


def write_bundle(assembly: Assembly, folder: Path, *, progress: Progress | None = None) -> Output:
    """Write the bundle into ``folder``, which is made where it is missing.

    Raises:
        PurekernelError: an input is damaged, or two do not go together.
        OutputError: it cannot be written; what stood there before still stands.
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

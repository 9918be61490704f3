"""Write an image as files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from purekernel.formats.boot_losses import refuse_losses
from purekernel.host.write import Output, WriteOutput, publish
from purekernel.progress import Progress, Silent
from purekernel.recipe.flavour import Emit
from purekernel.recipe.outputs import Outputs
from purekernel.remaster.image import Image
from purekernel.remaster.pxe import build_pxe_files
from purekernel.tree import Buffer


def write_image(
    image: Image,
    folder: str | os.PathLike[str],
    *,
    kinds: Iterable[Emit | str] | None = None,
    progress: Progress | None = None,
) -> list[Output]:
    """Write ``image`` into ``folder``, all files or none.

    Args:
        image: the image to write.
        folder: the folder to write to; created if missing.
        kinds: the kinds of files (see :class:`Outputs`); by default those that the image was made
            for.
        progress: receives the steps.

    Raises:
        UsageError: ``kinds`` is empty, or has an unknown value.
        BootLossError: ``kinds`` includes an ISO, but the image was made for other outputs and an
            ISO would lose one of the base's boot methods.
        CombinedError: it would lose several.
        BootMenuError: the ISO's menu cannot be converted for a server's folder.
        OutputError: a file cannot be written; existing files stay unchanged.
        UnrepresentableError: ISO 9660 cannot represent an entry of the image.
    """
    wanted = Outputs(kinds=kinds).kinds or image.kinds
    if Emit.ISO in wanted:
        refuse_losses(image.iso_losses, source=image.name)
    contents: dict[str, Buffer | WriteOutput] = {}
    if Emit.ISO in wanted:
        contents[f"{image.name}.iso"] = image.write_iso
    if Emit.CORE in wanted:
        contents["core.gz"] = image.core
        contents["vmlinuz"] = image.kernel
    if Emit.PXE in wanted:
        for path, content in build_pxe_files(image).items():
            contents[f"{image.name}.pxe/{path}"] = content
    with (progress or Silent()).step("writing"):
        return publish(Path(folder), contents)


def output_names(name: str, kinds: Iterable[Emit]) -> list[str]:
    """Return the names that :func:`write_image` writes for an image called ``name``."""
    names = {
        Emit.ISO: [f"{name}.iso"],
        Emit.CORE: ["core.gz", "vmlinuz"],
        Emit.PXE: [f"{name}.pxe"],
    }
    return [path for kind in kinds for path in names[kind]]

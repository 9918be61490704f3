"""Write a bundle, whole or not at all."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import BinaryIO

from purekernel.build.assembly import Assembly
from purekernel.host.write import Output, publish
from purekernel.progress import Progress, Silent
from purekernel.razor.bundle import bundle_name
from purekernel.recipe.flavour import Flavour


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

"""Rebuild Tiny Core Linux images in memory, as an ordinary user, without other programs.

The functions of the ``purekernel`` command::

    from purekernel import Outputs, build

    build("razor-microkernel-bundle-dev.tar.gz", outputs=Outputs(folder="out"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from purekernel.version import __version__

if TYPE_CHECKING:
    from purekernel.analysis.open import Places
    from purekernel.encode.cluster import open_executor
    from purekernel.encode.encoders import Effort
    from purekernel.errors import PurekernelError
    from purekernel.host.write import Output
    from purekernel.progress import Progress
    from purekernel.razor.bundle import Bundle, load_bundle, sample_bundle
    from purekernel.recipe.additions import OverlayChoice
    from purekernel.recipe.boot import BootChanges
    from purekernel.recipe.context import Context
    from purekernel.recipe.flavour import Emit, Flavour, Generation
    from purekernel.recipe.model import Recipe
    from purekernel.recipe.outputs import Modules, Outputs
    from purekernel.recipe.read import load_recipe
    from purekernel.remaster.build import build
    from purekernel.remaster.image import Image
    from purekernel.remaster.outputs.write import write_image
    from purekernel.tree import Layer, Tree

# Names are imported on first use: 'purekernel --help' needs none of them, and importing their
# modules takes about 150 ms.
_HOMES = {
    "BootChanges": "purekernel.recipe.boot",
    "Bundle": "purekernel.razor.bundle",
    "Context": "purekernel.recipe.context",
    "Effort": "purekernel.encode.encoders",
    "Emit": "purekernel.recipe.flavour",
    "Flavour": "purekernel.recipe.flavour",
    "Generation": "purekernel.recipe.flavour",
    "Image": "purekernel.remaster.image",
    "Layer": "purekernel.tree",
    "Modules": "purekernel.recipe.outputs",
    "Output": "purekernel.host.write",
    "Outputs": "purekernel.recipe.outputs",
    "OverlayChoice": "purekernel.recipe.additions",
    "Places": "purekernel.analysis.open",
    "Progress": "purekernel.progress",
    "PurekernelError": "purekernel.errors",
    "Recipe": "purekernel.recipe.model",
    "Tree": "purekernel.tree",
    "build": "purekernel.remaster.build",
    "load_bundle": "purekernel.razor.bundle",
    "load_recipe": "purekernel.recipe.read",
    "open_executor": "purekernel.encode.cluster",
    "sample_bundle": "purekernel.razor.bundle",
    "write_image": "purekernel.remaster.outputs.write",
}

__all__ = [
    "BootChanges",
    "Bundle",
    "Context",
    "Effort",
    "Emit",
    "Flavour",
    "Generation",
    "Image",
    "Layer",
    "Modules",
    "Output",
    "Outputs",
    "OverlayChoice",
    "Places",
    "Progress",
    "PurekernelError",
    "Recipe",
    "Tree",
    "__version__",
    "build",
    "load_bundle",
    "load_recipe",
    "open_executor",
    "sample_bundle",
    "write_image",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'purekernel' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)

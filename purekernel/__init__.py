"""Rebuild Tiny Core Linux images in memory, as an ordinary user, without other programs.

The functions of the ``purekernel`` command::

    from purekernel import make_image, write_image

    image = make_image("razor-microkernel-bundle-dev.tar.gz", iso_version="0.9.0.1")
    write_image(image, "out")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from purekernel.version import __version__

if TYPE_CHECKING:
    from purekernel.encode.cluster import open_executor
    from purekernel.encode.encoders import Effort
    from purekernel.errors import PurekernelError
    from purekernel.host.write import Output
    from purekernel.razor.bundle import Bundle
    from purekernel.recipe.encoding import Encoding, Modules
    from purekernel.recipe.flavour import Flavour, Generation
    from purekernel.recipe.request import Request
    from purekernel.remaster.image import Image, Options, build_image
    from purekernel.remaster.job import (
        Provision,
        load_bundle,
        load_layers,
        make_image,
        sample_bundle,
    )
    from purekernel.remaster.outputs import Emit, write_image
    from purekernel.tree import Layer, Tree

# Names are imported on first use: 'purekernel --help' needs none of them, and importing their
# modules takes about 150 ms.
_HOMES = {
    "Bundle": "purekernel.razor.bundle",
    "Effort": "purekernel.encode.encoders",
    "Emit": "purekernel.remaster.outputs",
    "Encoding": "purekernel.recipe.encoding",
    "Flavour": "purekernel.recipe.flavour",
    "Generation": "purekernel.recipe.flavour",
    "Image": "purekernel.remaster.image",
    "Layer": "purekernel.tree",
    "Modules": "purekernel.recipe.encoding",
    "Options": "purekernel.remaster.image",
    "Output": "purekernel.host.write",
    "Provision": "purekernel.remaster.job",
    "PurekernelError": "purekernel.errors",
    "Request": "purekernel.recipe.request",
    "Tree": "purekernel.tree",
    "build_image": "purekernel.remaster.image",
    "load_bundle": "purekernel.remaster.job",
    "load_layers": "purekernel.remaster.job",
    "make_image": "purekernel.remaster.job",
    "open_executor": "purekernel.encode.cluster",
    "sample_bundle": "purekernel.remaster.job",
    "write_image": "purekernel.remaster.outputs",
}

__all__ = [
    "Bundle",
    "Effort",
    "Emit",
    "Encoding",
    "Flavour",
    "Generation",
    "Image",
    "Layer",
    "Modules",
    "Options",
    "Output",
    "Provision",
    "PurekernelError",
    "Request",
    "Tree",
    "__version__",
    "build_image",
    "load_bundle",
    "load_layers",
    "make_image",
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

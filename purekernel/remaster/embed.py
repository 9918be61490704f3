"""Let an image carry its recipe, its lock file and the digests of local inputs."""

from __future__ import annotations

import hashlib

from attrs import evolve

from purekernel.fetch.shipped import load_sample_bundle
from purekernel.plan.carried import Carried, Settings
from purekernel.plan.embedding import embed_bundle, embed_recipe
from purekernel.plan.fetch_plan import Gathered
from purekernel.plan.locking import lock_of
from purekernel.razor.bundle import Bundle
from purekernel.recipe.composition import Composition
from purekernel.recipe.context import Context
from purekernel.recipe.flavour import Emit
from purekernel.recipe.model import Recipe
from purekernel.recipe.outputs import Outputs
from purekernel.tree import display


def embed_gathered(
    gathered: Gathered, composition: Composition, context: Context, outputs: Outputs
) -> Carried:
    """Return what the image of a recipe carries.

    Raises:
        UsageError: the recipe has parts that a file cannot hold.
        PurekernelError: a local input cannot be read.
    """
    recipe = _decided(gathered.plan.recipe, context, outputs)
    return embed_recipe(
        recipe,
        lock_of(gathered),
        _settings(composition, context, outputs),
        version=composition.identity.version,
        limits=context.limits,
    )


def embed_unpacked(
    bundle: Bundle, composition: Composition, context: Context, outputs: Outputs
) -> Carried:
    """Return what the image of a bundle carries; raise as :func:`embed_gathered`."""
    sample = hashlib.sha256(load_sample_bundle()).hexdigest()
    return embed_bundle(
        evolve(bundle, changes=_decided(bundle.changes, context, outputs)),
        _settings(composition, context, outputs),
        is_sample=bundle.sha256 == sample,
        limits=context.limits,
    )


def _decided(recipe: Recipe, context: Context, outputs: Outputs) -> Recipe:
    """Return the recipe with what the command line decides besides it."""
    if context.timestamp is not None:
        recipe = evolve(recipe, timestamp=context.timestamp)
    if outputs.file is not None and Emit.DISK in outputs.kinds_for(recipe):
        recipe = evolve(recipe, disk=recipe.disk.for_name(outputs.file.name))
    return recipe


def _settings(composition: Composition, context: Context, outputs: Outputs) -> Settings:
    base = composition.base
    compression = outputs.compression_for(
        base.kernel.content, source=display(base.kernel_path), limits=context.limits
    )
    return Settings(
        emit=tuple(kind.value for kind in outputs.kinds_for(composition.recipe)),
        effort=outputs.effort_for(composition.identity.flavour).value,
        compression=compression.value,
        modules=outputs.modules.value,
        nested=outputs.nested,
    )

"""Build an image from a recipe or a bundle: the one entry of the command line and the library."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attrs import evolve

from purekernel import plan as planning
from purekernel import remaster
from purekernel.analysis.components import Component
from purekernel.errors import UsageError, raise_all
from purekernel.fetch.urls import portable_name
from purekernel.razor.bundle import Bundle, load_bundle
from purekernel.razor.microkernel import compose_bundle
from purekernel.recipe.composition import Composition
from purekernel.recipe.context import Context
from purekernel.recipe.destination import Destination
from purekernel.recipe.flavour import Emit, Flavour
from purekernel.recipe.model import Recipe
from purekernel.recipe.outputs import Outputs
from purekernel.recipe.system import serial_faults
from purekernel.remaster.components import bundle_components, recipe_components
from purekernel.remaster.disc import WITH_ISO_FILES
from purekernel.remaster.image import Image
from purekernel.remaster.make import make_image
from purekernel.remaster.outputs.replaced import compare_replaced, find_replaced, load_replaced
from purekernel.remaster.outputs.write import find_notes, write_outputs
from purekernel.remaster.system import serial_passes

if TYPE_CHECKING:
    from purekernel.plan.carried import Carried
    from purekernel.plan.lock import Lock


def build(
    source: Recipe | Bundle | str | os.PathLike[str],
    context: Context | None = None,
    outputs: Outputs | None = None,
) -> Image:
    """Make an image, and write it if ``outputs`` names a folder, a file or a stream.

    The result depends on the arguments and on the inputs that they name; not on user, host or time.

    Args:
        source: a recipe, whose inputs are planned and fetched; a bundle; or the path of a bundle.
        context: what the build uses of its surroundings; by default the user's store and threads,
            and no environment variables.
        outputs: what to write and where; by default nothing is written.

    Raises:
        UsageError: two settings contradict each other.
        BootLossError: the output would lose a way to boot that the base has.
        OutputError: a file cannot be written; existing files stay unchanged.
        PurekernelError: an input is missing or damaged, has another digest, or does not fit the
            others.
    """
    return build_carried(source, context or Context(), outputs or Outputs())


def build_carried(
    source: Recipe | Bundle | str | os.PathLike[str],
    context: Context,
    outputs: Outputs,
    *,
    lock: Lock | None = None,
    carried: Carried | None = None,
) -> Image:
    """Make an image as :func:`build`.

    Args:
        source: as for :func:`build`.
        context: as for :func:`build`.
        outputs: as for :func:`build`.
        lock: the content of the lock file, in place of one on this host.
        carried: what the image carries of its making; ``None`` for what this build makes of it.

    Raises:
        PurekernelError: as :func:`build`.
    """
    if isinstance(source, Recipe):  # before anything is fetched
        outputs.check_destination(outputs.kinds_for(source))
    notes: dict[str, None] = {}

    def report(text: str) -> None:
        notes[text] = None

    limits = evolve(context.limits.budgeted(), report=report)
    context = evolve(context, limits=limits)
    image = _build(source, context, outputs, lock=lock, carried=carried)
    return evolve(image, notes=(*notes, *image.notes))


def _build(
    source: Recipe | Bundle | str | os.PathLike[str],
    context: Context,
    outputs: Outputs,
    *,
    lock: Lock | None,
    carried: Carried | None,
) -> Image:
    if isinstance(source, Recipe):
        _check_embed(source, outputs)
        with planning.open_plan_context(source, context, lock=lock) as plan_context:
            # The files beside extensions have their licences.
            is_complete = Emit.SBOM in outputs.kinds_for(source)
            gathered = planning.gather(
                plan_context, complete=is_complete, progress=context.progress
            )
            with context.progress.step("assembling"):
                composition = remaster.compose_recipe(gathered, context)
                components = recipe_components(gathered)
            if source.output.embed and carried is None:
                carried = remaster.embed_gathered(gathered, composition, context, outputs)
            return _finish(with_carried(composition, carried), components, context, outputs)
    if not isinstance(source, Bundle):
        with context.progress.step("reading the bundle"):
            source = load_bundle(source, limits=context.limits)
    _check_embed(source.changes, outputs)
    raise_all(serial_faults(source.changes))
    composition = compose_bundle(source, context)
    serial = serial_passes(
        source.changes,
        autologin=True if source.flavour is Flavour.DEBUG else None,
        mtime=context.time_of(source.changes, at_least=composition.mtime),
    )
    composition = evolve(composition, passes=(*serial, *composition.passes))
    if source.changes.output.embed and carried is None:
        carried = remaster.embed_unpacked(source, composition, context, outputs)
    return _finish(with_carried(composition, carried), bundle_components(source), context, outputs)


def _check_embed(recipe: Recipe, outputs: Outputs) -> None:
    """Refuse outputs that cannot carry a recipe."""
    kinds = outputs.kinds_for(recipe)
    if recipe.output.embed and WITH_ISO_FILES.isdisjoint(kinds):
        names = " and ".join(kind.value for kind in kinds)
        raise UsageError(
            f"no output can carry the recipe: must be iso or disk, got {names}",
            hint="leave out embed, or add one of them",
        ).within(recipe.output.place("embed"))


def with_carried(composition: Composition, carried: Carried | None) -> Composition:
    """Return the composition of an image that carries its recipe; ``None`` for nothing."""
    if carried is None:
        return composition
    names = {portable_name(text): portable_name(new) for text, new in carried.names.items()}
    return evolve(
        composition,
        iso_files={**composition.iso_files, **carried.files()},
        carried_names=names,
    )


def _finish(
    composition: Composition,
    components: tuple[Component, ...],
    context: Context,
    outputs: Outputs,
) -> Image:
    outputs.destination.check_checksums()  # what is wrong is found before the work
    image = make_image(composition, context, outputs)
    notes = (*image.notes, *find_notes(image))
    image = evolve(image, notes=notes, components=components)
    if outputs.destination == Destination():
        return image
    replaced = load_replaced(image, outputs) if outputs.changes else {}
    files = write_outputs(
        image,
        evolve(outputs, kinds=image.kinds),
        progress=context.progress,
        jobs=context.jobs,
    )
    image = evolve(image, files=tuple(files), checksums=outputs.destination.checksums)
    replaced = find_replaced(files, replaced)
    if not replaced:
        return image
    with context.progress.step("comparing with what was replaced"):
        return evolve(image, changes=compare_replaced(replaced))

"""Build an image from a recipe or a bundle: the one entry of the command line and the library."""

from __future__ import annotations

import os

from attrs import evolve

from purekernel import plan as planning
from purekernel import remaster
from purekernel.errors import raise_all
from purekernel.razor.bundle import Bundle, load_bundle
from purekernel.razor.microkernel import compose_bundle
from purekernel.recipe.composition import Composition
from purekernel.recipe.context import Context
from purekernel.recipe.destination import Destination
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.model import Recipe
from purekernel.recipe.outputs import Outputs
from purekernel.recipe.system import serial_faults
from purekernel.remaster.image import Image
from purekernel.remaster.make import make_image
from purekernel.remaster.outputs.replaced import compare_replaced, find_replaced, load_replaced
from purekernel.remaster.outputs.write import find_notes, write_outputs
from purekernel.remaster.system import serial_passes


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
    context, outputs = context or Context(), outputs or Outputs()
    if isinstance(source, Recipe):  # before anything is fetched
        outputs.check_destination(outputs.kinds_for(source))
    notes: dict[str, None] = {}

    def report(text: str) -> None:
        notes[text] = None

    limits = evolve(context.limits.budgeted(), report=report)
    image = _build(source, evolve(context, limits=limits), outputs)
    return evolve(image, notes=(*notes, *image.notes))


def _build(
    source: Recipe | Bundle | str | os.PathLike[str], context: Context, outputs: Outputs
) -> Image:
    if isinstance(source, Recipe):
        with planning.open_plan_context(source, context) as plan_context:
            gathered = planning.gather(plan_context, progress=context.progress)
            with context.progress.step("assembling"):
                composition = remaster.compose_recipe(gathered, context)
            return _finish(composition, context, outputs)
    if not isinstance(source, Bundle):
        with context.progress.step("reading the bundle"):
            source = load_bundle(source, limits=context.limits)
    raise_all(serial_faults(source.changes))
    composition = compose_bundle(source, context)
    serial = serial_passes(
        source.changes,
        autologin=True if source.flavour is Flavour.DEBUG else None,
        mtime=context.time_of(source.changes, at_least=composition.mtime),
    )
    composition = evolve(composition, passes=(*serial, *composition.passes))
    return _finish(composition, context, outputs)


def _finish(composition: Composition, context: Context, outputs: Outputs) -> Image:
    outputs.destination.check_checksums()  # what is wrong is found before the work
    image = make_image(composition, context, outputs)
    image = evolve(image, notes=(*image.notes, *find_notes(image)))
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

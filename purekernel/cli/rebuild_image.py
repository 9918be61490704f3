"""Do the work of ``purekernel rebuild``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from purekernel.cli.build_image import take_context
from purekernel.cli.printer import Printer
from purekernel.cli.terminal import choose_progress
from purekernel.errors import UndecidedError, VerificationError, raise_all
from purekernel.remaster.rebuild import Rebuilt, Verdict, rebuild


def run_rebuild(
    printer: Printer,
    *,
    image: str,
    inputs: Path | None,
    secrets: Path | None,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Build an image again, and print whether it is the same.

    Raises:
        VerificationError: it differs.
        CombinedError, UndecidedError: something is missing to tell.
    """
    progress = choose_progress(quiet=quiet, verbose=verbose, json=printer.as_json)
    with closing(progress):
        # Without the cache of encoded pieces, which the first build may have filled.
        context = take_context(options, progress, printer)
        done = rebuild(image, context, inputs=inputs, secrets=secrets)
    for name, was, now in done.releases:
        printer.note(f"made with {name} {was or 'none'}, this is {now or 'none'}")
    printer.document |= {
        "image": image,
        "result": done.verdict.value,
        "difference": done.difference or None,
        "releases": {name: {"made": was, "now": now} for name, was, now in done.releases},
        "inputs": {name: str(path) for name, path in sorted(done.inputs.items())},
    }
    if done.verdict is Verdict.SAME and not quiet:
        printer.text(f"{image}: the rebuilt image has the same bytes")
    raise_all([*done.missing, *_differences(image, done)])


def _differences(image: str, done: Rebuilt) -> list[VerificationError | UndecidedError]:
    if not done.difference:
        return []
    message = f"{image}: the rebuilt image differs; the first difference: {done.difference}"
    if done.verdict is Verdict.UNDECIDED:
        hint = "rebuild it with the releases that it was made with"
        return [UndecidedError(message, hint=hint)]
    hint = "the image was changed, or is not made from what it carries"
    return [VerificationError(message, hint=hint)]

"""Compare outputs with the files that they replace, which are read before.

Nothing here fails a build: what cannot be compared is a reason in the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve

from purekernel.analysis.diff.compare import compare_items
from purekernel.analysis.diff.model import Aspect, Comparison
from purekernel.errors import PurekernelError
from purekernel.formats.address import item_of
from purekernel.host.read import load_file
from purekernel.host.write import Output
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.recipe.flavour import Emit
from purekernel.recipe.outputs import Outputs
from purekernel.remaster.image import Image, OutputChanges
from purekernel.remaster.outputs.rootfs import rootfs_name

# The size of the largest file that is compared. The old and the new file are held in memory.
MAX_COMPARED_BYTES = 256 << 20

# The time of an image is often that of its newest input, and how it is packed depends on settings.
_IGNORED = (Aspect.TIME, Aspect.PACKING)


def load_replaced(image: Image, outputs: Outputs) -> dict[Path, bytes | str]:
    """Return the files that outputs are about to replace, or why one is not compared.

    A missing file has a reason, too. Outputs of several files, such as those of a network boot,
    are not compared.
    """
    if outputs.file is not None:
        paths = [outputs.file]
    elif outputs.folder is not None:
        paths = [outputs.folder / name for name in _names(image)]
    else:
        paths = []
    loaded: dict[Path, bytes | str] = {}
    for path in paths:
        try:
            loaded[path] = load_file(path, limits=Limits(unpacked_bytes=MAX_COMPARED_BYTES))
        except (PurekernelError, OSError, MemoryError) as error:
            loaded[path] = str(error) or type(error).__name__
    return loaded


def _names(image: Image) -> list[str]:
    names = {
        Emit.ISO: f"{image.name}.iso",
        Emit.INITRD: f"{image.name}.gz",
        Emit.TCE: f"{image.name}.tce.tar",
        Emit.ROOTFS: rootfs_name(image.name, image.rootfs.compression),
        Emit.DISK: image.name + image.disk.file_ending,
    }
    return [names[kind] for kind in image.kinds if kind in names]


def find_replaced(
    files: Sequence[Output], loaded: Mapping[Path, bytes | str]
) -> dict[Path, bytes | str]:
    """Return what of ``loaded`` was replaced by written files with another digest."""
    return {
        output.path: loaded[output.path]
        for output in files
        if output.path in loaded
        and output.replaced is not None
        and output.replaced.sha256 not in (None, output.sha256)
    }


def compare_replaced(replaced: Mapping[Path, bytes | str]) -> tuple[OutputChanges, ...]:
    """Compare written files with those that they replaced, except with what is no archive."""
    compared = (_compare(path, old) for path, old in replaced.items())
    return tuple(each for each in compared if not _is_of_other_kind(each.comparison))


def _is_of_other_kind(comparison: Comparison | None) -> bool:
    """Return whether only the files as such were compared, because one is no archive."""
    changes = () if comparison is None else comparison.changes
    return any(not each.place and not each.path and each.cost is not None for each in changes)


def _compare(path: Path, old: bytes | str) -> OutputChanges:
    if isinstance(old, str):
        return OutputChanges(path=path, reason=old)
    limits = evolve(DEFAULT_LIMITS, budget=None).budgeted()
    try:
        new = load_file(path, limits=Limits(unpacked_bytes=MAX_COMPARED_BYTES))
        olds = item_of(Input(old, name=f"the old {path.name}", limits=limits))
        news = item_of(Input(new, name=path.name, limits=limits))
        comparison = compare_items(olds, news, ignore=_IGNORED, has_estimates=False)
    except (PurekernelError, OSError, MemoryError) as error:
        return OutputChanges(path=path, reason=str(error) or type(error).__name__)
    if comparison.faults:
        return OutputChanges(path=path, comparison=comparison, reason=str(comparison.faults[0]))
    return OutputChanges(path=path, comparison=comparison)

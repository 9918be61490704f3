"""Write an image as files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from attrs import evolve

from purekernel.errors import OutputError, UsageError
from purekernel.formats.boot_losses import refuse_losses
from purekernel.formats.tar import build_tar
from purekernel.host.checksums import CHECKSUMS
from purekernel.host.windows_names import check_windows_name
from purekernel.host.write import About, Output, WriteOutput, with_holes
from purekernel.progress import Progress, Silent
from purekernel.recipe.flavour import Emit, InitrdLayout
from purekernel.recipe.model import Recipe
from purekernel.recipe.outputs import Outputs
from purekernel.remaster.disc import no_tce
from purekernel.remaster.image import Image
from purekernel.remaster.outputs.disk import build_disk
from purekernel.remaster.outputs.oci import build_oci, oci_name, write_oci_archive
from purekernel.remaster.outputs.provenance import PROVENANCE_ENDING, build_provenance
from purekernel.remaster.outputs.pxe import build_pxe_files, find_left_out
from purekernel.remaster.outputs.rootfs import archive_compression, rootfs_name, write_rootfs
from purekernel.remaster.outputs.sbom import SBOM_ENDING, build_sbom
from purekernel.repos.tinycore.placement import TCE
from purekernel.rootfs.ownership import STAFF_GROUP, TC_USER
from purekernel.threads import running_executor
from purekernel.tree import Buffer, Tree, display
from purekernel.tree.path import join, name

CORE_NAMES = ("core.gz", "vmlinuz")


def write_image(
    image: Image,
    folder: str | os.PathLike[str],
    *,
    kinds: Iterable[Emit | str] | None = None,
    progress: Progress | None = None,
    jobs: int | None = None,
) -> list[Output]:
    """Write ``image`` into ``folder``, all files or none, and add them to its SHA256SUMS.

    Args:
        image: the image to write.
        folder: the folder to write to; created if missing.
        kinds: the kinds of files (see :class:`Outputs`); by default those that the image was made
            for.
        progress: receives the steps.
        jobs: the number of threads that compress the root file system; ``None`` for one per
            processor.

    Raises:
        UsageError: ``kinds`` is empty, or has an unknown value.
        BootLossError: ``kinds`` includes an ISO, but the image was made for other outputs and an
            ISO would lose one of the base's boot methods.
        CombinedError: it would lose several.
        BootMenuError: the ISO's menu cannot be converted for a server's folder.
        OutputError: a file cannot be written; existing files stay unchanged.
        InputError: the folder's SHA256SUMS cannot be read, or has lines of another kind.
        UnrepresentableError: ISO 9660, FAT or tar cannot represent an entry of the image, or the
            size of the disk is too small.
    """
    outputs = Outputs(folder=folder, kinds=kinds)
    return write_outputs(image, outputs, progress=progress, jobs=jobs)


def write_outputs(
    image: Image,
    outputs: Outputs,
    *,
    progress: Progress | None = None,
    jobs: int | None = None,
) -> list[Output]:
    """Write ``image`` to the folder, file or stream of ``outputs``; raise as :func:`write_image`.

    Returns:
        The files that were written; none without a folder, file or stream.
    """
    wanted = outputs.kinds or image.kinds
    outputs.check_destination(wanted)
    if Emit.ISO in wanted:
        refuse_losses(image.iso_losses, source=image.name)
    image = _fit(image, outputs)
    with (progress or Silent()).step("writing"), running_executor(jobs=jobs) as executor:
        return outputs.destination.write(
            _contents(image, wanted, executor),
            checksums=True,
            about=_provenance_of(image, outputs) if Emit.PROVENANCE in wanted else None,
        )


def _provenance_of(image: Image, outputs: Outputs) -> About:
    """Return what makes the provenance of the files that are written."""
    folder = outputs.folder or Path()
    name = image.name + PROVENANCE_ENDING
    return lambda written: (name, build_provenance(image, written, folder))


def find_notes(image: Image) -> list[str]:
    """Return notes about what the outputs of ``image`` lack."""
    return list(find_left_out(image)) if Emit.PXE in image.kinds else []


def _fit(image: Image, outputs: Outputs) -> Image:
    """Return ``image`` with the formats that the name of one file, or a stream, asks for."""
    if outputs.file is None and outputs.stream is None:
        return image
    rootfs, disk = image.rootfs, image.disk
    if outputs.file is not None:
        compression = archive_compression(outputs.file.name)
        rootfs = evolve(rootfs, compression=compression or rootfs.compression)
        disk = disk.for_name(outputs.file.name)
    return evolve(image, rootfs=rootfs, disk=disk, oci=evolve(image.oci, archive=True))


def _contents(
    image: Image, wanted: Sequence[Emit], executor: Executor
) -> dict[str, Buffer | WriteOutput]:
    """Return the content of each output, by its path in the folder."""
    contents = _boot_contents(image, wanted)
    if Emit.ROOTFS in wanted:
        archive = rootfs_name(image.name, image.rootfs.compression)
        contents[archive] = partial(write_rootfs, image, executor=executor)
    if Emit.OCI in wanted and image.oci.archive:
        layout = oci_name(image.name, archive=True)
        contents[layout] = partial(write_oci_archive, image, executor=executor)
    elif Emit.OCI in wanted:
        layout = oci_name(image.name, archive=False)
        for path, content in build_oci(image, executor).items():
            contents[f"{layout}/{path}"] = content
    return contents


def _boot_contents(image: Image, wanted: Iterable[Emit]) -> dict[str, Buffer | WriteOutput]:
    """Return the contents of all files but those that threads compress, by name."""
    contents: dict[str, Buffer | WriteOutput] = {}
    if Emit.ISO in wanted:
        contents[f"{image.name}.iso"] = image.write_iso
    if Emit.CORE in wanted:
        contents |= _core_files(image)
    if Emit.INITRD in wanted:
        contents[f"{image.name}.gz"] = _second(image)
    if Emit.PXE in wanted:
        for path, content in build_pxe_files(image).items():
            contents[f"{image.name}.pxe/{path}"] = content
    if Emit.TCE in wanted:
        contents[f"{image.name}.tce.tar"] = build_tce(image)
    if Emit.SBOM in wanted:
        contents[image.name + SBOM_ENDING] = build_sbom(image)
    if Emit.DISK in wanted:
        contents[image.name + image.disk.file_ending] = with_holes(build_disk(image).write)
    return contents


def _core_files(image: Image) -> dict[str, Buffer]:
    """Return the initrds and the kernel.

    The one initrd of an ISO is always core.gz, and its kernel vmlinuz. Other files keep the names
    of the base.
    """
    if len(image.initrds) == 1 and image.has_bios_loader:
        return {"core.gz": image.core, "vmlinuz": image.kernel}
    pairs = [*image.initrds, (image.kernel_path, image.kernel)]
    return {_file_name(path): content for path, content in pairs}


def _file_name(path: bytes) -> str:
    base = name(path)
    if check_windows_name(base):
        raise OutputError(
            f"{display(path)} has a name that not every system can store",
            hint="give the file of the base another name",
        )
    return base.decode("utf-8", "surrogateescape")


def _second(image: Image) -> Buffer:
    if image.layout is not InitrdLayout.SECOND:
        raise UsageError(
            "the output initrd is the second initrd, and the image has none",
            hint='make the image with layout = "second-initrd"',
        )
    return image.initrds[-1][1]


def build_tce(image: Image) -> bytes:
    """Return the extensions for a writable partition, as a tar archive with the folder ``tce``.

    The user tc owns the files, and the group staff can write them, as tce-setup has it.

    Raises:
        UsageError: the image has no such extensions.
    """
    if image.tce is None:
        raise no_tce()
    tree = Tree()
    for path, node in image.tce.walk():
        mode = node.metadata.mode | 0o020
        metadata = evolve(node.metadata, mode=mode, uid=TC_USER, gid=STAFF_GROUP)
        tree.add(join(TCE, path) if path else TCE, evolve(node, metadata=metadata))
    return build_tar(tree)


def output_names(
    name: str,
    kinds: Iterable[Emit],
    recipe: Recipe,
    core: Sequence[str] = CORE_NAMES,
) -> list[str]:
    """Return the names that :func:`write_image` writes for an image called ``name``.

    Args:
        name: name of the image.
        kinds: the kinds of files.
        recipe: says how the root file system and the disk are written.
        core: the names of the initrds and the kernel, if the recipe gives them.
    """
    names = {
        Emit.ISO: [f"{name}.iso"],
        Emit.CORE: list(core),
        Emit.INITRD: [f"{name}.gz"],
        Emit.PXE: [f"{name}.pxe"],
        Emit.TCE: [f"{name}.tce.tar"],
        Emit.ROOTFS: [rootfs_name(name, recipe.rootfs.compression)],
        Emit.DISK: [name + recipe.disk.file_ending],
        Emit.OCI: [oci_name(name, archive=recipe.oci.archive)],
        Emit.SBOM: [name + SBOM_ENDING],
        Emit.PROVENANCE: [name + PROVENANCE_ENDING],
    }
    return [*(path for kind in kinds for path in names[kind]), CHECKSUMS]

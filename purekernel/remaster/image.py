"""Make an image from its composition, in a sequence of steps from tree to tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from io import BytesIO
from typing import BinaryIO

from attrs import evolve, field

from purekernel.encode.encoders import Effort
from purekernel.errors import PurekernelError, inside, raise_all
from purekernel.formats.boot_losses import BootLoss, refuse_losses
from purekernel.formats.compress import compress
from purekernel.formats.core_iso import Base
from purekernel.formats.initramfs import Compression
from purekernel.formats.iso import ElTorito, VolumeFields, check_fields, write_iso
from purekernel.host.write import Output
from purekernel.input import Limits
from purekernel.interruption import result_of
from purekernel.progress import Progress
from purekernel.recipe.composition import BootFiles, Composition
from purekernel.recipe.context import Context
from purekernel.recipe.flavour import Emit, Flavour, Generation
from purekernel.recipe.model import VOLUME_FIELDS, IsoChoice, Recipe
from purekernel.recipe.outputs import Modules, Outputs
from purekernel.records import frozen
from purekernel.remaster.boot_menu import change_boot_menu
from purekernel.remaster.core import (
    PackedCore,
    Unpacking,
    build_archive,
    measure_unpacking,
    pack_core,
    recompress_nested,
)
from purekernel.remaster.unreached_menus import find_unreached_menus
from purekernel.rootfs.modules import unpack_modules
from purekernel.rootfs.passes import finishing_passes
from purekernel.tree import (
    Buffer,
    File,
    Layer,
    Metadata,
    Pass,
    Tree,
    clamp_times,
    date_implied,
    display,
    merge,
    put_file,
    with_example,
)

# File capabilities, without which some programs do not work. Notes name them before others.
_CAPABILITIES = b"security.capability"


@frozen(kw_only=True)
class Image:
    """A finished image, in memory.

    Attributes:
        name: name of its files, without extension: ``rz_mk_dev-image.0.9.0.1``.
        version: version of the image; ``None`` if it has none.
        flavour: flavour of the image; ``None`` if the recipe gives none.
        generation: the generation of Razor's conventions; ``None`` for a plain Core.
        root: the root file system.
        core: the root file system as a compressed cpio archive.
        cpio_bytes: size of that archive before compression.
        unpacked_modules_bytes: additional memory that unpacked kernel modules use once booted; 0
            if they are not unpacked.
        unpacked_modules_saved_bytes: reduction of the core's size by unpacked modules, measured on
            the modules alone; negative if the core is larger, 0 if they are not unpacked.
        core_path: path of the core on the ISO.
        kernel: content of the kernel.
        kernel_path: path of the kernel on the ISO.
        iso: the tree of the ISO.
        boot: the ISO's El Torito boot entry.
        volume: the ISO's volume descriptor fields.
        timestamp: the newest time in it, in seconds since 1970, UTC.
        kinds: the kinds of files that the image was made for.
        notes: notes for the user: about the inputs, and what was left out and why, one line each.
        iso_losses: losses that make writing an ISO an error. Empty if ``kinds`` has an ISO.
        files: the files that were written.
    """

    name: str
    version: str | None
    flavour: Flavour | None
    generation: Generation | None
    root: Tree
    core: bytes = field(repr=False)
    cpio_bytes: int
    unpacked_modules_bytes: int
    unpacked_modules_saved_bytes: int
    core_path: bytes
    kernel: Buffer = field(repr=False)
    kernel_path: bytes
    iso: Tree
    boot: ElTorito
    volume: VolumeFields
    timestamp: int
    kinds: tuple[Emit, ...] = (Emit.ISO,)
    notes: tuple[str, ...] = ()
    iso_losses: tuple[BootLoss, ...] = ()
    files: tuple[Output, ...] = ()

    def write_iso(self, stream: BinaryIO) -> None:
        """Write the ISO to a file that is open for reading and writing in binary mode.

        Raises:
            BootLossError: the image was made for other outputs, and an ISO would lose one of the
                base's boot methods.
            CombinedError: it would lose several.
            UnrepresentableError: ISO 9660 cannot represent an entry of the image.
        """
        refuse_losses(self.iso_losses, source=self.name)
        write_iso(self.iso, stream, fields=self.volume, boot=self.boot, timestamp=self.timestamp)

    def iso_bytes(self) -> bytes:
        """Return the ISO as bytes.

        Raises:
            PurekernelError: as for :meth:`write_iso`.
        """
        stream = BytesIO()
        self.write_iso(stream)
        return stream.getvalue()


def make_image(composition: Composition, context: Context, outputs: Outputs) -> Image:
    """Make the image of a composition.

    Raises:
        BootLossError: the output would lose a boot method, and the recipe does not allow that.
        CombinedError: it would lose several.
        PurekernelError: two parts contradict each other, or an option does not fit them.
    """
    progress, recipe = context.progress, composition.recipe
    kinds = outputs.kinds_for(recipe)
    base = composition.base
    if Emit.ISO in kinds:
        _check_volume(recipe.iso)
    identity = composition.identity.with_volume(recipe.iso.volume)
    dropped, iso_losses = _drop_boot(
        base, recipe, limits=context.limits, writes_iso=Emit.ISO in kinds
    )
    timestamp = context.time_of(recipe, _inputs(composition), at_least=composition.mtime)
    metadata = Metadata(mode=0o644, mtime=timestamp)
    with progress.step("merging"):
        root = _merge_root(composition)
        root = date_implied(root, timestamp)  # a copy, so that files can be added
        for path, content in composition.root_files.items():
            put_file(root, path, content, metadata=metadata)
    iso = _change_iso(composition, metadata)
    notes = [*composition.notes, *(f"{base.source}: {loss.note}" for loss in dropped)]
    notes += _lost_iso_files(base, kinds)
    finishing = finishing_passes(mtime=timestamp, note=notes.append)
    root = _run_passes(root, composition.passes, progress)
    packed = root
    if outputs.modules is Modules.RAW:
        with progress.step("unpack kernel modules"):
            root = unpack_modules(root, limits=context.limits)
    unpacked = root
    root = _run_passes(root, finishing, progress)
    root = clamp_times(root, timestamp)
    notes += _lost_attributes(root)
    compression = outputs.compression_for(
        base.kernel.content, source=display(base.kernel_path), limits=context.limits
    )
    effort = outputs.effort_for(identity.flavour)
    unpacking: Callable[[], Unpacking] = Unpacking
    with context.encoders() as executor:
        if unpacked is not packed:
            # Start this first: packing the core often leaves all but one worker idle.
            unpacking = measure_unpacking(
                packed, unpacked, effort=effort, compression=compression, executor=executor
            )
        root, core = _pack(
            root,
            effort=effort,
            outputs=outputs,
            compression=compression,
            executor=executor,
            context=context,
        )
        unpacked_modules = unpacking()
    with progress.step("laying out the ISO"):
        iso = _with_core(iso, composition, core.data, metadata)
    return Image(
        name=identity.name,
        version=identity.version,
        flavour=identity.flavour,
        generation=identity.generation,
        root=root,
        core=core.data,
        cpio_bytes=core.cpio_bytes,
        unpacked_modules_bytes=unpacked_modules.memory_bytes,
        unpacked_modules_saved_bytes=unpacked_modules.saved_bytes,
        core_path=base.core_path,
        kernel=base.kernel.content,
        kernel_path=base.kernel_path,
        iso=iso,
        boot=base.boot,
        volume=identity.volume,
        timestamp=timestamp,
        kinds=kinds,
        notes=tuple(notes),
        iso_losses=iso_losses,
    )


def _lost_iso_files(base: Base, kinds: Iterable[Emit]) -> Iterator[str]:
    """Yield a note for each output that does not include the base's files outside ``boot/``."""
    if base.outside and Emit.ISO in kinds and not base.keeps_outside:
        yield f"{base.source}: dropped {base.outside}; --keep-iso-files keeps what is there"
    if base.outside and Emit.PXE in kinds:
        yield (
            f"{base.source}: the files for booting over the network do not include {base.outside}"
        )


def _lost_attributes(root: Tree) -> Iterator[str]:
    """Yield a note if files have extended attributes, which an initramfs cannot hold."""
    found = [(path, node.metadata.xattrs) for path, node in root.walk() if node.metadata.xattrs]
    if not found:
        return
    capable = ((path, xattrs) for path, xattrs in found if _CAPABILITIES in dict(xattrs))
    path, xattrs = next(capable, found[0])
    name = _CAPABILITIES if _CAPABILITIES in dict(xattrs) else xattrs[0][0]
    example = f"{display(name)[1:-1]} of {display(path)}"
    which = with_example(len(found), "file", example)
    yield f"the core cannot hold the extended attributes of {which}"


def _check_volume(iso: IsoChoice) -> None:
    """Refuse fields that the volume descriptor cannot hold, before the work of an image."""
    errors: list[PurekernelError] = []
    for attribute, name in VOLUME_FIELDS.items():
        try:
            if name in iso.volume:
                with inside(iso.place(attribute)):
                    check_fields(VolumeFields(**{name: iso.volume[name]}))
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)


def _drop_boot(
    base: Base, recipe: Recipe, *, limits: Limits, writes_iso: bool
) -> tuple[tuple[BootLoss, ...], tuple[BootLoss, ...]]:
    """Find what the output loses of the base's boot methods; refuse losses that are not allowed.

    Returns:
        The dropped losses to report, and the losses that only an ISO would have.
    """
    losses = [
        *base.lost,
        *find_unreached_menus(
            base.iso,
            base.boot.boot_image,
            base.boot_entries,
            recipe.boot,
            limits=limits,
        ),
    ]
    if recipe.drop_boot:
        shown = [loss for loss in losses if loss.in_core or writes_iso]
        return tuple(shown), ()
    iso_losses = [loss for loss in losses if not loss.in_core]
    if writes_iso:
        refuse_losses(losses, source=base.source)
    refuse_losses([loss for loss in losses if loss.in_core], source=base.source)
    return (), tuple(iso_losses)


def _run_passes(root: Tree, passes: Iterable[tuple[str, Pass]], progress: Progress) -> Tree:
    for words, run in passes:
        with progress.step(words):
            root = run(root)
    return root


def _pack(
    root: Tree,
    *,
    effort: Effort,
    outputs: Outputs,
    compression: Compression,
    executor: Executor,
    context: Context,
) -> tuple[Tree, PackedCore]:
    """Return the root file system with its nested gzip files recompressed, and the core."""
    if compression is not Compression.GZIP:
        with context.progress.step("compressing"):
            archive = build_archive(root)
            data = result_of(executor.submit(compress, archive, compression))
            return root, PackedCore(data=data, cpio_bytes=len(archive))
    cache = context.cache
    if outputs.nested:
        with context.progress.step("recompressing"):
            root = recompress_nested(
                root,
                effort=effort,
                executor=executor,
                cache=cache,
                modules=outputs.modules is not Modules.KEEP,
                progress=context.progress,
                limits=context.limits,
            )
    with context.progress.step("compressing"):
        core = pack_core(
            root, effort=effort, executor=executor, cache=cache, progress=context.progress
        )
    return root, core


def _inputs(composition: Composition) -> Iterator[Tree]:
    yield composition.base.iso
    yield composition.base.root
    for layer in (*composition.parts, *composition.layers):
        yield layer.tree


def _merge_root(composition: Composition) -> Tree:
    core = root = composition.base.root
    with inside(composition.source):
        for part in composition.parts:
            # Core's own folders keep their metadata; among a bundle's parts the last wins.
            root = _lay_over(root, part, kept=core)
    for layer in composition.layers:
        root = _lay_over(root, layer)
    return root


def _lay_over(root: Tree, layer: Layer, *, kept: Tree | None = None) -> Tree:
    with inside(layer.source):
        return merge(root, layer.tree, stated=layer.stated, kept=kept)


def _change_iso(composition: Composition, metadata: Metadata) -> Tree:
    """Return the base's ISO with added files and a changed menu.

    This needs no core, so what is wrong with the changes is found before the core is compressed.
    """
    base = composition.base
    iso = base.iso.copy()
    for path, content in composition.iso_files.items():
        put_file(iso, path, content, metadata=metadata)
    return change_boot_menu(
        iso, base.boot.boot_image, composition.recipe.boot, timeout=composition.timeout
    )


def _with_core(iso: Tree, composition: Composition, core: bytes, metadata: Metadata) -> Tree:
    """Return ``iso`` with the new core and the files that describe it, no time above its own."""
    base = composition.base
    iso = iso.copy()
    core_metadata = evolve(iso[base.core_path].metadata, mtime=metadata.mtime)
    # Remove and add, so that hard links to the old core keep their content.
    iso.remove(base.core_path)
    iso.add(base.core_path, File(metadata=core_metadata, content=core))
    if composition.describe is not None:
        boot_files = BootFiles(
            kernel_path=base.kernel_path.decode(),
            kernel=base.kernel.content,
            core_path=base.core_path.decode(),
            core=core,
            timestamp=metadata.mtime,
        )
        for path, content in composition.describe(boot_files).items():
            put_file(iso, path, content, metadata=metadata)
    return clamp_times(iso, metadata.mtime)

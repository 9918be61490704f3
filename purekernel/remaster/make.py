"""Make an image from its composition, in a sequence of steps from tree to tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial

from attrs import evolve

from purekernel.analysis.origins import ORIGINS_PATH
from purekernel.encode.encoders import Effort
from purekernel.errors import PurekernelError, UsageError, inside, raise_all
from purekernel.formats.compress import compress
from purekernel.formats.initramfs import Compression
from purekernel.formats.iso import IsoBoot, VolumeFields, check_fields
from purekernel.interruption import result_of
from purekernel.recipe.composition import BootFiles, Composition
from purekernel.recipe.context import Context
from purekernel.recipe.flavour import Emit, InitrdLayout
from purekernel.recipe.iso_files import VOLUME_FIELDS, IsoChoice
from purekernel.recipe.outputs import Modules, Outputs
from purekernel.records import frozen
from purekernel.remaster.boot.efi_check import EfiBoot
from purekernel.remaster.boot.hybrid import add_hybrid, check_hybrid
from purekernel.remaster.boot.initrds import change_initrds, is_booted
from purekernel.remaster.boot.volumes import replace_copies
from purekernel.remaster.containers import check_containers
from purekernel.remaster.core import (
    PackedCore,
    Unpacking,
    build_archive,
    measure_unpacking,
    pack_core,
    recompress_nested,
)
from purekernel.remaster.disc import change_disc, find_left_out, no_tce
from purekernel.remaster.efi import Medium, add_efi, check_boot_files
from purekernel.remaster.findings import find_findings
from purekernel.remaster.image import Image, no_boot_loader
from purekernel.remaster.initrds import arrange_initrds, with_times_of
from purekernel.remaster.losses import drop_boot
from purekernel.remaster.origins import ImageTracker, generated
from purekernel.remaster.root import change_root, finish_root
from purekernel.rootfs.modules import packed_name, unpack_modules
from purekernel.tree import (
    Buffer,
    File,
    Metadata,
    Tree,
    clamp_times,
    display,
    files_with_attributes,
    put_file,
)


def make_image(composition: Composition, context: Context, outputs: Outputs) -> Image:
    """Make the image of a composition.

    Raises:
        BootLossError: the output would lose a boot method, and the recipe does not allow that.
        CombinedError: it would lose several.
        PurekernelError: two parts contradict each other, or an option does not fit them.
    """
    progress, recipe = context.progress, composition.recipe
    kinds = outputs.kinds_for(recipe)
    outputs.check_destination(kinds)
    base = composition.base
    _check_outputs(composition, kinds)
    identity = composition.identity.with_volume(recipe.iso.volume)
    timestamp = context.time_of(recipe, _inputs(composition), at_least=composition.mtime)
    metadata = Metadata(mode=0o644, mtime=timestamp)
    efi = check_boot_files(composition, limits=context.limits)
    iso, boot, disc_notes = change_disc(composition, metadata, limits=context.limits)
    origins = ImageTracker(composition)
    origins.disc.follow(iso, generated("boot menu"), sources=composition.sources)
    dropped, iso_losses = drop_boot(
        composition,
        iso,
        boot,
        limits=context.limits,
        writes_iso=Emit.ISO in kinds,
        writes_disk=Emit.DISK in kinds,
    )
    notes = [*composition.notes, *(f"{base.source}: {loss.note}" for loss in dropped)]
    notes += [*disc_notes, *find_left_out(composition, iso, kinds)]
    packed = root = change_root(composition, metadata, progress, notes, origins.root)
    with progress.step("checking"):
        findings, more = find_findings(composition, root, iso, limits=context.limits)
    notes += more
    if outputs.modules is Modules.RAW:
        with progress.step("unpack kernel modules"):
            root = unpack_modules(root, limits=context.limits)
        origins.root.follow(root, generated("unpack kernel modules"), former=packed_name)
    unpacked = root
    root = finish_root(
        root, composition, progress, notes, origins=origins.root, timestamp=timestamp
    )
    notes += check_containers(recipe, root, identity, kinds)
    if lost := files_with_attributes(root):
        notes.append(f"the core cannot hold the extended attributes of {lost}")
    compression = outputs.compression_for(
        base.kernel.content, source=display(base.kernel_path), limits=context.limits
    )
    effort = outputs.effort_for(identity.flavour)
    layout = recipe.core.layout
    unpacking: Callable[[], Unpacking] = Unpacking
    with context.encoders() as executor:
        if unpacked is not packed:
            # Start this first: packing the core often leaves all but one worker idle.
            unpacking = measure_unpacking(
                packed, unpacked, effort=effort, compression=compression, executor=executor
            )
        packer = _Packer(
            effort=effort,
            outputs=outputs,
            compression=compression,
            executor=executor,
            context=context,
        )
        if layout is InitrdLayout.SECOND:
            root = with_times_of(base.initramfs.tree, root)
        else:
            root = packer.recompress(root)
        parts = arrange_initrds(root, base, layout, place=recipe.core.place("layout"))
        made = {
            part.path: packer.pack(part.tree, part.early) for part in parts if part.tree is not None
        }
        unpacked_modules = unpacking()
    kept = {initrd.path: initrd.content for initrd in base.initrds}
    initrds = tuple(
        (part.path, made[part.path].data if part.path in made else kept[part.path])
        for part in parts
    )
    core_path, core = next(iter(made.items()))
    with progress.step("laying out the ISO"):
        medium = _lay_out(
            composition, iso, boot, efi=efi, initrds=initrds, metadata=metadata, origins=origins
        )
    return Image(
        name=identity.name,
        version=identity.version,
        flavour=identity.flavour,
        generation=identity.generation,
        root=root,
        core=core.data,
        cpio_bytes=sum(each.cpio_bytes for each in made.values()),
        unpacked_modules_bytes=unpacked_modules.memory_bytes,
        unpacked_modules_saved_bytes=unpacked_modules.saved_bytes,
        core_path=core_path,
        initrds=initrds,
        layout=layout,
        kernel=base.kernel.content,
        kernel_path=base.kernel_path,
        iso=medium.iso,
        boot=medium.boot,
        kernel_words=() if base.boot else tuple((recipe.boot.append or "").encode().split()),
        volume=identity.volume,
        timestamp=timestamp,
        kinds=kinds,
        notes=(*notes, *medium.notes),
        tce=composition.tce,
        findings=findings,
        origins=origins.result(composition),
        iso_losses=iso_losses,
        effort=effort,
        rootfs=recipe.rootfs,
        oci=recipe.oci,
        efi=medium.efi,
        disk=recipe.disk,
        limits=context.limits,
    )


def _lay_out(
    composition: Composition,
    iso: Tree,
    boot: IsoBoot | None,
    *,
    efi: EfiBoot | None,
    initrds: Sequence[tuple[bytes, Buffer]],
    metadata: Metadata,
    origins: ImageTracker,
) -> Medium:
    """Return the finished ISO: with its initrds, and what boots it by UEFI and as a disk."""
    iso, boot = _with_initrds(iso, boot, composition, initrds, metadata)
    origins.disc.follow(iso, generated("initrds and their description"))
    medium = add_efi(
        efi,
        composition,
        iso,
        boot=boot,
        initrds=[path for path, _data in initrds],
        metadata=metadata,
    )
    origins.disc.follow(medium.iso, generated("boot files for UEFI"), sources=composition.sources)
    if composition.carried_names is not None:
        medium = evolve(medium, iso=_with_origins(medium.iso, composition, origins, metadata))
    notes = [*medium.notes]
    hybrid = add_hybrid(
        medium.boot, medium.iso, composition.recipe.iso, default=efi is not None, notes=notes
    )
    return evolve(medium, boot=hybrid, notes=tuple(notes))


def _with_origins(
    iso: Tree, composition: Composition, origins: ImageTracker, metadata: Metadata
) -> Tree:
    """Return the ISO with the file that says where each file of the image comes from."""
    assert composition.carried_names is not None  # noqa: S101  # of the caller
    iso = iso.copy()
    put_file(iso, ORIGINS_PATH, b"", metadata=metadata)
    origins.disc.follow(iso, generated("where each file comes from"))
    found = origins.result(composition).with_overlays(composition.carried_names)
    iso = iso.copy()
    put_file(iso, ORIGINS_PATH, found.to_json(), metadata=metadata)
    origins.disc.follow(iso, generated("where each file comes from"))
    return iso


def _check_outputs(composition: Composition, kinds: tuple[Emit, ...]) -> None:
    """Refuse outputs that the base or the layout cannot give, before the work of an image."""
    recipe = composition.recipe
    errors: list[PurekernelError] = []
    place = recipe.output.place("emit")
    if Emit.ISO in kinds:
        for check in (_check_volume, partial(check_hybrid, composition.base)):
            try:
                check(recipe.iso)
            except PurekernelError as error:
                errors.append(error)
        if composition.base.boot is None and not recipe.efi.is_given:
            errors.append(no_boot_loader(composition.base.source, place))
    if Emit.INITRD in kinds and recipe.core.layout is not InitrdLayout.SECOND:
        errors.append(
            UsageError(
                "the output initrd is the second initrd, and the layout gives none",
                hint='use layout = "second-initrd", or the output core for all initrds',
            ).within(place)
        )
    given = [
        attribute
        # A menu that is made for UEFI has a timeout, and one entry.
        for attribute in ("default", *(() if recipe.efi.is_given else ("timeout",)))
        if getattr(recipe.boot, attribute) is not None
    ]
    if composition.base.boot is None and given:
        errors.append(
            UsageError(
                "the base is a kernel and initrds, and has no boot menu to change",
                hint="leave out timeout and default under [boot]",
            ).within(recipe.boot.place(given[-1]))
        )
    if Emit.TCE in kinds and composition.tce is None:
        errors.append(no_tce().within(place))
    raise_all(errors)


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


@frozen(kw_only=True)
class _Packer:
    """Packs initrds."""

    effort: Effort
    outputs: Outputs
    compression: Compression
    executor: Executor
    context: Context

    def recompress(self, tree: Tree) -> Tree:
        """Return ``tree`` with its gzip files recompressed, if the settings ask for it."""
        if self.compression is not Compression.GZIP or not self.outputs.nested:
            return tree
        with self.context.progress.step("recompressing"):
            return recompress_nested(
                tree,
                effort=self.effort,
                executor=self.executor,
                cache=self.context.cache,
                modules=self.outputs.modules is not Modules.KEEP,
                progress=self.context.progress,
                limits=self.context.limits,
            )

    def pack(self, tree: Tree, early: Buffer) -> PackedCore:
        """Return an initrd: its early archives, and its tree as a compressed cpio archive."""
        with self.context.progress.step("compressing"):
            if self.compression is not Compression.GZIP:
                archive = build_archive(tree)
                data = result_of(self.executor.submit(compress, archive, self.compression))
                core = PackedCore(data=data, cpio_bytes=len(archive))
            else:
                core = pack_core(
                    tree,
                    effort=self.effort,
                    executor=self.executor,
                    cache=self.context.cache,
                    progress=self.context.progress,
                )
        return evolve(core, data=bytes(early) + core.data) if early else core


def _inputs(composition: Composition) -> Iterator[Tree]:
    yield composition.base.iso
    yield composition.base.root
    for layer in (*composition.parts, *composition.layers):
        yield layer.tree


def _with_initrds(
    iso: Tree,
    boot: IsoBoot | None,
    composition: Composition,
    initrds: Sequence[tuple[bytes, Buffer]],
    metadata: Metadata,
) -> tuple[Tree, IsoBoot | None]:
    """Return ``iso`` with its initrds and the files that describe them, no time above its own."""
    base = composition.base
    iso = iso.copy()
    old = {initrd.path: initrd.content for initrd in base.initrds}
    new = dict(initrds)
    if list(old) != list(new) and boot is not None:
        iso, boot = change_initrds(iso, boot, old, new)
    if boot is not None:
        made = dict(initrds)
        copies = [(each.content, made[each.path]) for each in base.initrds if each.path in made]
        iso, boot = replace_copies(iso, boot, copies)
        iso = iso.copy()
    for initrd in base.initrds:
        if initrd.path in new or (boot is not None and is_booted(iso, boot, initrd.path)):
            continue
        iso.remove(initrd.path)
    for path, content in initrds:
        node = iso.get(path)
        if isinstance(node, File) and node.content is content:
            continue
        file_metadata = metadata if node is None else evolve(node.metadata, mtime=metadata.mtime)
        # Remove and add, so that hard links to the old core keep their content.
        if node is not None:
            iso.remove(path)
        iso.add(path, File(metadata=file_metadata, content=content))
    if composition.describe is not None:
        boot_files = BootFiles(
            kernel_path=base.kernel_path.decode(),
            kernel=base.kernel.content,
            core_path=base.core_path.decode(),
            core=dict(initrds)[base.core_path],
            timestamp=metadata.mtime,
        )
        for path, content in composition.describe(boot_files).items():
            put_file(iso, path, content, metadata=metadata)
    return clamp_times(iso, metadata.mtime), boot

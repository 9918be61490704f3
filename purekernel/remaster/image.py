"""Make an image from its composition, in a sequence of steps from tree to tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from attrs import evolve, field, fields_dict, frozen

from purekernel.encode.encoders import Effort
from purekernel.errors import BundleError, UsageError, inside
from purekernel.formats.boot_losses import BootLoss, refuse_losses
from purekernel.formats.compress import compress
from purekernel.formats.core_iso import Base, parse_base
from purekernel.formats.initramfs import Compression
from purekernel.formats.iso import ElTorito, VolumeFields
from purekernel.formats.tar import parse_tar
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.progress import Progress, Silent
from purekernel.razor.bundle import Bundle
from purekernel.razor.metadata import (
    METADATA_FILE,
    VERSION_FILE,
    build_iso_metadata,
    build_version_file,
)
from purekernel.recipe.encoding import Encoding, Modules
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.recipe.model import BootChanges
from purekernel.remaster.boot_menu import change_boot_menu
from purekernel.remaster.core import (
    PackedCore,
    Unpacking,
    build_archive,
    measure_unpacking,
    pack_core,
    recompress_nested,
)
from purekernel.remaster.image_name import Identity, check_version, microkernel_identity
from purekernel.remaster.unreached_menus import find_unreached_menus
from purekernel.rootfs.modules import unpack_modules
from purekernel.rootfs.ownership import own_as_root
from purekernel.rootfs.passes import Pass, finishing_passes
from purekernel.tree import (
    Buffer,
    File,
    Layer,
    Metadata,
    Tree,
    clamp_times,
    content_bytes,
    date_implied,
    display,
    merge,
    newest_time,
    put_file,
)

# The last second that fits in cpio's eight hexadecimal digits, in 2106. ISO 9660's calendar ends
# later, in 2155.
MAX_TIMESTAMP = 0xFFFFFFFF


def _is_timestamp(_options: object, _attribute: object, timestamp: int | None) -> None:
    if timestamp is not None and not 0 <= timestamp <= MAX_TIMESTAMP:
        raise UsageError(
            f"the timestamp is out of range: must be from 0 to {MAX_TIMESTAMP}, got {timestamp}",
            hint="give seconds since 1970, UTC; the last is in the year 2106",
        )


def _are_volume_fields(_options: object, _attribute: object, volume: dict[str, str]) -> None:
    known = sorted(fields_dict(VolumeFields))
    unknown = sorted(set(volume) - set(known))
    if unknown:
        raise UsageError(
            f"unknown volume field: must be one of {', '.join(known)}, got {', '.join(unknown)}",
            hint="use the name of a field that the volume has",
        )


@frozen(kw_only=True)
class Options:
    """Options of a build.

    Attributes:
        version: version of the image; ``None`` uses the bundle's.
        keep_iso_files: keep the files of the base ISO outside ``boot/``.
        keep_owners: keep the owners that overlay archives record.
        boot: changes to the boot menu.
        volume: fields of the ISO's volume descriptor that replace the generation's own.
        timestamp: the latest time that an entry of the image may have, and the time of generated
            entries, in seconds since 1970, UTC; ``None`` uses the newest time of the inputs.
        drop_boot: drop boot methods and data of the base that the output cannot carry, and report
            each; otherwise they are an error.
        writes_iso: whether an ISO will be written. If not, losses that concern only the ISO are
            no error.
        limits: limits on parsed input.
        encoding: how to compress the core.

    Raises:
        UsageError: the timestamp is out of range, or a volume field is unknown.
    """

    version: str | None = None
    keep_iso_files: bool = False
    keep_owners: bool = False
    boot: BootChanges = field(factory=BootChanges)
    volume: dict[str, str] = field(factory=dict, validator=_are_volume_fields)
    timestamp: int | None = field(default=None, validator=_is_timestamp)
    drop_boot: bool = False
    writes_iso: bool = True
    limits: Limits = DEFAULT_LIMITS
    encoding: Encoding = field(factory=Encoding)


@frozen(kw_only=True)
class Composition:
    """The parts of an image, parsed and with their final owners, not yet merged.

    Attributes:
        source: name of the parts' source, for messages.
        base: the Core to start from.
        parts: the overlays of one bundle. The last one determines folders that Core lacks.
        layers: the user's own overlays, applied in order after the parts.
        passes: changes to the whole root file system, each with its description for the user.
        identity: name and version of the image.
        licences: name and content of each licence file for the ISO's root.
        mtime: the newest time of the containers of the parts, in seconds since 1970, UTC.
    """

    source: str
    base: Base
    parts: tuple[Layer, ...] = ()
    layers: tuple[Layer, ...] = ()
    passes: tuple[tuple[str, Pass], ...] = ()
    identity: Identity
    licences: tuple[tuple[bytes, Buffer], ...] = ()
    mtime: int = 0


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
        notes: what was left out and why, one line each.
        iso_losses: losses that make writing an ISO an error. Empty unless the image was made for
            other outputs.
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
    notes: tuple[str, ...] = ()
    iso_losses: tuple[BootLoss, ...] = ()


def compose_image(
    composition: Composition, *, options: Options, progress: Progress | None = None
) -> Image:
    """Make the image of a composition.

    Raises:
        BootLossError: the output would lose a boot method, and ``options`` do not allow that.
        CombinedError: it would lose several.
        PurekernelError: two parts contradict each other, or an option does not fit them.
    """
    progress = progress or Silent()
    dropped, iso_losses = _drop_boot(composition.base, options)
    base, identity = composition.base, composition.identity
    timestamp = options.timestamp
    if timestamp is None:
        timestamp = newest_input(composition)
    metadata = Metadata(mode=0o644, mtime=timestamp)
    with progress.step("merging"):
        root = _merge_root(composition)
        root = date_implied(root, timestamp)  # a copy, so that the version file can be added
        if identity.generation is not None and identity.version is not None:
            put_file(root, VERSION_FILE, build_version_file(identity.version), metadata=metadata)
    notes = [f"{base.source}: {loss.note}" for loss in dropped]
    finishing = finishing_passes(mtime=timestamp, note=notes.append)
    root = _run_passes(root, composition.passes, progress)
    packed = root
    if options.encoding.modules is Modules.RAW:
        with progress.step("unpack kernel modules"):
            root = unpack_modules(root, limits=options.limits)
    unpacked = root
    root = _run_passes(root, finishing, progress)
    root = clamp_times(root, timestamp)
    compression = options.encoding.compression_for(
        base.kernel.content, source=display(base.kernel_path), limits=options.limits
    )
    encoding, effort = options.encoding, options.encoding.effort_for(identity.flavour)
    unpacking: Callable[[], Unpacking] = Unpacking
    with encoding.running() as executor:
        if unpacked is not packed:
            # Start this first: packing the core often leaves all but one worker idle.
            unpacking = measure_unpacking(
                packed, unpacked, effort=effort, compression=compression, executor=executor
            )
        root, core = _pack(
            root,
            effort=effort,
            encoding=encoding,
            compression=compression,
            executor=executor,
            progress=progress,
        )
        unpacked_modules = unpacking()
    with progress.step("laying out the ISO"):
        iso = _lay_out_iso(composition, core=core.data, timestamp=timestamp, boot=options.boot)
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
        volume=identity.with_volume(options.volume).volume,
        timestamp=timestamp,
        notes=tuple(notes),
        iso_losses=iso_losses,
    )


def _drop_boot(base: Base, options: Options) -> tuple[tuple[BootLoss, ...], tuple[BootLoss, ...]]:
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
            options.boot,
            limits=options.limits,
        ),
    ]
    if options.drop_boot:
        shown = [loss for loss in losses if loss.in_core or options.writes_iso]
        return tuple(shown), ()
    iso_losses = [loss for loss in losses if not loss.in_core]
    if options.writes_iso:
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
    encoding: Encoding,
    compression: Compression,
    executor: Executor,
    progress: Progress,
) -> tuple[Tree, PackedCore]:
    """Return the root file system with its nested gzip files recompressed, and the core."""
    if compression is not Compression.GZIP:
        with progress.step("compressing"):
            archive = build_archive(root)
            data = executor.submit(compress, archive, compression).result()
            return root, PackedCore(data=data, cpio_bytes=len(archive))
    cache = encoding.cache
    if encoding.nested:
        with progress.step("recompressing"):
            root = recompress_nested(
                root,
                effort=effort,
                executor=executor,
                cache=cache,
                modules=encoding.modules is not Modules.KEEP,
            )
    with progress.step("compressing"):
        core = pack_core(root, effort=effort, executor=executor, cache=cache)
    return root, core


def newest_input(composition: Composition) -> int:
    """Return the newest time in an image's inputs, in seconds since 1970, UTC.

    The result is clamped to the range from 0 to :data:`MAX_TIMESTAMP`.
    """
    base = composition.base
    layers = (*composition.parts, *composition.layers)
    newest = max(map(newest_time, [base.iso, base.root, *(layer.tree for layer in layers)]))
    return min(max(newest, composition.mtime, 0), MAX_TIMESTAMP)


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


def _lay_out_iso(
    composition: Composition, *, core: bytes, timestamp: int, boot: BootChanges
) -> Tree:
    base, identity = composition.base, composition.identity
    iso = base.iso.copy()
    old_core = iso[base.core_path]
    core_metadata = evolve(old_core.metadata, mtime=timestamp)
    # Remove and add, so that hard links to the old core keep their content.
    iso.remove(base.core_path)
    iso.add(base.core_path, File(metadata=core_metadata, content=core))
    metadata = Metadata(mode=0o644, mtime=timestamp)
    for name, content in composition.licences:
        put_file(iso, name, content, metadata=metadata)
    if identity.generation is not None and identity.version is not None:
        report = build_iso_metadata(
            version=identity.version,
            kernel_path=base.kernel_path.decode(),
            kernel=base.kernel.content,
            initrd_path=base.core_path.decode(),
            initrd=core,
            timestamp=timestamp,
        )
        put_file(iso, METADATA_FILE, report, metadata=metadata)
    changed = change_boot_menu(
        iso, base.boot.boot_image, boot, hurried=identity.generation is not None
    )
    return clamp_times(changed, timestamp)


# Make an image of a bundle: unpack its parts and compose them.


def build_image(
    bundle: Bundle,
    layers: tuple[Layer, ...] = (),
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Image:
    """Make the image of ``bundle`` with ``layers`` on top.

    The result depends on the arguments only, not on user, host or time.

    Raises:
        PurekernelError: an input is damaged, a part is missing, two parts contradict each
            other, or an option does not fit the inputs.
    """
    options = options or Options()
    progress = progress or Silent()
    identity = _bundle_identity(bundle, options)
    with progress.step("unpacking the base ISO"):
        base = _parse_base(bundle, options)
    with progress.step("unpacking the overlays"):
        parts = _bundle_layers(bundle, options)
    composition = Composition(
        source=bundle.source,
        base=base,
        parts=tuple(own_as_root(part) for part in parts),
        layers=tuple(layer if options.keep_owners else own_as_root(layer) for layer in layers),
        identity=identity,
        licences=bundle.licences,
        mtime=bundle.mtime,
    )
    return compose_image(composition, options=options, progress=progress)


def _bundle_identity(bundle: Bundle, options: Options) -> Identity:
    return microkernel_identity(
        version=_version(bundle, options),
        flavour=bundle.flavour,
        generation=bundle.generation,
        has_licence=b"LICENSE" in {name for name, _content in bundle.licences},
    )


def _version(bundle: Bundle, options: Options) -> str:
    version = options.version if options.version is not None else bundle.version
    if version is None:
        raise BundleError(
            "the bundle's version is missing: its gitversion.sh sets none",
            hint="give one with --iso-version, such as --iso-version 0.9.0.1",
        ).within(bundle.source)
    try:
        return check_version(version)
    except BundleError as error:
        if options.version is None:
            raise error.within(bundle.source) from None
        raise UsageError(error.message, hint=error.hint) from None


def _parse_base(bundle: Bundle, options: Options) -> Base:
    with inside(bundle.source):
        return parse_base(
            bundle.iso,
            source="Core-current.iso",
            keep_iso_files=options.keep_iso_files,
            limits=options.limits,
        )


def _bundle_layers(bundle: Bundle, options: Options) -> list[Layer]:
    layers: list[Layer] = []
    # All overlays share one limit, so that many archives cannot add up beyond it.
    left_bytes = options.limits.unpacked_bytes
    with inside(bundle.source):
        for source, part in bundle.overlays:
            if isinstance(part, Layer):
                layers.append(part)
                continue
            limits = evolve(options.limits, unpacked_bytes=left_bytes)
            tree = parse_tar(Input(part, name=source, limits=limits))
            left_bytes = max(0, left_bytes - content_bytes(tree))
            layers.append(Layer(source=source, tree=tree))
    return layers

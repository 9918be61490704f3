"""Turn a bundle into an image: the main job, as one row of steps from tree to tree."""

from __future__ import annotations

from attrs import evolve, field, fields_dict, frozen

from purekernel.build.base import Base, parse_base
from purekernel.build.boot_menu import BootChanges, change_boot_menu
from purekernel.build.bundle import Bundle, check_version
from purekernel.build.flavour import Flavour, Generation
from purekernel.build.metadata import (
    METADATA_FILE,
    VERSION_FILE,
    build_iso_metadata,
    build_version_file,
)
from purekernel.build.progress import Progress, Silent
from purekernel.deflate.encoders import Encoder, Libdeflate
from purekernel.deflate.member import compress
from purekernel.errors import BundleError, UsageError, inside
from purekernel.formats.cpio import build_cpio
from purekernel.formats.iso import ElTorito, VolumeFields
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.tar import parse_tar
from purekernel.rootfs.ownership import own_as_root
from purekernel.rootfs.passes import finishing_passes
from purekernel.tree import (
    Buffer,
    File,
    Layer,
    Metadata,
    Tree,
    clamp_times,
    content_bytes,
    date_implied,
    merge,
    newest_time,
    put_file,
)

APPLICATION = "Razor Microkernel"
# The originals put the builder's user, host and clock here.
PREPARER = "purekernel"

# What "Razor MK " leaves of a volume id's 32 characters, and one less: as rebuild_iso.sh cuts.
MAX_VOLUME_VERSION = 22

# The last second that cpio's eight hexadecimal digits can say, in 2106; ISO 9660's
# calendar ends later, in 2155.
MAX_TIMESTAMP = 0xFFFFFFFF


def _is_timestamp(_options: object, _attribute: object, timestamp: int | None) -> None:
    if timestamp is not None and not 0 <= timestamp <= MAX_TIMESTAMP:
        raise UsageError(
            f"the timestamp {timestamp} is outside what an image can say",
            hint=f"give seconds since 1970, UTC, up to {MAX_TIMESTAMP} (the year 2106)",
        )


def _are_volume_fields(_options: object, _attribute: object, volume: dict[str, str]) -> None:
    known = sorted(fields_dict(VolumeFields))
    unknown = sorted(set(volume) - set(known))
    if unknown:
        raise UsageError(
            f"a volume has no field {', '.join(unknown)}", hint=f"it has {', '.join(known)}"
        )


@frozen(kw_only=True)
class Options:
    """What a build may be told besides its bundle.

    Attributes:
        version: of the image; ``None`` takes the bundle's own.
        keep_iso_files: carry over what the base ISO holds outside ``boot/``.
        keep_owners: trust the owners that archives given as layers record.
        boot: changes to the boot menu.
        volume: fields of the ISO's volume descriptor that replace the generation's own.
        timestamp: the newest time anything in the image may have, and the time of all
            that is made, in seconds since 1970, UTC; ``None`` takes the newest of the
            inputs'.
        limits: the readers' bounds.
        encoder: what deflates the core.

    Raises:
        UsageError: the timestamp or a volume field is none that there can be.
    """

    version: str | None = None
    keep_iso_files: bool = False
    keep_owners: bool = False
    boot: BootChanges = field(factory=BootChanges)
    volume: dict[str, str] = field(factory=dict, validator=_are_volume_fields)
    timestamp: int | None = field(default=None, validator=_is_timestamp)
    limits: Limits = DEFAULT_LIMITS
    encoder: Encoder = field(factory=Libdeflate)


@frozen(kw_only=True)
class Image:
    """A finished image, in memory.

    Attributes:
        name: of its files, without their endings: ``rz_mk_dev-image.0.9.0.1``.
        version: as everything in it says.
        flavour: whom it is for.
        generation: whose conventions it follows.
        root: the root file system.
        core: the same as a gzipped cpio archive.
        cpio_bytes: that archive's size before it was deflated.
        core_path: where that lies on the ISO.
        kernel: the kernel's bytes.
        kernel_path: where that lies on the ISO.
        iso: what lies on the ISO.
        boot: how the ISO boots.
        volume: the ISO's volume descriptor fields.
        timestamp: the newest time in it, in seconds since 1970, UTC.
    """

    name: str
    version: str
    flavour: Flavour
    generation: Generation
    root: Tree
    core: bytes
    cpio_bytes: int
    core_path: bytes
    kernel: Buffer
    kernel_path: bytes
    iso: Tree
    boot: ElTorito
    volume: VolumeFields
    timestamp: int


def build_image(
    bundle: Bundle,
    layers: tuple[Layer, ...] = (),
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Image:
    """Return the image that ``bundle``, and ``layers`` over it, make.

    The same arguments give the same image, whoever asks, wherever and whenever.

    Raises:
        PurekernelError: an input is damaged, a part is missing, two parts contradict one
            another, or an option does not fit the inputs.
    """
    options = options or Options()
    progress = progress or Silent()
    version = _version(bundle, options)
    with progress.step("unpacking the base ISO"):
        base = _parse_base(bundle, options)
    with progress.step("unpacking the overlays"):
        parts = _bundle_layers(bundle, options)
    timestamp = options.timestamp
    if timestamp is None:
        trees = [base.iso, base.root, *(layer.tree for layer in (*parts, *layers))]
        newest = max(bundle.mtime, *map(newest_time, trees))
        timestamp = min(max(newest, 0), MAX_TIMESTAMP)
    with progress.step("merging"):
        root = _merge_root(base.root, bundle, parts, layers, options)
        root = date_implied(root, timestamp)  # a copy, which the version may be put into
        made = Metadata(mode=0o644, mtime=timestamp)
        put_file(root, VERSION_FILE, build_version_file(version), metadata=made)
    for words, run in finishing_passes(mtime=timestamp):
        with progress.step(words):
            root = run(root)
    root = clamp_times(root, timestamp)
    with progress.step("packing the root file system"):
        archive = build_cpio(root)
    with progress.step("compressing"):
        core = compress(archive, encoder=options.encoder)
    cpio_bytes = len(archive)
    del archive
    with progress.step("laying out the ISO"):
        iso = _lay_out_iso(
            base, bundle, core=core, version=version, timestamp=timestamp, boot=options.boot
        )
    return Image(
        name=f"rz_mk_{bundle.flavour.value}-image.{version}",
        version=version,
        flavour=bundle.flavour,
        generation=bundle.generation,
        root=root,
        core=core,
        cpio_bytes=cpio_bytes,
        core_path=base.core_path,
        kernel=base.kernel.content,
        kernel_path=base.kernel_path,
        iso=iso,
        boot=base.boot,
        volume=_volume(bundle, version, options),
        timestamp=timestamp,
    )


def _version(bundle: Bundle, options: Options) -> str:
    version = options.version if options.version is not None else bundle.version
    if version is None:
        raise BundleError(
            "the bundle says no version in a gitversion.sh",
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
    layers = []
    # One bound for them all: as many bombs as you like are no more than one.
    left_bytes = options.limits.unpacked_bytes
    with inside(bundle.source):
        for source, data in bundle.overlays:
            limits = evolve(options.limits, unpacked_bytes=left_bytes)
            tree = parse_tar(data, source=source, limits=limits)
            left_bytes = max(0, left_bytes - content_bytes(tree))
            layers.append(Layer(source=source, tree=tree))
    return layers


def _merge_root(
    core: Tree, bundle: Bundle, parts: list[Layer], layers: tuple[Layer, ...], options: Options
) -> Tree:
    root = core
    with inside(bundle.source):
        for layer in parts:
            # Core's own folders stay as they are; among the bundle's parts the last counts.
            root = _lay_over(root, own_as_root(layer), kept=core)
    for layer in layers:
        root = _lay_over(root, layer if options.keep_owners else own_as_root(layer))
    return root


def _lay_over(root: Tree, layer: Layer, *, kept: Tree | None = None) -> Tree:
    with inside(layer.source):
        return merge(root, layer.tree, stated=layer.stated, kept=kept)


def _lay_out_iso(
    base: Base, bundle: Bundle, *, core: bytes, version: str, timestamp: int, boot: BootChanges
) -> Tree:
    iso = base.iso.copy()
    old_core = iso[base.core_path]
    metadata = evolve(old_core.metadata, mtime=timestamp)
    # A name of its own: were the old one hard-linked, its other names must not change.
    iso.remove(base.core_path)
    iso.add(base.core_path, File(metadata=metadata, content=core))
    made = Metadata(mode=0o644, mtime=timestamp)
    for name, content in bundle.licences:
        put_file(iso, name, content, metadata=made)
    report = build_iso_metadata(
        version=version,
        kernel_path=base.kernel_path.decode(),
        kernel=base.kernel.content,
        initrd_path=base.core_path.decode(),
        initrd=core,
        timestamp=timestamp,
    )
    put_file(iso, METADATA_FILE, report, metadata=made)
    return clamp_times(change_boot_menu(iso, base.boot.boot_image, boot), timestamp)


def _volume(bundle: Bundle, version: str, options: Options) -> VolumeFields:
    if bundle.generation is Generation.V2012:
        fields = VolumeFields(volume_id="TC-custom", preparer_id=PREPARER)
    else:
        licences = {name for name, _content in bundle.licences}
        fields = VolumeFields(
            volume_id=f"Razor MK {version[:MAX_VOLUME_VERSION]}",
            application_id=APPLICATION,
            preparer_id=PREPARER,
            copyright_file_id="LICENSE" if b"LICENSE" in licences else "",
        )
    return evolve(fields, **options.volume)

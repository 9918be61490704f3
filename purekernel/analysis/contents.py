"""Read an image in depth: its files, its initrds, extensions, partitions and images for UEFI.

What cannot be read is a fault, and all else is still there.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

from attrs import evolve, field

from purekernel.analysis.nested import find_initrds, find_kernel, find_nested, is_root
from purekernel.analysis.open import Places
from purekernel.errors import PurekernelError
from purekernel.formats.address import SEPARATOR
from purekernel.formats.archive import open_archive
from purekernel.formats.boot_menus import FoundMenu, plain_menu_path
from purekernel.formats.booted import find_boot_menu
from purekernel.formats.cpio import Segment, parse_initrds
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.inflate import Stream
from purekernel.formats.iso import EFI, IsoImage, parse_iso, parse_iso_files
from purekernel.formats.menu_edit import FoundEntry
from purekernel.formats.menu_finder import find_menus
from purekernel.formats.oci import is_oci_layout, merge_layers, read_images
from purekernel.formats.tinycore import TCZ
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.records import frozen
from purekernel.tree import ROOT, Directory, File, Metadata, Tree, branch
from purekernel.tree.path import escape, join, name, parent

# What boot loaders read: kinds that may have a kernel and initrds in them.
_VOLUMES = (FileKind.ISO, FileKind.FAT, FileKind.TAR, None)

# Archives in archives: an extension in an initrd of a partition in a qcow2 image takes four.
MAX_DEPTH = 8

# A damaged image may have a fault in each of its files. More are not kept.
MAX_FAULTS = 1000


@frozen(kw_only=True, eq=False)
class Part:
    """A file system or archive: the image itself, or one inside it.

    Attributes:
        place: where it is in the image; an address after the address of the image and a colon,
            such as ``boot/core.gz``. Empty for the image itself.
        kind: its kind; ``None`` for a folder.
        compression: the compression around it, or ``None``.
        tree: its files, as far as they could be read; empty for a kernel.
        packed_bytes: its size in the image, compressed as it is; ``None`` for a folder.
        file: the file as it is; ``None`` for a folder.
        plain: the file after its compression is undone; ``None`` for a folder.
        iso: how it boots and its fields, if it is an ISO that could be read.
        segments: the parts of an initrd: archives without compression, and compressed ones.
        streams: the compressed streams of the file, such as the members of a gzip file.
    """

    place: str
    kind: FileKind | None = None
    compression: FileKind | None = None
    tree: Tree = field(factory=Tree, repr=False)
    packed_bytes: int | None = None
    file: Input | None = field(default=None, repr=False)
    plain: Input | None = field(default=None, repr=False)
    iso: IsoImage | None = field(default=None, repr=False)
    segments: tuple[Segment, ...] = field(default=(), repr=False)
    streams: tuple[Stream, ...] = field(default=(), repr=False)


@frozen(kw_only=True, eq=False)
class PartMenu:
    """A boot menu, and the part that it is in.

    Attributes:
        part: the part.
        menu: the menu.
    """

    part: Part
    menu: FoundMenu

    def find(self, named: bytes) -> bytes | None:
        """Return the path in the part of a file that the menu names; ``None`` if it is missing.

        Names without a slash at the start are below the folder of the menu, or the top. Case does
        not matter, as on a disc without Rock Ridge and on FAT.
        """
        folders = (ROOT,) if named.startswith((b"/", b"(")) else (parent(self.menu.path), ROOT)
        plain = plain_menu_path(named)
        for folder in folders:
            found = self._by_lower.get(join(folder, plain).lower())
            if found is not None:
                return found
        return None

    @cached_property
    def _by_lower(self) -> dict[bytes, bytes]:
        return {
            path.lower(): path
            for path, node in self.part.tree.walk()
            if not isinstance(node, Directory)
        }


@frozen(kw_only=True, eq=False)
class Contents:
    """What is in an image.

    Attributes:
        address: the address of the image.
        parts: the image itself, then each archive in it that belongs to how it boots or runs:
            initrds, extensions, images for UEFI, partitions. An archive follows the one it is in.
        faults: what could not be read, and why.
        root: the root file system: what the initrds of the default boot entry unpack to together,
            or what the image is if it is a root file system; ``None`` without one.
        kernel: the kernel of the default boot entry; ``None`` without one.
        disc: the files that the boot loader sees: of the ISO, of a partition, of a folder. Empty
            if the image is an initrd, an extension or a package.
        extensions: the extensions among the parts.
        menus: the boot menus.
    """

    address: str
    parts: tuple[Part, ...]
    faults: tuple[PurekernelError, ...] = ()
    root: Tree | None = field(default=None, repr=False)
    kernel: Input | None = field(default=None, repr=False)
    disc: Tree = field(factory=Tree, repr=False)
    menus: tuple[PartMenu, ...] = field(default=(), repr=False)

    @property
    def extensions(self) -> tuple[Part, ...]:
        """The extensions among the parts."""
        return tuple(
            part
            for part in self.parts
            if part.kind is FileKind.SQUASHFS and (not part.place or part.place.endswith(TCZ))
        )

    def fault_of(self, part: Part) -> PurekernelError | None:
        """Return why a part could be read only to some position; ``None`` if it is whole."""
        for fault in self.faults:
            location = fault.location
            if location is not None and part.file is not None and location.file == part.file.name:
                return fault
        return None

    def part(self, place: str) -> Part | None:
        """Return the part at a place, or ``None``."""
        return next((part for part in self.parts if part.place == place), None)


def read_contents(address: str, *, limits: Limits = DEFAULT_LIMITS) -> Contents:
    """Return what is in an image.

    Args:
        address: the address of the image: an ISO, a disk, an initrd, an extension, a package,
            another archive, a kernel, or a folder.
        limits: the limits of all that is read, together.

    Raises:
        InputError, MissingPathError: nothing is at the address.
    """
    return _Reader(address, limits.budgeted()).read()


class _Reader:
    def __init__(self, address: str, limits: Limits) -> None:
        self._address = address
        self._limits = evolve(limits, salvage=self._salvage)
        self._parts: list[Part] = []
        self._faults: list[PurekernelError] = []
        self._menus: list[PartMenu] = []
        self._container: Tree | None = None

    def read(self) -> Contents:
        item = Places(self._limits).find(self._address).follow()
        if isinstance(item.node, Directory):
            top = Part(place="", tree=branch(item.tree, item.path) if item.path else item.tree)
            self._parts.append(top)
        else:
            top = self._add("", item.load(), own_name=name(item.path))
        self._enter(top)
        kernel, root, disc = self._booted(top)
        return Contents(
            address=self._address,
            parts=tuple(self._parts),
            faults=tuple(self._faults),
            root=root,
            kernel=kernel,
            disc=disc,
            menus=tuple(self._menus),
        )

    def _salvage(self, fault: PurekernelError) -> None:
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(fault)

    def _add(self, place: str, file: Input, *, own_name: bytes) -> Part:
        """Add the archive in ``file`` to the parts; what cannot be read of it is a fault."""
        part = self._open(place, file, own_name)
        self._parts.append(part)
        return part

    def _open(self, place: str, file: Input, own_name: bytes) -> Part:
        kind = detect(file.data)
        if kind is FileKind.ISO:
            return self._open_iso(place, file)
        try:
            archive = open_archive(file, name=own_name, metadata=Metadata(mode=0o644))
        except PurekernelError as error:
            self._salvage(error)
            archive = None
        if archive is None:
            return Part(place=place, kind=kind, packed_bytes=len(file), file=file, plain=file)
        return Part(
            place=place, kind=archive.kind, compression=archive.compression, tree=archive.tree,
            packed_bytes=len(file), file=file, plain=archive.plain, segments=archive.segments,
            streams=archive.streams,
        )  # fmt: skip

    def _open_iso(self, place: str, file: Input) -> Part:
        """Return an ISO; if its boot catalog is damaged, its files are still there."""
        iso, tree = None, Tree()
        try:
            iso = parse_iso(file)
            tree = iso.tree
            if iso.catalog is not None:
                tree = tree.copy()
                tree.add(*iso.catalog)
        except PurekernelError as error:
            self._salvage(error)
            with suppress(PurekernelError):  # the same fault
                tree = parse_iso_files(file.strict())
        return Part(
            place=place, kind=FileKind.ISO, tree=tree, packed_bytes=len(file), file=file,
            plain=file, iso=iso,
        )  # fmt: skip

    def _enter(self, part: Part) -> None:
        """Add the parts inside a part."""
        menus = self._find_menus(part)
        self._menus += menus
        initrds = [
            path for menu in menus for entry in menu.menu.found for path in _initrds(menu, entry)
        ]
        if not initrds and part.kind in _VOLUMES:
            initrds += find_initrds(part.tree)
        # Damaged or hostile archives may hold one another without end.
        if part.place.count(SEPARATOR) < MAX_DEPTH:
            for path in dict.fromkeys([*initrds, *find_nested(part.tree, part.kind)]):
                if self.part(_below(part.place, escape(path))) is None:
                    self._enter(self._add_file(part, path))
        if part.kind in (FileKind.TAR, None) and is_oci_layout(part.tree):
            self._add_layers(part)
        if part.iso is not None and part.iso.boot is not None:
            self._add_boot_images(part, part.iso)

    def _add_boot_images(self, part: Part, iso: IsoImage) -> None:
        """Add the file systems that UEFI boots from."""
        assert iso.boot is not None  # noqa: S101  # of the caller
        seen: set[tuple[bytes | None, int | None]] = set()
        for number, entry in enumerate(iso.boot.entries, start=1):
            if entry.platform != EFI or (entry.path, entry.appended) in seen:
                continue
            seen.add((entry.path, entry.appended))
            inner = f"(boot image {number})" if entry.path is None else escape(entry.path)
            place = _below(part.place, inner)
            image = iso.boot.image_of(entry, iso.tree)
            file = Input(image, name=self._name(place), limits=self._limits)
            self._enter(self._add(place, file, own_name=name(entry.path or b"")))

    def _add_layers(self, part: Part) -> None:
        """Add the layers of the images in an OCI layout, and what the first unpacks to."""
        file = part.plain or Input(b"", name=self._address, limits=self._limits)
        try:
            for image in read_images(part.tree, file):
                layers = [self._add_file(part, layer.path) for layer in image.layers]
                if self._container is None:
                    self._container = merge_layers([layer.tree for layer in layers])
        except PurekernelError as error:
            self._salvage(error)

    def _add_file(self, part: Part, path: bytes) -> Part:
        place = _below(part.place, escape(path))
        found = self.part(place)
        return found or self._add(place, self._load(part, path), own_name=name(path))

    def part(self, place: str) -> Part | None:
        return next((part for part in self._parts if part.place == place), None)

    def _load(self, part: Part, path: bytes) -> Input:
        node = part.tree[path]
        assert isinstance(node, File)  # noqa: S101  # of the callers
        name = self._name(_below(part.place, escape(path)))
        return Input(node.content, name=name, limits=self._limits)

    def _name(self, place: str) -> str:
        return f"{self._address}{SEPARATOR}{place}"

    def _find_menus(self, part: Part) -> list[PartMenu]:
        first = None
        if part.iso is not None and part.iso.boot is not None and part.iso.boot.is_bootable:
            found = find_boot_menu(part.tree, part.iso.boot.boot_image)
            first = None if found is None else found[0]
        try:
            return [PartMenu(part=part, menu=menu) for menu in find_menus(part.tree, first)]
        except PurekernelError as error:
            self._salvage(error.within(self._name(part.place)))
            return []

    def _booted(self, top: Part) -> tuple[Input | None, Tree | None, Tree]:
        """Return the kernel, the root file system, and the files that the boot loader sees."""
        if top.kind is FileKind.BZIMAGE:
            return top.file, None, Tree()
        if top.kind is FileKind.CPIO:
            return None, top.tree, Tree()
        found = self._by_menu() or self._by_names()
        if found is not None:
            return found
        if self._container is not None:
            return None, self._container, Tree()
        if is_root(top.tree) and top.kind is not FileKind.SQUASHFS:
            return None, top.tree, Tree()
        return None, None, top.tree if top.kind in _VOLUMES else Tree()

    def _by_menu(self) -> tuple[Input | None, Tree | None, Tree] | None:
        """Return what the first menu boots whose kernel is there; ``None`` without one."""
        for menu in self._menus:
            entry = _default(menu)
            kernel = None if entry is None or entry.kernel is None else menu.find(entry.kernel)
            if entry is not None and kernel is not None:
                root = self._root(menu.part, _initrds(menu, entry) or find_initrds(menu.part.tree))
                return self._load(menu.part, kernel), root, menu.part.tree
        return None

    def _by_names(self) -> tuple[Input | None, Tree | None, Tree] | None:
        """Return what lies in the first part that has initrds, without a menu."""
        for part in self._parts:
            initrds = find_initrds(part.tree) if part.kind in _VOLUMES else ()
            if initrds:
                kernel = find_kernel(part.tree)
                loaded = None if kernel is None else self._load(part, kernel)
                return loaded, self._root(part, initrds), part.tree
        return None

    def _root(self, part: Part, paths: Sequence[bytes]) -> Tree | None:
        """Return what the initrds at some paths of a part unpack to together."""
        found = [self.part(_below(part.place, escape(path))) for path in paths]
        trees = [each.tree for each in found if each is not None]
        if len(trees) < 2:
            return trees[0] if trees else None
        try:
            return parse_initrds(trees).tree
        except PurekernelError as error:
            self._salvage(error.within(self._address))
            return trees[-1]


def _initrds(menu: PartMenu, entry: FoundEntry) -> list[bytes]:
    found = [menu.find(named) for named in entry.initrds]
    return [path for path in found if path is not None]


def _default(menu: PartMenu) -> FoundEntry | None:
    """Return the default entry of a menu if it boots Linux, or else the first that does."""
    entries = menu.menu.found
    default = menu.menu.default
    if default is not None and entries[default].kernel is not None:
        return entries[default]
    return next((entry for entry in entries if entry.kernel is not None), None)


def _below(place: str, inner: str) -> str:
    return f"{place}{SEPARATOR}{inner}" if place else inner

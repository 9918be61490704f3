"""Build the image of a disk that boots: a partition table, boot code, and one FAT file system.

The partition has the files of the ISO, those that UEFI boots from, and the folder ``tce``, in which
Tiny Core keeps extensions. Contents are views, so that the disk takes no more memory than the ISO.

Source: Tiny Core's usr/bin/tce-setup and etc/init.d/tc-config, of Core 4.4 and of 17.0; the UEFI
specification 2.10, 5 (GPT) and 13.3 (the system partition).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attrs import evolve

from purekernel.errors import UsageError, inside
from purekernel.formats.disk_boot import (
    LOADER_SECTOR,
    DiskFile,
    build_disk_boot,
)
from purekernel.formats.fat import FatImage, FatOptions, build_fat
from purekernel.formats.menu import MenuEntry
from purekernel.formats.partitions import (
    EFI_SYSTEM,
    GPT_BASIC_DATA,
    GPT_EFI_SYSTEM,
    GPT_SECTORS,
    SECTOR_BYTES,
    GptPartition,
    Mbr,
    MbrPartition,
    build_gpt,
    build_mbr,
    make_disk_id,
    make_gpt,
    make_id,
    protect,
)
from purekernel.formats.qcow2 import build_qcow2
from purekernel.formats.sparse import SparseImage
from purekernel.input import Input
from purekernel.recipe.disk import DEFAULT_FREE_BYTES, DEFAULT_LABEL, DiskChoice, DiskTable
from purekernel.recipe.flavour import DiskFormat
from purekernel.remaster.boot.disk import efi_trees, find_bios_entry, words_for_tce
from purekernel.remaster.efi import EFI_IMAGE
from purekernel.remaster.image import Image
from purekernel.repos.tinycore.placement import ONBOOT, OPTIONAL, TCE
from purekernel.tree import Directory, File, Metadata, Node, Tree, display, loaded
from purekernel.tree.path import join, name, parent

# Partitions begin at multiples of this, because the blocks of flash memory are large; partitioning
# programs have done so since about 2010. Before the first one is room for boot code.
_ALIGNMENT_SECTORS = 2048

# The types of FAT12, FAT16 and FAT32 with block addresses.
_MBR_KINDS = {12: 0x01, 16: 0x0E, 32: 0x0C}

# Sectors have 32-bit numbers in an MBR.
_MBR_MAX_BYTES = SECTOR_BYTES << 32

# FAT has a field of 32 bits for its size in sectors.
_FAT_MAX_SECTORS = 0xFFFFFFFF


def build_disk(image: Image) -> SparseImage:
    """Return the file of a disk that boots ``image``.

    BIOS boots the default entry of the menu, UEFI what its own menu says.

    Raises:
        UnrepresentableError: FAT cannot hold a file, or the size is too small.
        UsageError: the size and the partition table do not fit each other.
        BootMenuError: the menu names a kernel or initrd that is not on the ISO, or the command
            line is too long.
        CombinedError: there are several errors.
    """
    disk = _build_raw(image, image.disk)
    return build_qcow2(disk) if image.disk.format is DiskFormat.QCOW2 else disk


def _build_raw(image: Image, choice: DiskChoice) -> SparseImage:
    efi = list(efi_trees(image.iso, image.boot, limits=image.limits))
    table = _choose_table(choice, has_efi=bool(efi))
    tree = _partition_tree(image, efi)
    seed = _digest(tree)
    volume_id = int.from_bytes(seed[:4], "little")
    fat = _build_file_system(image, choice, tree, table, volume_id)
    first, sectors = _ALIGNMENT_SECTORS, fat.size_bytes // SECTOR_BYTES
    total = _total_sectors(choice, first + sectors, table)
    parts = [(part.offset, part.content) for part in fat.parts_at(first * SECTOR_BYTES)]
    if table is DiskTable.MBR:
        kind = EFI_SYSTEM if efi else _MBR_KINDS[fat.geometry.bits]
        entry = MbrPartition(number=1, kind=kind, first=first, sectors=sectors, is_active=True)
    else:
        entry = protect(total)
        partition = GptPartition(
            number=1,
            kind=GPT_EFI_SYSTEM if efi else GPT_BASIC_DATA,
            id=make_id(seed, "partition"),
            first=first,
            sectors=sectors,
            name=choice.label or DEFAULT_LABEL,
        )
        primary, backup = build_gpt(make_gpt(make_id(seed, "disk"), [partition], sectors=total))
        parts += [(SECTOR_BYTES, primary), (total * SECTOR_BYTES - len(backup), backup)]
    code, loader = _build_boot(image, fat, first, volume_id)
    mbr = Mbr(partitions=(entry,), disk_id=make_disk_id(seed), code=code)
    parts += [(0, build_mbr(mbr, sectors=total)), (LOADER_SECTOR * SECTOR_BYTES, loader)]
    return SparseImage.of(total * SECTOR_BYTES, parts)


def _choose_table(choice: DiskChoice, *, has_efi: bool) -> DiskTable:
    is_large = choice.size is not None and choice.size > _MBR_MAX_BYTES
    if is_large and choice.table is DiskTable.MBR:
        raise UsageError(
            f"an MBR is for disks of at most 2 TiB, and the size is {choice.size} bytes",
            hint='use table = "gpt" under [disk], or a smaller size',
        ).within(choice.place("table"))
    return choice.table or (DiskTable.GPT if has_efi or is_large else DiskTable.MBR)


def _total_sectors(choice: DiskChoice, end: int, table: DiskTable) -> int:
    """Return the size of the disk, given the sector after the partition."""
    if choice.size is not None:
        return choice.size // SECTOR_BYTES
    after = GPT_SECTORS if table is DiskTable.GPT else 0
    return -(-(end + after) // _ALIGNMENT_SECTORS) * _ALIGNMENT_SECTORS


# The file system.


def _build_file_system(
    image: Image, choice: DiskChoice, tree: Tree, table: DiskTable, volume_id: int
) -> FatImage:
    size_bytes = None
    free = choice.free
    if choice.size is None:
        free = DEFAULT_FREE_BYTES if free is None else free
    else:
        after = GPT_SECTORS if table is DiskTable.GPT else 0
        sectors = choice.size // SECTOR_BYTES - _ALIGNMENT_SECTORS - after
        if sectors <= 0:
            raise UsageError(
                f"the disk must be larger than 1 MiB, which comes before its partition, got "
                f"{choice.size} bytes",
                hint="give a larger size",
            ).within(choice.place("size"))
        # A larger disk has space for more partitions.
        size_bytes = min(sectors, _FAT_MAX_SECTORS) * SECTOR_BYTES
    place = choice.place("size" if size_bytes is not None else "free")
    with inside(place or "the disk image"):
        return build_fat(
            tree,
            timestamp=image.timestamp,
            size_bytes=size_bytes,
            free_bytes=free or 0,
            label=(choice.label or DEFAULT_LABEL).encode(),
            hidden_sectors=_ALIGNMENT_SECTORS,
            options=FatOptions(volume_id=volume_id),
        )


def _partition_tree(image: Image, efi: Sequence[Tree]) -> Tree:
    """Return the files of the partition.

    FAT has neither owners nor modes, and folds names: a path of an EFI image that the ISO has too,
    in any case, replaces the file of the ISO.
    """
    tree, names = Tree(), dict[bytes, bytes]()

    def add(path: bytes, node: Node) -> None:
        above = parent(path)
        if path != above and above:
            path = join(names[above.lower()], name(path))
        path = names.setdefault(path.lower(), path)
        # Without write permission it would get the attribute "read-only", and no update could
        # replace it.
        runs = isinstance(node, Directory) or node.metadata.mode & 0o111
        metadata = Metadata(mode=0o755 if runs else 0o644, mtime=node.metadata.mtime)
        tree.add(path, evolve(node, metadata=metadata))

    # The loaders of a recipe need no image of a partition. Those of a base may look for theirs.
    made = EFI_IMAGE if image.efi is not None else None
    for top, source in [(b"", image.iso), *((b"", each) for each in efi), (TCE, _tce(image))]:
        for path, node in source.walk():
            if (source is image.iso and path == made) or not (path or top):
                continue
            add(join(top, path) if path else top, node)
    return tree


def _tce(image: Image) -> Tree:
    """Return the folder of extensions, in which Core also keeps what users install and back up."""
    tree = Tree() if image.tce is None else image.tce.copy()
    folder = Metadata(mode=0o755, mtime=image.timestamp)
    if OPTIONAL not in tree:
        tree.add(OPTIONAL, Directory(metadata=folder))
    if ONBOOT not in tree:
        tree.add(ONBOOT, File(metadata=evolve(folder, mode=0o644), content=b""))
    return tree


def _digest(tree: Tree) -> bytes:
    """Return a digest of names and contents, which all ids of the disk are made of."""
    digest = hashlib.sha256()
    for path, node in tree.walk():
        content = loaded(node.source) if isinstance(node, File) else b""
        digest.update(b"%d %d " % (len(path), len(content)))
        digest.update(path)
        digest.update(content)
    return digest.digest()


# Boot by BIOS.


def _build_boot(image: Image, fat: FatImage, first: int, volume_id: int) -> tuple[bytes, bytes]:
    """Return the code of the MBR, and the loader."""
    entry = find_bios_entry(image.iso, image.boot)
    if entry is None:
        entry = MenuEntry(
            label=b"linux",
            title=image.name.encode(),
            kernel=image.kernel_path,
            initrds=tuple(path for path, _content in image.initrds),
            words=image.kernel_words,
        )

    def locate(path: bytes) -> DiskFile:
        extents = fat.extents[path]
        sectors = (
            (first + each.offset // SECTOR_BYTES, -(-each.size_bytes // SECTOR_BYTES))
            for each in extents
        )
        return DiskFile(size_bytes=sum(each.size_bytes for each in extents), sectors=tuple(sectors))

    kernel = image.iso[entry.kernel]
    assert isinstance(kernel, File)  # noqa: S101  # read_menu() found a file
    return build_disk_boot(
        Input(kernel.content, name=display(entry.kernel), limits=image.limits),
        locate(entry.kernel),
        [locate(path) for path in entry.initrds],
        words_for_tce(entry.words, volume_id),
    )

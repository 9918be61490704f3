"""Make an ISO boot as a disk, too: an MBR that starts isolinux, and a GPT if it boots by UEFI.

Without UEFI, the MBR has one active partition, the whole disk, as isohybrid makes it, so that Linux
can mount the partition. With UEFI there is a GPT, as firmware wants it, whose partitions cover the
EFI images and the rest of the volume. The MBR protects it, and has the EFI images, too (a hybrid
MBR), for firmware that reads only an MBR, and because some BIOSes boot no disk without an active
partition.

Source: UEFI specification 2.10, 5.2 and 5.3; isohybrid(1); gdisk(8) for hybrid MBRs; libisofs,
doc/boot_sectors.txt.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field

from purekernel.formats.hybrid_mbr import NEXT_DISK, build_hybrid_code
from purekernel.formats.iso.boot import DiskParts, IsoLayout
from purekernel.formats.iso.layout import FIRST_DESCRIPTOR, SECTOR_BYTES
from purekernel.formats.partitions import (
    EFI_SYSTEM,
    GPT_BASIC_DATA,
    GPT_EFI_SYSTEM,
    GPT_READ_ONLY,
    GPT_SECTORS,
    PROTECTIVE,
    GptPartition,
    Mbr,
    MbrPartition,
    build_gpt,
    build_mbr,
    make_disk_id,
    make_gpt,
    make_id,
)
from purekernel.formats.partitions import SECTOR_BYTES as BLOCK_BYTES
from purekernel.records import frozen

_BLOCKS = SECTOR_BYTES // BLOCK_BYTES

# The geometry that isohybrid assumes. A cylinder is 1 MiB, and disks have whole ones: some BIOSes
# refuse others.
_HEADS, _TRACK = 64, 32
_CYLINDER = _HEADS * _TRACK

# The type that isohybrid gives the ISO: a hidden partition, which Windows does not offer to format.
_HIDDEN = 0x17

# An MBR has four entries, and one of them protects the GPT.
_MOST_IN_MBR = 3

Image = bytes | int
"""A file of the tree, by its path, or an area outside of it, by its index."""


@frozen(kw_only=True)
class HybridDisk:
    """How an ISO boots as a disk, with boot code and tables of our own.

    Attributes:
        isolinux: the path of isolinux.bin; ``None`` if the ISO does not boot by BIOS.
        efi: the images of EFI system partitions.
        seed: a digest of what is on the ISO, which all ids come from.
    """

    isolinux: bytes | None
    efi: tuple[Image, ...] = ()
    seed: bytes = field(repr=False)

    @property
    def paths(self) -> frozenset[bytes]:
        """The files that it needs on the ISO."""
        images = (self.isolinux, *self.efi)
        return frozenset(image for image in images if isinstance(image, bytes))

    def lay_out(self, layout: IsoLayout) -> DiskParts:
        """Return the tables around the volume.

        Raises:
            UsageError: EFI images overlap.
        """
        end = -(-layout.end_bytes // BLOCK_BYTES)
        spare = GPT_SECTORS if self.efi else 0
        sectors = -(-(end + spare) // _CYLINDER) * _CYLINDER
        images = sorted({self._range(image, layout) for image in self.efi})
        after: tuple[tuple[int, bytes], ...] = ()
        tables = b""
        if images:
            partitions = list(self._partitions(images, end))
            gpt = make_gpt(make_id(self.seed, "disk"), partitions, sectors=sectors)
            tables, backup = build_gpt(gpt)
            after = ((sectors * BLOCK_BYTES - len(backup), backup),)
        mbr = Mbr(
            partitions=tuple(_mbr_partitions(images, sectors)),
            disk_id=make_disk_id(self.seed),
            code=self._code(layout),
        )
        first = build_mbr(mbr, sectors=sectors, heads=_HEADS, track_sectors=_TRACK)
        return DiskParts(system_area=first + tables, after=after, size_bytes=sectors * BLOCK_BYTES)

    def _code(self, layout: IsoLayout) -> bytes:
        if self.isolinux is None:
            return NEXT_DISK
        return build_hybrid_code(layout.files[self.isolinux].sector * _BLOCKS)

    def _range(self, image: Image, layout: IsoLayout) -> tuple[int, int]:
        """Return the first block of an image, and the one after it."""
        extent = layout.appended[image] if isinstance(image, int) else layout.files[image]
        first = extent.sector * _BLOCKS
        return first, first + -(-extent.size_bytes // BLOCK_BYTES)

    def _partitions(self, images: list[tuple[int, int]], end: int) -> Iterator[GptPartition]:
        """Yield the EFI images and what is between them, from the volume descriptors on.

        Partitions that only fill space have the names that xorriso gives them.
        """
        ranges: list[tuple[int, int, bool]] = []
        at = FIRST_DESCRIPTOR * _BLOCKS
        for first, last in images:
            ranges += [(at, first, False), (first, last, True)]
            at = last
        ranges.append((at, end, False))
        number = 0
        for first, last, is_efi in ranges:
            if first < last:
                number += 1
                yield GptPartition(
                    number=number,
                    kind=GPT_EFI_SYSTEM if is_efi else GPT_BASIC_DATA,
                    id=make_id(self.seed, f"partition {number}"),
                    first=first,
                    sectors=last - first,
                    name="EFI system" if is_efi else "ISO 9660" if number == 1 else f"Gap{number}",
                    attributes=0 if is_efi else GPT_READ_ONLY,
                )


def _mbr_partitions(images: list[tuple[int, int]], sectors: int) -> Iterator[MbrPartition]:
    if not images:
        yield MbrPartition(number=1, kind=_HIDDEN, first=0, sectors=sectors, is_active=True)
        return
    # Firmware takes the GPT for one only if such an entry begins at sector 1.
    yield MbrPartition(number=1, kind=PROTECTIVE, first=1, sectors=images[0][0] - 1)
    for number, (first, last) in enumerate(images[:_MOST_IN_MBR], 2):
        yield MbrPartition(
            number=number,
            kind=EFI_SYSTEM,
            first=first,
            sectors=last - first,
            is_active=number == 2,
        )

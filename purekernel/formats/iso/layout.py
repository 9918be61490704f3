"""What an ISO image is made of, besides its tree.

Source: ECMA-119 (ISO 9660); "El Torito" Bootable CD-ROM Format Specification 1.0;
isolinux's boot info table, as mkisofs(8) describes it.
"""

from __future__ import annotations

from attrs import frozen

from purekernel.tree import Tree

SECTOR_BYTES = 2048

# The first 16 sectors belong to the system; the volume descriptors follow.
FIRST_DESCRIPTOR = 16

# Where El Torito wants its boot record (section 2.0).
BOOT_RECORD = 17

# A boot info table lies at these bytes of the boot image; what follows it is summed up.
BOOT_INFO_OFFSET = 8
BOOT_INFO_END = 64

# The longest file that a directory record's 32 bits can say.
MAX_FILE_BYTES = 0xFFFFFFFF


@frozen(kw_only=True)
class VolumeFields:
    """The texts of a volume descriptor.

    Bytes that are not UTF-8 stand as surrogate escapes, so what is read can be written.

    Attributes:
        volume_id: what the disc is called; at most 32 bytes.
        system_id: for which system it is; at most 32 bytes.
        application_id: what it is or what made it; at most 128 bytes.
        publisher_id: at most 128 bytes.
        preparer_id: at most 128 bytes.
        copyright_file_id: a file in the root that states the copyright; at most 37 bytes.
    """

    volume_id: str = "CDROM"
    system_id: str = "LINUX"
    application_id: str = ""
    publisher_id: str = ""
    preparer_id: str = ""
    copyright_file_id: str = ""


@frozen(kw_only=True)
class ElTorito:
    """How an image boots: without emulation, from a file of the tree.

    Attributes:
        boot_image: path of the file that the firmware loads.
        catalog: path under which the boot catalog shows. It is made by the writer and is
            no file of the tree.
        load_sectors: how much of the boot image the firmware loads, in sectors of 512
            bytes.
        boot_info_table: whether bytes 8 to 63 of the boot image say where it lies, as
            isolinux wants it.
    """

    boot_image: bytes
    catalog: bytes
    load_sectors: int = 4
    boot_info_table: bool = True


@frozen(kw_only=True)
class IsoImage:
    """An image as it was read.

    Attributes:
        tree: its files, without the boot catalog and without Rock Ridge's folder for
            relocated folders.
        fields: the texts of its volume descriptor.
        boot: how it boots; ``None`` where it has no El Torito record, or one that
            emulates a disk or boots something that is no file of the tree.
        boot_entries: how many things its El Torito catalog lists to boot: one for each kind of
            firmware, mostly.
    """

    tree: Tree
    fields: VolumeFields
    boot: ElTorito | None
    boot_entries: int = 0

"""Make the inputs that fuzzing starts from: small, valid, and the same bytes every time.

All are made by our own writers, or by the makers of ``fixtures/`` and ``tests/``.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import tarfile
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

from attrs import evolve

from fixtures.gem import make_gem
from fixtures.gemspec_yaml import Description, Era, Need, write_gemspec
from fixtures.repository import make_indexes
from fuzz.images import STORED
from fuzz.mutators import build_gzip, fix_tar
from fuzz.texts import TIME
from purekernel.analysis.origins import Origin, OriginKind, OriginMap, Origins
from purekernel.fetch.records import CacheEntry, Validators
from purekernel.formats.cpio import build_cpio
from purekernel.formats.elf import ElfClass
from purekernel.formats.extension_info import build_info
from purekernel.formats.fat import FatOptions, build_fat
from purekernel.formats.gem.index import build_gem_index
from purekernel.formats.gem.reader import parse_gem
from purekernel.formats.iso import IsoBoot, VolumeFields, build_iso
from purekernel.formats.ld_cache import build_ld_cache
from purekernel.formats.ld_cache.layout import CacheFormat, LdCacheEntry
from purekernel.formats.lz4 import build_frame, build_lz4
from purekernel.formats.module_index import IndexValue, build_index
from purekernel.formats.partitions import (
    GPT_EFI_SYSTEM,
    GPT_SECTORS,
    GptPartition,
    Mbr,
    MbrPartition,
    build_gpt,
    build_mbr,
    make_gpt,
    make_id,
    protect,
)
from purekernel.formats.pe import Machine
from purekernel.formats.ruby_marshal import Hash, Object, Symbol, UserDefined, build_marshal
from purekernel.formats.squashfs.codecs import lz4_codec, xz_codec, zstd_codec
from purekernel.formats.squashfs.writer import Options, build_squashfs
from purekernel.formats.tar import build_tar
from purekernel.formats.zstd import compress as build_zstd
from purekernel.input import Input
from purekernel.plan.lock import (
    Lock,
    Pin,
    PinnedFile,
    PinnedGem,
    build_lock,
)
from purekernel.recipe.init import PLAIN, write_recipe
from purekernel.repos.tinycore import Extension
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Metadata,
    Node,
    Socket,
    Symlink,
    Tree,
)
from tests import bzimages, debs, elves, kernel_modules, pes
from tests.executors import AtOnce
from tests.formats import fats, qcow2s
from tests.formats.iso import disk_makers, handmade

Seeds = dict[str, bytes]
"""Inputs by what they are."""

_TEXT = b"The same text, the same text, and the same text again.\n"
_MENU = b"""display boot.msg
default core
prompt 1
timeout 300

label core
\tkernel /boot/vmlinuz
\tappend initrd=/boot/core.gz loglevel=3
label hdt
\tcom32 hdt.c32
\ttext help
  label not one
\tendtext
F1 boot.msg
"""


def _metadata(mode: int = 0o644, *, uid: int = 0) -> Metadata:
    return Metadata(mode=mode, uid=uid, gid=uid, mtime=TIME)


def _file(content: bytes = b"x\n", mode: int = 0o644) -> File:
    return File(metadata=_metadata(mode), content=content)


def _tree(nodes: dict[bytes, Node]) -> Tree:
    tree = Tree(Directory(metadata=_metadata(0o755)))
    for path, node in nodes.items():
        tree.add_parents(path, _metadata(0o755))
        tree.add(path, node)
    return tree


def _every_kind() -> Tree:
    """Return a tree with a node of each kind, a hard link and a long name."""
    tree = _tree(
        {
            b"bin/sh": _file(b"#!/bin/true\n", 0o4755),
            b"dev/null": Device(
                metadata=_metadata(0o666), kind=DeviceKind.CHARACTER, major=1, minor=3
            ),
            b"dev/sda": Device(metadata=_metadata(0o660), kind=DeviceKind.BLOCK, major=8, minor=0),
            b"etc/empty": _file(b""),
            b"lib/link": Symlink(metadata=_metadata(0o777), target=b"../bin/sh"),
            b"run/pipe": Fifo(metadata=_metadata(0o600)),
            b"usr/" + b"n" * 120: _file(_TEXT),
        }
    )
    tree.link(b"bin/ash", b"bin/sh")
    return tree


def _tar_of(form: int, **headers: Any) -> bytes:
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, **headers) as archive:
        for name, kind in (("a", tarfile.DIRTYPE), ("a/" + "b" * 130, tarfile.REGTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.mtime, info.uname = kind, TIME, "root"
            info.size = len(_TEXT) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, BytesIO(_TEXT[: info.size]))
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.LNKTYPE, "a/" + "b" * 130
        archive.addfile(info)
    return stream.getvalue()[: 16 * 512].rstrip(b"\0").ljust(10 * 512, b"\0") + bytes(1024)


def _sparse_tar() -> bytes:
    """Return a sparse file as old releases of GNU tar store it: 3 bytes at 512, of 1000."""
    archive = bytearray(_tar_of(tarfile.GNU_FORMAT))
    header = bytearray(archive[:512])
    header[:100] = b"sparse".ljust(100, b"\0")
    header[124:136] = b"%011o\0" % 3
    header[156:157] = b"S"
    header[386:410] = b"%011o\0%011o\0" % (512, 3)
    header[483:495] = b"%011o\0" % 1000
    return fix_tar(bytes(header) + b"abc".ljust(512, b"\0") + bytes(1024))


def _one_file_tar(content: bytes, records: dict[str, str]) -> bytes:
    info = tarfile.TarInfo("file")
    info.size, info.mtime, info.pax_headers = len(content), TIME, records
    body = content.ljust(-(-len(content) // 512) * 512, b"\0")
    return info.tobuf(tarfile.PAX_FORMAT) + body + bytes(1024)


def _typed_tar(kind: bytes) -> bytes:
    info = tarfile.TarInfo("part")
    info.type = kind
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def tar() -> Seeds:
    """Return archives of ours, of GNU's form and of pax, with sparse files."""
    sparse = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "sparse",
        "GNU.sparse.realsize": "1000",
    }
    extents = b"1\n512\n3\n".ljust(512, b"\0") + b"abc"
    return {
        "every-kind": build_tar(_every_kind()),
        "gnu": _tar_of(tarfile.GNU_FORMAT),
        "pax": _tar_of(tarfile.PAX_FORMAT, pax_headers={"comment": "all", "mtime": "1372636800.5"}),
        "sparse": _sparse_tar(),
        "sparse-pax": _one_file_tar(extents, sparse),
        "volume": _typed_tar(b"M"),
        "empty": bytes(1024),
    }


def cpio() -> Seeds:
    """Return archives alone, after microcode, and compressed."""
    plain = build_cpio(_every_kind())
    early = build_cpio(_tree({b"kernel/x86/microcode/GenuineIntel.bin": _file(b"code")}))
    crc = build_cpio(_tree({b"a": _file(b"abc")})).replace(b"070701", b"070702")
    # The checksum of "abc" is in the last eight digits of the second header.
    at = crc.index(b"070702", 6)
    crc = crc[: at + 102] + b"%08X" % sum(b"abc") + crc[at + 110 :]
    return {
        "every-kind": plain,
        "microcode": early + build_gzip(build_cpio(_tree({b"init": _file(b"#!", 0o755)}))),
        "two": build_cpio(_tree({b"a": _file()})) + build_cpio(_tree({b"a/b": _file()})),
        "crc": crc,
    }


def gzip() -> Seeds:
    """Return members with each optional field, and two in a row."""
    plain = build_gzip(_TEXT)
    fields = b"\x1f\x8b\x08\x1c" + bytes(6) + b"\x04\0ABCD" + b"name\0" + b"comment\0" + plain[10:]
    return {"plain": plain, "fields": fields, "two": plain + build_gzip(b"") + bytes(4)}


def deflate() -> Seeds:
    """Return streams with blocks of each kind."""
    seeds = {}
    for name, level, strategy in (
        ("stored", 0, zlib.Z_DEFAULT_STRATEGY),
        ("fixed", 9, zlib.Z_FIXED),
        ("dynamic", 9, zlib.Z_DEFAULT_STRATEGY),
        ("literals", 9, zlib.Z_HUFFMAN_ONLY),
    ):
        packer = zlib.compressobj(level, wbits=-15, strategy=strategy)
        content = bytes(range(64, 96)) * 4 + _TEXT
        seeds[name] = packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH) + packer.flush()
    return {**seeds, "zlib": zlib.compress(_TEXT)}


def compression() -> Seeds:
    """Return a file of each compression."""
    return {
        "gzip": build_gzip(_TEXT),
        "bzip2": bz2.compress(_TEXT),
        "xz": lzma.compress(_TEXT),
        "lzma": lzma.compress(_TEXT, format=lzma.FORMAT_ALONE),
        "zstd": build_zstd(_TEXT),
        "zstd-two": build_zstd(_TEXT) + build_zstd(b"more"),
        "xz-padded": lzma.compress(_TEXT) + bytes(8),
        "lz4": build_frame(_TEXT),
        "lz4-legacy": build_lz4(_TEXT),
        "zstd-skippable": b"\x50\x2a\x4d\x18\x04\0\0\0skip" + build_zstd(_TEXT),
        "text": "\ufefftext, plain\r\n".encode(),
        "utf-16": "text".encode("utf-16"),
    }


def lz4() -> Seeds:
    """Return frames and a bare block."""
    legacy = build_lz4(_TEXT * 4)
    return {
        "legacy": legacy,
        "two": legacy + build_lz4(b"b") + bytes(4),
        "frame": build_frame(_TEXT),
        "block": legacy[8:],
    }


def ar() -> Seeds:
    """Return archives with names of each form."""
    table = b"a-long-name-of-gnu/\n"
    return {
        "deb": debs.ar([(b"debian-binary", b"2.0\n"), (b"odd", b"odd")]),
        "gnu": debs.ar([(b"//", table), (b"/0", b"content"), (b"short/", b"x")]),
        "bsd": debs.ar([(b"#1/12", b"a-long-name\0content")]),
    }


def _iso_tree() -> Tree:
    tree = _every_kind()
    tree.add(b"boot", Directory(metadata=_metadata(0o755)))
    tree.add(b"boot/isolinux.bin", _file(bytes(64)))
    tree.add(b"run/socket", Socket(metadata=_metadata(0o777)))
    return tree


_BOOT = IsoBoot.by_bios(boot_image=b"boot/isolinux.bin", catalog=b"boot/boot.cat")


def _iso(tree: Tree) -> bytes:
    fields = VolumeFields(volume_id="FUZZ")
    image = bytearray(build_iso(tree, fields=fields, boot=_BOOT, timestamp=TIME).rstrip(b"\0"))
    # Without the padding at its end, which is most of it.
    image += bytes(-len(image) % 2048)
    image[16 * 2048 + 80 : 16 * 2048 + 88] = handmade.both(len(image) // 2048)
    return bytes(image)


def _zisofs(content: bytes) -> bytes:
    """Return content of one block as mkzftree packs it."""
    packed = zlib.compress(content)
    header = b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07" + struct.pack("<IBBH", len(content), 4, 15, 0)
    return header + struct.pack("<II", 24, 24 + len(packed)) + packed


def iso() -> Seeds:
    """Return a bootable image with Rock Ridge and Joliet, and small ones made by hand."""
    record = handmade.record
    content = b"content".ljust(2048, b"\0")
    plain = handmade.image([record(b"A.TXT;1", 23, 7)], after=content)
    names = handmade.px() + handmade.nm(b"a.txt")
    ridge = handmade.image(
        [record(b"A.TXT;1", 23, 7, system_use=names)], after=content, rock_ridge=True
    )
    packed = _zisofs(_TEXT)
    entry = b"ZF" + struct.pack("<BB2sBBI", 16, 1, b"pz", 4, 15, len(_TEXT))
    entry += struct.pack(">I", len(_TEXT))
    zisofs = handmade.image(
        [record(b"Z.;1", 23, len(packed), system_use=names + entry)],
        after=packed.ljust(2048, b"\0"),
        rock_ridge=True,
    )
    kinds = _tree(
        {
            b"boot/isolinux.bin": _file(bytes(64)),
            b"dev": Device(metadata=_metadata(), kind=DeviceKind.CHARACTER, major=1, minor=3),
            b"link": Symlink(metadata=_metadata(0o777), target=b"boot/isolinux.bin"),
            b"pipe": Fifo(metadata=_metadata(0o600)),
        }
    )
    kinds.link(b"hard", b"boot/isolinux.bin")
    hybrid = bytearray(_iso(_iso_tree()) + bytes((disk_makers.TABLE_SECTORS + 1) * 512))
    end = len(hybrid) // 512
    hybrid[446:462] = struct.pack("<B3xB3xII", 0x80, 0x17, 0, end)
    hybrid[510:512] = b"\x55\xaa"
    disk_makers.add_gpt(hybrid, [disk_makers.Part(0, end - 3)])
    disk_makers.add_apple_map(hybrid, [(b"Gap0", b"ISO9660_data", 16, end // 4 - 16)])
    return {
        "hybrid": bytes(hybrid),
        "kinds": _iso(kinds),
        "plain": plain,
        "rr": ridge,
        "zisofs": zisofs,
    }


def core_iso() -> Seeds:
    """Return the smallest Core ISO."""
    tree = _tree(
        {
            b"boot/core.gz": _file(build_gzip(build_cpio(_tree({b"init": _file(b"#!", 0o755)})))),
            b"boot/vmlinuz": _file(b"kernel"),
            b"boot/isolinux.bin": _file(bytes(64)),
            b"boot/isolinux.cfg": _file(_MENU),
            b"other/file": _file(),
        }
    )
    return {"core": _iso(tree)}


def initrds() -> Seeds:
    """Return two initrds with the size of the first in front: in gzip, and with microcode."""
    early = build_cpio(_tree({b"kernel/x86/microcode/GenuineIntel.bin": _file(b"m")}))
    root = build_cpio(_tree({b"init": _file(b"#!", 0o755), b"etc/a": _file(_TEXT)}))
    modules = build_cpio(_tree({b"etc/a": _file(b"b"), b"lib/modules/1/a.ko": _file(b"k")}))

    def pair(first: bytes, second: bytes) -> bytes:
        return len(first).to_bytes(2, "big") + first + second

    return {
        "packed": pair(build_gzip(root), build_gzip(modules)),
        "early": pair(early + root, modules),
        "early-alone": pair(early, build_gzip(root)),
    }


def fat() -> Seeds:
    """Return file systems without their free ends; of FAT32, one with a table of a sector."""
    sector = fats.SECTOR_BYTES
    image = fats.make_fat12({"EFI/BOOT/GRUB.CFG": _TEXT * 12, "A.TXT": b"a"})
    struct.pack_into("<H", image, 19, 24)
    tree = _tree({b"EFI/long name.conf": _file(b"a" * 600), b"A": _file(b"a"), b"B": _file(b"b")})
    small = build_fat(tree, timestamp=0, label=b"EFI").to_bytes()
    large = build_fat(tree, timestamp=0, options=FatOptions(bits=32))
    reserved, files = large.geometry.tables_offset, large.geometry.data_offset
    data = large.to_bytes()
    table = data[reserved : reserved + sector]
    cut = bytearray(data[:reserved] + table * 2 + data[files : files + 8 * sector])
    struct.pack_into("<II", cut, 32, len(cut) // sector, 1)
    return {"fat12": bytes(image[: 24 * sector]), "long": small, "fat32": bytes(cut)}


def qcow2() -> Seeds:
    """Return disks with plain, compressed and zero clusters, of both versions."""
    packed = qcow2s.deflated(b"z" * 512)
    entries = {
        0: qcow2s.DATA | qcow2s.COPIED,
        1: qcow2s.compressed_entry(qcow2s.DATA + 512, len(packed)),
    }
    data = _TEXT.ljust(512, b"x")[:512] + packed
    return {
        "3": bytes(qcow2s.make_qcow2({**entries, 3: qcow2s.ZERO}, data)),
        "2": bytes(qcow2s.make_qcow2(entries, data, version=2)),
    }


def partitions() -> Seeds:
    """Return a disk with a GPT, and one with logical partitions in its MBR."""
    sectors = 80
    entry = GptPartition(
        number=1, kind=GPT_EFI_SYSTEM, id=make_id(b"", "1"), first=36, sectors=8, name="EFI"
    )
    primary, backup = build_gpt(make_gpt(make_id(b"", "disk"), [entry], sectors=sectors))
    mbr = build_mbr(Mbr(partitions=(protect(sectors),)), sectors=sectors)
    gpt = (mbr + primary).ljust((sectors - GPT_SECTORS) * 512, b"\0") + backup
    extended = MbrPartition(number=2, kind=0x05, first=4, sectors=12)
    logical = MbrPartition(number=1, kind=0x83, first=1, sectors=2)
    image = bytearray(16 * 512)
    image[:512] = build_mbr(Mbr(partitions=(extended,)), sectors=16)
    image[4 * 512 : 5 * 512] = build_mbr(
        Mbr(partitions=(logical, evolve(extended, first=6, sectors=4))), sectors=16
    )
    image[10 * 512 : 11 * 512] = build_mbr(Mbr(partitions=(logical,)), sectors=16)
    return {"gpt": gpt, "logical": bytes(image)}


def _squashfs_tree() -> Tree:
    tree = _every_kind()
    tree.add(b"run/socket", Socket(metadata=_metadata(0o777, uid=1001)))
    tree.add(b"usr/large", _file(bytes(5000) + _TEXT * 100))
    tree.add(
        b"usr/capable",
        File(
            metadata=Metadata(
                mode=0o755, mtime=TIME, xattrs=((b"security.capability", b"\1" * 20),)
            ),
            content=b"x",
        ),
    )
    return tree


def squashfs() -> Seeds:
    """Return images that store their blocks, and one of each compression."""
    tree = _squashfs_tree()
    small = _tree({b"a": _file(), b"b/c": Symlink(metadata=_metadata(0o777), target=b"a")})
    options = Options(padding=False)
    bare = Options(padding=False, tails=False, exports=False, xattrs=False)
    codecs = {"xz": xz_codec(4096), "zstd": zstd_codec(), "lz4": lz4_codec()}
    images = {
        "every-kind": build_squashfs(tree, codec=STORED, executor=AtOnce(), options=options),
        "small": build_squashfs(small, codec=STORED, executor=AtOnce(), options=bare),
    }
    for name, codec in codecs.items():
        images[name] = build_squashfs(small, codec=codec, executor=AtOnce(), options=options)
    return images


def overlay() -> Seeds:
    """Return an overlay of each kind, and a bundle."""
    bundle = _tree(
        {
            b"Core-current.iso": _file(b"iso"),
            b"rebuild_iso.sh": _file(b"ISO_NAME=rz_mk_dev-image.iso\n"),
            b"gitversion.sh": _file(b"ISO_VERSION='1.0'\n"),
            b"dependencies/razor-microkernel-overlay.tar.gz": _file(b"overlay"),
        }
    )
    tree = _tree({b"etc/a": _file(), b"opt/bin": _file(b"#!", 0o755)})
    return {
        "tar.gz": build_gzip(build_tar(tree)),
        "tar": build_tar(tree),
        "bundle": build_tar(bundle),
        "cpio.xz": lzma.compress(build_cpio(tree)),
        "tcz": build_squashfs(
            tree, codec=STORED, executor=AtOnce(), options=Options(padding=False)
        ),
    }


def archive() -> Seeds:
    """Return an archive of each kind, and one in another."""
    tree = _tree({b"etc/a": _file(), b"a:b": _file()})
    return {
        "tar.gz": build_gzip(build_tar(_tree({b"x.cpio": _file(build_cpio(tree))}))),
        "cpio.xz": lzma.compress(build_cpio(tree)),
        "iso": _iso(_iso_tree()),
        "ar": debs.ar([(b"debian-binary", b"2.0\n"), (b"a:b", b"")]),
        "disk": partitions()["logical"],
        "qcow2": qcow2()["2"],
        **fat(),
        **{name: image for name, image in squashfs().items() if name == "small"},
    }


def oci() -> Seeds:
    """Return a manifest, a configuration and a layer, and a manifest that is no JSON."""
    manifest = b'{"config": {"digest": "@config@"}, "layers": [{"digest": "@layer@"}]}'
    layer = build_tar(_tree({b"etc/a": _file(), b"etc/.wh.b": _file()}))
    return {
        "image": b"\0".join([manifest, b'{"os": "linux"}', layer]),
        "list": b'{"config": {}, "layers": []}\0{}\0',
    }


def elf() -> Seeds:
    """Return libraries of each class and byte order, with every note that is read."""
    make = elves.make_library
    return {
        "64": make(b"libx.so.1", b"libc.so.6", isa_needed=3, os_version=(2, 6, 32)),
        "32": make(b"libx.so.1", bits=32, machine=3, interpreter=b"/lib/ld-linux.so.2"),
        "big": make(b"libx.so.1", byte_order="big", machine=21),
        "apart": make(b"libx.so.1", apart_bytes=4096),
    }


def elf_object() -> Seeds:
    """Return programs and libraries with versions, of each class and byte order."""
    make = elves.make_library
    versions: dict[str, Any] = {
        "needed_versions": {b"libc.so.6": [b"GLIBC_2.28"], b"libm.so.6": [b"GLIBC_2.1", b"X"]},
        "weak": [b"X"],
        "versions": [b"libx.so.1", b"X_1"],
    }
    return {
        "64": make(b"libx.so.1", b"libc.so.6", rpath=b"$ORIGIN", flags_1=0x800, **versions),
        "big": make(None, b"libc.so.6", byte_order="big", bits=32, machine=20, **versions),
        "program": make(
            None, b"libc.so.6", bits=32, kind=2, interpreter=b"/lib/ld-linux.so.2", runpath=b"/x"
        ),
    }


def efi_loader() -> Seeds:
    """Return small boot loaders of UEFI."""
    script = b"search --set=root --file /x; set prefix=($root)/boot/grub; source $prefix/grub.cfg"
    disk = fats.make_fat12({"GRUB.CFG": script})
    return {
        "grub": pes.make_grub(config=b"normal (memdisk)/grub.cfg"),
        "memdisk": pes.make_grub(
            b"(memdisk)/boot/grub",
            memdisk=debs.tar([debs.entry("boot/grub/grub.cfg", script)]),
            machine=Machine.IA32,
        ),
        "fat": pes.make_grub(b"(memdisk)/", memdisk=bytes(disk[: 20 * fats.SECTOR_BYTES])),
        "shim": pes.make_shim(signature=b"PKCS#7"),
        "stub": pes.make_stub(),
    }


def ld_cache() -> Seeds:
    """Return caches of each form and byte order."""

    def entry(name: bytes, **fields: Any) -> LdCacheEntry:
        return LdCacheEntry(name=name, path=b"/lib/" + name, flags=0x303, **fields)

    entries = [entry(b"liba.so.1"), entry(b"libb.so.1", os_version=0x020620)]
    with_hwcaps = [*entries, entry(b"liba.so.1", hwcaps=b"x86-64-v2", isa_level=1)]
    seeds = {
        form.name.lower(): build_ld_cache(
            with_hwcaps, format=form, generator=b"ldconfig", hwcaps=[b"x86-64-v2"]
        )
        for form in CacheFormat
    }
    seeds["big"] = build_ld_cache(
        entries,
        format=CacheFormat.NEW,
        generator=b"",
        byte_order="big",
        extended=False,
        marked=False,
    )
    return seeds


def kernel_module() -> Seeds:
    """Return modules of both classes, a packed one, and a signed one."""
    said = ["license=GPL", "alias=pci:v1d2", "depends=a", "parm=n:a number", "parmtype=n:int"]
    module = kernel_modules.make_module(
        said,
        exports=[("f", 0x1234), ("g", None)],
        wants=[kernel_modules.Wanted(name="printk", crc=7)],
        versions=[("module_layout", 1)],
    )
    narrow = kernel_modules.make_module(
        said, exports=[("f", 1)], elf_class=ElfClass.BITS_32, byte_order="big", crc_section=False
    )
    name, key, signature = b"signer", b"key", b"signature"
    trailer = struct.pack(">BBBBB3xI", 1, 4, 1, len(name), len(key), len(signature))
    signed = module + name + key + signature + trailer + b"~Module signature appended~\n"
    return {"64": module, "32": narrow, "gz": build_gzip(module), "signed": signed}


def module_index() -> Seeds:
    """Return indexes of both orders."""
    values = [
        IndexValue(b"pci:v1*", b"a", 1),
        IndexValue(b"pci:v12", b"b", 2),
        IndexValue(b"usb:", b"c", 0),
        IndexValue(b"usb:", b"d", 1),
    ]
    return {
        "root-last": build_index(values),
        "root-first": build_index(values, root_first=True),
        "empty": build_index([]),
    }


def kernel() -> Seeds:
    """Return kernels that are packed in each way."""
    content = b"XZ-compressed data is corrupt\0" + b"Linux version 3.0.21-tinycore\0"
    seeds = {}
    for packer in bzimages.PACKERS:
        image = bytearray(bzimages.make_bzimage(bzimages.make_payload(content, packer), offset=0))
        struct.pack_into("<H", image, 0x20E, 0x60)
        image[0x260:0x268] = b"3.0.21 \0"
        if packer == "gzip":
            at = image.index(b"\x1f\x8b\x08")
            image[at + 4 : at + 8] = bytes(4)  # the time at which it was packed
        seeds[packer] = bytes(image)
    old = bytearray(seeds["gzip"])
    struct.pack_into("<H", old, 0x206, 0x0207)
    return {**seeds, "old": bytes(old)}


def kernel_symbols() -> Seeds:
    """Return a System.map and a Module.symvers."""
    return {
        "map": b"c1000000 T startup\nc1 R __ksymtab_printk\n",
        "symvers": b"0x12345678\tprintk\tdrivers/a\tEXPORT_SYMBOL\n",
    }


_CONTROL = debs.control(
    "lib-tool",
    "1:2.0~rc1-3+b1",
    fields={
        "Depends": "libc6 (>= 2.36), a:any | b [i386]",
        "Pre-Depends": "dpkg",
        "Provides": "tool (= 2), other",
        "Conffiles": "\n /etc/tool.conf 0123",
    },
)
_LISTED = debs.listed(_CONTROL, b"package", "pool/main/t/tool_2.deb")


def deb() -> Seeds:
    """Return packages of several compressions, with scripts and settings."""
    data = (
        *debs.TOOL,
        debs.entry("./usr/bin/link", link="tool"),
        debs.entry("./usr/bin/hard", link="./usr/bin/tool", kind=tarfile.LNKTYPE),
    )
    scripts = {"postinst": b"#!/bin/sh\n", "conffiles": b"/etc/tool.conf\n"}
    return {
        "xz": debs.deb(_CONTROL, data=data, scripts=scripts),
        "zst": debs.deb(packed=".zst", control_packed=".zst"),
        "plain": debs.deb(packed="", control_packed=""),
    }


def control() -> Seeds:
    """Return a stanza, and several."""
    return {"control": _CONTROL, "index": _LISTED + b"\n" + _LISTED}


def packages_index() -> Seeds:
    """Return an index, plain and packed."""
    index = _LISTED + b"\n\n" + debs.listed(debs.control(), b"x", "pool/x.deb")
    return {"plain": index, "xz": lzma.compress(index), "gz": build_gzip(index)}


_RELEASE = (
    b"Suite: stable\nCodename: bookworm\nDate: Sat, 10 Jun 2023 08:55:10 UTC\n"
    b"Valid-Until: Sat, 17 Jun 2023 08:55:10 UTC\nSHA256:\n "
    + b"0" * 64
    + b" 12 main/binary-i386/Packages.xz\n"
)
_SIGNED = (
    b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
    + _RELEASE
    + b"- - escaped\n-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"
)


def release() -> Seeds:
    """Return a Release and an InRelease, whose signature is none."""
    return {"release": _RELEASE, "inrelease": _SIGNED.replace(b"- - escaped\n", b"")}


def relations() -> Seeds:
    """Return relations, choices and versions."""
    return {
        "depends": b"libc6 (>= 2.36), a:any (<< 1:2.0-1) | b [i386]",
        "choice": b"lshw:i386=02.19-2.deb",
        "file": b"lshw_02.19-2_i386.deb",
        "versions": b"1.0 1.0~rc1 1:0.1-1 2.0+dfsg-3",
    }


def _specs() -> Seeds:
    about = Description(
        name="json_pure",
        version="1.7.7",
        platform="ruby",
        needs=[
            Need(name="facter", clauses="~> 1.6, < 3"),
            Need(name="rspec", clauses=">= 0", kind="development"),
        ],
        ruby=">= 1.8.7",
        rubygems="> 1.3.1",
        files=["lib/json.rb"],
    )
    return {era.name.lower(): write_gemspec(about, era).encode() for era in Era}


@cache
def _gems() -> dict[str, bytes]:
    return {
        era.name.lower(): make_gem("json", "1.7.7", needs={"facter": ">= 1"}, era=era).content
        for era in Era
    }


def gem() -> Seeds:
    """Return gems of each time."""
    return _gems()


def gemspec() -> Seeds:
    """Return specifications of each time."""
    return _specs()


def marshal() -> Seeds:
    """Return values of each type."""
    shared = Symbol("name")
    return {
        "values": build_marshal(
            (
                None, True, 1, -300, b"raw", "text", shared, shared,
                Hash(pairs=((1, "one"),), default=0),
                Object(class_name="K", variables=(("@a", 1),)),
                UserDefined(class_name="Time", data=b"12345678", variables=(("zone", "UTC"),)),
            )
        ),
        "1.8": b'\x04\x08[\x09f\x0a0.1\x00\x99I"\x06\xe9\x06:\rencoding"\x0fISO-8859-1@\x06;\x00',
        "classes": b"\x04\x08U:\x06K\"\x06a",
    }  # fmt: skip


@cache
def _index() -> dict[str, bytes]:
    specs = {}
    for name, content in _gems().items():
        if name == "now":
            spec = parse_gem(Input(content, name=name)).spec
            specs[spec.file_name] = spec

    def deflated(content: bytes) -> bytes:
        return zlib.compress(content)[2:-4]

    return build_gem_index(specs, deflate=deflated)


def gem_index() -> Seeds:
    """Return a list of gems, plain and packed."""
    return {name: data for name, data in _index().items() if name.startswith("specs.")}


def quick_spec() -> Seeds:
    """Return a packed and a plain specification."""
    packed = next(data for name, data in _index().items() if name.endswith(".rz"))
    return {"packed": packed, "plain": zlib.decompress(packed)}


def gem_info() -> Seeds:
    """Return the releases of a gem."""
    lines = [
        "created_at: 2024-01-01",
        "---",
        f"1.7.7 facter:>= 1.6&< 3,json:>= 0|checksum:{'0' * 64},ruby:>= 1.8.7,rubygems:> 1.3",
        "1.0.rc1-x86-mingw32 |",
    ]
    return {"info": "\n".join(lines).encode() + b"\n"}


def gem_list() -> Seeds:
    """Return a list of gems, and a requirement and platforms."""
    return {
        "list": b"# gems\nfacter\njson_pure >= 1.6, != 1.7 # why\n",
        "requirement": b"~> 1.0.rc1, >= 1\n1.0 1.0.a 2\n",
        "platform": b"x86-mswin32-60",
    }


def boot_menu() -> Seeds:
    """Return a menu as Core has it, and one with a menu program."""
    return {"core": _MENU, "menu": b"ui vesamenu.c32\r\nlabel a\r\n menu default\r\n linux /k\r\n"}


def grub_config() -> Seeds:
    """Return a menu with conditions, variables, quotes and a submenu."""
    return {
        "menu": b"""# menu
set default="0"
if [ "${x}" ]; then set timeout=5; else set timeout=9; fi
function f { linux $1; }
k=/boot/vmlinuz
menuentry "a \\"b\\" $c" --id a --class x {
\tlinux $k quiet 'a b' -- \\
  more
\tinitrd (loop)/core.gz /b
}
submenu 'M' {
  menuentry 'd' { for i in 1 2; do linuxefi /k-$i; done }
}
source $prefix/x.cfg
configfile (cd0)/y.cfg
""",
    }


def loader_entry() -> Seeds:
    """Return an entry of systemd-boot, and its configuration."""
    return {
        "entry": b'title A\nlinux /k\r\ninitrd /a\ninitrd /b\noptions x="1 2" -- y\n',
        "config": b"#timeout 3\ntimeout menu-force\ndefault a*\n",
    }


def mtree() -> Seeds:
    """Return a manifest with each keyword and kind of entry."""
    return {
        "manifest": b"#mtree\n/set type=file uid=0 gid=0 mode=0644 time=1400000000.5\n"
        b".  type=dir mode=0755\n    etc  type=dir\n        conf size=5\n"
        b"        a\\040b contents=files/a mode=04755\n        l type=link link=../a\n    ..\n"
        b"    dev type=dir\n        null type=char device=native,1,3\n"
        b"        sda type=block device=0x0103 gid=50\n    ..\n..\n./opt/pipe type=fifo\n"
        b"./opt/sl type=link link=\\\n/x\n/unset mode\n./nope optional\n./s type=socket nochange\n"
    }


_TOML = """\
a = 1
'b c' = [1, 2.5, true, {x = 'y'}]
"d" = "\\u00e9\\n"
[t.u]
e = '''
long
'''
f.g = 1979-05-27T07:32:00Z
[[r]]
x = 0x1F
[[r]]
y = \"\"\"\\
  z\"\"\"
"""


def toml() -> Seeds:
    """Return each form of value and key."""
    return {"values": _TOML.encode()}


def recipe() -> Seeds:
    """Return the recipe that init writes, and one with most keys."""
    full = write_recipe(PLAIN)
    short = write_recipe(PLAIN, minimal=True)
    used = "\n".join(
        line.removeprefix("#") for line in full.splitlines() if line and not line.startswith("# ")
    )
    return {"short": short.encode(), "used": used.encode()}


def _pin(name: str) -> Pin:
    return Pin(
        name=name,
        url=f"http://mirror.example/{name}",
        size_bytes=len(name),
        sha256="a" * 64,
        md5="b" * 32,
    )


def origins() -> Seeds:
    """Return origins with two sources, without a path other than those of the top folders."""
    base, bash = Origin(OriginKind.BASE, "core.iso"), Origin(OriginKind.EXTENSION, "bash.tcz", "1")
    made = Origins(root=OriginMap({b"": base}), disc=OriginMap({b"": bash}))
    return {"origins": made.to_json()}


def lock_file() -> Seeds:
    """Return a lock file with a pin of each kind."""
    lock = Lock(
        core="4.x/x86",
        kernel="3.0.3-tinycore",
        files={"base": PinnedFile(role="base", requested="Core.iso", pin=_pin("Core.iso"))},
        extensions={
            "bash.tcz": Extension(
                name="bash.tcz",
                file=_pin("bash.tcz"),
                dependencies=(),
                companions={".dep": _pin("bash.tcz.dep")},
            )
        },
        gems=(PinnedGem(name="json", version="1.7", needs=("a >= 1",), pin=_pin("json-1.7.gem")),),
    )
    return {"lock": build_lock(lock)}


def lists() -> Seeds:
    """Return a list of each kind."""
    return {
        "extensions": b"\xef\xbb\xbfbash.tcz\r\nlshw=02.19-2.deb # why\n",
        "gems": b"facter >= 1\njson\n",
        "paths": b"usr/local/bin/tool\n",
    }


def settings() -> Seeds:
    """Return settings in each notation."""
    return {
        "settings": b'# settings\nMK_BUNDLE_TYPE=prod\nexport MK_BUNDLE_MIRROR_LIST="a b.lst"\r\n'
        b"MK_BUNDLE_TC_PASSWD='x #1'\n"
    }


def tinycore() -> Seeds:
    """Return the files beside an extension, and the indexes."""
    needs = {"a.tcz": ["b.tcz"], "b.tcz": []}
    extensions = {"a.tcz": b"a", "b.tcz": b"b"}
    return {
        **make_indexes(needs, extensions),
        "dep": b"b.tcz\nc-KERNEL.tcz\n",
        "md5": b"0123456789abcdef0123456789abcdef  a.tcz\n",
        "name": b"a.tcz",
    }


def extension_lists() -> Seeds:
    """Return an ``.info`` and the indexes of tags, names and files."""
    return {
        "info": build_info({"Title": "a.tcz", "Comments": "one\ntwo", "Copying-policy": "GPL"}),
        "old": b"Description: caf\xe9\r\nComments:\tone\r\ntwo: three\r\n",
        "tags": b"a.tcz\ttool of text\nb.tcz\n",
        "names": b"a.tcz\nb.tcz\n",
        "provides": b"a.tcz\nusr/bin/a\n./usr/lib/a\n\nb.tcz\n/usr/bin/b\n",
    }


def accounts() -> Seeds:
    """Return each file."""
    return {
        "passwd": b"root:x:0:0:root:/root:/bin/sh\n# c\n+::::::\ntc:x:1001:50::/home/tc:/bin/sh\n",
        "shadow": b"root:*:13525:0:99999:7:::\n",
        "group": b"root:x:0:\nstaff:x:50:tc\n",
    }


def inittab() -> Seeds:
    """Return the lines that are changed."""
    return {
        "core": b"::sysinit:/etc/init.d/rcS\n"
        b"tty1::respawn:/sbin/getty -nl /sbin/autologin 38400 tty1\n"
        b"ttyS0::respawn:/sbin/getty -L 115200,9600 ttyS0 vt100\n"
    }


def timezone() -> Seeds:
    """Return rules with and without summer time."""
    return {
        "utc": b"UTC",
        "fixed": b"<-03>3",
        "summer": b"CET-1CEST,M3.5.0,M10.5.0/3",
        "days": b"AAA4BBB3:30,J60,300/2:30:15",
    }


def ld_so_conf() -> Seeds:
    """Return settings with includes, and the file that they include."""
    return {
        "conf": b"# c\ninclude ld.so.conf.d/*.conf\n/usr/local/lib\nhwcap 1 sse2\n/opt=libc6\n"
        b"\0include /etc/ld.so.conf\n/usr/lib\n"
    }


def depmod_conf() -> Seeds:
    """Return each command, and a pattern with a name."""
    return {
        "conf": b"# c\nsearch updates built-in \\\n extra\noverride e100 3.* kernel\n"
        b"external * /opt\nexclude build\nmake_map_files no\n",
        "pattern": b"usr/**/lib[a-c]?.so*\nusr/x/liba1.so.2",
    }


def fetched() -> Seeds:
    """Return a record, headers and addresses."""
    record = CacheEntry(
        url="http://mirror.example/a",
        sha256="0" * 64,
        size_bytes=3,
        validators=Validators(etag='"x"', last_modified=None),
    )
    return {
        "record": record.to_bytes(),
        "length": b"42",
        "range": b"bytes 1-41/42",
        "retry": b"Mon, 01 Jul 2013 00:01:00 GMT",
        "url": b"https://user:secret@[::1]:8080/a?token=1#f",
    }


def keyring() -> Seeds:
    """Return no keys; one that was made once is in the corpus, because each new key differs."""
    return {"none": b"no keys\n"}


SEEDS: dict[str, Callable[[], Seeds]] = {
    make.__name__: make
    for make in (
        partitions,
        tar, cpio, gzip, deflate, compression, lz4, ar,
        iso, core_iso, initrds, fat, qcow2, squashfs, overlay, archive, oci,
        elf, elf_object, efi_loader, ld_cache, kernel_module, module_index, kernel, kernel_symbols,
        deb, control, packages_index, release, keyring, relations,
        gem, gemspec, marshal, gem_index, quick_spec, gem_info, gem_list,
        boot_menu, grub_config, loader_entry,
        mtree, toml, recipe, origins, lock_file, lists, settings, tinycore,
        extension_lists, accounts, inittab, timezone, ld_so_conf, depmod_conf, fetched,
    )
}  # fmt: skip


@cache
def seeds_of(name: str) -> Seeds:
    """Return the seeds of a target."""
    return SEEDS[name]()

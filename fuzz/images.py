"""Fuzz the readers of file system images, and what is made of archives and images."""

from __future__ import annotations

import hashlib

from attrs import evolve

from fixtures.kernel import make_kernel
from fuzz import mutators
from fuzz.target import (
    LIMITS,
    Plant,
    attempt,
    check_error,
    given,
    require_equal,
    require_same_tree,
    target,
)
from purekernel.analysis.listing import entry_json
from purekernel.errors import PurekernelError
from purekernel.formats.address import find_part
from purekernel.formats.archive import open_archive, open_container, open_qcow2
from purekernel.formats.boot_losses import find_lost_ways
from purekernel.formats.booted import read_entries
from purekernel.formats.core_iso import base_of_files, parse_base
from purekernel.formats.cpio import parse_initrds
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.fat import (
    build_fat,
    find_extents,
    parse_fat,
    put_files_in_fat,
    read_label,
    replace_files_in_fat,
)
from purekernel.formats.iso import build_iso, parse_iso, read_catalog, read_volume
from purekernel.formats.oci import read_images
from purekernel.formats.partitions import (
    EXTENDED,
    Mbr,
    build_gpt,
    build_mbr,
    parse_gpt,
    parse_mbr,
    parse_partitions,
)
from purekernel.formats.qcow2 import build_qcow2, parse_qcow2
from purekernel.formats.sparse import SparseImage
from purekernel.formats.squashfs.codecs import Codec
from purekernel.formats.squashfs.listing import describe_image, list_details, list_names
from purekernel.formats.squashfs.reader import measure_packed, open_squashfs, parse_squashfs
from purekernel.formats.squashfs.superblock import read_superblock
from purekernel.formats.squashfs.writer import build_squashfs
from purekernel.host.overlay_reader import parse_layer
from purekernel.input import Input
from purekernel.razor.bundle import parse_bundle
from purekernel.recipe.flavour import InitrdLayout
from purekernel.remaster.initrds import arrange_initrds
from purekernel.tree import Directory, File, Metadata, Tree, put_file
from purekernel.tree.path import join
from tests.executors import AtOnce


def _load(file: File) -> bytes:
    return bytes(file.content)


def _read_contents(tree: Tree) -> None:
    for _path, node in tree.walk():
        if isinstance(node, File):
            attempt(_load, node)


# Writing an ISO image takes a millisecond for each name.
MOST_WRITTEN = 12
MOST_WRITTEN_BYTES = 4 << 20


@target(
    Plant(path="formats/iso/system_area.py", before="return self._without(next(known, size))"),
    Plant(path="formats/iso/zisofs.py", before='raise file.fail(start, "a valid'),
    mutate=mutators.iso,
)
def iso(data: bytes) -> None:
    """Read an ISO image; write what is read, and read it again."""
    volume = attempt(read_volume, given(data))
    if volume is not None:
        attempt(read_catalog, given(data), volume)
    image = attempt(parse_iso, given(data))
    if image is None:
        return
    find_lost_ways(image)
    if len(image.tree) > MOST_WRITTEN:
        return
    again = attempt(build_iso, image.tree, fields=image.fields, boot=image.boot, timestamp=0)
    if again is not None:
        found = parse_iso(given(again)).tree
        # Names that share no content have nothing in common on an ISO.
        require_same_tree("iso", found, image.tree, has_links=False)


@target(
    Plant(path="formats/core_iso.py", before="raise _no_boot(file.name)"),
    mutate=mutators.iso,
)
def core_iso(data: bytes) -> None:
    """Read a Core ISO: its boot settings, its kernel and its root file system."""
    base = attempt(parse_base, given(data))
    attempt(parse_base, given(data), keep_iso_files=True)
    if base is not None and base.boot is not None:
        entries = attempt(read_entries, base.iso, base.boot.boot_image)
        attempt(list, entries or ())


_KERNEL = make_kernel()


@target(
    Plant(path="formats/core_iso.py", before="errors.append(error)"),
)
def initrds(data: bytes) -> None:
    """Read two initrds as a base; their tree is that of the initrds made of it."""
    size = int.from_bytes(data[:2], "big")
    first, second = data[2 : 2 + size], data[2 + size :]
    parts = [("a.gz", given(first)), ("b.gz", given(second))]
    base = attempt(base_of_files, given(_KERNEL, name="vmlinuz"), parts)
    if base is None:
        return
    for layout in (InitrdLayout.AS_BASE, InitrdLayout.MERGED):
        made = arrange_initrds(base.root, base, layout)
        again = parse_initrds([part.tree for part in made]).tree
        require_same_tree("initrds", again, base.root)


def _replace_in_fat(data: bytes, tree: Tree) -> None:
    """Replace a file by a larger one and another by an empty one."""
    paths = [path for path, node in tree.walk() if isinstance(node, File)]
    contents = dict(zip(paths[:2], (b"new" * 1000, b""), strict=False))
    image = attempt(replace_files_in_fat, given(data), contents)
    if image is None or image.size_bytes > LIMITS.unpacked_bytes:
        return
    for path, content in contents.items():
        node = tree[path]
        tree = tree.copy()
        tree.replace(path, File(metadata=node.metadata, content=content))
    require_same_tree("fat", parse_fat(given(image.to_bytes())), tree)


def _add_to_fat(data: bytes, tree: Tree) -> None:
    """Add files to the root folder, to another one and to a new one; all others stay."""
    last = [path for path, node in tree.walk() if isinstance(node, Directory)][-1]
    contents = {join(last, b"added in fuzzing"): b"new" * 1000, b"new in fuzzing/two/x": b"x"}
    if any(b"in fuzzing" in path.lower() for path, _node in tree.walk()):
        return
    image = attempt(put_files_in_fat, given(data), contents, timestamp=0)
    if image is None or image.size_bytes > LIMITS.unpacked_bytes:
        return
    files = {path: node.content for path, node in tree.walk() if isinstance(node, File)}
    added = parse_fat(given(image.to_bytes()))
    found = {path: node.content for path, node in added.walk() if isinstance(node, File)}
    require_equal("fat, with files added", found, {**files, **contents})


def _from_1980(tree: Tree) -> Tree:
    first = 315532800
    return tree.map_metadata(lambda old: evolve(old, mtime=max(old.mtime, first)))


@target(
    Plant(path="formats/fat/volume.py", before="self._repeated.append("),
)
def fat(data: bytes) -> None:
    """Read a FAT file system; write what is read, or other contents, and read it again."""
    attempt(read_label, given(data))
    attempt(find_extents, given(data))
    tree = attempt(parse_fat, given(data))
    if tree is None:
        return
    _replace_in_fat(data, tree)
    _add_to_fat(data, tree)
    image = attempt(build_fat, tree, timestamp=0)
    if image is None or image.size_bytes > LIMITS.unpacked_bytes:
        return
    again = image.to_bytes()
    # A file without a time is read as of 1970, and written as of 1980.
    require_same_tree("fat", _from_1980(parse_fat(given(again))), _from_1980(tree))
    require_equal("fat", find_extents(given(again)), dict(image.extents))


@target(
    Plant(path="formats/qcow2.py", before='raise file.fail(place, f"an offset in'),
)
def qcow2(data: bytes) -> None:
    """Read a qcow2 image; write the disk, and read it again."""
    image = attempt(parse_qcow2, given(data))
    if image is None:
        return
    disk = attempt(open_qcow2, given(data))
    if disk is not None:
        require_equal("qcow2", bytes(disk.view[:MOST_WRITTEN_BYTES]).strip(b"\0"), _start(image))
    written = attempt(build_qcow2, image)
    if written is not None and written.size_bytes <= MOST_WRITTEN_BYTES:
        again = parse_qcow2(given(written.to_bytes()))
        require_equal("qcow2", _blocks(again), _blocks(image))


def _start(image: SparseImage) -> bytes:
    """Return the start of a disk without the zeros around it."""
    if image.size_bytes > MOST_WRITTEN_BYTES:
        image = SparseImage.of(
            MOST_WRITTEN_BYTES,
            [
                part.cut(part.offset, min(part.end, MOST_WRITTEN_BYTES))
                for part in image.parts
                if part.offset < MOST_WRITTEN_BYTES
            ],
        )
    return image.to_bytes().strip(b"\0")


def _blocks(image: SparseImage) -> list[tuple[int, bytes]]:
    """Return the blocks of a disk that are not zeros."""
    return [(number, block) for number, block in image.blocks(512) if block.strip(b"\0")]


@target(
    Plant(path="formats/partitions/reader.py", before='raise file.fail(at, "a last sector'),
    mutate=mutators.partitions,
)
def partitions(data: bytes) -> None:
    """Read the partition tables of a disk; write what is read, and read it again."""
    attempt(parse_mbr, given(data))
    attempt(parse_gpt, given(data))
    table = attempt(parse_partitions, given(data))
    if table is None:
        return
    primary = tuple(each for each in table.mbr.partitions if each.number <= 4)
    sectors = len(data) // 512
    mbr = Mbr(partitions=primary, disk_id=table.mbr.disk_id, code=table.mbr.code)
    image = bytearray(len(data) // 512 * 512)
    image[:512] = build_mbr(mbr, sectors=sectors)
    if not any(each.kind in EXTENDED for each in primary):
        require_equal("MBR", parse_mbr(given(bytes(image))), mbr)
    packed = None if table.gpt is None else attempt(build_gpt, table.gpt)
    if packed is not None and table.gpt is not None and table.gpt.sectors == sectors:
        image[512 : 512 + len(packed[0])] = packed[0]
        image[len(image) - len(packed[1]) :] = packed[1]
        require_equal("GPT", parse_gpt(given(bytes(image))), table.gpt)


def _stored(block: bytes) -> bytes:
    """Return a block that is larger than its content, so that the writer stores the content."""
    return block + b"\0"


STORED = Codec(compression=1, pack=_stored)
"""Stores every block of a squashfs image, so that the fuzzer sees and changes plain numbers."""


@target(
    Plant(path="formats/squashfs/image.py", before='raise self.file.fail(start, f"{size}'),
    Plant(path="formats/squashfs/superblock.py", before='raise file.fail(40, f"{block.bytes_used}'),
)
def squashfs(data: bytes) -> None:
    """Read a squashfs image, at once and on access; write what is read, and read it again."""
    attempt(read_superblock, given(data))
    attempt(measure_packed, given(data))
    opened = attempt(open_squashfs, given(data))
    if opened is not None:
        list(list_names(opened.tree, top=b"squashfs-root"))
        list(list_details(opened, opened.tree, top=b"squashfs-root"))
        describe_image(opened, name="input")
        _read_contents(opened.tree)
    tree = attempt(parse_squashfs, given(data))
    if tree is not None:
        again = attempt(build_squashfs, tree, codec=STORED, executor=AtOnce())
        if again is not None:
            require_same_tree("squashfs", parse_squashfs(given(again)), tree)


@target(
    Plant(path="razor/bundle.py", before='known = ", ".join(name.decode()'),
    Plant(
        path="host/overlay_reader.py",
        before="message = _wrong_kind(",
    ),
    mutate=mutators.packed(mutators.tar),
)
def overlay(data: bytes) -> None:
    """Read an overlay of any kind, and a bundle."""
    attempt(parse_layer, given(data))
    attempt(parse_bundle, data, source="bundle", limits=given(data).limits)


def _read_damaged(data: bytes) -> None:
    """Read an archive as far as it goes; without a fault, it is read as a whole."""
    faults: list[PurekernelError] = []
    limits = evolve(LIMITS, salvage=faults.append)
    file = Input(data, name="input", limits=limits)
    attempt(open_archive, file, name=b"x.gz", metadata=Metadata(mode=0o644))
    if detect(data) is FileKind.ISO:
        attempt(parse_iso, file)
    for fault in faults:
        check_error(fault)


_OCI_CONFIG, _OCI_LAYER = b"@config@", b"@layer@"


@target(
    Plant(path="formats/oci.py", before='raise file.fail(None, "valid JSON", str(error))'),
    mutate=mutators.packed(),
)
def oci(data: bytes) -> None:
    """Read a container image of a manifest, a configuration and a layer, apart by NUL.

    The digests in the manifest, and that of the manifest, are right.
    """
    manifest, _nul, rest = data.partition(b"\0")
    config, _nul, layer = rest.partition(b"\0")
    blobs = {hashlib.sha256(blob).hexdigest(): blob for blob in (config, layer)}
    digests = [f"sha256:{digest}".encode() for digest in blobs]
    manifest = manifest.replace(_OCI_CONFIG, digests[0]).replace(_OCI_LAYER, digests[-1])
    digest = hashlib.sha256(manifest).hexdigest()
    index = b'{"manifests": [{"digest": "sha256:%s"}]}' % digest.encode()
    tree = Tree()
    files = {"oci-layout": b"{}", "index.json": index}
    files |= {f"blobs/sha256/{name}": blob for name, blob in {**blobs, digest: manifest}.items()}
    for name, content in files.items():
        put_file(tree, name.encode(), content, metadata=Metadata(mode=0o644))
    attempt(lambda: list(read_images(tree, given(b""))))
    attempt(open_container, tree, given(index))


@target(
    Plant(path="formats/archive.py", before="kind, compression = compression, None"),
    mutate=mutators.packed(mutators.tar),
)
def archive(data: bytes) -> None:
    """Open an archive of any kind, list it, and find each file in it by its address."""
    _read_damaged(data)
    opened = attempt(open_archive, given(data), name=b"x.gz", metadata=Metadata(mode=0o644))
    if opened is None:
        return
    for path, node in list(opened.tree.walk())[:MOST_WRITTEN]:
        attempt(find_part, given(data), path.decode("utf-8", "surrogateescape"))
        entry_json(path, node)
    attempt(find_part, given(data), "etc/../a:b:c")

"""Read an ISO 9660 image into a tree.

Names, owners and types come from Rock Ridge. Without Rock Ridge, names come from Joliet; without
Joliet, from ISO 9660, in lower case and without version. UDF is ignored. Files that zisofs packed
have their unpacked content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import BinaryIO, TypeVar, cast

from attrs import evolve
from pycdlib import dr, pycdlib, pycdlibexception

from purekernel.errors import FormatError, PurekernelError, TreeError
from purekernel.formats.iso.boot import IsoBoot
from purekernel.formats.iso.boot_reader import IsoFile, ReadBoot, read_boot
from purekernel.formats.iso.bounded_reader import Window
from purekernel.formats.iso.check import survey
from purekernel.formats.iso.layout import VolumeFields, get_fields
from purekernel.formats.iso.records import (
    ASSOCIATED,
    MULTI_EXTENT,
    child_link,
    declares_rock_ridge,
    is_dots,
    is_relocated,
    joliet_name,
    link_key,
    node_of,
    own_record,
    plain_name,
    rock_ridge_name,
    zisofs_entry,
)
from purekernel.formats.iso.zisofs import unpack_zisofs
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import (
    ROOT,
    Buffer,
    Directory,
    LazyContent,
    Node,
    Tree,
    damaged_content,
    display,
    parse_path,
)
from purekernel.tree.path import join

Name = Callable[[dr.DirectoryRecord], bytes]
_Result = TypeVar("_Result")


@frozen(kw_only=True)
class IsoImage:
    """The content of an image.

    Attributes:
        tree: the files, without the boot catalog and without Rock Ridge's folder for relocated
            folders.
        fields: the text fields of the volume descriptor.
        boot: how the image boots, as far as another image can have it; ``None`` if it has no boot
            catalog with entries.
        lost: what else it has for booting, in words for messages.
        catalog: path and file of the boot catalog, if it is a file.
    """

    tree: Tree
    fields: VolumeFields
    boot: IsoBoot | None
    lost: tuple[str, ...] = ()
    catalog: tuple[bytes, Node] | None = None


@frozen(kw_only=True)
class _Member:
    """A path of the image, with all its records (a file in several extents has several)."""

    path: bytes
    records: tuple[dr.DirectoryRecord, ...]


def parse_iso(file: Input) -> IsoImage:
    """Return the content of the ISO image ``file``. File contents are views into its data.

    Files are hard links of each other if Rock Ridge states several links and the same serial
    number, or the same extent.

    Raises:
        FormatError: the image is damaged, truncated, or not an ISO image.
        LimitError: it exceeds the limits.
    """
    return _read(file, lambda reader: reader.read())


def parse_iso_files(file: Input) -> Tree:
    """Return all files of the ISO image ``file``, the boot catalog too, as Linux mounts it.

    Files that zisofs packed are unpacked on access.

    Raises as :func:`parse_iso`.
    """
    return _read(file, lambda reader: reader.read_files())


def _read(file: Input, read: Callable[[_IsoReader], _Result]) -> _Result:
    surveyed = survey(file)
    window = Window(file, surveyed)
    image = pycdlib.PyCdlib()
    try:
        image.open_fp(cast("BinaryIO", window))
        return read(_IsoReader(file, image, surveyed.boot_record))
    except TreeError as error:
        raise file.fail(None, "valid names", str(error)) from None
    except PurekernelError:
        raise
    except pycdlibexception.PyCdlibException as error:
        raise _invalid(file, str(error)) from None
    except Exception as error:  # noqa: BLE001  # a damaged image can make pycdlib raise anything
        raise _invalid(file, f"a damaged image (pycdlib raises {error!r})") from None
    finally:
        _close(image)


def _invalid(file: Input, got: str) -> FormatError:
    return file.fail(None, "a valid ISO 9660 image", got)


def _close(image: pycdlib.PyCdlib) -> None:
    """Close the image, so that pycdlib's caches do not keep it alive."""
    with suppress(pycdlibexception.PyCdlibException):  # raised if opening failed
        image.close()


class _IsoReader:
    def __init__(self, file: Input, image: pycdlib.PyCdlib, boot_record: bytes) -> None:
        self._file = file
        self._boot_record = boot_record
        self._view = file.view
        self._image = image
        self._block_bytes = image.pvd.logical_block_size()

    def read_files(self) -> Tree:
        root, members = self._members()
        return self._build(root, members, is_lazy=True)

    def _members(self) -> tuple[dr.DirectoryRecord, list[_Member]]:
        volume = self._image.pvd
        name: Name = rock_ridge_name
        if not declares_rock_ridge(volume.root_directory_record()):
            name = plain_name
            if self._image.joliet_vd is not None:
                volume, name = self._image.joliet_vd, joliet_name
        root = volume.root_directory_record()
        return root, list(self._walk(root, name))

    def read(self) -> IsoImage:
        root, members = self._members()
        try:
            found = read_boot(self._file, self._boot_record, self._files(members))
        except FormatError as error:
            self._file.stop_at(error)
            found = ReadBoot(boot=None, lost=(), catalog_offset=None)
        catalog = None
        if found.catalog_offset is not None:
            at_catalog = [each for each in members if self._offset(each) == found.catalog_offset]
            members = [each for each in members if each not in at_catalog]
            for member in at_catalog[:1]:
                node = node_of(member.records[0], self._readable(member))
                catalog = None if node is None else (member.path, node)
        return IsoImage(
            tree=self._build(root, members),
            fields=self._fields(members),
            boot=found.boot,
            lost=found.lost,
            catalog=catalog,
        )

    def _files(self, members: list[_Member]) -> dict[int, IsoFile]:
        """Return the first name and the content of each file with content, by its offset."""
        files: dict[int, IsoFile] = {}
        for member in members:
            offset = self._offset(member)
            if offset is not None and offset not in files:
                content = self._readable(member)
                if not isinstance(content, LazyContent):
                    files[offset] = IsoFile(path=member.path, content=content)
        return files

    def _offset(self, member: _Member) -> int | None:
        """Return where the content of a file is, in bytes; ``None`` without any."""
        record = member.records[0]
        if record.isdir or not record.data_length:
            return None
        return record.extent_location() * self._block_bytes

    def _walk(self, root: dr.DirectoryRecord, name: Name) -> Iterator[_Member]:
        """Yield all paths, parents first, with relocated folders at their original paths."""
        moved = self._moved(root)
        seen = {id(root)}
        pending = [(ROOT, root)]
        while pending:
            folder, record = pending.pop()
            for group in _groups(record):
                child = group[0]
                if is_relocated(child) or (folder == ROOT and _holds_only_relocated(child)):
                    continue
                target = child
                link = child_link(child)
                if link is not None:
                    if link not in moved:
                        raise _invalid(self._file, "a missing relocated folder")
                    target = moved[link]
                raw = name(child)
                if parse_path(raw) != raw or b"/" in raw:
                    raise _invalid(self._file, f"the name {display(raw)}")
                path = parse_path(join(folder, raw))
                self._file.check_depth(path)
                yield _Member(path=path, records=(target, *group[1:]))
                if target.isdir:
                    if id(target) in seen:
                        raise _invalid(self._file, "a folder that contains itself")
                    seen.add(id(target))
                    pending.append((path, target))

    def _moved(self, root: dr.DirectoryRecord) -> dict[int, dr.DirectoryRecord]:
        """Return all relocated folders, by their extent."""
        moved: dict[int, dr.DirectoryRecord] = {}
        pending = [root]
        while pending:
            for child in pending.pop().children:
                if child.isdir and not is_dots(child):
                    pending.append(child)
                    if is_relocated(child):
                        moved[child.extent_location()] = child
        return moved

    def _build(
        self, root: dr.DirectoryRecord, members: list[_Member], *, is_lazy: bool = False
    ) -> Tree:
        # The root's record in the descriptor has no Rock Ridge; its "." entry has.
        node = node_of(root, b"", own_record(root))
        tree = Tree(node) if isinstance(node, Directory) else Tree()
        first_names: dict[tuple[int, ...], bytes] = {}
        unpacked_bytes = 0
        for member in members:
            record = member.records[0]
            content = raw = self._readable(member)
            packed = zisofs_entry(record)
            if packed is not None and not isinstance(raw, LazyContent):
                name = f"{self._file.name}: {display(member.path)}"
                inside = self._file.unpacked(raw, name=name)
                unpacking = partial(unpack_zisofs, inside, packed, already_bytes=unpacked_bytes)
                size_bytes = packed.size_bytes
                content = LazyContent(size_bytes, load=unpacking) if is_lazy else unpacking()
            child = node_of(record, content)
            if child is None:
                raise _invalid(self._file, f"an unknown type of file at {display(member.path)}")
            if member.path in tree:
                raise self._file.fail(None, "each name once", f"{display(member.path)} again")
            key = link_key(record)
            first = first_names.get(key) if key is not None else None
            if first is not None and tree[first] == child:
                tree.link(member.path, first)
                continue
            tree.add(member.path, child)
            if key is not None:
                first_names.setdefault(key, member.path)
            unpacked_bytes = self._file.count_unpacked(len(content), already_bytes=unpacked_bytes)
        return tree

    def _readable(self, member: _Member) -> Buffer | LazyContent:
        """Return the content of a file; if it is after the end of a cut image, a damaged one."""
        try:
            return self._content(member.records)
        except FormatError as error:
            if self._file.limits.salvage is None:
                raise
            # The survey has reported where the image ends.
            size_bytes = sum(record.data_length for record in member.records)
            return damaged_content(size_bytes, error)

    def _content(self, records: tuple[dr.DirectoryRecord, ...]) -> Buffer:
        """Return the content of a file: a view, unless its extents are not contiguous."""
        pieces: list[tuple[int, int]] = []
        for record in records:
            if record.isdir or not record.data_length:
                continue
            start = record.extent_location() * self._block_bytes
            end = start + record.data_length
            if pieces and pieces[-1][1] == start:
                start = pieces.pop()[0]
            if end > len(self._view):
                raise self._file.fail(
                    start, f"a file of {record.data_length} bytes", "the end of the image"
                )
            pieces.append((start, end))
        if len(pieces) == 1:
            return self._view[pieces[0][0] : pieces[0][1]]
        total_bytes = sum(end - start for start, end in pieces)
        self._file.check_unpacked(total_bytes)
        return b"".join(self._view[start:end] for start, end in pieces)

    def _fields(self, members: list[_Member]) -> VolumeFields:
        fields = get_fields(self._image.pvd)
        for member in members:
            record = member.records[0]
            identifier = record.file_ident.decode("utf-8", "surrogateescape")
            if b"/" not in member.path and identifier == fields.copyright_file_id:
                return evolve(
                    fields, copyright_file_id=member.path.decode("utf-8", "surrogateescape")
                )
        return fields


def _groups(folder: dr.DirectoryRecord) -> Iterator[list[dr.DirectoryRecord]]:
    """Yield the records of each entry: several for a file in several extents."""
    group: list[dr.DirectoryRecord] = []
    for record in folder.children:
        if is_dots(record) or record.file_flags & ASSOCIATED:
            continue
        group.append(record)
        if record.file_flags & MULTI_EXTENT and not record.isdir:
            continue
        yield group
        group = []
    if group:
        yield group


def _holds_only_relocated(record: dr.DirectoryRecord) -> bool:
    """Return whether ``record`` is the folder for relocated folders."""
    inside = [child for child in record.children if not is_dots(child)]
    return bool(inside) and all(is_relocated(child) for child in inside)

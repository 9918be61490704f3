"""Add files to a FAT volume, and leave all else as it is.

First the names are added, of empty files: folders get entries, clusters if they need more, and
missing folders are made. Then the files get their contents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import field, mutable

from purekernel.errors import ConflictError, PurekernelError, UnrepresentableError, raise_all
from purekernel.formats.fat.layout import ENTRY_BYTES, MOST_FOLDER_ENTRIES
from purekernel.formats.fat.names import (
    build_long_entries,
    count_long_entries,
    decode_name,
    fault_of_name,
    is_short,
    short_names,
)
from purekernel.formats.fat.replace import Editor, fold_path, replace_files_in_fat
from purekernel.formats.fat.volume import ARCHIVE, DELETED, END, FOLDER, Volume
from purekernel.formats.fat.writer import DOT, DOT_DOT, FatImage, build_record
from purekernel.input import Buffer, Input
from purekernel.tree import ROOT, display
from purekernel.tree.path import ancestors, join, name, parent


def put_files_in_fat(image: Input, files: Mapping[bytes, Buffer], *, timestamp: int) -> FatImage:
    """Return ``image`` with files that are added, or have other contents.

    Args:
        image: a FAT volume.
        files: the contents by path. Names are compared without case, as FAT does; missing folders
            are made.
        timestamp: the time of added files and folders, in seconds since 1970, UTC. Others keep
            theirs.

    Returns:
        The volume, as large as ``image``, or larger if it needs more room.

    Raises:
        FormatError: ``image`` is not a FAT file system, or is damaged.
        LimitError: it exceeds the limits.
        ConflictError: a path is a folder, or a folder in it is a file. A
            :class:`~purekernel.errors.CombinedError` has all errors about ``files``.
        UnrepresentableError: FAT cannot hold a name or a content, or a folder with more entries,
            or what must move cannot be moved.
    """
    known = {fold_path(path) for path, _entry in Volume(image).walk()}
    missing = {fold_path(path): path for path in sorted(files) if fold_path(path) not in known}
    if missing:
        grown = _Adder(image, missing.values(), timestamp).edit()
        image = image.unpacked(grown.to_bytes(), name=image.name)
    return replace_files_in_fat(image, files)


@mutable(kw_only=True)
class _Folder:
    """A folder that gets names.

    Attributes:
        records: its entries so far, without what is after their end.
        texts: the names that it gets, and whether each is a folder.
        shorts: the short names that it has.
        size_bytes: what its clusters hold now; 0 for a new folder.
    """

    records: list[bytes] = field(factory=list, repr=False)
    texts: dict[str, bool] = field(factory=dict)
    shorts: set[bytes] = field(factory=set, repr=False)
    size_bytes: int = 0
    places: dict[str, tuple[int, bytes]] = field(factory=dict)

    def place(self) -> None:
        """Give each new name a short one, and entries: of deleted files, or at the end."""
        for text, short in short_names(self.texts, self.shorts).items():
            count = 1 if is_short(text, short) else 1 + count_long_entries(text)
            start = self._free(count)
            missing = start + count - len(self.records)
            self.records += [b""] * missing
            self.records[start : start + count] = [b"?" * ENTRY_BYTES] * count
            self.places[text] = start, short

    def _free(self, count: int) -> int:
        run = 0
        for index, record in enumerate(self.records):
            run = run + 1 if record[0] == DELETED else 0
            if run == count:
                return index + 1 - count
        return len(self.records)

    def content(self, clusters: Mapping[str, int], timestamp: int) -> bytes:
        """Return the entries, with the first clusters of new folders."""
        records = list(self.records)
        for text, (start, short) in self.places.items():
            long_name = b"" if is_short(text, short) else build_long_entries(text, short)
            attributes = FOLDER if self.texts[text] else ARCHIVE
            record = build_record(short, attributes, clusters.get(text, 0), 0, timestamp)
            whole = long_name + record
            for index in range(len(whole) // ENTRY_BYTES):
                records[start + index] = whole[index * ENTRY_BYTES :][:ENTRY_BYTES]
        return b"".join(records)


class _Adder(Editor):
    """Adds empty files, and the folders that they are in."""

    def __init__(self, image: Input, paths: Iterable[bytes], timestamp: int) -> None:
        super().__init__(image, {}, timestamp)
        self._time = timestamp
        self._known = {fold_path(path): path for path in self._entries}
        self._known[fold_path(ROOT)] = ROOT
        self._folders: dict[bytes, _Folder] = {}
        errors: list[PurekernelError] = []
        for path in paths:
            try:
                self._plan(path)
            except PurekernelError as error:
                errors.append(error)
        raise_all(errors)
        for path, folder in self._folders.items():
            folder.place()
            if len(folder.records) > MOST_FOLDER_ENTRIES:
                errors.append(
                    UnrepresentableError(
                        f"the folder {display(path)} of {image.name} has no room for more files",
                        hint="use an image with fewer files in this folder",
                    )
                )
        raise_all(errors)
        self._sizes = {
            path: max(folder.size_bytes, len(folder.records) * ENTRY_BYTES)
            for path, folder in self._folders.items()
            if path != ROOT or self._is_32
        }

    def _plan(self, path: bytes) -> None:
        """Add the name of a file, and of each folder above that is missing."""
        for each in (*ancestors(path), path):
            if each == ROOT or fold_path(each) in self._known:
                known = self._known.get(fold_path(each), ROOT)
                if known != ROOT and not self._is_folder(known):
                    raise ConflictError(
                        f"{display(known)} in {self._image.name} must be a folder, got a file",
                        hint=f"'purekernel ls {self._image.name}:' lists its files",
                    )
                continue
            text = decode_name(name(each))
            fault = "that is not UTF-8" if text is None else fault_of_name(text)
            if text is None or fault:
                raise UnrepresentableError(
                    f"FAT cannot hold a name {fault}: {display(each)}", hint="choose another name"
                )
            above = self._known[fold_path(parent(each))]
            folder = self._folders.get(above) or self._old_folder(above)
            folder.texts[text] = each != path
            new = join(above, name(each))
            self._known[fold_path(each)] = new
            if each != path:
                self._folders[new] = _Folder(records=[b"?" * ENTRY_BYTES] * 2)

    def _is_folder(self, path: bytes) -> bool:
        return path in self._folders or (path in self._entries and self._entries[path].is_folder)

    def _old_folder(self, path: bytes) -> _Folder:
        data = self._volume.raw_folder(path, 0 if path == ROOT else self._entries[path].cluster)
        folder = self._folders[path] = _Folder(size_bytes=len(data))
        for start in range(0, len(data), ENTRY_BYTES):
            record = data[start : start + ENTRY_BYTES]
            if record[0] == END:
                break
            folder.records.append(record)
            folder.shorts.add(record[:11])
        return folder

    # What the editor asks for

    @property
    def _root_bytes(self) -> int:
        old_bytes = super()._root_bytes
        if self._is_32 or ROOT not in self._folders:
            return old_bytes
        sector_bytes = self._old.sector_bytes
        needed = len(self._folders[ROOT].records) * ENTRY_BYTES
        return max(old_bytes, -(-needed // sector_bytes) * sector_bytes)

    def _root_folder(self, chains: Mapping[bytes, list[int]]) -> Buffer:
        if self._is_32 or ROOT not in self._folders:
            return super()._root_folder(chains)
        return self._content(ROOT, chains).ljust(self._root_bytes, b"\0")

    def _old_chain(self, path: bytes) -> list[int]:
        if path == ROOT:
            return self._volume.chain(self._volume.boot.root_cluster, ROOT)
        return self._whole_chain(self._entries[path]) if path in self._entries else []

    def _content(self, path: bytes, chains: Mapping[bytes, list[int]]) -> bytes:
        folder = self._folders[path]
        clusters = dict(self._clusters(path, folder, chains))
        content = folder.content(clusters, self._time)
        if path not in self._entries and path != ROOT:
            above = parent(path)
            # The root folder is 0 here, also on FAT32.
            up = 0 if above == ROOT else self._first(above, chains)
            dots = ((DOT, chains[path][0]), (DOT_DOT, up))
            start = b"".join(
                build_record(short, FOLDER, cluster, 0, self._time) for short, cluster in dots
            )
            content = start + content[len(start) :]
        return content.ljust(folder.size_bytes, b"\0")

    def _clusters(
        self, path: bytes, folder: _Folder, chains: Mapping[bytes, list[int]]
    ) -> Iterator[tuple[str, int]]:
        for text, is_folder in folder.texts.items():
            if is_folder:
                yield text, chains[join(path, text.encode("utf-8", "surrogatepass"))][0]

    def _first(self, path: bytes, chains: Mapping[bytes, list[int]]) -> int:
        return chains[path][0] if path in chains else self._entries[path].cluster

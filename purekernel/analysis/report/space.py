"""Work out what takes the space of an image: each file, also those in archives in archives."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress

from purekernel.analysis.contents import Contents, Part
from purekernel.analysis.origins import Origin
from purekernel.analysis.usage import measure_usage
from purekernel.errors import PurekernelError
from purekernel.formats.address import SEPARATOR
from purekernel.records import frozen
from purekernel.tree import (
    ROOT,
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Node,
    Symlink,
    Tree,
)
from purekernel.tree.path import escape, name, parent

# A page of this many entries has about 3 MB. If there are more, the smallest files of each folder
# are one entry; so are folders of small files.
MOST_ENTRIES = 50_000
MOST_NAME_BYTES = 1_200_000

FOLDER, FILE, ARCHIVE, LINK, REST, MANY = "d", "f", "a", "l", "r", "m"
"""The kinds of entries, besides ``b``, ``c``, ``p`` and ``s`` as in ``ls -l``.

``a`` is a file that other entries are inside of, ``r`` what an archive takes besides its files, and
``m`` several small files.
"""

# Of a large file, only so much is packed to estimate the rest.
_SAMPLE_BYTES = 1 << 16

FindOrigin = Callable[[Part, bytes], Origin | None]
"""Returns the origin of a path of a part; ``None`` if it has that of its folder or archive."""


@frozen(kw_only=True, eq=False)
class Space:
    """What takes the space of an image, as columns: entry 0 is the image itself.

    Attributes:
        names: the name of each entry, printable.
        parents: the number of the entry that each is in; lower than its own. -1 for the image.
        kinds: the kind of each, see :data:`FOLDER` and others.
        raw: the size of each in bytes, unpacked; of all that is in it.
        packed: what it takes in the image in bytes, likewise.
        origins: the number of its origin in ``sources``.
        attributes: the number of its mode and owner in ``modes``; -1 for none.
        sources: the origins; the first, ``None``, stands for an unknown one.
        modes: permissions, user and group.
        estimated: the places of the archives whose packed sizes are estimated.
        hidden: how many entries are left out, as parts of those of the kind ``m``.
    """

    names: list[str]
    parents: list[int]
    kinds: str
    raw: list[int]
    packed: list[int]
    origins: list[int]
    attributes: list[int]
    sources: list[Origin | None]
    modes: list[tuple[int, int, int]]
    estimated: list[str]
    hidden: int = 0


def measure(contents: Contents, title: str, find_origin: FindOrigin) -> Space:
    """Return what takes the space of an image.

    Args:
        contents: the image.
        title: the name of the image.
        find_origin: finds the origin of a path.
    """
    surveyor = _Surveyor(contents, find_origin)
    surveyor.add_image(title)
    return surveyor.finish(MOST_ENTRIES, MOST_NAME_BYTES)


class _Surveyor:
    def __init__(self, contents: Contents, find_origin: FindOrigin) -> None:
        self._parts = {part.place: part for part in contents.parts}
        self._find_origin = find_origin
        self._names: list[str] = []
        self._parents: list[int] = []
        self._kinds: list[str] = []
        self._raw: list[int] = []
        self._packed: list[int] = []
        self._origins: list[int] = []
        self._attributes: list[int] = []
        self._sources: dict[Origin | None, int] = {None: 0}
        self._modes: dict[tuple[int, int, int], int] = {}
        self._estimated: list[str] = []
        self._matched: set[str] = set()
        self._inside = _parts_inside(contents)

    def add_image(self, title: str) -> None:
        """Add the image and all that is in it."""
        top = self._parts[""]
        self._add(-1, title, ARCHIVE if top.file is not None else FOLDER, packed=top.packed_bytes)
        pending = [(top, 0, 1, 1)]
        while pending:
            part, number, share, whole = pending.pop()
            for inner, entry in self._add_part(part, number, share, whole):
                pending.append((inner, entry, self._packed[entry], inner.packed_bytes or 1))

    def _add_part(self, part: Part, top: int, share: int, whole: int) -> list[tuple[Part, int]]:
        """Add the files of a part below the entry ``top``; return the parts in it.

        Args:
            part: the part.
            top: the entry of its archive.
            share: what ``whole`` bytes of the part take in the image.
            whole: see ``share``.
        """
        sizes = self._packed_sizes(part)
        entries = {ROOT: top}
        inner: list[tuple[Part, int]] = []
        seen: set[int] = set()
        used = 0
        for path, node in part.tree.walk():
            if path == ROOT:
                self._set_origin(top, self._find_origin(part, path))
                continue
            # Headers of folders are left for the rest, so that a folder is what is in it.
            is_folder = isinstance(node, Directory)
            packed = 0 if is_folder else sizes.get(path, 0) * share // whole
            used += packed
            found = self._part_at(part, path) if isinstance(node, File) else None
            kind = ARCHIVE if found is not None and len(found.tree) > 1 else _kind(node)
            number = self._add(entries[parent(path)], escape(name(path)), kind, packed=packed)
            entries[path] = number
            self._set_origin(number, self._find_origin(part, path))
            self._set_attributes(number, node)
            if found is not None and kind == ARCHIVE:
                inner.append((found, number))
            elif (inode := part.tree.inode(path)) not in seen:
                seen.add(inode)
                self._raw[number] = _raw_bytes(node)
        areas = self._add_areas(part, top, share, whole)
        used += sum(self._packed[area] for _part, area in areas)
        self._add_rest(part, top, self._packed[top] - used)
        return inner + areas

    def _packed_sizes(self, part: Part) -> Mapping[bytes, int]:
        """Return the packed size of each file of a part, as it is in the file of the part."""
        usage = measure_usage(part)
        if usage.packed is not None:
            return usage.packed
        if part.compression is None or part.packed_bytes is None:
            return usage.raw
        self._estimated.append(part.place)
        return _estimate(part.tree, part.packed_bytes)

    def _add_areas(self, part: Part, top: int, share: int, whole: int) -> list[tuple[Part, int]]:
        """Add the parts of a part that are no file in it: partitions, what follows a volume."""
        areas = []
        for found in self._inside.get(part.place, ()):
            if found.place not in self._matched:
                shown = found.place.removeprefix(part.place).removeprefix(SEPARATOR)
                packed = (found.packed_bytes or 0) * share // whole
                areas.append((found, self._add(top, shown, ARCHIVE, packed=packed)))
        return areas

    def _add_rest(self, part: Part, top: int, rest: int) -> None:
        """Add what an archive takes besides its files."""
        if part.packed_bytes is None or rest <= 0:
            return
        if top + 1 == len(self._names):  # a kernel, or an archive without files
            self._raw[top] = len(part.plain or part.file or b"")
        else:
            self._add(top, "(headers and padding)", REST, packed=rest)

    def _part_at(self, part: Part, path: bytes) -> Part | None:
        inner = escape(path)
        found = self._parts.get(f"{part.place}{SEPARATOR}{inner}" if part.place else inner)
        if found is not None:
            self._matched.add(found.place)
        return found

    def _add(self, above: int, shown: str, kind: str, *, packed: int | None) -> int:
        self._names.append(shown)
        self._parents.append(above)
        self._kinds.append(kind)
        self._raw.append(0)
        self._packed.append(packed or 0)
        self._origins.append(self._origins[above] if above >= 0 else 0)
        self._attributes.append(-1)
        return len(self._names) - 1

    def _set_origin(self, number: int, origin: Origin | None) -> None:
        if origin is not None:
            self._origins[number] = self._sources.setdefault(origin, len(self._sources))

    def _set_attributes(self, number: int, node: Node) -> None:
        metadata = node.metadata
        mode = (metadata.mode, metadata.uid, metadata.gid)
        self._attributes[number] = self._modes.setdefault(mode, len(self._modes))

    def finish(self, most_entries: int, most_name_bytes: int) -> Space:
        """Return the result; the sizes of folders become those of all that is in them."""
        for number in range(len(self._names) - 1, 0, -1):
            above = self._parents[number]
            self._raw[above] += self._raw[number]
            # The size of an archive is known; those of its files add up to it.
            if self._kinds[above] == FOLDER:
                self._packed[above] += self._packed[number]
        kept = self._choose(most_entries, most_name_bytes)
        hidden = len(self._names) - len(kept)
        return self._renumbered(kept, hidden)

    def _choose(self, most_entries: int, most_name_bytes: int) -> list[int]:
        """Return the entries to show, in order: the largest, whose parents are larger."""
        count = len(self._names)
        if count <= most_entries and sum(map(len, self._names)) <= most_name_bytes:
            return list(range(count))
        by_size = sorted(
            range(count), key=lambda number: (-self._raw[number] - self._packed[number], number)
        )
        kept, name_bytes = [], 0
        chosen: set[int] = set()
        for number in by_size[:most_entries]:
            name_bytes += len(self._names[number])
            if name_bytes > most_name_bytes:
                break
            if number == 0 or self._parents[number] in chosen:
                chosen.add(number)
                kept.append(number)
        return sorted(kept)

    def _renumbered(self, kept: list[int], hidden: int) -> Space:
        if hidden:
            kept = self._merge_others(kept)
        new = {number: index for index, number in enumerate(kept)}
        sources = list(self._sources)
        modes = list(self._modes)
        return Space(
            names=[self._names[number] for number in kept],
            parents=[new.get(self._parents[number], -1) for number in kept],
            kinds="".join(self._kinds[number] for number in kept),
            raw=[self._raw[number] for number in kept],
            packed=[self._packed[number] for number in kept],
            origins=[self._origins[number] for number in kept],
            attributes=[self._attributes[number] for number in kept],
            sources=sources,
            modes=modes,
            estimated=self._estimated,
            hidden=hidden,
        )

    def _merge_others(self, kept: list[int]) -> list[int]:
        """Add an entry to each folder for what is not shown of it; return all entries to show."""
        chosen = set(kept)
        files = [1] * len(self._names)
        for number in range(len(self._names) - 1, 0, -1):
            if self._kinds[number] in (FOLDER, ARCHIVE):
                files[number] -= 1
            files[self._parents[number]] += files[number]
        merged: dict[int, list[int]] = {}
        for number, above in enumerate(self._parents):
            if number not in chosen and above in chosen:
                merged.setdefault(above, []).append(number)
        for above, numbers in merged.items():
            several = sum(files[number] for number in numbers)
            entry = self._add(
                above, f"({several:,} smaller files)", MANY,
                packed=sum(self._packed[number] for number in numbers),
            )  # fmt: skip
            self._raw[entry] = sum(self._raw[number] for number in numbers)
            kept.append(entry)
        return kept


def _estimate(tree: Tree, packed_bytes: int) -> dict[bytes, int]:
    """Return the share of each file in ``packed_bytes``, by how well its start packs alone."""
    alone: dict[bytes, int] = {}
    seen: set[int] = set()
    for path, node in tree.walk():
        if isinstance(node, File) and (inode := tree.inode(path)) not in seen:
            seen.add(inode)
            with suppress(PurekernelError):  # damaged content, which is reported when it is read
                sample = bytes(node.part(0, _SAMPLE_BYTES))
                packed = len(zlib.compress(sample, 1))
                alone[path] = packed * node.size_bytes // max(1, len(sample))
    whole = max(1, sum(alone.values()))
    return {path: size * packed_bytes // whole for path, size in alone.items()}


def _parts_inside(contents: Contents) -> dict[str, list[Part]]:
    """Return the parts that are directly in each part, by its place."""
    inside: dict[str, list[Part]] = {part.place: [] for part in contents.parts}
    for part in contents.parts:
        above = part.place
        while above:
            above = above.rpartition(SEPARATOR)[0]
            if above in inside:
                inside[above].append(part)
                break
    return inside


def _raw_bytes(node: Node) -> int:
    if isinstance(node, Symlink):
        return len(node.target)
    return node.size_bytes if isinstance(node, File) else 0


def _kind(node: Node) -> str:
    match node:
        case Directory():
            return FOLDER
        case Symlink():
            return LINK
        case Device():
            return "b" if node.kind is DeviceKind.BLOCK else "c"
        case Fifo():
            return "p"
        case File():
            return FILE
        case _:
            return "s"


def columns(space: Space) -> Mapping[str, object]:
    """Return the columns for the page, as JSON has them."""
    return {
        "names": space.names,
        "parents": space.parents,
        "kinds": space.kinds,
        "raw": space.raw,
        "packed": space.packed,
        "origins": space.origins,
        "attributes": space.attributes,
        "modes": [[f"{mode:04o}", uid, gid] for mode, uid, gid in space.modes],
        "estimated": space.estimated,
        "hidden": space.hidden,
    }

"""Hold where each file of an image comes from, and write and read that as JSON.

A build knows the source of each file that it puts into an image. :class:`Origins` keeps that in
little space: most files come from where the folder that holds them comes from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field

from purekernel.errors import PathError
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree.origin import Origin, OriginKind
from purekernel.tree.path import ROOT, parent, parse_path

__all__ = ["Origin", "OriginKind", "OriginMap", "Origins", "parse_origins"]

VERSION = 1

# The place of the file on an ISO or disk.
ORIGINS_PATH = b"boot/purekernel/origins.json"

# A source is an extension, a package, an overlay or a table of the recipe. Images have some
# hundreds of them.
MAX_SOURCES = 20_000

# Only the paths whose folder has another origin are listed. A million values take 100 MB.
MAX_BYTES, MAX_VALUES = 64 << 20, 1_000_000

_EXPECTED = "the origins of an image's files"
_HINT = "the file is damaged or not made by purekernel: build the image again"


@frozen
class OriginMap:
    """Where the files of one tree come from.

    Attributes:
        marks: the origin of each path whose folder has another origin, or that is the root.
    """

    marks: Mapping[bytes, Origin] = field(factory=dict, repr=False)

    @classmethod
    def of_paths(cls, origins: Mapping[bytes, Origin]) -> OriginMap:
        """Return the origins of a tree, given that of each path, the root and folders included."""
        return cls({
            path: origin
            for path, origin in sorted(origins.items())
            if not path or origins[parent(path)] != origin
        })  # fmt: skip

    def find(self, path: bytes) -> Origin | None:
        """Return where ``path`` comes from; ``None`` if that is unknown.

        A path that is not in the tree has the origin of the folder that would hold it.
        """
        marks = self.marks
        while True:
            origin = marks.get(path)
            if origin is not None or path == ROOT:
                return origin
            path = parent(path)

    def sources(self) -> set[Origin]:
        """Return the origins that some path has."""
        return set(self.marks.values())


@frozen(kw_only=True)
class Origins:
    """Where the files of an image come from.

    Attributes:
        root: those of the root file system.
        disc: those of the ISO.
        tce: those of the folder of extensions for a writable partition.
    """

    root: OriginMap = OriginMap()
    disc: OriginMap = OriginMap()
    tce: OriginMap = OriginMap()

    def sources(self) -> list[Origin]:
        """Return the origins that some file has, in order."""
        found = self.root.sources() | self.disc.sources() | self.tce.sources()
        return sorted(found, key=lambda origin: origin.sort_key)

    def with_overlays(self, names: Mapping[str, str]) -> Origins:
        """Return the origins with other names of overlays, given by their present names."""

        def renamed(origin: Origin) -> Origin:
            if origin.kind is not OriginKind.OVERLAY:
                return origin
            return Origin(origin.kind, names.get(origin.name, origin.name), origin.version)

        maps = {
            name: OriginMap({path: renamed(origin) for path, origin in tree.marks.items()})
            for name, tree in self._trees()
        }
        return Origins(**maps)

    def to_json(self) -> bytes:
        """Return the origins as JSON; equal origins give the same bytes.

        The object has the key ``version``; ``sources``, a list of objects with ``kind``, ``name``
        and perhaps ``version``; and ``root``, ``disc`` and ``tce``. Each of these is a list with
        a list of paths for each source. A path that is not listed comes from where the folder that
        holds it comes from. Bytes that are not UTF-8 are lone surrogates from U+DC80 on, as in
        Python's ``surrogateescape``.
        """
        sources = self.sources()
        document = {
            "version": VERSION,
            "sources": [_to_source(origin) for origin in sources],
            **{name: _to_paths(tree, sources) for name, tree in self._trees()},
        }
        return json.dumps(document, separators=(",", ":")).encode() + b"\n"

    def _trees(self) -> Iterator[tuple[str, OriginMap]]:
        yield from (("root", self.root), ("disc", self.disc), ("tce", self.tce))


def _to_source(origin: Origin) -> dict[str, str]:
    source = {"kind": origin.kind.value, "name": origin.name}
    return {**source, "version": origin.version} if origin.version else source


def _to_paths(tree: OriginMap, sources: list[Origin]) -> list[list[str]]:
    paths: dict[Origin, list[str]] = {origin: [] for origin in sources}
    for path, origin in sorted(tree.marks.items()):
        paths[origin].append(path.decode("utf-8", "surrogateescape"))
    return list(paths.values())


def parse_origins(file: Input) -> Origins:
    """Parse what :meth:`Origins.to_json` writes.

    Raises:
        FormatError: the file is damaged, or of a later version of this format.
        LimitError: it is too large, or has more sources or paths than the limits allow.
    """
    data = bytes(file.data)
    if len(data) > MAX_BYTES:
        raise file.exceed(None, f"at most {MAX_BYTES} bytes", f"{len(data)}", hint=_HINT)
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise file.exceed(None, f"at most {MAX_VALUES} values", "more", hint=_HINT)
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise file.fail(None, _EXPECTED, "something that is not JSON", hint=_HINT) from None
    if not isinstance(document, dict) or type(document.get("version")) is not int:
        raise file.fail(None, _EXPECTED, "JSON without a version", hint=_HINT)
    if document["version"] != VERSION:
        raise file.unsupported(
            None, f"version {VERSION} of {_EXPECTED}", "another version",
            hint="read it with the release of purekernel that made it, or a later one",
        )  # fmt: skip
    found = _list(file, document, "sources")
    if len(found) > MAX_SOURCES:
        raise file.exceed(None, f"at most {MAX_SOURCES} sources", f"{len(found)}", hint=_HINT)
    sources = [_parse_source(file, source) for source in found]
    if len(set(sources)) != len(sources):
        raise file.fail(None, "each source once", "one twice", hint=_HINT)
    trees = {name: _parse_tree(file, document, name, sources) for name in ("root", "disc", "tce")}
    return Origins(**trees)


def _parse_source(file: Input, source: Any) -> Origin:
    fields = source if isinstance(source, dict) else {}
    kind, name, version = fields.get("kind"), fields.get("name"), fields.get("version", "")
    if not isinstance(name, str) or not isinstance(version, str):
        raise file.fail(None, "a kind and a name for each source", "something else", hint=_HINT)
    try:
        return Origin(OriginKind(kind), name, version)
    except ValueError:
        kinds = ", ".join(each.value for each in OriginKind)
        raise file.fail(None, f"a source of the kind {kinds}", "another kind", hint=_HINT) from None


def _parse_tree(
    file: Input, document: dict[str, Any], name: str, sources: list[Origin]
) -> OriginMap:
    listed = _list(file, document, name)
    if len(listed) != len(sources):
        raise file.fail(
            None, f"a list of paths in {name} for each of {len(sources)} sources", f"{len(listed)}",
            hint=_HINT,
        )  # fmt: skip
    file.check_members(sum(len(paths) for paths in listed if isinstance(paths, list)))
    marks: dict[bytes, Origin] = {}
    for paths, origin in zip(listed, sources, strict=True):
        for text in paths if isinstance(paths, list) else (None,):
            path = _parse_path(file, text)
            if path in marks:
                raise file.fail(None, f"each path in {name} once", "one twice", hint=_HINT)
            marks[path] = origin
    if marks and ROOT not in marks:
        raise file.fail(None, f"an origin of the top folder in {name}", "none", hint=_HINT)
    return OriginMap(dict(sorted(marks.items())))


def _parse_path(file: Input, text: Any) -> bytes:
    """Return a path in the form that trees have; it may be the root."""
    try:
        path = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else b"/"
        if not path or parse_path(path) == path:
            return path
    except (PathError, UnicodeEncodeError):
        pass
    raise file.fail(None, "paths in an image", "something else", hint=_HINT)


def _list(file: Input, document: dict[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    if not isinstance(value, list):
        raise file.fail(None, f"a list {name!r}", "none", hint=_HINT)
    return value

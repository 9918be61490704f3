"""Find the extensions of a mirror that have a file, by its index of all files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from purekernel.errors import DownloadError, FormatError
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.tinycore import read_provided
from purekernel.input import Input
from purekernel.repos.tinycore.folder import (
    PLAIN_PROVIDES_INDEX,
    PROVIDES_INDEX,
    PROVIDES_LIMITS,
    ExtensionFetcher,
    ExtensionFolder,
)

# How many extensions with a file are of use to a user.
MAX_PROVIDERS = 5


def find_in_mirrors(
    folders: Sequence[str], downloads: ExtensionFetcher, names: Iterable[str]
) -> Mapping[str, tuple[str, ...]]:
    """Return the extensions that have files of these names, in the first folder with an index.

    The index only serves for advice: if it is missing or damaged, or no server answers, nothing
    is found.

    Args:
        folders: URLs or paths of folders of extensions.
        downloads: fetches files.
        names: names of files, perhaps with the end of their folder: ``bin/python3``. A name that
            no extension has is left out of the result.
    """
    wanted: dict[bytes, list[str]] = {}
    for name in dict.fromkeys(names):
        wanted.setdefault(_last(name.encode("utf-8", "surrogateescape")), []).append(name)
    for place in folders:
        folder = ExtensionFolder(place, downloads)
        for index in (PROVIDES_INDEX, PLAIN_PROVIDES_INDEX):
            (fetched,) = downloads.try_all([folder.index_file(index, attempts=1)])
            if fetched is None or isinstance(fetched, DownloadError):
                continue
            file = Input(downloads.load(fetched), name=index, limits=PROVIDES_LIMITS)
            try:
                if detect(file.data) is FileKind.GZIP:
                    file = file.unpacked(parse_gzip(file))
                return _search(file, wanted)
            except FormatError:
                continue
    return {}


def _search(file: Input, wanted: Mapping[bytes, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for extension, path in read_provided(file):
        for name in wanted.get(_last(path), ()):
            providers = found.setdefault(name, {})
            if len(providers) < MAX_PROVIDERS and _ends_with(path, name):
                providers[extension] = None
    return {name: tuple(providers) for name, providers in found.items() if providers}


def _ends_with(path: bytes, name: str) -> bool:
    end = name.encode("utf-8", "surrogateescape")
    return path == end or path.endswith(b"/" + end)


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]

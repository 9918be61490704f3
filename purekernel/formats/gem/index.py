"""Read and write the index of a folder of gems, as ``gem generate_index`` does.

``specs.4.8``, ``latest_specs.4.8`` and ``prerelease_specs.4.8`` list name, version and platform of
each gem; ``quick/Marshal.4.8/`` has the specification of each gem.

Source: Gem::Indexer and Gem::Source of RubyGems.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import cmp_to_key

from purekernel.errors import InputError, raise_all
from purekernel.formats.gem.marshalled import (
    HINT,
    build_quick_spec,
    parse_quick_spec,
    read_text,
    read_version,
    version_value,
)
from purekernel.formats.gem.spec import RUBY, GemSpec, full_name, is_gem_name, is_platform
from purekernel.formats.gem.version import GemVersion
from purekernel.formats.gzip import build_gzip, parse_gzip
from purekernel.formats.ruby_marshal import build_marshal, parse_marshal
from purekernel.input import Input, Limits
from purekernel.records import frozen

SPECS = "specs.4.8"
LATEST = "latest_specs.4.8"
PRERELEASE = "prerelease_specs.4.8"
QUICK = "quick/Marshal.4.8"

Deflate = Callable[[bytes], bytes]
"""Compresses bytes to one complete raw deflate stream (RFC 1951)."""

# RFC 1950: deflate with a window of 32 KiB, best compression.
ZLIB_HEADER = b"\x78\xda"

# The index of rubygems.org, with all public gems, has about 60 MB.
INDEX_LIMITS = Limits(unpacked_bytes=256 << 20)
MAX_QUICK_BYTES = 16 << 20


@frozen(kw_only=True)
class IndexedGem:
    """A gem in an index."""

    name: str
    version: GemVersion
    platform: str

    @property
    def full_name(self) -> str:
        """The name of its files without suffix."""
        return full_name(self.name, self.version, self.platform)


def build_gem_index(gems: Mapping[str, GemSpec], *, deflate: Deflate) -> dict[str, bytes]:
    """Return the files of an index by their paths in the mirror's folder, sorted by path.

    The gems themselves belong in its folder ``gems/``. The order of ``gems`` does not affect the
    result; the output of ``deflate`` may depend on its library.

    Args:
        gems: the file name and the specification of each gem.
        deflate: compresses the files that RubyGems expects to be compressed.

    Raises:
        InputError: the name of a file differs from that in its specification, so that RubyGems
            would not find it.
    """
    raise_all(
        InputError(
            f"{name} has the specification of {spec.full_name}",
            hint=f"rename it to {spec.file_name}",
        )
        for name, spec in sorted(gems.items())
        if name != spec.file_name
    )
    specs = sorted(gems.values(), key=cmp_to_key(_compare))
    released = [spec for spec in specs if not spec.version.prerelease]
    files: dict[str, bytes] = {}
    for path, listed in (
        (SPECS, released),
        (LATEST, _latest(released)),
        (PRERELEASE, [spec for spec in specs if spec.version.prerelease]),
    ):
        files[path] = _build_list(listed)
        files[f"{path}.gz"] = _gzip(files[path], deflate)
    for spec in specs:
        path = f"{QUICK}/{spec.full_name}.gemspec.rz"
        files[path] = _zlib(build_quick_spec(spec), deflate)
    return dict(sorted(files.items()))


def parse_gem_index(file: Input) -> tuple[IndexedGem, ...]:
    """Return the gems in an unpacked ``specs.4.8.gz``, in order.

    Invalid entries are skipped: indexes of old servers have some.

    Raises:
        FormatError: the index is damaged, or the file is not an index.
        LimitError: a value exceeds the limits of the Marshal reader.
    """
    value = parse_marshal(file)
    if not isinstance(value, tuple):
        raise file.fail(None, "a list of gems", "something else", hint=HINT)
    gems = []
    for entry in value:
        if not isinstance(entry, tuple) or len(entry) != 3:
            continue
        name, version, platform = read_text(entry[0]), read_version(entry[1]), read_text(entry[2])
        if name is None or version is None or not is_gem_name(name):
            continue
        platform = platform or RUBY
        if is_platform(platform):
            gems.append(IndexedGem(name=name, version=version, platform=platform))
    return tuple(gems)


def unpack_gem_index(file: Input) -> Input:
    """Return the unpacked content of a ``specs.4.8.gz``, for :func:`parse_gem_index`.

    Raises:
        FormatError: the file is damaged.
        LimitError: the file exceeds its limits; see :data:`INDEX_LIMITS`.
    """
    return file.unpacked(parse_gzip(file))


def may_list(index: Input, name: str) -> bool:
    """Return whether an unpacked index has the text ``name``; much faster than parsing it."""
    return build_marshal(name.encode())[2:] in bytes(index.data)


def parse_packed_spec(file: Input) -> GemSpec:
    """Return the specification in a ``.gemspec.rz``.

    Raises:
        FormatError: the file is damaged, or not a specification.
        LimitError: the specification is too large.
    """
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(bytes(file.data), MAX_QUICK_BYTES)
    except zlib.error as error:
        raise file.fail(None, "a zlib stream", str(error), hint=HINT) from None
    if inflater.unconsumed_tail:
        expected = f"a specification of at most {MAX_QUICK_BYTES} bytes"
        raise file.exceed(None, expected, "more", hint=HINT)
    if not inflater.eof:
        raise file.fail(None, "a complete zlib stream", "the end of the file", hint=HINT)
    return parse_quick_spec(file.unpacked(content))


def _compare(one: GemSpec, other: GemSpec) -> int:
    """Compare by name, then version, then platform with ``ruby`` first."""
    if one.name != other.name:
        return -1 if one.name < other.name else 1
    if one.version != other.version:
        return -1 if one.version < other.version else 1
    mine, theirs = _platform_key(one), _platform_key(other)
    return (mine > theirs) - (mine < theirs)


def _platform_key(spec: GemSpec) -> tuple[bool, str, str]:
    return spec.platform != RUBY, spec.platform, spec.version.text


def _latest(released: Iterable[GemSpec]) -> list[GemSpec]:
    """Return the newest release of each name and platform."""
    newest: dict[tuple[str, str], GemSpec] = {}
    for spec in released:
        newest[spec.name, spec.platform] = spec
    return sorted(newest.values(), key=cmp_to_key(_compare))


def _build_list(specs: Iterable[GemSpec]) -> bytes:
    return build_marshal(
        tuple((spec.name, version_value(spec.version), spec.platform) for spec in specs)
    )


def _gzip(data: bytes, deflate: Deflate) -> bytes:
    return build_gzip(deflate(data), crc32=zlib.crc32(data), size_bytes=len(data))


def _zlib(data: bytes, deflate: Deflate) -> bytes:
    return ZLIB_HEADER + deflate(data) + zlib.adler32(data).to_bytes(4, "big")

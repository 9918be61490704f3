"""The index of a folder of gems, as ``gem generate_index`` makes it, and the reading of one.

``specs.4.8``, ``latest_specs.4.8`` and ``prerelease_specs.4.8`` list name, version and platform
of each gem; ``quick/Marshal.4.8/`` holds each one's specification.

Source: Gem::Indexer and Gem::Source of RubyGems.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import cmp_to_key

from attrs import frozen

from purekernel.errors import FormatError, InputError, LimitError, raise_all
from purekernel.formats.gem.marshalled import (
    HINT,
    build_quick_spec,
    parse_quick_spec,
    read_text,
    read_version,
    version_value,
)
from purekernel.formats.gem.spec import RUBY, GemSpec, full_name, is_gem_name, is_platform
from purekernel.formats.gem.version import Version
from purekernel.formats.gzip import build_gzip, parse_gzip
from purekernel.formats.ruby_marshal import build_marshal, parse_marshal
from purekernel.input import Input, Limits
from purekernel.tree import Buffer

SPECS = "specs.4.8"
LATEST = "latest_specs.4.8"
PRERELEASE = "prerelease_specs.4.8"
QUICK = "quick/Marshal.4.8"

Deflate = Callable[[bytes], bytes]
"""Turns bytes into one whole raw deflate stream (RFC 1951)."""

# RFC 1950: deflate with a window of 32 KiB, the slowest way.
ZLIB_HEADER = b"\x78\xda"

# That of rubygems.org, with all gems there are, has some 60 MB.
INDEX_LIMITS = Limits(unpacked_bytes=256 << 20)
MAX_QUICK_BYTES = 16 << 20


@frozen(kw_only=True)
class Listed:
    """One gem in an index."""

    name: str
    version: Version
    platform: str

    @property
    def full_name(self) -> str:
        """What its files are named after."""
        return full_name(self.name, self.version, self.platform)


def build_gem_index(gems: Mapping[str, GemSpec], *, deflate: Deflate) -> dict[str, bytes]:
    """Return the files of an index by their paths in the mirror's folder, in that order.

    The gems themselves belong in its folder ``gems/``. The same gems give the same bytes, in
    whatever order they come; only what ``deflate`` makes of them may change with its library.

    Args:
        gems: the name of each gem's file, and what it says of itself.
        deflate: packs what RubyGems reads packed.

    Raises:
        InputError: a gem's file is not named after what it says of itself, so that RubyGems
            would not find it.
    """
    raise_all(
        InputError(
            f"{name} says that it is {spec.full_name}",
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


def parse_index(data: Buffer, *, source: str) -> tuple[Listed, ...]:
    """Return the gems that a ``specs.4.8`` lists, gzipped or not, in its order.

    Entries that no gem can have are passed over: old servers' indexes hold some.

    Raises:
        FormatError: the index is damaged, or is none.
        LimitError: it goes over a bound.
    """
    value = parse_marshal(data, source=source)
    if not isinstance(value, tuple):
        raise FormatError(source=source, expected="a list of gems", got="something else", hint=HINT)
    found = []
    for entry in value:
        if not isinstance(entry, tuple) or len(entry) != 3:
            continue
        name, version, platform = read_text(entry[0]), read_version(entry[1]), read_text(entry[2])
        if name is None or version is None or not is_gem_name(name):
            continue
        platform = platform or RUBY
        if is_platform(platform):
            found.append(Listed(name=name, version=version, platform=platform))
    return tuple(found)


def unpack_index(data: Buffer, *, source: str) -> bytes:
    """Return what a ``specs.4.8.gz`` holds, for :func:`parse_index`.

    Raises:
        FormatError: it is damaged.
        LimitError: it unpacks to very much.
    """
    return parse_gzip(Input(data, name=source, limits=INDEX_LIMITS))


def may_list(index: bytes, name: str) -> bool:
    """Say whether an unpacked index holds the text ``name``: a look before a long reading."""
    return build_marshal(name.encode())[2:] in index


def parse_packed_spec(data: Buffer, *, source: str) -> GemSpec:
    """Return the specification that a ``.gemspec.rz`` holds.

    Raises:
        FormatError: it is damaged, or is none.
        LimitError: it goes over a bound.
    """
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(bytes(data), MAX_QUICK_BYTES)
    except zlib.error as error:
        raise FormatError(
            source=source, expected="a zlib stream", got=str(error), hint=HINT
        ) from None
    if inflater.unconsumed_tail:
        raise LimitError(
            source=source,
            expected=f"a specification of at most {MAX_QUICK_BYTES} bytes",
            got="more",
            hint=HINT,
        )
    if not inflater.eof:
        raise FormatError(
            source=source, expected="a whole zlib stream", got="the end of the file", hint=HINT
        )
    return parse_quick_spec(content, source=source)


def _compare(one: GemSpec, other: GemSpec) -> int:
    """Order by name, then version, then platform with ``ruby`` first."""
    if one.name != other.name:
        return -1 if one.name < other.name else 1
    if one.version != other.version:
        return -1 if one.version < other.version else 1
    mine, theirs = _last_words(one), _last_words(other)
    return (mine > theirs) - (mine < theirs)


def _last_words(spec: GemSpec) -> tuple[bool, str, str]:
    return spec.platform != RUBY, spec.platform, spec.version.text


def _latest(released: Iterable[GemSpec]) -> list[GemSpec]:
    """Return each name's newest release, on each platform."""
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

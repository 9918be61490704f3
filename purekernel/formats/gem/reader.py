"""Read a ``.gem``: a tar file around a specification and the gem's own files.

Source: Gem::Package of RubyGems, by what it reads and writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from attrs import frozen

from purekernel.errors import FormatError
from purekernel.formats.gem.gemspec import parse_gemspec
from purekernel.formats.gem.spec import GemSpec
from purekernel.formats.gem.yaml_nodes import Mapping as YamlMapping
from purekernel.formats.gem.yaml_nodes import Scalar, parse_yaml
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.tar import is_tar, parse_tar
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.tree import Buffer, File, display

METADATA = b"metadata.gz"
PLAIN_METADATA = b"metadata"
DATA = b"data.tar.gz"
CHECKSUMS = b"checksums.yaml.gz"

# Before 2005 a gem was a Ruby script that unpacked itself, and this stood at its start.
SCRIPT_MARK = b"MD5SUM ="
SCRIPT_MARK_WITHIN = 20

# By their names in the checksums; RubyGems 2.0 had SHA1.
ALGORITHMS = {"SHA1": "sha1", "SHA256": "sha256", "SHA384": "sha384", "SHA512": "sha512"}


@frozen(kw_only=True)
class Gem:
    """A gem as it was read.

    Attributes:
        spec: what it says of itself.
        data: its own files, as a gzipped tar file.
    """

    spec: GemSpec
    data: memoryview


def parse_gem(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> Gem:
    """Return the gem that ``data`` holds.

    Where it carries checksums, those that are known here are verified; gems from before 2013
    carry none. Signatures are not looked at.

    Raises:
        FormatError: it is no gem, lacks a part, or does not have the checksums it carries.
        LimitError: it unpacks to more than ``limits`` allow, or its specification is very
            large.
    """
    if SCRIPT_MARK in bytes(data[:SCRIPT_MARK_WITHIN]):
        raise FormatError(
            source=source,
            expected="a gem that is a tar file",
            got="one from before 2005, a Ruby script",
            hint="no RubyGems of the last decade reads it: name a newer version",
        )
    if not is_tar(data):
        raise FormatError(
            source=source, offset=0, expected="a gem, which is a tar file", got="something else"
        )
    tree = parse_tar(Input(data, name=source, limits=limits))
    members = {path: node.content for path, node in tree.walk() if isinstance(node, File)}
    metadata = _metadata(members, source, limits)
    if DATA not in members:
        raise _missing(source, "data.tar.gz")
    checked = _verify(members, source, limits)
    if DATA not in checked:
        parse_gzip(Input(members[DATA], name=f"{source}: data.tar.gz", limits=limits))
    return Gem(
        spec=parse_gemspec(metadata, source=f"{source}: metadata"), data=memoryview(members[DATA])
    )


def _metadata(members: Mapping[bytes, Buffer], source: str, limits: Limits) -> Buffer:
    if METADATA in members:
        return parse_gzip(Input(members[METADATA], name=f"{source}: metadata.gz", limits=limits))
    if PLAIN_METADATA in members:
        return members[PLAIN_METADATA]
    raise _missing(source, "metadata.gz")


def _verify(members: Mapping[bytes, Buffer], source: str, limits: Limits) -> set[bytes]:
    """Hold the members to the gem's own checksums; return those that were held to one."""
    checked: set[bytes] = set()
    for algorithm, name, promised in _checksums(members, source, limits):
        if name not in members:
            raise _missing(source, display(name))
        digest = hashlib.new(ALGORITHMS[algorithm], members[name]).hexdigest()
        if digest != promised.lower():
            raise FormatError(
                source=f"{source}: {name.decode(errors='replace')}",
                expected=f"{algorithm} {promised[:128]}, as the gem says",
                got=digest,
            )
        checked.add(name)
    return checked


def _checksums(
    members: Mapping[bytes, Buffer], source: str, limits: Limits
) -> Iterator[tuple[str, bytes, str]]:
    """Yield algorithm, member and promised digest of each checksum."""
    if CHECKSUMS not in members:
        return
    place = f"{source}: checksums.yaml.gz"
    text = parse_gzip(Input(members[CHECKSUMS], name=place, limits=limits))
    node = parse_yaml(text, source=place)
    if not isinstance(node, YamlMapping):
        raise FormatError(source=place, expected="digests by algorithm", got="something else")
    for algorithm, digests in node.entries.items():
        if algorithm not in ALGORITHMS or not isinstance(digests, YamlMapping):
            continue
        for name, promised in digests.entries.items():
            if isinstance(promised, Scalar) and promised.text is not None:
                yield algorithm, name.encode("utf-8", "surrogatepass"), promised.text


def _missing(source: str, name: str) -> FormatError:
    return FormatError(source=source, expected=f"a gem with {name} in it", got="none")

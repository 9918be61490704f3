"""Fuzz the readers of Debian's and Ruby's packages and indexes."""

from __future__ import annotations

from itertools import islice, pairwise

from fuzz import mutators
from fuzz.target import Plant, attempt, given, require_equal, target
from purekernel.formats.debian.control import (
    IndexedFile,
    PackageRecord,
    iter_stanzas,
    parse_stanza,
)
from purekernel.formats.debian.index import PackagesIndex
from purekernel.formats.debian.names import DebianVersion, parse_choice
from purekernel.formats.debian.package import parse_deb
from purekernel.formats.debian.relation import parse_relation, parse_relations, show_relations
from purekernel.formats.debian.release import (
    is_signed,
    lists_files,
    parse_keyring,
    parse_release,
    unverified_text,
)
from purekernel.formats.gem.compact import parse_info
from purekernel.formats.gem.gem_list import parse_gem_list, parse_listed_gem
from purekernel.formats.gem.index import (
    may_list,
    parse_gem_index,
    parse_packed_spec,
    unpack_gem_index,
)
from purekernel.formats.gem.marshalled import build_quick_spec, parse_quick_spec
from purekernel.formats.gem.reader import parse_gem, parse_gemspec
from purekernel.formats.gem.spec import is_gem_name, is_platform, parse_platform
from purekernel.formats.gem.version import GemRequirement, GemVersion, parse_clause
from purekernel.formats.gem.yaml_nodes import parse_yaml
from purekernel.formats.ruby_marshal import build_marshal, parse_marshal
from purekernel.formats.tar import parse_tar

_MOST_NAMES = 20


# Debian


@target(
    Plant(path="formats/debian/package.py", before='raise member.fail(0, "a tar archive", got)'),
    mutate=mutators.deb,
)
def deb(data: bytes) -> None:
    """Read a Debian package, and unpack its files."""
    package = attempt(parse_deb, given(data))
    if package is not None:
        attempt(package.unpack)


@target(
    Plant(path="formats/debian/control.py", before='raise stanza.fail(f"a digest in {key!r}"'),
)
def control(data: bytes) -> None:
    """Read control files, and what a package's record and its file in an index say."""
    attempt(parse_stanza, given(data))
    for stanza in attempt(lambda: list(iter_stanzas(given(data)))) or ():
        record = attempt(PackageRecord.of, stanza)
        if record is not None:
            str(record), record.file_name, record.summary, record.provided
        attempt(IndexedFile.of, stanza)


@target(
    Plant(path="formats/debian/control.py", before='raise self.fail(f"{what} in {name!'),
    mutate=mutators.packed(),
)
def packages_index(data: bytes) -> None:
    """Read an index of packages, and each stanza in it."""
    index = attempt(PackagesIndex, given(data))
    if index is None:
        return
    for name in islice(index.names(), _MOST_NAMES):
        attempt(index.named, name)
        attempt(index.providing, name)


@target(
    Plant(path="formats/debian/release.py", before="raise stanza.fail(\"a field 'SHA256'"),
)
def release(data: bytes) -> None:
    """Read the list of indexes of an archive, signed or not, and a keyring."""
    attempt(parse_release, given(data))
    lists_files(data)
    if is_signed(data):
        text = attempt(unverified_text, given(data))
        if text is not None:
            attempt(parse_release, given(text))


@target(
    Plant(
        path="formats/debian/release.py",
        before='raise file.fail(None, "a keyring of OpenPGP keys", "none")',
    ),
)
def keyring(data: bytes) -> None:
    """Read a keyring, and verify a text with its keys."""
    keys = attempt(parse_keyring, given(data))
    if keys is not None:
        attempt(keys.verified_text, given(data))
        attempt(keys.verify_detached, given(b"text"), given(data))


@target(
    Plant(path="formats/debian/relation.py", before='raise ValueError("not an architecture")'),
)
def relations(data: bytes) -> None:
    """Read relations between packages and their versions; show them, and read that."""
    text = data.decode("utf-8", "replace")
    attempt(parse_choice, text, source="list")
    attempt(parse_relation, text, source="control")
    groups = attempt(parse_relations, text, source="control")
    if groups is not None:
        shown = show_relations(groups)
        require_equal("relations", parse_relations(shown, source="again"), groups)
    versions = []
    for word in text.split()[:_MOST_NAMES]:
        try:
            versions.append(DebianVersion(word))
        except ValueError:
            continue
    for one, other in pairwise(versions):
        if (one < other) + (other < one) + (one == other) != 1:
            raise AssertionError(f"{one!r} and {other!r} have no order")


# Gems


@target(
    Plant(path="formats/gem/reader.py", before='raise member.fail(None, f"{algorithm}'),
    mutate=mutators.gem,
)
def gem(data: bytes) -> None:
    """Read a gem, and unpack its files."""
    found = attempt(parse_gem, given(data))
    if found is not None:
        attempt(parse_tar, given(bytes(found.data)))


@target(
    Plant(path="formats/gem/reader.py", before='raise file.fail_at_line(node.line, "a dependency"'),
    Plant(path="formats/gem/yaml_nodes.py", before='return raw.decode("latin-1")'),
)
def gemspec(data: bytes) -> None:
    """Read the specification of a gem, and write it for an index."""
    attempt(parse_yaml, given(data))
    spec = attempt(parse_gemspec, given(data))
    if spec is not None:
        again = attempt(build_quick_spec, spec)
        if again is not None:
            found = parse_quick_spec(given(again))
            require_equal("name", found.full_name, spec.full_name)
            require_equal("dependencies", found.dependencies, spec.dependencies)


@target(
    Plant(path="formats/ruby_marshal/reader.py", before='raise self._file.fail(start, "a link'),
)
def marshal(data: bytes) -> None:
    """Read Ruby's Marshal format; write what is read, and read it again."""
    value = attempt(parse_marshal, given(data))
    if value is not None:
        again = attempt(build_marshal, value)
        if again is not None:
            require_equal("Marshal", repr(parse_marshal(given(again))), repr(value))


@target(
    Plant(path="formats/gem/marshalled.py", before='return value.decode("latin-1")'),
    mutate=mutators.packed(),
)
def gem_index(data: bytes) -> None:
    """Read an index of gems, packed or not."""
    attempt(parse_gem_index, given(data))
    index = attempt(unpack_gem_index, given(data))
    if index is not None:
        may_list(index, "json")
        attempt(parse_gem_index, index)


@target(
    Plant(path="formats/gem/marshalled.py", before='raise file.fail(None, "a requirement'),
    mutate=mutators.zlib_stream,
)
def quick_spec(data: bytes) -> None:
    """Read a specification in an index; write what is read, and read it again."""
    attempt(parse_quick_spec, given(data))
    spec = attempt(parse_packed_spec, given(data))
    if spec is not None:
        again = attempt(build_quick_spec, spec)
        if again is not None:
            require_equal("specification", parse_quick_spec(given(again)), spec)


@target(
    Plant(path="formats/gem/compact.py", before='raise ValueError(f"{platform!r}'),
)
def gem_info(data: bytes) -> None:
    """Read the releases of a gem in the compact index."""
    attempt(parse_info, given(data))


@target(
    Plant(path="formats/gem/gem_list.py", before="line_errors.append(_malformed(place,"),
    Plant(path="formats/gem/spec.py", before="return Platform(cpu=cpu, system=name,"),
)
def gem_list(data: bytes) -> None:
    """Read a list of gems, their versions, requirements and platforms."""
    attempt(parse_gem_list, given(data))
    text = data.decode("utf-8", "replace")
    attempt(parse_listed_gem, text, place="list, line 1")
    is_gem_name(text)
    is_platform(text)
    str(parse_platform(text))
    versions = []
    for word in text.split()[:_MOST_NAMES]:
        try:
            versions.append(GemVersion(word))
        except ValueError:
            continue
    for one, other in pairwise(versions):
        if (one < other) + (other < one) + (one == other) != 1:
            raise AssertionError(f"{one!r} and {other!r} have no order")
    for line in text.split("\n")[:_MOST_NAMES]:
        try:
            requirement = GemRequirement.parse(line)
            parse_clause(line)
        except ValueError:
            continue
        require_equal("requirement", GemRequirement.parse(str(requirement)), requirement)
        for version in versions:
            requirement.accepts(version)

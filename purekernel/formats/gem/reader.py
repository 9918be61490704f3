"""Read a ``.gem``: a tar file of a specification and the gem's own files.

The specification is YAML in the form of any version of RubyGems.

Source: Gem::Package, Gem::Specification, Gem::Dependency and Gem::Requirement of RubyGems, for what
they read and write.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterator, Mapping

from attrs import asdict

from purekernel.errors import FormatError
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.gem.spec import (
    NO_DATE,
    NO_SPECIFICATION_VERSION,
    RUBY,
    DependencyKind,
    GemDependency,
    GemSpec,
    is_gem_name,
    is_platform,
)
from purekernel.formats.gem.version import ANY, DEFAULT_KEY, GemRequirement, GemVersion
from purekernel.formats.gem.yaml_nodes import (
    HINT,
    HOSTILE,
    YamlMapping,
    YamlNode,
    YamlScalar,
    YamlSequence,
    parse_yaml,
)
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.tar import iter_members, parse_tar
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer, File, display

METADATA, PLAIN_METADATA = b"metadata.gz", b"metadata"
DATA = b"data.tar.gz"
CHECKSUMS = b"checksums.yaml.gz"
SIGNATURE_SUFFIX = b".sig"

# Before 2005, a gem was a Ruby script that unpacked itself, with this text near its start.
SCRIPT_MARK = b"MD5SUM ="
SCRIPT_MARK_WITHIN = 20

# The algorithms by their names in the checksums; RubyGems 2.0 used SHA1.
ALGORITHMS = {"SHA1": "sha1", "SHA256": "sha256", "SHA384": "sha384", "SHA512": "sha512"}

# The limit of all text in a specification. Aliased text counts each time.
MAX_TEXT_CHARS = 1 << 20
MAX_DEPENDENCIES = 1000

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")


@frozen(kw_only=True)
class Gem:
    """The content of a gem.

    Attributes:
        spec: its specification.
        data: its own files, as a tar file compressed with gzip.
    """

    spec: GemSpec
    data: memoryview


def parse_gem(file: Input) -> Gem:
    """Return the content of a gem.

    If the gem has checksums with known algorithms, they are verified; gems from before 2013 have
    none. Signatures are not verified; a note says so.

    Raises:
        FormatError: the file is not a gem, lacks a member, or does not match its checksums.
        LimitError: the gem exceeds its limits, or its specification is too large.
    """
    if SCRIPT_MARK in bytes(file.data[:SCRIPT_MARK_WITHIN]):
        raise file.fail(
            None,
            "a gem that is a tar file",
            "one from before 2005, a Ruby script",
            hint="use a newer version: no RubyGems of the last decade supports it",
        )
    if detect(file.data) is not FileKind.TAR:
        raise file.fail(0, "a gem, which is a tar file", "something else")
    _check_unique(file)
    members = {
        path: node.content for path, node in parse_tar(file).walk() if isinstance(node, File)
    }
    metadata = _unpack_metadata(file, members)
    if DATA not in members:
        raise _missing(file, "data.tar.gz")
    if DATA not in _verify(file, members):
        parse_gzip(file.unpacked(members[DATA], name=f"{file.name}: data.tar.gz"))
    if any(name.endswith(SIGNATURE_SUFFIX) for name in members):
        file.note("its signature was not verified")
    return Gem(spec=parse_gemspec(metadata), data=memoryview(members[DATA]))


def _check_unique(file: Input) -> None:
    """Refuse a name that occurs twice, as RubyGems does: versions of it read different ones."""
    offsets: dict[bytes, int] = {}
    for member in iter_members(file):
        first = offsets.setdefault(member.name, member.offset)
        if first != member.offset:
            raise file.fail(
                member.offset,
                "each name once, as RubyGems requires",
                f"{display(member.name)}, as at byte {first}",
                hint="build the gem again",
            )


def _unpack_metadata(file: Input, members: Mapping[bytes, Buffer]) -> Input:
    name = f"{file.name}: metadata"
    if METADATA in members:
        packed = file.unpacked(members[METADATA], name=f"{file.name}: metadata.gz")
        return file.unpacked(parse_gzip(packed), name=name)
    if PLAIN_METADATA in members:
        return file.unpacked(members[PLAIN_METADATA], name=name)
    raise _missing(file, "metadata.gz")


def _verify(file: Input, members: Mapping[bytes, Buffer]) -> set[bytes]:
    """Compare the members with the gem's own checksums; return the members that have one."""
    checked: set[bytes] = set()
    for algorithm, name, expected in _checksums(file, members):
        if name not in members:
            raise _missing(file, display(name))
        digest = hashlib.new(ALGORITHMS[algorithm], members[name]).hexdigest()
        if digest != expected.lower():
            member = file.unpacked(
                members[name], name=f"{file.name}: {name.decode(errors='replace')}"
            )
            raise member.fail(None, f"{algorithm} {expected[:128]} as in the checksums", digest)
        checked.add(name)
    return checked


def _checksums(file: Input, members: Mapping[bytes, Buffer]) -> Iterator[tuple[str, bytes, str]]:
    """Yield algorithm, member and expected digest of each checksum."""
    if CHECKSUMS not in members:
        return
    checksums = file.unpacked(members[CHECKSUMS], name=f"{file.name}: checksums.yaml.gz")
    node = parse_yaml(checksums.unpacked(parse_gzip(checksums)))
    if not isinstance(node, YamlMapping):
        raise checksums.fail(None, "digests by algorithm", "something else")
    for algorithm, digests in node.entries.items():
        if algorithm not in ALGORITHMS or not isinstance(digests, YamlMapping):
            continue
        for name, expected in digests.entries.items():
            if isinstance(expected, YamlScalar) and expected.text is not None:
                yield algorithm, name.encode("utf-8", "surrogatepass"), expected.text


def _missing(file: Input, name: str) -> FormatError:
    return file.fail(None, f"a gem with {name}", "none")


def parse_gemspec(file: Input) -> GemSpec:
    """Return the specification in the member ``metadata`` of a gem.

    The time zone of the date is ignored: the date is the day on which the gem was built, where it
    was built.

    Raises:
        FormatError: the file is not YAML, lacks a name or a version, or one of these, a dependency
            or a requirement is malformed.
        LimitError: the specification is too large.
    """
    node = parse_yaml(file)
    if not isinstance(node, YamlMapping):
        raise file.fail_at_line(node.line, "a specification", "something else", hint=HINT)
    reader = _SpecReader(file, node)
    spec = GemSpec(
        name=reader.name(),
        version=reader.version(),
        platform=reader.platform(),
        summary=reader.text("summary"),
        description=reader.text("description"),
        date=reader.date(),
        authors=reader.texts("authors"),
        email=reader.email(),
        homepage=reader.text("homepage"),
        licenses=reader.texts("licenses"),
        metadata=reader.pairs("metadata"),
        dependencies=reader.dependencies(),
        required_ruby=reader.requirement("required_ruby_version"),
        required_rubygems=reader.requirement("required_rubygems_version"),
        rubygems_version=reader.text("rubygems_version"),
        specification_version=reader.specification_version(),
    )
    _check_size(file, spec)
    return spec


class _SpecReader:
    """Convert the nodes of a specification to values."""

    def __init__(self, file: Input, node: YamlMapping) -> None:
        self._file = file
        self._node = node
        self._entries = node.entries

    def text(self, key: str) -> str | None:
        """Return the text at ``key``; ``None`` if it is missing or not text."""
        return _text(self._entries.get(key))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the text or texts at ``key``."""
        return tuple(_texts(self._entries.get(key)))

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return the pairs of text at ``key``."""
        node = self._entries.get(key)
        entries = node.entries if isinstance(node, YamlMapping) else {}
        return tuple((name, _text(value) or "") for name, value in entries.items())

    def name(self) -> str:
        name = self.text("name")
        if name is None or not is_gem_name(name):
            raise self._malformed("name", "the name of a gem", name)
        return name

    def version(self) -> GemVersion:
        text = _version_text(self._entries.get("version"))
        version = _version(text)
        if version is None:
            raise self._malformed("version", "a version", text)
        return version

    def platform(self) -> str:
        # 'original_platform' has the text that was declared, before 'platform' was derived from it.
        for key in ("original_platform", "platform"):
            text = _platform_text(self._entries.get(key))
            if text and text != RUBY:
                if not is_platform(text):
                    raise self._malformed(key, "the name of a platform", text)
                return text
        return RUBY

    def date(self) -> datetime.date:
        match = _DATE.match(self.text("date") or "")
        if match is None:
            return NO_DATE
        try:
            date = datetime.date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            return NO_DATE
        # Ruby's encoding of Time counts years from 1900.
        return date if date.year >= 1900 else NO_DATE

    def email(self) -> str | tuple[str, ...] | None:
        node = self._entries.get("email")
        return self.texts("email") if isinstance(node, YamlSequence) else _text(node)

    def specification_version(self) -> int:
        text = self.text("specification_version") or ""
        if re.fullmatch("[0-9]{1,4}", text, re.ASCII):
            return int(text)
        return NO_SPECIFICATION_VERSION

    def requirement(self, key: str) -> GemRequirement:
        return _requirement(self._file, self._entries.get(key)) or ANY

    def dependencies(self) -> tuple[GemDependency, ...]:
        node = self._entries.get("dependencies")
        items = node.items if isinstance(node, YamlSequence) else ()
        if len(items) > MAX_DEPENDENCIES:
            expected = f"at most {MAX_DEPENDENCIES} dependencies"
            raise self._file.exceed(None, expected, f"{len(items)}", hint=HOSTILE)
        return tuple(_dependency(self._file, item) for item in items)

    def _malformed(self, key: str, expected: str, got: str | None) -> FormatError:
        node = self._entries.get(key, self._node)
        return self._file.fail_at_line(
            node.line, f"{expected} at '{key}'", _excerpt(got), hint=HINT
        )


def _dependency(file: Input, node: YamlNode) -> GemDependency:
    if not isinstance(node, YamlMapping):
        raise file.fail_at_line(node.line, "a dependency", "something else", hint=HINT)
    name = _text(node.entries.get("name"))
    if name is None or not is_gem_name(name):
        expected = "the name of a needed gem"
        raise file.fail_at_line(node.line, expected, _excerpt(name), hint=HINT)
    requirement = None
    # The last key, from before 2006, has one clause as text; the others have the same form.
    for key in ("requirement", "version_requirements", "version_requirement"):
        requirement = requirement or _requirement(file, node.entries.get(key))
    kind = (_text(node.entries.get("type")) or ":runtime").removeprefix(":")
    return GemDependency(
        name=name,
        requirement=requirement or ANY,
        kind=DependencyKind.DEVELOPMENT if kind == "development" else DependencyKind.RUNTIME,
    )


def _requirement(file: Input, node: YamlNode | None) -> GemRequirement | None:
    """Return the requirement in ``node``, in any of its historical forms."""
    if isinstance(node, YamlScalar):
        texts = [] if node.text is None else re.split("[,&]", node.text)
    elif isinstance(node, YamlMapping):
        requirements = node.entries.get("requirements")
        if isinstance(requirements, YamlSequence):
            texts = [_clause_text(item) for item in requirements.items]
        else:
            # Before 2005, a requirement was one text, or empty.
            return _requirement(file, node.entries.get("version"))
    else:
        return None
    if not texts:
        return None
    try:
        return GemRequirement.of(DEFAULT_KEY.sub("=", text) for text in texts)
    except ValueError as error:
        raise file.fail_at_line(
            node.line, "a requirement on a version", str(error), hint=HINT
        ) from None


def _clause_text(node: YamlNode) -> str:
    """Return a clause as text; the node is a pair of operator and version, or text."""
    if isinstance(node, YamlSequence) and len(node.items) == 2:
        operator, version = node.items
        return f"{_text(operator) or '='} {_version_text(version) or ''}"
    return _version_text(node) or ""


def _version(text: str | None) -> GemVersion | None:
    try:
        return GemVersion(text) if text else None
    except ValueError:
        return None


def _version_text(node: YamlNode | None) -> str | None:
    if isinstance(node, YamlMapping):
        node = node.entries.get("version")
    return _text(node)


def _platform_text(node: YamlNode | None) -> str | None:
    if isinstance(node, YamlMapping):
        parts = (_text(node.entries.get(key)) for key in ("cpu", "os", "version"))
        return "-".join(part for part in parts if part)
    return _text(node)


def _text(node: YamlNode | None) -> str | None:
    return node.text if isinstance(node, YamlScalar) else None


def _texts(node: YamlNode | None) -> Iterator[str]:
    items = node.items if isinstance(node, YamlSequence) else (node,)
    for item in items:
        text = _text(item)
        if text is not None:
            yield text


def _check_size(file: Input, spec: GemSpec) -> None:
    """Limit the size of all text, because aliases can repeat long text many times."""
    count = 0
    for value in asdict(spec, recurse=False).values():
        flat = value if isinstance(value, tuple) else (value,)
        for part in flat:
            pair = part if isinstance(part, tuple) else (part,)
            count += sum(len(text) for text in pair if isinstance(text, str)) + len(pair)
    if count > MAX_TEXT_CHARS:
        expected = f"at most {MAX_TEXT_CHARS} characters of text"
        raise file.exceed(None, expected, f"{count}", hint=HOSTILE)


def _excerpt(text: str | None) -> str:
    if text is None:
        return "none"
    return display(text[:60].encode("utf-8", "surrogatepass"))

"""Read the specification that a gem carries: YAML, as RubyGems of any age wrote it.

Source: Gem::Specification, Gem::Dependency and Gem::Requirement, by what they read and write.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from attrs import asdict

from purekernel.errors import FormatError, LimitError
from purekernel.formats.gem.requirement import ANY, Requirement
from purekernel.formats.gem.spec import (
    NO_DATE,
    NO_SPECIFICATION_VERSION,
    RUBY,
    Dependency,
    DependencyKind,
    GemSpec,
    is_gem_name,
    is_platform,
)
from purekernel.formats.gem.version import Version
from purekernel.formats.gem.yaml_nodes import HINT, Mapping, Node, Scalar, Sequence, parse_yaml
from purekernel.tree import Buffer, display

# What a specification says in all. What is aliased counts each time.
MAX_TEXT_CHARS = 1 << 20
MAX_DEPENDENCIES = 1000

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")

# The mark that Psych once put for syck's "default key", which is a bare '='.
DEFAULT_KEY = re.compile(r"#<YAML::Syck::DefaultKey[^>]*>|#<Syck::DefaultKey[^>]*>")


def parse_gemspec(data: Buffer, *, source: str) -> GemSpec:
    """Return the specification that ``metadata`` of a gem holds.

    Dates are taken as they are written, whatever time zone follows: they are the day on which
    the gem was made where it was made.

    Raises:
        FormatError: it is no YAML, or lacks a name or a version, or one of those, of the
            dependencies or of the requirements is malformed.
        LimitError: it is very large.
    """
    node = parse_yaml(data, source=source)
    if not isinstance(node, Mapping):
        raise _refuse(source, node, "a specification", "something else")
    reader = _Reader(source, node)
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
    _check_size(spec, source)
    return spec


class _Reader:
    """Asks the nodes of one specification for what they should be."""

    def __init__(self, source: str, node: Mapping) -> None:
        self._source = source
        self._node = node
        self._entries = node.entries

    def text(self, key: str) -> str | None:
        """Return what stands at ``key`` if it is text."""
        return _text(self._entries.get(key))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts at ``key``, or the one."""
        return tuple(_texts(self._entries.get(key)))

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return the pairs of text at ``key``."""
        node = self._entries.get(key)
        entries = node.entries if isinstance(node, Mapping) else {}
        return tuple((name, _text(value) or "") for name, value in entries.items())

    def name(self) -> str:
        name = self.text("name")
        if name is None or not is_gem_name(name):
            raise self._malformed("name", "the name of a gem", name)
        return name

    def version(self) -> Version:
        text = _version_text(self._entries.get("version"))
        version = _version(text)
        if version is None:
            raise self._malformed("version", "a version", text)
        return version

    def platform(self) -> str:
        # Of 'platform', which older libraries do not read, this one keeps the original.
        for key in ("original_platform", "platform"):
            text = _platform_text(self._entries.get(key))
            if text and text != RUBY:
                if not is_platform(text):
                    raise self._malformed(key, "the name of a platform", text)
                return text
        return RUBY

    def date(self) -> datetime.date:
        found = _DATE.match(self.text("date") or "")
        if found is None:
            return NO_DATE
        try:
            date = datetime.date(int(found[1]), int(found[2]), int(found[3]))
        except ValueError:
            return NO_DATE
        # Ruby counts a Time's years from 1900 when it writes one.
        return date if date.year >= 1900 else NO_DATE

    def email(self) -> str | tuple[str, ...] | None:
        node = self._entries.get("email")
        return self.texts("email") if isinstance(node, Sequence) else _text(node)

    def specification_version(self) -> int:
        text = self.text("specification_version") or ""
        if re.fullmatch("[0-9]{1,4}", text, re.ASCII):
            return int(text)
        return NO_SPECIFICATION_VERSION

    def requirement(self, key: str) -> Requirement:
        return _requirement(self._entries.get(key), self._source) or ANY

    def dependencies(self) -> tuple[Dependency, ...]:
        node = self._entries.get("dependencies")
        items = node.items if isinstance(node, Sequence) else ()
        if len(items) > MAX_DEPENDENCIES:
            raise _too_large(self._source, f"at most {MAX_DEPENDENCIES} dependencies", len(items))
        return tuple(_dependency(item, self._source) for item in items)

    def _malformed(self, key: str, expected: str, got: str | None) -> FormatError:
        node = self._entries.get(key, self._node)
        return _refuse(self._source, node, f"{expected} at '{key}'", _shown(got))


def _dependency(node: Node, source: str) -> Dependency:
    if not isinstance(node, Mapping):
        raise _refuse(source, node, "a dependency", "something else")
    name = _text(node.entries.get("name"))
    if name is None or not is_gem_name(name):
        raise _refuse(source, node, "the name of a gem that is needed", _shown(name))
    requirement = None
    # The last, of before 2006, is one clause as text; the others are alike.
    for key in ("requirement", "version_requirements", "version_requirement"):
        requirement = requirement or _requirement(node.entries.get(key), source)
    kind = (_text(node.entries.get("type")) or ":runtime").removeprefix(":")
    return Dependency(
        name=name,
        requirement=requirement or ANY,
        kind=DependencyKind.DEVELOPMENT if kind == "development" else DependencyKind.RUNTIME,
    )


def _requirement(node: Node | None, source: str) -> Requirement | None:
    """Return the requirement that ``node`` is, in any of the forms there have been."""
    if isinstance(node, Scalar):
        texts = [] if node.text is None else re.split("[,&]", node.text)
    elif isinstance(node, Mapping):
        requirements = node.entries.get("requirements")
        if isinstance(requirements, Sequence):
            texts = [_clause_text(item) for item in requirements.items]
        else:
            # Before 2005: one text, or none.
            return _requirement(node.entries.get("version"), source)
    else:
        return None
    if not texts:
        return None
    try:
        return Requirement.of(DEFAULT_KEY.sub("=", text) for text in texts)
    except ValueError as error:
        raise _refuse(source, node, "a requirement on a version", str(error)) from None


def _clause_text(node: Node) -> str:
    """Return a clause as text: a pair of operator and version, or text already."""
    if isinstance(node, Sequence) and len(node.items) == 2:
        operator, version = node.items
        return f"{_text(operator) or '='} {_version_text(version) or ''}"
    return _version_text(node) or ""


def _version(text: str | None) -> Version | None:
    try:
        return Version(text) if text else None
    except ValueError:
        return None


def _version_text(node: Node | None) -> str | None:
    if isinstance(node, Mapping):
        node = node.entries.get("version")
    return _text(node)


def _platform_text(node: Node | None) -> str | None:
    if isinstance(node, Mapping):
        parts = (_text(node.entries.get(key)) for key in ("cpu", "os", "version"))
        return "-".join(part for part in parts if part)
    return _text(node)


def _text(node: Node | None) -> str | None:
    return node.text if isinstance(node, Scalar) else None


def _texts(node: Node | None) -> Iterator[str]:
    items = node.items if isinstance(node, Sequence) else (node,)
    for item in items:
        text = _text(item)
        if text is not None:
            yield text


def _check_size(spec: GemSpec, source: str) -> None:
    """Count all text, because a few aliases can say a great deal."""
    count = 0
    for value in asdict(spec, recurse=False).values():
        flat = value if isinstance(value, tuple) else (value,)
        for part in flat:
            pair = part if isinstance(part, tuple) else (part,)
            count += sum(len(text) for text in pair if isinstance(text, str)) + len(pair)
    if count > MAX_TEXT_CHARS:
        raise _too_large(source, f"at most {MAX_TEXT_CHARS} characters of text", count)


def _too_large(source: str, expected: str, got: int) -> LimitError:
    return LimitError(
        source=source,
        expected=expected,
        got=f"{got}",
        hint="the gem is damaged or hostile: no gem's specification is like that",
    )


def _shown(text: str | None) -> str:
    if text is None:
        return "none"
    return display(text[:60].encode("utf-8", "surrogatepass"))


def _refuse(source: str, node: Node, expected: str, got: str) -> FormatError:
    return FormatError(source=f"{source}, line {node.line}", expected=expected, got=got, hint=HINT)

"""Specifications of gems in Ruby's Marshal format, as an index of gems holds them.

What is written is what ``gem generate_index`` writes. RubyGems since 3.5 loads no other
classes, symbols and instance variables than these; Ruby 1.8, which the Microkernel has, takes
the mark that a string is UTF-8 for an instance variable, and a ``Time``'s zone likewise.

Source: Gem::Specification._dump and _load, Gem::SafeMarshal, Ruby's time.c.
"""

from __future__ import annotations

import datetime
import struct

from purekernel.errors import FormatError
from purekernel.formats.gem.gemspec import DEFAULT_KEY
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
    parse_platform,
)
from purekernel.formats.gem.version import Version
from purekernel.formats.ruby_marshal import (
    Hash,
    Object,
    Symbol,
    UserDefined,
    UserMarshal,
    Value,
    build_marshal,
    parse_marshal,
)
from purekernel.tree import Buffer

# RubyGems 1.8 demands 17 fields of version 3 and 16 of older ones, and reads no more than 18.
LEAST_FIELDS = 16

# Ruby's Time in eight bytes: the year from 1900, month from 0, day and hour; then minute,
# second, microsecond. The topmost bit says so, the next one that it is UTC.
_TIME = struct.Struct("<II")
_TIME_MARKS = 0b11 << 30

HINT = "the server's index is damaged: name another server"


def version_value(version: Version) -> Value:
    """Return a version as Ruby has it."""
    return UserMarshal(class_name="Gem::Version", value=(version.text,))


def build_quick_spec(spec: GemSpec) -> bytes:
    """Return a specification as ``quick/Marshal.4.8/*.gemspec.rz`` holds it, not compressed."""
    return build_marshal(UserDefined(class_name="Gem::Specification", data=_dump(spec)))


def _dump(spec: GemSpec) -> bytes:
    platform = parse_platform(spec.platform)
    fields: tuple[Value, ...] = (
        spec.rubygems_version,
        spec.specification_version,
        spec.name,
        version_value(spec.version),
        _date_value(spec.date),
        spec.summary,
        _requirement_value(spec.required_ruby),
        _requirement_value(spec.required_rubygems),
        spec.platform,
        tuple(map(_dependency_value, spec.dependencies)),
        "",  # once the project on RubyForge
        spec.email,
        spec.authors,
        spec.description,
        spec.homepage,
        True,  # once whether it has documentation
        RUBY
        if platform is None
        else Object(
            class_name="Gem::Platform",
            variables=(
                ("@cpu", platform.cpu),
                ("@os", platform.system),
                ("@version", platform.version),
            ),
        ),
        spec.licenses,
        Hash(pairs=spec.metadata),
    )
    return build_marshal(fields)


def _requirement_value(requirement: Requirement) -> Value:
    clauses = tuple(
        (clause.operator.value, version_value(clause.version)) for clause in requirement.clauses
    )
    return UserMarshal(class_name="Gem::Requirement", value=(clauses,))


def _dependency_value(dependency: Dependency) -> Value:
    requirement = _requirement_value(dependency.requirement)
    return Object(
        class_name="Gem::Dependency",
        variables=(
            ("@name", dependency.name),
            ("@requirement", requirement),
            ("@type", Symbol(dependency.kind.value)),
            ("@prerelease", False),
            ("@version_requirements", requirement),
        ),
    )


def _date_value(date: datetime.date) -> Value:
    days = (date.year - 1900) << 14 | (date.month - 1) << 10 | date.day << 5
    return UserDefined(
        class_name="Time", data=_TIME.pack(_TIME_MARKS | days, 0), variables=(("zone", "UTC"),)
    )


# Reading


def parse_quick_spec(data: Buffer, *, source: str) -> GemSpec:
    """Return the specification that :func:`build_quick_spec` or RubyGems wrote.

    Raises:
        FormatError: it is none, or its name, version, dependencies or requirements are
            malformed.
        LimitError: it goes over the bounds of the format's reader.
    """
    value = parse_marshal(data, source=source)
    if not isinstance(value, UserDefined) or value.class_name != "Gem::Specification":
        raise _refuse(source, "a Gem::Specification", "something else")
    fields = parse_marshal(value.data, source=source)
    if not isinstance(fields, tuple) or len(fields) < LEAST_FIELDS:
        raise _refuse(source, f"an array of {LEAST_FIELDS} fields or more", "something else")
    padded = (*fields, *(None,) * 19)
    name, version, platform = _text(padded[2]), read_version(padded[3]), _text(padded[8])
    if name is None or version is None or not is_gem_name(name):
        raise _refuse(source, "a gem's name and version", "something else")
    if platform and not is_platform(platform):
        raise _refuse(source, "the name of a platform", repr(platform[:60]))
    number = padded[1]
    return GemSpec(
        name=name,
        version=version,
        platform=platform or RUBY,
        summary=_text(padded[5]),
        description=_text(padded[13]),
        date=_date(padded[4]),
        authors=_texts(padded[12]),
        email=_texts(padded[11]) if isinstance(padded[11], tuple) else _text(padded[11]),
        homepage=_text(padded[14]),
        licenses=_texts(padded[17]),
        metadata=_pairs(padded[18]),
        dependencies=_dependencies(padded[9], source),
        required_ruby=_requirement(padded[6], source) or ANY,
        required_rubygems=_requirement(padded[7], source) or ANY,
        rubygems_version=_text(padded[0]),
        specification_version=number if isinstance(number, int) else NO_SPECIFICATION_VERSION,
    )


def read_version(value: Value) -> Version | None:
    """Return the version that ``value`` is, in any of the forms there have been."""
    if isinstance(value, UserMarshal) and isinstance(value.value, tuple) and value.value:
        text = _text(value.value[0])
    elif isinstance(value, Object):
        text = _text(dict(value.variables).get("@version"))
    else:
        text = None
    try:
        return Version(text) if text else None
    except ValueError:
        return None


def read_text(value: Value) -> str | None:
    """Return the text that ``value`` is, whatever Ruby it was written by."""
    return _text(value)


def _requirement(value: Value, source: str) -> Requirement | None:
    inner: Value = None
    if isinstance(value, UserMarshal) and isinstance(value.value, tuple) and value.value:
        inner = value.value[0]
    elif isinstance(value, Object):
        variables = dict(value.variables)
        inner = variables.get("@requirements")
    if inner is None or inner == ():
        return None
    if not isinstance(inner, tuple):
        raise _refuse(source, "a requirement's clauses", "something else")
    try:
        return Requirement.of(map(_clause, inner))
    except ValueError as error:
        raise _refuse(source, "a requirement on a version", str(error)) from None


def _clause(value: Value) -> str:
    if not isinstance(value, tuple) or len(value) != 2:
        return ""
    operator, version = value
    # Instances of YAML::Syck::DefaultKey stand for '='; they have no text.
    shown = DEFAULT_KEY.sub("=", _text(operator) or "=")
    return f"{shown} {read_version(version) or ''}"


def _dependencies(value: Value, source: str) -> tuple[Dependency, ...]:
    found = []
    for item in value if isinstance(value, tuple) else ():
        variables = dict(item.variables) if isinstance(item, Object) else {}
        name = _text(variables.get("@name"))
        if name is None or not is_gem_name(name):
            raise _refuse(source, "a dependency with the name of a gem", "something else")
        requirement = None
        for key in ("@requirement", "@version_requirements", "@version_requirement"):
            requirement = requirement or _requirement(variables.get(key), source)
        development = variables.get("@type") == Symbol("development")
        found.append(
            Dependency(
                name=name,
                requirement=requirement or ANY,
                kind=DependencyKind.DEVELOPMENT if development else DependencyKind.RUNTIME,
            )
        )
    return tuple(found)


def _date(value: Value) -> datetime.date:
    if not isinstance(value, UserDefined) or value.class_name != "Time" or len(value.data) < 8:
        return NO_DATE
    days = _TIME.unpack(value.data[:8])[0]
    if not days >> 31:
        return NO_DATE
    try:
        return datetime.date((days >> 14 & 0xFFFF) + 1900, (days >> 10 & 0xF) + 1, days >> 5 & 0x1F)
    except ValueError:
        return NO_DATE


def _text(value: Value) -> str | None:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")
    return value if isinstance(value, str) else None


def _texts(value: Value) -> tuple[str, ...]:
    items = value if isinstance(value, tuple) else (value,)
    return tuple(text for text in map(_text, items) if text is not None)


def _pairs(value: Value) -> tuple[tuple[str, str], ...]:
    pairs = value.pairs if isinstance(value, Hash) else ()
    return tuple((_text(key) or "", _text(part) or "") for key, part in pairs)


def _refuse(source: str, expected: str, got: str) -> FormatError:
    return FormatError(source=source, expected=expected, got=got, hint=HINT)

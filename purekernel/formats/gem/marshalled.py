"""Read and write specifications of gems in Ruby's Marshal format, as indexes of gems have them.

The output is that of ``gem generate_index``. RubyGems 3.5 and later load no other classes, symbols
and instance variables than these. Ruby 1.8, which the Microkernel has, treats the mark of UTF-8
strings and the zone of a ``Time`` as ordinary instance variables.

Source: Gem::Specification._dump and _load, Gem::SafeMarshal, Ruby's time.c.
"""

from __future__ import annotations

import datetime
import struct

from purekernel.formats.gem.spec import (
    NO_DATE,
    NO_SPECIFICATION_VERSION,
    RUBY,
    DependencyKind,
    GemDependency,
    GemSpec,
    is_gem_name,
    is_platform,
    parse_platform,
)
from purekernel.formats.gem.version import ANY, DEFAULT_KEY, GemRequirement, GemVersion
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
from purekernel.input import Input

# RubyGems 1.8 requires 17 fields of version 3 and 16 of older ones, and reads at most 18.
LEAST_FIELDS = 16

# Ruby's Time in eight bytes: the year from 1900, month from 0, day and hour; then minute, second,
# microsecond. The highest bit marks this form, the next one UTC.
_TIME = struct.Struct("<II")
_TIME_MARKS = 0b11 << 30

HINT = "the server's index is damaged: use another server"


def version_value(version: GemVersion) -> Value:
    """Return a version as a value of Ruby."""
    return UserMarshal(class_name="Gem::Version", value=(version.text,))


def build_quick_spec(spec: GemSpec) -> bytes:
    """Return the uncompressed content of ``quick/Marshal.4.8/*.gemspec.rz``."""
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
        "",  # formerly the project on RubyForge
        spec.email,
        spec.authors,
        spec.description,
        spec.homepage,
        True,  # formerly whether the gem has documentation
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


def _requirement_value(requirement: GemRequirement) -> Value:
    clauses = tuple(
        (clause.operator.value, version_value(clause.version)) for clause in requirement.clauses
    )
    return UserMarshal(class_name="Gem::Requirement", value=(clauses,))


def _dependency_value(dependency: GemDependency) -> Value:
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


def parse_quick_spec(file: Input) -> GemSpec:
    """Return a specification that :func:`build_quick_spec` or RubyGems wrote.

    Raises:
        FormatError: the file is not a specification, or its name, version, dependencies or
            requirements are malformed.
        LimitError: a value exceeds the limits of the Marshal reader.
    """
    value = parse_marshal(file)
    if not isinstance(value, UserDefined) or value.class_name != "Gem::Specification":
        raise file.fail(None, "a Gem::Specification", "something else", hint=HINT)
    fields = parse_marshal(file.unpacked(value.data))
    if not isinstance(fields, tuple) or len(fields) < LEAST_FIELDS:
        raise file.fail(
            None, f"an array of {LEAST_FIELDS} fields or more", "something else", hint=HINT
        )
    padded = (*fields, *(None,) * 19)
    name, version, platform = _text(padded[2]), read_version(padded[3]), _text(padded[8])
    if name is None or version is None or not is_gem_name(name):
        raise file.fail(None, "a gem's name and version", "something else", hint=HINT)
    if platform and not is_platform(platform):
        raise file.fail(None, "the name of a platform", repr(platform[:60]), hint=HINT)
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
        dependencies=_dependencies(file, padded[9]),
        required_ruby=_requirement(file, padded[6]) or ANY,
        required_rubygems=_requirement(file, padded[7]) or ANY,
        rubygems_version=_text(padded[0]),
        specification_version=number if isinstance(number, int) else NO_SPECIFICATION_VERSION,
    )


def read_version(value: Value) -> GemVersion | None:
    """Return the version in ``value``, in any of its historical forms."""
    if isinstance(value, UserMarshal) and isinstance(value.value, tuple) and value.value:
        text = _text(value.value[0])
    elif isinstance(value, Object):
        text = _text(dict(value.variables).get("@version"))
    else:
        text = None
    try:
        return GemVersion(text) if text else None
    except ValueError:
        return None


def read_text(value: Value) -> str | None:
    """Return the text in ``value``, written by any version of Ruby."""
    return _text(value)


def _requirement(file: Input, value: Value) -> GemRequirement | None:
    inner: Value = None
    if isinstance(value, UserMarshal) and isinstance(value.value, tuple) and value.value:
        inner = value.value[0]
    elif isinstance(value, Object):
        variables = dict(value.variables)
        inner = variables.get("@requirements")
    if inner is None or inner == ():
        return None
    if not isinstance(inner, tuple):
        raise file.fail(None, "the clauses of a requirement", "something else", hint=HINT)
    try:
        return GemRequirement.of(map(_clause, inner))
    except ValueError as error:
        raise file.fail(None, "a requirement on a version", str(error), hint=HINT) from None


def _clause(value: Value) -> str:
    if not isinstance(value, tuple) or len(value) != 2:
        return ""
    operator, version = value
    # Instances of YAML::Syck::DefaultKey mean '='; they have no text.
    symbol = DEFAULT_KEY.sub("=", _text(operator) or "=")
    return f"{symbol} {read_version(version) or ''}"


def _dependencies(file: Input, value: Value) -> tuple[GemDependency, ...]:
    dependencies = []
    for item in value if isinstance(value, tuple) else ():
        variables = dict(item.variables) if isinstance(item, Object) else {}
        name = _text(variables.get("@name"))
        if name is None or not is_gem_name(name):
            raise file.fail(
                None, "a dependency with the name of a gem", "something else", hint=HINT
            )
        requirement = None
        for key in ("@requirement", "@version_requirements", "@version_requirement"):
            requirement = requirement or _requirement(file, variables.get(key))
        development = variables.get("@type") == Symbol("development")
        dependencies.append(
            GemDependency(
                name=name,
                requirement=requirement or ANY,
                kind=DependencyKind.DEVELOPMENT if development else DependencyKind.RUNTIME,
            )
        )
    return tuple(dependencies)


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

"""What a gem says of itself, as far as an index of gems repeats it."""

from __future__ import annotations

import datetime
import re
from enum import Enum

from attrs import field, frozen

from purekernel.formats.gem.requirement import ANY, Requirement
from purekernel.formats.gem.version import Version

# What RubyGems dates a gem that has no date, since 3.6; older ones take today's.
NO_DATE = datetime.date(1980, 1, 2)


# Written by gems from before there were any such versions.
NO_SPECIFICATION_VERSION = -1


# What RubyGems' servers take, less what no name starts with.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_PLATFORM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


# With version and platform a name must fit in the name of a file.
MAX_NAME_CHARS = 150
MAX_PLATFORM_CHARS = 80


RUBY = "ruby"
"""The platform of gems that run wherever Ruby does."""


# Names from before 2007, when a platform was one word.
_OLD_NAMES = {
    "mswin32": "x86-mswin32",
    "i586-linux": "x86-linux",
    "powerpc-darwin": "ppc-darwin",
}


# The system's name, and in a group its version. The first that is found counts.
_SYSTEMS = tuple(
    (re.compile(pattern, re.ASCII), name)
    for pattern, name in (
        (r"aix([0-9]+)?", "aix"),
        (r"cygwin", "cygwin"),
        (r"darwin([0-9]+)?", "darwin"),
        (r"^macruby$", "macruby"),
        (r"freebsd([0-9]+)?", "freebsd"),
        (r"hpux([0-9]+)?", "hpux"),
        (r"^(?:java|jruby)$", "java"),
        (r"^java([0-9.]*)", "java"),
        (r"^dalvik([0-9]+)?$", "dalvik"),
        (r"^dotnet$", "dotnet"),
        (r"^dotnet([0-9.]*)", "dotnet"),
        (r"linux-?((?!gnu)\w+)?", "linux"),
        (r"mingw32", "mingw32"),
        (r"mingw-?(\w+)?", "mingw"),
        (r"mswin[0-9]+(?:_([0-9]+))?", "mswin"),
        (r"netbsdelf", "netbsdelf"),
        (r"openbsd([0-9]+\.[0-9]+)?", "openbsd"),
        (r"bitrig([0-9]+\.[0-9]+)?", "bitrig"),
        (r"solaris([0-9]+\.[0-9]+)?", "solaris"),
    )
)
_MSWIN = re.compile(r"mswin[0-9]+", re.ASCII)
_OTHER = re.compile(r"^(\w+_platform)([0-9]+)?", re.ASCII)


class DependencyKind(Enum):
    """When a gem is needed: by whoever runs, or by whoever changes the other."""

    RUNTIME = "runtime"
    DEVELOPMENT = "development"


@frozen(kw_only=True)
class Dependency:
    """A gem that another needs.

    Attributes:
        name: of the gem that is needed.
        requirement: on its version.
        kind: when it is needed.
    """

    name: str
    requirement: Requirement = ANY
    kind: DependencyKind = DependencyKind.RUNTIME

    def __str__(self) -> str:
        return self.name if self.requirement == ANY else f"{self.name} {self.requirement}"


# Names of gems and of their platforms, which become names of files and parts of URLs.


def is_gem_name(text: str) -> bool:
    """Say whether ``text`` can be the name of a gem."""
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def is_platform(text: str) -> bool:
    """Say whether ``text`` can be the name of a platform."""
    return len(text) <= MAX_PLATFORM_CHARS and _PLATFORM.fullmatch(text) is not None


def full_name(name: str, version: object, platform: str) -> str:
    """Return what a gem's file is named after: ``rake-0.9.2``, ``json-1.8.6-java``."""
    return f"{name}-{version}" if platform == RUBY else f"{name}-{version}-{platform}"


@frozen(kw_only=True)
class GemSpec:
    """A gem's specification, less what only its installation needs.

    Attributes:
        name: ``json_pure``.
        version: ``1.7.7``. Specifications are equal when it is written alike.
        platform: as it was given when the gem was made: ``ruby``, ``x86-mingw32``.
        summary: one line.
        description: more lines.
        date: when it was made.
        authors: one or more.
        email: one address, or several.
        homepage: a URL.
        licenses: their short names.
        metadata: further pairs of text.
        dependencies: in the order in which they were given.
        required_ruby: on the version of Ruby.
        required_rubygems: on the version of RubyGems.
        rubygems_version: of the RubyGems that made the gem.
        specification_version: of the form that the specification has.
    """

    name: str
    version: Version = field(eq=lambda version: version.text)
    platform: str = RUBY
    summary: str | None = None
    description: str | None = None
    date: datetime.date = NO_DATE
    authors: tuple[str, ...] = ()
    email: str | tuple[str, ...] | None = None
    homepage: str | None = None
    licenses: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    required_ruby: Requirement = ANY
    required_rubygems: Requirement = ANY
    rubygems_version: str | None = None
    specification_version: int = NO_SPECIFICATION_VERSION

    @property
    def full_name(self) -> str:
        """``json_pure-1.7.7``, ``json-1.8.6-java``."""
        return full_name(self.name, self.version, self.platform)

    @property
    def file_name(self) -> str:
        """The name of the gem's file."""
        return f"{self.full_name}.gem"

    @property
    def runtime_dependencies(self) -> tuple[Dependency, ...]:
        """The gems that it needs to run."""
        return tuple(
            dependency
            for dependency in self.dependencies
            if dependency.kind is DependencyKind.RUNTIME
        )


# Platforms as RubyGems takes them apart: processor, system, version.
#
# Source: Gem::Platform, https://docs.ruby-lang.org/en/master/Gem/Platform.html


@frozen(kw_only=True)
class Platform:
    """A platform other than ``ruby``.

    Attributes:
        cpu: ``x86``; ``None`` where there is none, as for ``java``.
        system: ``mingw32``.
        version: of the system.
    """

    cpu: str | None
    system: str
    version: str | None = None

    def __str__(self) -> str:
        return "-".join(part for part in (self.cpu, self.system, self.version) if part is not None)


def parse_platform(text: str) -> Platform | None:
    """Return what ``text`` means; ``None`` for ``ruby`` and nothing."""
    if text in ("", RUBY):
        return None
    parts = _OLD_NAMES.get(text, text).split("-")
    if len(parts) > 2 and not re.search(r"[0-9]", parts[-1]):  # x86-linux-gnu
        parts[-2:] = [f"{parts[-2]}-{parts[-1]}"]
    cpu, *rest = parts
    cpu = "x86" if re.search(r"i[0-9]86", cpu) else cpu
    if len(rest) == 2 and re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", rest[1]):
        return Platform(cpu=cpu, system=rest[0], version=rest[1])
    if not rest:
        return _with_system(None, parts[0])
    return _with_system(cpu, rest[0])


def _with_system(cpu: str | None, word: str) -> Platform:
    for pattern, name in _SYSTEMS:
        if found := pattern.search(word):
            return _named(cpu, name, found[1] if pattern.groups else None, word)
    if found := _OTHER.search(word):
        return Platform(cpu=cpu, system=found[1], version=found[2])
    return Platform(cpu=cpu, system="unknown")


def _named(cpu: str | None, name: str, version: str | None, word: str) -> Platform:
    if name == "mswin":
        found = _MSWIN.search(word)
        name = found[0] if found else name
        if cpu is None and name.endswith("32"):
            cpu = "x86"
    return Platform(cpu=cpu, system=name, version=version)

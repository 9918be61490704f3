"""Define the specification of a gem, as far as indexes include it, and its platform.

Source: Gem::Specification; Gem::Platform, https://docs.ruby-lang.org/en/master/Gem/Platform.html
"""

from __future__ import annotations

import datetime
import re
from enum import Enum

from attrs import field

from purekernel.formats.gem.version import ANY, GemRequirement, GemVersion
from purekernel.records import frozen

# The date of a gem without a date in RubyGems 3.6 and later; earlier releases use today's.
NO_DATE = datetime.date(1980, 1, 2)

# The value for gems from before specifications had versions.
NO_SPECIFICATION_VERSION = -1

# The names that gem servers accept, except for first characters that no name has.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_PLATFORM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")

# Together with version and platform, a name must fit in a file name.
MAX_NAME_CHARS = 150
MAX_PLATFORM_CHARS = 80

RUBY = "ruby"
"""The platform of gems that run on all platforms."""

# The names of platforms before 2007, and their current names.
_OLD_NAMES = {
    "mswin32": "x86-mswin32",
    "i586-linux": "x86-linux",
    "powerpc-darwin": "ppc-darwin",
}

# Patterns of systems, with the version as a group, and their names. The first match counts.
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
    """Whether a gem is needed to run another gem, or only to develop it."""

    RUNTIME = "runtime"
    DEVELOPMENT = "development"


@frozen(kw_only=True)
class GemDependency:
    """A gem that another gem depends on.

    Attributes:
        name: the name of the needed gem.
        requirement: the requirement on its version.
        kind: whether it is needed at run time.
    """

    name: str
    requirement: GemRequirement = ANY
    kind: DependencyKind = DependencyKind.RUNTIME

    def __str__(self) -> str:
        return self.name if self.requirement == ANY else f"{self.name} {self.requirement}"


# Names of gems and platforms become file names and parts of URLs, so they are validated.


def is_gem_name(text: str) -> bool:
    """Return whether ``text`` is a valid name of a gem."""
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def is_platform(text: str) -> bool:
    """Return whether ``text`` is a valid name of a platform."""
    return len(text) <= MAX_PLATFORM_CHARS and _PLATFORM.fullmatch(text) is not None


def full_name(name: str, version: object, platform: str) -> str:
    """Return the name of a gem's file without suffix: ``rake-0.9.2``, ``json-1.8.6-java``."""
    return f"{name}-{version}" if platform == RUBY else f"{name}-{version}-{platform}"


@frozen(kw_only=True)
class GemSpec:
    """The specification of a gem, without the fields that only its installation needs.

    Attributes:
        name: such as ``json_pure``.
        version: such as ``1.7.7``. Specifications are equal only if versions are written alike.
        platform: as declared when the gem was built: ``ruby``, ``x86-mingw32``.
        summary: one line.
        description: several lines.
        date: the day on which the gem was built.
        authors: one or more names.
        email: one address, or several.
        homepage: a URL.
        licenses: short names of licences.
        metadata: further pairs of text.
        dependencies: in the order of the specification.
        required_ruby: the requirement on the version of Ruby.
        required_rubygems: the requirement on the version of RubyGems.
        rubygems_version: the version of RubyGems that built the gem.
        specification_version: the version of the format of the specification.
    """

    name: str
    version: GemVersion = field(eq=lambda version: version.text)
    platform: str = RUBY
    summary: str | None = None
    description: str | None = None
    date: datetime.date = NO_DATE
    authors: tuple[str, ...] = ()
    email: str | tuple[str, ...] | None = None
    homepage: str | None = None
    licenses: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    dependencies: tuple[GemDependency, ...] = ()
    required_ruby: GemRequirement = ANY
    required_rubygems: GemRequirement = ANY
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
    def runtime_dependencies(self) -> tuple[GemDependency, ...]:
        """The gems that are needed at run time."""
        return tuple(
            dependency
            for dependency in self.dependencies
            if dependency.kind is DependencyKind.RUNTIME
        )


@frozen(kw_only=True)
class Platform:
    """A platform other than ``ruby``.

    Attributes:
        cpu: the processor, such as ``x86``; ``None`` if there is none, as for ``java``.
        system: the system, such as ``mingw32``.
        version: the version of the system.
    """

    cpu: str | None
    system: str
    version: str | None = None

    def __str__(self) -> str:
        return "-".join(part for part in (self.cpu, self.system, self.version) if part is not None)


def parse_platform(text: str) -> Platform | None:
    """Return the platform with the name ``text``; ``None`` for ``ruby`` and the empty text."""
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

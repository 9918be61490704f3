"""What a gem says of itself, as far as an index of gems repeats it."""

from __future__ import annotations

import datetime
from enum import Enum

from attrs import field, frozen

from purekernel.formats.gem.names import RUBY, full_name
from purekernel.formats.gem.requirement import ANY, Requirement
from purekernel.formats.gem.version import Version

# What RubyGems dates a gem that has no date, since 3.6; older ones take today's.
NO_DATE = datetime.date(1980, 1, 2)

# Written by gems from before there were any such versions.
NO_SPECIFICATION_VERSION = -1


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

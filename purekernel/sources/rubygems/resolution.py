"""What a list of gems comes to."""

from __future__ import annotations

from attrs import field, frozen

from purekernel.fetch.wanted import Wanted
from purekernel.formats.gem.gem_list import ListedGem
from purekernel.formats.gem.requirement import Requirement
from purekernel.formats.gem.version import Version


@frozen(kw_only=True)
class GemEdge:
    """One gem's need of another.

    Attributes:
        name: of the gem that is needed.
        requirement: on its version.
        version: that which was taken for it.
    """

    name: str
    requirement: Requirement
    version: Version = field(eq=lambda version: version.text)


@frozen(kw_only=True)
class ResolvedGem:
    """One release that is taken.

    Attributes:
        name: of the gem.
        version: of the release.
        file_name: ``json_pure-1.7.7.gem``.
        wanted: its file.
        dependencies: what it needs to run, in the order in which it says so.
    """

    name: str
    version: Version = field(eq=lambda version: version.text)
    file_name: str
    wanted: Wanted
    dependencies: tuple[GemEdge, ...] = ()


@frozen(kw_only=True)
class GemResolution:
    """All gems that a list comes to.

    Attributes:
        gems: by name, then version.
        listed: what was asked for, in the list's order, and the version that was taken for it.
    """

    gems: tuple[ResolvedGem, ...]
    listed: tuple[tuple[ListedGem, Version], ...]

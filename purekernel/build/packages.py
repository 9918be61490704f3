"""Debian packages in lists of extensions.

A name that ends in ``.deb`` stands for a package that is fetched from an archive of Debian's and
made into an extension: :mod:`~purekernel.build.planning.packages` says of which, and
:mod:`~purekernel.build.conversion` makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve, field, frozen

from purekernel.formats.debian.names import parse_choice
from purekernel.formats.extension_name import DEB
from purekernel.recipe.model import Named
from purekernel.repos.tinycore import Extension


@frozen(kw_only=True)
class PlannedPackages:
    """What the packages of a plan come to.

    Attributes:
        extensions: those that they become, by name; of each the file is a package yet.
        names: for each name in a list, the extension's.
        notes: what the user should know, a line each.
    """

    extensions: Mapping[str, Extension] = field(factory=dict)
    names: Mapping[str, str] = field(factory=dict)
    notes: tuple[str, ...] = ()

    def in_place(self, listed: Iterable[Named]) -> tuple[Named, ...]:
        """Return names with those of extensions in the place of those of packages.

        A package that could not be planned is left out: why is told already.
        """
        return tuple(
            evolve(one, name=self.names[one.name]) if is_package(one.name) else one
            for one in listed
            if not is_package(one.name) or one.name in self.names
        )


def is_package(name: str) -> bool:
    """Say whether a name in a list is that of a package."""
    return name.endswith(DEB)


def package_name(name: str) -> str:
    """Return the package's own name, of one whose version or architecture may be said as well.

    Raises:
        FormatError: it is no name of a package.
    """
    return parse_choice(name, source="a list of extensions").name

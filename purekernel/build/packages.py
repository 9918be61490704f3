"""Debian packages in lists of extensions: the place where they become extensions.

A name that ends in ``.deb`` stands for a package that is to be fetched from a Debian mirror and
made into an extension of the same name. Who does that does not exist yet: until then such
names are refused, all of them at once. Whoever makes it takes the names that
:func:`split_packages` parts from the others, and puts in their place what it has made.
"""

from __future__ import annotations

from collections.abc import Iterable

from purekernel.build.recipe.model import Named
from purekernel.errors import DependencyError, raise_all

PACKAGE = ".deb"


def split_packages(names: Iterable[Named]) -> tuple[tuple[Named, ...], tuple[Named, ...]]:
    """Return the extensions among ``names``, and the packages."""
    listed = tuple(names)
    return (
        tuple(one for one in listed if not one.name.endswith(PACKAGE)),
        tuple(one for one in listed if one.name.endswith(PACKAGE)),
    )


def refuse_packages(packages: Iterable[Named]) -> None:
    """Refuse all packages.

    Raises:
        DependencyError: there is one.
        CombinedError: there are several.
    """
    raise_all(
        DependencyError(
            f"{one.place}: {one.name} is a Debian package, and this purekernel makes no "
            "extensions of packages yet",
            hint=f"name {one.name.removesuffix(PACKAGE)}.tcz if the mirror has it, "
            f"or leave it out with --skip {one.name}",
        )
        for one in packages
    )

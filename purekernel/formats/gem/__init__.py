"""Read gems, lists of gems and indexes of gems, and write indexes."""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.formats.gem.gem_list import ListedGem, parse_gem_list, parse_listed_gem
    from purekernel.formats.gem.index import build_gem_index
    from purekernel.formats.gem.reader import Gem, parse_gem
    from purekernel.formats.gem.spec import DependencyKind, GemDependency, GemSpec
    from purekernel.formats.gem.version import Clause, GemRequirement, GemVersion, Operator
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "gem_list": "ListedGem parse_gem_list parse_listed_gem",
            "index": "build_gem_index",
            "reader": "Gem parse_gem",
            "spec": "DependencyKind GemDependency GemSpec",
            "version": "Clause GemRequirement GemVersion Operator",
        },
    )

__all__ = [
    "Clause",
    "DependencyKind",
    "Gem",
    "GemDependency",
    "GemRequirement",
    "GemSpec",
    "GemVersion",
    "ListedGem",
    "Operator",
    "build_gem_index",
    "parse_gem",
    "parse_gem_list",
    "parse_listed_gem",
]

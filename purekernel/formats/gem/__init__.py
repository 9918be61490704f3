"""Read gems, lists of gems and indexes of gems, and write indexes."""

from purekernel.formats.gem.gem_list import ListedGem, parse_gem_list, parse_listed_gem
from purekernel.formats.gem.index import build_gem_index
from purekernel.formats.gem.reader import Gem, parse_gem
from purekernel.formats.gem.spec import DependencyKind, GemDependency, GemSpec
from purekernel.formats.gem.version import Clause, GemRequirement, GemVersion, Operator

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

"""RubyGems: versions, requirements, lists of gems, gems themselves, and indexes of them."""

from purekernel.formats.gem.gem_list import ListedGem, parse_gem_list, parse_listed_gem
from purekernel.formats.gem.index import build_gem_index
from purekernel.formats.gem.reader import Gem, parse_gem
from purekernel.formats.gem.requirement import Clause, Operator, Requirement
from purekernel.formats.gem.spec import Dependency, DependencyKind, GemSpec
from purekernel.formats.gem.version import Version

__all__ = [
    "Clause",
    "Dependency",
    "DependencyKind",
    "Gem",
    "GemSpec",
    "ListedGem",
    "Operator",
    "Requirement",
    "Version",
    "build_gem_index",
    "parse_gem",
    "parse_gem_list",
    "parse_listed_gem",
]

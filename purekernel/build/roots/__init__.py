"""A root file system wherever it lies, to be looked at and changed there."""

from purekernel.build.roots.opening import open_root
from purekernel.build.roots.root import Root

__all__ = ["Root", "open_root"]

"""A root file system wherever it lies, to be looked at and changed there."""

from purekernel.tools.roots.opening import Root, open_root

__all__ = ["Root", "open_root"]

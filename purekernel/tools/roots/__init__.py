"""Open, read and write a root file system in a folder, an archive or an ISO."""

from purekernel.tools.roots.opening import Root, open_root

__all__ = ["Root", "open_root"]

"""Open, read and write a root file system in a folder, an archive or an ISO."""

from purekernel.tools.roots.opening import Root, open_noted_root, open_root, save_changed

__all__ = ["Root", "open_noted_root", "open_root", "save_changed"]

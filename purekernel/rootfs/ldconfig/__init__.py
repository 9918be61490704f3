"""Run ldconfig on a tree: make the links to libraries and the loader's cache."""

from purekernel.rootfs.ldconfig.architecture import ARCHITECTURES, Architecture
from purekernel.rootfs.ldconfig.configure import Configured, Searched, ldconfig

__all__ = ["ARCHITECTURES", "Architecture", "Configured", "Searched", "ldconfig"]

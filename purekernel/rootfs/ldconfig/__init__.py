"""What ldconfig does: the links to libraries, and the cache that the loader finds them by."""

from purekernel.rootfs.ldconfig.architecture import ARCHITECTURES, Architecture
from purekernel.rootfs.ldconfig.configure import Configured, Searched, ldconfig

__all__ = ["ARCHITECTURES", "Architecture", "Configured", "Searched", "ldconfig"]

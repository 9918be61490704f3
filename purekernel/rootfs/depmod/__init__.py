"""What depmod does: the indexes by which modprobe finds modules and what they need."""

from purekernel.rootfs.depmod.busybox import Busybox
from purekernel.rootfs.depmod.dialect import Dialect, Kmod, detect_dialect
from purekernel.rootfs.depmod.kernel_symbols import (
    KernelSymbols,
    parse_symvers,
    parse_system_map,
)
from purekernel.rootfs.depmod.run import Indexed, depmod

__all__ = [
    "Busybox",
    "Dialect",
    "Indexed",
    "KernelSymbols",
    "Kmod",
    "depmod",
    "detect_dialect",
    "parse_symvers",
    "parse_system_map",
]

"""Run depmod on a tree: write the indexes by which modprobe finds modules and dependencies."""

from purekernel.rootfs.depmod.busybox import Busybox
from purekernel.rootfs.depmod.dialect import Dialect, Kmod, detect_dialect, tree_busybox
from purekernel.rootfs.depmod.kernel_symbols import (
    KernelSymbols,
    parse_symvers,
    parse_system_map,
)
from purekernel.rootfs.depmod.run import Indexed, depmod, find_modules, is_up_to_date

__all__ = [
    "Busybox",
    "Dialect",
    "Indexed",
    "KernelSymbols",
    "Kmod",
    "depmod",
    "detect_dialect",
    "find_modules",
    "is_up_to_date",
    "parse_symvers",
    "parse_system_map",
    "tree_busybox",
]

"""The binary indexes in which modprobe of kmod looks modules up."""

from purekernel.formats.module_index.reader import IndexValue, parse_index
from purekernel.formats.module_index.writer import build_index

__all__ = ["IndexValue", "build_index", "parse_index"]

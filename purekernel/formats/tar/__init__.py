"""Read ustar, GNU and PAX tar archives, and write GNU tar archives."""

from purekernel.formats.tar.headers import iter_members
from purekernel.formats.tar.reader import parse_tar
from purekernel.formats.tar.writer import build_tar

__all__ = ["build_tar", "iter_members", "parse_tar"]

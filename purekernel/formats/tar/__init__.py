"""Read ustar, GNU and PAX tar archives, and write GNU and PAX tar archives."""

from purekernel.formats.tar.headers import iter_members
from purekernel.formats.tar.reader import parse_tar
from purekernel.formats.tar.writer import build_end, build_tar, iter_tar

__all__ = ["build_end", "build_tar", "iter_members", "iter_tar", "parse_tar"]

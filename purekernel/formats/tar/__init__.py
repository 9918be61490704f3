"""The tar format: ustar, GNU and PAX read, GNU written."""

from purekernel.formats.tar.headers import is_tar
from purekernel.formats.tar.reader import parse_tar
from purekernel.formats.tar.writer import build_tar

__all__ = ["build_tar", "is_tar", "parse_tar"]

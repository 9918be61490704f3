"""Look at a file as it goes by in pieces, and say whether it is the one that was wanted."""

from __future__ import annotations

import hashlib
import re

from purekernel.fetch.wanted import Cause, Fault, Kind, Wanted

# What is read of a file at once: more does not make hashing faster, and eight are in memory.
PIECE_BYTES = 1 << 20


WEB_PAGE = (
    "a web page came instead of the file: a captive portal or a proxy's log-in may be in the way"
)


# The first sector after the 16 that ISO 9660 leaves to the system (ECMA-119, 7.2), then the
# type of the descriptor.
_ISO_OFFSET = 0x8001


_MAGIC = {
    Kind.GZIP: (0, b"\x1f\x8b", "a gzip file"),
    Kind.SQUASHFS: (0, b"hsqs", "a squashfs image"),
    Kind.ISO: (_ISO_OFFSET, b"CD001", "an ISO 9660 image"),
    Kind.TAR: (257, b"ustar", "a tar archive"),
}


# Room for comments before a page's first tag; also what a text is shown to be no text by.
_LEAST_HEAD_BYTES = 1024
_BEFORE_TAG = re.compile(rb"(?:\xef\xbb\xbf|\s|<\?xml[^>]*>|<!--.*?-->)*+", re.DOTALL)


_TAG = re.compile(
    rb"<(?:!doctype\s+html|html|head|meta|title|script|body)(?:[\s>/]|$)", re.IGNORECASE
)


# Tell by its first bytes whether a file can be what was wanted.
#
# A hotel's network answers every request with a page to log in at, and a mirror that has moved
# answers with a page that says so; both with status 200.


def head_bytes(kind: Kind) -> int:
    """Return how many of a file's first bytes :func:`misfit` needs, where it has so many."""
    offset, magic, _name = _MAGIC.get(kind, (0, b"", ""))
    return max(_LEAST_HEAD_BYTES, offset + len(magic))


def is_web_page(head: bytes) -> bool:
    """Say whether a file that begins with ``head`` is a page of HTML."""
    start = _BEFORE_TAG.match(head, 0, _LEAST_HEAD_BYTES)
    return bool(start and _TAG.match(head, start.end()))


def misfit(head: bytes, kind: Kind) -> str | None:
    """Return why a file that begins with ``head`` is not of ``kind``, or ``None``.

    Args:
        head: its first :func:`head_bytes`, or all of it where it is shorter.
        kind: what it should be. No kind is a web page, :attr:`Kind.ANY` neither: nothing that
            an image is made of is one.
    """
    if is_web_page(head):
        return WEB_PAGE
    if kind is Kind.TEXT and b"\0" in head:
        return "it is no text: it holds a NUL"
    offset, magic, name = _MAGIC.get(kind, (0, b"", ""))
    found = head[offset : offset + len(magic)]
    if found != magic:
        return f"it is not {name}: {_shown(found, offset)} in place of {magic.hex(' ')}"
    return None


def _shown(found: bytes, offset: int) -> str:
    place = f"at byte {offset} it has" if offset else "it starts with"
    return f"{place} {found.hex(' ') or 'nothing'}"


class Inspection:
    """Size, digests and first bytes of a file, of which nothing else is kept.

    Args:
        kind: what the file should be; it decides how much of its head is kept.
    """

    def __init__(self, kind: Kind = Kind.ANY) -> None:
        self.size_bytes = 0
        # Integrity, not secrecy: hosts under FIPS rules forbid MD5 otherwise.
        self._sha256 = hashlib.sha256(usedforsecurity=False)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._kind = kind
        self._head = b""
        self._head_bytes = head_bytes(kind)
        self._holds_nul = False

    def feed(self, piece: bytes) -> None:
        """Look at the next piece."""
        self.size_bytes += len(piece)
        self._sha256.update(piece)
        self._md5.update(piece)
        if self._kind is Kind.TEXT and not self._holds_nul:
            self._holds_nul = b"\0" in piece
        if (lacking := self._head_bytes - len(self._head)) > 0:
            self._head += piece[:lacking]

    @property
    def head_is_whole(self) -> bool:
        """Whether enough was seen for :meth:`check_kind` before the file's end."""
        return len(self._head) == self._head_bytes

    @property
    def sha256(self) -> str:
        """The digest so far, in hexadecimal."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """The digest so far, in hexadecimal."""
        return self._md5.hexdigest()

    def check_kind(self) -> None:
        """Refuse what is not of the kind that was wanted.

        Raises:
            Fault: it is a web page, or of another kind.
        """
        reason = misfit(self._head, self._kind)
        if reason is None and self._holds_nul:
            reason = misfit(b"\0", Kind.TEXT)
        if reason is not None:
            raise _unfit(reason)

    def check_page(self) -> None:
        """Refuse a web page by what was seen of it so far.

        One that is sent in place of a file has not the file's size either, and that must not
        be what is said of it.

        Raises:
            Fault: it is one.
        """
        if is_web_page(self._head):
            raise _unfit(WEB_PAGE)

    def check(self, wanted: Wanted) -> None:
        """Refuse a whole file that is not the one wanted.

        Raises:
            Fault: its kind, size or digest is another.
        """
        self.check_kind()
        if wanted.size_bytes is not None and self.size_bytes < wanted.size_bytes:
            # Nobody had announced its size, so it may have been cut off.
            raise _another_size(self.size_bytes, wanted, Cause.PASSING)
        check_size(self.size_bytes, wanted)
        for name, promised, found in (
            ("SHA-256", wanted.sha256, self.sha256),
            ("MD5", wanted.md5, self.md5),
        ):
            if promised is not None and promised.lower() != found:
                raise Fault(f"its {name} is {found}, not {promised.lower()}", Cause.CONTENT)


def check_size(size_bytes: int, wanted: Wanted) -> None:
    """Refuse a file by the size that is announced for it.

    Raises:
        Fault: it has not the size that was promised, or more than is allowed.
    """
    if wanted.size_bytes is not None and size_bytes != wanted.size_bytes:
        raise _another_size(size_bytes, wanted, Cause.CONTENT)
    check_bound(size_bytes, wanted)


def _another_size(size_bytes: int, wanted: Wanted, cause: Cause) -> Fault:
    return Fault(f"it has {size_bytes} bytes, not {wanted.size_bytes}", cause)


def check_bound(size_bytes: int, wanted: Wanted) -> None:
    """Refuse a file that is larger than the one wanted, or than any that would be of use.

    Raises:
        Fault: it is.
    """
    if wanted.size_bytes is not None:
        if size_bytes > wanted.size_bytes:
            words = f"it is larger than {wanted.size_bytes} bytes"
            raise Fault(words, Cause.CONTENT)
    elif size_bytes > wanted.most_bytes:
        raise Fault(f"it is larger than {wanted.most_bytes} bytes", Cause.LASTING)


def _unfit(reason: str) -> Fault:
    return Fault(reason, Cause.PASSING, hint="open the address in a browser and look")

"""Check the kind, size and digests of a file while it is read in pieces."""

from __future__ import annotations

import hashlib
import re

from purekernel.fetch.model import Cause, Download, Fault
from purekernel.formats.detect import FileKind, name_kind

# Size of one read. Larger reads do not make hashing faster, and eight are in memory at once.
PIECE_BYTES = 1 << 20

WEB_PAGE = (
    "got a web page instead of the file, perhaps from a captive portal or the login of a proxy"
)

# Allows for comments before the first tag of a page; also the part in which a NUL shows at once
# that a file is not text.
_LEAST_HEAD_BYTES = 1024
_BEFORE_TAG = re.compile(rb"(?:\xef\xbb\xbf|\s|<\?xml[^>]*>|<!--.*?-->)*", re.DOTALL)

_TAG = re.compile(
    rb"<(?:!doctype\s+html|html|head|meta|title|script|body)(?:[\s>/]|$)", re.IGNORECASE
)


BROWSER_HINT = "open the URL in a browser"


# Check the first bytes of a file: a captive portal answers every request with a login page, and a
# mirror that has moved may answer with a page that says so; both with status 200.


def head_bytes(kind: FileKind | None) -> int:
    """Return how many of the first bytes of a file :func:`misfit` needs."""
    return max(_LEAST_HEAD_BYTES, kind.offset + len(kind.magic) if kind is not None else 0)


def is_web_page(head: bytes) -> bool:
    """Return whether a file that starts with ``head`` is an HTML page."""
    start = _BEFORE_TAG.match(head, 0, _LEAST_HEAD_BYTES)
    return bool(start and _TAG.match(head, start.end()))


def misfit(head: bytes, kind: FileKind | None) -> str | None:
    """Return why a file that starts with ``head`` is not of ``kind``, or ``None``.

    Args:
        head: the first :func:`head_bytes` of the file, or the whole file if it is shorter.
        kind: the expected kind. A web page is refused for every kind, and for ``None``, because
            no part of an image is one.
    """
    if is_web_page(head):
        return WEB_PAGE
    if kind is FileKind.TEXT and b"\0" in head:
        return "not a text file: it contains a NUL"
    if kind is None or not kind.magics:
        return None
    actual = head[kind.offset : kind.offset + len(kind.magic)]
    if actual in kind.magics:
        return None
    got = actual.hex(" ") or "nothing"
    expected = kind.magic.hex(" ")
    named = name_kind(head)
    suffix = f" ({named})" if named else ""
    return f"not {kind.description}: must have {expected} at byte {kind.offset}, got {got}{suffix}"


class Inspection:
    """Collect the size, the digests and the first bytes of a file; keep nothing else of it.

    Args:
        download: the request, whose kind decides how many of the first bytes are kept. The SHA-512
            is computed only if the request has one.
    """

    def __init__(self, download: Download | None = None) -> None:
        kind = None if download is None else download.kind
        self.size_bytes = 0
        # Used for integrity, not security: hosts in FIPS mode forbid MD5 otherwise.
        self._sha256 = hashlib.sha256(usedforsecurity=False)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = (
            None
            if download is None or download.sha512 is None
            else hashlib.sha512(usedforsecurity=False)
        )
        self._kind = kind
        self._head = b""
        self._head_bytes = head_bytes(kind)
        self._holds_nul = False

    def feed(self, piece: bytes) -> None:
        """Process the next piece of the file."""
        self.size_bytes += len(piece)
        self._sha256.update(piece)
        self._md5.update(piece)
        if self._sha512 is not None:
            self._sha512.update(piece)
        if self._kind is FileKind.TEXT and not self._holds_nul:
            self._holds_nul = b"\0" in piece
        if (missing_bytes := self._head_bytes - len(self._head)) > 0:
            self._head += piece[:missing_bytes]

    @property
    def head_is_whole(self) -> bool:
        """Whether :meth:`check_kind` can already run, before the end of the file."""
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
        """Refuse a file of another kind.

        Raises:
            Fault: the file is a web page, or of another kind.
        """
        reason = misfit(self._head, self._kind)
        if reason is None and self._holds_nul:
            reason = misfit(b"\0", FileKind.TEXT)
        if reason is not None:
            raise _wrong_kind(reason)

    def check_page(self) -> None:
        """Refuse a web page by its first bytes.

        Call this before reporting a wrong size: a web page sent instead of the file has
        another size too, but the size is not the cause.

        Raises:
            Fault: the file is a web page.
        """
        if is_web_page(self._head):
            raise _wrong_kind(WEB_PAGE)

    def check(self, download: Download) -> None:
        """Check a complete file against the request.

        Raises:
            Fault: its kind, size or digest is wrong.
        """
        self.check_kind()
        if download.size_bytes is not None and self.size_bytes < download.size_bytes:
            # The server announced no size, so the file may be truncated.
            raise _wrong_size(self.size_bytes, download, Cause.PASSING)
        check_size(self.size_bytes, download)
        for name, expected, actual in (
            ("SHA-512", download.sha512, self._sha512 and self._sha512.hexdigest()),
            ("SHA-256", download.sha256, self.sha256),
            ("MD5", download.md5, self.md5),
        ):
            if expected is not None and expected.lower() != actual:
                raise Fault(f"{name} must be {expected.lower()}, got {actual}", Cause.CONTENT)


def check_size(size_bytes: int, download: Download) -> None:
    """Check the announced size of a file.

    Raises:
        Fault: it differs from the expected size, or exceeds the limit.
    """
    if download.size_bytes is not None and size_bytes != download.size_bytes:
        raise _wrong_size(size_bytes, download, Cause.CONTENT)
    check_bound(size_bytes, download)


def _wrong_size(size_bytes: int, download: Download, cause: Cause) -> Fault:
    return Fault(f"size must be {download.size_bytes} bytes, got {size_bytes}", cause)


def check_bound(size_bytes: int, download: Download) -> None:
    """Check that a file, or the part received so far, is not too large.

    Raises:
        Fault: it is larger than the expected size or the limit.
    """
    if download.size_bytes is not None:
        if size_bytes > download.size_bytes:
            words = f"larger than {download.size_bytes} bytes"
            raise Fault(words, Cause.CONTENT)
    elif size_bytes > download.most_bytes:
        raise Fault(f"larger than {download.most_bytes} bytes", Cause.LASTING)


def _wrong_kind(reason: str) -> Fault:
    return Fault(reason, Cause.PASSING, hint=BROWSER_HINT)

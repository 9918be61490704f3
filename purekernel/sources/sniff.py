"""Tell by its first bytes whether a file can be what was wanted.

A hotel's network answers every request with a page to log in at, and a mirror that has moved
answers with a page that says so; both with status 200.
"""

from __future__ import annotations

import re

from purekernel.sources.wanted import Kind

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

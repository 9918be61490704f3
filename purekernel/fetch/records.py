"""Read and write the cache entry of a URL: the digest of its content and its validators."""

from __future__ import annotations

import json
import re
from typing import Any

from attrs import asdict

from purekernel.records import frozen

# A validator is sent back to the server in a header, and any program can edit the store's files.
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,512}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 16384


@frozen(kw_only=True)
class Validators:
    """Validators that identify one version of the file at a URL (RFC 9110, 8.8).

    Attributes:
        etag: ``ETag`` as sent by the server, with its quotes. For a file on this host: size and
            modification time.
        last_modified: ``Last-Modified`` as sent by the server.
    """

    etag: str | None = None
    last_modified: str | None = None

    def __bool__(self) -> bool:
        return bool(self.etag or self.last_modified)

    @property
    def for_range(self) -> str | None:
        """The value for ``If-Range``: a strong ETag, or the date if there is no ETag (13.1.5)."""
        if self.etag is None:
            return self.last_modified
        return None if self.etag.startswith("W/") else self.etag

    def differ_from(self, other: Validators) -> bool:
        """Return whether the two are known to identify different versions."""
        if self.etag and other.etag:
            return self.etag != other.etag
        dates = self.last_modified, other.last_modified
        return None not in dates and dates[0] != dates[1]


@frozen(kw_only=True)
class CacheEntry:
    """The cache entry of a URL: the result of the last request.

    Attributes:
        url: the redacted URL, for people who inspect the store.
        sha256: digest of the content in hexadecimal; ``None`` if the file was missing.
        size_bytes: size of the file, if known.
        validators: validators for a conditional request.
    """

    url: str
    sha256: str | None = None
    size_bytes: int | None = None
    validators: Validators = Validators()

    def to_bytes(self) -> bytes:
        """Return the record as JSON, in the form that the store keeps."""
        return json.dumps(asdict(self), sort_keys=True).encode()


def parse_record(content: bytes) -> CacheEntry | None:
    """Return the record in ``content``, or ``None`` if it is invalid, as if it were missing."""
    try:
        if len(content) > _MOST_BYTES:
            return None
        fields = json.loads(content)
        validators = fields["validators"]
        size_bytes = fields["size_bytes"]
        return CacheEntry(
            url=_checked(fields["url"], str),
            sha256=_matching(fields["sha256"], _SHA256),
            size_bytes=None if size_bytes is None else _checked(size_bytes, int),
            validators=Validators(
                etag=_matching(validators["etag"], _HEADER_VALUE),
                last_modified=_matching(validators["last_modified"], _HEADER_VALUE),
            ),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def make_validators(etag: str | None, last_modified: str | None) -> Validators:
    """Return the validators of a response; drop values that cannot be sent in a header."""
    return Validators(etag=_sendable(etag), last_modified=_sendable(last_modified))


def _sendable(value: str | None) -> str | None:
    return value if value is not None and _HEADER_VALUE.fullmatch(value) else None


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(kind)
    return value


def _matching(value: Any, pattern: re.Pattern[str]) -> str | None:
    if value is None:
        return None
    if not pattern.fullmatch(value):
        raise ValueError(value)
    return str(value)

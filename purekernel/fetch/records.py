"""What the store knows of an address: what came from there, and how to ask whether it changed."""

from __future__ import annotations

import json
import re
from typing import Any

from attrs import asdict, frozen

# A validator goes back to the server in a header, and the store's files are anybody's.
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,512}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 16384


@frozen(kw_only=True)
class Validators:
    """What tells one state of a file at an address from another (RFC 9110, 8.8).

    Attributes:
        etag: as the server gave it, with its quotes. Of a file on this host: size and time.
        last_modified: likewise.
    """

    etag: str | None = None
    last_modified: str | None = None

    def __bool__(self) -> bool:
        return bool(self.etag or self.last_modified)

    @property
    def for_range(self) -> str | None:
        """What ``If-Range`` takes: a strong ETag, or the date where there is none (13.1.5)."""
        if self.etag is None:
            return self.last_modified
        return None if self.etag.startswith("W/") else self.etag

    def differ_from(self, other: Validators) -> bool:
        """Say whether the two belong to different states, as far as they tell."""
        if self.etag and other.etag:
            return self.etag != other.etag
        dates = self.last_modified, other.last_modified
        return None not in dates and dates[0] != dates[1]


@frozen(kw_only=True)
class Record:
    """What an address gave when it was last asked.

    Attributes:
        url: redacted, for whoever looks into the store.
        sha256: of what it gave; ``None``: it had nothing of that name.
        size_bytes: of what it gives, where that is known.
        validators: to ask with whether that still holds.
    """

    url: str
    sha256: str | None = None
    size_bytes: int | None = None
    validators: Validators = Validators()

    def to_bytes(self) -> bytes:
        """Return the record as the store keeps it."""
        return json.dumps(asdict(self), sort_keys=True).encode()


def parse_record(content: bytes) -> Record | None:
    """Return a record, or ``None`` where ``content`` is none: the file is as good as missing."""
    try:
        if len(content) > _MOST_BYTES:
            return None
        said = json.loads(content)
        validators = said["validators"]
        return Record(
            url=_checked(said["url"], str),
            sha256=_matching(said["sha256"], _SHA256),
            size_bytes=None if said["size_bytes"] is None else _checked(said["size_bytes"], int),
            validators=Validators(
                etag=_matching(validators["etag"], _HEADER_VALUE),
                last_modified=_matching(validators["last_modified"], _HEADER_VALUE),
            ),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def make_validators(etag: str | None, last_modified: str | None) -> Validators:
    """Return those of a server's that can be sent back to it."""
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

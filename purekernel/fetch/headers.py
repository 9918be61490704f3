"""Parse the response headers that downloads use (RFC 9110).

A malformed header is treated as missing. The module is not in ``http/``, because the build imports
it without downloading: requests takes 80 ms to import, and urllib3 binds a socket at import.
"""

from __future__ import annotations

import re

# A count of bytes or seconds. Longer numbers are invalid, and slow to convert.
_NUMBER = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(
    r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)", re.IGNORECASE
)


def parse_length(value: str | None) -> int | None:
    """Return the value of ``Content-Length`` in bytes, or ``None`` if missing or malformed."""
    value = (value or "").strip()
    return int(value) if _NUMBER.fullmatch(value) else None


def parse_content_range(value: str | None) -> tuple[int | None, int | None]:
    """Return the first offset and the total size of ``Content-Range``; ``None`` if unknown."""
    match = _CONTENT_RANGE.fullmatch((value or "").strip())
    if match is None:
        return None, None
    first, _last, total = match.groups()
    return (
        None if first is None else int(first),
        None if total == "*" else int(total),
    )


def parse_retry_after(value: str | None, *, date: str | None) -> float:
    """Return how many seconds the server asks clients to wait; 0 if it does not.

    Args:
        value: the value of ``Retry-After``: seconds, or a date.
        date: the value of ``Date``, the clock of the server. The local clock is not used.
    """
    value = (value or "").strip()
    if _NUMBER.fullmatch(value):
        return float(value)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  # 6 ms, and rarely needed

    try:
        pause = parsedate_to_datetime(value) - parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(0.0, pause.total_seconds())

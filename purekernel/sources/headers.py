"""Read the few headers of HTTP answers that downloads go by (RFC 9110).

A header that is malformed is as good as missing.
"""

from __future__ import annotations

import re

# A count of bytes or seconds; more digits than any has are nonsense, and slow to convert.
_NUMBER = re.compile(r"\d{1,18}")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE)


def parse_length(value: str | None) -> int | None:
    """Return what ``Content-Length`` says, in bytes."""
    value = (value or "").strip()
    return int(value) if _NUMBER.fullmatch(value) else None


def parse_content_range(value: str | None) -> tuple[int | None, int | None]:
    """Return from where the bytes are, and how many the whole has; ``None``: not said."""
    found = _CONTENT_RANGE.fullmatch((value or "").strip())
    if found is None:
        return None, None
    first, _last, total = found.groups()
    return (
        None if first is None else int(first),
        None if total == "*" else int(total),
    )


def parse_retry_after(value: str | None, *, date: str | None) -> float:
    """Return how many seconds the server asks to be left alone; 0 where it does not.

    Args:
        value: ``Retry-After``: seconds, or a date.
        date: ``Date``, the server's own clock; ours is not asked.
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

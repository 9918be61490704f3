"""Read the rule of a time zone as TZ holds it, and make the file that libc reads for it.

Source: POSIX.1-2017, base definitions, chapter 8.3 (TZ); RFC 8536 and tzfile(5) (TZif).
"""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime, timedelta

from purekernel.errors import UsageError
from purekernel.input import Buffer
from purekernel.records import frozen

_NAME = r"(?:[A-Za-z]{3,10}|<[0-9A-Za-z+-]{3,10}>)"
_OFFSET = r"[+-]?[0-9]{1,2}(?::[0-5][0-9](?::[0-5][0-9])?)?"
_DAY = (
    r"(?:J(?:[1-9][0-9]{0,2})|[0-9]{1,3}|M(?:[1-9]|1[0-2])\.[1-5]\.[0-6])"
    r"(?:/[0-9]{1,2}(?::[0-5][0-9](?::[0-5][0-9])?)?)?"
)
_RULE = re.compile(
    f"(?P<standard>{_NAME})(?P<offset>{_OFFSET})"
    f"(?:(?P<summer>{_NAME})(?P<summer_offset>{_OFFSET})?"
    f"(?:,(?P<start>{_DAY}),(?P<end>{_DAY}))?)?"
)
# A name of the time zone database.
ZONE_NAME = re.compile(r"[A-Z][0-9A-Za-z_+-]*(?:/[0-9A-Za-z_+-]+){0,3}")
# What glibc assumes where a rule has summer time but no dates: those of the United States.
_DEFAULT_DATES = ("M3.2.0", "M11.1.0")
_EXAMPLE = "CET-1CEST,M3.5.0,M10.5.0/3"
# Of POSIX.
_MOST_HOURS = 24

_MAGIC = b"TZif"
_HEADER = struct.Struct(">4s1s15x6I")
# On x86, glibc reads only the first part of a file, with times of 32 bits, and not the rule.
_YEARS = range(1970, 2038)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen(kw_only=True)
class TimezoneRule:
    """The rule of a time zone.

    Attributes:
        text: the rule as TZ holds it, such as ``CET-1CEST,M3.5.0,M10.5.0/3``.
        standard: abbreviation of standard time.
        offset: seconds that standard time is ahead of UTC.
        summer: abbreviation of summer time; empty if there is none.
        summer_offset: seconds that summer time is ahead of UTC.
        start: the day and time on which summer time starts, in the syntax of TZ.
        end: the day and time on which it ends.
    """

    text: str
    standard: str
    offset: int
    summer: str = ""
    summer_offset: int = 0
    start: str = ""
    end: str = ""


def parse_timezone(text: str) -> TimezoneRule:
    """Return the rule in ``text``.

    Raises:
        UsageError: it is not a rule in the syntax of TZ.
    """
    if text in ("UTC", "GMT"):
        text += "0"
    match = _RULE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"not a rule of a time zone: {text!r}", hint=f"write a rule such as {_EXAMPLE!r}"
        )
    for part in ("offset", "summer_offset"):
        if abs(_seconds(match[part] or "0")) > _MOST_HOURS * 3600:
            raise UsageError(
                f"a time zone is at most {_MOST_HOURS} hours from UTC, got {match[part]!r}",
                hint="give hours, such as CET-1: a zone east of Greenwich has a minus",
            )
    offset = -_seconds(match["offset"])
    if match["summer"] is None:
        return TimezoneRule(text=text, standard=match["standard"].strip("<>"), offset=offset)
    given = match["summer_offset"]
    start, end = match["start"], match["end"]
    if start is None:
        start, end = _DEFAULT_DATES
        text = f"{text},{start},{end}"
    for day in (start, end):
        number = re.fullmatch(r"J?([0-9]+)(?:/.*)?", day)
        if number is not None and int(number[1]) > 365:
            raise _no_such_day(number[1], text)
    return TimezoneRule(
        text=text,
        standard=match["standard"].strip("<>"),
        offset=offset,
        summer=match["summer"].strip("<>"),
        summer_offset=offset + 3600 if given is None else -_seconds(given),
        start=start,
        end=end,
    )


def _no_such_day(number: str, text: str) -> UsageError:
    return UsageError(f"a year has no day {number} in {text!r}", hint="give a day up to 365")


def build_tzif(rule: TimezoneRule) -> bytes:
    """Return a TZif file, version 2: the changes of the years 1970 to 2037, and the rule."""
    names = [rule.standard.encode() + b"\0", rule.summer.encode() + b"\0"]
    types = [struct.pack(">iBB", rule.offset, 0, 0)]
    if rule.summer:
        types.append(struct.pack(">iBB", rule.summer_offset, 1, len(names[0])))
    else:
        names.pop()
    changes = _changes(rule)
    parts = []
    for form in ("i", "q"):
        header = _HEADER.pack(_MAGIC, b"2", 0, 0, 0, len(changes), len(types), len(b"".join(names)))
        times = struct.pack(f">{len(changes)}{form}", *(time for time, _kind in changes))
        kinds = bytes(kind for _time, kind in changes)
        parts.append(header + times + kinds + b"".join(types) + b"".join(names))
    return b"".join(parts) + b"\n" + rule.text.encode() + b"\n"


def tzif_rule(data: Buffer) -> str | None:
    """Return the rule at the end of a TZif file; ``None`` if it has none or is not TZif."""
    content = bytes(data)
    if not content.startswith(_MAGIC) or content[4:5] < b"2":
        return None
    before, newline, rule = content.removesuffix(b"\n").rpartition(b"\n")
    text = rule.decode("ascii", "replace")
    return text if before and newline and _RULE.fullmatch(text) else None


def _changes(rule: TimezoneRule) -> list[tuple[int, int]]:
    """Return the time of each change, in seconds since 1970, and the number of the new type."""
    # The first keeps old releases of glibc from taking "no change" for "never summer time".
    found = [(-(1 << 31), 0)]
    if rule.summer:
        for year in _YEARS:
            start = _moment(year, rule.start) - rule.offset
            end = _moment(year, rule.end) - rule.summer_offset
            found += [(start, 1), (end, 0)]
    return sorted(change for change in found if change[0] < 1 << 31)


def _moment(year: int, day: str) -> int:
    """Return the local time of a change in seconds, as if it were UTC."""
    date, _slash, time = day.partition("/")
    first = datetime(year, 1, 1, tzinfo=UTC)
    if date.startswith("M"):
        month, week, weekday = map(int, date[1:].split("."))
        begin = datetime(year, month, 1, tzinfo=UTC)
        # In Python the week begins on Monday, in TZ on Sunday.
        found = begin + timedelta(days=(weekday - begin.isoweekday()) % 7 + 7 * (week - 1))
        if found.month != month:
            found -= timedelta(days=7)
    elif date.startswith("J"):
        # The leap day is not counted.
        number = int(date[1:])
        is_leap = datetime(year, 3, 1, tzinfo=UTC) - first > timedelta(days=59)
        found = first + timedelta(days=number - 1 + (is_leap and number > 59))
    else:
        found = first + timedelta(days=int(date))
    return int((found - _EPOCH).total_seconds()) + _seconds(time or "2")


def _seconds(text: str) -> int:
    """Return the seconds of ``[+-]hours[:minutes[:seconds]]``."""
    sign = -1 if text.startswith("-") else 1
    parts = [int(part) for part in text.lstrip("+-").split(":")]
    return sign * sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from purekernel.errors import UsageError
from purekernel.formats.timezone import build_tzif, parse_timezone, tzif_rule
from tests.oracles import require, run

VIENNA = "CET-1CEST,M3.5.0,M10.5.0/3"
RULES = (
    VIENNA,
    "UTC0",
    "<+0545>-5:45",
    "AEST-10AEDT,M10.1.0,M4.1.0/3",
    "XXX3YYY2:30,J60/1,J300",
    "XXX3YYY2:30,59/1,300/2:30:15",
)


def at(zone: ZoneInfo, *when: int) -> tuple[str | None, timedelta | None]:
    moment = datetime(*when, tzinfo=UTC).astimezone(zone)
    return moment.tzname(), moment.utcoffset()


def test_rule_of_vienna_has_summer_time_from_march_to_october() -> None:
    zone = ZoneInfo.from_file(BytesIO(build_tzif(parse_timezone(VIENNA))))
    summer, winter = ("CEST", timedelta(hours=2)), ("CET", timedelta(hours=1))
    assert at(zone, 2026, 3, 29, 0, 59) == winter
    assert at(zone, 2026, 3, 29, 1) == summer
    assert at(zone, 2026, 10, 25, 0, 59) == summer
    assert at(zone, 2026, 10, 25, 1) == winter
    # After the last change in the file, the rule at its end applies.
    assert at(zone, 2060, 7, 1) == summer


def test_rule_without_dates_gets_those_that_the_c_library_assumes() -> None:
    assert parse_timezone("EST5EDT").text == "EST5EDT,M3.2.0,M11.1.0"
    assert parse_timezone("UTC").text == "UTC0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Europe", "not a rule of a time zone: 'Europe'"),
        ("CET-1CEST,M3.5.0", "not a rule of a time zone: 'CET-1CEST,M3.5.0'"),
        ("CET-1CEST,M13.5.0,M10.5.0", "not a rule of a time zone: 'CET-1CEST,M13.5.0,M10.5.0'"),
        ("CET-25", "a time zone is at most 24 hours from UTC, got '-25'"),
        ("CET-1CEST,J366,J1", "a year has no day 366 in 'CET-1CEST,J366,J1'"),
        ("$(reboot)", "not a rule of a time zone: '$(reboot)'"),
    ],
)
def test_text_that_is_no_rule_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_timezone(text)
    assert caught.value.message == message


def test_rule_at_the_end_of_a_file_is_found() -> None:
    for rule in RULES:
        assert tzif_rule(build_tzif(parse_timezone(rule))) == rule
    assert tzif_rule(b"TZif\0" + bytes(39)) is None
    assert tzif_rule(b"TZif2" + bytes(39) + b"\n\n") is None
    assert tzif_rule(b"#!/bin/sh\n") is None


@pytest.mark.oracle
@pytest.mark.parametrize("rule", RULES)
def test_c_library_reads_the_file_as_it_reads_the_rule(rule: str, tmp_path: Path) -> None:
    file = tmp_path / "localtime"
    file.write_bytes(build_tzif(parse_timezone(rule)))
    moments = tmp_path / "moments"
    moments.write_text(
        "".join(f"@{year * 31_556_952 + day * 86_400}\n" for year in (2, 40, 56, 67, 80)
                for day in range(0, 360, 15))
    )  # fmt: skip
    command = (require("date"), "-f", moments, "+%F %T %Z %z")
    by_rule = run(require("env"), f"TZ={rule}", *command)
    assert by_rule == run(require("env"), f"TZ={file}", *command)
    assert by_rule.count(b"\n") == 120

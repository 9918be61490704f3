from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import CombinedError, FormatError
from purekernel.rootfs.account_files import GROUP, PASSWD, SHADOW, Layout, parse_table

# The file of Core 4.4.
CORE_PASSWD = b"""root:x:0:0:root:/root:/bin/sh
lp:x:7:7:lp:/var/spool/lpd:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
tc:x:1001:50:Linux User,,,:/home/tc:/bin/sh
"""

ODD = (
    b"# kept\n\n  \nroot:x:0:0::/root:/bin/sh\n+@net::::::\n-old\n"
    b"root:y:0:0:again:/:/bin/sh\n\xff\xfe:x:9:9:\xe9::\n"
)


@pytest.mark.parametrize("data", [CORE_PASSWD, ODD, b"", b"\n", CORE_PASSWD[:-1]])
def test_unchanged_file_keeps_its_bytes(data: bytes) -> None:
    assert parse_table(data, PASSWD).build() == data
    assert parse_table(memoryview(data), PASSWD).build() == data


def test_set_changes_one_field() -> None:
    table = parse_table(ODD, PASSWD)
    assert table.names == [b"root", b"\xff\xfe"]
    assert b"root" in table
    assert b"+@net" not in table
    assert table.entry(b"root") == [b"root", b"x", b"0", b"0", b"", b"/root", b"/bin/sh"]
    table.set(b"root", 4, b"admin")
    assert table.build() == ODD.replace(b"0:0::/root", b"0:0:admin:/root")


def test_name_is_found_by_number() -> None:
    table = parse_table(CORE_PASSWD, PASSWD)
    assert table.named_by(65534, at=2) == b"nobody"
    assert table.named_by(50, at=3) == b"tc"
    assert table.named_by(50, at=2) is None


@pytest.mark.parametrize(
    ("data", "after"),
    [
        (b"", b"a:x:1:\n"),
        (b"root:x:0:\n", b"root:x:0:\na:x:1:\n"),
        (b"root:x:0:", b"root:x:0:\na:x:1:\n"),
        (b"root:x:0:\n\n", b"root:x:0:\n\na:x:1:\n"),
    ],
)
def test_line_is_appended(data: bytes, after: bytes) -> None:
    table = parse_table(data, GROUP)
    table.append(b"a", b"x", b"1", b"")
    assert table.build() == after
    assert table.entry(b"a") == [b"a", b"x", b"1", b""]
    table.append(b"b", b"x", b"2", b"")
    table.set(b"a", 3, b"tc")
    assert table.build() == after.replace(b"a:x:1:", b"a:x:1:tc") + b"b:x:2:\n"


@pytest.mark.parametrize(
    ("layout", "line", "message"),
    [
        (PASSWD, b"tc:x:1001:50:/home/tc:/bin/sh", "expected 7 fields separated by colons, got 6"),
        (
            PASSWD,
            b"tc:x:1001:50:a:b:/home/tc:/bin/sh",
            "expected 7 fields separated by colons, got 8",
        ),
        (SHADOW, b"tc:*", "expected 9 fields separated by colons, got 2"),
        (GROUP, b"staff", "expected 4 fields separated by colons, got 1"),
        (PASSWD, b":x:1:1:::", "expected a name before the first colon, got none"),
        (PASSWD, b"tc:x:tc:50:::", "expected a number from 0 to 4294967294, got 'tc'"),
        (PASSWD, b"tc:x:1001::::", "expected a number from 0 to 4294967294, got ''"),
        (GROUP, b"tc:x:-1:", "expected a number from 0 to 4294967294, got '-1'"),
        (GROUP, b"tc:x:4294967295:", "expected a number from 0 to 4294967294, got '4294967295'"),
        (
            GROUP,
            b"tc:x:1:\r",
            "expected a line that ends in a newline alone, got a carriage return before it",
        ),
    ],
)
def test_malformed_line_is_refused_with_line_number(
    layout: Layout, line: bytes, message: str
) -> None:
    with pytest.raises(FormatError) as caught:
        parse_table(b"# one\n" + line + b"\n", layout)
    assert caught.value.message == f"{layout.path.decode()}, line 2: {message}"
    assert layout.manual in caught.value.hint or "Unix line endings" in caught.value.hint


def test_at_most_twenty_errors_are_reported() -> None:
    with pytest.raises(CombinedError) as caught:
        parse_table(b"one\n\ntwo:x:0:\nthree\n", GROUP)
    assert [error.message.partition(":")[0] for error in caught.value.errors] == [
        "etc/group, line 1",
        "etc/group, line 4",
    ]
    with pytest.raises(CombinedError) as caught:
        parse_table(b"one\n" * 100_000, GROUP)
    assert len(caught.value.errors) == 20


@given(st.binary(max_size=200), st.sampled_from([PASSWD, SHADOW, GROUP]))
def test_random_bytes_are_kept_or_refused(data: bytes, layout: Layout) -> None:
    try:
        table = parse_table(data, layout)
    except (FormatError, CombinedError):
        return
    assert table.build() == data

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import TreeError, UsageError
from purekernel.rootfs.inittab import add_getty, set_autologin
from tests.oracles import require, run

# The inittabs of Core 4.4 and of Razor for dev and prod.
CORE = b"""# /etc/inittab: init configuration for busybox init.
# Boot-time system configuration/initialization script.
#
::sysinit:/etc/init.d/rcS

# /sbin/getty respawn shell invocations for selected ttys.
tty1::respawn:/sbin/getty -nl /sbin/autologin 38400 tty1
#tty2::respawn:/sbin/getty 38400 tty2
#tty3::respawn:/sbin/getty 38400 tty3

# Stuff to do when restarting the init\x20
::restart:/etc/init.d/rc.shutdown
::ctrlaltdel:/sbin/reboot
"""
RAZOR = CORE.replace(b"-nl /sbin/autologin ", b"")

LINE = b"tty1::respawn:/sbin/getty %s\n"


# Autologin


def test_dev_and_prod_inittabs_convert_into_each_other() -> None:
    assert set_autologin(RAZOR, True) == CORE
    assert set_autologin(CORE, False) == RAZOR
    assert set_autologin(CORE, True) == CORE
    assert set_autologin(RAZOR, False) == RAZOR


@pytest.mark.oracle
def test_sed_command_of_the_original_gives_the_same() -> None:
    edit = r"s/^\(tty1.*\)\(38400 tty1\)$/\1-nl \/sbin\/autologin \2/"
    assert run(require("sed"), edit, stdin=RAZOR) == set_autologin(RAZOR, True)


@pytest.mark.parametrize(
    ("off", "on"),
    [
        (b"-L 38400 tty1 linux", b"-L -nl /sbin/autologin 38400 tty1 linux"),
        (b"tty1", b"-nl /sbin/autologin tty1"),
        (b"  38400\ttty1 \t\r", b"-nl /sbin/autologin   38400\ttty1 \t\r"),
        (b"-t 60 -I x 38400 tty1", b"-t 60 -I x -nl /sbin/autologin 38400 tty1"),
        (b"-L --noclear tty1 linux", b"-L -nl /sbin/autologin --noclear tty1 linux"),
        (b"-- 38400 tty1", b"-nl /sbin/autologin -- 38400 tty1"),
        (b"-t60 38400 tty1", b"-t60 -nl /sbin/autologin 38400 tty1"),
    ],
)
def test_options_and_blanks_are_kept(off: bytes, on: bytes) -> None:
    off, on = LINE % off, LINE % on
    assert set_autologin(off, True) == on
    assert set_autologin(on, True) == on
    assert set_autologin(on, False) == off
    assert set_autologin(off, False) == off


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"-n -l /sbin/autologin 38400 tty1", b"38400 tty1"),
        (b"-Lnl/sbin/autologin 38400 tty1", b"-L 38400 tty1"),
        (b"-l /sbin/autologin -t 5 -n 38400 tty1", b"-t 5 38400 tty1"),
        (b"-n -H nl -l /sbin/autologin 38400 tty1", b"-H nl 38400 tty1"),
        (b"-l /bin/own -nl /sbin/autologin 38400 tty1", b"38400 tty1"),
        (b"-n -l /bin/own 38400 tty1", b"-n -l /bin/own 38400 tty1"),
    ],
)
def test_autologin_is_removed_in_any_form(before: bytes, after: bytes) -> None:
    assert set_autologin(LINE % before, False) == LINE % after


def test_option_n_is_added_to_existing_autologin() -> None:
    before = LINE % b"-l /sbin/autologin 38400 tty1"
    after = LINE % b"-l /sbin/autologin -n 38400 tty1"
    assert set_autologin(before, True) == after
    assert set_autologin(after, True) == after


@pytest.mark.parametrize(
    "line",
    [
        b"tty1::askfirst:getty 38400 tty1",
        b"tty1:2345:respawn: -/usr/sbin/getty 38400 tty1",
        b"1:2345:respawn:/sbin/getty 38400 tty1",
        b"::respawn:/sbin/getty 38400 tty1",
    ],
)
def test_unusual_entries_are_recognized(line: bytes) -> None:
    changed = set_autologin(line, True)
    assert changed == line.replace(b"getty ", b"getty -nl /sbin/autologin ")
    assert set_autologin(changed, False) == line


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#tty1::respawn:/sbin/getty 38400 tty1\n",
        b"tty10::respawn:/sbin/getty 38400 tty10\n",
        b"tty1::respawn:-/bin/sh\n",
        b"tty1::respawn:/sbin/mingetty tty1\n",
        b"tty1::respawn:/sbin/gettyx 38400 tty1\n",
        b"tty1:respawn:/sbin/getty 38400 tty1\n",
        b"tty1::respawn:/sbin/getty -l tty1\n",
        b"tty1::respawn:/sbin/getty\n",
    ],
)
@pytest.mark.parametrize("on", [True, False])
def test_missing_getty_on_tty1_is_refused(data: bytes, on: bool) -> None:
    with pytest.raises(TreeError) as caught:
        set_autologin(data, on)
    assert caught.value.message == "etc/inittab: no line runs getty on tty1"
    assert caught.value.hint == "check etc/inittab in the base image and in the overlays"


def test_other_login_program_is_refused() -> None:
    with pytest.raises(TreeError) as caught:
        set_autologin(LINE % b"-nl /opt/hello 38400 tty1", True)
    assert caught.value.message == (
        "etc/inittab: the log-in program of getty on tty1 must be '/sbin/autologin', "
        "got '/opt/hello'"
    )


# A serial console


def test_serial_line_is_added_after_last_getty() -> None:
    changed = add_getty(CORE, "ttyS0", 115_200)
    line = b"tty1::respawn:/sbin/getty -nl /sbin/autologin 38400 tty1\n"
    added = b"ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n"
    assert changed == CORE.replace(line, line + added)
    assert add_getty(changed, "ttyS0", 115_200) == changed
    assert add_getty(changed, "ttyS0", 9600) == changed.replace(b"115200", b"9600")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"ttyS1::respawn:/sbin/getty -L 9600 ttyS1 vt100\n"),
        (b"# x", b"# x\nttyS1::respawn:/sbin/getty -L 9600 ttyS1 vt100\n"),
        (b"# x\r\n", b"# x\r\nttyS1::respawn:/sbin/getty -L 9600 ttyS1 vt100\r\n"),
        (b"a::b:getty ttyS1", b"a::b:getty 9600 ttyS1"),
        (b"a::b:getty -t 5 115200,9600 ttyS1 vt100", b"a::b:getty -t 5 115200,9600 ttyS1 vt100"),
        (b"a::b:getty ttyS1 115200 vt100", b"a::b:getty ttyS1 9600 vt100"),
    ],
)
def test_position_of_added_serial_line(before: bytes, after: bytes) -> None:
    assert add_getty(before, "ttyS1", 9600) == after
    assert add_getty(after, "ttyS1", 9600) == after


@pytest.mark.parametrize("tty", ["", "/dev/ttyS0", "ttyS0 x", "tty:1", "ttyS0\n", "0", "é"])
def test_invalid_terminal_name_is_refused(tty: str) -> None:
    with pytest.raises(UsageError) as caught:
        add_getty(CORE, tty, 9600)
    assert caught.value.message == f"{tty!r}: not a valid name of a terminal"


@pytest.mark.parametrize("baud", [0, -1, 115_201])
def test_unsupported_speed_is_refused(baud: int) -> None:
    with pytest.raises(UsageError) as caught:
        add_getty(CORE, "ttyS0", baud)
    assert caught.value.message == f"the speed must be supported by serial lines, got {baud} baud"


# Random lines

WORDS = st.sampled_from(
    [b"-n", b"-l", b"-nl", b"-L", b"-t", b"60", b"/sbin/autologin", b"38400", b"tty1", b"-", b"--"]
)
BLANKS = st.sampled_from([b" ", b"  ", b"\t"])


def test_carriage_return_inside_a_line_is_part_of_its_word() -> None:
    line = b"tty1::respawn:/sbin/getty 38400\r 38400 tty1 vt\x0b\r\n"
    changed = line.replace(b"getty", b"getty -nl /sbin/autologin")
    assert set_autologin(line, True) == changed
    assert set_autologin(changed, True) == changed
    assert set_autologin(changed, False) == line
    # Another program: its name ends in a carriage return.
    other = b"tty1::respawn:/sbin/getty\r 38400 tty1\n"
    with pytest.raises(TreeError, match="no line runs getty on tty1"):
        set_autologin(other, True)


@given(st.lists(st.tuples(BLANKS, WORDS), max_size=8))
def test_random_line_is_refused_or_changed_once(words: list[tuple[bytes, bytes]]) -> None:
    line = b"tty1::respawn:/sbin/getty" + b"".join(blank + word for blank, word in words)
    data = CORE.replace(b"tty1", b"tty9") + line
    try:
        off = set_autologin(data, False)
    except TreeError:
        return
    assert off.startswith(CORE.replace(b"tty1", b"tty9"))
    assert set_autologin(off, False) == off
    try:
        on = set_autologin(off, True)
    except TreeError:  # another login program
        assert re.search(rb"-n?l", off)
        return
    assert on != off
    assert set_autologin(on, True) == on


@pytest.mark.slow
def test_long_line_is_parsed_in_linear_time() -> None:
    for filler in (b" -n", b"/", b":", b" -l x", b" x"):
        line = b"tty1::respawn:" + filler * 200_000 + b"/sbin/getty" + filler * 200_000 + b" tty1"
        with pytest.raises(TreeError):
            set_autologin(line, True)
    line = b"tty1::respawn:/sbin/getty" + b" -L" * 200_000 + b" tty1"
    assert set_autologin(line, True) == line.replace(b" tty1", b" -nl /sbin/autologin tty1")

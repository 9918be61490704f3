"""Test inputs: positions in messages, parts and limits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from purekernel.errors import FormatError, LimitError
from purekernel.input import DEFAULT_LIMITS, Budget, Input, Limits


def test_fault_names_file_position_and_what_was_expected() -> None:
    error = Input(b"abc", name="a.tar").fail(2, "a header", "'c'")
    assert str(error) == "a.tar, byte 2: expected a header, got 'c'"
    assert (error.source, error.offset) == ("a.tar", 2)


def test_fault_without_position_names_the_file_only() -> None:
    error = Input(b"", name="a.tar").fail(None, "a header", "an empty file", hint="fetch it again")
    assert str(error) == "a.tar: expected a header, got an empty file"
    assert error.hint == "fetch it again"


def test_fault_at_a_line_names_file_and_line() -> None:
    error = Input(b"a\nb", name="a.txt").fail_at_line(2, "a field", "'b'", hint="correct it")
    assert str(error) == "a.txt, line 2: expected a field, got 'b'"
    assert (error.source, error.offset, error.hint) == ("a.txt, line 2", None, "correct it")


def test_exceed_reports_limit_and_position() -> None:
    part = Input(b"0123456789", name="disk").part(4)
    error = part.exceed(1, "at most 3 reads", "4", hint="use another copy")
    assert isinstance(error, LimitError)
    assert str(error) == "disk, byte 5: expected at most 3 reads, got 4"
    assert error.hint == "use another copy"


def test_fail_at_line_names_the_line_of_a_text_file() -> None:
    error = Input(b"a b\n", name="md5.db").fail_at_line(
        1, "a digest", "'a b'", hint="fetch it again"
    )
    assert str(error) == "md5.db, line 1: expected a digest, got 'a b'"
    assert error.hint == "fetch it again"


def test_at_gives_the_position_in_the_named_file() -> None:
    assert Input(b"0123456789", name="disk").part(4).at(1) == "disk, byte 5"


def test_slices_of_the_view_share_the_data() -> None:
    data = bytearray(b"0123456789")
    piece = Input(data, name="disk").view[2:4]
    data[2] = ord("x")
    assert bytes(piece) == b"x3"


def test_part_counts_positions_from_the_start_of_the_file() -> None:
    part = Input(b"0123456789", name="disk").part(4, 8).part(1)
    assert bytes(part.data) == b"567"
    assert len(part) == 3
    assert str(part.fail(1, "x", "y")) == "disk, byte 6: expected x, got y"


def test_named_part_counts_positions_from_its_own_start() -> None:
    part = Input(b"0123456789", name="disk").part(4).part(2, name="member")
    assert bytes(part.data) == b"6789"
    assert str(part.fail(0, "x", "y")) == "member, byte 0: expected x, got y"


def test_part_and_unpacked_data_keep_the_limits() -> None:
    limits = Limits(unpacked_bytes=4)
    whole = Input(b"0123456789", name="disk", limits=limits)
    assert whole.part(1).limits is limits
    assert whole.unpacked(b"abc", name="inner").limits is limits
    assert whole.part(1).unpacked(b"abc").fail(0, "x", "y").offset == 0


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda data: data.check_unpacked(11, 3), "at most 10 bytes unpacked, got 11 or more"),
        (lambda data: data.check_members(3, 3), "at most 2 members, got more"),
        (lambda data: data.check_depth(b"a/b/c", 3), "at most 2 folders deep, got 3"),
    ],
)
def test_exceeded_limit_is_refused_with_its_position(
    check: Callable[[Input], None], message: str
) -> None:
    data = Input(b"", name="a", limits=Limits(unpacked_bytes=10, members=2, depth=2), start=5)
    with pytest.raises(LimitError) as caught:
        check(data)
    assert str(caught.value) == f"a, byte 8: expected {message}"


def test_values_at_the_limits_are_accepted() -> None:
    data = Input(b"", name="a", limits=Limits(unpacked_bytes=10, members=2, depth=2))
    data.check_unpacked(10)
    data.check_members(2)
    data.check_depth(b"a/b")


def test_representation_does_not_show_the_data() -> None:
    assert "<1048576 bytes>" in repr(Input(bytes(1 << 20), name="big"))
    assert isinstance(Input(b"", name="a").fail(0, "x", "y"), FormatError)


def test_inputs_share_one_budget_and_the_one_at_which_it_ends_is_named() -> None:
    limits = Limits(unpacked_bytes=10, total_bytes=15).budgeted()
    first, second = (Input(b"", name=name, limits=limits) for name in ("first", "second"))
    assert first.count_unpacked(4) == 4
    assert first.count_unpacked(6, already_bytes=4) == 10
    second.check_unpacked(5)
    with pytest.raises(LimitError) as caught:
        second.count_unpacked(6, 3)
    assert str(caught.value) == (
        "second, byte 3: expected at most 15 bytes unpacked from all inputs together, got 16 or "
        "more"
    )
    assert caught.value.hint == "if you trust the inputs, raise the limit with --max-unpacked"
    # What does not fit is not taken.
    assert second.count_unpacked(5) == 5
    with pytest.raises(LimitError, match="together, got 16 or more"):
        second.check_unpacked(1)


def test_data_that_was_unpacked_is_not_counted_again() -> None:
    limits = Limits(unpacked_bytes=10).budgeted()
    file = Input(b"12345678", name="a", limits=limits)
    file.count_data()
    file.unpacked(b"12345678").count_data()
    file.unpacked(b"12345678").part(3).count_data()
    assert limits.budget is not None
    assert limits.budget.used_bytes == 8
    with pytest.raises(LimitError, match=r"a, byte 0: .* together, got 16 or more"):
        file.count_data()


def test_budget_is_given_back_for_what_was_dropped() -> None:
    limits = Limits(unpacked_bytes=10).budgeted()
    file = Input(b"", name="a", limits=limits)
    file.count_unpacked(3)
    restart = limits.mark()
    file.count_unpacked(7)
    restart()
    file.count_unpacked(7)
    Limits().mark()()


def test_limits_keep_their_budget_and_are_compared_without_it() -> None:
    limits = Limits(unpacked_bytes=10)
    budgeted = limits.budgeted()
    assert budgeted == limits
    assert budgeted.budgeted() is budgeted
    assert limits.budgeted().budget is not budgeted.budget
    assert budgeted.unbudgeted().budget is None
    total = DEFAULT_LIMITS.budgeted().budget
    assert total is not None
    assert total.most_bytes == 2 * DEFAULT_LIMITS.unpacked_bytes == 2 << 30


def test_threads_take_no_more_than_the_budget() -> None:
    budget = Budget(10_000)
    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(budget.draw, [3] * 5000))
    assert (sum(drawn), budget.used_bytes) == (3333, 9999)

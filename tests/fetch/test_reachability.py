from __future__ import annotations

import pytest

from purekernel.fetch.attempts import Reachability
from purekernel.fetch.model import Cause, Fault

A, B = "http://user:secret@a/x", "http://b/x"
DOWN = Fault("cannot connect: Connection refused", Cause.UNREACHABLE, hint="look")


# The causes that concern all files of a host.
OUTAGES = (Cause.UNREACHABLE, Cause.SILENT, Cause.GIVEN_UP)


def test_host_is_tried_last_after_three_failures_in_a_row() -> None:
    known = Reachability()
    for _ in range(3):
        assert known.in_order([A, B]) == [A, B]
        known.note(A, DOWN)
    assert known.in_order([A, B]) == [B, A]
    # Failures count per scheme and host, whatever the path and the credentials.
    assert known.in_order(["http://a/y", B]) == [B, "http://a/y"]
    assert known.in_order(["https://a/y", B]) == ["https://a/y", B]


@pytest.mark.parametrize("seen", [None, *(Fault("x", cause) for cause in Cause)])
def test_any_other_result_resets_failures(seen: Fault | None) -> None:
    known = Reachability()
    for _ in range(3):
        known.note(A, DOWN)
    known.note(A, seen)
    answered = seen is None or not seen.is_outage
    assert known.in_order([A, B]) == ([A, B] if answered else [B, A])


@pytest.mark.parametrize("cause", list(Cause))
def test_only_host_that_does_not_answer_is_given_up(cause: Cause) -> None:
    known = Reachability()
    known.give_up(A, Fault("why", cause, hint="look"))
    known.check(B)
    if cause not in OUTAGES:
        known.check(A)
        return
    with pytest.raises(Fault) as caught:
        known.check("http://a/y")
    assert (caught.value.reason, caught.value.hint) == ("why", "look")
    # The fault is permanent, so there is no retry.
    assert not caught.value.may_pass


def test_invalid_urls_are_distinct_hosts() -> None:
    known = Reachability()
    known.give_up("http://[x", DOWN)
    known.check("http://[y")
    with pytest.raises(Fault):
        known.check("http://[x")


@pytest.mark.parametrize("cause", [Cause.SILENT, Cause.UNREACHABLE])
def test_slow_host_that_has_answered_is_not_given_up(cause: Cause) -> None:
    known = Reachability()
    known.note(A, None)
    known.give_up(A, Fault("why", cause))
    if cause is Cause.SILENT:
        known.check(A)
    else:
        with pytest.raises(Fault):
            known.check(A)


def test_first_reason_for_which_a_host_was_given_up_is_kept() -> None:
    known = Reachability()
    known.give_up(A, DOWN)
    known.give_up(A, Fault("other", Cause.GIVEN_UP))
    with pytest.raises(Fault, match="Connection refused"):
        known.check(A)

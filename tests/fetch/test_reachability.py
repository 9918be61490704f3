from __future__ import annotations

import pytest

from purekernel.fetch.attempts import Reachability
from purekernel.fetch.model import Cause, Fault

A, B = "http://user:secret@a/x", "http://b/x"
DOWN = Fault("cannot connect: Connection refused", Cause.UNREACHABLE, hint="look")


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
    answered = seen is None or seen.cause is not Cause.UNREACHABLE
    assert known.in_order([A, B]) == ([A, B] if answered else [B, A])


@pytest.mark.parametrize("cause", list(Cause))
def test_only_unreachable_host_is_given_up(cause: Cause) -> None:
    known = Reachability()
    known.give_up(A, Fault("why", cause, hint="look"))
    known.check(B)
    if cause is not Cause.UNREACHABLE:
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

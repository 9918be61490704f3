"""Test that classes from records.frozen behave as those from attrs.frozen do."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from attrs import evolve, field
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from purekernel import records


def _define(frozen: Callable[..., Any]) -> Any:
    """Return a class with every kind of field that purekernel uses."""

    @frozen(kw_only=True)
    class Sample:
        number: int
        text: str = "text"
        secret: str = field(default="secret", repr=False)
        place: object = field(default=None, eq=False)
        data: bytes = field(default=b"", repr=lambda data: f"<{len(data)} bytes>")
        items: list[object] = field(factory=list, eq=False)
        folded: str = field(default="", eq=str.lower)
        _private: int = 0
        later: int = field(init=False, eq=False)

    return Sample


OURS, THEIRS = _define(records.frozen), _define(attrs.frozen)  # noqa: TID251

values = st.fixed_dictionaries(
    {"number": st.integers(0, 2)},
    optional={
        "text": st.sampled_from(["text", "é\n"]),
        "secret": st.sampled_from(["secret", "x"]),
        "place": st.integers(0, 2),
        "data": st.binary(max_size=2),
        "folded": st.sampled_from(["a", "A", "b"]),
        "private": st.integers(0, 1),
    },
)


@given(values)
def test_representation_equals_that_of_attrs(arguments: dict[str, Any]) -> None:
    ours = OURS(**arguments)
    assert repr(ours) == repr(THEIRS(**arguments))
    assert "secret" not in repr(ours)
    assert f"<{len(ours.data)} bytes>" in repr(ours)
    assert "later=NOTHING" in repr(ours)


@given(values, values)
def test_equality_and_hash_follow_the_compared_fields(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    ours = OURS(**first), OURS(**second)
    equal = THEIRS(**first) == THEIRS(**second)
    assert (ours[0] == ours[1]) is equal
    assert (ours[0] != ours[1]) is not equal
    assert (len(set(ours)) == 1) is equal


def test_uncompared_field_does_not_affect_equality() -> None:
    assert OURS(number=1, place=1) == OURS(number=1, place=2)
    assert hash(OURS(number=1, place=1)) == hash(OURS(number=1, place=2))


def test_field_is_compared_by_its_key() -> None:
    assert OURS(number=1, folded="a") == OURS(number=1, folded="A")
    assert hash(OURS(number=1, folded="a")) == hash(OURS(number=1, folded="A"))
    assert OURS(number=1, folded="a") != OURS(number=1, folded="b")


def test_instance_that_contains_itself_has_a_representation() -> None:
    ours, theirs = OURS(number=1), THEIRS(number=1)
    ours.items.append(ours)
    theirs.items.append(theirs)
    assert repr(ours) == repr(theirs)
    assert "items=[...]" in repr(ours)


def test_instances_of_different_classes_are_not_equal() -> None:
    @records.frozen
    class Base:
        number: int

    @records.frozen
    class Derived(Base):
        pass

    assert Base(1) != Derived(1)
    assert Base(1) != object()
    assert Base(1).__eq__(Derived(1)) is NotImplemented
    assert len({Base(1), Derived(1)}) == 2
    assert repr(Derived(1)).endswith("Derived(number=1)")


def test_classes_without_compared_fields_are_equal() -> None:
    @records.frozen(kw_only=True)
    class Empty:
        pass

    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())
    assert repr(Empty()) == "Empty()"


def test_methods_of_the_class_are_kept() -> None:
    @records.frozen(kw_only=True)
    class Own:
        number: int

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    assert repr(Own(number=1)) == "own"
    assert Own(number=1) == Own(number=2)
    assert hash(Own(number=1)) == 7


def test_eq_false_compares_by_identity() -> None:
    @records.frozen(kw_only=True, eq=False)
    class Unique:
        items: list[int]

    one = Unique(items=[])
    assert one != Unique(items=[])
    assert len({one, Unique(items=[])}) == 2


@records.frozen(kw_only=True)
class Sent:
    number: int
    name: str = field(default="", eq=False)


def test_instance_is_immutable_and_can_be_pickled_and_evolved() -> None:
    sent = Sent(number=1, name="one")
    with pytest.raises(FrozenInstanceError):
        sent.number = 2  # type: ignore[misc]
    assert not hasattr(sent, "__dict__")
    assert pickle.loads(pickle.dumps(sent)) == sent
    assert evolve(sent, number=2) == Sent(number=2)
    with pytest.raises(TypeError):
        Sent(1)  # type: ignore[call-arg]

"""Test the positions at which the core's archive is cut."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from purekernel.formats.cpio import CpioMember
from purekernel.remaster.core import cut_stably

SIZE_BYTES = 1000


def make_member(name: str, size: int) -> CpioMember:
    content = random.Random(name).randbytes(size)
    return CpioMember(
        path=name.encode(), head=b"head of " + name.encode(), content=content,
        padding_bytes=-size % 4,
    )  # fmt: skip


def cut(members: list[CpioMember]) -> list[bytes]:
    return [b"".join(buffers) for buffers in cut_stably(members, SIZE_BYTES)]


def whole(members: list[CpioMember]) -> bytes:
    return b"".join(
        member.head + bytes(member.content) + bytes(member.padding_bytes) for member in members
    )


@given(st.lists(st.integers(0, 6 * SIZE_BYTES), max_size=30))
def test_pieces_join_to_the_whole_and_have_limited_size(sizes: list[int]) -> None:
    members = [make_member(f"m{index}", size) for index, size in enumerate(sizes)]
    pieces = cut(members)
    assert b"".join(pieces) == whole(members)
    assert all(0 < len(piece) < 4 * SIZE_BYTES + 100 for piece in pieces)
    assert all(len(piece) >= SIZE_BYTES for piece in pieces[:-2]) or any(
        size > 2 * SIZE_BYTES - 100 for size in sizes
    )


def test_added_member_changes_only_adjacent_pieces() -> None:
    members = [make_member(f"m{index}", 100 + index * 7 % 300) for index in range(400)]
    before = cut(members)
    members.insert(100, make_member("new", 350))
    after = cut(members)
    assert b"".join(after) == whole(members)
    assert len(before) > 40
    assert len(set(after) - set(before)) <= 5


def test_large_member_is_cut_separately() -> None:
    large = make_member("large", 10 * SIZE_BYTES + 5)
    small = [make_member(f"m{index}", 90) for index in range(3)]
    alone = set(cut([large]))
    between = set(cut([small[0], large, *small[1:]]))
    assert len(alone) == 11
    assert len(alone & between) == 10

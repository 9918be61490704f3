from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import FormatError, UnrepresentableError
from purekernel.formats.elf import ByteOrder
from purekernel.formats.ld_cache import (
    CacheFormat,
    LdCacheEntry,
    build_ld_cache,
    compare_library_names,
    library_name_key,
    parse_ld_cache,
    sort_entries,
)
from purekernel.input import Input

GENERATOR = b"ldconfig of a test"


def entry(name: bytes, **fields: object) -> LdCacheEntry:
    return LdCacheEntry(name=name, **{"path": b"/lib/" + name, "flags": 0x303, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "result"),
    [
        (b"libx.so.9", b"libx.so.10", -1),
        (b"libx.so.1", b"libx.so.1", 0),
        (b"libx.so.01", b"libx.so.1", 0),
        (b"libx.so", b"libx.so.1", -1),
        (b"lib1", b"liba", 1),
        (b"lib1", b"lib", 1),
        (b"lib", b"lib1", -1),
        (b"liba", b"libb", -1),
        (b"lib\xc3\xa9", b"liba", -1),
        (b"lib\xc3\xa9", b"lib", -1),
        # Numbers wrap around at 2 to the 32nd, and are negative from 2 to the 31st on.
        (b"lib4294967297", b"lib1", 0),
        (b"lib4294967297", b"lib2", -1),
        (b"lib2147483649", b"lib0", -1),
        (b"lib2147483649", b"lib2147483647", 1),
    ],
)
def test_names_compare_as_in_glibc(one: bytes, other: bytes, result: int) -> None:
    assert compare_library_names(one, other) == result
    assert compare_library_names(other, one) == -result


def test_unsigned_char_sorts_non_ascii_bytes_last() -> None:
    assert compare_library_names(b"lib\xc3", b"liba", signed_bytes=False) == 1


NAMES = st.text("lib.so-019a\xe9", max_size=12).map(str.encode)


@given(NAMES, NAMES)
def test_sort_key_agrees_with_comparison(one: bytes, other: bytes) -> None:
    left, right = library_name_key(one), library_name_key(other)
    assert compare_library_names(one, other) == (left > right) - (left < right)


ENTRIES = st.builds(
    LdCacheEntry,
    name=st.sampled_from([b"liba.so.1", b"libb.so.10", b"libb.so.9", b"a.so.1", b""]),
    path=st.binary(max_size=12).map(lambda path: path.replace(b"\0", b"/")),
    flags=st.sampled_from([1, 3, 0x303, 0x803]),
    hwcap=st.sampled_from([0, 1, 1 << 48, 1 << 63 | 1]),
    os_version=st.sampled_from([0, 0x020600]),
) | st.builds(
    LdCacheEntry,
    name=st.sampled_from([b"liba.so.1", b"libb.so.9"]),
    path=st.just(b"/lib/x"),
    flags=st.just(0x303),
    hwcaps=st.sampled_from([b"x86-64-v2", b"x86-64-v3"]),
    isa_level=st.integers(0, 1023),
)


@pytest.mark.slow
@given(
    entries=st.lists(ENTRIES, max_size=8),
    form=st.sampled_from(list(CacheFormat)),
    byte_order=st.sampled_from(["little", "big"]),
)
def test_built_cache_parses_to_its_entries(
    entries: list[LdCacheEntry], form: CacheFormat, byte_order: ByteOrder
) -> None:
    data = build_ld_cache(entries, format=form, generator=GENERATOR, byte_order=byte_order)
    cache = parse_ld_cache(Input(data, name="cache"))
    kept = sort_entries(entries)
    if form is CacheFormat.OLD:
        assert [(found.name, found.path, found.flags) for found in cache.entries] == [
            (found.name, found.path, found.flags) for found in kept if not found.hwcap
        ]
        return
    assert cache.entries == tuple(kept)
    assert (cache.format, cache.byte_order, cache.generator) == (form, byte_order, GENERATOR)


def test_entries_are_sorted_in_search_order() -> None:
    first, second = entry(b"liba.so.1", path=b"/1"), entry(b"liba.so.1", path=b"/2")
    v2, v3 = entry(b"liba.so.1", hwcaps=b"v2"), entry(b"liba.so.1", hwcaps=b"v3")
    special = entry(b"liba.so.1", hwcap=3)
    narrow = entry(b"liba.so.1", flags=3)
    newer = entry(b"liba.so.10")
    given_order = [first, narrow, v3, special, second, newer, v2]
    assert sort_entries(given_order) == [newer, v2, v3, special, first, second, narrow]


def test_common_suffixes_of_strings_are_merged() -> None:
    data = build_ld_cache([entry(b"libz.so.1")], format=CacheFormat.OLD, generator=b"")
    assert data[16 + 12 :] == b"/lib/libz.so.1\0"


@pytest.mark.parametrize(
    "bad",
    [
        entry(b"a\0b"),
        entry(b"a", flags=-1),
        entry(b"a", hwcaps=b"v", isa_level=1024),
        entry(b"a", hwcaps=b"v", hwcap=1),
    ],
)
def test_unrepresentable_entry_is_refused(bad: LdCacheEntry) -> None:
    with pytest.raises(UnrepresentableError, match="the library '/lib/a"):
        build_ld_cache([bad], format=CacheFormat.NEW, generator=b"")


@pytest.mark.parametrize("data", [b"", b"ld.so-1.7.0", b"glibc-ld.so.cache1.1", b"MZ" * 50])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="cache"):
        parse_ld_cache(Input(data, name="cache"))


SOUND = {
    form: build_ld_cache(
        [entry(b"liba.so.1"), entry(b"libb.so.1"), entry(b"liba.so.1", hwcaps=b"v2")],
        format=form,
        generator=GENERATOR,
    )
    for form in CacheFormat
}


@pytest.mark.slow
@settings(max_examples=500)
@given(
    form=st.sampled_from(list(CacheFormat)),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    end=st.integers(0, 400) | st.none(),
)
def test_random_damage_raises_only_format_errors(
    form: CacheFormat, changes: list[tuple[int, int]], end: int | None
) -> None:
    data = bytearray(SOUND[form])
    for place, byte in changes:
        data[place % len(data)] = byte
    with suppress(FormatError):
        parse_ld_cache(Input(bytes(data[:end]), name="cache"))

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError, PurekernelError, UnrepresentableError
from purekernel.formats.ruby_marshal import (
    Hash,
    Object,
    Symbol,
    UserDefined,
    UserMarshal,
    Value,
    build_marshal,
    parse_marshal,
)
from purekernel.input import Input
from tests.formats.gem.ruby import ruby


def parse(data: bytes) -> Value:
    return parse_marshal(Input(b"\x04\x08" + data, name="m"))


def integers() -> st.SearchStrategy[int]:
    near = [0, 122, 123, 255, 256, 65535, 65536, 1 << 24, 1 << 30, 1 << 31, 1 << 62, 1 << 64]
    return st.one_of(
        st.integers(-(1 << 80), 1 << 80),
        st.sampled_from(near).flatmap(
            lambda number: st.sampled_from([number - 1, number, -number - 1, -number, 1 - number])
        ),
    )


def values() -> st.SearchStrategy[Value]:
    names = st.sampled_from(["@a", "@b", "E", "name"])
    leaves: st.SearchStrategy[Value] = st.one_of(
        st.none(),
        st.booleans(),
        integers(),
        st.text(st.characters(codec="utf-8")),
        st.binary(max_size=300),
        st.builds(Symbol, st.sampled_from(["runtime", "development", "x" * 130])),
        st.builds(UserDefined, class_name=st.just("Time"), data=st.binary(max_size=9)),
        st.just(UserDefined(class_name="Time", data=b"12345678", variables=(("zone", "UTC"),))),
    )

    def extend(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
        pairs = st.lists(st.tuples(inner, inner), max_size=3).map(tuple)
        variables = st.lists(st.tuples(names, inner), max_size=3).map(tuple)
        return st.one_of(
            st.lists(inner, max_size=4).map(tuple),
            st.builds(Hash, pairs=pairs, default=inner),
            st.builds(Object, class_name=st.just("Gem::Dependency"), variables=variables),
            st.builds(UserMarshal, class_name=st.just("Gem::Version"), value=inner),
        )

    return st.recursive(leaves, extend, max_leaves=15)


@pytest.mark.slow
@given(values())
def test_built_value_parses_to_itself(value: Value) -> None:
    assert parse_marshal(Input(build_marshal(value), name="m")) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"0", None),
        (b"T", True),
        (b"F", False),
        (b"i\x00", 0),
        (b"i\x7f", 122),
        (b"i\x01\x7b", 123),
        (b"i\xfa", -1),
        (b"i\x80", -123),
        (b"i\xff\x84", -124),
        (b"i\x04\xff\xff\xff\x3f", (1 << 30) - 1),
        (b"i\xfc\x00\x00\x00\xc0", -(1 << 30)),
        (b"l+\x07\x00\x00\x00\x40", 1 << 30),
        (b"l-\x07\x01\x00\x00\x40", -(1 << 30) - 1),
        (b"f\x081.5", 1.5),
        (b"f\x08inf", float("inf")),
        (b"f\x0a0.1\x00\x99", 0.1),  # of Ruby 1.8
        (b'"\x06a', b"a"),
        (b'I"\x07\xc3\xa9\x06:\x06ET', "é"),
        (b'I"\x06a\x06:\x06EF', "a"),
        (b'I"\x07\xc3\xa9\x06:\rencoding"\nUTF-8', "é"),
        (b'I"\x06\xe9\x06:\rencoding"\x0fISO-8859-1', b"\xe9"),
        (b'I"\x06\xe9\x06:\x06ET', b"\xe9"),
        (b"[\x08i\x06[\x000", (1, (), None)),
        (b"{\x06i\x06i\x07", Hash(pairs=((1, 2),))),
        (b"}\x00i\x06", Hash(default=1)),
        (b"[\x07:\x06a;\x00", (Symbol("a"), Symbol("a"))),
        (b"I:\x07\xc3\xa9\x06:\x06ET", Symbol("é")),
        (b"o:\x06K\x06:\x07@ai\x06", Object(class_name="K", variables=(("@a", 1),))),
        (b'u:\x06K\x07ab', UserDefined(class_name="K", data=b"ab")),
        (b"U:\x06K[\x06i\x06", UserMarshal(class_name="K", value=(1,))),
        # Links: the array is value 0, its strings 1 and 2.
        (b'[\x08"\x06a"\x06b@\x07', (b"a", b"b", b"b")),
        # A float and a large number count, a small one does not.
        (b"[\x0ai\x06f\x071.l+\x07\x00\x00\x00\x40@\x06@\x07", (1, 1.0, 1 << 30, 1.0, 1 << 30)),
        # An object with encoded bytes is numbered after its variables.
        (
            b'[\x08Iu:\x06K\x00\x06:\x06zI"\x06u\x06:\x06ET@\x06@\x07',
            (
                UserDefined(class_name="K", data=b"", variables=(("z", "u"),)),
                "u",
                UserDefined(class_name="K", data=b"", variables=(("z", "u"),)),
            ),
        ),
        # An object that is encoded as another value is numbered before that value.
        (b'[\x07U:\x06K"\x06a@\x07', (UserMarshal(class_name="K", value=b"a"), b"a")),
    ],
)  # fmt: skip
def test_value_of_each_kind_is_read(data: bytes, value: Value) -> None:
    found = parse(data)
    assert found == value
    assert type(found) is type(value)


def test_links_to_a_value_give_one_object() -> None:
    found = parse(b'[\x07I"\x06a\x06:\x06ET@\x06')
    assert isinstance(found, tuple)
    assert found[0] is found[1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "m, byte 2: expected a value of at most 0 bytes, got 1"),
        (b"i", "m, byte 3: expected an integer of at most 0 bytes, got 1"),
        (b"i\x04\x01", "m, byte 4: expected an integer of at most 1 bytes, got 4"),
        (b'"\x0aabc', "m, byte 3: expected at most 3 bytes, got 5"),
        (b'"\xfaabc', "m, byte 3: expected at most 3 bytes, got -1"),
        (b"[\x04\xff\xff\xff\x7f", "m, byte 3: expected at most 0 elements, got 2147483647"),
        (b"[\x070", "m, byte 3: expected at most 1 elements, got 2"),
        (b"{\x0700", "m, byte 3: expected at most 1 pairs, got 2"),
        (b"o:\x06K\x0700", "m, byte 6: expected at most 1 variables, got 2"),
        (b"l+\x04\xff\xff\xff\x7f", "m, byte 4: expected at most 0 pairs of bytes, got 2147483647"),
        (b"l*\x06ab", "m, byte 3: expected '+' or '-', got 2a"),
        (b"f\x081_0", "m, byte 3: expected a float, got b'1_0'"),
        (b"f\x00", "m, byte 3: expected a float, got b''"),
        (b"@\x00", "m, byte 3: expected a link to one of 0 earlier values, got 0"),
        (b"[\x06@\xfa", "m, byte 5: expected a link to one of 1 earlier values, got -1"),
        (b"[\x06@\x00", ("m, byte 5: expected a link to a complete value, got one to a value "
         "around it")),
        (b";\x00", "m, byte 3: expected a link to one of 0 earlier symbols, got 0"),
        (b"o\"\x06K\x00", "m, byte 3: expected a symbol, got one of kind '\"'"),
        (b"I[\x00\x00", ("m, byte 3: expected a string, a symbol or the bytes of a value, "
         "got one of kind '['")),
        (b"c\x0bString", ("m, byte 2: expected a kind of value that gem indexes hold, "
         "got one of kind 'c'")),
        (b"\x00", ("m, byte 2: expected a kind of value that gem indexes hold, got one of "
         "kind 0x00")),
        (b"i\x06i\x06", "m, byte 4: expected the end, got 2 more bytes"),
    ],
)  # fmt: skip
def test_damaged_data_raises_format_error_with_offset(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(data)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "data", [b"", b"\x04", b"\x04\x09i\x06", b"\x03\x08i\x06", b"--- 1\n", b"\x1f\x8b\x08"]
)
def test_other_formats_and_versions_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"expected (version 4.8 of|the version of at most)"):
        parse_marshal(Input(data, name="m"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[\x06" * 100_000 + b"0",
         "m, byte 132: expected values nested at most 64 deep, got more"),
        (b"I:\x06a\x06:\x06b" * 20_000 + b"0",
         "m, byte 522: expected values nested at most 64 deep, got more"),
        (b"l+\x02\x01\x08" + bytes(4098), ("m, byte 3: expected a number of at most 4096 bytes, "
         "got 4098")),
        (b":\x02\x01\x04" + b"a" * 1025, ("m, byte 3: expected a symbol of at most 1024 bytes, "
         "got 1025")),
    ],
)  # fmt: skip
def test_data_beyond_the_limits_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(LimitError) as caught:
        parse(data)
    assert str(caught.value) == message


def test_nested_links_take_no_extra_memory() -> None:
    # Each array has the one before it twice: without links there would be 2**60 parts.
    data = b"[\x01\x3d" + b'"\x06a'
    for number in range(60):
        data += b"[\x07" + (b"@" + bytes((6 + number,))) * 2
    found = parse(data)
    assert isinstance(found, tuple)
    assert len(found) == 61


@pytest.mark.parametrize("value", [1.5, ((1.5,),), Symbol("é"), Object(class_name="é")])
def test_unsupported_value_is_refused(value: Value) -> None:
    with pytest.raises(UnrepresentableError, match="an index of gems cannot hold"):
        build_marshal(value)


def test_deeply_nested_value_is_refused() -> None:
    value: Value = None
    for _ in range(66):
        value = (value,)
    with pytest.raises(UnrepresentableError, match="is nested more than 64 deep"):
        build_marshal(value)


@pytest.mark.slow
def test_random_damage_raises_only_our_errors() -> None:
    chance = random.Random(5)
    sound = build_marshal(
        (
            None, True, 5, 1 << 70, "é", b"x", Symbol("runtime"), Hash(pairs=(("a", 1),)),
            Object(class_name="K", variables=(("@a", "b"), ("@c", (1, 2)))),
            UserMarshal(class_name="Gem::Version", value=("1.0",)),
            UserDefined(class_name="Time", data=b"12345678", variables=(("zone", "UTC"),)),
        )
    )  # fmt: skip
    kinds = b'0TFilf":;@[{}ouUI\x00\x01\x04\x06\x07\xfa\xfc\xff'
    for _ in range(5000):
        damaged = bytearray(sound)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.choice(kinds)
        with suppress(PurekernelError):
            parse_marshal(Input(damaged, name="m"))


# Comparison with Ruby

MANY = """
class K; def initialize(a); @a = a; @b = :sym; end; end
class M; def initialize(a); @a = a; end; def marshal_dump; [@a]; end; end
class D; def _dump(_); "own"; end; end
s = "shared"; a = [s, s, :sym]; n = [0, 1, 122, 123, 255, 256, 65535, 65536, 2**24, 2**30 - 1,
  2**30, 2**31, 2**62, 2**64, 2**100]; n += n.map { |x| -x } + n.map { |x| -x - 1 }
k = K.new(s); m = M.new(s); d = D.new; t = Time.utc(2012, 4, 26)
STDOUT.binmode
STDOUT.write Marshal.dump([n, s, a, 1.5, -0.0, 1e300, Float::INFINITY, "\\u00e9", "\\xff".b,
  "us".dup.force_encoding("US-ASCII"), {1 => s, s => a}, Hash.new(s), k, m, d, t, 2**70,
  k, m, d, t, s, a, n, :sym, :other])
"""


@pytest.mark.oracle
def test_values_written_by_ruby_are_read() -> None:
    found = parse_marshal(Input(ruby(MANY), name="ruby"))
    powers = [0, 1, 122, 123, 255, 256, 65535, 65536, 1 << 24, (1 << 30) - 1]
    powers += [1 << power for power in (30, 31, 62, 64, 100)]
    numbers = tuple(powers + [-n for n in powers] + [-n - 1 for n in powers])
    shared = ("shared", "shared", Symbol("sym"))
    thing = Object(class_name="K", variables=(("@a", "shared"), ("@b", Symbol("sym"))))
    other = UserMarshal(class_name="M", value=("shared",))
    assert isinstance(found, tuple)
    time = found[15]
    assert isinstance(time, UserDefined)
    assert (time.class_name, time.variables) == ("Time", (("zone", "UTC"),))
    own = found[14]
    assert isinstance(own, UserDefined)
    assert (own.class_name, own.data) == ("D", b"own")
    assert found == (
        numbers, "shared", shared, 1.5, -0.0, 1e300, float("inf"), "é", b"\xff", "us",
        Hash(pairs=((1, "shared"), ("shared", shared))), Hash(default="shared"), thing, other,
        own, time, 1 << 70, thing, other, own, time, "shared", shared, numbers, Symbol("sym"),
        Symbol("other"),
    )  # fmt: skip


@pytest.mark.oracle
def test_ruby_reads_the_values_that_we_write() -> None:
    values: tuple[Value, ...] = (
        None, True, False, 0, 122, 123, -123, -124, -256, -257, 65536, -(1 << 30), 1 << 30,
        (1 << 30) - 1, -(1 << 30) - 1, 1 << 64, -(1 << 100), "é", b"\xff", "", (), ((1,), "a"),
        Symbol("runtime"), Symbol("runtime"), Hash(pairs=(("a", 1), (2, None))),
        Hash(default=7), "x" * 300, tuple(range(-300, 300)),
        UserMarshal(class_name="Gem::Version", value=("1.0",)),
    )  # fmt: skip
    shown = ruby(
        "STDIN.binmode; v = Marshal.load(STDIN.read); v[-1] = v[-1].to_s;"
        " puts v.map(&:inspect), v[17].encoding, v[18].encoding, v[25][:none]",
        stdin=build_marshal(values),
    ).decode()
    assert shown.splitlines() == [
        "nil", "true", "false", "0", "122", "123", "-123", "-124", "-256", "-257", "65536",
        str(-(1 << 30)), str(1 << 30), str((1 << 30) - 1), str(-(1 << 30) - 1), str(1 << 64),
        str(-(1 << 100)), '"\\u00E9"', '"\\xFF"', '""', "[]", '[[1], "a"]', ":runtime",
        ":runtime", '{"a"=>1, 2=>nil}', "{}", '"' + "x" * 300 + '"',
        str(list(range(-300, 300))), '"1.0"', "UTF-8", "ASCII-8BIT", "7",
    ]  # fmt: skip

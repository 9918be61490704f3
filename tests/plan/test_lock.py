from __future__ import annotations

import re
import tomllib

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import LockError
from purekernel.formats.tinycore import EXTENSION_NAME
from purekernel.plan.lock import (
    HEADER,
    Lock,
    Pin,
    PinnedFile,
    PinnedGem,
    PinnedPackage,
    build_lock,
    changes,
    parse_lock,
)
from purekernel.repos.tinycore import COMPANIONS, Extension


def pin(name: str, digit: str = "a") -> Pin:
    return Pin(
        name=name,
        url=f"http://mirror.example/{name}",
        size_bytes=len(name),
        sha256=digit * 64,
        md5=digit * 32,
    )


LOCK = Lock(
    core="4.x/x86",
    kernel="3.0.3-tinycore",
    releases={"purekernel": "0.1.0", "deflate": "0.9"},
    files={"base": PinnedFile(role="base", requested="release/Core.iso", pin=pin("Core.iso"))},
    extensions={
        "bash.tcz": Extension(
            name="bash.tcz",
            file=pin("bash.tcz"),
            dependencies=("readline.tcz",),
            companions={".dep": pin("bash.tcz.dep"), ".md5.txt": pin("bash.tcz.md5.txt")},
        ),
        "readline.tcz": Extension(name="readline.tcz", file=pin("readline.tcz", "b")),
    },
    gems=(
        PinnedGem(
            name="facter", version="1.7.0", needs=("json_pure >= 1",), pin=pin("facter-1.7.0.gem")
        ),
    ),
)


def test_written_lock_is_read_back() -> None:
    data = build_lock(LOCK)
    assert data.decode().startswith(HEADER)
    assert parse_lock(data, source="purekernel.lock") == LOCK
    empty = Lock(core="15.x/x86_64")
    assert parse_lock(build_lock(empty), source="x") == empty


def test_order_of_pins_does_not_change_the_file() -> None:
    turned = evolve(LOCK, extensions=dict(reversed(LOCK.extensions.items())))
    assert build_lock(turned) == build_lock(LOCK)


NAMES = st.text(alphabet="abcxyz019-_.+é\"\\'\n\t", min_size=1, max_size=12)
EXTENSIONS = st.from_regex(EXTENSION_NAME, fullmatch=True).map(lambda name: name + ".tcz")


# Make the strategies once: making them would otherwise take most of the time.
PIN_FIELDS = st.fixed_dictionaries(
    {
        "url": NAMES,
        "size_bytes": st.integers(0, 2**40),
        "sha256": st.binary(min_size=32, max_size=32).map(bytes.hex),
        "md5": st.binary(min_size=16, max_size=16).map(bytes.hex),
    }
)
NEEDS = st.lists(NAMES).map(tuple)
NEEDED_EXTENSIONS = st.lists(EXTENSIONS).map(tuple)
COMPANION_SETS = st.sets(st.sampled_from(list(COMPANIONS)))
GEMS = st.sampled_from(["rake", "json_pure", "daemons"])
PACKAGES = st.sampled_from(["lshw", "libc6", "g++"])
PACKAGE_FIELDS = st.fixed_dictionaries(
    {"version": NAMES, "architecture": NAMES, "depends": NAMES, "provides": NAMES}
)


def draw_pin(draw: st.DrawFn, name: str) -> Pin:
    return Pin(name=name, **draw(PIN_FIELDS))


@st.composite
def pinned_files(draw: st.DrawFn) -> PinnedFile:
    return PinnedFile(role=draw(NAMES), requested=draw(NAMES), pin=draw_pin(draw, draw(NAMES)))


@st.composite
def pinned_extensions(draw: st.DrawFn) -> Extension[Pin]:
    name = draw(EXTENSIONS)
    return Extension(
        name=name,
        file=draw_pin(draw, name),
        dependencies=draw(NEEDED_EXTENSIONS),
        companions={
            suffix: draw_pin(draw, name + suffix) for suffix in sorted(draw(COMPANION_SETS))
        },
    )


@st.composite
def pinned_gems(draw: st.DrawFn) -> PinnedGem:
    name = draw(GEMS)
    return PinnedGem(
        name=name, version="1.0", needs=draw(NEEDS), pin=draw_pin(draw, f"{name}-1.0.gem")
    )


@st.composite
def pinned_packages(draw: st.DrawFn) -> PinnedPackage:
    name = draw(PACKAGES)
    return PinnedPackage(
        extension=f"{name}.tcz",
        package=name,
        pin=draw_pin(draw, f"{name}_1.0_i386.deb"),
        script=draw_pin(draw, f"{name}.deb2tcz") if draw(st.booleans()) else None,
        **draw(PACKAGE_FIELDS),
    )


@pytest.mark.slow
@given(
    st.lists(pinned_files(), unique_by=lambda x: x.role),
    st.lists(pinned_extensions(), unique_by=lambda x: x.name),
    st.lists(pinned_gems(), unique_by=lambda x: x.pin.name),
    st.lists(pinned_packages(), unique_by=lambda x: x.extension),
)
def test_any_lock_round_trips(
    files: list[PinnedFile],
    extensions: list[Extension[Pin]],
    gems: list[PinnedGem],
    packages: list[PinnedPackage],
) -> None:
    lock = Lock(
        core="4.x/x86",
        files={one.role: one for one in files},
        extensions={one.name: one for one in extensions},
        packages={one.extension: one for one in packages},
        gems=tuple(gems),
    )
    data = build_lock(lock)
    assert tomllib.loads(data.decode())["version"] == 1
    assert parse_lock(data, source="x") == lock


INVALID_SIZE = f"L, [[file]]: invalid 'size': must be a number from 0 to {1 << 50}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1", "version = 2", "L: unsupported version: must be 1, got 2"),
        ("version = 1\n", "", "L: not a lock file: its version is missing"),
        ("version = 1", "version = true", "L: unsupported version: must be 1, got true"),
        ("version = 1", "version = 1.0", "L: unsupported version: must be 1, got 1.0"),
        (
            'deflate = "0.9"',
            "deflate = 9",
            "L: invalid 'releases': must be a table of texts",
        ),
        (
            'core = "4.x/x86"',
            "core = 4",
            "L: invalid 'core': must be a series and an architecture, such as 4.x/x86, got 4",
        ),
        (
            "size = 8",
            "size = -8",
            f"L, [[file]]: invalid 'size': must be a number from 0 to {1 << 50}, got -8",
        ),
        (
            "size = 8",
            f"size = {(1 << 50) + 1}",
            f"{INVALID_SIZE}, got {(1 << 50) + 1}",
        ),
        (
            f'sha256 = "{"b" * 64}"',
            'sha256 = "b"',
            "L, [[extension]]: invalid 'sha256': must be a SHA-256 in hexadecimal, got \"b\"",
        ),
        ("[[gem]]", "[gem]", "L: invalid 'gem': must be a list of tables"),
        ('"json_pure >= 1",', "1,", "L, [[gem]]: invalid 'needs': must be a list of names"),
        *(
            (
                f'"{old}"',
                f'"{new}"',
                f"L, {where}: invalid name: got {new!r}",
            )
            for where, old, new in (
                ("[[extension]]", "bash.tcz", "../../etc/passwd"),
                ("[[extension]]", "bash.tcz", "bash.deb"),
                ("[[extension]]", "readline.tcz", "../readline.tcz"),
                ("[[extension]], [[beside]]", "bash.tcz.dep", "../bash.tcz.dep"),
                ("[[extension]], [[beside]]", "bash.tcz.dep", "bash.tcz.sh"),
                ("[[gem]]", "facter", "../facter"),
                ("[[gem]]", "facter-1.7.0.gem", "../facter-1.7.0.gem"),
            )
        ),
    ],
)
def test_damaged_values_are_refused(old: str, new: str, message: str) -> None:
    text = build_lock(LOCK).decode()
    assert old in text
    with pytest.raises(LockError) as caught:
        parse_lock(text.replace(old, new, 1).encode(), source="L")
    assert str(caught.value) == message


@pytest.mark.parametrize("key", ["file", "extension", "gem"])
def test_duplicate_pins_are_refused(key: str) -> None:
    text = build_lock(LOCK).decode()
    table = "[[" + text.partition(f"[[{key}]]\n")[2].partition("\n[[")[0]
    twice = text + f"\n[[{key}]]\n" + table.removeprefix("[[")
    with pytest.raises(
        LockError, match=r"^L: \[\[\w+\]\]: '[\w.-]+' must be unique, got it 2 times$"
    ):
        parse_lock(twice.encode(), source="L")


def test_names_that_are_not_utf8_are_refused() -> None:
    name = "C\udcffre.iso"
    file = PinnedFile(role="base", requested="C%3Fre.iso", pin=pin(name))
    with pytest.raises(
        LockError, match=r"the name of an input must be UTF-8 .*, got '.*C\\udcffre\.iso"
    ):
        build_lock(evolve(LOCK, files={"base": file}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff", "L, line 1: the byte 0xff is not UTF-8"),
        (b"x", "L, line 1: "),
        (b"[" * 5000, "L, line 1: "),
        (b"a = " + b"[" * 100_000, "L, line 1: keys and brackets are nested more than 32 deep"),
        (b"version = " + b"1" * 5000, "L, line 1: "),
        (b"version = 0x" + b"f" * 5000, "L, line 1: "),
        (b"size = -" + b"9" * 1_000_000, "L, line 1: "),
        (b"version = 1\n" + b"a." * 100_000 + b"a = 1", "L, line 2: keys and brackets are"),
        (b"[" + b'"a".' * 100_000 + b"a]", "L, line 1: keys and brackets are nested"),
        (b"a = [" + b"1," * 600_000 + b"]", "L, line 1: there are more than 500000 keys and items"),
        (b"#" * (16 << 20) + b"\n", "L: a text file must be at most 16777216 bytes, got 16777217"),
    ],
)
def test_invalid_toml_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(LockError) as caught:
        parse_lock(data, source="L")
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 300
    assert caught.value.hint == "restore the file, or delete it and run 'purekernel lock'"


@pytest.mark.parametrize(
    "value", ["0x" + "f" * 90, '"' + "x" * 100_000 + '"', "{a.b.c = 1}", "nan"]
)
@pytest.mark.parametrize("key", ["version", "core", "size", "sha256", "needs", "releases"])
def test_values_in_messages_are_short(key: str, value: str) -> None:
    text = build_lock(LOCK).decode()
    if key == "releases":
        given = re.sub(r"(?m)^deflate = .*", f"deflate = {value}", text)
        given = given.replace(value, "1") if value.startswith('"') else given
    else:
        given = re.sub(rf"(?ms)^{key} = (\[.*?^\]|[^\n]*)", f"{key} = {value}", text, count=1)
    assert given != text
    with pytest.raises(LockError) as caught:
        parse_lock(given.encode(), source="L")
    assert len(str(caught.value)) < 300


def test_lock_without_releases_is_read() -> None:
    text = build_lock(evolve(LOCK, releases={})).decode()
    assert "releases" not in text
    assert parse_lock(text.encode(), source="L").releases == {}


def test_changes_are_listed_one_per_line() -> None:
    assert changes(LOCK, LOCK) == []
    new = evolve(
        LOCK,
        kernel="3.0.21-tinycore",
        releases={"purekernel": "0.1.0", "zopfli": "0.4"},
        extensions={
            "bash.tcz": evolve(LOCK.extensions["bash.tcz"], file=pin("bash.tcz", "c")),
        },
        gems=(*LOCK.gems, PinnedGem(name="x", version="1", needs=(), pin=pin("x-1.gem", "d"))),
    )
    assert changes(LOCK, new) == [
        "~ kernel 3.0.3-tinycore → 3.0.21-tinycore",
        "~ made with deflate 0.9 → none",
        "~ made with zopfli none → 0.4",
        "~ bash.tcz  8 → 8 bytes  sha256:aaaaaaaaaaaa… → cccccccccccc…",
        "- readline.tcz",
        "+ x-1.gem  7 bytes  sha256:dddddddddddd…",
    ]
    assert len(changes(None, LOCK)) == 6

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from purekernel.errors import FormatError, LimitError, PurekernelError
from purekernel.formats.gem import Dependency, Requirement, Version
from purekernel.formats.gem.compact import Release, parse_info

DIGEST = "0a" * 32


def only(line: str) -> Release:
    (release,) = parse_info(f"---\n{line}\n".encode(), source="info/x")
    return release


def test_a_release_is_read() -> None:
    assert only(
        f"1.7.7 facter:>= 1.6&< 3,json:>= 0|checksum:{DIGEST},ruby:>= 1.8.7&< 4,rubygems:> 1.3.1"
    ) == Release(
        version=Version("1.7.7"),
        dependencies=(
            Dependency(name="facter", requirement=Requirement.parse(">= 1.6, < 3")),
            Dependency(name="json"),
        ),
        sha256=DIGEST,
        required_ruby=Requirement.parse(">= 1.8.7, < 4"),
        required_rubygems=Requirement.parse("> 1.3.1"),
    )


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("1.0", Release(version=Version("1.0"))),
        ("1.0 ", Release(version=Version("1.0"))),
        ("1.0 |", Release(version=Version("1.0"))),
        ("1.0 |checksum:abc", Release(version=Version("1.0"))),
        ("1.0.rc1-x86-mingw32 |", Release(version=Version("1.0.rc1"), platform="x86-mingw32")),
        (f"1 |new:thing,checksum:{DIGEST.upper()},ruby:",
         Release(version=Version("1"), sha256=DIGEST)),
        ("1 a:#<YAML::Syck::DefaultKey:0x1> 2|", Release(version=Version("1"), dependencies=(
            Dependency(name="a", requirement=Requirement.parse("= 2")),))),
        ("1 a:|", Release(version=Version("1"), dependencies=(Dependency(name="a"),))),
    ],
)  # fmt: skip
def test_what_is_not_said_is_not_known(line: str, release: Release) -> None:
    assert only(line) == release


def test_lines_before_the_dashes_are_a_header() -> None:
    data = b"created_at: 2024-01-01\n---\n1.0 |\r\n\n2.0 |\n"
    assert [str(release.version) for release in parse_info(data, source="i")] == ["1.0", "2.0"]
    assert [str(release.version) for release in parse_info(b"1.0 |\n", source="i")] == ["1.0"]


def test_a_gem_may_have_no_releases() -> None:
    assert parse_info(b"---\n", source="i") == ()
    assert parse_info(b"", source="i") == ()


def test_releases_that_nobody_can_install_are_passed_over() -> None:
    data = b"---\n1 a b:x|\n\xff |\n2 a:=> 1|\n3-a/b |\n4 ../a:= 1|\n5 |ruby:x\n6 |\nv7 |\n"
    assert [str(release.version) for release in parse_info(data, source="i")] == ["6"]


@pytest.mark.parametrize("data", [b"<!DOCTYPE html>\n<html>\n", b"---\nv1 |\n"])
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_info(data, source="http://127.0.0.1/info/x")
    first = data.removeprefix(b"---\n").split(b"\n")[0].decode()
    assert str(caught.value) == (
        f"http://127.0.0.1/info/x: expected releases of a gem, one a line, got '{first}'"
    )
    assert caught.value.hint == "check the server's address: this is no index of gems"


def test_very_many_releases_are_refused() -> None:
    with pytest.raises(LimitError) as caught:
        parse_info(b"---\n" + b"1 |\n" * 50_001, source="i")
    assert str(caught.value) == "i: expected at most 50000 releases of a gem, got 50001"
    assert caught.value.hint == ("the server's index is damaged or hostile: name another server")


def test_no_damage_raises_an_error_that_is_not_ours() -> None:
    chance = random.Random(8)
    sound = f"---\n1.7.7-java facter:>= 1.6&< 3,json:>= 0|checksum:{DIGEST},ruby:>= 1.8\n".encode()
    for _ in range(3000):
        damaged = bytearray(sound)
        for _ in range(chance.randint(1, 5)):
            damaged[chance.randrange(len(damaged))] = chance.choice(b"\0\xff\n :|,&-.~x0")
        with suppress(PurekernelError):
            parse_info(damaged, source="i")

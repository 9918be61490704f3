from __future__ import annotations

import random
from contextlib import suppress

import pytest

from purekernel.errors import FormatError, LimitError, PurekernelError
from purekernel.formats.gem import GemDependency, GemRequirement, GemVersion
from purekernel.formats.gem.compact import GemRelease, parse_info
from purekernel.input import Input

DIGEST = "0a" * 32


def only(line: str) -> GemRelease:
    (release,) = parse_info(Input(f"---\n{line}\n".encode(), name="info/x"))
    return release


def test_release_is_read() -> None:
    assert only(
        f"1.7.7 facter:>= 1.6&< 3,json:>= 0|checksum:{DIGEST},ruby:>= 1.8.7&< 4,rubygems:> 1.3.1"
    ) == GemRelease(
        version=GemVersion("1.7.7"),
        dependencies=(
            GemDependency(name="facter", requirement=GemRequirement.parse(">= 1.6, < 3")),
            GemDependency(name="json"),
        ),
        sha256=DIGEST,
        required_ruby=GemRequirement.parse(">= 1.8.7, < 4"),
        required_rubygems=GemRequirement.parse("> 1.3.1"),
    )


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("1.0", GemRelease(version=GemVersion("1.0"))),
        ("1.0 ", GemRelease(version=GemVersion("1.0"))),
        ("1.0 |", GemRelease(version=GemVersion("1.0"))),
        ("1.0 |checksum:abc", GemRelease(version=GemVersion("1.0"))),
        ("1.0.rc1-x86-mingw32 |", GemRelease(
            version=GemVersion("1.0.rc1"), platform="x86-mingw32")),
        (f"1 |new:thing,checksum:{DIGEST.upper()},ruby:",
         GemRelease(version=GemVersion("1"), sha256=DIGEST)),
        ("1 a:#<YAML::Syck::DefaultKey:0x1> 2|", GemRelease(version=GemVersion("1"), dependencies=(
            GemDependency(name="a", requirement=GemRequirement.parse("= 2")),))),
        ("1 a:|", GemRelease(version=GemVersion("1"), dependencies=(GemDependency(name="a"),))),
    ],
)  # fmt: skip
def test_missing_facts_get_defaults(line: str, release: GemRelease) -> None:
    assert only(line) == release


def test_lines_before_the_dashes_are_skipped() -> None:
    data = b"created_at: 2024-01-01\n---\n1.0 |\r\n\n2.0 |\n"
    assert [str(release.version) for release in parse_info(Input(data, name="i"))] == ["1.0", "2.0"]
    assert [str(release.version) for release in parse_info(Input(b"1.0 |\n", name="i"))] == ["1.0"]


def test_empty_file_has_no_releases() -> None:
    assert parse_info(Input(b"---\n", name="i")) == ()
    assert parse_info(Input(b"", name="i")) == ()


def test_malformed_releases_are_skipped() -> None:
    data = b"---\n1 a b:x|\n\xff |\n2 a:=> 1|\n3-a/b |\n4 ../a:= 1|\n5 |ruby:x\n6 |\nv7 |\n"
    assert [str(release.version) for release in parse_info(Input(data, name="i"))] == ["6"]


@pytest.mark.parametrize("data", [b"<!DOCTYPE html>\n<html>\n", b"---\nv1 |\n"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_info(Input(data, name="http://127.0.0.1/info/x"))
    first = data.removeprefix(b"---\n").split(b"\n")[0].decode()
    assert str(caught.value) == (
        f"http://127.0.0.1/info/x: expected releases of a gem, one per line, got '{first}'"
    )
    assert caught.value.hint == "check the server's address: the file is not an index of gems"


def test_too_many_releases_are_refused() -> None:
    with pytest.raises(LimitError) as caught:
        parse_info(Input(b"---\n" + b"1 |\n" * 50_001, name="i"))
    assert str(caught.value) == "i: expected at most 50000 releases of a gem, got 50001"
    assert caught.value.hint == ("the server's index is damaged or hostile: use another server")


@pytest.mark.slow
def test_random_damage_raises_only_our_errors() -> None:
    chance = random.Random(8)
    sound = f"---\n1.7.7-java facter:>= 1.6&< 3,json:>= 0|checksum:{DIGEST},ruby:>= 1.8\n".encode()
    for _ in range(3000):
        damaged = bytearray(sound)
        for _ in range(chance.randint(1, 5)):
            damaged[chance.randrange(len(damaged))] = chance.choice(b"\0\xff\n :|,&-.~x0")
        with suppress(PurekernelError):
            parse_info(Input(damaged, name="i"))

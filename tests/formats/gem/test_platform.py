from __future__ import annotations

import itertools

import pytest

from purekernel.formats.gem.spec import Platform, parse_platform
from tests.formats.gem.ruby import ask

CPUS = ("x86", "i686", "i586", "x86_64", "universal", "powerpc", "arm-eabi", "")
SYSTEMS = (
    "linux", "linux-gnu", "linux-musl", "linux2", "darwin", "darwin9", "darwin-9", "mswin32",
    "mswin32_60", "mswin64-80", "mingw32", "mingw-ucrt", "java", "java1.6", "jruby",
    "dalvik", "dalvik4", "dotnet", "dotnet-2.0", "dotnet4.0", "freebsd6", "freebsd-6",
    "solaris2.8", "solaris-2.8.1", "openbsd3.9", "netbsdelf",
    "hpux11", "aix5", "aix", "cygwin", "macruby", "bitrig5.6",
    "my_platform3", "other", "plan9-x", "javafoo", "5", "x-y-z", "linux-gnueabihf-2",
)  # fmt: skip


@pytest.mark.parametrize("text", ["", "ruby"])
def test_ruby_and_empty_text_are_no_platform(text: str) -> None:
    assert parse_platform(text) is None


@pytest.mark.parametrize(
    ("text", "cpu", "system", "version"),
    [
        ("x86-mingw32", "x86", "mingw32", None),
        ("x86-mswin32-60", "x86", "mswin32", "60"),
        ("i686-linux", "x86", "linux", None),
        ("java", None, "java", None),
        ("universal-darwin-9", "universal", "darwin", "9"),
        ("mswin32", "x86", "mswin32", None),
        ("powerpc-darwin", "ppc", "darwin", None),
        ("what-ever", "what", "unknown", None),
    ],
)
def test_platform_is_split_into_parts(
    text: str, cpu: str | None, system: str, version: str | None
) -> None:
    platform = Platform(cpu=cpu, system=system, version=version)
    assert parse_platform(text) == platform
    assert str(platform) == "-".join(part for part in (cpu, system, version) if part)


@pytest.mark.oracle
def test_parts_equal_those_of_rubygems() -> None:
    texts = ["-".join(filter(None, pair)) for pair in itertools.product(CPUS, SYSTEMS)]
    texts += ["mswin32", "i586-linux", "powerpc-darwin"]
    theirs = ask(
        "$answer = $cases.map { |text| s = Gem::Specification.new; s.platform = text;"
        " s.platform.to_a }",
        texts,
    )
    ours = []
    for text in texts:
        platform = parse_platform(text)
        assert platform is not None
        ours.append([platform.cpu, platform.system, platform.version])
    assert ours == theirs

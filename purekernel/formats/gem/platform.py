"""Platforms as RubyGems takes them apart: processor, system, version.

Source: Gem::Platform, https://docs.ruby-lang.org/en/master/Gem/Platform.html
"""

from __future__ import annotations

import re

from attrs import frozen

from purekernel.formats.gem.names import RUBY

# Names from before 2007, when a platform was one word.
_OLD_NAMES = {
    "mswin32": "x86-mswin32",
    "i586-linux": "x86-linux",
    "powerpc-darwin": "ppc-darwin",
}

# The system's name, and in a group its version. The first that is found counts.
_SYSTEMS = tuple(
    (re.compile(pattern, re.ASCII), name)
    for pattern, name in (
        (r"aix([0-9]+)?", "aix"),
        (r"cygwin", "cygwin"),
        (r"darwin([0-9]+)?", "darwin"),
        (r"^macruby$", "macruby"),
        (r"freebsd([0-9]+)?", "freebsd"),
        (r"hpux([0-9]+)?", "hpux"),
        (r"^(?:java|jruby)$", "java"),
        (r"^java([0-9.]*)", "java"),
        (r"^dalvik([0-9]+)?$", "dalvik"),
        (r"^dotnet$", "dotnet"),
        (r"^dotnet([0-9.]*)", "dotnet"),
        (r"linux-?((?!gnu)\w+)?", "linux"),
        (r"mingw32", "mingw32"),
        (r"mingw-?(\w+)?", "mingw"),
        (r"mswin[0-9]+(?:_([0-9]+))?", "mswin"),
        (r"netbsdelf", "netbsdelf"),
        (r"openbsd([0-9]+\.[0-9]+)?", "openbsd"),
        (r"bitrig([0-9]+\.[0-9]+)?", "bitrig"),
        (r"solaris([0-9]+\.[0-9]+)?", "solaris"),
    )
)
_MSWIN = re.compile(r"mswin[0-9]+", re.ASCII)
_OTHER = re.compile(r"^(\w+_platform)([0-9]+)?", re.ASCII)


@frozen(kw_only=True)
class Platform:
    """A platform other than ``ruby``.

    Attributes:
        cpu: ``x86``; ``None`` where there is none, as for ``java``.
        system: ``mingw32``.
        version: of the system.
    """

    cpu: str | None
    system: str
    version: str | None = None

    def __str__(self) -> str:
        return "-".join(part for part in (self.cpu, self.system, self.version) if part is not None)


def parse_platform(text: str) -> Platform | None:
    """Return what ``text`` means; ``None`` for ``ruby`` and nothing."""
    if text in ("", RUBY):
        return None
    parts = _OLD_NAMES.get(text, text).split("-")
    if len(parts) > 2 and not re.search(r"[0-9]", parts[-1]):  # x86-linux-gnu
        parts[-2:] = [f"{parts[-2]}-{parts[-1]}"]
    cpu, *rest = parts
    cpu = "x86" if re.search(r"i[0-9]86", cpu) else cpu
    if len(rest) == 2 and re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", rest[1]):
        return Platform(cpu=cpu, system=rest[0], version=rest[1])
    if not rest:
        return _with_system(None, parts[0])
    return _with_system(cpu, rest[0])


def _with_system(cpu: str | None, word: str) -> Platform:
    for pattern, name in _SYSTEMS:
        if found := pattern.search(word):
            return _named(cpu, name, found[1] if pattern.groups else None, word)
    if found := _OTHER.search(word):
        return Platform(cpu=cpu, system=found[1], version=found[2])
    return Platform(cpu=cpu, system="unknown")


def _named(cpu: str | None, name: str, version: str | None, word: str) -> Platform:
    if name == "mswin":
        found = _MSWIN.search(word)
        name = found[0] if found else name
        if cpu is None and name.endswith("32"):
            cpu = "x86"
    return Platform(cpu=cpu, system=name, version=version)

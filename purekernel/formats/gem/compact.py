"""Read the compact index: one text file for each gem, with a line for each of its releases.

``1.7.7-java facter:>= 1.6&< 3,json:>= 0|checksum:…,ruby:>= 1.8.7``: version and platform, the
gems that it needs to run, and what else is known of it.

Source: the compact index of rubygems.org, https://guides.rubygems.org/rubygems-org-compact-index-api/
"""

from __future__ import annotations

import re

from attrs import field, frozen

from purekernel.errors import FormatError, LimitError
from purekernel.formats.gem.gemspec import DEFAULT_KEY
from purekernel.formats.gem.requirement import ANY, Requirement
from purekernel.formats.gem.spec import RUBY, Dependency, is_gem_name, is_platform
from purekernel.formats.gem.version import Version
from purekernel.tree import Buffer, display

HEADER_END = b"---"

# Of rubygems.org's gems, that with the most has some ten thousand.
MAX_RELEASES = 50_000

_SHA256 = re.compile(r"[0-9a-f]{64}")


@frozen(kw_only=True)
class Release:
    """One release of a gem, as an index knows it.

    Attributes:
        version: what was released. Releases are equal when it is written alike.
        platform: ``ruby``, or one such as ``java``.
        dependencies: the gems that it needs to run.
        sha256: of its file, in hexadecimal, where the index has it.
        required_ruby: on the version of Ruby.
        required_rubygems: on the version of RubyGems.
    """

    version: Version = field(eq=lambda version: version.text)
    platform: str = RUBY
    dependencies: tuple[Dependency, ...] = ()
    sha256: str | None = None
    required_ruby: Requirement = ANY
    required_rubygems: Requirement = ANY


def parse_info(data: Buffer, *, source: str) -> tuple[Release, ...]:
    """Return the releases that the file of one gem lists, in its order.

    Lines that cannot be read are passed over, for there are very old releases with broken
    requirements that nobody can install.

    Raises:
        FormatError: there are lines, and none of them can be read.
        LimitError: there are very many.
    """
    lines = bytes(data).split(b"\n")
    if HEADER_END in lines:
        lines = lines[lines.index(HEADER_END) + 1 :]
    lines = [line for line in lines if line.strip()]
    if len(lines) > MAX_RELEASES:
        raise LimitError(
            source=source,
            expected=f"at most {MAX_RELEASES} releases of a gem",
            got=f"{len(lines)}",
            hint="the server's index is damaged or hostile: name another server",
        )
    found = []
    for line in lines:
        try:
            found.append(_release(line.decode("utf-8")))
        except ValueError:
            continue
    if lines and not found:
        raise FormatError(
            source=source,
            expected="releases of a gem, one a line",
            got=display(lines[0][:60]),
            hint="check the server's address: this is no index of gems",
        )
    return tuple(found)


def _release(line: str) -> Release:
    """Return what one line tells.

    Raises:
        ValueError: it is malformed.
    """
    number, _, rest = line.strip().partition(" ")
    text, _, platform = number.partition("-")
    if platform and not is_platform(platform):
        raise ValueError(f"{platform!r} is no platform")
    needs, _, known = rest.partition("|")
    facts = dict(_pair(fact) for fact in known.split(",") if fact)
    sha256 = facts.get("checksum", "").lower()
    return Release(
        version=Version(text),
        platform=platform or RUBY,
        dependencies=tuple(_dependency(need) for need in needs.split(",") if need.strip()),
        sha256=sha256 if _SHA256.fullmatch(sha256) else None,
        required_ruby=_requirement(facts.get("ruby", "")),
        required_rubygems=_requirement(facts.get("rubygems", "")),
    )


def _dependency(text: str) -> Dependency:
    name, requirement = _pair(text)
    if not is_gem_name(name):
        raise ValueError(f"{name!r} is no name of a gem")
    return Dependency(name=name, requirement=_requirement(requirement))


def _requirement(text: str) -> Requirement:
    return Requirement.parse(DEFAULT_KEY.sub("=", text))


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition(":")
    return name, value

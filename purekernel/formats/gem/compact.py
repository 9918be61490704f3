"""Read the compact index: a text file for each gem, with a line for each of its releases.

A line has version and platform, the runtime dependencies, and further facts:
``1.7.7-java facter:>= 1.6&< 3,json:>= 0|checksum:…,ruby:>= 1.8.7``.

Source: the compact index of rubygems.org, https://guides.rubygems.org/rubygems-org-compact-index-api/
"""

from __future__ import annotations

import re

from attrs import field

from purekernel.formats.gem.spec import RUBY, GemDependency, is_gem_name, is_platform
from purekernel.formats.gem.version import ANY, DEFAULT_KEY, GemRequirement, GemVersion
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import display

HEADER_END = b"---"

# The largest number of releases of a gem on rubygems.org is about ten thousand.
MAX_RELEASES = 50_000

_SHA256 = re.compile(r"[0-9a-f]{64}")


@frozen(kw_only=True)
class GemRelease:
    """A release of a gem in an index.

    Attributes:
        version: its version. Releases are equal only if versions are written alike.
        platform: ``ruby``, or another such as ``java``.
        dependencies: the gems that are needed at run time.
        sha256: the digest of its file in hexadecimal; ``None`` if the index does not have it.
        required_ruby: the requirement on the version of Ruby.
        required_rubygems: the requirement on the version of RubyGems.
    """

    version: GemVersion = field(eq=lambda version: version.text)
    platform: str = RUBY
    dependencies: tuple[GemDependency, ...] = ()
    sha256: str | None = None
    required_ruby: GemRequirement = ANY
    required_rubygems: GemRequirement = ANY


def parse_info(file: Input) -> tuple[GemRelease, ...]:
    """Return the releases in the file of one gem, in its order.

    Malformed lines are skipped, because some very old releases have broken requirements and cannot
    be installed.

    Raises:
        FormatError: all lines are malformed.
        LimitError: there are too many lines.
    """
    lines = bytes(file.data).split(b"\n")
    if HEADER_END in lines:
        lines = lines[lines.index(HEADER_END) + 1 :]
    lines = [line for line in lines if line.strip()]
    if len(lines) > MAX_RELEASES:
        raise file.exceed(
            None,
            f"at most {MAX_RELEASES} releases of a gem",
            f"{len(lines)}",
            hint="the server's index is damaged or hostile: use another server",
        )
    releases = []
    for line in lines:
        try:
            releases.append(_release(line.decode("utf-8")))
        except ValueError:
            continue
    if lines and not releases:
        raise file.fail(
            None,
            "releases of a gem, one per line",
            display(lines[0][:60]),
            hint="check the server's address: the file is not an index of gems",
        )
    return tuple(releases)


def _release(line: str) -> GemRelease:
    """Return the release in a line.

    Raises:
        ValueError: the line is malformed.
    """
    number, _, rest = line.strip().partition(" ")
    text, _, platform = number.partition("-")
    if platform and not is_platform(platform):
        raise ValueError(f"{platform!r} is not a platform")
    needs, _, known = rest.partition("|")
    facts = dict(_pair(fact) for fact in known.split(",") if fact)
    sha256 = facts.get("checksum", "").lower()
    return GemRelease(
        version=GemVersion(text),
        platform=platform or RUBY,
        dependencies=tuple(_dependency(need) for need in needs.split(",") if need.strip()),
        sha256=sha256 if _SHA256.fullmatch(sha256) else None,
        required_ruby=_requirement(facts.get("ruby", "")),
        required_rubygems=_requirement(facts.get("rubygems", "")),
    )


def _dependency(text: str) -> GemDependency:
    name, requirement = _pair(text)
    if not is_gem_name(name):
        raise ValueError(f"{name!r} is not the name of a gem")
    return GemDependency(name=name, requirement=_requirement(requirement))


def _requirement(text: str) -> GemRequirement:
    return GemRequirement.parse(DEFAULT_KEY.sub("=", text))


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition(":")
    return name, value

"""Choose releases of one gem for what is required of it, or say why there is none."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import frozen

from purekernel.formats.gem.compact import Release
from purekernel.formats.gem.names import RUBY
from purekernel.formats.gem.requirement import Requirement
from purekernel.formats.gem.version import Version
from purekernel.sources.rubygems.repository import Candidate

# RubyGems up to 1.8.24 writes several clauses on Ruby's version into one text when it installs
# a gem, and cannot read that afterwards: the gem is there and cannot be used.
FIRST_WITH_SEVERAL_CLAUSES = Version("1.8.25")


@frozen(kw_only=True)
class Target:
    """Where gems are to run; ``None`` where that does not matter.

    Attributes:
        ruby: its version.
        rubygems: the version of its RubyGems.
    """

    ruby: Version | None = None
    rubygems: Version | None = None

    def obstacle(self, release: Release) -> str:
        """Say what keeps ``release`` from running there; empty where nothing does."""
        required = release.required_ruby
        if self.ruby is not None and not required.admits(self.ruby):
            return f"needs Ruby {required}"
        if self.rubygems is None:
            return ""
        if not release.required_rubygems.admits(self.rubygems):
            return f"needs RubyGems {release.required_rubygems}"
        if self.rubygems < FIRST_WITH_SEVERAL_CLAUSES and len(required.clauses) > 1:
            return f"needs Ruby {required}, which RubyGems {self.rubygems} cannot read"
        return ""

    def __str__(self) -> str:
        parts = (("Ruby", self.ruby), ("RubyGems", self.rubygems))
        return " and ".join(f"{what} {version}" for what, version in parts if version is not None)


class Choices:
    """The releases of one gem, newest first."""

    def __init__(self, candidates: Collection[Candidate], target: Target) -> None:
        self._all = candidates
        self._target = target
        # Of two versions that are equal, 1.0 and 1.0.0, the longer is the newer.
        self._ruby = sorted(
            (candidate for candidate in candidates if candidate.release.platform == RUBY),
            key=lambda candidate: (candidate.release.version, candidate.release.version.text),
            reverse=True,
        )
        self._running = [found for found in self._ruby if not target.obstacle(found.release)]

    def for_all(self, requirements: Sequence[Requirement]) -> Candidate | None:
        """Return the newest release that meets all of ``requirements``.

        Prereleases are among them where one of the requirements names one.
        """
        prerelease = any(requirement.prerelease for requirement in requirements)
        for candidate in self._running:
            version = candidate.release.version
            if (prerelease or not version.prerelease) and all(
                requirement.admits(version) for requirement in requirements
            ):
                return candidate
        return None

    def why_none(self, requirement: Requirement) -> str:
        """Say why no release meets ``requirement``."""
        if not self._all:
            return "all its releases were withdrawn"
        if not self._ruby:
            platforms = sorted({candidate.release.platform for candidate in self._all})
            return f"it has no release for platform ruby, only for {', '.join(platforms)}"
        matching = [found for found in self._ruby if requirement.accepts(found.release.version)]
        if matching:
            return self._why_not_running(matching[0].release)
        versions = [candidate.release.version for candidate in self._ruby]
        prereleases = [version for version in versions if requirement.admits(version)]
        if prereleases:
            return f"only prereleases would do, such as {prereleases[0]}; none was asked for"
        newest = next((version for version in versions if not version.prerelease), versions[0])
        return f"no release matches; the newest is {newest}"

    def _why_not_running(self, newest: Release) -> str:
        running = next(
            (found for found in self._running if not found.release.version.prerelease), None
        )
        other = (
            "no other release runs there either"
            if running is None
            else f"the newest that runs there is {running.release.version}"
        )
        return (
            f"what matches does not run on {self._target}: {newest.version} "
            f"{self._target.obstacle(newest)}; {other}"
        )

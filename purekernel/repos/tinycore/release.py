"""Locate the ISO, the kernel and initrds, and the extensions of a Tiny Core release on a mirror.

Source: the layout of the mirrors, and tce-fetch.sh and getMirror of Tiny Core, which build
the same URLs.
"""

from __future__ import annotations

import re

from attrs import field

from purekernel.errors import RecipeError
from purekernel.fetch.urls import join_url
from purekernel.formats.tinycore import EDITIONS, arch_of
from purekernel.records import frozen

_VERSION = re.compile(r"([0-9]{1,3})\.(x|[0-9]{1,3}(?:\.[0-9]{1,3})?)")


def _is_version(_release: object, _attribute: object, version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise RecipeError(
            f"the version of Core must be a series or a release, got {version!r}",
            hint="give a series such as 4.x, or a release such as 4.4",
        )


def _is_arch(_release: object, _attribute: object, arch: str) -> None:
    if arch not in EDITIONS:
        raise RecipeError(
            f"the architecture of Core must be {' or '.join(EDITIONS)}, got {arch!r}",
            hint=f"give one of {', '.join(EDITIONS)}",
        )


def check_edition(edition: str | None, arch: str) -> None:
    """Refuse an edition that does not exist for an architecture; ``None`` is the default.

    Raises:
        RecipeError: there is no such edition.
    """
    if edition is not None and edition not in EDITIONS.get(arch, ()):
        *others, last = EDITIONS.get(arch, ("",))
        names = f"{', '.join(others)} or {last}" if others else last
        raise RecipeError(
            f"the edition for {arch} must be {names}, got {edition!r}",
            hint=f"change the edition, or give the architecture {arch_of(edition)}",
        )


def _is_edition(release: CoreRelease, _attribute: object, edition: str | None) -> None:
    check_edition(edition, release.arch)


@frozen(kw_only=True)
class CoreRelease:
    """A release of Core.

    Attributes:
        version: ``4.x`` for the newest release of a series, or a release such as ``4.4``.
        arch: ``x86`` or ``x86_64``.
        edition: the name of the ISO, such as ``TinyCore``; ``None`` for the one without a desktop.

    Raises:
        RecipeError: the version, the architecture or the edition is not valid.
    """

    version: str = field(default="4.x", validator=_is_version)
    arch: str = field(default="x86", validator=_is_arch)
    edition: str | None = field(default=None, validator=_is_edition)

    @property
    def series(self) -> str:
        """The folder of a mirror that holds the release, such as ``4.x``."""
        return f"{self.version.partition('.')[0]}.x"

    def extension_folder(self, mirror: str) -> str:
        """Return the URL or path of the extensions on ``mirror``."""
        return join_url(mirror, self.series, self.arch, "tcz")

    def iso_places(self) -> tuple[str, ...]:
        """Return the possible paths of the ISO on a mirror, newest location first.

        A release moves from ``release/`` to ``archive/VERSION/`` when a newer one appears.
        """
        name = self.edition or EDITIONS[self.arch][0]
        if self.version == self.series:
            paths = [f"release/{name}-current.iso"]
        else:
            file_name = f"{name}-{self.version}.iso"
            paths = [f"release/{file_name}", f"archive/{self.version}/{file_name}"]
        return tuple(f"{self.series}/{self.arch}/{path}" for path in paths)

    def iso_urls(self, mirrors: tuple[str, ...]) -> tuple[str, ...]:
        """Return the possible URLs of the ISO on each mirror, newest location first."""
        return tuple(join_url(mirror, path) for mirror in mirrors for path in self.iso_places())

    def part_place(self, name: str) -> str:
        """Return the path of a kernel or initrd on a mirror.

        The folder is beside the ISO; an older release has its own under ``archive/``.
        """
        folder = "release" if self.version == self.series else f"archive/{self.version}"
        return f"{self.series}/{self.arch}/{folder}/distribution_files/{name}"

    def part_urls(self, mirrors: tuple[str, ...], name: str) -> tuple[str, ...]:
        """Return the URLs of a kernel or initrd on each mirror."""
        return tuple(join_url(mirror, self.part_place(name)) for mirror in mirrors)

"""Which Tiny Core: where a mirror keeps its ISO and its extensions.

Source: the layout of the mirrors, and tce-fetch.sh and getMirror of Tiny Core, which build
the same addresses.
"""

from __future__ import annotations

import re

from attrs import field, frozen

from purekernel.errors import RecipeError
from purekernel.fetch.urls import join_url

# What the ISO without a desktop is called, by architecture.
ISO_NAMES = {"x86": "Core", "x86_64": "CorePure64"}

_VERSION = re.compile(r"([0-9]{1,3})\.(x|[0-9]{1,3}(?:\.[0-9]{1,3})?)")


def _is_version(_release: object, _attribute: object, version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise RecipeError(
            f"{version!r} is no version of Core", hint="say 4.x for the newest of 4, or 4.4"
        )


def _is_arch(_release: object, _attribute: object, arch: str) -> None:
    if arch not in ISO_NAMES:
        raise RecipeError(
            f"{arch!r} is no architecture of Core's", hint=f"there are {', '.join(ISO_NAMES)}"
        )


@frozen(kw_only=True)
class Release:
    """A release of Core.

    Attributes:
        version: ``4.x`` for the newest of a series, or a release such as ``4.4``.
        arch: ``x86`` or ``x86_64``.

    Raises:
        RecipeError: there can be no such release.
    """

    version: str = field(default="4.x", validator=_is_version)
    arch: str = field(default="x86", validator=_is_arch)

    @property
    def series(self) -> str:
        """The folder of a mirror that it lies in: ``4.x``."""
        return f"{self.version.partition('.')[0]}.x"

    def extension_folder(self, mirror: str) -> str:
        """Return where ``mirror`` keeps the extensions."""
        return join_url(mirror, self.series, self.arch, "tcz")

    def iso_places(self) -> tuple[str, ...]:
        """Return where the ISO may lie below a mirror, newest place first.

        Releases move from ``release/`` to ``archive/VERSION/`` when a newer one comes.
        """
        name = ISO_NAMES[self.arch]
        if self.version == self.series:
            places = [f"release/{name}-current.iso"]
        else:
            file_name = f"{name}-{self.version}.iso"
            places = [f"release/{file_name}", f"archive/{self.version}/{file_name}"]
        return tuple(f"{self.series}/{self.arch}/{place}" for place in places)

    def iso_urls(self, mirrors: tuple[str, ...]) -> tuple[str, ...]:
        """Return where the ISO may lie: on each mirror, newest place first."""
        return tuple(join_url(mirror, place) for mirror in mirrors for place in self.iso_places())

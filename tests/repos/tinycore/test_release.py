from __future__ import annotations

import os

import pytest

from purekernel.errors import RecipeError
from purekernel.repos.tinycore import CoreRelease

MIRRORS = ("http://one.example/", "../two")


def below(folder: str, path: str) -> str:
    """Return a path below a folder, with the separators of the host."""
    return folder + os.sep + path.replace("/", os.sep)


def test_series_has_one_iso_url_per_mirror() -> None:
    release = CoreRelease()
    assert release.series == "4.x"
    assert release.iso_urls(MIRRORS) == (
        "http://one.example/4.x/x86/release/Core-current.iso",
        below("../two", "4.x/x86/release/Core-current.iso"),
    )
    assert release.extension_folder(MIRRORS[0]) == "http://one.example/4.x/x86/tcz"


def test_query_stays_after_the_path() -> None:
    release, mirror = CoreRelease(), "http://one.example/tc/?token=a/b="
    assert release.iso_urls((mirror,)) == (
        "http://one.example/tc/4.x/x86/release/Core-current.iso?token=a/b=",
    )
    assert release.extension_folder(mirror) == "http://one.example/tc/4.x/x86/tcz?token=a/b="
    assert release.iso_places() == ("4.x/x86/release/Core-current.iso",)


def test_release_has_release_and_archive_urls() -> None:
    release = CoreRelease(version="15.0", arch="x86_64")
    assert release.series == "15.x"
    assert release.iso_urls(MIRRORS[1:]) == (
        below("../two", "15.x/x86_64/release/CorePure64-15.0.iso"),
        below("../two", "15.x/x86_64/archive/15.0/CorePure64-15.0.iso"),
    )


@pytest.mark.parametrize("version", ["", "4", "x.4", "4.4.4.4", "../4.x", "current"])
def test_invalid_version_is_an_error(version: str) -> None:
    with pytest.raises(RecipeError) as caught:
        CoreRelease(version=version)
    assert (
        str(caught.value) == f"the version of Core must be a series or a release, got {version!r}"
    )


def test_unknown_architecture_is_an_error() -> None:
    with pytest.raises(RecipeError) as caught:
        CoreRelease(arch="arm")
    assert str(caught.value) == "the architecture of Core must be x86 or x86_64, got 'arm'"
    assert caught.value.hint == "give one of x86, x86_64"


@pytest.mark.parametrize(
    ("arch", "edition"),
    [("x86", "TinyCore"), ("x86", "CorePlus"), ("x86_64", "TinyCorePure64"), ("x86", "Core")],
)
def test_edition_is_the_name_of_the_iso(arch: str, edition: str) -> None:
    release = CoreRelease(version="17.x", arch=arch, edition=edition)
    assert release.iso_places() == (f"17.x/{arch}/release/{edition}-current.iso",)
    release = CoreRelease(version="17.0", arch=arch, edition=edition)
    assert release.iso_places() == (
        f"17.x/{arch}/release/{edition}-17.0.iso",
        f"17.x/{arch}/archive/17.0/{edition}-17.0.iso",
    )


def test_edition_of_another_architecture_is_an_error() -> None:
    with pytest.raises(RecipeError) as caught:
        CoreRelease(arch="x86", edition="CorePure64")
    assert str(caught.value) == (
        "the edition for x86 must be Core, TinyCore or CorePlus, got 'CorePure64'"
    )
    assert caught.value.hint == "change the edition, or give the architecture x86_64"

from __future__ import annotations

import pytest

from purekernel.errors import RecipeError
from purekernel.repos.tinycore import Release

MIRRORS = ("http://one.example/", "../two")


def test_the_newest_of_a_series_is_in_one_place_on_each_mirror() -> None:
    release = Release()
    assert release.series == "4.x"
    assert release.iso_urls(MIRRORS) == (
        "http://one.example/4.x/x86/release/Core-current.iso",
        "../two/4.x/x86/release/Core-current.iso",
    )
    assert release.extension_folder(MIRRORS[0]) == "http://one.example/4.x/x86/tcz"


def test_a_token_stays_behind_the_path() -> None:
    release, mirror = Release(), "http://one.example/tc/?token=a/b="
    assert release.iso_urls((mirror,)) == (
        "http://one.example/tc/4.x/x86/release/Core-current.iso?token=a/b=",
    )
    assert release.extension_folder(mirror) == "http://one.example/tc/4.x/x86/tcz?token=a/b="
    assert release.iso_places() == ("4.x/x86/release/Core-current.iso",)


def test_a_release_moves_to_the_archive() -> None:
    release = Release(version="15.0", arch="x86_64")
    assert release.series == "15.x"
    assert release.iso_urls(MIRRORS[1:]) == (
        "../two/15.x/x86_64/release/CorePure64-15.0.iso",
        "../two/15.x/x86_64/archive/15.0/CorePure64-15.0.iso",
    )


@pytest.mark.parametrize("version", ["", "4", "x.4", "4.4.4.4", "../4.x", "current"])
def test_versions_that_there_cannot_be(version: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Release(version=version)
    assert str(caught.value) == f"{version!r} is no version of Core"


def test_architectures_that_there_are_not() -> None:
    with pytest.raises(RecipeError) as caught:
        Release(arch="arm")
    assert str(caught.value) == "'arm' is no architecture of Core's"
    assert caught.value.hint == "there are x86, x86_64"

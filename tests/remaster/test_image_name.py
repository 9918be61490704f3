from __future__ import annotations

import pytest

from purekernel.errors import PurekernelError
from purekernel.razor.microkernel import Microkernel
from purekernel.recipe.composition import check_version, remaster_identity
from purekernel.recipe.flavour import Flavour, Generation


@pytest.mark.parametrize("version", ["0.9.0.1", "v1", "0.12.0+3-gdeadbee-dirty", "1_0~rc1"])
def test_valid_versions_are_accepted(version: str) -> None:
    assert check_version(version) == version


@pytest.mark.parametrize(
    "version", ["", "../x", "a b", "a/b", "-rf", "1\n", "é", "$(reboot)", "1" * 65, ".1"]
)
def test_invalid_versions_are_refused(version: str) -> None:
    with pytest.raises(PurekernelError) as caught:
        check_version(version)
    assert str(caught.value) == f"the image's version is not valid: got {version!r}"


def test_microkernel_name_depends_on_its_generation() -> None:
    def made(generation: Generation, version: str = "1.2") -> tuple[str, str, str]:
        identity = Microkernel(
            version=version,
            flavour=Flavour.PROD,
            generation=generation,
            licences=((b"LICENSE", b""),),
        ).identity
        return identity.name, identity.volume.volume_id, identity.volume.copyright_file_id

    assert made(Generation.V2012) == ("rz_mk_prod-image.1.2", "TC-custom", "")
    assert made(Generation.V2013) == ("rz_mk_prod-image.1.2", "Razor MK 1.2", "LICENSE")
    long = "0.12.0+3-gdeadbeef-dirty-indeed"
    assert made(Generation.V2013, long)[1] == "Razor MK 0.12.0+3-gdeadbeef-dir"


def test_remaster_name_is_the_recipe_name_and_version() -> None:
    plain = remaster_identity(name="my-core", version=None, flavour=None)
    assert (plain.name, plain.volume.volume_id) == ("my-core", "my-core")
    versioned = remaster_identity(name="my-core", version="1.0", flavour=Flavour.DEV)
    assert (versioned.name, versioned.volume.volume_id) == ("my-core-1.0", "my-core-1.0")
    assert versioned.generation is None
    long = remaster_identity(name="n" * 40, version="1", flavour=None)
    assert long.volume.volume_id == "n" * 32
    assert long.with_volume({"volume_id": "X"}).volume.volume_id == "X"

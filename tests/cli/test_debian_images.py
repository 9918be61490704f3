"""Look into images that Debian's packages have, by each command that opens an image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from purekernel.cli.app import main
from tests.oracles import require, run

pytestmark = [pytest.mark.oracle, pytest.mark.nightly]

NETBOOT = "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64"

# The package, the image in it, and what the image is.
IMAGES = (
    ("grub-rescue-pc", "usr/lib/grub-rescue/grub-rescue-cdrom.iso", "iso"),
    ("grub-rescue-pc", "usr/lib/grub-rescue/grub-rescue-floppy.img", "iso"),
    ("ipxe", "usr/lib/ipxe/ipxe.iso", "iso"),
    ("ipxe", "boot/ipxe.lkrn", "bzimage"),
    ("memtest86+", "usr/lib/memtest86+/memtest86+x64.iso", "iso"),
    ("memtest86+", "boot/memtest86+x64.bin", "bzimage"),
    ("debian-installer-12-netboot-amd64", f"{NETBOOT}/initrd.gz", "cpio"),
    ("debian-installer-12-netboot-amd64", NETBOOT, None),
)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a folder for each package."""
    require("apt-get")
    require("dpkg-deb")
    folder = tmp_path_factory.mktemp("packages")
    for name in dict.fromkeys(package for package, _path, _kind in IMAGES):
        run("apt-get", "download", "-q", name, cwd=folder)
        (package,) = folder.glob(f"{name}_*.deb")
        run("dpkg-deb", "-x", package, folder / name)
        package.unlink()
    return folder


@pytest.mark.parametrize("place", IMAGES, ids=lambda place: "/".join(place[:2]))
def test_image_is_inspected_linted_verified_reported_and_equal_to_itself(
    place: tuple[str, str, str | None],
    packages: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package, path, kind = place
    image = str(packages / package / path)
    assert main(["inspect", image, "--json"]) == 0
    inspected = json.loads(capsys.readouterr().out)
    assert inspected["parts"][0]["kind"] == kind
    assert main(["lint", image, "--json"]) == 0
    assert {each["code"] for each in json.loads(capsys.readouterr().out)["findings"]} <= {
        "PK106", "PK501", "PK601", "PK604", "PK704",
    }  # fmt: skip
    assert main(["verify", image, "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [check for check in checks if check["result"] == "failed"] == []
    page = tmp_path / "report.html"
    assert main(["report", image, "-o", str(page)]) == 0
    assert page.stat().st_size < 3_000_000
    assert main(["diff", image, image]) == 0

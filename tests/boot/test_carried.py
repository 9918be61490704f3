"""Test that a hybrid base that is remastered boots as CD and as disk, by BIOS and UEFI."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from purekernel.cli.app import main
from purekernel.formats.tar import build_tar
from purekernel.tree import Tree
from tests.boot.cores import put
from tests.boot.machine import talk
from tests.oracles import skip_or_fail
from tests.shared import modern

pytestmark = pytest.mark.boot

FIRMWARE = Path("/usr/share/OVMF")
FILES = ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd")
LINE = "the overlay is there"

CD, USB = ("-cdrom", "{iso}"), (
    *("-device", "usb-ehci", "-device", "usb-storage,drive=stick"),
    *("-drive", "if=none,id=stick,format=raw,readonly=on,file={iso}"),
)  # fmt: skip


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Remaster the hybrid base with an overlay whose script prints a line."""
    folder = tmp_path_factory.mktemp("carried")
    overlay = Tree()
    script = f"#!/bin/sh\necho '{LINE}' > /dev/ttyS0\n".encode()
    put(overlay, b"opt/bootlocal.sh", script, mode=0o755)
    (folder / "overlay.tar").write_bytes(build_tar(overlay))
    base = (modern() / "TinyCorePure64-look.iso").as_posix()
    (folder / "purekernel.toml").write_text(
        f'name = "t"\n[core]\niso = "{base}"\narch = "x86_64"\nversion = "17.x"\n'
        f'[mirrors]\ntinycore = ["m"]\n[[overlay]]\npath = "overlay.tar"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["build", "--effort", "fast", "--quiet", "--cache-dir", "c", "-o", "."]) == 0
    return folder / "t.iso"


def _firmware(folder: Path) -> list[str]:
    """Return the options for OVMF, with a fresh copy of its variables."""
    for name in FILES:
        if not (FIRMWARE / name).is_file():
            skip_or_fail("Debian's package ovmf is not installed")
    variables = folder / "variables.fd"
    shutil.copy(FIRMWARE / FILES[1], variables)
    return [
        *("-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE / FILES[0]}"),
        *("-drive", f"if=pflash,format=raw,file={variables}"),
    ]


@pytest.mark.parametrize(
    ("uefi", "medium"),
    [
        pytest.param(False, CD, id="BIOS-CD", marks=pytest.mark.nightly),
        pytest.param(True, CD, id="UEFI-CD"),
        pytest.param(False, USB, id="BIOS-USB"),
        pytest.param(True, USB, id="UEFI-USB", marks=pytest.mark.nightly),
    ],
)
def test_hybrid_base_boots_in_all_its_ways(
    uefi: bool, medium: tuple[str, ...], output: Path, tmp_path: Path
) -> None:
    options = [word.format(iso=str(output).replace(",", ",,")) for word in medium]
    firmware = _firmware(tmp_path) if uefi else []
    machine_words = ("-accel", "tcg", "-cpu", "max", "-net", "none", *firmware, *options)
    with talk(*machine_words, memory_mb=768, processor="x86_64") as machine:
        machine.expect(LINE.encode())

"""Test boot loaders for UEFI from extensions, packages, the base, and URLs: plan, lock, build."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from fixtures.repository import make_repository
from purekernel.cli import main
from purekernel.encode.encoders import Effort
from purekernel.encode.squashfs import SquashfsCompression, make_codec
from purekernel.formats.fat import parse_fat
from purekernel.formats.iso import EFI, parse_iso
from purekernel.formats.squashfs.writer import build_squashfs
from purekernel.input import Input
from purekernel.plan.lock import parse_lock
from purekernel.tree import File, Metadata, Tree, put_file
from tests import debs, pes
from tests.executors import AtOnce
from tests.workshop import two_lines

GRUB = pes.make_grub()
SIGNED = pes.make_grub(signature=b"PKCS#7 ..")
SHIM = pes.make_shim(signature=b"PKCS#7 ..")
INDEX = "dists/bookworm/main/binary-i386/Packages.gz"

RECIPE = """\
name = "mine"
[core]
iso = "base.iso"
[mirrors]
tinycore = ["mirror"]
debian-packages = ["debian/dists/bookworm/main/binary-i386/Packages.gz"]
[boot.efi]
loader = "shim-signed.deb:usr/lib/shim/shimx64.efi.signed"
[[boot.efi.file]]
path = "EFI/BOOT/grubx64.efi"
source = "grub-signed.deb:usr/lib/grub/grubx64.efi.signed"
[[boot.efi.file]]
path = "EFI/tools/extension.efi"
source = "loaders.tcz:usr/local/grubx64.efi"
[[boot.efi.file]]
path = "EFI/tools/base.efi"
source = "base:EFI/BOOT/BOOTX64.EFI"
[[boot.efi.file]]
path = "EFI/tools/own.efi"
source = "own.efi"
"""


def package(top: Path, name: str, path: str, content: bytes) -> bytes:
    """Write a package into an archive; return its stanza of the index."""
    words = debs.control(name, "1.0", "all", {"Depends": "a-package-that-no-archive-has"})
    made = debs.deb(words, data=[debs.entry(path, content)])
    place = f"pool/{name}_1.0_all.deb"
    (top / place).parent.mkdir(parents=True, exist_ok=True)
    (top / place).write_bytes(made)
    return debs.listed(words, made, place) + b"\n"


def extension() -> bytes:
    tree = Tree()
    put_file(tree, b"usr/local/grubx64.efi", GRUB, metadata=Metadata(mode=0o644))
    codec = make_codec(SquashfsCompression.GZIP, Effort.BALANCED, 4096)
    return build_squashfs(tree, codec=codec, executor=AtOnce())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    beside = {b"EFI/BOOT/BOOTX64.EFI": GRUB}
    (tmp_path / "base.iso").write_bytes(make_core_iso(beside_boot=beside))
    (tmp_path / "own.efi").write_bytes(GRUB)
    files = make_repository({"loaders.tcz": ["gone.tcz"]}, contents={"loaders.tcz": extension()})
    for name, content in files.items():
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    archive = tmp_path / "debian"
    index = package(archive, "shim-signed", "./usr/lib/shim/shimx64.efi.signed", SHIM)
    index += package(archive, "grub-signed", "./usr/lib/grub/grubx64.efi.signed", SIGNED)
    (archive / INDEX).parent.mkdir(parents=True)
    data = gzip.compress(index, mtime=0)
    (archive / INDEX).write_bytes(data)
    line = f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-i386/Packages.gz\n"
    (archive / "dists/bookworm/InRelease").write_text(f"Codename: bookworm\nSHA256:\n{line}")
    (tmp_path / "purekernel.toml").write_text(RECIPE)
    return tmp_path


def partition(path: Path) -> dict[str, bytes]:
    iso = parse_iso(Input(path.read_bytes(), name="mine.iso"))
    assert iso.boot is not None
    (entry,) = (entry for entry in iso.boot.entries if entry.platform == EFI)
    tree = parse_fat(Input(iso.boot.image_of(entry, iso.tree), name="efiboot.img"))
    return {
        path.decode(): bytes(node.content) for path, node in tree.walk() if isinstance(node, File)
    }


def test_loaders_come_from_packages_extensions_the_base_and_files(folder: Path) -> None:
    assert main(["build", "-q"]) == 0
    found = partition(folder / "mine.iso")
    assert found.pop("EFI/debian/grub.cfg").startswith(b"insmod all_video\n")
    assert found == {
        "EFI/BOOT/BOOTX64.EFI": SHIM,
        "EFI/BOOT/grubx64.efi": SIGNED,
        "EFI/tools/extension.efi": GRUB,
        "EFI/tools/base.efi": GRUB,
        "EFI/tools/own.efi": GRUB,
    }


def test_locked_loaders_are_built_offline_without_the_mirrors(folder: Path) -> None:
    assert main(["lock", "-q"]) == 0
    lock = parse_lock((folder / "purekernel.lock").read_bytes(), source="purekernel.lock")
    assert sorted(lock.packages) == ["grub-signed.tcz", "shim-signed.tcz"]
    assert sorted(lock.extensions) == ["loaders.tcz"]
    assert "boot.efi file EFI/tools/own.efi" in lock.files
    assert main(["build", "-q", "-o", "first/"]) == 0
    shutil.rmtree(folder / "mirror")
    shutil.rmtree(folder / "debian")
    assert main(["build", "-q", "--locked", "--offline", "-o", "second/"]) == 0
    assert (folder / "first/mine.iso").read_bytes() == (folder / "second/mine.iso").read_bytes()


def test_lock_that_does_not_pin_a_loader_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "purekernel.toml").write_text(RECIPE.partition("[boot.efi]")[0])
    assert main(["lock", "-q"]) == 0
    (folder / "purekernel.toml").write_text(RECIPE)
    assert main(["build", "-q"]) == 1
    messages = [message for message, _hint in two_lines(capsys.readouterr().err)]
    assert any("grub-signed" in message for message in messages)
    assert any("boot.efi file EFI/tools/own.efi" in message for message in messages)
    (folder / "purekernel.lock").unlink()
    assert main(["lock", "-q"]) == 0
    text = RECIPE.replace('source = "own.efi"', 'source = "./own.efi"')
    (folder / "purekernel.toml").write_text(text)
    assert main(["build", "-q"]) == 1


def test_lock_with_a_loader_that_is_not_needed_does_not_fit(folder: Path) -> None:
    assert main(["lock", "-q"]) == 0
    (folder / "purekernel.toml").write_text(RECIPE.partition("[boot.efi]")[0])
    assert main(["build", "-q", "--locked"]) == 1


def test_dry_run_shows_loaders_and_where_they_come_from(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "boots by UEFI" in shown
    for name in ("shim-signed_1.0_all.deb", "grub-signed_1.0_all.deb", "loaders.tcz", "own.efi"):
        assert name in shown
    assert not (folder / "mine.iso").exists()


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        (
            ("grubx64.efi.signed", "grubx64.efi"),
            "grub-signed_1.0_all.deb:usr/lib/grub has no grubx64.efi",
            "",
        ),
        (
            ("grub-signed.deb", "grub-singed.deb"),
            "line 11, source under [[boot.efi.file]]: no mirror has grub-singed.deb",
            "",
        ),
        (
            ("loaders.tcz", "loader.tcz"),
            "purekernel.toml, line 14, source under [[boot.efi.file]]: no mirror has loader.tcz",
            "did you mean loaders.tcz? correct the name, or take the files from another extension",
        ),
        (
            ("base:EFI", "base:efi"),
            "purekernel.toml, line 17, source under [[boot.efi.file]]: base.iso has no efi",
            "did you mean base.iso:EFI? it has EFI, boot",
        ),
        (
            ('source = "own.efi"', f'source = "own.efi"\nsha256 = "{"0" * 64}"'),
            "purekernel.toml, line 21, sha256 under [[boot.efi.file]]",
            "",
        ),
    ],
)
def test_source_that_is_missing_or_wrong_is_an_error_with_its_line(
    change: tuple[str, str],
    message: str,
    hint: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "purekernel.toml").write_text(RECIPE.replace(*change))
    assert main(["build", "-q"]) == 1
    ((found, advice),) = two_lines(capsys.readouterr().err)
    assert message in found
    assert advice == hint or not hint
    assert not (folder / "mine.iso").exists()


def test_file_beside_the_recipe_stands_before_the_mirrors_package(folder: Path) -> None:
    data = [debs.entry("./usr/lib/grub/grubx64.efi.signed", GRUB)]
    (folder / "grub-signed.deb").write_bytes(debs.deb(data=data))
    assert main(["build", "-q"]) == 0
    assert partition(folder / "mine.iso")["EFI/BOOT/grubx64.efi"] == GRUB


def test_places_in_an_extended_recipe_are_relative_to_it(folder: Path) -> None:
    (folder / "site").mkdir()
    (folder / "site/own.efi").write_bytes(SIGNED)
    head, _table, rest = RECIPE.partition("[boot.efi]")
    (folder / "site/uefi.toml").write_text("[boot.efi]" + rest)
    (folder / "purekernel.toml").write_text(f'extends = ["site/uefi.toml"]\n{head}')
    assert main(["build", "-q"]) == 0
    found = partition(folder / "mine.iso")
    assert found["EFI/tools/own.efi"] == SIGNED
    assert found["EFI/tools/base.efi"] == GRUB

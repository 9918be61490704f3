from __future__ import annotations

from pathlib import Path

import pytest
from attrs import fields_dict

import purekernel
from purekernel import Context, Emit, Image, Outputs, sample_bundle, write_image
from purekernel.cli.build import build_command
from purekernel.cli.bundle import bundle_command
from purekernel.cli.fetch import fetch_command
from purekernel.cli.gathering import REQUEST_OPTIONS, STORE_OPTIONS
from purekernel.cli.lock import lock_command
from purekernel.errors import InputError, OutputError, UsageError
from purekernel.recipe.request import Request
from tests.builds import make_image


def test_every_public_name_exists_and_is_listed_once() -> None:
    assert sorted(purekernel.__all__) == sorted({*purekernel._HOMES, "__version__"})
    for name in purekernel.__all__:
        assert getattr(purekernel, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = purekernel.nonsense


def test_every_option_of_build_is_an_attribute_of_a_record() -> None:
    options = {parameter.name for parameter in build_command.params}
    # These control printing, or choose a source.
    options -= {"quiet", "verbose", "json", "dry_run", "bundle", "sample"}
    # The records have other names for these.
    boot = {"boot_append", "boot_serial", "boot_timeout", "boot_default"}
    volume = {"volume_id", "application", "publisher", "preparer", "system"}
    renamed = {
        "emit": "kinds", "output": "folder", "no_nested": "nested", "no_changes": "changes",
        "max_unpacked": "limits",
    }  # fmt: skip
    disk = {"disk_format", "disk_size", "disk_free"}
    assert {*boot, *volume, *disk, *renamed} <= options
    options -= {*boot, *volume, *disk, *renamed}
    records = {*fields_dict(Request), *fields_dict(Context), *fields_dict(Outputs)}
    assert {*renamed.values(), "boot", "volume", "disk"} <= records
    assert options == records - {*renamed.values(), "boot", "volume", "disk"} - {
        # Only users of the library can set these.
        "environment", "progress", "report", "cache", "file", "stream",
    }  # fmt: skip
    assert set(REQUEST_OPTIONS) == set(fields_dict(Request))
    assert set(STORE_OPTIONS) <= set(fields_dict(Context))


def test_every_command_that_fetches_has_the_same_options() -> None:
    only_build = {"keep_owners", "keep_iso_files", "drop_boot", "boot", "volume", "overlays"}
    only_build |= {"layout", "strict", "rootfs_compression"}
    assert "locked" not in {parameter.name for parameter in lock_command.params}
    only_build |= {"locked", "hybrid", "disk", "embed"}
    for command in (build_command, bundle_command, fetch_command, lock_command):
        options = {parameter.name for parameter in command.params}
        assert {*REQUEST_OPTIONS, *STORE_OPTIONS} - only_build <= options


@pytest.fixture(scope="module")
def image() -> Image:
    return make_image(sample=True)


def test_dir_lists_the_public_names_and_no_others() -> None:
    assert dir(purekernel) == sorted(purekernel.__all__)


def test_representations_of_values_are_short(image: Image) -> None:
    assert len(repr(image)) < 2000
    assert image.name in repr(image)
    assert len(repr(sample_bundle())) < 2000


def test_file_of_an_image_is_read_by_path(image: Image) -> None:
    assert image.root.read("etc/passwd").startswith(b"root:")
    assert image.root.read(b"/etc/passwd") == image.root.read("etc/passwd")


def test_paths_and_outputs_may_be_strings(image: Image, tmp_path: Path) -> None:
    (output,) = write_image(image, str(tmp_path), kinds=["iso"])
    assert output.path == tmp_path / f"{image.name}.iso"
    assert len(write_image(image, tmp_path, kinds=[Emit.CORE, "pxe"])) == 6


def test_empty_request_is_refused(image: Image, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no output is named"):
        write_image(image, tmp_path, kinds=[])
    with pytest.raises(
        UsageError, match="tce, rootfs, oci, disk, sbom or provenance: 'usb' is not a valid"
    ):
        write_image(image, tmp_path, kinds=["usb"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_single_overlay_needs_no_list(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hello").write_text("x")
    for overlays in (tmp_path, str(tmp_path), [tmp_path]):
        assert b"etc/hello" in make_image(sample=True, overlays=overlays).root


def test_nul_in_path_is_reported(image: Image, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        make_image("a\0b")
    with pytest.raises(InputError):
        make_image(sample=True, overlays="a\0b")
    with pytest.raises(OutputError):
        write_image(image, tmp_path / "a\0b")

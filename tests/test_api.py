from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from attrs import fields_dict

import purekernel
from purekernel import (
    Emit,
    Encoding,
    Image,
    Provision,
    Request,
    make_image,
    sample_bundle,
    write_image,
)
from purekernel.cli.build import build_command
from purekernel.cli.bundle import bundle_command
from purekernel.cli.fetch import fetch_command
from purekernel.cli.gathering import PROVISION_OPTIONS, REQUEST_OPTIONS
from purekernel.cli.lock import lock_command
from purekernel.errors import InputError, OutputError, UsageError


def test_every_public_name_is_there_and_listed_once() -> None:
    assert sorted(purekernel.__all__) == sorted({*purekernel._HOMES, "__version__"})
    for name in purekernel.__all__:
        assert getattr(purekernel, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = purekernel.nonsense


def test_the_library_takes_what_the_command_takes() -> None:
    """Save what is about printing, about writing, and the fields that are one argument."""
    options = {parameter.name for parameter in build_command.params}
    options -= {"quiet", "verbose", "as_json", "emit", "output_dir", "dry_run"}
    options -= {"volume_id", "application", "publisher", "preparer", "system"}
    arguments = set(inspect.signature(make_image).parameters) - {"volume", "progress"}
    arguments -= {"request", "provision", "environment", "encoding"}
    # Which outputs are written is said to write_image().
    arguments -= {"writes_iso"}
    # How the core is packed is one argument, too; what runs it and what remembers is a library's.
    packing = {"effort", "jobs", "no_nested", "modules", "compression", "executor"}
    assert packing <= options
    options -= packing
    assert set(fields_dict(Encoding)) == {
        "effort", "jobs", "nested", "modules", "compression", "executor", "cache",
    }  # fmt: skip
    gathered = {*fields_dict(Request), *fields_dict(Provision)}
    assert arguments | gathered == options
    assert set(REQUEST_OPTIONS) == set(fields_dict(Request))
    assert set(PROVISION_OPTIONS) == set(fields_dict(Provision))


def test_every_command_that_gathers_takes_the_same() -> None:
    for command in (build_command, bundle_command, fetch_command, lock_command):
        options = {parameter.name for parameter in command.params}
        assert {*REQUEST_OPTIONS, *PROVISION_OPTIONS} <= options


@pytest.fixture(scope="module")
def image() -> Image:
    return make_image(sample=True)


def test_dir_lists_the_public_names_and_no_others() -> None:
    assert dir(purekernel) == sorted(purekernel.__all__)


def test_values_are_short_when_printed(image: Image) -> None:
    assert len(repr(image)) < 2000
    assert image.name in repr(image)
    assert len(repr(sample_bundle())) < 2000


def test_file_of_an_image_is_read_by_its_path(image: Image) -> None:
    assert image.root.read("etc/passwd").startswith(b"root:")
    assert image.root.read(b"/etc/passwd") == image.root.read("etc/passwd")


def test_paths_may_be_text_and_outputs_words(image: Image, tmp_path: Path) -> None:
    (output,) = write_image(image, str(tmp_path), emit=["iso"])
    assert output.path == tmp_path / f"{image.name}.iso"
    assert len(write_image(image, tmp_path, emit=[Emit.CORE, "pxe"])) == 6


def test_nothing_to_make_is_refused(image: Image, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no output is named"):
        write_image(image, tmp_path, emit=[])
    with pytest.raises(UsageError, match="iso, core or pxe: 'usb' is not a valid Emit"):
        write_image(image, tmp_path, emit=["usb"])
    assert list(tmp_path.iterdir()) == []


def test_one_overlay_may_stand_alone(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hello").write_text("x")
    for overlays in (tmp_path, str(tmp_path), [tmp_path]):
        assert b"etc/hello" in make_image(sample=True, overlays=overlays).root


def test_a_nul_in_a_path_is_ours_to_report(image: Image, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        make_image("a\0b")
    with pytest.raises(InputError):
        make_image(sample=True, overlays="a\0b")
    with pytest.raises(OutputError):
        write_image(image, tmp_path / "a\0b")

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.bundle import make_bundle, make_bundle_tree
from purekernel.errors import BundleError, FormatError
from purekernel.formats.tar import build_tar
from purekernel.razor.bundle import parse_bundle
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.tree import Directory, File, Metadata, Symlink, Tree

ISO = b"stands in for an ISO"
FILE = Metadata(mode=0o644)


@pytest.mark.parametrize("flavour", ["dev", "prod", "debug"])
@pytest.mark.parametrize("generation", ["2012", "2013"])
def test_bundle_reports_generation_flavour_and_version(generation: str, flavour: str) -> None:
    data = make_bundle(generation=generation, flavour=flavour, version="1.2+3", iso=ISO)
    bundle = parse_bundle(data, source="b")
    assert bundle.flavour is Flavour(flavour)
    assert bundle.generation is Generation(generation)
    assert bytes(bundle.iso) == ISO
    assert bundle.version == ("1.2+3" if generation == "2013" else None)
    assert [name for name, _content in bundle.licences] == [b"COPYING", b"LICENSE"]
    names = [name.removeprefix("dependencies/") for name, _content in bundle.overlays]
    expected = ["mk-open-vm-tools.tar.gz", "razor-microkernel-overlay.tar.gz"]
    expected += ["mcollective-setup-files.tar.gz"] * (generation == "2012")
    expected += ["ssh-setup-files.tar.gz"] * (flavour != "prod")
    assert names == expected


def _without(path: bytes) -> Callable[[Tree], None]:
    return lambda tree: tree.remove(path)


def _with(path: bytes, content: bytes) -> Callable[[Tree], None]:
    return lambda tree: tree.add(path, File(metadata=FILE, content=content))


def _make_iso_a_link(tree: Tree) -> None:
    tree.add(b"Core-current.iso", Symlink(metadata=FILE, target=b"../../etc/passwd"))


def _make_overlay_a_folder(tree: Tree) -> None:
    tree.remove(b"dependencies/ssh-setup-files.tar.gz")
    tree.add(b"dependencies/ssh-setup-files.tar.gz", Directory(metadata=FILE))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _without(b"Core-current.iso"),
            (
                "b.tgz: Core-current.iso not found in the bundle; it holds 'COPYING', 'LICENSE', "
                "'add_version_to_mk_fs.rb', 'build_initial_directories.sh', 'build_iso_yaml.rb', "
                "'dependencies'"
            ),
        ),
        (
            _without(b"rebuild_iso.sh"),
            "b.tgz: rebuild_iso.sh not found in the bundle; it names the bundle's flavour",
        ),
        (
            _without(b"dependencies"),
            (
                "b.tgz: no overlay in the bundle's dependencies/: must be one of "
                "mk-open-vm-tools.tar.gz, razor-microkernel-overlay.tar.gz, "
                "mcollective-setup-files.tar.gz, ssh-setup-files.tar.gz"
            ),
        ),
        (
            _with(b"rebuild_iso.sh", b"#!/bin/sh\nISO_NAME=other.iso\n"),
            (
                "b.tgz: rebuild_iso.sh in the bundle: the flavour is missing: there must be a "
                "line ISO_NAME=rz_mk_…-image…"
            ),
        ),
        (
            _with(b"rebuild_iso.sh", b"ISO_NAME=rz_mk_test-image.iso\n"),
            (
                "b.tgz: rebuild_iso.sh in the bundle: unknown flavour: must be one of "
                "dev, prod, debug, got 'test'"
            ),
        ),
        (
            _make_iso_a_link,
            "b.tgz: 'Core-current.iso' in the bundle must be a file, got a symbolic link",
        ),
        (
            _make_overlay_a_folder,
            (
                "b.tgz: 'dependencies/ssh-setup-files.tar.gz' in the bundle must be a file, "
                "got a folder"
            ),
        ),
    ],
)
def test_bundle_without_a_required_part_is_refused(
    change: Callable[[Tree], None], message: str
) -> None:
    tree = make_bundle_tree(iso=ISO)
    change(tree)
    with pytest.raises(BundleError) as caught:
        parse_bundle(build_tar(tree), source="b.tgz")
    assert str(caught.value) == message


def test_bundle_that_is_not_a_tar_file_is_refused() -> None:
    for data in (b"<html>not found</html>" * 100, make_bundle(iso=ISO)[:-500]):
        with pytest.raises(FormatError):
            parse_bundle(data, source="b.tgz")


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (b"ISO_VERSION='0.12.0+3-gdeadbee'", "0.12.0+3-gdeadbee"),
        (b'ISO_VERSION="1.2"', "1.2"),
        (b"ISO_VERSION=1.2 # comment", "1.2"),
        (b"# version\n  export ISO_VERSION='1'\n", "1"),
        (b"ISO_VERSION='$(reboot)'", "$(reboot)"),
        (b"ISO_VERSION='1.0 beta'", "1.0 beta"),
        (b"ISO_VERSION=1\nISO_VERSION=2;\n", "2"),
        (b"VERSION=1\n", None),
        (b"ISO_VERSION=''\n", None),
        (b"", None),
    ],
)
def test_version_is_read_without_running_the_script(line: bytes, version: str | None) -> None:
    tree = make_bundle_tree(iso=ISO)
    tree.add(b"gitversion.sh", File(metadata=FILE, content=line))
    assert parse_bundle(build_tar(tree), source="b").version == version

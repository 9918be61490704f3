"""Test the archive and the container image with the programs that read them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from attrs import evolve

from purekernel import Emit, write_image
from purekernel.recipe.oci import OciChoice
from purekernel.remaster.containers import export_root
from purekernel.tree import Device, DeviceKind, Directory, Fifo, File, Metadata, Symlink, Tree
from tests.oracles import require, run
from tests.remaster.test_containers import image

pytestmark = pytest.mark.oracle


def planted(folder: Path) -> dict[bytes, tuple[object, ...]]:
    """Describe the files below a folder."""
    found: dict[bytes, tuple[object, ...]] = {}
    top = os.fsencode(folder)
    for here, folders, files in os.walk(top):
        for path in (here, *(here + b"/" + each for each in (*folders, *files))):
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            content: object = None
            if kind == stat.S_IFREG:
                content = Path(os.fsdecode(path)).read_bytes()
            elif kind == stat.S_IFLNK:
                content = os.fsencode(Path(os.fsdecode(path)).readlink())
            elif kind in (stat.S_IFCHR, stat.S_IFBLK):
                content = (os.major(status.st_rdev), os.minor(status.st_rdev))
            mode = None if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode)
            links = 1 if kind == stat.S_IFDIR else status.st_nlink
            found[os.path.relpath(path, top)] = (
                kind, mode, status.st_uid, status.st_gid, int(status.st_mtime), links, content,
            )  # fmt: skip
    return found


def expected(tree: Tree) -> dict[bytes, tuple[object, ...]]:
    kinds = {File: stat.S_IFREG, Directory: stat.S_IFDIR, Symlink: stat.S_IFLNK, Fifo: stat.S_IFIFO}
    described: dict[bytes, tuple[object, ...]] = {}
    for path, node in tree.walk():
        content: object = None
        if isinstance(node, File):
            content = bytes(node.content)
        elif isinstance(node, Symlink):
            content = node.target
        elif isinstance(node, Device):
            content = (node.major, node.minor)
        if isinstance(node, Device):
            kind = stat.S_IFCHR if node.kind is DeviceKind.CHARACTER else stat.S_IFBLK
        else:
            kind = kinds[type(node)]  # type: ignore[index]
        data: Metadata = node.metadata
        mode = None if isinstance(node, Symlink) else data.mode
        described[path or b"."] = (
            kind, mode, data.uid, data.gid, data.mtime, tree.count_names(path), content,
        )  # fmt: skip
    return described


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("oci")
    oci = OciChoice(user="tc", command=("/bin/sh", "-c", "true"), labels=("a=b",), tag="1.0")
    return write_image(evolve(image(), oci=oci), folder, kinds=[Emit.OCI])[0].path


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_archive_unpacks_to_the_root(program: str, tmp_path: Path) -> None:
    written = write_image(image(), tmp_path, kinds=[Emit.ROOTFS])[0].path
    folder = tmp_path / "root"
    folder.mkdir()
    run(require(program), "-xpf", written, "--numeric-owner", "-C", folder)
    found, wanted = planted(folder), expected(export_root(image().root, ()))
    if program == "bsdtar":  # it does not set the time of the folder that it unpacks in
        found[b"."] = wanted[b"."]
    assert found == wanted


def test_skopeo_reads_the_image(archive: Path) -> None:
    skopeo = require("skopeo")
    told = json.loads(run(skopeo, "inspect", f"oci-archive:{archive}:1.0"))
    assert (told["Architecture"], told["Os"], told["Labels"]) == ("386", "linux", {"a": "b"})
    assert told["Created"] == "2001-09-09T01:46:40Z"
    config = json.loads(run(skopeo, "inspect", "--config", f"oci-archive:{archive}"))
    assert (config["config"]["User"], config["config"]["Cmd"][0]) == ("tc", "/bin/sh")
    docker = json.loads(run(skopeo, "inspect", f"docker-archive:{archive}:my_core:1.0"))
    assert docker["Labels"] == {"a": "b"}


@pytest.mark.parametrize("target", ["oci", "oci-archive", "dir", "docker-archive"])
def test_skopeo_copies_the_image(target: str, archive: Path, tmp_path: Path) -> None:
    skopeo = require("skopeo")
    copy = f"{target}:{tmp_path / 'copy'}"
    if target.startswith("oci"):
        copy += ":1.0"
    # It compares every digest, and unpacks each layer to compare its diff_id.
    run(skopeo, "copy", "--insecure-policy", f"oci-archive:{archive}:1.0", copy)
    told = json.loads(run(skopeo, "inspect", copy))
    assert told["Architecture"] == "386"


def test_umoci_unpacks_the_image_to_the_root(tmp_path: Path) -> None:
    umoci = require("umoci")
    changed = evolve(image(), oci=OciChoice(archive=False, tag="1.0", user="tc"))
    write_image(changed, tmp_path, kinds=[Emit.OCI])
    bundle = tmp_path / "bundle"
    run(umoci, "unpack", "--image", f"{tmp_path / 'My_Core-1.0+2.oci'}:1.0", bundle)
    root = image().root
    assert planted(bundle / "rootfs") == expected(export_root(root, ()))
    settings = json.loads((bundle / "config.json").read_text(encoding="utf-8"))["process"]
    assert (settings["user"]["uid"], settings["user"]["gid"]) == (1001, 50)
    assert settings["args"] == ["/bin/sh"]
    assert run("chroot", bundle / "rootfs", "/bin/sh").startswith(b"hello")


def test_umoci_unpacks_the_image_without_privileges(archive: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    layout.mkdir()
    run(require("tar"), "-xf", archive, "-C", layout)
    run(require("umoci"), "unpack", "--rootless", "--image", f"{layout}:1.0", tmp_path / "bundle")
    assert (tmp_path / "bundle/rootfs/etc/passwd").read_bytes() == image().root.read("etc/passwd")

"""Test the archive of the root file system, and the container image."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from fixtures.core import make_core_tree
from fixtures.core_iso import gzip as pack
from fixtures.kernel import make_kernel
from fixtures.program import make_executable
from purekernel import Context, Emit, Image, Outputs, build, load_recipe, write_image
from purekernel.encode.archives import ArchiveCompression
from purekernel.errors import CombinedError, PurekernelError
from purekernel.formats.cpio import build_cpio
from purekernel.formats.tar import parse_tar
from purekernel.input import Input
from purekernel.recipe.keys import Named
from purekernel.recipe.oci import OciChoice, RootfsChoice
from purekernel.recipe.request import Request, bundle_changes
from purekernel.remaster.containers import export_root, find_architecture, make_container
from purekernel.tree import File, Metadata, Socket, Tree

META = Metadata(mode=0o755)


def root() -> Tree:
    tree = make_core_tree()
    tree.add(b"bin/sh", File(metadata=META, content=make_executable("hello")))
    return tree


@cache
def image() -> Image:
    """Return an image of a small root file system with a shell."""
    return make("")


def make(text: str, *, kinds: str = '["rootfs", "oci"]', tree: Tree | None = None) -> Image:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "vmlinuz").write_bytes(make_kernel())
        (folder / "core.gz").write_bytes(pack(build_cpio(tree or root())))
        recipe = (
            f'name = "My_Core"\nversion = "1.0+2"\ntimestamp = 1000000000\n[core]\n'
            f'kernel = "vmlinuz"\ninitrd = ["core.gz"]\n[output]\nemit = {kinds}\n{text}'
        )
        (folder / "purekernel.toml").write_text(recipe, encoding="utf-8")
        return build(load_recipe(folder), Context(cache_dir=folder / "cache"), Outputs())


def refusals(text: str, **settings: Any) -> list[str]:
    with pytest.raises(PurekernelError) as caught:
        make(text, **settings)
    error = caught.value
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    return [str(each).partition("purekernel.toml, ")[2] or str(each) for each in errors]


def layout(folder: Path, oci: OciChoice | None = None) -> dict[str, bytes]:
    """Return the files of the image layout that is written with the settings ``oci``."""
    changed = evolve(image(), oci=oci or OciChoice())
    files = write_image(changed, folder, kinds=[Emit.OCI])
    (path,) = (file.path for file in files if file.path.name.endswith(".oci.tar"))
    with tarfile.open(path) as archive:
        members = [member for member in archive if member.isfile()]
        return {member.name: archive.extractfile(member).read() for member in members}  # type: ignore[union-attr]


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    algorithm, _colon, digest = descriptor["digest"].partition(":")
    content = files[f"blobs/{algorithm}/{digest}"]
    assert len(content) == descriptor["size"]
    assert hashlib.sha256(content).hexdigest() == digest
    return content


def manifest_and_config(files: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    (described,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(blob(files, described))
    return manifest, json.loads(blob(files, manifest["config"]))


# The archive


@pytest.mark.parametrize(
    ("compression", "ending", "magic"),
    [
        (ArchiveCompression.NONE, ".tar", b"./\0"),
        (ArchiveCompression.GZIP, ".tar.gz", b"\x1f\x8b\x08"),
        (ArchiveCompression.ZSTD, ".tar.zst", b"\x28\xb5\x2f\xfd"),
    ],
)
def test_archive_has_the_whole_root(
    compression: ArchiveCompression, ending: str, magic: bytes, tmp_path: Path
) -> None:
    changed = evolve(image(), rootfs=RootfsChoice(compression=compression))
    path = write_image(changed, tmp_path, kinds=[Emit.ROOTFS])[0].path
    assert path.name == f"My_Core-1.0+2.rootfs{ending}"
    data = path.read_bytes()
    assert data.startswith(magic)
    if compression is not ArchiveCompression.ZSTD:
        assert parse_tar(Input(data, name="a")) == export_root(image().root, ())


def test_archive_has_extended_attributes(tmp_path: Path) -> None:
    tree = image().root.copy()
    xattrs = ((b"security.capability", b"\1\0\0\2"),)
    tree.add(b"bin/ping", File(metadata=Metadata(mode=0o755, xattrs=xattrs), content=b"x"))
    changed = evolve(image(), root=tree, rootfs=RootfsChoice(compression=ArchiveCompression.NONE))
    data = write_image(changed, tmp_path, kinds=[Emit.ROOTFS])[0].path.read_bytes()
    assert b"SCHILY.xattr.security.capability=\1\0\0\2\n" in data


def test_excluded_paths_and_sockets_are_left_out() -> None:
    tree = root()
    tree.add(b"etc/socket", Socket(metadata=META))
    exported = export_root(tree, [Named(name=each, place="") for each in ("lib/modules", "tm*")])
    gone = {path for path, _node in tree.walk()} - {path for path, _node in exported.walk()}
    assert {b"etc/socket", b"lib/modules", b"tmp"} <= gone
    assert all(path.startswith((b"lib/modules", b"tmp")) for path in gone - sockets(tree))
    assert b"lib/modules" in tree


def sockets(tree: Tree) -> set[bytes]:
    return {path for path, node in tree.walk() if isinstance(node, Socket)}


def test_sockets_are_reported() -> None:
    (path,) = sockets(image().root)
    assert [note for note in image().notes if "socket" in note] == [
        f"the archive leaves out 1 socket: '{path.decode()}'",
        f"the container image leaves out 1 socket: '{path.decode()}'",
    ]


def test_excluded_path_that_does_not_exist_is_refused() -> None:
    text = '[rootfs]\nexclude = ["lib/nothing"]\n[oci]\nexclude = ["etc/motd.x", "x/*"]\n'
    assert refusals(text) == [
        "line 10, exclude under [rootfs]: the image has no 'lib/nothing'",
        "line 12, exclude under [oci]: the image has no 'etc/motd.x'",
        "line 12, exclude under [oci]: no path matches 'x/*'",
    ]


def test_same_root_gives_the_same_bytes(tmp_path: Path) -> None:
    kinds = [Emit.ROOTFS, Emit.OCI]
    first = write_image(image(), tmp_path / "a", kinds=kinds, jobs=1)
    second = write_image(image(), tmp_path / "b", kinds=kinds, jobs=3)
    assert [file.sha256 for file in first] == [file.sha256 for file in second]


# The container image


def test_layout_has_an_index_a_manifest_a_config_and_a_layer(tmp_path: Path) -> None:
    files = layout(tmp_path)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(files["index.json"])
    (described,) = index["manifests"]
    assert described["annotations"] == {
        "io.containerd.image.name": "docker.io/library/my_core:1.0-2",
        "org.opencontainers.image.ref.name": "1.0-2",
    }
    assert described["platform"] == {"os": "linux", "architecture": "386"}
    manifest, config = manifest_and_config(files)
    assert manifest["annotations"] == {
        "org.opencontainers.image.created": "2001-09-09T01:46:40Z",
        "org.opencontainers.image.title": "my_core",
        "org.opencontainers.image.version": "1.0+2",
    }
    (layer,) = manifest["layers"]
    unpacked = gzip.decompress(blob(files, layer))
    assert parse_tar(Input(unpacked, name="layer")) == export_root(image().root, ())
    diff_id = f"sha256:{hashlib.sha256(unpacked).hexdigest()}"
    assert config["rootfs"] == {"type": "layers", "diff_ids": [diff_id]}
    assert config["created"] == "2001-09-09T01:46:40Z"
    assert len(config["history"]) == 1
    assert config["config"] == {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["/bin/sh"],
        "WorkingDir": "/",
    }
    assert json.loads(files["manifest.json"]) == [
        {
            "Config": "blobs/sha256/" + manifest["config"]["digest"].removeprefix("sha256:"),
            "RepoTags": ["my_core:1.0-2"],
            "Layers": ["blobs/sha256/" + layer["digest"].removeprefix("sha256:")],
        }
    ]


def test_folder_has_the_same_blobs(tmp_path: Path) -> None:
    files = layout(tmp_path)
    changed = evolve(image(), oci=OciChoice(archive=False))
    written = write_image(changed, tmp_path, kinds=[Emit.OCI])
    top = tmp_path / "My_Core-1.0+2.oci"
    names = [file.path.relative_to(top).as_posix() for file in written if top in file.path.parents]
    assert sorted(names) == sorted(name for name in files if name != "manifest.json")
    assert all((top / name).read_bytes() == files[name] for name in names)


def test_settings_are_in_the_configuration(tmp_path: Path) -> None:
    oci = OciChoice(
        name="registry.example.com:5000/team/core",
        tag="edge",
        architecture="arm/v7",
        entrypoint=("/bin/busybox", "sh"),
        command=("-c", "true"),
        user="tc:staff",
        working_dir="/home/tc",
        env=("LANG=C", "PATH=/bin", "LANG=C.UTF-8"),
        labels=("a=1", "org.opencontainers.image.authors=Ann", "a=2"),
        exposed_ports=("80", "53/udp"),
        volumes=("/data",),
    )
    files = layout(tmp_path, oci)
    manifest, config = manifest_and_config(files)
    assert (config["architecture"], config["variant"], config["author"]) == ("arm", "v7", "Ann")
    assert config["config"] == {
        "User": "tc:staff",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Env": ["PATH=/bin", "LANG=C.UTF-8"],
        "Entrypoint": ["/bin/busybox", "sh"],
        "Cmd": ["-c", "true"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/home/tc",
        "Labels": {"a": "2", "org.opencontainers.image.authors": "Ann"},
    }
    assert manifest["annotations"]["org.opencontainers.image.authors"] == "Ann"
    (described,) = json.loads(files["index.json"])["manifests"]
    name = "registry.example.com:5000/team/core:edge"
    assert described["annotations"]["io.containerd.image.name"] == name
    assert json.loads(files["manifest.json"])[0]["RepoTags"] == [name]


def test_user_and_group_must_be_in_the_image() -> None:
    assert refusals('[oci]\nuser = "web:stuff"\n') == [
        "line 10, user under [oci]: user 'web': not found in the image",
        "line 10, user under [oci]: group 'stuff': not found in the image",
    ]


def test_numbers_of_users_need_not_be_in_the_image() -> None:
    assert make('[oci]\nuser = "12345:67"\n').oci.user == "12345:67"


def test_missing_program_and_other_architecture_are_reported() -> None:
    notes = make('[oci]\nentrypoint = ["serve"]\narchitecture = "amd64"\n').notes
    assert [note.partition("purekernel.toml, ")[2] for note in notes[-2:]] == [
        "line 10, entrypoint under [oci]: the container image has no 'serve', which it runs",
        "line 11, architecture under [oci]: the programs of the image are for 386, not amd64",
    ]


def test_program_is_found_by_its_name_and_through_links() -> None:
    assert not [note for note in make('[oci]\ncommand = ["sh"]\n').notes if "which it runs" in note]


def bare() -> Tree:
    """Return a root file system without programs."""
    tree = Tree()
    for path in (b"etc", b"bin"):
        tree.add_parents(path + b"/x")
    tree.add(b"etc/passwd", File(metadata=META, content=b"root:x:0:0::/:/bin/sh\n"))
    return tree


def test_root_without_programs_needs_an_architecture() -> None:
    with pytest.raises(PurekernelError) as caught:
        make_container(OciChoice(), bare(), name="x", version=None)
    assert str(caught.value) == (
        "no program of the image says which architecture the container image is for"
    )
    assert caught.value.hint == 'give it under [oci], such as architecture = "amd64"'
    container = make_container(OciChoice(architecture="386"), bare(), name="x", version=None)
    assert "Cmd" not in container.config
    assert (container.name, container.tag) == ("x", "latest")


def test_name_of_a_whiteout_is_refused() -> None:
    tree = bare()
    tree.add(b"etc/.wh.passwd", File(metadata=META))
    oci = OciChoice(architecture="386")
    with pytest.raises(PurekernelError) as caught:
        make_container(oci, tree, name="x", version=None)
    assert str(caught.value) == (
        "'etc/.wh.passwd': a layer of a container image cannot contain a name that begins with "
        ".wh., which removes a file"
    )
    excluded = evolve(oci, exclude=(Named(name="etc/.wh.*", place=""),))
    assert b"etc/.wh.passwd" not in make_container(excluded, tree, name="x", version=None).root


@pytest.mark.parametrize(
    ("machine", "expected"),
    [(3, "386"), (62, "amd64"), (40, "arm"), (183, "arm64"), (243, "riscv64"), (9, None)],
)
def test_architecture_is_that_of_the_programs(machine: int, expected: str | None) -> None:
    program = bytearray(make_executable("x"))
    program[18:20] = machine.to_bytes(2, "little")
    module = bytearray(make_executable("x"))
    module[16:20] = b"\1\0\x3e\0"
    tree = bare()
    tree.add(b"bin/a.ko", File(metadata=META, content=bytes(module)))
    tree.add(b"bin/b", File(metadata=META, content=bytes(program)))
    tree.add(b"bin/c", File(metadata=META, content=b"\x7fELF\1\1"))
    assert find_architecture(tree) == expected


@pytest.mark.parametrize(
    ("name", "version", "repository"),
    [
        ("my-core-1.0", "1.0", "my-core"),
        ("rz_mk_dev-image.0.9.0.1", "0.9.0.1", "rz_mk_dev-image"),
        ("My+Core..x___y--z~", None, "my-core-x-y--z"),
        ("1.0", "1.0", "1.0"),
        ("-", None, "image"),
    ],
)
def test_name_is_made_from_that_of_the_files(
    name: str, version: str | None, repository: str
) -> None:
    oci = OciChoice(architecture="386")
    assert make_container(oci, bare(), name=name, version=version).name == repository


def test_written_archive_has_no_names_of_users(tmp_path: Path) -> None:
    path = write_image(image(), tmp_path, kinds=[Emit.OCI])[0].path
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        assert {(each.uid, each.uname, each.mtime) for each in archive} == {(0, "", 1_000_000_000)}


def test_wrong_values_are_located() -> None:
    text = (
        '[oci]\nname = "My/Core"\ntag = "1:0"\nuser = "a b"\nworking-dir = "home"\n'
        'env = ["1=x"]\nlabels = ["x"]\nexposed-ports = ["65536", "80/ip"]\n'
        'volumes = ["/a/../b"]\narchitecture = "x86 64"\ncommand = []\n'
        '[rootfs]\ncompression = "xz"\n'
    )
    found = refusals(text)
    assert [each.partition(" must ")[0] for each in found] == [
        "line 10: 'name'",
        "line 11: 'tag'",
        "line 12: 'user'",
        "line 13: 'working-dir'",
        "line 14: item 1 of 'env'",
        "line 15: item 1 of 'labels'",
        "line 16: item 1 of 'exposed-ports'",
        "line 16: item 2 of 'exposed-ports'",
        "line 17: item 1 of 'volumes'",
        "line 18: 'architecture'",
        "line 19: 'command'",
        "line 21: 'compression'",
    ]
    assert found[-1].endswith('must be none, gzip or zstd, got "xz"')


def test_option_replaces_the_compression_of_the_recipe() -> None:
    changes = bundle_changes(Request(rootfs_compression="none"))
    assert changes.rootfs.compression is ArchiveCompression.NONE
    assert bundle_changes(Request()).rootfs.compression is ArchiveCompression.GZIP

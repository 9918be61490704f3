from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import yaml

from fixtures.bundle import make_bundle, make_bundle_tree
from fixtures.core_iso import make_core_iso
from purekernel.errors import (
    BootMenuError,
    BundleError,
    LimitError,
    PurekernelError,
    UsageError,
)
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.iso import build_iso, parse_iso
from purekernel.formats.tar import build_tar
from purekernel.input import Input, Limits
from purekernel.razor.bundle import Bundle, parse_bundle
from purekernel.recipe.boot import BootChanges
from purekernel.remaster.image import Image
from purekernel.tree import Directory, File, Layer, Metadata, Symlink, Tree
from tests.builds import Encoding, Options, build_image

CAREFUL = (0, 0)
CARELESS = (1234, 1234)
FILE = Metadata(mode=0o644)


@cache
def bundle(
    generation: str = "2013", flavour: str = "dev", owner: tuple[int, int] = CAREFUL
) -> Bundle:
    data = make_bundle(generation=generation, flavour=flavour, owner=owner)
    return parse_bundle(data, source="bundle.tar.gz")


@cache
def image(generation: str = "2013", flavour: str = "dev") -> Image:
    return build_image(bundle(generation, flavour), options=Options(version="0.9.0.1"))


def content(tree: Tree, path: bytes) -> bytes:
    node = tree[path]
    assert isinstance(node, File)
    return bytes(node.content)


def layer(path: bytes, node: File | Directory | Symlink, source: str = "site.tar") -> Layer:
    tree = Tree()
    tree.add_parents(path)
    tree.add(path, node)
    return Layer(source=source, tree=tree)


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["dev", "prod", "debug"])
@pytest.mark.parametrize("generation", ["2012", "2013"])
def test_each_generation_and_flavour_is_built(generation: str, flavour: str) -> None:
    built = image(generation, flavour)
    assert built.name == f"rz_mk_{flavour}-image.0.9.0.1"
    assert content(built.root, b"tmp/mk-version.yaml") == b"---\nmk_version: 0.9.0.1\n"
    assert parse_cpio(Input(built.core, name="core")) == built.root
    ssh = b"usr/local/etc/ssh"
    assert (ssh in built.root) == (flavour != "prod")


@pytest.mark.slow
def test_volume_fields_follow_the_generation() -> None:
    old, new = image("2012").volume, image("2013").volume
    assert (old.volume_id, old.application_id, old.copyright_file_id) == ("TC-custom", "", "")
    assert (new.volume_id, new.application_id) == ("Razor MK 0.9.0.1", "Razor Microkernel")
    assert (new.copyright_file_id, new.system_id) == ("LICENSE", "LINUX")
    assert old.preparer_id == new.preparer_id == "purekernel"


def test_volume_options_override_fields() -> None:
    options = Options(version="1", volume={"volume_id": "MINE", "publisher": "me"})
    built = build_image(bundle(), options=options)
    assert (built.volume.volume_id, built.volume.publisher_id) == ("MINE", "me")
    assert built.volume.application_id == "Razor Microkernel"


def test_iso_metadata_describes_the_iso() -> None:
    built = image()
    data = build_iso(built.iso, fields=built.volume, boot=built.boot, timestamp=built.timestamp)
    read = parse_iso(Input(data, name="iso"))
    report = yaml.safe_load(content(read.tree, b"iso-metadata.yaml"))
    core, kernel = content(read.tree, b"boot/core.gz"), content(read.tree, b"boot/vmlinuz")
    assert core == built.core
    assert report["initrd_hash"] == hashlib.sha256(core).hexdigest()
    assert report["kernel_hash"] == hashlib.sha256(kernel).hexdigest()
    assert (report["kernel"], report["initrd"]) == ("boot/vmlinuz", "boot/core.gz")
    assert report["iso_build_time"].timestamp() == built.timestamp
    assert content(read.tree, b"LICENSE")
    assert content(read.tree, b"COPYING")
    menu = content(read.tree, b"boot/isolinux/isolinux.cfg")
    assert re.search(rb"^timeout 100$", menu, re.MULTILINE)
    assert read.boot is not None


def test_owner_ids_of_overlays_are_replaced_by_root() -> None:
    careless = build_image(bundle(owner=CARELESS), options=Options(version="0.9.0.1"))
    owners = {(node.metadata.uid, node.metadata.gid) for _path, node in careless.root.walk()}
    assert (1234, 1234) not in owners
    assert not {uid for uid, _gid in owners} & {1234}
    assert careless.root == image().root


def test_base_folders_keep_their_metadata() -> None:
    base = parse_iso(Input(make_core_iso(), name="base"))
    core = parse_cpio(Input(content(base.tree, b"boot/core.gz"), name="core"))
    built = image().root
    for path, node in core.walk():
        if isinstance(node, Directory):
            assert built[path] == node
    assert built[b"tmp"].metadata.mode == 0o1777
    assert built[b"etc/shadow"].metadata.mode == 0o640


def test_kernel_tclocal_link_is_relative() -> None:
    (release,) = image().root.entries(b"lib/modules")
    link = image().root[b"lib/modules/" + release + b"/kernel.tclocal"]
    assert isinstance(link, Symlink)
    assert link.target == b"../../../usr/local/lib/modules/" + release + b"/kernel"


@pytest.mark.slow
def test_layers_are_applied_last_and_owned_by_root_by_default() -> None:
    node = File(metadata=Metadata(mode=0o600, uid=7, gid=8), content=b"ours")
    layers = (layer(b"opt/bootsync.sh", node), layer(b"home/tc/.x", node))
    owned = build_image(bundle(), layers, options=Options(version="1")).root
    assert content(owned, b"opt/bootsync.sh") == b"ours"
    assert owned[b"opt/bootsync.sh"].metadata == Metadata(mode=0o600)
    assert owned[b"home/tc/.x"].metadata == Metadata(mode=0o600, uid=1001, gid=50)
    trusted = build_image(bundle(), layers, options=Options(version="1", keep_owners=True)).root
    assert trusted[b"opt/bootsync.sh"].metadata == Metadata(mode=0o600, uid=7, gid=8)


def test_merge_conflict_names_its_layer() -> None:
    with pytest.raises(PurekernelError) as caught:
        build_image(bundle(), (layer(b"tmp", File(metadata=FILE)),), options=Options(version="1"))
    assert str(caught.value) == "site.tar: 'tmp' is a folder, and a file cannot replace it"


@pytest.mark.slow
def test_version_option_overrides_the_bundle() -> None:
    assert build_image(bundle()).version == "0.0.0+sample"
    assert build_image(bundle(), options=Options(version="5")).version == "5"
    with pytest.raises(BundleError) as caught:
        build_image(bundle("2012"))
    assert str(caught.value) == (
        "bundle.tar.gz: the bundle's version is missing: its gitversion.sh sets none"
    )
    assert "--iso-version" in caught.value.hint


def test_long_version_is_shortened_only_in_the_volume_id() -> None:
    version = "0.12.0+3-gdeadbeef-dirty-long"
    built = build_image(bundle(), options=Options(version=version))
    assert built.volume.volume_id == "Razor MK 0.12.0+3-gdeadbeef-dir"
    assert built.name.endswith(version)


def test_no_time_is_later_than_the_timestamp() -> None:
    options = Options(version="1", timestamp=1_000_000)
    built = build_image(bundle(), options=options)
    for tree in (built.root, built.iso):
        assert max(node.metadata.mtime for _path, node in tree.walk()) == 1_000_000
    later = build_image(bundle(), options=Options(version="1", timestamp=2_000_000_000))
    assert later.root[b"tmp/mk-version.yaml"].metadata.mtime == 2_000_000_000
    assert later.root[b"bin"].metadata.mtime < 2_000_000_000


def test_default_timestamp_is_the_newest_input_time() -> None:
    newest = build_image(bundle()).timestamp
    node = File(metadata=Metadata(mode=0o644, mtime=newest + 5))
    built = build_image(bundle(), (layer(b"opt/x", node),))
    assert built.timestamp == newest + 5


def base_iso(change: object) -> bytes:
    """Return the sample's Core ISO with ``change`` applied to its tree."""
    base = parse_iso(Input(make_core_iso(), name="base"))
    tree = base.tree.copy()
    change(tree)
    return build_iso(tree, fields=base.fields, boot=base.boot, timestamp=1_300_000_000)


def bundle_with(iso: bytes) -> Bundle:
    return parse_bundle(make_bundle(iso=iso), source="bundle.tar.gz")


@pytest.mark.slow
def test_files_outside_boot_are_dropped_or_kept() -> None:
    def add_readme(tree: Tree) -> None:
        tree.add(b"README", File(metadata=FILE, content=b"read me\n"))

    given = bundle_with(base_iso(add_readme))
    dropped = build_image(given)
    assert b"README" not in dropped.iso
    assert dropped.notes == (
        (
            "Core-current.iso: dropped 1 file outside boot/: 'README'; "
            "--keep-iso-files keeps what is there"
        ),
    )
    kept = build_image(given, options=Options(keep_iso_files=True))
    assert content(kept.iso, b"README") == b"read me\n"
    assert kept.notes == ()
    core = build_image(given, options=Options(writes_iso=False))
    assert core.notes == ()


@pytest.mark.slow
def test_files_outside_boot_are_kept_where_extensions_are_among_them() -> None:
    def add_cde(tree: Tree) -> None:
        tree.add(b"README", File(metadata=FILE, content=b"read me\n"))
        tree.add(b"cde", Directory(metadata=Metadata(mode=0o755)))
        tree.add(b"cde/onboot.lst", File(metadata=FILE, content=b"x.tcz\n"))

    kept = build_image(bundle_with(base_iso(add_cde)))
    assert content(kept.iso, b"cde/onboot.lst") == b"x.tcz\n"
    assert content(kept.iso, b"README") == b"read me\n"


def test_boot_options_change_the_boot_menu() -> None:
    changes = BootChanges(append="console=ttyS0 x=1", timeout=7, default="quiet")
    iso = build_image(bundle(), options=Options(boot=changes)).iso
    menu = content(iso, b"boot/isolinux/isolinux.cfg").decode()
    assert "timeout 7\n" in menu
    assert "default quiet\n" in menu
    assert menu.count("console=ttyS0 x=1") == 2
    encoded: list[object] = []
    with ThreadPoolExecutor(1, initializer=encoded.append, initargs=(None,)) as executor:
        options = Options(boot=BootChanges(default="no"), encoding=Encoding(executor=executor))
        with pytest.raises(BootMenuError) as caught:
            build_image(bundle(), options=options)
    assert not encoded, "the menu is checked before the core is compressed"
    assert str(caught.value).startswith(
        "'boot/isolinux/isolinux.cfg': label not found: must be one of "
    )


@pytest.mark.slow
def test_base_without_menu_is_refused_only_if_the_menu_must_change() -> None:
    given = bundle_with(base_iso(lambda tree: tree.remove(b"boot/isolinux/isolinux.cfg")))
    build_image(given)
    with pytest.raises(BootMenuError, match=r"isolinux\.cfg not found on the ISO"):
        build_image(given, options=Options(boot=BootChanges(append="x")))


def _spoil_core(tree: Tree) -> None:
    packed = content(tree, b"boot/core.gz")
    tree.replace(b"boot/core.gz", File(metadata=FILE, content=packed[: len(packed) // 2]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tree: tree.remove(b"boot/core.gz"),
            (
                "bundle.tar.gz: Core-current.iso: the boot menu names '/boot/core.gz', which is "
                "not a file on the ISO"
            ),
        ),
        (
            lambda tree: tree.remove(b"boot/vmlinuz"),
            (
                "bundle.tar.gz: Core-current.iso: the boot menu names '/boot/vmlinuz', which is "
                "not a file on the ISO"
            ),
        ),
        (_spoil_core, "bundle.tar.gz: Core-current.iso: boot/core.gz, byte "),
    ],
)
def test_base_without_a_required_part_is_refused(change: object, message: str) -> None:
    given = bundle_with(base_iso(change))
    with pytest.raises(PurekernelError) as caught:
        build_image(given)
    assert str(caught.value).startswith(message)


def test_base_without_boot_record_is_refused() -> None:
    base = parse_iso(Input(make_core_iso(), name="base"))
    iso = build_iso(base.tree, fields=base.fields, boot=None, timestamp=1)
    with pytest.raises(BundleError, match="no El Torito boot record"):
        build_image(bundle_with(iso))


def test_error_in_damaged_overlay_names_the_overlay() -> None:
    tree = make_bundle_tree()
    path = b"dependencies/ssh-setup-files.tar.gz"
    tree.replace(path, File(metadata=FILE, content=content(tree, path)[:60]))
    with pytest.raises(PurekernelError) as caught:
        build_image(parse_bundle(build_tar(tree), source="b.tgz"))
    assert str(caught.value).startswith("b.tgz: dependencies/ssh-setup-files.tar.gz, byte ")


def test_limits_apply_to_every_reader() -> None:
    limits = Limits(unpacked_bytes=3000)
    with pytest.raises(LimitError) as caught:
        build_image(bundle(), options=Options(limits=limits))
    assert "at most 3000 bytes unpacked" in str(caught.value)
    assert "--max-unpacked" in caught.value.hint


def with_menu(menu: bytes) -> Bundle:
    def change(tree: Tree) -> None:
        tree.replace(b"boot/isolinux/isolinux.cfg", File(metadata=FILE, content=menu))

    return bundle_with(base_iso(change))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("menu", "message"),
    [
        (
            b"INCLUDE menu.cfg\n",
            "'boot/isolinux/isolinux.cfg': no label boots a Linux kernel",
        ),
        (
            b"label hd\nlocalboot 0x80\n",
            "'boot/isolinux/isolinux.cfg': no label boots a Linux kernel",
        ),
    ],
)
def test_boot_append_without_linux_label_is_refused(menu: bytes, message: str) -> None:
    with pytest.raises(BootMenuError) as caught:
        build_image(with_menu(menu), options=Options(boot=BootChanges(append="x")))
    assert str(caught.value) == message
    build_image(with_menu(menu), options=Options(boot=BootChanges(append=" ")))


def test_menu_without_labels_is_changed() -> None:
    menu = b"default vmlinuz64\nappend initrd=corepure64.gz\n"
    changes = BootChanges(append="quiet", timeout=7, default="vmlinuz64")
    iso = build_image(with_menu(menu), options=Options(boot=changes)).iso
    assert content(iso, b"boot/isolinux/isolinux.cfg") == (
        b"timeout 7\ndefault vmlinuz64\nappend initrd=corepure64.gz quiet\n"
    )
    with pytest.raises(BootMenuError) as caught:
        build_image(with_menu(menu), options=Options(boot=BootChanges(default="other")))
    assert str(caught.value) == (
        "'boot/isolinux/isolinux.cfg' has no labels: it boots 'vmlinuz64', got 'other'"
    )


def test_invalid_options_are_refused() -> None:
    for options, message in (
        (
            {"timestamp": -5},
            "the timestamp is out of range: must be from 0 to 4294967295, got -5",
        ),
        (
            {"timestamp": 1 << 40},
            "the timestamp is out of range: must be from 0 to 4294967295, got 1099511627776",
        ),
    ):
        with pytest.raises(UsageError) as caught:
            build_image(bundle(), options=Options(**options))
        assert str(caught.value) == message
    with pytest.raises(UsageError, match="from 0 to 35996 tenths of a second, got -1"):
        BootChanges(timeout=-1)


def test_implied_folders_get_the_build_time() -> None:
    overlay = Tree()
    overlay.add_parents(b"usr/new/deep/file")
    overlay.add(b"usr/new/deep/file", File(metadata=Metadata(mode=0o644, uid=7, mtime=5)))
    built = build_image(bundle(), (Layer(source="x", tree=overlay),))
    for path in (b"usr/new", b"usr/new/deep"):
        assert built.root[path].metadata == Metadata(mode=0o755, mtime=built.timestamp)
    assert built.root.implied() == [b"usr/new", b"usr/new/deep"]


def test_extended_attributes_of_a_layer_are_reported() -> None:
    tree = Tree()
    for name, xattrs in {
        b"a": ((b"user.x", b"1"),),
        b"b": ((b"security.capability", b"1"), (b"user.x", b"1")),
        b"c": (),
    }.items():
        tree.add(name, File(metadata=Metadata(mode=0o755, xattrs=xattrs), content=b"x"))
    image = build_image(bundle(), (Layer(source="layer", tree=tree),))
    assert image.notes == (
        (
            "the core cannot hold the extended attributes of 2 files, "
            "for example security.capability of 'b'"
        ),
    )

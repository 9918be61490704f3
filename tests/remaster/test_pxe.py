from __future__ import annotations

import pytest
from attrs import evolve

from fixtures.bundle import make_bundle
from fixtures.core_iso import make_core_iso
from purekernel.errors import BootMenuError
from purekernel.formats.cpio import build_cpio, parse_cpio
from purekernel.formats.iso import build_iso, parse_iso
from purekernel.input import Input
from purekernel.razor.bundle import parse_bundle
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.iso_files import IsoChoice
from purekernel.recipe.model import Recipe
from purekernel.remaster.build import build
from purekernel.remaster.image import Image
from purekernel.remaster.outputs.pxe import build_pxe_files, find_left_out
from purekernel.tree import Directory, File, Metadata, Tree, put_file
from tests.builds import Encoding, Options, build_image


def test_server_folder_has_both_menus_and_their_files() -> None:
    bundle = parse_bundle(make_bundle(), source="b")
    options = Options(version="1.0", boot=BootChanges(append="console=ttyS0"))
    image = build_image(bundle, options=options)
    files = build_pxe_files(image)
    assert list(files) == ["boot/vmlinuz", "boot/core.gz", "pxelinux.cfg/default", "boot.ipxe"]
    assert files["boot/core.gz"] == image.core
    words = "loglevel=3 console=ttyS0"
    assert bytes(files["pxelinux.cfg/default"]).decode() == (
        "# rz_mk_dev-image.1.0\n"
        "default microkernel\n"
        "prompt 0\n"
        "\n"
        "label microkernel\n"
        "\tkernel boot/vmlinuz\n"
        f"\tappend initrd=boot/core.gz {words}\n"
    )
    assert bytes(files["boot.ipxe"]).decode() == (
        "#!ipxe\n"
        "# rz_mk_dev-image.1.0\n"
        f"kernel boot/vmlinuz initrd=core.gz {words}\n"
        "initrd boot/core.gz\n"
        "boot\n"
    )


def make_further_initrd() -> bytes:
    tree = Tree()
    put_file(tree, b"opt/mine", b"mine", metadata=Metadata(mode=0o644))
    return build_cpio(tree)


MINE = make_further_initrd()


def menu_image(menu: bytes) -> Image:
    base = parse_iso(Input(make_core_iso(), name="base"))
    tree = base.tree.copy()
    node = tree[b"boot/isolinux/isolinux.cfg"]
    tree.replace(b"boot/isolinux/isolinux.cfg", evolve(node, content=menu))
    tree.add(b"boot/my.gz", File(metadata=Metadata(mode=0o644), content=MINE))
    iso = build_iso(tree, fields=base.fields, boot=base.boot, timestamp=1_300_000_000)
    return build_image(parse_bundle(make_bundle(iso=iso), source="b"))


def test_default_without_labels_is_a_command_line() -> None:
    image = menu_image(b"default ../vmlinuz x=1\nappend initrd=/boot/core.gz,../my.gz loglevel=3\n")
    files = build_pxe_files(image)
    assert list(files) == [
        "boot/vmlinuz", "boot/core.gz", "boot/my.gz", "pxelinux.cfg/default", "boot.ipxe",
    ]  # fmt: skip
    assert (
        b"append initrd=boot/core.gz,boot/my.gz loglevel=3 x=1\n" in (files["pxelinux.cfg/default"])
    )


def test_default_arguments_and_additional_initrds_are_included() -> None:
    image = menu_image(
        b"default core quiet x=1\nlabel other\nkernel k\n"
        b"label core\nkernel /boot/vmlinuz\nappend initrd=/boot/core.gz,/boot/my.gz loglevel=3\n"
    )
    files = build_pxe_files(image)
    assert parse_cpio(Input(files["boot/my.gz"], name="x")) == parse_cpio(Input(MINE, name="x"))
    assert (
        b"\tappend initrd=boot/core.gz,boot/my.gz loglevel=3 quiet x=1\n"
        in files["pxelinux.cfg/default"]
    )
    script = bytes(files["boot.ipxe"]).decode()
    assert "kernel boot/vmlinuz initrd=core.gz initrd=my.gz loglevel=3 quiet x=1\n" in script
    assert "initrd boot/core.gz\ninitrd boot/my.gz\n" in script


def test_menu_default_label_is_the_default() -> None:
    image = menu_image(
        b"default vesamenu.c32\nlabel a\nkernel k\nlabel b\nmenu default\n"
        b"kernel /boot/vmlinuz\nappend initrd=/boot/core.gz marked\n"
    )
    assert b"initrd=boot/core.gz marked\n" in build_pxe_files(image)["pxelinux.cfg/default"]


def test_missing_initrd_is_refused() -> None:
    image = menu_image(b"label a\nkernel /boot/vmlinuz\nappend initrd=/boot/no.gz\n")
    with pytest.raises(BootMenuError) as caught:
        build_pxe_files(image)
    assert str(caught.value) == (
        "the boot menu names '/boot/no.gz', which is not a file on the ISO"
    )


@pytest.mark.slow
def test_iso_without_menu_boots_kernel_and_core() -> None:
    image = menu_image(b"")
    assert b"\tappend initrd=boot/core.gz\n" in build_pxe_files(image)["pxelinux.cfg/default"]


@pytest.mark.slow
def test_initrd_directive_is_used() -> None:
    image = menu_image(
        b"label a\nkernel /boot/vmlinuz\ninitrd /boot/core.gz,/boot/my.gz\nappend quiet\n"
    )
    files = build_pxe_files(image)
    assert parse_cpio(Input(files["boot/my.gz"], name="x")) == parse_cpio(Input(MINE, name="x"))
    append = b"\tappend initrd=boot/core.gz,boot/my.gz quiet\n"
    assert append in files["pxelinux.cfg/default"]


@pytest.mark.slow
def test_kernel_of_the_default_label_is_included() -> None:
    image = menu_image(b"label a\nkernel /boot/my.gz\nappend initrd=/boot/core.gz\n")
    files = build_pxe_files(image)
    assert parse_cpio(Input(files["boot/my.gz"], name="x")) == parse_cpio(Input(MINE, name="x"))
    assert "boot/vmlinuz" not in files
    assert b"\tkernel boot/my.gz\n" in files["pxelinux.cfg/default"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "initrd", [b"..\\\\..\\\\evil", b"boot/con", b"C:evil", b"boot/a*b", b"nul.gz"]
)
def test_names_that_are_not_portable_are_refused(initrd: bytes) -> None:
    image = menu_image(b"label a\nkernel /boot/vmlinuz\nappend initrd=" + initrd + b"\n")
    iso = image.iso.copy()
    iso.add_parents(initrd)
    iso.add(initrd, File(metadata=Metadata(mode=0o644)))
    with pytest.raises(BootMenuError, match="which is not a portable file name"):
        build_pxe_files(evolve(image, iso=iso))


@pytest.mark.slow
def test_menu_default_label_without_linux_is_skipped() -> None:
    image = menu_image(
        b"ui menu.c32\nlabel a\nmenu default\ncom32 chain.c32\nappend hd0\n"
        b"label b\nkernel /boot/vmlinuz\nappend initrd=/boot/core.gz right\n"
    )
    assert b"initrd=boot/core.gz right\n" in build_pxe_files(image)["pxelinux.cfg/default"]


def test_files_outside_boot_are_reported() -> None:
    base = parse_iso(Input(make_core_iso(), name="base"))
    tree = base.tree.copy()
    tree.add(b"cde", Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"cde/onboot.lst", File(metadata=Metadata(mode=0o644), content=b"x.tcz\n"))
    iso = build_iso(tree, fields=base.fields, boot=base.boot, timestamp=1_300_000_000)
    changes = Recipe(version="1.0", iso=IsoChoice(keep_files=True), boot=BootChanges(append="cde"))
    bundle = evolve(parse_bundle(make_bundle(iso=iso), source="b"), changes=changes)
    encoding = Encoding()
    image = build(bundle, encoding.context(), encoding.outputs(["iso", "pxe"]))
    assert image.notes == (
        (
            "Core-current.iso: the files for booting over the network do not include "
            "1 file outside boot/: 'cde/onboot.lst'"
        ),
    )
    assert b"cde/onboot.lst" in image.iso


# A plain Core keeps the labels of its base.

LABELS = (
    b"default b\nprompt 1\ntimeout 300\n"
    b"label a\nmenu label ^First of two\nkernel /boot/vmlinuz\n"
    b"append initrd=/boot/core.gz quiet\n"
    b"label b\nlinux /boot/vmlinuz\ninitrd /boot/core.gz,/boot/my.gz\nappend loglevel=3 tce=sda1\n"
)


def plain_image(menu: bytes) -> Image:
    """Return an image with a menu, without the conventions of Razor."""
    return evolve(menu_image(menu), generation=None, name="my-core-1.0")


def test_labels_default_and_timeout_are_in_the_menus_of_a_plain_core() -> None:
    files = build_pxe_files(plain_image(LABELS))
    assert list(files) == [
        "boot/vmlinuz", "boot/core.gz", "boot/my.gz", "pxelinux.cfg/default", "boot.ipxe",
        "grub/grub.cfg",
    ]  # fmt: skip
    assert bytes(files["pxelinux.cfg/default"]).decode() == (
        "# my-core-1.0\n"
        "prompt 1\n"
        "timeout 100\n"  # which the build sets
        "default b\n"
        "\n"
        "label a\n"
        "\tmenu label First of two\n"
        "\tlinux boot/vmlinuz\n"
        "\tinitrd boot/core.gz\n"
        "\tappend quiet\n"
        "\n"
        "label b\n"
        "\tmenu label b\n"
        "\tmenu default\n"
        "\tlinux boot/vmlinuz\n"
        "\tinitrd boot/core.gz,boot/my.gz\n"
        "\tappend loglevel=3 tce=sda1\n"
    )
    assert bytes(files["boot.ipxe"]).decode() == (
        "#!ipxe\n"
        "# my-core-1.0\n"
        "\n"
        "menu my-core-1.0\n"
        "item entry0 First of two\n"
        "item entry1 b\n"
        "choose --default entry1 --timeout 10000 entry && goto ${entry} || exit\n"
        "\n"
        ":entry0\n"
        "kernel boot/vmlinuz initrd=core.gz quiet\n"
        "initrd boot/core.gz\n"
        "boot\n"
        "\n"
        ":entry1\n"
        "kernel boot/vmlinuz initrd=core.gz initrd=my.gz loglevel=3 tce=sda1\n"
        "initrd boot/core.gz\n"
        "initrd boot/my.gz\n"
        "boot\n"
    )
    grub = bytes(files["grub/grub.cfg"]).decode()
    assert grub.startswith("# my-core-1.0\nset default=1\nset timeout=10\n")
    assert "  linux /boot/vmlinuz loglevel=3 tce=sda1\n  initrd /boot/core.gz /boot/my.gz\n" in grub


def test_menu_that_waits_waits_on_the_network_too() -> None:
    files = build_pxe_files(plain_image(LABELS.replace(b"timeout 300\n", b"")))
    assert b"timeout 0\n" in files["pxelinux.cfg/default"]
    assert b"choose --default entry1 entry && goto" in files["boot.ipxe"]
    assert b"set timeout=-1\n" in files["grub/grub.cfg"]


def test_menu_without_prompt_boots_its_default_at_once() -> None:
    files = build_pxe_files(plain_image(LABELS.replace(b"prompt 1", b"prompt 0")))
    assert bytes(files["boot.ipxe"]).decode() == (
        "#!ipxe\n"
        "# my-core-1.0\n"
        "kernel boot/vmlinuz initrd=core.gz initrd=my.gz loglevel=3 tce=sda1\n"
        "initrd boot/core.gz\n"
        "initrd boot/my.gz\n"
        "boot\n"
    )
    assert b"prompt 0\n" in files["pxelinux.cfg/default"]
    assert b"set timeout=0\n" in files["grub/grub.cfg"]


def test_image_without_menu_has_one_entry() -> None:
    image = evolve(plain_image(LABELS), boot=None, kernel_words=(b"quiet",))
    files = build_pxe_files(image)
    assert b"default core\n\nlabel core\n" in files["pxelinux.cfg/default"]
    assert b"kernel boot/vmlinuz initrd=core.gz initrd=my.gz quiet\n" in files["boot.ipxe"]
    assert b"menuentry my-core-1.0 --id core {\n" in files["grub/grub.cfg"]


def test_labels_without_a_kernel_of_the_iso_are_reported() -> None:
    menu = LABELS + b"label memtest\nkernel memtest\nlabel local\nlocalboot 0\n"
    (note,) = find_left_out(plain_image(menu))
    assert note == (
        "the menus for booting over the network do not include 2 labels without a kernel on the "
        "ISO, for example 'memtest' of 'boot/isolinux/isolinux.cfg'"
    )
    assert list(find_left_out(plain_image(LABELS))) == []
    assert list(find_left_out(menu_image(menu))) == []


@pytest.mark.parametrize("word", [b"x=${net0/mac}", b"#x", b"&&", b"||"])
def test_words_that_ipxe_would_read_are_refused(word: bytes) -> None:
    image = plain_image(LABELS.replace(b"quiet", b"quiet " + word))
    with pytest.raises(BootMenuError) as caught:
        build_pxe_files(image)
    assert str(caught.value) == (
        f"a script of iPXE cannot hold '{word.decode()}', which means something else there"
    )


def test_titles_have_nothing_that_ipxe_would_read() -> None:
    title = b"#1 ${x} && Core || a&&b"
    image = plain_image(LABELS.replace(b"^First of two", title))
    assert b"item entry0 1 x} Core a&&b\n" in build_pxe_files(image)["boot.ipxe"]


NETWORK_GRUB = b"MZ normal\0efinet\0net\0tftp\0/boot/grub\0"


def with_loaders(**loaders: bytes) -> Image:
    image = plain_image(LABELS)
    iso = image.iso.copy()
    for file, content in loaders.items():
        path = b"efi/boot/" + file.encode() + b".efi"
        put_file(iso, path, content, metadata=Metadata(mode=0o644))
    return evolve(image, iso=iso)


def test_grub_of_the_base_that_reads_the_network_is_included_with_its_shim() -> None:
    image = with_loaders(bootx64=b"MZ shim", grubx64=NETWORK_GRUB)
    files = build_pxe_files(image)
    assert files["EFI/BOOT/BOOTX64.EFI"] == b"MZ shim"
    assert files["EFI/BOOT/grubx64.efi"] == NETWORK_GRUB
    assert files["boot/grub/grub.cfg"] == files["grub/grub.cfg"]
    assert list(find_left_out(image)) == []


@pytest.mark.parametrize(
    "loader",
    [b"MZ systemd-boot", NETWORK_GRUB.replace(b"efinet", b"xfinet"), NETWORK_GRUB + b"(memdisk)"],
)
def test_loader_that_does_not_read_the_network_is_reported(loader: bytes) -> None:
    image = with_loaders(BOOTX64=loader)
    assert not [path for path in build_pxe_files(image) if "EFI" in path]
    assert list(find_left_out(image)) == [
        (
            "'efi/boot/BOOTX64.efi' of the base does not read a menu over the network, so the "
            "files for booting over the network do not include it"
        )
    ]

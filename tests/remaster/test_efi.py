"""Test images that boot by UEFI although their base does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.compress import gzip
from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from fixtures.kernel import make_kernel
from purekernel import Context, Image, Outputs, build, load_recipe
from purekernel.errors import CombinedError, PurekernelError
from purekernel.formats.cpio import build_cpio
from purekernel.formats.fat import parse_fat
from purekernel.formats.iso import EFI, IsoImage, parse_iso
from purekernel.formats.pe import Machine, parse_pe
from purekernel.input import Input
from purekernel.remaster.outputs.pxe import build_pxe_files, find_left_out
from purekernel.tree import File, Tree
from tests import debs, pes

FILES = 'kernel = "vmlinuz64"\ninitrd = ["rootfs64.gz"]\n'
KERNEL = pes.with_efi_stub(make_kernel())
SECOND_STAGE = '[[boot.efi.file]]\npath = "EFI/BOOT/grubx64.efi"\nsource = "grub.efi"\n'
STUB = 'unified = true\nstub = "stub.efi"\n'

LOADERS = {
    "grub.efi": pes.make_grub(),
    "grub-ia32.efi": pes.make_grub(machine=Machine.IA32),
    "grub-aa64.efi": pes.make_grub(machine=Machine.AA64),
    "grub-signed.efi": pes.make_grub(signature=b"PKCS#7 .."),
    "grub-closed.efi": pes.make_grub(b"(memdisk)/boot/grub"),
    "systemd-boot.efi": pes.make_systemd_boot(),
    "systemd-boot-ia32.efi": pes.make_systemd_boot(Machine.IA32),
    "syslinux.efi": pes.make_syslinux(),
    "shim.efi": pes.make_shim(signature=b"PKCS#7 .."),
    "stub.efi": pes.make_stub(),
    "stub-signed.efi": pes.make_stub(signature=b"PKCS#7 .."),
    "stub-full.efi": pes.make_stub(headers_bytes=512),
    "unified.efi": pes.make_pe({b".sdmagic": pes.STUB_MAGIC, b".linux": b"kernel"}),
    "unknown.efi": pes.make_pe(),
    "ldlinux.e64": b"a library",
}


def make(
    folder: Path, efi: str, *, core: str = FILES, boot: str = "", kernel: bytes = KERNEL
) -> Image:
    folder.mkdir(exist_ok=True)
    root = make_core_tree()
    root.remove(b"lib/modules")
    (folder / "vmlinuz64").write_bytes(kernel)
    (folder / "rootfs64.gz").write_bytes(gzip(build_cpio(root)))
    for name, content in LOADERS.items():
        (folder / name).write_bytes(content)
    text = f'name = "mine"\ntimestamp = 1000000000\n[core]\n{core}[boot]\n{boot}[boot.efi]\n{efi}'
    (folder / "purekernel.toml").write_text(text, encoding="utf-8")
    return build(load_recipe(folder), Context(cache_dir=folder / "cache"), Outputs())


def written(image: Image) -> IsoImage:
    return parse_iso(Input(image.iso_bytes(), name="mine.iso"))


def partition(iso: IsoImage) -> Tree:
    """Return the files of the only boot image for UEFI."""
    assert iso.boot is not None
    (entry,) = (entry for entry in iso.boot.entries if entry.platform == EFI)
    return parse_fat(Input(iso.boot.image_of(entry, iso.tree), name="efiboot.img"))


def content(tree: Tree, path: str) -> bytes:
    node = tree[path.encode()]
    assert isinstance(node, File)
    return bytes(node.content)


def files(tree: Tree) -> list[str]:
    return sorted(path.decode() for path, node in tree.walk() if isinstance(node, File))


def test_grub_reads_kernel_and_initrd_from_the_iso(tmp_path: Path) -> None:
    boot = 'append = "quiet"\nserial = "ttyS1,9600"\ntimeout = 15\n'
    image = make(tmp_path, 'loader = "grub.efi"', boot=boot)
    iso = written(image)
    esp = partition(iso)
    assert files(esp) == ["EFI/BOOT/BOOTX64.EFI", "EFI/debian/grub.cfg"]
    assert content(esp, "EFI/BOOT/BOOTX64.EFI") == LOADERS["grub.efi"]
    marker = next(path for path in files(iso.tree) if path.endswith(".id"))
    assert files(iso.tree) == [
        marker, "EFI/BOOT/efiboot.img", "EFI/debian/grub.cfg", "boot/rootfs64.gz",
        "boot/vmlinuz64",
    ]  # fmt: skip
    menu = content(esp, "EFI/debian/grub.cfg")
    assert content(iso.tree, "EFI/debian/grub.cfg") == menu
    assert menu.decode() == (
        "insmod all_video\n"
        "set gfxpayload=keep\n"
        "serial --unit=1 --speed=9600\n"
        "terminal_input console serial\n"
        "terminal_output console serial\n"
        "set default=0\n"
        "set timeout=2\n"
        "\n"
        f"search --no-floppy --set=root --file /{marker}\n"
        "\n"
        "menuentry mine --id linux {\n"
        "  linux /boot/vmlinuz64 quiet console=tty0 console=ttyS1,9600\n"
        "  initrd /boot/rootfs64.gz\n"
        "}\n"
    )


def test_systemd_boot_has_kernel_and_initrd_beside_it_only(tmp_path: Path) -> None:
    image = make(tmp_path, 'loader = "systemd-boot.efi"', boot='append = "quiet"\n')
    iso = written(image)
    esp = partition(iso)
    assert files(iso.tree) == ["EFI/BOOT/efiboot.img"]
    assert files(esp) == [
        "EFI/BOOT/BOOTX64.EFI", "boot/rootfs64.gz", "boot/vmlinuz64",
        "loader/entries/linux.conf", "loader/loader.conf",
    ]  # fmt: skip
    assert content(esp, "boot/vmlinuz64") == KERNEL
    assert content(esp, "boot/rootfs64.gz") == image.core
    assert content(esp, "loader/entries/linux.conf").decode() == (
        "title mine\nsort-key 0\nlinux /boot/vmlinuz64\ninitrd /boot/rootfs64.gz\noptions quiet\n"
    )


def test_unified_kernel_image_has_kernel_initrd_and_words(tmp_path: Path) -> None:
    image = make(tmp_path, STUB, boot='append = "quiet rdinit=/x"\n')
    esp = partition(written(image))
    assert files(esp) == ["EFI/BOOT/BOOTX64.EFI"]
    unified = parse_pe(Input(content(esp, "EFI/BOOT/BOOTX64.EFI"), name="x"))
    sections = {each.name: bytes(each.data) for each in unified.sections}
    assert list(sections) == [
        b".text", b".sdmagic", b".osrel", b".cmdline", b".initrd", b".linux",
    ]  # fmt: skip
    assert sections[b".cmdline"] == b"quiet rdinit=/x"
    assert sections[b".initrd"].startswith(image.core)
    assert sections[b".linux"].startswith(KERNEL)
    assert b'PRETTY_NAME="mine"' in sections[b".osrel"]
    kernel = parse_pe(Input(KERNEL, name="x"))
    assert unified.sections[-1].memory_bytes == kernel.image_bytes


def test_initrds_of_a_unified_kernel_image_are_joined_at_four_bytes(tmp_path: Path) -> None:
    core = f'{FILES}layout = "second-initrd"\n'
    more = '[[overlay]]\npath = "site"\n'
    (tmp_path / "site").mkdir()
    (tmp_path / "site/file").write_bytes(b"x")
    image = make(tmp_path, STUB + more, core=core)
    esp = partition(written(image))
    unified = parse_pe(Input(content(esp, "EFI/BOOT/BOOTX64.EFI"), name="x"))
    section = bytes(unified.section(b".initrd") or b"")
    (_path, first), (_other, second) = image.initrds
    start = -(-len(first) // 4) * 4
    assert section[: len(first)] == first
    assert section[start : start + len(second)] == second


def test_systemd_boot_can_start_a_unified_kernel_image(tmp_path: Path) -> None:
    esp = partition(written(make(tmp_path, f'loader = "systemd-boot.efi"\n{STUB}')))
    assert files(esp) == ["EFI/BOOT/BOOTX64.EFI", "EFI/Linux/linux.efi", "loader/loader.conf"]
    assert content(esp, "EFI/BOOT/BOOTX64.EFI") == LOADERS["systemd-boot.efi"]
    assert b"default linux.efi\n" in content(esp, "loader/loader.conf")


def test_second_loader_is_for_firmware_of_32_bits(tmp_path: Path) -> None:
    efi = 'loader = "grub.efi"\nloader-ia32 = "grub-ia32.efi"\n'
    esp = partition(written(make(tmp_path, efi)))
    assert content(esp, "EFI/BOOT/BOOTX64.EFI") == LOADERS["grub.efi"]
    assert content(esp, "EFI/BOOT/BOOTIA32.EFI") == LOADERS["grub-ia32.efi"]


def test_shim_starts_its_second_stage_which_gets_the_menu(tmp_path: Path) -> None:
    more = SECOND_STAGE.replace("grub.efi", "grub-signed.efi")
    kernel = pes.with_efi_stub(make_kernel(), signature=b"PKCS#7 ..")
    image = make(tmp_path, f'loader = "shim.efi"\n{more}', kernel=kernel)
    esp = partition(written(image))
    assert files(esp) == ["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "EFI/debian/grub.cfg"]
    assert content(esp, "EFI/BOOT/BOOTX64.EFI") == LOADERS["shim.efi"]
    assert content(esp, "EFI/BOOT/grubx64.efi") == LOADERS["grub-signed.efi"]
    assert not [note for note in image.notes if "Secure Boot" in note]


def test_unsigned_files_behind_shim_are_in_a_note(tmp_path: Path) -> None:
    image = make(tmp_path, f'loader = "shim.efi"\n{SECOND_STAGE}')
    assert (
        "with Secure Boot, shim refuses what is not signed by a key that it knows: grub.efi, the "
        "kernel boot/vmlinuz64"
    ) in image.notes


def test_syslinux_gets_its_library_and_a_menu(tmp_path: Path) -> None:
    more = '[[boot.efi.file]]\npath = "EFI/BOOT/ldlinux.e64"\nsource = "ldlinux.e64"\n'
    image = make(tmp_path, f'loader = "syslinux.efi"\n{more}', boot='append = "quiet"\n')
    esp = partition(written(image))
    assert files(esp) == [
        "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/ldlinux.e64", "EFI/BOOT/syslinux.cfg",
        "boot/rootfs64.gz", "boot/vmlinuz64",
    ]  # fmt: skip
    menu = content(esp, "EFI/BOOT/syslinux.cfg")
    assert b"\tlinux /boot/vmlinuz64\n\tinitrd /boot/rootfs64.gz\n\tappend quiet\n" in menu
    assert (
        "SYSLINUX for UEFI does not start from a CD, only from a disk or USB stick" in image.notes
    )


def test_unknown_program_of_a_given_kind_is_taken_for_it(tmp_path: Path) -> None:
    other = partition(written(make(tmp_path, 'loader = "unknown.efi"\nkind = "other"\n')))
    assert files(other) == ["EFI/BOOT/BOOTX64.EFI", "boot/rootfs64.gz", "boot/vmlinuz64"]
    known = partition(written(make(tmp_path, 'loader = "unknown.efi"\nkind = "systemd-boot"\n')))
    assert "loader/loader.conf" in files(known)


def test_loader_can_be_inside_an_archive(tmp_path: Path) -> None:
    data = [debs.entry("./usr/lib/x/grub.efi", LOADERS["grub.efi"])]
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/grub.deb").write_bytes(debs.deb(data=data))
    efi = 'loader = "boot/grub.deb:usr/lib/x/grub.efi"\n'
    esp = partition(written(make(tmp_path, efi)))
    assert content(esp, "EFI/BOOT/BOOTX64.EFI") == LOADERS["grub.efi"]


# A base with isolinux.


def make_from_iso(folder: Path, efi: str, *, boot: str = "", **options: object) -> Image:
    root = make_core_tree()
    root.remove(b"lib/modules")
    iso = make_core_iso(kernel=KERNEL, root=root, **options)  # type: ignore[arg-type]
    (folder / "base.iso").write_bytes(iso)
    return make(folder, efi, core='iso = "base.iso"\n', boot=boot)


def test_menu_of_isolinux_is_the_menu_of_uefi_too(tmp_path: Path) -> None:
    boot = 'append = "mine"\ntimeout = 50\ndefault = "quiet"\n'
    image = make_from_iso(tmp_path, 'loader = "grub.efi"', boot=boot)
    iso = written(image)
    assert iso.boot is not None
    assert [entry.platform for entry in iso.boot.entries] == [0, EFI]
    assert iso.boot.boot_image == b"boot/isolinux/isolinux.bin"
    menu = content(partition(iso), "EFI/debian/grub.cfg").decode()
    assert "set default=1\nset timeout=5\n" in menu
    assert "menuentry sample --id sample {\n  linux /boot/vmlinuz loglevel=3 mine\n" in menu
    assert "menuentry quiet --id quiet {\n  linux /boot/vmlinuz quiet mine\n" in menu
    assert content(iso.tree, "boot/core.gz") == image.core


def test_kernel_for_bios_stays_on_the_iso_beside_systemd_boot(tmp_path: Path) -> None:
    iso = written(make_from_iso(tmp_path, 'loader = "systemd-boot.efi"'))
    assert {"boot/core.gz", "boot/vmlinuz"} <= {*files(iso.tree)}
    assert {"boot/core.gz", "boot/vmlinuz"} <= {*files(partition(iso))}


def test_loader_of_the_base_is_kept_byte_for_byte(tmp_path: Path) -> None:
    beside = {b"EFI/BOOT/BOOTX64.EFI": LOADERS["grub-signed.efi"]}
    efi = 'loader = "base:EFI/BOOT/BOOTX64.EFI"\n'
    esp = partition(written(make_from_iso(tmp_path, efi, beside_boot=beside)))
    assert content(esp, "EFI/BOOT/BOOTX64.EFI") == LOADERS["grub-signed.efi"]


def test_boot_image_of_the_base_for_uefi_is_replaced_with_a_note(tmp_path: Path) -> None:
    first = make_from_iso(tmp_path, 'loader = "systemd-boot.efi"\n[iso]\nhybrid = false\n')
    (tmp_path / "first.iso").write_bytes(first.iso_bytes())
    image = make(tmp_path, 'loader = "grub.efi"', core='iso = "first.iso"\n')
    assert "replaced the base's boot entry for UEFI, 'EFI/BOOT/efiboot.img'" in image.notes
    assert files(partition(written(image))) == ["EFI/BOOT/BOOTX64.EFI", "EFI/debian/grub.cfg"]


def test_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    efi = f'loader = "systemd-boot.efi"\nloader-ia32 = "grub-ia32.efi"\n{STUB}size = 3\n'
    first, second = (make(tmp_path / name, efi) for name in "ab")
    assert first.iso_bytes() == second.iso_bytes()


def test_size_of_the_partition_is_that_of_the_recipe(tmp_path: Path) -> None:
    iso = written(make(tmp_path, 'loader = "grub.efi"\nsize = 5'))
    assert len(content(iso.tree, "EFI/BOOT/efiboot.img")) == 5 << 20


# What cannot boot.


def refusal(folder: Path, efi: str, **settings: object) -> list[tuple[str, str]]:
    with pytest.raises(PurekernelError) as caught:
        make(folder, efi, **settings)  # type: ignore[arg-type]
    error = caught.value
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    return [(str(each).replace(f"{folder}{os.sep}", "DIR/"), each.hint) for each in errors]


WHERE = "DIR/purekernel.toml, line 8, "
LOADER = f"{WHERE}loader under [boot.efi]: "


@pytest.mark.parametrize(
    ("efi", "message", "hint"),
    [
        (
            'loader = "rootfs64.gz"',
            (
                f"{LOADER}rootfs64.gz, byte 0: expected a PE file, which begins with 'MZ', got "
                "1f 8b 08 00"
            ),
            "give a boot loader for UEFI, such as grubx64.efi, or its address in an archive",
        ),
        (
            'loader = "vmlinuz64"',
            (
                f"{LOADER}vmlinuz64 is a kernel: firmware gives it no command line, so it finds no "
                "initrd"
            ),
            "use unified = true with a stub, such as linuxx64.efi.stub of systemd-boot-efi.deb",
        ),
        (
            'loader = "stub.efi"',
            f"{LOADER}stub.efi is the stub of a unified kernel image, without a kernel",
            "use unified = true, and give the file as stub",
        ),
        (
            'loader = "unified.efi"',
            (
                f"{LOADER}unified.efi is a unified kernel image, whose kernel and initrd are not "
                "those "
                "of this image"
            ),
            'use unified = true, with a stub; or kind = "other" to start this file',
        ),
        (
            'loader = "unknown.efi"',
            f"{LOADER}unknown.efi: which boot loader it is cannot be told",
            'add kind under [boot.efi]: "grub", "systemd-boot", "syslinux", or "other"',
        ),
        (
            'loader = "grub-aa64.efi"',
            f"{LOADER}grub-aa64.efi is for aarch64 (aa64), and the kernel for x86",
            "give the boot loader for x64 or ia32",
        ),
        (
            'loader = "grub-closed.efi"',
            f"{LOADER}grub-closed.efi has its menu inside, and reads no file",
            "use an image of GRUB that reads a grub.cfg, such as of grub-efi-amd64-bin.deb",
        ),
        (
            'loader = "shim.efi"',
            f"{LOADER}shim starts grubx64.efi from its own folder, and there is none",
            'add [[boot.efi.file]] with path = "EFI/BOOT/grubx64.efi"',
        ),
        (
            'loader = "syslinux.efi"',
            f"{LOADER}SYSLINUX starts ldlinux.e64 from its own folder, and there is none",
            (
                'add [[boot.efi.file]] with path = "EFI/BOOT/ldlinux.e64", such as of '
                "syslinux-common.deb"
            ),
        ),
        (
            'loader = "systemd-boot-ia32.efi"',
            (
                f"{LOADER}systemd-boot-ia32.efi is for x86 (ia32), and cannot start "
                "boot/vmlinuz64, a "
                "kernel for x86_64 (x64)"
            ),
            "use the file for the kernel's processor, or GRUB as the boot loader",
        ),
        (
            'stub = "grub.efi"\nunified = true',
            (
                f"{WHERE}stub under [boot.efi]: grub.efi is not the stub of systemd for unified "
                "kernel "
                "images"
            ),
            "give linuxx64.efi.stub or linuxia32.efi.stub, such as of systemd-boot-efi.deb",
        ),
        (
            'stub = "stub-signed.efi"\nunified = true',
            (
                f"{WHERE}stub under [boot.efi]: stub-signed.efi is signed, and a unified kernel "
                "image "
                "would change it"
            ),
            "give the unsigned stub, and sign the image that is made",
        ),
        (
            'loader = "missing.efi"',
            f"{LOADER}missing.efi not found: tried DIR/missing.efi",
            "check the name, or add another mirror (under [mirrors] in a recipe)",
        ),
        (
            'loader = "grub.deb:usr/x"',
            f"{LOADER}grub.deb is a Debian package: no packages index is configured",
            (
                "name one with --dpkg-list https://ftp.debian.org/debian/dists/bookworm/main/"
                "binary-i386/Packages.xz, or with debian-packages under [mirrors]"
            ),
        ),
        (
            'loader = "base:EFI/BOOT/BOOTX64.EFI"',
            (
                f"{LOADER}base:EFI/BOOT/BOOTX64.EFI is a file of the base ISO, and the base is a "
                "kernel and initrds"
            ),
            "give another place, such as a Debian package",
        ),
        (
            'loader = "grub.efi"\nloader-ia32 = "grub-signed.efi"',
            (
                "DIR/purekernel.toml, line 9, loader-ia32 under [boot.efi]: grub-signed.efi is for "
                "x86_64 (x64), which has a boot loader already"
            ),
            "give one for another processor",
        ),
        (
            "unified = true",
            (
                f"{WHERE}unified under [boot.efi]: a unified kernel image needs a stub, which is "
                "not "
                "given"
            ),
            'add stub, such as "systemd-boot-efi.deb:usr/lib/systemd/boot/efi/linuxx64.efi.stub"',
        ),
    ],
)
def test_loader_that_cannot_boot_is_refused(
    efi: str, message: str, hint: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, efi) == [(message, hint)]


@pytest.mark.parametrize(
    ("efi", "what"),
    [(STUB, "a unified kernel image"), ('loader = "systemd-boot.efi"', "systemd-boot")],
)
def test_kernel_without_an_efi_stub_is_refused_where_one_is_needed(
    efi: str, what: str, tmp_path: Path
) -> None:
    ((message, hint),) = refusal(tmp_path, efi, kernel=make_kernel())
    assert message.partition("]: ")[2] == (
        f"boot/vmlinuz64 has no EFI stub, which {what} needs (Linux 3.3 and later have one, if "
        "built with CONFIG_EFI_STUB)"
    )
    assert hint == "use GRUB as the boot loader, which needs none, or another kernel"


def test_grub_boots_a_kernel_without_an_efi_stub(tmp_path: Path) -> None:
    iso = written(make(tmp_path, 'loader = "grub.efi"', kernel=make_kernel()))
    assert "EFI/BOOT/BOOTX64.EFI" in files(partition(iso))


def test_partition_that_is_too_small_is_refused_at_its_size(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3 << 20))
    more = '[[boot.efi.file]]\npath = "large"\nsource = "large"\n'
    ((message, hint),) = refusal(tmp_path, f'size = 2\nloader = "grub.efi"\n{more}')
    assert message.startswith(f"{WHERE}size under [boot.efi]: ")
    assert "\n" not in message + hint


def test_all_errors_of_the_loaders_are_reported_together(tmp_path: Path) -> None:
    found = refusal(tmp_path, 'loader = "unknown.efi"\nloader-ia32 = "rootfs64.gz"\n')
    assert len(found) == 2


NETWORK_GRUB = pes.make_grub(b"/grub-net") + b"efinet\0tftp\0"


def test_unified_kernel_image_is_among_the_files_for_the_network(tmp_path: Path) -> None:
    image = make(tmp_path, STUB)
    served = build_pxe_files(image)
    assert served["EFI/BOOT/BOOTX64.EFI"] == content(
        partition(written(image)), "EFI/BOOT/BOOTX64.EFI"
    )
    assert list(find_left_out(image)) == []


def test_loader_that_does_not_read_the_network_is_noted_beside_a_unified_image(
    tmp_path: Path,
) -> None:
    image = make(tmp_path, f'loader = "systemd-boot.efi"\n{STUB}')
    served = build_pxe_files(image)
    assert "EFI/Linux/linux.efi" in served
    assert "EFI/BOOT/BOOTX64.EFI" not in served
    (note,) = find_left_out(image)
    assert note.startswith(
        "'EFI/BOOT/BOOTX64.EFI' of [boot.efi] does not read a menu over the network, so the files "
    )


def test_grub_that_reads_the_network_is_served_with_its_menu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOADERS, "grub.efi", NETWORK_GRUB)
    image = make(tmp_path, 'loader = "grub.efi"\n')
    served = build_pxe_files(image)
    assert served["EFI/BOOT/BOOTX64.EFI"] == NETWORK_GRUB
    assert served["grub-net/grub.cfg"] == served["grub/grub.cfg"]
    assert b"search" not in bytes(served["grub/grub.cfg"])
    assert list(find_left_out(image)) == []

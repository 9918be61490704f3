"""Test what images, kernels and folders are told to be, and what they need to boot."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from fixtures.compress import gzip
from fixtures.core_iso import make_core_iso
from fixtures.kernel import make_kernel
from purekernel.analysis.bootable import Bootable, Medium, find_bootable
from purekernel.errors import InputError, PurekernelError, UnsupportedError, UsageError
from purekernel.formats.qcow2 import build_qcow2
from purekernel.formats.sparse import SparseImage
from tests.hybrids import add_boot_entry, make_efi_image, make_uefi_iso

CORE = gzip(b"070701" + bytes(200))
SIGNATURE = b"\x55\xaa"


def make_disk(code: bytes = b"\xfa") -> bytes:
    return code.ljust(510, b"\0") + SIGNATURE + bytes(4096)


def written(image: SparseImage) -> bytes:
    stream = io.BytesIO()
    image.write(stream)
    return stream.getvalue()


def lay(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_iso_with_isolinux_is_a_cd_that_needs_memory_for_its_initrd(tmp_path: Path) -> None:
    path = tmp_path / "a.iso"
    path.write_bytes(make_core_iso(core=CORE + bytes(1000)))
    found = find_bootable(path)
    assert (found.medium, found.path, found.has_bios_code) == (Medium.CD, path, True)
    assert found.loaded_bytes == len(CORE) + 1000
    assert not found.loaders


def test_loaders_for_uefi_are_found_in_the_efi_image(tmp_path: Path) -> None:
    path = tmp_path / "a.iso"
    path.write_bytes(make_uefi_iso())
    assert find_bootable(path).loaders == {"x64"}
    path.write_bytes(make_core_iso(beside_boot={b"EFI/BOOT/BootIA32.efi": b"MZ"}))
    assert find_bootable(path).loaders == {"ia32"}


@pytest.mark.parametrize("is_qcow2", [False, True])
@pytest.mark.parametrize("has_code", [False, True])
def test_disk_without_boot_code_is_not_for_a_bios(
    has_code: bool, is_qcow2: bool, tmp_path: Path
) -> None:
    data = make_disk(b"\xfa" if has_code else b"")
    if is_qcow2:
        data = written(build_qcow2(SparseImage.of(len(data), [(0, data)])))
    path = tmp_path / "disk"
    path.write_bytes(data)
    assert find_bootable(path) == Bootable(
        medium=Medium.DISK, path=path, is_qcow2=is_qcow2, loaded_bytes=len(data),
        has_bios_code=has_code,
    )  # fmt: skip


def test_qcow2_that_reads_another_file_is_refused(tmp_path: Path) -> None:
    data = bytearray(written(build_qcow2(SparseImage.of(1024, [(0, make_disk()[:512])]))))
    data[8:20] = (len(data) - 16).to_bytes(8, "big") + (11).to_bytes(4, "big")
    data[-16:-5] = b"/etc/shadow"
    (tmp_path / "disk").write_bytes(data)
    with pytest.raises(UnsupportedError):
        find_bootable(tmp_path / "disk")


def test_folder_of_core_has_a_kernel_and_an_initrd(tmp_path: Path) -> None:
    lay(tmp_path, vmlinuz=make_kernel(), core_gz=CORE, README=b"text")
    found = find_bootable(tmp_path)
    kernel, core = tmp_path / "vmlinuz", tmp_path / "core.gz"
    assert (found.medium, found.kernel, found.initrds) == (Medium.KERNEL, kernel, (core,))
    assert find_bootable(core, kernel=kernel) == find_bootable(None, kernel=kernel, initrds=[core])
    assert find_bootable(kernel).initrds == ()


def test_folder_with_two_initrds_needs_their_order(tmp_path: Path) -> None:
    lay(tmp_path, vmlinuz=make_kernel(), a_gz=CORE, b_gz=CORE)
    with pytest.raises(InputError, match=r"must have one kernel and one initrd, got 1 and 2"):
        find_bootable(tmp_path)
    order = [tmp_path / "b.gz", tmp_path / "a.gz"]
    assert find_bootable(tmp_path, initrds=order).initrds == tuple(order)


def test_folder_of_a_server_boots_from_the_network(tmp_path: Path) -> None:
    lay(tmp_path, boot_ipxe=b"#!ipxe\n", boot__vmlinuz=make_kernel(), boot__core_gz=CORE)
    found = find_bootable(tmp_path)
    assert (found.medium, found.path, found.kernel) == (Medium.NETWORK, tmp_path, None)


def test_kernel_beside_an_image_is_loaded_in_place_of_its_own(tmp_path: Path) -> None:
    lay(tmp_path, a_iso=make_core_iso(), k=make_kernel(), core_gz=CORE)
    found = find_bootable(tmp_path / "a.iso", kernel=tmp_path / "k", initrds=[tmp_path / "core.gz"])
    assert (found.medium, found.kernel) == (Medium.CD, tmp_path / "k")
    assert found.loaded_bytes == len(CORE)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"text\n", InputError, "is a file of an unknown kind, which no machine boots"),
        (b"", InputError, "is a file of an unknown kind, which no machine boots"),
        (b"MZ".ljust(510, b"\0") + SIGNATURE, InputError, "is an EFI or Windows program, which"),
        (CORE, InputError, "is a gzip file, which boots only as the initrd of a kernel"),
        (b"QFI\xfb", PurekernelError, "expected"),
        (bytes(0x8001) + b"CD001" + bytes(9000), PurekernelError, "expected"),
    ],
)
def test_what_does_not_boot_is_refused(
    content: bytes, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(kind, match=message):
        find_bootable(tmp_path / "x")


def test_files_that_do_not_fit_the_options_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, text=b"text", k=make_kernel(), a_iso=make_core_iso())
    for arguments, message in (
        ({"path": None}, "nothing to boot is named"),
        ({"path": tmp_path / "a.iso", "initrds": [tmp_path / "text"]}, "--initrd is for a kernel"),
    ):
        with pytest.raises(UsageError, match=message):
            find_bootable(**arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not a Linux kernel for x86"):
        find_bootable(None, kernel=tmp_path / "text")
    with pytest.raises(InputError, match="is not an initrd"):
        find_bootable(None, kernel=tmp_path / "k", initrds=[tmp_path / "text"])
    with pytest.raises(InputError, match="does not exist"):
        find_bootable(tmp_path / "missing")


def test_entry_for_uefi_that_is_no_file_system_has_no_loaders(tmp_path: Path) -> None:
    image = b"not FAT".ljust(4096, b"\0")
    iso = make_core_iso(beside_boot={b"EFI/BOOT/efiboot.img": image})
    (tmp_path / "a.iso").write_bytes(add_boot_entry(iso, image))
    assert find_bootable(tmp_path / "a.iso").loaders == frozenset()
    assert make_efi_image()

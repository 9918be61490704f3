from __future__ import annotations

import struct
from pathlib import Path

import pytest

from purekernel.errors import BootMenuError, FormatError, UnsupportedError
from purekernel.formats import disk_boot
from purekernel.formats.bzimage import parse_boot_header
from purekernel.formats.disk_boot import LOADER_SECTORS, DiskFile, build_disk_boot
from purekernel.input import Input
from tests.oracles import require, run

SOURCE = Path(disk_boot.__file__).with_suffix(".S")


def make_kernel(
    *,
    version: int = 0x020C,
    flags: int = 1,
    setup: int = 2,
    size: int = 4096,
    preferred: int = 0,
    init_bytes: int = 0,
) -> bytes:
    """Return the header of a bzImage, and zeros."""
    kernel = bytearray(size)
    kernel[0x1F1] = setup
    kernel[0x202:0x208] = b"HdrS" + struct.pack("<H", version)
    kernel[0x211] = flags
    struct.pack_into("<I", kernel, 0x22C, 0x7FFFFFFF)
    struct.pack_into("<I", kernel, 0x238, 2047)
    struct.pack_into("<QI", kernel, 0x258, preferred, init_bytes)
    return bytes(kernel)


def given(kernel: bytes) -> Input:
    return Input(kernel, name="vmlinuz")


KERNEL_FILE = DiskFile(size_bytes=4096, sectors=((100, 8),))


def tables(loader: bytes) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    fields = struct.unpack_from("<IIIIH", loader, 0x400)
    pieces = list(struct.iter_unpack("<IIII", loader[0x420:0xC00]))
    return fields, pieces[: pieces.index((0, 0, 0, 0))]


def test_tables_say_what_is_read_and_where_to() -> None:
    initrds = [
        DiskFile(size_bytes=1023, sectors=((200, 2),)),
        DiskFile(size_bytes=513, sectors=((300, 1), (400, 1))),
    ]
    _code, loader = build_disk_boot(
        given(make_kernel()), KERNEL_FILE, initrds, [b"quiet", b"tce=sda1"]
    )
    (end, limit, room, size, mode), pieces = tables(loader)
    assert pieces == [
        (100, 3, 0x10000, 0),
        (103, 5, 0x100000, 0),
        (200, 2, 0, 1),
        (300, 1, 1024, 1),
        (400, 1, 1536, 1),
    ]
    assert (end, limit, mode) == (0x100000 + 5 * 512, 0x80000000, 0xFFFF)
    # The second begins at a multiple of 4, after the end of the first.
    assert size == 1024 + 513
    assert room >= 1024 + 2 * 512
    assert loader[0xC00:].rstrip(b"\0") == b"quiet tce=sda1"
    assert len(loader) == LOADER_SECTORS * 512


def test_kernel_alone_has_no_initrd() -> None:
    _code, loader = build_disk_boot(given(make_kernel()), KERNEL_FILE, [], [])
    assert tables(loader)[0][2:4] == (0, 0)


def test_real_mode_code_may_be_in_two_parts_of_the_disk() -> None:
    file = DiskFile(size_bytes=4096, sectors=((100, 2), (50, 6)))
    _code, loader = build_disk_boot(given(make_kernel()), file, [], [])
    assert tables(loader)[1] == [
        (100, 2, 0x10000, 0),
        (50, 1, 0x10400, 0),
        (51, 5, 0x100000, 0),
    ]


@pytest.mark.parametrize(
    ("word", "mode"),
    [(b"vga=normal", 0xFFFF), (b"vga=ask", 0xFFFD), (b"vga=791", 791), (b"vga=0x317", 0x317)],
)
def test_video_mode_is_handed_to_the_kernel(word: bytes, mode: int) -> None:
    _code, loader = build_disk_boot(given(make_kernel()), KERNEL_FILE, [], [word])
    assert tables(loader)[0][4] == mode


def test_word_for_another_video_mode_is_refused() -> None:
    with pytest.raises(BootMenuError, match="'vga=best' must give normal, ext, ask or a number"):
        build_disk_boot(given(make_kernel()), KERNEL_FILE, [], [b"vga=best"])


def test_kernel_unpacks_itself_where_its_header_says() -> None:
    header = parse_boot_header(given(make_kernel(preferred=16 << 20, init_bytes=20 << 20)))
    assert header.needed_end == 36 << 20


def test_old_protocols_have_default_limits() -> None:
    header = parse_boot_header(given(make_kernel(version=0x0202, setup=0)))
    assert header.setup_sectors == 5
    assert (header.initrd_limit, header.max_words_bytes) == (0x38000000, 255)


@pytest.mark.parametrize(
    "kernel", [make_kernel(flags=0), make_kernel(version=0x0201), make_kernel(setup=65)]
)
def test_kernel_that_is_not_loaded_high_is_refused(kernel: bytes) -> None:
    with pytest.raises(UnsupportedError, match=r"a kernel of Linux 2\.4 or later"):
        build_disk_boot(given(kernel), KERNEL_FILE, [], [])


def test_file_that_is_no_kernel_is_refused() -> None:
    with pytest.raises(FormatError, match="expected a Linux kernel for x86"):
        parse_boot_header(Input(b"\x7fELF" + bytes(1000), name="vmlinux"))


@pytest.mark.parametrize("words", [[b"x" * 2048], [b"a", b"b\0c"]])
def test_command_line_that_the_kernel_cannot_take_is_refused(words: list[bytes]) -> None:
    with pytest.raises(BootMenuError, match="at most 2047 bytes and no NUL"):
        build_disk_boot(given(make_kernel()), KERNEL_FILE, [], words)


def test_files_in_too_many_parts_are_refused() -> None:
    parts = tuple((100 + 2 * number, 1) for number in range(61))
    with pytest.raises(BootMenuError, match="at most 60 parts of the disk"):
        build_disk_boot(given(make_kernel()), DiskFile(size_bytes=61 * 512, sectors=parts), [], [])


@pytest.mark.oracle
def test_assembler_gives_the_same_code(tmp_path: Path) -> None:
    made, linked = tmp_path / "disk_boot.o", tmp_path / "disk_boot.bin"
    run(require("as"), "--32", "-o", made, SOURCE)
    run(
        require("ld"), "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", linked,
        made,
    )  # fmt: skip
    binary = linked.read_bytes()
    code, loader = build_disk_boot(given(make_kernel()), KERNEL_FILE, [], [])
    assert binary[:0x400].rstrip(b"\0") == code
    assert len(code) <= 440
    assert binary[0x400:0x800] == loader[:0x400]

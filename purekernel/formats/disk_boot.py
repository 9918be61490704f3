"""Build the boot code of a disk: it loads a Linux kernel and initrds from where they lie.

The code is assembled from disk_boot.S. It knows no file system: the tables say which sectors it
reads, and where to. So a disk whose kernel or initrds are replaced needs new tables.

Source: Documentation/arch/x86/boot.rst of Linux.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator, Sequence

from purekernel.errors import BootMenuError
from purekernel.formats.bzimage import BootHeader, parse_boot_header
from purekernel.input import Input
from purekernel.records import frozen

SECTOR_BYTES = 512

# Where the loader is on the disk: after a GPT, and before the first partition.
LOADER_SECTOR = 34
LOADER_SECTORS = 10

# Positions in the loader; disk_boot.S has the same.
_TABLES, _COMMAND_LINE = 0x400, 0xC00
_MAX_PIECES = 60
_MAX_WORDS_BYTES = 2047

_FIELDS = struct.Struct("<IIIIH14x")
_PIECE = struct.Struct("<IIII")

_REAL_MODE, _PROTECTED_MODE = 0x10000, 0x100000
_MAX_REAL_MODE_SECTORS = 65

_VIDEO_MODES = {b"normal": 0xFFFF, b"ext": 0xFFFE, b"ask": 0xFFFD}


@frozen(kw_only=True)
class DiskFile:
    """A file on a disk.

    Attributes:
        size_bytes: its size.
        sectors: the first sector and the number of sectors of each part, in order; of 512 bytes.
    """

    size_bytes: int
    sectors: tuple[tuple[int, int], ...]


def build_disk_boot(
    kernel: Input,
    kernel_file: DiskFile,
    initrds: Sequence[DiskFile],
    words: Sequence[bytes],
) -> tuple[bytes, bytes]:
    """Return the code of the MBR, and the loader, which belongs at :data:`LOADER_SECTOR`.

    Args:
        kernel: the kernel.
        kernel_file: where it lies.
        initrds: where the initrds lie, in order.
        words: the words of the kernel's command line.

    Raises:
        FormatError: ``kernel`` is not a bzImage.
        UnsupportedError: it is of a kind that is not loaded to 1 MiB.
        BootMenuError: the command line is too long, or a word is invalid.
    """
    header = parse_boot_header(kernel)
    if not (header.is_high and header.has_command_line) or (
        header.setup_sectors > _MAX_REAL_MODE_SECTORS
    ):
        raise kernel.unsupported(0x206, "a kernel of Linux 2.4 or later", "an older one")
    pieces = [*_kernel_pieces(kernel_file, header)]
    offset = 0
    for initrd in initrds:
        pieces += _pieces(initrd.sectors, offset, is_initrd=True)
        offset += -(-initrd.size_bytes // 4) * 4
    size_bytes = offset - 4 + (initrds[-1].size_bytes - 1) % 4 + 1 if offset else 0
    # Whole sectors are read, so up to one follows the last initrd.
    room = offset + SECTOR_BYTES if offset else 0
    if len(pieces) > _MAX_PIECES:
        raise BootMenuError(
            f"kernel and initrds must be in at most {_MAX_PIECES} parts of the disk, got "
            f"{len(pieces)}",
            hint="use fewer initrds",
        )
    limit = min(header.initrd_limit, 0xFFFFFFFF)
    fields = _FIELDS.pack(header.needed_end, limit, room, size_bytes, _video_mode(words))
    tables = fields + b"".join(_PIECE.pack(*piece) for piece in pieces)
    loader = bytearray(base64.b85decode(_LOADER_CODE).ljust(LOADER_SECTORS * SECTOR_BYTES, b"\0"))
    loader[_TABLES : _TABLES + len(tables)] = tables
    line = _command_line(words, header)
    loader[_COMMAND_LINE : _COMMAND_LINE + len(line)] = line
    return base64.b85decode(_MBR_CODE), bytes(loader)


def _kernel_pieces(file: DiskFile, header: BootHeader) -> Iterator[tuple[int, int, int, int]]:
    """Yield the pieces of the real-mode code, then those of the rest."""
    before = header.setup_sectors
    real: list[tuple[int, int]] = []
    rest: list[tuple[int, int]] = []
    for first, sectors in file.sectors:
        taken = min(before, sectors)
        before -= taken
        if taken:
            real.append((first, taken))
        if taken < sectors:
            rest.append((first + taken, sectors - taken))
    yield from _pieces(real, _REAL_MODE)
    yield from _pieces(rest, _PROTECTED_MODE)


def _pieces(
    sectors: Iterable[tuple[int, int]], address: int, *, is_initrd: bool = False
) -> Iterator[tuple[int, int, int, int]]:
    for first, count in sectors:
        yield first, count, address, int(is_initrd)
        address += count * SECTOR_BYTES


def _command_line(words: Sequence[bytes], header: BootHeader) -> bytes:
    line = b" ".join(words)
    most = min(header.max_words_bytes, _MAX_WORDS_BYTES)
    if len(line) > most or b"\0" in line:
        raise BootMenuError(
            f"the kernel's command line must have at most {most} bytes and no NUL, got "
            f"{len(line)} bytes",
            hint="use fewer words",
        )
    return line


def _video_mode(words: Iterable[bytes]) -> int:
    """Return the mode that the word ``vga=`` gives, which boot loaders handle for the kernel."""
    mode = 0xFFFF
    for word in words:
        name, _equals, value = word.partition(b"=")
        if name != b"vga":
            continue
        try:
            mode = _VIDEO_MODES[value] if value in _VIDEO_MODES else int(value, 0)
        except ValueError:
            mode = -1
        if not 0 <= mode <= 0xFFFF:
            raise BootMenuError(
                f"the word {word.decode('utf-8', 'replace')!r} must give normal, ext, ask or a "
                "number up to 65535",
                hint="correct the word",
            )
    return mode


# disk_boot.S, assembled: the code of the MBR, and that of the loader.
_MBR_CODE = (
    "`Z2(c(7XVAj@XXC`~2z?d;kDav_ZS7Rm~G}8G-v%s&y0g!2xs*T2j7De6&K%6Iu_0$^*V!e5{1PbP2Q$y9WTx5bN^I81"
    "(D?5C94Q0Du4hA^-pY00000RA^-&VsCGBAY^HCYanA`Zf<XMAYx@8a%Ev;E)5C"
)
_LOADER_CODE = (
    "h!!k@W-;4lxFF~N0A{*SK}}O;xfB2Z0KX7|%@uM>W<5|rO;dG4W`jN;f&q0lW`jNyf&g_cW}y&*W<3A^5CC@~W{Vaaf@"
    "T8-7=mVl(g1V@X1D<G|Nmw^000mGb_8alB!Xsz+jX2~p(KK4I|c-Vb_8aj1cYWQ1_*=?f)fEH0Ptoz1^|Q)f(HR+qbP#"
    "CAcSU%P6TJ;M`nwD2xfzR3;=WmW&=Jbf@X_W0A{#A0001HImmVcW{Jq7(t&1)7TAI4cmU|50A>NgW+}mD!QcsI0mo*A$"
    "#v3$#SrVVxBw82z@ZR?CZqZRCdLL30{<p}4iN%?CdURO0s!77X2%970s!Cv0A`^KgeGRA90F#Az;py=p(uhTW}_Gaz5t"
    "BB0N}X*2=k=+jKGfAj^K{yj?laS;OYPXAP{C?zXSlj(1D5;EP}K`%@cDOiQ|h$9HY{KF~EuzEP~AwPj%qFTzu)w`etFn"
    "W?*KC`iU0$fo8$#5QrB1frvK$fr-Jv;RwFqfwYIs6=q>_0mHtWf$5$4RA^;#WguyDAZ~ATAZ2cEb!TWGZDnn5a(N(TZ*"
    "m}XXk{RCd2@7SZ7vN80FAT&0F8725C8xG0000W000000000000000000000000000000|Nj600+Rp$|Nj600Fw"
)

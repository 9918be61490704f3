"""Test archives that are compressed in blocks."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from purekernel import encode
from purekernel.encode import archives
from purekernel.encode.archives import ArchiveCompression, compress_archive
from purekernel.encode.encoders import Effort
from purekernel.errors import EncodingError
from purekernel.formats import zstd
from purekernel.threads import running_executor
from tests.oracles import require, run

GZIP, ZSTD = ArchiveCompression.GZIP, ArchiveCompression.ZSTD


def content(size: int) -> bytes:
    text = b"".join(b"%d lines of text\n" % number for number in range(size // 8))
    return (random.Random(5).randbytes(size // 3) + text)[:size]


def pack(
    pieces: list[bytes],
    compression: ArchiveCompression,
    *,
    effort: Effort = Effort.FAST,
    jobs: int = 2,
) -> bytes:
    with running_executor(jobs=jobs) as executor:
        return b"".join(
            compress_archive(pieces, compression=compression, effort=effort, executor=executor)
        )


def unpack_zstd(data: bytes) -> bytes:
    content = b""
    while data:
        frame = zstd.ZstdDecompressor()
        content += frame.decompress(data)
        assert frame.eof
        data = frame.unused_data
    return content


def test_archive_without_compression_is_unchanged() -> None:
    assert pack([b"abc", b"", b"d"], ArchiveCompression.NONE) == b"abcd"


def test_gzip_members_and_zstd_frames_unpack_to_the_archive() -> None:
    data = content((2 << 20) + 5)
    assert gzip.decompress(pack([data], GZIP)) == data
    assert unpack_zstd(pack([data], ZSTD)) == data


@pytest.mark.parametrize("compression", [GZIP, ZSTD])
def test_bytes_depend_neither_on_pieces_nor_on_jobs(compression: ArchiveCompression) -> None:
    data = content((1 << 20) + 100_000)
    pieces = [data[start : start + 77_777] for start in range(0, len(data), 77_777)]
    assert pack(pieces, compression, jobs=1) == pack([data], compression, jobs=3)


@pytest.mark.slow
@pytest.mark.parametrize("compression", [GZIP, ZSTD])
def test_more_effort_is_smaller_archive(compression: ArchiveCompression) -> None:
    data = b"".join(path.read_bytes() for path in sorted(Path(encode.__file__).parent.glob("*.py")))
    sizes = [len(pack([data], compression, effort=effort)) for effort in Effort]
    assert sizes[0] >= sizes[1] > sizes[2]


@pytest.mark.slow
def test_blocks_ahead_are_bounded() -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for _each in range(40):
            taken += 1
            yield bytes(1 << 20)

    with running_executor(jobs=1) as executor:
        packed = compress_archive(pieces(), compression=GZIP, effort=Effort.FAST, executor=executor)
        next(iter(packed))
        assert taken <= 14
        for _rest in packed:
            pass
    assert taken == 40


def test_wrong_result_of_a_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(data: bytes, *, options: dict[int, int]) -> bytes:
        return bytes(zstd.__getattr__("compress")(data + b"!", options=options))

    monkeypatch.setattr(archives.zstd, "compress", wrong, raising=False)
    with pytest.raises(EncodingError):
        pack([b"text"], ZSTD)


@pytest.mark.oracle
@pytest.mark.parametrize(("compression", "program"), [(GZIP, "gzip"), (ZSTD, "zstd")])
def test_archive_is_unpacked_by_another_program(
    compression: ArchiveCompression, program: str
) -> None:
    data = content((5 << 20) + 3)
    assert run(require(program), "-dc", stdin=pack([data], compression)) == data

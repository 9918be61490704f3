from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from purekernel.errors import FormatError, LimitError
from purekernel.formats.compression import COMPRESSED, unpack, unpack_streams
from purekernel.formats.detect import detect
from purekernel.formats.lz4 import build_frame, build_lz4
from purekernel.input import Input, Limits
from tests.oracles import require, run

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CONTENT = b"".join(str(number).encode() for number in range(20_000))

PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("bzip2", bz2.compress),
    ("xz", lzma.compress),
    ("lzma", partial(lzma.compress, format=lzma.FORMAT_ALONE)),
    ("zstd", zstd.compress),
    ("lz4", build_lz4),
    ("lz4 frame", build_frame),
]

each = pytest.mark.parametrize(("kind", "pack"), PACKERS, ids=[kind for kind, _pack in PACKERS])


@each
def test_one_or_several_streams_are_unpacked(kind: str, pack: Callable[[bytes], bytes]) -> None:
    assert detect(pack(CONTENT)) in COMPRESSED
    assert unpack(Input(memoryview(pack(CONTENT)), name="x")) == CONTENT
    assert unpack(Input(pack(CONTENT) + pack(b"more"), name="x")) == CONTENT + b"more"
    assert unpack(Input(pack(b""), name="x")) == b""


@each
def test_truncated_or_extended_stream_is_refused(kind: str, pack: Callable[[bytes], bytes]) -> None:
    data = pack(CONTENT[:3000])
    for cut in range(10, len(data), max(1, len(data) // 50)):
        with pytest.raises(FormatError):
            unpack(Input(data[:cut], name="x"))
    with pytest.raises(FormatError):
        unpack(Input(data + b"other things", name="x"))


@each
def test_unpacked_size_above_the_limit_is_refused(
    kind: str, pack: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(LimitError):
        unpack(Input(pack(bytes(4 << 20)), name="x", limits=Limits(unpacked_bytes=1 << 20)))


@each
def test_already_bytes_count_towards_the_limit(kind: str, pack: Callable[[bytes], bytes]) -> None:
    limits = Limits(unpacked_bytes=len(CONTENT))
    assert unpack(Input(pack(CONTENT), name="x", limits=limits)) == CONTENT
    with pytest.raises(LimitError):
        unpack(Input(pack(CONTENT), name="x", limits=limits), already_bytes=1)


def test_uncompressed_data_is_returned_unchanged() -> None:
    assert unpack(Input(CONTENT, name="x")) is CONTENT
    assert detect(CONTENT) not in COMPRESSED


@each
def test_zeros_between_and_after_streams_are_ignored(
    kind: str, pack: Callable[[bytes], bytes]
) -> None:
    data = pack(b"one") + bytes(8) + pack(b"two") + bytes(4)
    assert unpack(Input(data, name="x")) == b"onetwo"


@each
def test_streams_before_another_archive_are_unpacked(
    kind: str, pack: Callable[[bytes], bytes]
) -> None:
    data = pack(b"one") + pack(b"two") + bytes(4) + b"070701"
    unpacked = unpack_streams(Input(b"early" + data, name="x"), 5)
    assert unpacked.content == b"onetwo"
    assert data[unpacked.end - 5 :] == bytes(4) + b"070701"


SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0\1\2\3\4"


@pytest.mark.parametrize("pack", [zstd.compress, build_lz4, build_frame])
@pytest.mark.parametrize("first", [b"", SKIPPABLE, SKIPPABLE * 3])
def test_skippable_frames_are_ignored(pack: Callable[[bytes], bytes], first: bytes) -> None:
    data = first + pack(b"one") + SKIPPABLE + pack(b"two") + SKIPPABLE * 2
    assert detect(data) in COMPRESSED
    assert unpack(Input(data, name="x")) == b"onetwo"


def test_file_of_skippable_frames_is_empty() -> None:
    assert unpack(Input(SKIPPABLE * 2, name="x")) == b""


def test_truncated_skippable_frame_is_refused() -> None:
    with pytest.raises(FormatError, match=r"byte 12: expected another stream .*got 50 2a 4d 18"):
        unpack(Input(SKIPPABLE + SKIPPABLE[:-1], name="x"))
    with pytest.raises(FormatError):
        unpack(Input(zstd.compress(b"one") + SKIPPABLE[:-1], name="x"))


def test_zstd_frame_with_a_dictionary_is_unsupported() -> None:
    samples = [b"line %d of a file that repeats itself" % number for number in range(2000)]
    options = {"zstd_dict": zstd.train_dict(samples, 1000)}
    with pytest.raises(FormatError, match="one that needs a dictionary, which is not supported"):
        unpack(Input(zstd.compress(CONTENT, **options), name="x"))  # type: ignore[arg-type]


def test_zstd_frame_with_a_large_window_is_unsupported() -> None:
    for window_log, expected in ((27, None), (28, "got a window of 256 MiB, which is not")):
        # A frame of unknown size with one raw block, the last, of one byte.
        data = b"\x28\xb5\x2f\xfd\0" + bytes([(window_log - 10) << 3]) + b"\x09\0\0a"
        if expected is None:
            assert unpack(Input(data, name="x")) == b"a"
            continue
        with pytest.raises(FormatError, match=expected) as caught:
            unpack(Input(data, name="x"))
        assert caught.value.hint == "compress the file again without --long"


def test_skippable_frame_before_another_kind_is_refused() -> None:
    with pytest.raises(FormatError):
        unpack(Input(SKIPPABLE + gzip.compress(b"one"), name="x"))


@pytest.mark.oracle
@pytest.mark.parametrize(
    "command",
    [
        ["pzstd", "-q", "-p", "3", "-c"],
        ["zstd", "-q", "--no-check", "-c"],
        ["xz", "--block-size=20000", "-T2", "-c"],
        ["xz", "--check=sha256", "-c"],
        ["lzma", "-0", "-c"],
        ["xz", "--format=lzma", "--lzma1=dict=4096", "-c"],
        ["xz", "--format=lzma", "--lzma1=dict=48KiB", "-c"],
        ["bzip2", "-1", "-c"],
        ["gzip", "-c"],
    ],
    ids=" ".join,
)
def test_output_of_the_programs_is_unpacked(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(CONTENT)
    packed = run(require(command[0]), *command[1:], str(tmp_path / "content"))
    assert unpack(Input(packed, name="x")) == CONTENT
    assert unpack(Input(packed * 2, name="x")) == CONTENT * 2

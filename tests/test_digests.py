"""Test that output has the same digests on every system, processor and Python.

``tests/digests.toml`` holds them. Where a change of purekernel changes a digest, write the new one
there. A digest that differs on one system only is a fault. zopfli is tested by itself, because its
search computes with floating point numbers.
"""

from __future__ import annotations

import hashlib
import struct
import tomllib
from pathlib import Path

import pytest

from purekernel.cli import main
from purekernel.encode.encoders import Zopfli
from purekernel.formats.inflate import inflate
from purekernel.input import Input

DIGESTS = tomllib.loads(Path(__file__).with_name("digests.toml").read_text(encoding="utf-8"))


def noise(size_bytes: int) -> bytes:
    return hashlib.shake_128(b"purekernel").digest(size_bytes)


# Data of several kinds, for which zopfli weighs many ways to split and to encode.
INPUTS = {
    "nothing": b"",
    "noise": noise(3_000),
    "words": b" ".join(b"word%d" % (byte * byte) for byte in noise(1_500)),
    "runs": b"".join(bytes([byte % 3]) * (byte // 4) for byte in noise(600)),
    "table": b"".join(struct.pack("<IHH", 40 * n, n % 7, n // 9) for n in range(800)),
    "mixed": noise(500) + b"text " * 300 + noise(500) + bytes(5_000),
}


@pytest.mark.parametrize("effort", ["fast", "balanced", "max"])
def test_sample_has_the_same_digest_everywhere(effort: str, tmp_path: Path) -> None:
    command = ["build", "--sample", "--quiet", "--effort", effort, "--output-dir", str(tmp_path)]
    assert main(command) == 0
    (image,) = tmp_path.glob("*.iso")
    assert hashlib.sha256(image.read_bytes()).hexdigest() == DIGESTS["sample"][effort]


@pytest.mark.parametrize("name", INPUTS)
def test_zopfli_has_the_same_digest_everywhere(name: str) -> None:
    stream = Zopfli(iterations=5, block_bytes=2_048).encode(INPUTS[name])
    assert bytes(inflate(Input(stream, name=name)).content) == INPUTS[name]
    assert hashlib.sha256(stream).hexdigest() == DIGESTS["zopfli"][name]


def test_each_digest_belongs_to_a_test() -> None:
    assert set(DIGESTS["zopfli"]) == set(INPUTS)

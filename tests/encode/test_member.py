from __future__ import annotations

import gzip

import pytest

from purekernel.encode.encoders import Libdeflate, compress
from purekernel.formats.gzip import parse_gzip
from purekernel.input import Input
from tests.oracles import require, run


def test_member_is_single_and_has_no_host_data() -> None:
    data = b"some words " * 1000
    packed = compress(data, encoder=Libdeflate())
    assert gzip.decompress(packed) == parse_gzip(Input(packed, name="x")) == data
    assert packed[:10] == bytes.fromhex("1f8b08000000000002ff")


@pytest.mark.oracle
def test_gzip_accepts_member() -> None:
    packed = compress(b"x" * 100_000, encoder=Libdeflate())
    run(require("gzip"), "-t", stdin=packed)
    assert run(require("gzip"), "-dc", stdin=packed) == b"x" * 100_000

"""Test that a missing or replaced library is reported in two lines."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from purekernel.encode.encoders import Effort
from purekernel.encode.squashfs import SquashfsCompression, make_codec
from purekernel.errors import LibraryError
from purekernel.formats import zstd
from purekernel.formats.compress import check_taken, choose_compression
from purekernel.formats.compression import unpack
from purekernel.formats.initramfs import Compression
from purekernel.formats.lz4 import build_block, build_frame, parse_block
from purekernel.formats.squashfs.codecs import LZ4 as LZ4_BLOCKS
from purekernel.formats.squashfs.codecs import unpacker
from purekernel.input import Input
from purekernel.libraries import load_library
from purekernel.rootfs.passwords import Scheme, hash_password


def test_module_is_returned() -> None:
    assert load_library("zlib") is sys.modules["zlib"]


def test_result_of_the_check_is_returned() -> None:
    assert load_library("zlib", check=lambda module: module.MAX_WBITS) == 15


# The code that uses each library, the package that it is in, and what to install.
LZ4 = ("lz4", "'purekernel[lz4]'")
USES: dict[str, tuple[str, str, Callable[[], object]]] = {
    "lz4": (*LZ4, lambda: build_block(b"data")),
    "lz4.block": (*LZ4, lambda: parse_block(b"", 1)),
    "lz4.frame": (*LZ4, lambda: build_frame(b"data")),
    "passlib": (
        "libpass",
        "libpass",
        lambda: hash_password("word", scheme=Scheme.SHA512, salt="saltsaltsaltsalt"),
    ),
}
if sys.version_info < (3, 14):
    USES["backports.zstd"] = (
        "backports.zstd",
        "backports.zstd",
        lambda: zstd.compress(b"data"),
    )


@pytest.mark.parametrize("name", USES)
def test_missing_library_is_named_with_its_package(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, install, use = USES[name]
    forget(name, monkeypatch)
    with pytest.raises(LibraryError) as caught:
        use()
    assert str(caught.value) == f"the Python package {package} is not installed"
    assert caught.value.hint == f"pip install {install}"


def forget(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a library missing until the end of the test."""
    for loaded in list(sys.modules):
        if loaded.startswith(f"{name}."):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)


# What an image needs lz4 for. A frame, legacy or not, and the superblock of squashfs in LZ4.
NEED_LZ4: dict[str, Callable[[], object]] = {
    "legacy frame": lambda: unpack(Input(bytes.fromhex("02214c18 05000000"), name="x")),
    "frame": lambda: unpack(Input(bytes.fromhex("04224d18 64"), name="x")),
    "squashfs": lambda: unpacker(LZ4_BLOCKS, Input(b"", name="x")),
}


@pytest.mark.parametrize("form", NEED_LZ4)
def test_file_that_needs_missing_lz4_is_named(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forget("lz4", monkeypatch)
    with pytest.raises(LibraryError) as caught:
        NEED_LZ4[form]()
    assert str(caught.value) == "x: the Python package lz4 is not installed"
    assert caught.value.hint == "pip install 'purekernel[lz4]'"


@pytest.mark.parametrize(
    "choose",
    [
        lambda: check_taken(Compression.LZ4, None),
        lambda: choose_compression(frozenset({Compression.LZ4})),
        lambda: make_codec(SquashfsCompression.LZ4, Effort.FAST, 4096),
    ],
    ids=["--compression lz4", "--compression auto", "mksquashfs -comp lz4"],
)
def test_choice_of_missing_lz4_is_refused(
    choose: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget("lz4", monkeypatch)
    with pytest.raises(LibraryError, match="the Python package lz4 is not installed"):
        choose()


def test_lz4_is_not_needed_for_other_compressions(monkeypatch: pytest.MonkeyPatch) -> None:
    forget("lz4", monkeypatch)
    assert choose_compression(frozenset(Compression)) is Compression.XZ
    assert bytes(unpack(Input(gzip.compress(b"data"), name="x"))) == b"data"


def fail(_module: Any) -> None:
    raise LibraryError("it is\nodd")


@pytest.mark.parametrize(
    ("text", "check", "why"),
    [
        ("import missing_too", str, "ModuleNotFoundError: No module named 'missing_too'"),
        ("raise OSError('no symbol\\n x')", str, "OSError: no symbol x"),
        ("", lambda module: module.pack, "AttributeError: module 'odd' has no attribute 'pack'"),
        ("", fail, "it is odd"),
    ],
    ids=["depends on a missing package", "fails", "no function", "fails the check"],
)
def test_unusable_library_is_reported_with_the_reason(
    text: str,
    check: Callable[[Any], Any],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "odd.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    with pytest.raises(LibraryError) as caught:
        load_library("odd", check=check)
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    assert str(caught.value) == (
        f"the Python module odd must come from a recent package odd, got another one: {why}"
    )
    assert caught.value.hint == "pip install --force-reinstall odd"


def test_zstd_has_no_other_names() -> None:
    assert zstd.compress(b"data") != b"data"
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        _ = zstd.other

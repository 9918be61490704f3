"""Test that a missing or replaced library is reported in two lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from purekernel.errors import LibraryError
from purekernel.formats import zstd
from purekernel.formats.lz4 import build_block, parse_block
from purekernel.libraries import load_library
from purekernel.rootfs.passwords import Scheme, hash_password


def test_module_is_returned() -> None:
    assert load_library("zlib") is sys.modules["zlib"]


def test_result_of_the_check_is_returned() -> None:
    assert load_library("zlib", check=lambda module: module.MAX_WBITS) == 15


# The code that uses each library, and the package to install for it.
USES: dict[str, tuple[str, Callable[[], object]]] = {
    "lz4": ("lz4", lambda: build_block(b"data")),
    "lz4.block": ("lz4", lambda: parse_block(b"", 1)),
    "passlib": (
        "libpass",
        lambda: hash_password("word", scheme=Scheme.SHA512, salt="saltsaltsaltsalt"),
    ),
}
if sys.version_info < (3, 14):
    USES["backports.zstd"] = ("backports.zstd", lambda: zstd.compress(b"data"))


@pytest.mark.parametrize("name", USES)
def test_missing_library_is_named_with_its_package(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, use = USES[name]
    for loaded in list(sys.modules):
        if loaded.startswith(f"{name}."):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LibraryError) as caught:
        use()
    assert str(caught.value) == f"the Python package {package} is not installed"
    assert caught.value.hint == f"pip install {package}"


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

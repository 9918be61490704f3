"""Test splitting an address into a path of the host and the rest."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import InputError, LimitError, MissingPathError, UsageError
from purekernel.formats.tar import build_tar
from purekernel.host.addresses import find_on_host, load_address, split_address
from purekernel.input import Limits
from tests.formats.test_address import tree_of

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "windows", "splits"),
    [
        ("x.iso", False, [("x.iso", None)]),
        ("x.iso:boot", False, [("x.iso:boot", None), ("x.iso", "boot")]),
        (
            "x:a:b",
            False,
            [("x:a:b", None), ("x:a", "b"), ("x", "a:b")],
        ),
        ("x.iso:", False, [("x.iso:", None), ("x.iso", "")]),
        (":x", False, [(":x", None)]),
        ("C:\\x.iso:boot", True, [("C:\\x.iso:boot", None), ("C:\\x.iso", "boot")]),
        ("c:/x.iso:a:b", True, [("c:/x.iso:a:b", None), ("c:/x.iso:a", "b"), ("c:/x.iso", "a:b")]),
        ("C:x.iso", True, [("C:x.iso", None)]),
        ("C:", True, [("C:", None)]),
        ("\\\\?\\C:\\x:b", True, [("\\\\?\\C:\\x:b", None), ("\\\\?\\C:\\x", "b")]),
        ("//./C:/x:b", True, [("//./C:/x:b", None), ("//./C:/x", "b")]),
        (r"\\server\s\x:b", True, [(r"\\server\s\x:b", None), (r"\\server\s\x", "b")]),
        (r"C:\x:boot", False, [(r"C:\x:boot", None), (r"C:\x", "boot"), ("C", r"\x:boot")]),
        ("1:/x", True, [("1:/x", None), ("1", "/x")]),
    ],
)  # fmt: skip
def test_address_is_split_at_each_colon_but_that_of_a_drive(
    text: str, windows: bool, splits: list[tuple[str, str | None]]
) -> None:
    assert list(split_address(text, windows=windows)) == splits


@given(st.text(st.sampled_from("Ca:\\/.?"), min_size=1, max_size=12), st.booleans())
def test_splits_join_to_the_address(text: str, windows: bool) -> None:
    splits = list(split_address(text, windows=windows))
    assert splits[0] == (text, None)
    assert all(f"{host}:{rest}" == text for host, rest in splits[1:])
    assert [len(host) for host, _rest in splits] == sorted(
        {len(host) for host, _rest in splits}, reverse=True
    )
    if windows:
        assert not any(
            len(host) == 1 and host.isalpha() for host, rest in splits if rest is not None
        )


def test_file_inside_a_file_of_the_host_is_loaded(folder: Path) -> None:
    (folder / "x.tar").write_bytes(build_tar(tree_of(etc__motd=b"inside")))
    file = load_address("x.tar:etc/motd")
    assert (bytes(file.data), file.name) == (b"inside", "x.tar:etc/motd")
    assert bytes(load_address(f"{folder / 'x.tar'}:etc/motd").data) == b"inside"
    assert bytes(load_address("x.tar").data) == (folder / "x.tar").read_bytes()


def test_backslashes_that_windows_puts_into_an_address_are_slashes(folder: Path) -> None:
    (folder / "x.iso").touch()
    path = PureWindowsPath("x.iso:boot/core.gz")
    assert find_on_host(path, windows=True).inner == b"boot/core.gz"
    assert find_on_host("x.iso:boot\\core.gz", windows=True).inner == b"boot\\core.gz"


@posix
def test_whole_name_of_a_file_wins(folder: Path) -> None:
    archive = build_tar(tree_of(a=b"short"))
    (folder / "x").write_bytes(archive)
    assert bytes(load_address("x:a").data) == b"short"
    (folder / "x:a").write_bytes(b"long")
    assert bytes(load_address("x:a").data) == b"long"
    (folder / "x:y").write_bytes(build_tar(tree_of(a=b"middle")))
    assert bytes(load_address("x:y:a").data) == b"middle"
    # Also a link to nothing.
    (folder / "x:b").symlink_to("nowhere")
    with pytest.raises(InputError, match="x:b does not exist"):
        load_address("x:b")


@posix
def test_links_below_a_folder_are_followed_inside_it(folder: Path) -> None:
    (folder / "root/etc").mkdir(parents=True)
    (folder / "root/etc/motd").write_text("inside")
    (folder / "motd").write_text("outside")
    (folder / "root/up").symlink_to("../../motd")
    (folder / "root/absolute").symlink_to("/etc/motd")
    (folder / "root/out").symlink_to("../motd")
    assert bytes(load_address("root:absolute").data) == b"inside"
    for name in ("up", "out"):
        with pytest.raises(MissingPathError, match=f"root:{name} is a symbolic link to"):
            load_address(f"root:{name}")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "the address is empty", "give a file or a folder"),
        ("nowhere.tar:etc", "nowhere.tar does not exist", "check the path"),
        ("images/Core.ios:boot", "Core.ios does not exist", "Core.iso?"),
        pytest.param("images/core.iso", "core.iso does not exist", "Core.iso?", marks=posix),
        ("images/Core.iso/boot/x", "Core.iso/boot does not exist", "Core.iso:boot"),
        ("nowhere/images/x", "nowhere does not exist", "check the path"),
        ("a:" * 65, "an address must have at most 64 colons, got 65", "check the address"),
        ("nul\0", "nul\0 does not exist", "check the path"),
    ],
)
def test_missing_file_of_the_host_is_named(
    folder: Path, text: str, message: str, hint: str
) -> None:
    (folder / "images").mkdir()
    (folder / "images/Core.iso").write_bytes(b"")
    with pytest.raises((InputError, UsageError)) as caught:
        find_on_host(text)
    assert message in str(caught.value).replace("\\", "/")
    assert hint in caught.value.hint


@posix
def test_fifo_is_refused_at_once(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    for text in ("fifo", "fifo:etc"):
        with pytest.raises(InputError, match="fifo is neither a file nor a folder"):
            load_address(text)


def test_file_larger_than_the_limit_is_refused(folder: Path) -> None:
    (folder / "x").write_bytes(bytes(1000))
    with pytest.raises(LimitError, match="at most 999 bytes unpacked"):
        load_address("x", limits=Limits(unpacked_bytes=999))

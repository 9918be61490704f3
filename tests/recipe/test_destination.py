"""Test what ``-o`` names: a folder, a file or stdout."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from purekernel.errors import UsageError
from purekernel.host.write import STDOUT, Output
from purekernel.recipe.destination import (
    Destination,
    OutputForm,
    choose_destination,
    form_of,
    has_ending,
)
from purekernel.recipe.flavour import FILE_ENDINGS, Emit
from purekernel.recipe.outputs import Outputs

ISO = form_of([Emit.ISO])
TAR = ", or --emit tce, rootfs or oci for such a file"


def choose(text: str, form: OutputForm = ISO) -> Destination:
    return choose_destination(text, form, stdout=io.BytesIO)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dir.iso").mkdir()
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "old.iso").write_bytes(b"old")
    return tmp_path


@pytest.mark.parametrize(
    "text",
    ["out", "out/", "new.iso/", ".", "..", "dir.iso", "build-1.0", "a/b/c", ".hidden", "v1."],
)
def test_text_names_a_folder(text: str) -> None:
    assert choose(text) == Destination(folder=Path(text))


@pytest.mark.parametrize("text", ["new.iso", "NEW.ISO", "old.iso", "a/b.iso", "x.tar.iso", "-.iso"])
def test_text_with_the_outputs_ending_names_a_file(text: str) -> None:
    assert choose(text) == Destination(file=Path(text))


def test_dash_is_stdout_which_is_not_opened_for_other_texts() -> None:
    assert isinstance(choose("-").stream, io.BytesIO)

    def fail() -> None:
        raise AssertionError

    assert choose_destination("x.iso", ISO, stdout=fail).stream is None


@pytest.mark.parametrize(
    ("text", "kinds", "message", "hint"),
    [
        (
            "x.isoo",
            [Emit.ISO],
            "-o x.isoo is not clear: a folder, or a file of the output iso?",
            f"write x.isoo{os.sep} for a folder, or a name that ends in .iso for the file",
        ),
        (
            "x.tar",
            [Emit.ISO],
            "-o x.tar is not clear: a folder, or a file of the output iso?",
            f"write x.tar{os.sep} for a folder, or a name that ends in .iso for the file{TAR}",
        ),
        (
            ".iso",
            [Emit.ISO],
            "-o .iso is not clear: a folder, or a file of the output iso?",
            f"write .iso{os.sep} for a folder, or a name that ends in .iso for the file",
        ),
        (
            "file",
            [Emit.INITRD],
            "-o file is a file, and the name of the output initrd must end in .gz or .img",
            "give the name of a folder, or a name that ends in .gz or .img for the file",
        ),
        (
            "x.iso",
            [Emit.ISO, Emit.PXE],
            "-o x.iso names a file, and the outputs iso and pxe are several files",
            f"write x.iso{os.sep} for a folder, or choose one output with --emit",
        ),
        (
            "file",
            [Emit.ISO, Emit.CORE, Emit.TCE],
            "-o file names a file, and the outputs iso, core and tce are several files",
            "give the name of a folder, or choose one output with --emit",
        ),
        (
            "core.gz",
            [Emit.CORE],
            "-o core.gz names a file, and the output core is several files",
            f"write core.gz{os.sep} for a folder",
        ),
        (
            "-",
            [Emit.CORE],
            "-o - is for one file, and the output core is several files",
            "write to a folder",
        ),
    ],
)  # fmt: skip
def test_unclear_text_is_refused_with_what_to_write(
    text: str, kinds: list[Emit], message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose(text, form_of(kinds))
    assert (str(caught.value), caught.value.hint) == (message, hint)


@pytest.mark.skipif(sys.platform == "win32", reason="not for Windows")
@pytest.mark.parametrize("name", ["s", "s.iso"])
def test_special_file_is_refused_with_a_redirection(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        with pytest.raises(UsageError, match=r"is a device, a fifo or a socket") as caught:
            choose(name)
    assert caught.value.hint == f"write to stdout, and redirect it: -o - > {name}"


def test_endings_are_lower_case_and_longer_names_have_them() -> None:
    endings = [ending for each in FILE_ENDINGS.values() for ending in each]
    assert all(ending == ending.lower() and ending[0] == "." for ending in endings)
    assert {Emit.CORE, Emit.PXE}.isdisjoint(FILE_ENDINGS)
    assert has_ending("a.TAR.gz", (".tar.gz",))
    assert not has_ending(".tar.gz", (".tar.gz",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Outputs(folder="out", file="x.iso"),
            "folder, file and stream exclude one another",
        ),
        (
            lambda: Outputs(file="x.gz").check_destination((Emit.ISO,)),
            "the file x.gz: the name of the output iso must end in .iso",
        ),
        (
            lambda: Outputs(stream=io.BytesIO()).check_destination((Emit.PXE,)),
            "a stream is for one file, and the output pxe is several files",
        ),
    ],
)
def test_library_refuses_destinations_that_do_not_fit(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message


def test_each_destination_writes_the_one_content(folder: Path) -> None:
    stream = io.BytesIO()
    assert Destination().write({"x.iso": b"new"}) == []
    written: list[Output] = []
    for destination in (
        Destination(folder=folder), Destination(file=folder / "y.iso"), Destination(stream=stream),
    ):  # fmt: skip
        written += destination.write({"x.iso": b"new"})
    assert [each.path for each in written] == [folder / "x.iso", folder / "y.iso", STDOUT]
    assert {each.size_bytes for each in written} == {3}
    assert (folder / "y.iso").read_bytes() == stream.getvalue() == b"new"

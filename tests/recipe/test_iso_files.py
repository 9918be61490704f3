from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from purekernel.errors import ChecksumError
from purekernel.input import DEFAULT_LIMITS
from purekernel.recipe.iso_files import IsoFile, find_faults, iso_file_role, read_contents
from purekernel.recipe.read import parse_recipe

HEADER = "[[iso.file]]\n"


def files(text: str, folder: Path = Path()) -> tuple[IsoFile, ...]:
    return parse_recipe(text.encode(), source="p.toml", folder=folder).iso_files


def faults(text: str, folder: Path = Path()) -> list[tuple[str, str]]:
    return [(str(error), error.hint) for error in find_faults(files(text, folder), folder)]


def contents(text: str, folder: Path = Path()) -> dict[str, bytes]:
    fetched = {iso_file_role("https://a.example/x"): ("x", b"from the network")}
    found = read_contents(files(text), folder, limits=DEFAULT_LIMITS, fetched=fetched.get)
    return {path.decode(): bytes(content) for path, content in found.items()}


def test_content_comes_from_text_file_or_url(tmp_path: Path) -> None:
    (tmp_path / "menu").write_bytes(b"default a\n")
    text = (
        f"{HEADER}path = 'boot/isolinux/isolinux.cfg'\nsource = 'menu'\n"
        f"{HEADER}path = 'grüße.txt'\ntext = 'Grüße\\n'\n"
        f"{HEADER}path = 'a/x'\nurl = 'https://a.example/x'\nexecutable = true\n"
    )
    assert faults(text, tmp_path) == []
    assert contents(text.replace("'Grüße\\n'", '"Grüße\\n"'), tmp_path) == {
        "boot/isolinux/isolinux.cfg": b"default a\n",
        "grüße.txt": "Grüße\n".encode(),
        "a/x": b"from the network",
    }
    assert [file.executable for file in files(text)] == [False, False, True]


def test_table_of_the_iso_and_its_files_are_both_read() -> None:
    text = f"[iso]\nvolume-id = 'X'\n{HEADER}path = 'a'\ntext = ''\n"
    recipe = parse_recipe(text.encode(), source="p.toml", folder=Path())
    assert recipe.iso.volume_id == "X"
    (file,) = recipe.iso_files
    assert (file.path, file.text) == ("a", "")
    assert file.place("path") == "p.toml, line 4, path under [[iso.file]]"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a*b", "the name 'a*b' cannot be in Joliet, which Windows reads"),
        ("dir:1/b", "the name 'dir:1' cannot be in Joliet, which Windows reads"),
        ("x" * 65, f"the name '{'x' * 65}' cannot be in Joliet, which Windows reads"),
        ("\N{DUCK}", "the name '\N{DUCK}' cannot be in Joliet, which Windows reads"),
        (
            "é" * 128,
            f"the name '{'é' * 20}'… is too long for an ISO: must be at most 255 bytes, got 256",
        ),
    ],
)  # fmt: skip
def test_name_that_an_iso_cannot_hold_is_an_error(path: str, message: str) -> None:
    ((error, hint),) = faults(f"{HEADER}path = '{path}'\ntext = ''\n")
    assert error == f"p.toml, line 2, path under [[iso.file]]: {message}"
    assert hint


def test_all_faults_are_reported_with_their_lines(tmp_path: Path) -> None:
    text = (
        f"{HEADER}path = 'a'\nsource = 'absent'\n"
        f"{HEADER}path = 'b'\ntext = '1'\n"
        f"{HEADER}path = 'b'\ntext = '2'\n"
        f"{HEADER}path = 'b/c/d'\ntext = '3'\n"
    )
    places = [f"p.toml, line {line}, path under [[iso.file]]" for line in (5, 8, 11)]
    assert [error for error, _hint in faults(text, tmp_path)] == [
        f"p.toml, line 3, source under [[iso.file]]: not a file: {tmp_path / 'absent'}",
        f"{places[1]}: 'b' has a content already, in {places[0]}",
        f"{places[2]}: 'b/c/d' cannot be below the file 'b', in {places[0]}",
    ]


def test_wrong_digest_is_an_error(tmp_path: Path) -> None:
    right = hashlib.sha256(b"1").hexdigest()
    text = f"{HEADER}path = 'b'\ntext = '1'\nsha256 = '{right}'\n"
    assert contents(text) == {"b": b"1"}
    with pytest.raises(ChecksumError) as caught:
        contents(text.replace(right, "a" * 64))
    assert str(caught.value) == (
        f"p.toml, line 4, sha256 under [[iso.file]]: 'b': SHA-256 must be {'a' * 64}, got {right}"
    )

"""Test the digests of local inputs, and finding inputs by them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from attrs import evolve

from purekernel.errors import InputError
from purekernel.host.local_inputs import InputKind, LocalInput, describe_input, find_inputs
from purekernel.input import DEFAULT_LIMITS


def describe(path: Path, **options: object) -> LocalInput:
    return describe_input(path, limits=DEFAULT_LIMITS, **options)  # type: ignore[arg-type]


def make_folder(path: Path, **files: bytes) -> Path:
    for name, content in files.items():
        file = path / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


def test_file_has_its_sha256_and_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    described = describe(tmp_path / "a")
    assert described.kind is InputKind.FILE
    assert described.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert described.size_bytes == 3


def test_digest_of_a_folder_ignores_its_name_and_times(tmp_path: Path) -> None:
    first = describe(make_folder(tmp_path / "a", etc__motd=b"x", b=b"yz"))
    other = make_folder(tmp_path / "b", etc__motd=b"x", b=b"yz")
    os.utime(other / "b", (1, 1))
    assert describe(other) == first
    assert (first.kind, first.files, first.size_bytes) == (InputKind.FOLDER, 2, 3)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_digest_of_a_folder_depends_on_names_contents_modes_and_targets(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", x=b"1")
    (folder / "link").symlink_to("x")
    digests = {describe(folder).sha256}
    (folder / "x").chmod(0o755)
    digests.add(describe(folder).sha256)
    (folder / "x").write_bytes(b"2")
    digests.add(describe(folder).sha256)
    (folder / "x").rename(folder / "y")
    digests.add(describe(folder).sha256)
    (folder / "link").unlink()
    (folder / "link").symlink_to("y")
    digests.add(describe(folder).sha256)
    assert len(digests) == 5


def test_digest_of_a_project_counts_only_what_is_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", x=b"1", other=b"2")
    first = describe(folder, only=["x"])
    (folder / "other").write_bytes(b"3")
    assert describe(folder, only=["x"]) == first
    assert describe(folder).sha256 != first.sha256


def test_manifest_has_the_digest_of_all_that_it_names(tmp_path: Path) -> None:
    make_folder(tmp_path, x=b"1")
    (tmp_path / "m").write_bytes(b"#mtree\n./opt type=dir\n./opt/x type=file contents=x\n")
    first = describe(tmp_path / "m", is_overlay=True)
    assert (first.kind, first.files) == (InputKind.MANIFEST, 1)
    assert find_inputs(tmp_path, [evolve(first, path="inputs/m")]) == {"inputs/m": tmp_path / "m"}
    (tmp_path / "x").write_bytes(b"2")
    assert describe(tmp_path / "m", is_overlay=True).sha256 != first.sha256
    assert find_inputs(tmp_path, [evolve(first, path="inputs/m")]) == {}


def test_inputs_are_found_by_their_digests(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "from", site__etc__motd=b"x", a=b"abc")
    wanted = [
        evolve(describe(source / "site"), path="inputs/site"),
        evolve(describe(source / "a"), path="inputs/a"),
        evolve(describe(source / "a"), path="inputs/gone", sha256="0" * 64),
    ]
    place = make_folder(tmp_path / "to", deep__other__etc__motd=b"x", deep__z=b"abc", b=b"abd")
    assert find_inputs(place, wanted) == {
        "inputs/site": place / "deep" / "other",
        "inputs/a": place / "deep" / "z",
    }


def test_folder_itself_can_be_an_input(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "site", etc__motd=b"x")
    wanted = evolve(describe(folder), path="inputs/other")
    assert find_inputs(folder, [wanted]) == {"inputs/other": folder}


def test_file_with_the_right_name_is_looked_at_first(tmp_path: Path) -> None:
    make_folder(tmp_path, a=b"abc", b=b"abc")
    wanted = evolve(describe(tmp_path / "a"), path="inputs/b")
    assert find_inputs(tmp_path, [wanted]) == {"inputs/b": tmp_path / "b"}


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        find_inputs(tmp_path / "gone", [])

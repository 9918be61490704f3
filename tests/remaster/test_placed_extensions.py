"""Test builds of recipes that put extensions on a disc or a partition, from a mirror to outputs."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from fixtures.repository import make_repository
from purekernel import Context, Effort, Outputs, build, load_recipe, write_image
from purekernel.errors import CombinedError, UsageError
from purekernel.plan.fetch_plan import open_plan_context
from purekernel.plan.locking import make_lock
from purekernel.razor.conventions import refuse_unbundled
from purekernel.recipe.model import Recipe
from purekernel.remaster.image import Image
from purekernel.tree import File, Tree

NEEDS: dict[str, Sequence[str]] = {
    "a.tcz": ["b.tcz"],
    "b.tcz": [],
    "c.tcz": ["b.tcz"],
    "d.tcz": [],
}

RECIPE = """
name = "placed"
timestamp = 1300000000
[core]
iso = "Core.iso"
[mirrors]
extensions = ["4.x/x86/tcz"]
"""


@cache
def mirror() -> dict[str, bytes]:
    return {"Core.iso": make_core_iso(), **make_repository(NEEDS, indexes=False)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, content in mirror().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


def recipe(folder: Path, text: str) -> Recipe:
    (folder / "purekernel.toml").write_text(RECIPE + text, encoding="utf-8")
    return load_recipe(folder)


def make(folder: Path, text: str, kinds: Sequence[str] | None = None) -> Image:
    outputs = Outputs(effort=Effort.FAST, kinds=kinds, nested=False)
    return build(recipe(folder, text), Context(cache_dir=folder / "cache", jobs=1), outputs)


def files(tree: Tree, top: bytes = b"") -> list[str]:
    return [path.decode() for path, node in tree.walk(top) if isinstance(node, File)]


def test_recipe_places_extensions_on_disc_and_partition(folder: Path) -> None:
    (folder / "cde.lst").write_text("a.tcz\n", encoding="utf-8")
    image = make(
        folder,
        """
[extensions]
builtin = ["d.tcz"]
cde-list = "cde.lst"
cde = ["d.tcz"]
tce = ["c.tcz"]
ondemand = ["c.tcz"]
copy2fs-all = true
[[iso.file]]
path = "docs/read.me"
text = "Hello."
""",
    )
    assert files(image.iso, b"cde") == [
        "cde/copy2fs.flg",
        "cde/onboot.lst",
        "cde/optional/a.tcz",
        "cde/optional/a.tcz.dep",
        "cde/optional/a.tcz.md5.txt",
        "cde/optional/b.tcz",
        "cde/optional/b.tcz.md5.txt",
    ]
    lists = image.iso[b"cde/onboot.lst"]
    assert isinstance(lists, File)
    assert bytes(lists.content) == b"a.tcz\n"
    assert files(image.iso, b"docs") == ["docs/read.me"]
    assert image.notes == ("d.tcz is left out of cde: it is builtin, and loaded before",)

    outputs = write_image(image, folder / "out")
    assert [output.path.name for output in outputs] == ["placed.iso", "placed.tce.tar"]
    with tarfile.open(fileobj=BytesIO(outputs[1].path.read_bytes())) as archive:
        members = {member.name: f"{member.mode:o} {member.uid}:{member.gid}" for member in archive}
    assert members == {
        "tce": "775 1001:50",
        "tce/copy2fs.flg": "664 1001:50",
        "tce/onboot.lst": "664 1001:50",
        "tce/ondemand": "775 1001:50",
        "tce/ondemand/c": "775 1001:50",
        "tce/optional": "775 1001:50",
        "tce/optional/b.tcz": "664 1001:50",
        "tce/optional/b.tcz.md5.txt": "664 1001:50",
        "tce/optional/c.tcz": "664 1001:50",
        "tce/optional/c.tcz.dep": "664 1001:50",
        "tce/optional/c.tcz.md5.txt": "664 1001:50",
    }


PLACED = """
[extensions]
cde = ["d.tcz"]
tce = ["d.tcz"]
[[iso.file]]
path = "docs/read.me"
text = "Hello."
"""


def test_what_no_output_includes_is_reported(folder: Path) -> None:
    source = folder / "purekernel.toml"
    tce = f"{source}, line 11, tce under [extensions]: no output includes these extensions"
    assert make(folder, PLACED, ["pxe"]).notes == (
        (
            "the files for booting over the network do not include 4 files outside boot/, for "
            "example 'cde/onboot.lst'"
        ),
        "no output includes the extensions in cde, because none is an ISO or a disk",
        f"{tce}; --emit tce writes them",
    )
    assert make(folder, PLACED, ["iso", "tce"]).notes == ()


def test_output_of_extensions_for_a_partition_needs_some(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make(folder, "[output]\nemit = ['tce']\n")
    assert str(caught.value) == (
        f"{folder / 'purekernel.toml'}, line 9, emit under [output]: the output tce holds the "
        "extensions for a partition, and the image has none"
    )


def test_lock_pins_extensions_of_all_places_and_files_from_urls(folder: Path) -> None:
    (folder / "read.me").write_text("Hello.", encoding="utf-8")
    url = (folder / "read.me").as_uri()
    text = f"""
[extensions]
cde = ["a.tcz"]
tce = ["c.tcz"]
[[iso.file]]
path = "docs/read.me"
url = "{url}"
"""
    with open_plan_context(recipe(folder, text), Context(cache_dir=folder / "cache")) as context:
        lock, _notes = make_lock(context)
    assert sorted(lock.extensions) == ["a.tcz", "b.tcz", "c.tcz"]
    assert sorted(lock.files) == ["base", f"iso.file {url}"]
    assert files(make(folder, text).iso, b"docs") == ["docs/read.me"]


def test_bundle_refuses_what_it_cannot_hold(folder: Path) -> None:
    source = folder / "purekernel.toml"
    with pytest.raises(CombinedError) as caught:
        refuse_unbundled(recipe(folder, PLACED + 'sha256 = "' + "a" * 64 + '"\n'))
    under = "which is for a disc or partition"
    assert [str(error).removeprefix(f"{source}, line ") for error in caught.value.errors] == [
        "13, path under [[iso.file]]: a bundle cannot hold a file of the ISO",
        f"10, cde under [extensions]: a bundle cannot hold cde, {under}",
        f"11, tce under [extensions]: a bundle cannot hold tce, {under}",
    ]

from __future__ import annotations

from functools import cache

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from fixtures.core_iso import make_core_iso
from purekernel.errors import CombinedError, PurekernelError
from purekernel.formats.core_iso import Base, parse_base
from purekernel.input import Input
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.composition import Composition, DiscAdditions, remaster_identity
from purekernel.recipe.iso_files import IsoFile
from purekernel.recipe.model import Recipe
from purekernel.remaster.disc import change_disc
from purekernel.tree import File, Metadata, Tree

MENU = b"boot/isolinux/isolinux.cfg"
PLAIN = Metadata(mode=0o644, mtime=1_300_000_000)


@cache
def core() -> Base:
    return parse_base(Input(make_core_iso(), name="Core-current.iso"), keep_iso_files=True)


def tree(files: dict[str, str], *, folder: bytes | None = None) -> Tree:
    made = Tree()
    if folder is not None:
        made.imply(folder, Metadata(mode=0o755))
    for name, text in files.items():
        path = name.encode()
        made.add_parents(path)
        made.add(path, File(metadata=Metadata(mode=0o444), content=text.encode()))
    return made


def base(files: dict[str, str]) -> Base:
    iso = core().iso.copy()
    for path, node in tree(files).walk():
        if isinstance(node, File):
            iso.add_parents(path)
            iso.add(path, node)
    return evolve(core(), iso=iso)


def change(
    files: dict[str, str] | None = None,
    *,
    cde: dict[str, str] | None = None,
    added: dict[str, str] | None = None,
    boot: BootChanges | None = None,
) -> tuple[Tree, tuple[str, ...]]:
    """Change the disc of a base with ``files``: add extensions and files."""
    iso_files = tuple(
        IsoFile(path=path, text=text, places={"path": f"line of {path}"})
        for path, text in (added or {}).items()
    )
    composition = Composition(
        source="p.toml",
        base=base(files or {}),
        identity=remaster_identity(name="x", version=None, flavour=None),
        disc=DiscAdditions(
            files={file.raw_path: (file.text or "").encode() for file in iso_files},
            cde=None if cde is None else tree(cde, folder=b"optional"),
        ),
        recipe=Recipe(iso_files=iso_files, boot=boot or BootChanges()),
    )
    iso, _boot, notes = change_disc(composition, PLAIN)
    return iso, notes


def content(iso: Tree, path: bytes) -> str:
    node = iso[path]
    assert isinstance(node, File)
    return bytes(node.content).decode()


def below(iso: Tree, folder: bytes) -> dict[str, str]:
    return {
        path[len(folder) + 1 :].decode(): bytes(node.content).decode()
        for path, node in iso.walk(folder)
        if isinstance(node, File)
    }


def command_lines(iso: Tree) -> list[str]:
    lines = content(iso, MENU).splitlines()
    return [line.strip() for line in lines if line.strip().startswith("append")]


# Extensions


def test_extensions_are_added_and_all_entries_get_the_word() -> None:
    iso, notes = change(cde={"optional/a.tcz": "A", "onboot.lst": "a.tcz\n"})
    assert below(iso, b"cde") == {"optional/a.tcz": "A", "onboot.lst": "a.tcz\n"}
    assert notes == ()
    words = [line.split()[-1] for line in command_lines(iso)]
    assert words
    assert set(words) == {"cde"}


LABELS = """default tc
label tc
kernel /boot/vmlinuz
append initrd=/boot/core.gz {tc}
label core
kernel /boot/vmlinuz
append initrd=/boot/core.gz quiet
"""


@pytest.mark.parametrize(
    ("own", "changed", "other"),
    [("cde lst=x.lst", "cde lst=x.lst", "quiet"), ("quiet", "quiet cde", "quiet cde")],
)
def test_menu_with_the_word_keeps_its_entries(own: str, changed: str, other: str) -> None:
    iso, _notes = change({MENU.decode(): LABELS.format(tc=own)}, cde={"onboot.lst": ""})
    assert command_lines(iso) == [
        f"append initrd=/boot/core.gz {changed}",
        f"append initrd=/boot/core.gz {other}",
    ]


def test_default_entry_gets_the_word_if_only_another_has_it() -> None:
    menu = (
        LABELS.format(tc="quiet").replace("gz quiet\n", "gz cde\n").replace("gz cde", "gz quiet", 1)
    )
    iso, _notes = change({MENU.decode(): menu}, cde={"onboot.lst": ""})
    assert command_lines(iso) == [
        "append initrd=/boot/core.gz quiet cde",
        "append initrd=/boot/core.gz cde",
    ]


def test_menu_without_labels_gets_the_word_once() -> None:
    menu = "default /boot/vmlinuz\nappend initrd=/boot/core.gz cde\n"
    iso, _notes = change({MENU.decode(): menu}, cde={"onboot.lst": ""})
    assert content(iso, MENU) == menu
    iso, _notes = change({MENU.decode(): menu.replace(" cde", "")}, cde={"onboot.lst": ""})
    assert content(iso, MENU) == menu


def test_lists_of_the_base_are_extended_once() -> None:
    old = {
        "cde/onboot.lst": "# own\nx.tcz\na\ny.tcz",
        "cde/xbase.lst": "x.tcz\n",
        "cde/copy2fs.lst": "x.tcz\n",
        MENU.decode(): LABELS.format(tc="cde lst=xbase.lst"),
    }
    new = {"onboot.lst": "a.tcz\nb.tcz\n", "copy2fs.lst": "x.tcz\nb.tcz\n"}
    iso, notes = change(old, cde=new)
    assert below(iso, b"cde") == {
        "onboot.lst": "# own\nx.tcz\na\ny.tcz\nb.tcz\n",
        "xbase.lst": "x.tcz\na.tcz\nb.tcz\n",
        "copy2fs.lst": "x.tcz\nb.tcz\n",
    }
    assert notes == ()


NAMES = st.sampled_from(["a.tcz", "b.tcz", "c-1.2.tcz"])


@given(
    old=st.lists(NAMES | st.sampled_from(["", "# b.tcz", "a", " c-1.2.tcz # x", "z.tcz\r"])),
    new=st.lists(NAMES, unique=True),
    end=st.sampled_from(["", "\n"]),
)
def test_any_list_is_kept_and_gets_each_name_once(old: list[str], new: list[str], end: str) -> None:
    text = "\n".join(old) + end
    added = {"onboot.lst": "".join(f"{name}\n" for name in new)}
    iso, _notes = change({"cde/onboot.lst": text}, cde=added)
    extended = content(iso, b"cde/onboot.lst")
    assert extended.startswith(text)
    words = [line.partition("#")[0].split() for line in extended.splitlines()]
    loaded = [word[0].removesuffix(".tcz") + ".tcz" for word in words if word]
    assert {*new} <= {*loaded}
    again, _notes = change({"cde/onboot.lst": extended}, cde=added)
    assert content(again, b"cde/onboot.lst") == extended


def test_extension_of_the_base_is_replaced_with_a_note() -> None:
    side = {f"cde/optional/a.tcz{suffix}": "old" for suffix in (".dep", ".info", ".md5.txt")}
    old = {"cde/optional/a.tcz": "old", "cde/optional/b.tcz": "B", **side}
    new = {
        "optional/a.tcz": "new",
        "optional/a.tcz.md5.txt": "new",
        "optional/b.tcz": "B",
        "onboot.lst": "",
    }
    iso, notes = change(old, cde=new)
    assert below(iso, b"cde") == new
    assert notes == ("replaced 1 extension of the base: 'cde/optional/a.tcz'",)


def test_extension_on_demand_that_the_base_loads_at_boot_gives_a_note() -> None:
    old = {"cde/onboot.lst": "a.tcz\n"}
    _iso, notes = change(old, cde={"ondemand/a": "#!/bin/sh\n", "onboot.lst": ""})
    assert notes == (
        "'a.tcz' is loaded at boot all the same: 'cde/onboot.lst' of the base lists it",
    )


# Files


def test_files_are_added_and_replace_those_of_the_base() -> None:
    iso, notes = change(added={"boot/isolinux/boot.msg": "Hello\n", "docs/a/b.txt": "B"})
    assert content(iso, b"boot/isolinux/boot.msg") == "Hello\n"
    assert content(iso, b"docs/a/b.txt") == "B"
    assert iso[b"docs/a/b.txt"].metadata == PLAIN
    assert notes == ()


def test_changes_of_the_menu_apply_to_a_menu_of_the_recipe() -> None:
    menu = LABELS.format(tc="quiet")
    iso, _notes = change(
        added={MENU.decode(): menu},
        cde={"onboot.lst": ""},
        boot=BootChanges(append="waitusb=5", default="core"),
    )
    assert content(iso, MENU).splitlines()[0] == "default core"
    assert command_lines(iso) == [
        "append initrd=/boot/core.gz quiet waitusb=5 cde",
        "append initrd=/boot/core.gz quiet waitusb=5 cde",
    ]


def test_list_of_the_recipe_is_extended() -> None:
    iso, _notes = change(added={"cde/onboot.lst": "z.tcz\n"}, cde={"onboot.lst": "a.tcz\n"})
    assert content(iso, b"cde/onboot.lst") == "z.tcz\na.tcz\n"


def test_what_the_build_makes_cannot_be_replaced() -> None:
    loader, catalog = "boot/isolinux/isolinux.bin", "boot/isolinux/boot.cat"
    paths = ["boot/vmlinuz", "boot/core.gz", loader, catalog, "boot", "boot/vmlinuz/x"]
    with pytest.raises(CombinedError) as caught:
        change(added=dict.fromkeys(paths, "x"))
    assert [str(error).removeprefix("line of ") for error in caught.value.errors] == [
        "boot/vmlinuz: 'boot/vmlinuz' cannot be replaced: it is the kernel",
        "boot/core.gz: 'boot/core.gz' cannot be replaced: it is an initrd",
        f"{loader}: '{loader}' cannot be replaced: it is the boot loader",
        f"{catalog}: '{catalog}' cannot be replaced: it is the boot catalog",
        "boot: 'boot' is a folder, and a file cannot replace it",
        "boot/vmlinuz/x: 'boot/vmlinuz' must be a folder to hold 'boot/vmlinuz/x', got a file",
    ]
    assert all(error.hint for error in caught.value.errors[:4])


def test_wrong_files_and_a_wrong_menu_are_reported_together() -> None:
    with pytest.raises(CombinedError) as caught:
        change(added={"boot": "x"}, boot=BootChanges(default="gone"))
    assert [str(error).partition(": ")[0] for error in caught.value.errors] == [
        "line of boot",
        "'boot/isolinux/isolinux.cfg'",
    ]


def test_base_without_a_boot_loader_has_no_disc_to_change() -> None:
    composition = Composition(
        source="p.toml",
        base=evolve(core(), boot=None),
        identity=remaster_identity(name="x", version=None, flavour=None),
        disc=DiscAdditions(cde=tree({"onboot.lst": "a.tcz\n"}, folder=b"optional")),
    )
    assert change_disc(composition, PLAIN) == (core().iso, None, ())


def test_menu_that_boots_no_linux_cannot_load_extensions() -> None:
    with pytest.raises(PurekernelError, match="no label boots a Linux kernel"):
        change(added={MENU.decode(): "default x\nlabel x\nlocalboot 0\n"}, cde={"onboot.lst": ""})

"""Test builds from bases other than a Core ISO: kernel and initrds, and menus of other names."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from fixtures.core import make_core_tree
from fixtures.core_iso import gzip, make_core_iso
from fixtures.kernel import RELEASE, make_kernel
from purekernel import Context, Emit, Image, Outputs, build, load_recipe
from purekernel.errors import (
    BootMenuError,
    BundleError,
    CombinedError,
    PurekernelError,
    UsageError,
)
from purekernel.formats.booted import read_booted
from purekernel.formats.cpio import build_cpio, parse_cpio, parse_initrds
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.tree import Metadata, Pass, Tree, put_file
from tests.hybrids import content_of

MENU = (
    b"default go\nlabel go\n\tkernel /boot/KERNEL\n\tappend quiet initrd=/boot/INITRD loglevel=3\n"
)


def modules_tree() -> Tree:
    tree = Tree()
    put_file(tree, b"lib/modules/9-other/a.ko", b"", metadata=Metadata(mode=0o644))
    return tree


def write_files(folder: Path) -> None:
    (folder / "vmlinuz64").write_bytes(make_kernel())
    (folder / "rootfs64.gz").write_bytes(gzip(build_cpio(make_core_tree())))
    (folder / "modules64.gz").write_bytes(gzip(build_cpio(modules_tree())))
    (folder / "site/etc").mkdir(parents=True, exist_ok=True)
    (folder / "site/etc/motd").write_bytes(b"hello\n")


def make(
    folder: Path,
    core: str,
    *,
    rest: str = '[[overlay]]\npath = "site"\n',
    kinds: tuple[Emit, ...] | None = None,
    write: bool = False,
) -> Image:
    write_files(folder)
    text = f'name = "mine"\ntimestamp = 1000000000\n[core]\n{core}\n{rest}'
    (folder / "purekernel.toml").write_text(text, encoding="utf-8")
    outputs = Outputs(kinds=kinds, folder=folder / "out" if write else None)
    return build(load_recipe(folder), Context(cache_dir=folder / "cache"), outputs)


def refusals(folder: Path, core: str, **settings: object) -> list[str]:
    with pytest.raises(PurekernelError) as caught:
        make(folder, core, **settings)  # type: ignore[arg-type]
    error = caught.value
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    return [str(each) for each in errors]


FILES = 'kernel = "vmlinuz64"\ninitrd = ["rootfs64.gz"]'
SPLIT = 'kernel = "vmlinuz64"\ninitrd = ["rootfs64.gz", "modules64.gz"]'


def test_kernel_and_initrd_become_core_output_with_their_names(tmp_path: Path) -> None:
    image = make(tmp_path, FILES, write=True)
    assert [file.path.name for file in image.files] == ["rootfs64.gz", "vmlinuz64"]
    written = (tmp_path / "out/rootfs64.gz").read_bytes()
    assert parse_cpio(Input(written, name="x")) == image.root
    assert image.root.read("etc/motd") == b"hello\n"
    assert (tmp_path / "out/vmlinuz64").read_bytes() == make_kernel()


def test_split_base_gives_as_many_initrds(tmp_path: Path) -> None:
    image = make(tmp_path, SPLIT)
    assert [path for path, _content in image.initrds] == [b"boot/rootfs64.gz", b"boot/modules64.gz"]
    parts = [Input(content, name="x") for _path, content in image.initrds]
    assert parse_initrds(parts).tree == image.root


def test_merged_layout_gives_one_initrd(tmp_path: Path) -> None:
    image = make(tmp_path, f'{SPLIT}\nlayout = "merged"')
    assert [path for path, _content in image.initrds] == [b"boot/rootfs64.gz"]
    assert b"lib/modules/9-other/a.ko" in parse_cpio(Input(image.core, name="x"))


def test_second_initrd_leaves_the_first_as_it_is(tmp_path: Path) -> None:
    image = make(
        tmp_path,
        f'{FILES}\nlayout = "second-initrd"',
        kinds=(Emit.CORE, Emit.INITRD),
        write=True,
    )
    assert [file.path.name for file in image.files] == [
        "rootfs64.gz", "changes.gz", "vmlinuz64", "mine.gz",
    ]  # fmt: skip
    out = tmp_path / "out"
    assert (out / "rootfs64.gz").read_bytes() == (tmp_path / "rootfs64.gz").read_bytes()
    second = parse_cpio(Input((out / "mine.gz").read_bytes(), name="x"))
    assert [path for path, _node in second.walk()] == [b"", b"etc", b"etc/motd"]


def test_pxe_output_names_the_initrds_and_the_words_to_append(tmp_path: Path) -> None:
    rest = '[[overlay]]\npath = "site"\n[boot]\nappend = "nozswap console=ttyS0"\n'
    image = make(
        tmp_path, f'{SPLIT}\nlayout = "second-initrd"', rest=rest, kinds=(Emit.PXE,), write=True
    )
    menu = (tmp_path / "out/mine.pxe/pxelinux.cfg/default").read_text(encoding="utf-8")
    assert "\tinitrd boot/rootfs64.gz,boot/modules64.gz,boot/changes.gz\n" in menu
    assert "\tappend nozswap console=ttyS0\n" in menu
    assert image.kernel_words == (b"nozswap", b"console=ttyS0")


def test_folder_can_be_an_initrd(tmp_path: Path) -> None:
    image = make(tmp_path, 'kernel = "vmlinuz64"\ninitrd = ["rootfs64.gz", "site"]', rest="")
    assert image.root.read("etc/motd") == b"hello\n"
    assert image.root[b"etc/motd"].metadata.uid == 0
    assert [path for path, _content in image.initrds] == [b"boot/rootfs64.gz", b"boot/site.gz"]


def test_kernel_and_initrd_can_be_files_in_an_archive(tmp_path: Path) -> None:
    (tmp_path / "base.iso").write_bytes(make_core_iso())
    image = make(tmp_path, 'kernel = "base.iso:boot/vmlinuz"\ninitrd = ["base.iso:boot/core.gz"]')
    assert (image.kernel_path, image.core_path) == (b"boot/vmlinuz", b"boot/core.gz")
    outer = Tree()
    put_file(outer, b"deep/base.iso", make_core_iso(), metadata=Metadata(mode=0o644))
    (tmp_path / "outer.tar").write_bytes(build_tar(outer))
    inner = make(tmp_path, 'iso = "outer.tar:deep/base.iso"')
    assert inner.root == image.root
    (refusal,) = refusals(tmp_path, 'iso = "outer.tar:deep/bas.iso"')
    assert "line 4, iso under [core]: outer.tar" in refusal


def test_names_stand_for_files_of_the_mirror(tmp_path: Path) -> None:
    folder = tmp_path / "mirror/15.x/x86_64/release/distribution_files"
    folder.mkdir(parents=True)
    write_files(folder)
    older = tmp_path / "mirror/15.x/x86_64/archive/15.0/distribution_files"
    older.mkdir(parents=True)
    write_files(older)
    mine = tmp_path / "mine"
    (mine / "site").mkdir(parents=True)
    rest = '[mirrors]\ntinycore = ["../mirror"]\n'
    core = 'arch = "x86_64"\nkernel = "vmlinuz64"\ninitrd = ["rootfs64.gz"]\nversion = '
    for version in ("15.x", "15.0"):
        text = f'[core]\n{core}"{version}"\n{rest}'
        (mine / "purekernel.toml").write_text(text, encoding="utf-8")
        image = build(load_recipe(mine), Context(cache_dir=tmp_path / "cache"))
        assert image.initrds[0][0] == b"boot/rootfs64.gz"


def test_iso_whose_menu_names_other_files_is_a_base(tmp_path: Path) -> None:
    for kernel, initrd in ((b"bzImage", b"tinycore.gz"), (b"vmlinuz", b"initrd.img")):
        menu = MENU.replace(b"KERNEL", kernel).replace(b"INITRD", initrd)
        iso = make_core_iso(menu=menu, kernel_path=b"boot/" + kernel, core_path=b"boot/" + initrd)
        (tmp_path / "base.iso").write_bytes(iso)
        image = make(tmp_path, 'iso = "base.iso"')
        assert (image.kernel_path, image.core_path) == (b"boot/" + kernel, b"boot/" + initrd)
        assert content_of(image.iso, b"boot/" + initrd) == image.core
        assert parse_cpio(Input(image.core, name="x")).read("etc/motd") == b"hello\n"


def split_iso(menu: bytes) -> bytes:
    return make_core_iso(
        menu=menu,
        core_path=b"boot/rootfs.gz",
        beside_boot={b"boot/modules.gz": gzip(build_cpio(modules_tree()))},
    )


SPLIT_MENU = (
    b"default go\nlabel go\n\tkernel /boot/vmlinuz\n"
    b"\tinitrd /boot/rootfs.gz,/boot/modules.gz\n\tappend quiet\n"
    b"label small\n\tkernel /boot/vmlinuz\n\tappend initrd=/boot/rootfs.gz\n"
)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("as-base", [b"boot/rootfs.gz", b"boot/modules.gz"]),
        ("merged", [b"boot/rootfs.gz"]),
        ("second-initrd", [b"boot/rootfs.gz", b"boot/modules.gz", b"boot/changes.gz"]),
    ],
)
def test_menu_names_the_initrds_of_the_layout(
    layout: str, expected: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "base.iso").write_bytes(split_iso(SPLIT_MENU))
    image = make(tmp_path, f'iso = "base.iso"\nlayout = "{layout}"')
    booted = read_booted(image.iso, b"boot/isolinux/isolinux.bin")
    assert booted is not None
    assert list(booted.initrds) == expected
    parts = [Input(content_of(image.iso, path), name="x") for path in booted.initrds]
    assert parse_initrds(parts).tree == image.root
    assert (b"boot/modules.gz" in image.iso) is (layout != "merged")
    menu = content_of(image.iso, b"boot/isolinux/isolinux.cfg")
    assert b"\tappend initrd=/boot/rootfs.gz\n" in menu


def test_initrd_that_another_entry_boots_stays_on_the_iso(tmp_path: Path) -> None:
    menu = SPLIT_MENU + b"label odd\n\tkernel /boot/vmlinuz\n\tappend initrd=/boot/modules.gz\n"
    (tmp_path / "base.iso").write_bytes(split_iso(menu))
    image = make(tmp_path, 'iso = "base.iso"\nlayout = "merged"')
    assert b"boot/modules.gz" in image.iso


def test_menu_that_names_a_missing_file_is_reported(tmp_path: Path) -> None:
    menu = MENU.replace(b"KERNEL", b"vmlinuz").replace(b"INITRD", b"gone.gz")
    (tmp_path / "base.iso").write_bytes(make_core_iso(menu=menu, core_path=b"boot/other.gz"))
    with pytest.raises(BootMenuError, match=r"base\.iso: the boot menu names '/boot/gone\.gz'"):
        make(tmp_path, 'iso = "base.iso"')


def test_kernel_of_ones_own_replaces_that_of_the_iso(tmp_path: Path) -> None:
    (tmp_path / "base.iso").write_bytes(make_core_iso())
    own = make_kernel(f"{RELEASE} (mine) #2")
    (tmp_path / "own").write_bytes(own)
    image = make(tmp_path, 'iso = "base.iso"\nkernel = "own"')
    assert image.kernel == own
    assert content_of(image.iso, b"boot/vmlinuz") == own


def test_kernel_without_its_modules_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "base.iso").write_bytes(make_core_iso())
    (tmp_path / "own").write_bytes(make_kernel("6.1.0-mine (x) #1"))
    (refusal,) = refusals(tmp_path, 'iso = "base.iso"\nkernel = "own"')
    assert "purekernel.toml, line 5, kernel under [core]: " in refusal
    assert "must have lib/modules/6.1.0-mine" in refusal


@pytest.mark.parametrize(
    ("core", "words"),
    [
        ('initrd = ["rootfs64.gz"]', "line 4, initrd under [core]: initrds need a kernel"),
        (f'{FILES}\niso = "x.iso"', "line 6: [core] cannot have both 'initrd' and 'iso'"),
        ('kernel-sha256 = "' + "0" * 64 + '"', "line 4, kernel-sha256 under [core]"),
        (f'{FILES}\ninitrd-sha256 = ["{"0" * 64}", "{"1" * 64}"]', "must be 1, got 2"),
        (f'{FILES}\ninitrd-sha256 = ["{"0" * 64}"]', "line 6, initrd-sha256 under [core]"),
        ('kernel = "vmlinuz64"\ninitrd = ["vmlinuz64"]', "two files of the base are named"),
        ('kernel = "rootfs64.gz"\ninitrd = ["rootfs64.gz"]', "rootfs64.gz"),
        ('kernel = "vmlinuz64"\ninitrd = ["purekernel.toml"]', "purekernel.toml"),
    ],
)
def test_wrong_keys_of_a_base_are_refused_with_their_line(
    core: str, words: str, tmp_path: Path
) -> None:
    assert words in refusals(tmp_path, core)[0]


def test_outputs_that_the_base_cannot_give_are_refused_together(tmp_path: Path) -> None:
    iso, initrd = refusals(tmp_path, FILES, kinds=(Emit.ISO, Emit.INITRD))
    assert "which have no boot loader for an ISO" in iso
    assert "the layout gives none" in initrd
    (menu,) = refusals(tmp_path, FILES, rest="[boot]\ntimeout = 5\n")
    assert "has no boot menu to change" in menu


def test_deletion_is_refused_for_a_second_initrd(tmp_path: Path) -> None:
    def without_passwd(tree: Tree) -> Tree:
        changed = tree.copy()
        changed.remove(b"etc/passwd")
        return changed

    write_files(tmp_path)
    (tmp_path / "purekernel.toml").write_text(
        f'[core]\n{FILES}\nlayout = "second-initrd"\n', encoding="utf-8"
    )
    recipe = load_recipe(tmp_path)
    with pytest.raises(PurekernelError, match="a second initrd cannot delete"):
        build(
            evolve(recipe, passes=[("remove", without_passwd)]),
            Context(cache_dir=tmp_path / "cache"),
        )


def test_errors_of_all_passes_and_of_the_kernel_are_reported_together(tmp_path: Path) -> None:
    def fail(words: str) -> Pass:
        def run(_tree: Tree) -> Tree:
            raise UsageError(words, hint="mend it")

        return run

    (tmp_path / "base.iso").write_bytes(make_core_iso())
    (tmp_path / "own").write_bytes(make_kernel("6.1.0-mine (x) #1"))
    (tmp_path / "purekernel.toml").write_text(
        '[core]\niso = "base.iso"\nkernel = "own"\n', encoding="utf-8"
    )
    recipe = evolve(load_recipe(tmp_path), passes=[("a", fail("first")), ("b", fail("second"))])
    with pytest.raises(CombinedError) as caught:
        build(recipe, Context(cache_dir=tmp_path / "cache"))
    first, second, kernel = caught.value.errors
    assert (str(first), str(second)) == ("first", "second")
    assert "no modules for this kernel" in str(kernel)


def test_base_without_a_root_file_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.iso").write_bytes(
        make_core_iso(menu=b"", core_path=b"boot/other.gz", kernel_path=b"boot/bzImage")
    )
    with pytest.raises(BundleError, match="no root file system"):
        make(tmp_path, 'iso = "base.iso"')

"""Where the files of built images come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from fixtures.core_iso import make_core_iso
from fixtures.gem import make_gem
from fixtures.gem_server import lay_out_server
from fixtures.repository import make_repository
from purekernel import (
    Context,
    Effort,
    Image,
    Layer,
    Modules,
    Outputs,
    OverlayChoice,
    Recipe,
    build,
    load_recipe,
    sample_bundle,
)
from purekernel.analysis.origins import Origin, OriginKind, OriginMap
from purekernel.formats.tar import build_tar
from purekernel.remaster.origins import OriginTracker, generated
from purekernel.tree import (
    Directory,
    File,
    Metadata,
    Sources,
    Symlink,
    Tree,
    clamp_times,
    date_all,
    with_metadata,
)
from tests.analysis.images import core, pack, tree_of
from tests.cli.test_packages import INDEX, Archive

ISO = Origin(OriginKind.BASE, "core.iso")
MERGED = Origin(OriginKind.EXTENSION, "merged.tcz")
CUT = Origin(OriginKind.EXTENSION, "cut.tcz")
LOADED = Origin(OriginKind.EXTENSION, "loaded.tcz")
DISC = Origin(OriginKind.EXTENSION, "disc.tcz")
LSHW = Origin(OriginKind.PACKAGE, "lshw", "02.16-1")
GEM = Origin(OriginKind.GEM, "sample", "1.0")
SITE = Origin(OriginKind.OVERLAY, "site.tar")
LISTS = generated("lists and indexes")

RECIPE = f"""\
[core]
iso = "core.iso"
[mirrors]
extensions = ["tcz"]
gems = ["gems"]
debian-packages = ["debian/{INDEX}"]
[extensions]
builtin = ["loaded", "lshw.deb"]
merged = ["merged"]
cde = ["disc"]
tce = ["disc"]
[[cut]]
extension = "cut"
files = ["usr/local/bin/cut"]
[gems]
wanted = ["sample"]
[[overlay]]
path = "site.tar"
[accounts.tc]
locked = true
[system]
motd = "Welcome."
[groups.wheel]
[[file]]
path = "etc/new"
text = "new"
[[file]]
path = "etc/other"
text = "other"
[[edit]]
paths = ["etc/ld.so.conf"]
append = "/opt/lib"
[[link]]
path = "usr/bin/link"
target = "/bin/sh"
[[attributes]]
paths = ["etc/plain"]
mode = "0600"
[[iso.file]]
path = "README"
text = "read"
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    root = core()
    setup = b"#!/bin/sh\nwhile read line; do $line; done < /tmp/setup.lst\n"
    stock = {
        "usr/bin/tce-setup": setup,
        "etc/passwd": b"root:x:0:0::/root:/bin/sh\ntc:x:1001:50::/home/tc:/bin/sh\n",
        "etc/shadow": b"root:*:1:0:99999:7:::\ntc::1:0:99999:7:::\n",
        "etc/group": b"root:x:0:\nstaff:x:50:\n",
        "etc/plain": b"plain",
        "etc/replaced": b"old",
        "lib/libbase.so.1": b"data",
    }
    for path, node in tree_of(stock).walk():
        if path and path not in root:
            root.add(path, node)
    (tmp_path / "core.iso").write_bytes(make_core_iso(root=root))
    trees = {
        "merged.tcz": tree_of({"usr/local/share/merged/a": b"aa", "usr/local/bin/merged": b"bb"}),
        "cut.tcz": tree_of({"usr/local/bin/cut": b"cc", "usr/local/bin/left": b"dd"}),
        "loaded.tcz": tree_of({"usr/local/bin/loaded": b"ee"}),
        "disc.tcz": tree_of({"usr/local/bin/disc": b"ff"}),
    }
    contents = {name: pack(tree) for name, tree in trees.items()}
    for name, content in make_repository(
        {key: [] for key in trees}, contents=contents, folder="tcz"
    ).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    lay_out_server(tmp_path / "gems", [make_gem("sample", "1.0")])
    Archive(tmp_path / "debian").add("lshw", "02.16-1", silent="1")
    overlay = {
        "etc/replaced": b"new",
        "opt/site/file": b"xx",
        "opt/site/empty": b"",
        "home/l": b"->x",
    }
    (tmp_path / "site.tar").write_bytes(build_tar(tree_of(overlay)))
    return tmp_path


def recipe(here: Path, text: str = RECIPE) -> Recipe:
    (here / "purekernel.toml").write_text(text, encoding="utf-8")
    return load_recipe(here / "purekernel.toml")


def make(here: Path, source: Recipe, **outputs: object) -> Image:
    context = Context(cache_dir=here / "cache", jobs=1)
    settings = {"effort": Effort.FAST, **outputs}
    return build(source, context, Outputs(**settings))  # type: ignore[arg-type]


def origins_of(tree: OriginMap, *paths: str) -> list[Origin | None]:
    return [tree.find(path.encode()) for path in paths]


@pytest.fixture
def image(here: Path) -> Image:
    return make(here, recipe(here))


@pytest.mark.slow
def test_every_kind_of_source_is_told_in_the_root(image: Image) -> None:
    root = image.origins.root
    expected = {
        "": ISO,
        "bin/busybox": ISO,
        "usr/local/bin/merged": MERGED,
        "usr/local/share/merged": MERGED,
        "usr/local/tce.installed/merged": generated("merged extensions"),
        "usr/local/bin/cut": CUT,
        "tmp/builtin/optional/loaded.tcz": LOADED,
        "tmp/builtin/optional/loaded.tcz.md5.txt": LOADED,
        "tmp/builtin/optional/lshw.tcz": LSHW,
        "tmp/builtin/onboot.lst": LISTS,
        "tmp/gem-mirror/gems/sample-1.0.gem": GEM,
        "tmp/gem-mirror/specs.4.8.gz": LISTS,
        "etc/replaced": SITE,
        "opt/site": SITE,
        "opt/site/empty": SITE,
        "home/l": SITE,
        "etc/shadow": Origin(OriginKind.EDIT, "[accounts]"),
        "etc/motd": Origin(OriginKind.EDIT, "[system]"),
        "etc/group": Origin(OriginKind.EDIT, "[groups]"),
        "etc/new": Origin(OriginKind.EDIT, "[[file]] 1"),
        "etc/other": Origin(OriginKind.EDIT, "[[file]] 2"),
        "etc/ld.so.conf": Origin(OriginKind.EDIT, "[[edit]] 1"),
        "usr/bin/link": Origin(OriginKind.EDIT, "[[link]] 1"),
        "etc/plain": Origin(OriginKind.EDIT, "[[attributes]] 1"),
        "etc/ld.so.cache": generated("cache libraries"),
    }
    assert dict(zip(expected, origins_of(root, *expected), strict=True)) == expected


@pytest.mark.slow
def test_every_kind_of_source_is_told_on_the_disc_and_the_partition(image: Image) -> None:
    expected = {
        "boot/vmlinuz": ISO,
        "boot/core.gz": generated("initrds and their description"),
        "boot/isolinux/isolinux.cfg": generated("boot menu"),
        "README": Origin(OriginKind.EDIT, "[[iso.file]] 1"),
        "cde/optional/disc.tcz": DISC,
        "cde/onboot.lst": generated("boot menu"),
    }
    assert dict(zip(expected, origins_of(image.origins.disc, *expected), strict=True)) == expected
    tce = origins_of(image.origins.tce, "optional/disc.tcz", "onboot.lst")
    assert tce == [DISC, generated("lists of extensions")]


@pytest.mark.slow
def test_every_path_of_the_image_has_an_origin_and_no_other_is_marked(image: Image) -> None:
    assert image.tce is not None
    for tree, origins in (
        (image.root, image.origins.root),
        (image.iso, image.origins.disc),
        (image.tce, image.origins.tce),
    ):
        assert all(origins.find(path) is not None for path, _node in tree.walk())
        assert {path for path in origins.marks if path not in tree} == set()


@pytest.mark.slow
def test_folder_of_the_host_is_not_told(here: Path) -> None:
    folder = here / "overlay"
    folder.mkdir()
    (folder / "x").write_text("x")
    text = f'[core]\niso = "{here}/core.iso"\n[[overlay]]\npath = "{folder}"\n'
    told = make(here, recipe(here, text)).origins.to_json()
    assert b"overlay" in told
    assert here.name.encode() not in told


@pytest.mark.slow
def test_same_recipe_gives_the_same_origins(here: Path, image: Image) -> None:
    assert make(here, recipe(here)).origins.to_json() == image.origins.to_json()


def test_files_of_a_bundle_come_from_its_overlays() -> None:
    origins = build(sample_bundle(), Context(jobs=1), Outputs(effort=Effort.FAST)).origins
    assert origins_of(origins.root, "", "etc/inittab", "usr/local/etc/ssh") == [
        Origin(OriginKind.BASE, "Core-current.iso"),
        Origin(OriginKind.OVERLAY, "dependencies/razor-microkernel-overlay.tar.gz"),
        Origin(OriginKind.OVERLAY, "dependencies/ssh-setup-files.tar.gz"),
    ]
    assert origins_of(origins.disc, "LICENSE", "iso-metadata.yaml") == [
        Origin(OriginKind.OVERLAY, "LICENSE"),
        generated("initrds and their description"),
    ]


# One tree, step by step.

DATED = Metadata(mode=0o644, mtime=5)
STEP = generated("step")


def tracked() -> tuple[Tree, OriginTracker]:
    tree = tree_of({"etc/a": b"aaa", "etc/b": b"bbb", "etc/empty": b"", "lib/m.ko.gz": b"ccc"})
    return tree, OriginTracker(tree, ISO)


def changed(tree: Tree, path: bytes, **metadata: int) -> Tree:
    copy = tree.copy()
    copy.replace(path, with_metadata(copy[path], evolve(copy[path].metadata, **metadata)))
    return copy


def test_new_time_changes_no_origin() -> None:
    tree, tracker = tracked()
    tracker.follow(clamp_times(date_all(tree, 9), 5), STEP, owns_metadata=True)
    assert tracker.result().marks == {b"": ISO}


def test_mode_and_owner_count_only_for_steps_of_the_recipe() -> None:
    for attribute in ({"mode": 0o600}, {"uid": 1001}):
        for path in (b"etc/a", b"etc/empty", b"etc"):
            tree, tracker = tracked()
            tree = changed(tree, path, **attribute)
            tracker.follow(tree, STEP)
            assert tracker.find(path) == ISO
            tree, tracker = tracked()
            tracker.follow(changed(tree, path, **attribute), STEP, owns_metadata=True)
            assert tracker.find(path) == STEP


def test_file_in_a_folder_that_a_step_changed_keeps_its_own_origin() -> None:
    tree, tracker = tracked()
    tracker.follow(changed(tree, b"etc", mode=0o700), STEP, owns_metadata=True)
    origins = tracker.result()
    assert [origins.find(path) for path in (b"etc", b"etc/a", b"lib/m.ko.gz")] == [STEP, ISO, ISO]


def test_all_names_of_a_changed_file_come_from_the_step() -> None:
    tree = tree_of({"a": b"aaa"})
    tree.link(b"b", b"a")
    tracker = OriginTracker(tree, ISO)
    after = tree.copy()
    after.replace(b"a", File(metadata=DATED, content=b"new"))
    tracker.follow(after, STEP)
    assert [tracker.find(path) for path in (b"a", b"b")] == [STEP, STEP]


def test_new_name_of_an_old_file_comes_from_the_step() -> None:
    tree, tracker = tracked()
    after = tree.copy()
    after.link(b"etc/c", b"etc/a")
    after.remove(b"etc/a")
    tracker.follow(after, STEP)
    assert [tracker.find(path) for path in (b"etc/b", b"etc/c")] == [ISO, STEP]


def test_removed_path_is_not_marked() -> None:
    tree, tracker = tracked()
    after = tree.copy()
    after.add(b"etc/new", File(metadata=DATED, content=b"new"))
    tracker.follow(after, STEP)
    last = after.copy()
    last.remove(b"etc/new")
    tracker.follow(last, generated("another"))
    assert tracker.result().marks == {b"": ISO}


def test_renamed_file_keeps_its_origin() -> None:
    tree, tracker = tracked()
    after = tree.copy()
    after.add(b"lib/m.ko", File(metadata=DATED, content=b"unpacked"))
    after.remove(b"lib/m.ko.gz")
    tracker.follow(after, STEP, former=lambda path: path + b".gz")
    assert tracker.find(b"lib/m.ko") == ISO


def test_copied_file_with_another_mode_comes_from_its_source() -> None:
    tree, tracker = tracked()
    extension = tree_of({"usr/x": b"xyz", "usr/link": b"->xyz", "usr/empty": b""})
    sources = Sources()
    sources.add_tree(extension, CUT)
    after = tree.copy()
    after.add(b"etc/copy", with_metadata(extension[b"usr/x"], DATED))
    after.add(b"etc/link", with_metadata(extension[b"usr/link"], DATED))
    after.add(b"etc/same", extension[b"usr/empty"])
    after.add(b"etc/made", File(metadata=DATED, content=b"made"))
    tracker.follow(after, STEP, sources=sources)
    found = [tracker.find(b"etc/" + name) for name in (b"copy", b"link", b"same", b"made")]
    assert found == [CUT, CUT, CUT, STEP]


def test_new_folder_comes_from_where_all_its_files_come_from() -> None:
    tree, tracker = tracked()
    sources = Sources()
    content = b"content"
    sources.add_content(content, CUT)
    after = tree.copy()
    for folder in (b"one", b"one/two", b"both"):
        after.add(folder, Directory(metadata=Metadata(mode=0o755)))
    after.add(b"one/two/file", File(metadata=DATED, content=content))
    after.add(b"both/file", File(metadata=DATED, content=content))
    after.add(b"both/made", File(metadata=DATED, content=b"made"))
    tracker.follow(after, STEP, sources=sources)
    assert tracker.result().marks == {b"": ISO, b"both": STEP, b"both/file": CUT, b"one": CUT}


def test_shortest_contents_do_not_tell_a_source() -> None:
    # Python has one object for each bytes of length 0 and 1, which has nothing to do with origins.
    sources = Sources()
    for content in (b"", b"\n"):
        sources.add_content(content, CUT)
        assert sources.find(File(metadata=DATED, content=content)) is None
    sources.add_tree(tree_of({"link": b"->x"}), CUT)
    assert sources.find(Symlink(metadata=DATED, target=b"x")) is None
    assert sources.find(Directory(metadata=DATED)) is None


def test_first_source_of_a_content_counts() -> None:
    sources, tree = Sources(), tree_of({"file": b"content"})
    sources.add_tree(tree, CUT)
    sources.add_tree(tree, MERGED)
    assert sources.find(tree[b"file"]) == CUT


def test_changes_of_a_pass_are_entered_as_sources() -> None:
    tree = tree_of({"kept": b"kept", "edited": b"old"})
    after = changed(tree, b"kept", uid=5)
    after.replace(b"edited", File(metadata=DATED, content=b"new"))
    sources = Sources()
    sources.add_changes(tree, after, lambda path: generated(path.decode()))
    assert sources.find(after[b"kept"]) is None
    assert sources.find(after[b"edited"]) == generated("edited")


@pytest.mark.slow
def test_unpacked_module_comes_from_where_the_packed_one_comes_from() -> None:
    context = Context(jobs=1)
    outputs = Outputs(effort=Effort.FAST, modules=Modules.RAW)
    image = build(sample_bundle(), context, outputs)
    modules = [path for path, _node in image.root.walk() if path.endswith(b".ko")]
    kinds = {image.origins.root.find(path) for path in modules}
    assert {kind.kind for kind in kinds if kind} == {OriginKind.BASE, OriginKind.OVERLAY}


def test_pass_of_the_user_is_told_by_its_words() -> None:
    def run(tree: Tree) -> Tree:
        after = tree.copy()
        after.add(b"etc/mine", File(metadata=DATED, content=b"mine"))
        return after

    layer = Layer(source="/home/me/mine.tar", tree=tree_of({"opt/layer": b"layer"}))
    changes = Recipe(overlays=[OverlayChoice(layer=layer)], passes=[("mine", run)])
    bundle = evolve(sample_bundle(), changes=changes)
    root = build(bundle, Context(jobs=1), Outputs(effort=Effort.FAST)).origins.root
    assert origins_of(root, "etc/mine", "opt/layer") == [
        Origin(OriginKind.EDIT, "mine"), Origin(OriginKind.OVERLAY, "mine.tar"),
    ]  # fmt: skip

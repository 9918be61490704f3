from __future__ import annotations

import pytest

from fixtures.project import make_project
from purekernel.errors import CombinedError, ProjectError
from purekernel.razor.project import Project, is_project_name, iso_version, parse_project
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.tree import Directory, File, Layer, Metadata, Tree

FILE = Metadata(mode=0o644)


def parsed(tree: Tree, version: str | None = None) -> Project:
    return parse_project(Layer(source="there", tree=tree), version=version)


def wrapped(tree: Tree, folder: bytes) -> Tree:
    outer = Tree()
    outer.add(folder, Directory(metadata=Metadata(mode=0o755)))
    for path, node in tree.walk():
        if path:
            outer.add(folder + b"/" + path, node)
    return outer


@pytest.mark.parametrize("generation", ["2012", "2013"])
def test_project_of_each_generation_is_read(generation: str) -> None:
    project = parsed(make_project(generation=generation))
    assert project.generation is Generation(generation)
    assert project.version is None
    assert project.find(b"rz_mk_*.rb") == [b"rz_mk_init.rb", b"rz_mk_web_server.rb"]
    assert project.find(b"nowhere/*.rb") == []
    assert project.content(b"tmp/first_checkin.yaml") == b"--- true\n"
    assert project.content(b"tmp") is None
    assert project.shadow(Flavour.PROD) == b"etc/shadow-nologin"
    assert project.shadow(Flavour.DEBUG) == b"etc/shadow"
    debug = b"tmp/mk_conf_debug.yaml" if generation == "2013" else b"tmp/mk_conf.yaml"
    assert project.settings(Flavour.DEBUG) == debug
    assert project.settings(Flavour.DEV) == b"tmp/mk_conf.yaml"


@pytest.mark.parametrize(
    ("folder", "version"),
    [
        (b"Razor-Microkernel-0.12.0", "0.12.0"),
        (b"Razor-Microkernel-v0.9.0.5", "0.9.0.5"),
        (b"Razor-Microkernel-master", None),
        (b"puppetlabs-Razor-Microkernel", None),
    ],
)
def test_release_folder_name_gives_the_version(folder: bytes, version: str | None) -> None:
    project = parsed(wrapped(make_project(), folder))
    assert project.version == version
    assert project.content(b"rz_mk_init.rb") is not None


def test_checkout_version_overrides_folder_name() -> None:
    tree = wrapped(make_project(), b"Razor-Microkernel-0.12.0")
    assert parsed(tree, version="v0.13.0-2-gdeadbee").version == "0.13.0+2-gdeadbee"
    assert iso_version("vv1") == "v1"


def test_tree_without_project_files_is_refused() -> None:
    with pytest.raises(ProjectError) as caught:
        parsed(Tree())
    assert str(caught.value) == (
        "there: not a Razor-Microkernel project: iso-build-files not found"
    )
    assert "--project" in caught.value.hint
    tree = make_project()
    tree.remove(b"iso-build-files/rebuild_iso.sh")
    with pytest.raises(ProjectError) as caught:
        parsed(tree)
    assert str(caught.value) == "there: iso-build-files/rebuild_iso.sh not found in the project"


def test_all_missing_files_are_reported_at_once() -> None:
    tree = make_project()
    tree.remove(b"etc/inittab")
    tree.remove(b"razor_microkernel/sample.rb")
    tree.remove(b"COPYING")
    tree.add(b"COPYING", Directory(metadata=Metadata(mode=0o755)))
    with pytest.raises(CombinedError) as caught:
        parsed(tree)
    assert [str(error) for error in caught.value.errors] == [
        "there: etc/inittab not found in the project",
        "there: 'COPYING' in the project must be a file, got a folder",
        "there: no file matches razor_microkernel/*.rb in the project",
    ]


def test_unrelated_checkout_entries_are_skipped() -> None:
    assert is_project_name(b"rz_mk_new.rb")
    assert is_project_name(b"etc")
    for name in (b".git", b"build-files", b"tmp-build-dir", b"rz_mk_new.py", b"README.md"):
        assert not is_project_name(name)


def test_each_generation_requires_only_its_own_files() -> None:
    tree = make_project(generation="2012")
    assert b"COPYING" not in tree
    tree.remove(b"facter-agent/facteragent.rb")
    with pytest.raises(ProjectError, match=r"facter-agent/facteragent\.rb"):
        parsed(tree)
    tree = make_project()
    tree.add(b"opt/bootextra.sh", File(metadata=FILE, content=b""))
    assert parsed(tree).find(b"opt/boot*.sh") == [
        b"opt/bootextra.sh",
        b"opt/bootlocal.sh",
        b"opt/bootsync.sh",
    ]

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from purekernel.errors import ConflictError
from purekernel.formats.debian import parse_deb
from purekernel.input import Input
from purekernel.rootfs.debian import (
    ConversionOptions,
    convert_tree,
    listing,
    start_script,
    wanted_programs,
)
from purekernel.tree import Directory, File, Metadata, Symlink, Tree
from tests import debian
from tests.debs import MTIME, deb, entry
from tests.oracles import require, run

NEWER = MTIME + 60

FULL = (
    entry("./"),
    entry("./usr/bin/tool", b"tool", mode=0o755),
    entry("./usr/share/doc/tool/copyright", b"c"),
    entry("./usr/share/man/man1/tool.1.gz", b"m"),
    entry("./usr/share/menu/tool", b"m"),
    entry("./usr/share/lintian/overrides/tool", b"l"),
    entry("./usr/share/tool/", mode=0o2750, gid=42),
    entry("./usr/share/tool/data", b"d"),
    entry("./var/lib/tool/empty/"),
    entry("./usr/lib/i386-linux-gnu/libtool.so.1.2", b"\x7fELF"),
    entry("./usr/lib/i386-linux-gnu/libtool.so.1", link="libtool.so.1.2"),
    entry("./usr/lib/i386-linux-gnu/libmine.so", b"\x7fELF"),
    entry("./usr/lib/i386-linux-gnu/plugin/p.so", b"\x7fELF"),
    entry("./usr/lib/i386-linux-gnu/tool.conf", b"c"),
    entry("./usr/lib/libmine.so", b"of its own"),
)


def tree(data: tuple[object, ...] = FULL) -> Tree:
    return parse_deb(Input(deb(data=data), name="tool.deb")).unpack()  # type: ignore[arg-type]


def paths(found: Tree) -> list[str]:
    return listing(found).decode().split()


def test_documentation_and_empty_folders_are_removed() -> None:
    made = convert_tree(tree(), extension="tool", mtime=NEWER)
    assert paths(made) == [
        "usr/bin/tool",
        "usr/lib/i386-linux-gnu/libmine.so",
        "usr/lib/i386-linux-gnu/libtool.so.1",
        "usr/lib/i386-linux-gnu/libtool.so.1.2",
        "usr/lib/i386-linux-gnu/plugin/p.so",
        "usr/lib/i386-linux-gnu/tool.conf",
        "usr/lib/libmine.so",
        "usr/lib/libtool.so.1",
        "usr/lib/libtool.so.1.2",
        "usr/share/tool/data",
    ]
    assert b"var" not in made
    assert made[b"usr/share/tool"].metadata == Metadata(mode=0o2750, gid=42, mtime=MTIME)


def test_multiarch_libraries_are_linked() -> None:
    made = convert_tree(tree(), extension="tool", mtime=NEWER)
    link = Metadata(mode=0o777, mtime=NEWER)
    assert made[b"usr/lib/libtool.so.1"] == Symlink(
        metadata=link, target=b"i386-linux-gnu/libtool.so.1"
    )
    assert isinstance(made[b"usr/lib/libmine.so"], File)


def test_options_keep_all_files() -> None:
    options = ConversionOptions(documentation=True, empty_folders=True, library_links=False)
    made = convert_tree(tree(), extension="tool", mtime=NEWER, options=options)
    assert made == _dated(tree())


def _dated(found: Tree) -> Tree:
    """Return a copy of the tree with the later time for implied folders."""
    dated = found.copy()
    for path in found.implied():
        dated.replace(path, Directory(metadata=Metadata(mode=0o755, mtime=NEWER)))
    return dated


def test_postinst_and_import_script_become_start_script() -> None:
    made = convert_tree(
        tree(), extension="tool", mtime=NEWER, postinst=b"#!/bin/sh\n", import_script=b"echo more"
    )
    assert made[b"usr/local/postinst/tool"] == File(
        metadata=Metadata(mode=0o755, mtime=NEWER), content=b"#!/bin/sh\n"
    )
    assert made[b"usr/local/tce.installed/tool"] == File(
        metadata=Metadata(mode=0o755, uid=1001, gid=50, mtime=NEWER),
        content=b"#!/bin/sh\n/usr/local/postinst/tool configure 2>/dev/null\necho more\n",
    )
    assert made[b"usr/local/tce.installed"].metadata == Metadata(mode=0o775, gid=50, mtime=NEWER)
    assert made[b"usr/local/postinst"].metadata == Metadata(mode=0o755, mtime=NEWER)


@pytest.mark.parametrize(
    ("has_postinst", "appended", "script"),
    [
        (False, None, None),
        (True, None, b"#!/bin/sh\n/usr/local/postinst/x configure 2>/dev/null\n"),
        (False, b"#!/bin/ash\necho\n", b"#!/bin/ash\necho\n"),
        (False, b"echo", b"#!/bin/sh\necho\n"),
        (True, b"", b"#!/bin/sh\n/usr/local/postinst/x configure 2>/dev/null\n"),
    ],
)
def test_start_script_content(
    has_postinst: bool, appended: bytes | None, script: bytes | None
) -> None:
    assert start_script("x", has_postinst=has_postinst, appended=appended) == script


def test_package_with_own_start_script_conflicts() -> None:
    own = tree((entry("./usr/local/tce.installed/tool", b"#!/bin/sh\n"),))
    made = convert_tree(own, extension="tool", mtime=NEWER)
    assert made[b"usr/local/tce.installed"].metadata.mode == 0o775
    with pytest.raises(ConflictError, match=r"'usr/local/tce\.installed/tool': the package has"):
        convert_tree(own, extension="tool", mtime=NEWER, postinst=b"#!/bin/sh\n")


def test_documentation_that_is_not_a_folder_is_removed() -> None:
    odd = tree((entry("./usr/share/doc", link="/elsewhere"), entry("./usr/share/man", b"a file")))
    assert len(convert_tree(odd, extension="tool", mtime=NEWER)) == 1


@pytest.mark.parametrize(
    ("postinst", "wanted"),
    [
        (b"#!/bin/sh -e\n", ()),
        (b"#! /bin/sh\n. /usr/share/debconf/confmodule\n", ("debconf",)),
        (b"#!/bin/bash\n", ("/bin/bash",)),
        (b"#!\n", ()),
        (b"", ()),
    ],
)
def test_programs_required_by_postinst(postinst: bytes, wanted: tuple[str, ...]) -> None:
    assert wanted_programs(postinst) == wanted


SHELL_ROUTE = r"""
set -e
mkdir pkg cfg
ar x package.deb
tar -xf data.tar* -C pkg --numeric-owner
tar -xf control.tar* -C cfg
rm -rf pkg/usr/share/doc pkg/usr/share/man pkg/usr/share/menu pkg/usr/share/lintian
find pkg -mindepth 1 -depth -type d -empty -delete
if [ -f cfg/postinst ]; then
  mkdir -p pkg/usr/local/postinst pkg/usr/local/tce.installed
  cp cfg/postinst pkg/usr/local/postinst/NAME
  printf '#!/bin/sh\n/usr/local/postinst/NAME configure 2>/dev/null\n' \
    > pkg/usr/local/tce.installed/NAME
  chmod 755 pkg/usr/local/postinst/NAME pkg/usr/local/tce.installed/NAME
  chmod 775 pkg/usr/local/tce.installed
  if [ "$(id -u)" = 0 ]; then
    chown 0:50 pkg/usr/local/tce.installed
    chown 1001:50 pkg/usr/local/tce.installed/NAME
  fi
fi
"""


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["hello", "lshw", "man-db", "tzdata", "libpipeline1"])
def test_shell_commands_give_the_same_tree(tmp_path: Path, name: str) -> None:
    for program in ("ar", "tar", "xz"):
        require(program)
    data = debian.package(name).read_bytes()
    (tmp_path / "package.deb").write_bytes(data)
    run("sh", "-c", SHELL_ROUTE.replace("NAME", name), cwd=tmp_path)
    package = parse_deb(Input(data, name=name))
    made = convert_tree(
        package.unpack(),
        extension=name,
        mtime=package.newest,
        postinst=package.control.get(b"postinst"),
        options=ConversionOptions(library_links=False),
    )
    top = tmp_path / "pkg"
    theirs = {b""} | {
        os.fsencode(os.path.relpath(Path(folder, entry), top))
        for folder, folders, files in os.walk(top)
        for entry in (*folders, *files)
    }
    assert {path for path, _node in made.walk()} == theirs
    assert len(theirs) > 5
    for path, node in made.walk():
        found = top / os.fsdecode(path)
        status = found.lstat()
        if os.geteuid() == 0:
            assert (status.st_uid, status.st_gid) == (node.metadata.uid, node.metadata.gid), path
        if isinstance(node, Symlink):
            assert os.fsencode(found.readlink()) == node.target
        else:
            assert stat.S_IMODE(status.st_mode) == node.metadata.mode, path
        if isinstance(node, File):
            assert found.read_bytes() == bytes(node.content)
            links = made.hard_links().get(made.inode(path), [])
            assert max(len(links), 1) == status.st_nlink

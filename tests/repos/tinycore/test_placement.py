from __future__ import annotations

import hashlib

from purekernel.repos.tinycore import Extension
from purekernel.repos.tinycore.placement import Loading, add_builtins, add_folder
from purekernel.rootfs.overlay import OverlayTree
from purekernel.tree import Buffer, File, Tree


def extension(name: str, *needs: str, **companions: bytes) -> Extension[Buffer]:
    suffixes = {f".{suffix.replace('_', '.')}": content for suffix, content in companions.items()}
    if needs:
        suffixes[".dep"] = "".join(f"{need}\n" for need in needs).encode()
    return Extension(
        name=name, dependencies=needs, file=f"file of {name}".encode(), companions=suffixes
    )


def folder(loading: Loading, *extensions: Extension[Buffer]) -> Tree:
    overlay = OverlayTree(1_300_000_000)
    add_folder(overlay, extensions, loading)
    return overlay.tree


def files(tree: Tree) -> dict[str, bytes]:
    return {
        path.decode(): bytes(node.content) for path, node in tree.walk() if isinstance(node, File)
    }


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_folder_has_extensions_with_side_files_and_lists() -> None:
    tree = folder(
        Loading(onboot=["a.tcz"], copied=["b.tcz"]),
        extension("b.tcz", md5_txt=b"0123  b.tcz\n"),
        extension("a.tcz", "b.tcz"),
    )
    assert files(tree) == {
        "copy2fs.lst": b"b.tcz\n",
        "onboot.lst": b"a.tcz\n",
        "optional/a.tcz": b"file of a.tcz",
        "optional/a.tcz.dep": b"b.tcz\n",
        "optional/a.tcz.md5.txt": f"{md5(b'file of a.tcz')}  a.tcz\n".encode(),
        "optional/b.tcz": b"file of b.tcz",
        "optional/b.tcz.md5.txt": b"0123  b.tcz\n",
    }


def test_flag_to_copy_all_is_an_empty_file() -> None:
    tree = folder(Loading(copy_all=True))
    assert files(tree) == {"copy2fs.flg": b"", "onboot.lst": b""}
    assert b"optional" in tree


def test_script_on_demand_loads_from_the_folder_beside_it_and_runs_the_program() -> None:
    tree = folder(Loading(ondemand=["ab-1.2.tcz"]), extension("ab-1.2.tcz"))
    node = tree[b"ondemand/ab-1.2"]
    assert node.metadata.mode == 0o755
    assert files(tree)["ondemand/ab-1.2"].decode() == (
        "#!/bin/sh\n"
        "# Load ab-1.2.tcz from the folder beside this one, then run its program.\n"
        'folder=$(dirname "$(readlink -f "$0")")\n'
        "if [ ! -e /usr/local/tce.installed/ab-1.2 ]; then\n"
        '  tce-load -is "${folder%/*}/optional/ab-1.2.tcz" || exit 1\n'
        "fi\n"
        "for program in /usr/local/bin/ab-1.2 /usr/local/sbin/ab-1.2; do\n"
        '  [ -x "$program" ] && exec "$program" "$@"\n'
        "done\n"
        "exit 0\n"
    )


def test_builtin_extensions_are_below_tmp() -> None:
    overlay = OverlayTree(0)
    add_builtins(overlay, [extension("a.tcz")], ["a.tcz"])
    assert files(overlay.tree) == {
        "tmp/builtin/onboot.lst": b"a.tcz\n",
        "tmp/builtin/optional/a.tcz": b"file of a.tcz",
    }

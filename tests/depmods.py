"""Make trees of kernel modules, and run the depmod of kmod and busybox on them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from purekernel.formats.module_index import IndexValue, parse_index
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.rootfs.depmod import Dialect, Indexed, KernelSymbols, Kmod, depmod
from purekernel.rootfs.depmod.found import Listing
from purekernel.tree import Directory, File, Metadata, Symlink, Tree, display
from tests.oracles import require, run

RELEASE = "6.1.0"

# Ten times the memory that kmod needs for all modules of a Debian kernel.
MEMORY_KIB = 1 << 20

# The folders where kmod looks for rules by default.
CONFIG_FOLDERS = ("etc/depmod.d", "run/depmod.d", "usr/local/lib/depmod.d", "lib/depmod.d")


@frozen(kw_only=True)
class DepmodRun:
    """The result of a run of kmod or busybox.

    Attributes:
        files: the files that the run wrote, by name.
        stderr: its warnings and errors.
        status: its exit status; negative for a signal.
    """

    files: dict[bytes, bytes]
    stderr: str
    status: int


def make_tree(files: Mapping[str, bytes | str], release: str = RELEASE) -> Tree:
    """Return a tree; bytes are a file's content, text is a link's target.

    Names that start with a slash are relative to the root, other names to the release's folder.
    """
    tree = Tree()
    folder = f"lib/modules/{release}"
    tree.add_parents(f"{folder}/x".encode())
    for name, content in files.items():
        path = os.fsencode(name[1:] if name.startswith("/") else f"{folder}/{name}")
        tree.add_parents(path)
        if isinstance(content, bytes):
            tree.add(path, File(metadata=Metadata(mode=0o644), content=content))
        else:
            tree.add(path, Symlink(metadata=Metadata(mode=0o777), target=os.fsencode(content)))
    return tree


def index(
    files: dict[str, bytes | str],
    dialect: Dialect | None = None,
    *,
    kernel: KernelSymbols | None = None,
    reading: list[bytes] | None = None,
) -> Indexed:
    """Run purekernel's depmod; ``reading`` is the order of the names in each folder."""
    tree = make_tree(files)

    def listing(folder: bytes) -> list[bytes]:
        names = tree.entries(folder)
        return sorted(names, key=(reading or names).index) if reading else names

    return depmod(
        tree, RELEASE.encode(), mtime=0, dialect=dialect or Kmod(), kernel=kernel, listing=listing
    )


def lines(done: Indexed, name: str) -> list[str]:
    """Return the lines of a text file without comments."""
    return [
        line for line in done.files[name.encode()].decode().splitlines() if not line.startswith("#")
    ]


def looked_up(done: Indexed, name: str) -> list[IndexValue]:
    return parse_index(Input(done.files[name.encode()], name=name))


def paths(done: Indexed) -> list[str]:
    """Return the modules that depmod reads, by path."""
    return sorted(line.partition(":")[0] for line in lines(done, "modules.dep"))


def lay_down(tree: Tree, root: Path) -> None:
    """Write the folders, files and links of a tree to a new folder."""
    for path, node in tree.walk():
        place = root / os.fsdecode(path)
        if isinstance(node, Directory):
            place.mkdir()
        elif isinstance(node, Symlink):
            place.symlink_to(os.fsdecode(node.target))
        elif isinstance(node, File):
            place.write_bytes(node.content)


def part_of(tree: Tree, folder: Path) -> Tree:
    """Return a folder of a tree as a tree of its own."""
    start = str(folder).lstrip("/").encode()
    found = Tree()
    if start in tree:
        for path, node in tree.walk(start):
            if path != start:
                found.add(path.removeprefix(start + b"/"), node)
    return found


def load(root: Path) -> Tree:
    """Return a folder of the host as a tree."""
    tree = Tree()
    pending = [root]
    while pending:
        for place in pending.pop().iterdir():
            path = os.fsencode(place.relative_to(root))
            if place.is_symlink():
                target = os.fsencode(place.readlink())
                tree.add(path, Symlink(metadata=Metadata(mode=0o777), target=target))
            elif place.is_dir():
                tree.add(path, Directory(metadata=Metadata(mode=0o755)))
                pending.append(place)
            else:
                tree.add(path, File(metadata=Metadata(mode=0o644), content=place.read_bytes()))
    return tree


def copy_root(root: Path, target: Path) -> None:
    """Copy a root, by hard links where possible: kmod replaces its files by a rename."""
    shutil.copytree(root, target, symlinks=True, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)


def listing_of(root: Path, outside: Path | None = None) -> Listing:
    """Return the order in which a program reads the folders below ``root`` now.

    Folders below ``outside``, if given, have absolute paths as keys.
    """
    names: dict[bytes, list[bytes]] = {}
    for start, top in ((root, root), (outside, Path("/"))):
        for folder, _, _ in os.walk(start or os.devnull):
            path = b"" if Path(folder) == top else os.fsencode(Path(folder).relative_to(top))
            names[path] = [os.fsencode(entry.name) for entry in os.scandir(folder)]
    return lambda folder: names[folder]


def installed_kmod() -> Kmod:
    """Return the dialect of the installed kmod."""
    version = re.search(rb"kmod version ([0-9]+)", run(require("depmod"), "--version"))
    assert version is not None
    return Kmod(version=int(version[1]))


def run_kmod(root: Path, release: str = RELEASE, options: Sequence[str | Path] = ()) -> DepmodRun:
    """Run kmod's depmod on a root, with the rules in it and no others."""
    configs = [f"-C{root / folder}" for folder in CONFIG_FOLDERS]
    return _run([require("depmod"), *configs, *options], root, release)


def run_busybox(
    root: Path, release: str = RELEASE, program: Sequence[str | Path] | None = None
) -> DepmodRun:
    """Run a busybox's depmod on a root."""
    return _run([*(program or [require("busybox")]), "depmod"], root, release)


def _run(command: Sequence[str | Path], root: Path, release: str) -> DepmodRun:
    # If two cycles of modules share a module, kmod lists paths until memory is full.
    bounded = ["sh", "-c", f'ulimit -v {MEMORY_KIB}; exec "$@"', "sh", *map(str, command)]
    folder = root / "lib/modules" / release
    before = _states(folder)
    done = subprocess.run(
        [*bounded, "-b", str(root), release],
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
        timeout=120,
    )
    return DepmodRun(
        files={
            os.fsencode(name): (folder / name).read_bytes()
            for name, state in _states(folder).items()
            if before.get(name) != state
        },
        stderr=os.fsdecode(done.stderr),
        status=done.returncode,
    )


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the values of each file that change when the file is rewritten or replaced."""
    return {
        entry.name: (entry.inode(), entry.stat(follow_symlinks=False).st_mtime_ns)
        for entry in os.scandir(folder)
        if entry.is_file(follow_symlinks=False)
    }


def symbol_warnings_of_kmod(stderr: str) -> list[tuple[str, str, str]]:
    """Return each module with an unknown or mismatched symbol, from kmod's messages."""
    return sorted(
        (Path(found[0]).name, found[1], display(os.fsencode(found[2])))
        for found in re.findall(
            r"WARNING: (\S+) (needs unknown symbol|disagrees about version of symbol) ([^\n]*)",
            stderr,
        )
    )


def symbol_warnings(done: Indexed) -> list[tuple[str, str, str]]:
    """Return each module with an unknown or mismatched symbol, from purekernel's messages."""
    words = {
        "unknown symbol": "needs unknown symbol",
        "built for another version of the symbol": "disagrees about version of symbol",
    }
    return sorted(
        (Path(found[1]).name, words[found[2]], found[3])
        for warning in done.warnings
        if (found := re.fullmatch(rf"'(\S+)': ({'|'.join(words)}) ('.*')", warning))
    )

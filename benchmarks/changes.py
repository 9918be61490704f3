"""The tables that change files, on the tree of Core 4.4 with the extensions of the mirror unpacked.

Run with ``python -m benchmarks.changes``, as root, with sed, find and the shell. The shared mirror
is looked for where PUREKERNEL_SHARED says, by default in ``../shared/mirror``. The peer is a script
that does the same to the tree on a disk, as remasters do. What both make is compared: the names,
modes, owners and contents.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import CHECKOUT
from purekernel.errors import PurekernelError
from purekernel.formats.core_iso import parse_base
from purekernel.formats.squashfs import parse_squashfs
from purekernel.host.unpack import unpack_tree
from purekernel.input import DEFAULT_LIMITS, Input
from purekernel.recipe.conflicts import change_faults
from purekernel.recipe.read import parse_recipe
from purekernel.remaster.changes import change_passes
from purekernel.rootfs.expressions import parse_expression
from purekernel.rootfs.extensions import merge_extension
from purekernel.rootfs.patterns import find_paths
from purekernel.tree import File, Metadata, Symlink, Tree, content_bytes

RECIPE = r"""
[[remove]]
paths = ["usr/local/share/man", "**/*.a", "usr/local/share/doc", "usr/local/lib/perl5/**/*.pod"]
missing = "ok"

[[file]]
path = "etc/motd"
text = "Welcome.\n"

[[edit]]
paths = ["etc/inittab"]
regex = '^(tty1::.*)$'
replace = '\1\nttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100'

[[edit]]
paths = ["etc/init.d/*"]
find = "/bin/busybox"
replace = "/usr/bin/busybox"
every = true
missing = "ok"

[[edit]]
paths = ["etc/securetty"]
append = "ttyS0"

[[link]]
target = "usr/local/bin/*"
into = "usr/bin"
existing = "keep"

[[attributes]]
paths = ["usr/local/**"]
owner = "root:staff"
mode = "g+w"
"""
SCRIPT = r"""
rm -rf usr/local/share/man usr/local/share/doc
find . -name '*.a' -delete
find usr/local/lib/perl5 -name '*.pod' -delete 2>/dev/null
printf 'Welcome.\n' > etc/motd
sed -i 's|^\(tty1::.*\)$|\1\nttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100|' etc/inittab
find etc/init.d -maxdepth 1 -type f -exec sed -i 's|/bin/busybox|/usr/bin/busybox|g' {} +
echo ttyS0 >> etc/securetty
for file in usr/local/bin/*; do
    name=usr/bin/${file##*/}
    [ -e "$name" ] || [ -L "$name" ] || ln -s "/$file" "$name"
done
find usr/local -mindepth 1 -exec chown -h 0:50 {} +
find usr/local -mindepth 1 ! -type l -exec chmod g+w {} +
"""

# Patterns and expressions that take exponential or polynomial time elsewhere.
GLOBS = (b"d/a*a*a*a*b", b"**/a*a*a*a*a*a*b", b"**/[!b]*?*?*?*c")
EXPRESSIONS = ("(a+)+$", "(a|a)*b", "a*a*a*a*b", "a([^z]*z)?")
NAMES = 100_000


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="of each [5]")
    runs: int = parser.parse_args().runs
    tree = load_tree()
    recipe = parse_recipe(RECIPE.encode(), source="recipe", folder=Path())
    assert not change_faults(recipe)
    passes = change_passes(recipe, mtime=0, limits=DEFAULT_LIMITS)
    print(f"{len(tree):,} names, {content_bytes(tree):,} bytes\n")
    print("| pass | milliseconds |\n|---|---|")
    changed, total = tree, 0.0
    for words, run in passes:
        took = _median(lambda run=run, changed=changed: run(changed), runs)  # type: ignore[misc]
        print(f"| {words} | {1000 * took:.1f} |")
        changed, total = run(changed), total + took
    print(f"| all | {1000 * total:.1f} |")
    print(f"| a script on the disk | {1000 * _peer(tree, changed, runs):.1f} |\n")
    _hostile()


def load_tree() -> Tree:
    """Return the root of Core 4.4 with the mirror's extensions merged."""
    shared = Path(os.environ.get("PUREKERNEL_SHARED", CHECKOUT.parent / "shared" / "mirror"))
    folder = shared / "tinycorelinux/4.x/x86"
    iso = folder / "release/Core-current.iso"
    if not iso.is_file():
        sys.exit(f"no shared mirror at {shared}")
    tree = parse_base(Input(iso.read_bytes(), name=iso.name)).root
    for path in sorted((folder / "tcz").glob("*.tcz")):
        extension = parse_squashfs(Input(path.read_bytes(), name=path.name))
        tree = merge_extension(tree, extension, name=path.stem, mtime=0)
    return tree


def _median(run: Callable[[], object], runs: int) -> float:
    times: list[float] = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _peer(tree: Tree, wanted: Tree, runs: int) -> float:
    """Return the seconds of the script, after a comparison of what it makes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "root"
        times: list[float] = []
        for _ in range(runs):
            shutil.rmtree(folder, ignore_errors=True)
            unpack_tree(tree, folder)
            start = time.perf_counter()
            subprocess.run(["sh", "-c", SCRIPT], cwd=folder, check=True)
            times.append(time.perf_counter() - start)
        _compare(folder, wanted)
    return statistics.median(times)


def _compare(folder: Path, wanted: Tree) -> None:
    made = {os.fsencode(path.relative_to(folder)): path for path in folder.rglob("*")}
    names = {path for path, _node in wanted.walk() if path}
    if made.keys() != names:
        sys.exit(f"the names differ: {sorted(made.keys() ^ names)[:10]}")
    for path, place in made.items():
        node, status = wanted[path], place.lstat()
        same = (status.st_uid, status.st_gid) == (node.metadata.uid, node.metadata.gid)
        if isinstance(node, Symlink):
            same = same and _target(place) == node.target
        else:
            # Linux takes setuid and setgid from a program when it gets another owner.
            same = same and status.st_mode & 0o1777 == node.metadata.mode & 0o1777
        if isinstance(node, File):
            same = same and place.read_bytes() == node.content
        if not same:
            sys.exit(f"{path!r} differs: {status}, {node}")


def _target(link: Path) -> bytes:
    return os.fsencode(os.readlink(link))  # noqa: PTH115  # Path drops a slash at the end


def _hostile() -> None:
    """Print what hostile patterns and expressions take."""
    tree = Tree()
    tree.add_parents(b"d/x")
    for number in range(NAMES):
        tree.add(b"d/" + b"a" * 40 + b"%d" % number, File(metadata=Metadata(mode=0o644)))
    print(f"| pattern over {NAMES:,} names | seconds |\n|---|---|")
    for pattern in GLOBS:
        took = _median(lambda pattern=pattern: find_paths(tree, pattern), 1)  # type: ignore[misc]
        print(f"| `{pattern.decode()}` | {took:.2f} |")
    text = "a" * 5000 + "!"
    print(f"\n| expression over {len(text):,} characters | seconds | result |\n|---|---|---|")
    for source in EXPRESSIONS:
        expression = parse_expression(source)
        start = time.perf_counter()
        try:
            result = f"{sum(1 for _ in expression.find_all(text))} matches"
        except PurekernelError as error:
            result = error.message
        shown = source.replace("|", "\\|")
        print(f"| `{shown}` | {time.perf_counter() - start:.2f} | {result} |")


if __name__ == "__main__":
    main()

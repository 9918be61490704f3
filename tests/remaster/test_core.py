"""Test whole cores: other programs unpack them, and their bytes are reproducible."""

from __future__ import annotations

import gzip
import random
import re
import zlib
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import deflate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.planting import Planting
from fixtures.program import make_executable, make_library
from purekernel.encode.cache import Cache
from purekernel.encode.disk_cache import EncodedCache
from purekernel.encode.encoders import Effort
from purekernel.formats.core_iso import parse_base
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.gzip import parse_member
from purekernel.input import Input, Limits
from purekernel.remaster.core import pack_core, recompress_nested
from purekernel.threads import Threads
from purekernel.tree import DeviceKind, File, LazyContent, Metadata, Tree
from tests.executors import AtOnce
from tests.oracles import require, run
from tests.processes import environment, purekernel
from tests.shared import core_iso
from tests.strategies import trees


def words(seed: int, count: int) -> bytes:
    chance = random.Random(seed)
    return b" ".join(str(chance.randrange(5000)).encode() for _ in range(count))


def poor_gzip(content: bytes, *, name: bytes = b"") -> bytes:
    """Return a gzip file that can be recompressed to a smaller size."""
    stream = zlib.compressobj(1, wbits=-15)
    body = stream.compress(content) + stream.flush()
    trailer = zlib.crc32(content).to_bytes(4, "little") + len(content).to_bytes(4, "little")
    flags = b"\x08" if name else b"\0"
    head = b"\x1f\x8b\x08" + flags + b"\1\2\3\4\0\3" + (name + b"\0" if name else b"")
    return head + body + trailer


# Content of nested gzip files, by name: one for each size class that efforts distinguish.
NESTED = {
    b"empty": 0, b"tiny": 20, b"small": 700, b"medium": 1200, b"large": 3500, b"largest": 9000,
}  # fmt: skip


@cache
def make_tree(texts: int = 1) -> Tree:
    """Return a root file system with each kind of member: 150 kB, plus 30 kB per extra text."""
    planting = Planting()
    for path in (b"dev", b"proc", b"opt/a/folder/that/is/deep"):
        planting.folder(path)
    planting.device(b"dev/null", DeviceKind.CHARACTER, (1, 3))
    planting.symlink(b"bin/sh", b"busybox")
    planting.file(b"bin/busybox", make_executable("a line"), 0o4755)
    planting.hard_link(b"bin/ls", b"bin/busybox")
    for number in range(3):
        planting.file(b"etc/empty-%d" % number, b"")
        functions = {f"function_{number}_{place}": place for place in range(60)}
        planting.file(
            b"lib/lib%d.so" % number, make_library(f"lib{number}.so", functions=functions)
        )
    for number in range(texts):
        planting.file(b"usr/share/text-%d" % number, words(number, 6000))
    planting.file(b"usr/share/zeros", bytes(5000))
    planting.file(b"usr/share/numbers", words(9, 1000).replace(b" ", b"\0"))
    planting.file(b"usr/share/noise", random.Random(1).randbytes(70_000))
    planting.file(b"usr/share/picture.png", b"\x89PNG\r\n\x1a\n" + random.Random(2).randbytes(9000))
    for name, count in NESTED.items():
        planting.file(b"lib/modules/3.0/kernel/" + name + b".ko.gz", poor_gzip(words(3, count)))
        planting.file(b"usr/share/man/" + name + b".1.gz", poor_gzip(words(4, count), name=name))
    planting.file(b"tmp/known.gz", poor_gzip(words(5, 900)))
    planting.file(b"tmp/known.gz.md5.txt", b"0" * 32 + b"  known.gz\n")
    planting.file(b"tmp/two.gz", poor_gzip(words(6, 900)) * 2)
    planting.file(b"tmp/damaged.gz", poor_gzip(words(7, 900))[:-1])
    return planting.tree


@cache
def make_large_tree() -> Tree:
    """Return the same root file system with 4.5 MB of text. One file is longer than any segment."""
    tree = make_tree(texts=60).copy()
    planting = Planting()
    planting.tree = tree
    planting.file(b"usr/share/long", words(99, 600_000))
    return tree


def pack(
    tree: Tree, effort: Effort, executor: Executor, cache: Cache | None = None
) -> tuple[Tree, bytes]:
    """Return the recompressed root file system and the core."""
    root = recompress_nested(tree, effort=effort, executor=executor, cache=cache)
    core = pack_core(root, effort=effort, executor=executor, cache=cache)
    plain = check(core.data)
    assert len(plain) == core.cpio_bytes
    assert parse_cpio(Input(plain, name="core")) == root
    return root, core.data


def check(packed: bytes) -> bytes:
    """Unpack a core; check that it is one gzip member with no data after it."""
    stream = zlib.decompressobj(wbits=31)
    plain = stream.decompress(packed)
    assert stream.eof
    assert not stream.unused_data
    assert parse_member(Input(packed, name="core")).end == len(packed)
    assert deflate.gzip_decompress(packed, len(plain)) == plain
    return plain


def check_with_other_programs(packed: bytes, folder: Path) -> None:
    """Unpack a core with gzip, pigz and 7z, and read it with cpio."""
    path = folder / "core.gz"
    path.write_bytes(packed)
    for program in ("gzip", "pigz"):
        run(require(program), "-t", path)
    said = run(require("7z"), "t", path)
    assert b"Everything is Ok" in said
    assert b"WARNING" not in said.upper()
    plain = check(packed)
    assert re.findall(rb"^Size: +(\d+)", said, re.MULTILINE) == [b"%d" % len(plain)]
    for program in ("gzip", "pigz"):
        assert run(require(program), "-dc", path) == plain
    assert run(require("7z"), "e", "-so", path) == plain
    names = run(require("cpio"), "--quiet", "-t", stdin=plain).splitlines()
    assert len(names) == len(parse_cpio(Input(plain, name="core")))


def compare(found: Tree, tree: Tree) -> int:
    """Check that two trees are equal except for smaller gzip files; return the number of these."""
    assert [path for path, _node in found.walk()] == [path for path, _node in tree.walk()]
    assert [*found.hard_links().values()] == [*tree.hard_links().values()]
    smaller = 0
    for path, node in tree.walk():
        other = found[path]
        if other == node:
            continue
        assert isinstance(node, File)
        assert isinstance(other, File)
        assert other.metadata == node.metadata
        assert len(other.content) < len(node.content)
        assert other.content[:10] == node.content[:10]
        assert gzip.decompress(other.content) == gzip.decompress(node.content)
        smaller += 1
    return smaller


TREES = {
    Effort.FAST: make_large_tree, Effort.BALANCED: make_large_tree, Effort.MAX: make_tree,
}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("effort", Effort, ids=lambda effort: effort.value)
def test_other_programs_unpack_every_effort(effort: Effort, tmp_path: Path) -> None:
    tree = TREES[effort]()
    with Threads(2) as threads:
        root, packed = pack(tree, effort, threads)
    check_with_other_programs(packed, tmp_path)
    # Nested files that are large enough to shrink: modules and others.
    some = 2 * sum(count > 20 for count in NESTED.values())
    assert (compare(root, tree) >= some) is (effort is not Effort.FAST)
    for stays in (b"tmp/known.gz", b"tmp/two.gz", b"tmp/damaged.gz"):
        assert root[stays] == tree[stays]
    files = []
    for number, (path, node) in enumerate(root.walk()):
        if path.endswith(b".gz") and path != b"tmp/damaged.gz":
            assert isinstance(node, File)
            files.append(tmp_path / f"{number}.gz")
            files[-1].write_bytes(node.content)
    for program in ("gzip", "pigz"):
        run(require(program), "-t", *files)
    for file in files:
        assert b"Everything is Ok" in run(require("7z"), "t", file)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "effort",
    [Effort.FAST, pytest.param(Effort.BALANCED, marks=pytest.mark.nightly)],
    ids=["fast", "balanced"],
)
def test_other_programs_unpack_the_core_of_a_real_base(effort: Effort, tmp_path: Path) -> None:
    tree = parse_base(Input(core_iso().read_bytes(), name="Core-current.iso")).root
    with Threads(2) as threads:
        root, packed = pack(tree, effort, threads)
    check_with_other_programs(packed, tmp_path)
    assert (compare(root, tree) > 300) is (effort is not Effort.FAST)


@pytest.mark.slow
def test_large_core_has_several_segments() -> None:
    executor = AtOnce()
    pack_core(make_tree(), effort=Effort.MAX, executor=executor)
    assert executor.done >= 3


@pytest.mark.slow
@settings(max_examples=30)
@given(trees(any_links=True), st.sampled_from([Effort.FAST, Effort.BALANCED]))
def test_random_tree_round_trips(tree: Tree, effort: Effort) -> None:
    root, _packed = pack(tree, effort, AtOnce())
    compare(root, tree)


def delete_some(folder: Path, chance: random.Random) -> int:
    """Delete at least one of a cache's files; return the number of remaining files."""
    files = sorted(folder.glob("encoded-v1/??/*"))
    for path in chance.sample(files, chance.randint(1, len(files))):
        path.unlink()
    return len(list(folder.glob("encoded-v1/??/*")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "effort",
    [Effort.FAST, Effort.BALANCED, pytest.param(Effort.MAX, marks=pytest.mark.nightly)],
    ids=lambda effort: effort.value,
)
def test_bytes_do_not_depend_on_jobs_executor_or_cache(effort: Effort, tmp_path: Path) -> None:
    tree = make_tree()
    _root, expected = pack(tree, effort, AtOnce())
    for executor in (Threads(8), ThreadPoolExecutor(1)):
        with executor:
            assert pack(tree, effort, executor)[1] == expected
    cache, chance = EncodedCache(tmp_path), random.Random(2)
    with ProcessPoolExecutor(2) as executor:
        assert pack(tree, effort, executor, cache)[1] == expected
        assert cache.usage().files > 0
        lazy = AtOnce()
        assert pack(tree, effort, lazy, cache)[1] == expected
        assert lazy.done == 0
        for jobs in (1, 2):
            some = delete_some(tmp_path, chance)
            with Threads(jobs) as threads:
                assert pack(tree, effort, threads, cache)[1] == expected
            assert some < cache.usage().files


@pytest.mark.slow
def test_efforts_share_a_cache_without_affecting_each_other(tmp_path: Path) -> None:
    tree, cache = make_tree(), EncodedCache(tmp_path)
    expected = {effort: pack(tree, effort, AtOnce())[1] for effort in Effort}
    assert len(set(expected.values())) == len(Effort)
    for effort in (Effort.BALANCED, Effort.MAX):
        assert len(expected[effort]) < len(expected[Effort.FAST])
    for effort in (*Effort, *Effort):
        assert pack(tree, effort, AtOnce(), cache)[1] == expected[effort]


# Builds the sample at each effort, and prints the digests.
HASHED = """
import hashlib, sys
from pathlib import Path
from purekernel.cli import main
for effort in ("fast", "balanced", "max"):
    command = ["build", "--sample", "--quiet", "--emit", "core,iso", "--effort", effort]
    assert main([*command, *sys.argv[1:]]) == 0
    for path in sorted(Path().glob("*.iso")) + [Path("core.gz")]:
        print(effort, path, hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.mark.slow
def test_bytes_do_not_depend_on_hash_seed_or_jobs(tmp_path: Path) -> None:
    said = set()
    # The third run uses the cache of the second.
    for seed, jobs, folder in (("0", "1", "one"), ("1", "8", "two"), ("4242", "2", "two")):
        done = purekernel(
            "--jobs", jobs, "--cache-dir", folder, cwd=tmp_path, script=HASHED,
            env=environment(PYTHONHASHSEED=seed),
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        said.add(done.stdout)
    assert len(said) == 1
    assert len({line.split()[-1] for line in said.pop().splitlines()}) == 6


@pytest.mark.slow
def test_gzip_files_that_unpack_to_more_than_the_limit_together_are_kept() -> None:
    tree = Tree()
    for name in (b"a.gz", b"b.gz", b"c.gz"):
        content = words(1, 4000 if name == b"b.gz" else 2000)
        tree.add(name, File(metadata=Metadata(mode=0o644), content=poor_gzip(content)))
    # The size that a file declares is the most that it is unpacked to.
    lying = poor_gzip(words(2, 4000))[:-4] + b"\1\0\0\0"
    tree.add(b"d.gz", File(metadata=Metadata(mode=0o644), content=lying))
    limits = Limits(unpacked_bytes=2 * len(words(1, 2000)) + 1)
    with Threads(2) as threads:
        found = recompress_nested(tree, effort=Effort.BALANCED, executor=threads, limits=limits)
    smaller = {path for path, node in found.walk() if node != tree[path]}
    assert smaller == {b"a.gz", b"c.gz"}


@pytest.mark.slow
@pytest.mark.parametrize("effort", [Effort.FAST, Effort.BALANCED])
def test_contents_that_are_loaded_on_access_give_the_same_core(effort: Effort) -> None:
    tree, lazy = Tree(), Tree()
    contents = [
        *(words(index, 3_000) for index in range(4)),
        words(7, 300_000),  # longer than two segments
        poor_gzip(words(8, 2_000)),
        random.Random(9).randbytes(100_000),
        make_executable("a line"),
    ]
    for index, content in enumerate(contents):
        path, metadata = b"file%d" % index, Metadata(mode=0o644)
        tree.add(path, File(metadata=metadata, content=content))
        load = partial(bytes, content)
        kept = LazyContent(len(content), load=load)
        lazy.add(path, File(metadata=metadata, content=kept))
    executor = AtOnce()
    cores = []
    for start in (tree, lazy):
        nested = recompress_nested(start, effort=effort, executor=executor)
        cores.append(pack_core(nested, effort=effort, executor=executor))
    assert cores[0] == cores[1]
    assert parse_cpio(Input(cores[1].data, name="core")) == nested

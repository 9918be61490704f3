"""Test that the reported effect of unpacked modules equals the difference between two builds."""

from __future__ import annotations

import gzip
import json
import random
import re
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from fixtures.bundle import make_bundle
from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from purekernel.cli import main
from purekernel.encode.encoders import Effort
from purekernel.formats.compress import compress
from purekernel.formats.initramfs import Compression
from purekernel.formats.lz4 import require_lz4
from purekernel.recipe.outputs import Modules
from purekernel.remaster.core import Unpacking, build_archive, measure_unpacking, pack_core
from purekernel.rootfs.modules import unpack_modules
from purekernel.tree import File, Metadata, Tree, content_bytes, merge
from tests.builds import SAMPLE_FINDINGS, Encoding, make_image
from tests.shared import core_iso

FOLDER = b"lib/modules/3.0.3-tinycore/kernel/"


@cache
def make_modules(*, alike: bool = True) -> Tree:
    """Return packed modules; with ``alike``, they are similar, as those of one kernel are.

    Without ``alike``, modules have few distinct bytes and no repeated words. Huffman codes compress
    them, and LZ4 does not.
    """
    chance = random.Random(1)
    words = [
        chance.randbytes(chance.randrange(2, 30)) if alike else bytes([chance.randrange(8)])
        for _turn in range(600)
    ]
    tree = Tree()
    for number in range(60):
        path = FOLDER + b"%02d.ko.gz" % number
        content = b"\x7fELF" + b"".join(chance.choices(words, k=700 if alike else 10_000))
        tree.add_parents(path)
        packed = gzip.compress(content, mtime=0)
        tree.add(path, File(metadata=Metadata(mode=0o644), content=packed))
    tree.link(FOLDER + b"again.ko.gz", FOLDER + b"00.ko.gz")
    return tree


@cache
def make_root(*, alike: bool = True) -> Tree:
    tree = make_core_tree()
    chance = random.Random(2)
    text = "".join(chance.choices("abcdefgh \n", k=100_000)).encode()
    tree.add(b"opt/text", File(metadata=Metadata(mode=0o644), content=text))
    return merge(tree, make_modules(alike=alike))


def measure(
    packed: Tree,
    unpacked: Tree,
    executor: Executor,
    effort: Effort = Effort.FAST,
    compression: Compression = Compression.GZIP,
) -> Unpacking:
    with executor:
        result = measure_unpacking(
            packed, unpacked, effort=effort, compression=compression, executor=executor
        )
        return result()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compression", "alike"),
    [
        (Compression.GZIP, True),
        (Compression.XZ, True),
        (Compression.ZSTD, True),
        (Compression.LZ4, True),
        (Compression.LZ4, False),
    ],
)
def test_measure_equals_the_difference_of_cores(compression: Compression, *, alike: bool) -> None:
    packed = make_root(alike=alike)
    unpacked = unpack_modules(packed)
    found = measure(packed, unpacked, ThreadPoolExecutor(2), compression=compression)

    def core_bytes(tree: Tree) -> int:
        if compression is not Compression.GZIP:
            return len(compress(build_archive(tree), compression))
        with ThreadPoolExecutor(1) as executor:
            return len(pack_core(tree, effort=Effort.FAST, executor=executor).data)

    real = core_bytes(packed) - core_bytes(unpacked)
    assert abs(real) > 20_000
    assert abs(found.saved_bytes - real) <= abs(real) // 50
    assert (real > 0) == alike
    # Hard links count once.
    assert found.memory_bytes == content_bytes(unpacked) - content_bytes(packed) > 100_000


@pytest.mark.slow
def test_measure_does_not_use_slow_encoders() -> None:
    packed = make_modules()
    unpacked = unpack_modules(packed)
    expected = measure(packed, unpacked, ThreadPoolExecutor(1))
    for effort in Effort:
        for executor in (ThreadPoolExecutor(4), ProcessPoolExecutor(2)):
            assert measure(packed, unpacked, executor, effort) == expected


def test_measure_is_zero_without_unpacked_modules() -> None:
    tree = Tree()
    assert measure(tree, unpack_modules(tree), ThreadPoolExecutor(1)) == Unpacking()


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    iso = make_core_iso(root=make_root())
    (tmp_path / "bundle.tar.gz").write_bytes(make_bundle(iso=iso, pack=gzip.compress))
    return "bundle.tar.gz"


@pytest.mark.slow
@pytest.mark.parametrize("modules", ["keep", "redo"])
def test_summary_omits_modules_that_stay_packed(
    bundle: str, modules: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["build", bundle, "--iso-version", "1", "--effort", "fast", "--modules", modules]
    assert main(command) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main([*command, "--json"]) == 0
    core = json.loads(capsys.readouterr().out)["core"]
    assert (core["unpacked_modules_bytes"], core["unpacked_modules_saved_bytes"]) == (0, 0)


@pytest.mark.slow
def test_both_summaries_have_both_figures(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["build", bundle, "--iso-version", "1", "--effort", "fast", "--modules", "raw"]
    assert main([*command, "--json"]) == 0
    core = json.loads(capsys.readouterr().out)["core"]
    memory_bytes = core["unpacked_modules_bytes"]
    saved_bytes = core["unpacked_modules_saved_bytes"]
    assert memory_bytes > 100_000
    assert saved_bytes > 20_000
    assert main(command) == 0
    *_outputs, line = capsys.readouterr().out.splitlines()
    assert line == (
        f"kernel modules unpacked: core {saved_bytes / 1e6:.2f} MB smaller, "
        f"{memory_bytes / 1e6:.2f} MB more memory after boot"
    )
    assert len(line) <= 80
    assert main([*command, "--quiet"]) == 0
    assert capsys.readouterr() == ("", SAMPLE_FINDINGS)


@pytest.mark.slow
def test_core_is_larger_with_unpacked_modules_and_lz4(
    bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kernel of unknown compression gets the requested compression."""
    require_lz4()
    iso = make_core_iso(root=make_root(alike=False))
    Path(bundle).write_bytes(make_bundle(iso=iso, pack=gzip.compress))
    command = ["build", bundle, "--iso-version", "1", "--modules", "raw", "--compression", "lz4"]
    assert main(command) == 0
    *_outputs, line = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"kernel modules unpacked: core 0\.\d\d MB larger, 0\.\d\d MB more memory after boot", line
    )


@pytest.mark.nightly
@pytest.mark.oracle
def test_measure_on_core_equals_the_difference_of_two_builds(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.tar.gz"
    bundle.write_bytes(make_bundle(iso=core_iso().read_bytes(), pack=gzip.compress))
    kept, raw = (
        make_image(bundle, iso_version="1", encoding=Encoding(effort=Effort.FAST, modules=modules))
        for modules in (Modules.KEEP, Modules.RAW)
    )
    real = len(kept.core) - len(raw.core)
    assert abs(raw.unpacked_modules_saved_bytes - real) < real // 200
    assert 200_000 < real < 400_000

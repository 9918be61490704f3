"""Test that builds give the same bytes with a damaged, full, shared or cleared cache."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from purekernel.cli import main
from purekernel.encode.encoders import Effort
from tests.builds import SAMPLE_FINDINGS, Encoding, make_image
from tests.ordinary import ordinary_user
from tests.processes import environment, purekernel

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "fixtures/sample/razor-microkernel-bundle-dev.tar.gz"
FINDINGS = SAMPLE_FINDINGS.splitlines(keepends=True)
FILES = 12
DIGEST_BYTES = 32


def words(seed: int, count: int) -> bytes:
    chance = random.Random(seed)
    return b" ".join(str(chance.randrange(500)).encode() for _ in range(count))


@pytest.fixture(scope="module")
def site() -> Iterator[Path]:
    """Provide an overlay with a dozen gzip files, each with its own cache entry.

    Any user may read it; pytest's own folders are readable only by their owner.
    """
    whole = Path(tempfile.mkdtemp(prefix="purekernel-test-"))
    shutil.copyfile(SAMPLE, whole / "bundle.tar.gz")
    folder = whole / "site"
    folder.mkdir()
    (folder / "text").write_bytes(words(0, 20_000))
    for number in range(1, FILES + 1):
        packed = gzip.compress(words(number, 200 * number), compresslevel=1, mtime=0)
        (folder / f"{number}.gz").write_bytes(packed)
    for made in (whole, folder):
        made.chmod(0o755)
    yield folder
    shutil.rmtree(whole)


@pytest.fixture(scope="module")
def expected(site: Path) -> bytes:
    """Return the core, made without a cache."""
    encoding = Encoding(effort=Effort.BALANCED, cache=None)
    bundle = site.parent / "bundle.tar.gz"
    return make_image(bundle, iso_version="1", overlays=site, encoding=encoding).core


def command(site: Path, cache: Path, out: Path) -> list[str]:
    return [
        "build", str(site.parent / "bundle.tar.gz"), "--iso-version", "1",
        "--quiet", "--emit", "core", "--effort", "balanced", "--overlay", str(site),
        "--cache-dir", str(cache), "--output-dir", str(out),
    ]  # fmt: skip


def build(site: Path, cache: Path, out: Path) -> bytes:
    assert main(command(site, cache, out)) == 0
    return (out / "core.gz").read_bytes()


def entries(cache: Path) -> list[Path]:
    return sorted(cache.glob("encoded-v1/??/*"))


def is_whole(path: Path) -> bool:
    kept = path.read_bytes()
    bound = bytes.fromhex(path.name) + kept[DIGEST_BYTES:]
    return hashlib.sha256(bound).digest() == kept[:DIGEST_BYTES]


# Kills builds. Each runs in a forked process, so that purekernel is imported only once. A build
# kills itself before its Nth operation in the cache, or while it writes a cache file longer than N
# bytes; or it is killed after N milliseconds.

KILLED = """
import os, resource, signal, sys, time
from pathlib import Path
sys.dont_write_bytecode = True  # only the cache is written
import purekernel.remaster.build, purekernel.cli.build, zopfli.zlib
from purekernel.cli import main
from tests.cli.test_cache_faults import entries, is_whole
folder, moments, *command = sys.argv[1:]
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.utime")
def die_before(count):
    left = [count]
    def hook(event, arguments):
        if event in EVENTS and str(arguments[0]).startswith(folder):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
def die_writing(size):
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
for moment in moments.split():
    how, _, number = moment.partition(":")
    child = os.fork()
    if not child:
        if how == "before":
            die_before(int(number))
        elif how == "writing":
            die_writing(int(number))
        os._exit(main(command))
    if how == "after":
        time.sleep(int(number) / 1000)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    broken = [path for path in entries(Path(folder)) if not is_whole(path)]
    print(moment, status, len(broken), flush=True)
"""


@pytest.mark.nightly
def test_killed_builds_leave_a_valid_cache(site: Path, expected: bytes, tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out"
    chance = random.Random(6)
    moments = ["before:1", "before:2", "before:5"]
    moments += [f"before:{chance.randrange(6, 60)}" for _ in range(10)]
    moments += [f"writing:{chance.randrange(1, 900)}" for _ in range(6)]
    moments += [f"after:{chance.randrange(300)}" for _ in range(6)]
    chance.shuffle(moments)
    moments.insert(0, "writing:1")
    done = purekernel(
        str(cache), " ".join(moments), *command(site, cache, out), cwd=tmp_path, script=KILLED
    )
    assert set(done.stderr.splitlines(keepends=True)) <= set(FINDINGS)
    ends = [line.split() for line in done.stdout.splitlines()]
    assert [moment for moment, _status, _broken in ends] == moments
    killed = [
        moment.partition(":")[0]
        for moment, status, _broken in ends
        if int(status) in (-signal.SIGKILL, -signal.SIGXFSZ)
    ]
    assert killed.count("before") >= 5
    assert killed.count("writing") >= 2
    assert len(killed) + sum(status == "0" for _moment, status, _broken in ends) == len(moments)
    # A file under its final name is complete at any time.
    assert {broken for _moment, _status, broken in ends} == {"0"}

    left = entries(cache)
    assert left
    assert list(cache.glob("encoded-v1/tmp/*"))  # interrupted writes
    assert build(site, cache, out) == expected
    assert set(left) <= set(entries(cache))
    assert main(["cache", "clear", "--cache-dir", str(cache)]) == 0
    assert [path for path in cache.rglob("*") if not path.is_dir()] == []


# Runs builds in N processes at once, forked from one that has imported the modules.
SIDE_BY_SIDE = """
import os, sys
import purekernel.remaster.build, purekernel.cli.build
from purekernel.cli import main
count, out, *command = sys.argv[1:]
begin, end = os.pipe()
children = []
for number in range(int(count)):
    child = os.fork()
    if not child:
        os.close(end)
        os.read(begin, 1)  # until all have started
        out_dir = os.path.join(out, str(number))
        os._exit(main([*command, "--output-dir", out_dir, "--jobs", str(number + 1)]))
    children.append(child)
os.close(end)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.slow
def test_concurrent_builds_give_the_same_bytes(site: Path, expected: bytes, tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out"
    done = purekernel("4", out, *command(site, cache, out), cwd=tmp_path, script=SIDE_BY_SIDE)
    # Lines of processes that write at the same time come in any order.
    assert done.returncode == 0
    assert sorted(done.stderr.splitlines(keepends=True)) == sorted(4 * FINDINGS)
    for number in range(4):
        assert (out / str(number) / "core.gz").read_bytes() == expected
    assert all(is_whole(path) for path in entries(cache))
    assert not list(cache.glob("encoded-v1/tmp/*"))


# Deletes all or part of a cache repeatedly; prints the number of deleted files.
EVICTOR = """
import itertools, sys
from pathlib import Path
from purekernel.encode.disk_cache import EncodedCache
cache = EncodedCache(Path(sys.argv[1]))
for turn in itertools.count():
    taken = cache.prune(2000) if turn % 3 else cache.clear()
    if taken.files or not turn:
        print(taken.files, flush=True)
"""


@pytest.mark.slow
def test_entries_deleted_during_a_build_are_encoded_again(
    site: Path, expected: bytes, tmp_path: Path
) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    with log.open("wb") as stream:
        evictor = subprocess.Popen(
            [sys.executable, "-c", EVICTOR, str(cache)],
            env=environment(), stdout=stream, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            while not log.read_bytes():
                assert evictor.poll() is None
            for _turn in range(6):
                assert build(site, cache, tmp_path / "out") == expected
        finally:
            evictor.kill()
            complaints = evictor.communicate()[1]
    assert complaints == b""
    assert sum(map(int, log.read_text().split())) >= FILES


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(where: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        kept = bytearray(path.read_bytes())
        kept[where] ^= 1
        path.write_bytes(kept)

    return damage


def replace_by(put: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        put(path)

    return damage


def lay_out_folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_bytes(b"somebody's")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)  # Windows has no os.mkfifo


DAMAGES: dict[str, Callable[[Path], None]] = {
    "half of it": halve,
    "a byte less": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "a byte more": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "nothing in it": lambda path: path.write_bytes(b""),
    "less than a digest": lambda path: path.write_bytes(b"x" * (DIGEST_BYTES - 1)),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a digest changed": flip(0),
    "a byte changed": flip(-1),
    "a link elsewhere": replace_by(lambda path: path.symlink_to(path.parents[3] / "elsewhere")),
    "a link to nowhere": replace_by(lambda path: path.symlink_to(path.parent / "nowhere")),
    "a link to itself": replace_by(lambda path: path.symlink_to(path)),
    "a link to a device": replace_by(lambda path: path.symlink_to("/dev/zero")),
    "a pipe": replace_by(make_pipe),
    "a folder": replace_by(Path.mkdir),
    "a folder with a file": replace_by(lay_out_folder),
}
# A build cannot replace folders that are in place of entries, and does not delete a user's files.
STAYING = ("a folder", "a folder with a file")


@pytest.mark.slow
def test_damaged_entries_are_encoded_again(site: Path, expected: bytes, tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out"
    (tmp_path / "elsewhere").write_bytes(b"not ours")
    build(site, cache, out)
    places = entries(cache)
    assert len(places) >= len(DAMAGES)
    damaged = dict(zip(DAMAGES, places, strict=False))
    for name, path in damaged.items():
        DAMAGES[name](path)
    for _turn in range(2):
        assert build(site, cache, out) == expected
        for name, path in damaged.items():
            if name in STAYING:
                assert path.is_dir()
            else:
                assert path.is_file()
                assert not path.is_symlink()
                assert is_whole(path)
    assert main(["cache", "clear", "--cache-dir", str(cache)]) == 0
    assert sorted(entries(cache)) == sorted(damaged[name] for name in STAYING)
    assert (damaged["a folder with a file"] / "file").read_bytes() == b"somebody's"
    assert (tmp_path / "elsewhere").read_bytes() == b"not ours"


@pytest.mark.slow
def test_random_damage_of_entries_is_detected(site: Path, expected: bytes, tmp_path: Path) -> None:
    cache, chance = tmp_path / "cache", random.Random(3)
    build(site, cache, tmp_path / "out")
    for _turn in range(4):
        for path in entries(cache):
            kept = bytearray(path.read_bytes())
            for _ in range(chance.randrange(3)):
                kept[chance.randrange(len(kept))] ^= 1 << chance.randrange(8)
            path.write_bytes(kept[: chance.choice((len(kept), chance.randrange(len(kept))))])
        assert not all(is_whole(path) for path in entries(cache))
        assert build(site, cache, tmp_path / "out") == expected
        assert all(is_whole(path) for path in entries(cache))


@contextmanager
def forbidden(*paths: Path, mode: int) -> Iterator[None]:
    """Act as an unprivileged user who has no access to ``paths``."""
    for path in paths:
        path.chmod(mode)
    try:
        with ordinary_user():
            yield
    finally:
        for path in paths:
            path.chmod(0o777)


def own(folder: Path) -> None:
    """Change the owner of all files in ``folder`` to the user of :func:`ordinary_user`."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)


@pytest.mark.slow
def test_unreadable_entries_are_encoded_again(
    site: Path, expected: bytes, open_folder: Path, tmp_path: Path
) -> None:
    cache, out = open_folder / "cache", open_folder / "out"
    build(site, cache, tmp_path / "out")
    own(open_folder)
    shut = entries(cache)[::2]
    closed = entries(cache)[1].parent
    shut = [path for path in shut if path.parent != closed]
    with forbidden(closed, *shut, mode=0):
        assert build(site, cache, out) == expected
        assert all(is_whole(path) for path in shut)


@pytest.mark.slow
def test_read_only_cache_is_read(
    site: Path,
    expected: bytes,
    open_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cache, out = open_folder / "cache", open_folder / "out"
    build(site, cache, tmp_path / "out")
    for path in entries(cache)[::2]:
        path.unlink()
    own(open_folder)
    halve(entries(cache)[0])
    left = {path: (path.stat().st_mode, path.read_bytes()) for path in entries(cache)}
    folders = [path for path in (cache, *cache.rglob("*")) if path.is_dir()]
    with forbidden(*folders, mode=0o555):
        assert build(site, cache, out) == expected
        assert main(["cache", "info", "--cache-dir", str(cache)]) == 0
        assert f": {len(left)} files, " in capsys.readouterr().out
        for words in (["clear"], ["prune", "--max-size", "0"]):
            assert main(["cache", *words, "--cache-dir", str(cache)]) == 1
            assert capsys.readouterr().err == (
                f"purekernel: {cache / 'encoded-v1'}: cannot prune the cache: "
                f"{len(left)} files cannot be deleted\n"
                "  check that you have write permission there\n"
            )
    assert left == {path: (path.stat().st_mode, path.read_bytes()) for path in entries(cache)}


def fill(folder: Path, *, left_bytes: int) -> None:
    """Fill a file system until only a given number of free bytes remains."""
    with (folder / "filling").open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    os.truncate(folder / "filling", (folder / "filling").stat().st_size - left_bytes)


@pytest.mark.slow
def test_build_succeeds_when_the_disk_of_the_cache_is_full(
    site: Path, expected: bytes, tiny: Path, tmp_path: Path
) -> None:
    cache, out = tiny / "cache", tmp_path / "out"
    fill(tiny, left_bytes=0)
    assert build(site, cache, out) == expected
    assert entries(cache) == []
    fill(tiny, left_bytes=40_000)
    assert build(site, cache, out) == expected
    some = len(entries(cache))
    assert all(is_whole(path) for path in entries(cache))
    assert not list(cache.glob("encoded-v1/tmp/*"))
    (tiny / "filling").unlink()
    assert build(site, cache, out) == expected
    assert 0 < some < len(entries(cache))


@pytest.mark.slow
def test_build_succeeds_with_a_limit_on_file_sizes(
    site: Path, expected: bytes, tmp_path: Path
) -> None:
    """Files are limited to 500 bytes while the core is made, but not when it is written."""
    cache, out = tmp_path / "cache", tmp_path / "out"
    script = (
        "import resource, signal, sys\n"
        "from purekernel.cli import main, terminal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "before = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "started = terminal.StepTimer.started\n"
        "def limit(self, words):\n"
        "    most = 500 if words in ('recompressing', 'compressing') else before[0]\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))\n"
        "    started(self, words)\n"
        "terminal.StepTimer.started = limit\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = purekernel(*command(site, cache, out), cwd=tmp_path, script=script)
    assert (done.returncode, done.stderr) == (0, SAMPLE_FINDINGS)
    assert (out / "core.gz").read_bytes() == expected
    some = [path.stat().st_size for path in entries(cache)]
    assert some
    assert max(some) <= 500
    assert build(site, cache, out) == expected
    assert len(entries(cache)) > len(some)


@pytest.mark.slow
def test_other_files_in_the_cache_folder_are_kept(site: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    build(site, cache, tmp_path / "out")
    alien = [cache / "file", cache / "encoded-v1" / "ab" / "notes", cache / "encoded-v1" / "x"]
    for path in alien:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"somebody's")
    assert main(["cache", "clear", "--cache-dir", str(cache)]) == 0
    assert sorted(path for path in cache.rglob("*") if path.is_file()) == sorted(alien)

"""Compare with the real ldconfig on libraries with damaged bytes."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest

from purekernel.formats.detect import FileKind, detect
from purekernel.formats.elf import parse_elf, parse_elf_header
from purekernel.formats.elf.layout import PT_DYNAMIC, PT_GNU_PROPERTY, PT_NOTE
from purekernel.formats.ld_cache import CacheFormat, parse_ld_cache
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.rootfs.ldconfig import ARCHITECTURES, Configured, ldconfig
from purekernel.tree import File, Metadata, Tree
from tests import debian
from tests.elves import make_library
from tests.ldconfigs import cache_bytes, command_for, links, load, run_judge
from tests.oracles import require, run

META = Metadata(mode=0o644)

# Small libraries, so that ldconfig reads most of the damaged bytes.
SIZE_BYTES = 40_000
LIBRARIES = 40

ROUNDS = 3
IN_A_ROUND = 100

# The maximum number of bytes of a dynamic section to damage.
DYNAMIC_BYTES = 400

# Parts of our warnings for files for which the real ldconfig reads past the end of the file, or
# creates a link outside the folder.
ELSEWHERE = (
    "the end of the file",
    "one without an end mark",
    "a longer one",
    "must be a file name",
)


class Original:
    """Hold a library, and the parts of it that ldconfig reads."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        file = Input(content, name="original")
        header = parse_elf_header(file)
        elf = parse_elf(file, header)
        table_bytes = header.phnum * header.layout.program_header.size
        self.places = [(0, 64), (header.phoff, table_bytes)]
        self.weights = [1, 4]
        for segment in elf.segments:
            if segment.type == PT_DYNAMIC:
                self.places.append((segment.offset, min(segment.filesz, DYNAMIC_BYTES)))
                self.weights.append(4)
            elif segment.type in (PT_NOTE, PT_GNU_PROPERTY):
                self.places.append((segment.offset, segment.filesz))
                self.weights.append(3)

    def damage(self, chance: random.Random) -> bytes:
        content = bytearray(self.content)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            start, size = chance.choices(self.places, self.weights)[0]
            self._change(content, start + chance.randrange(size), chance)
        if chance.random() < 0.15:
            del content[chance.choice((chance.randrange(len(content)), chance.randrange(300))) :]
        return bytes(content)

    def _change(self, content: bytearray, place: int, chance: random.Random) -> None:
        size = len(content)
        kind = chance.randrange(4)
        if kind == 0:
            content[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content[place] = chance.choice((0, 1, 2, 3, 4, 5, 8, 14, 127, 128, 255))
        elif kind == 2:
            small = chance.randrange(1, 5000)
            known = (0, 1, 5, 14, size, size - 1, small, 2**64 - small, 2**64 - 1, 2**32 + small)
            struct.pack_into("<Q", content, place & ~7, chance.choice(known))
        else:
            known = (0, 1, 2, 4, 5, 7, 8, 14, 2**32 - 1, chance.randrange(size), 0xC0008002)
            struct.pack_into("<I", content, place & ~3, chance.choice(known))


def tree_of(files: dict[int, bytes]) -> Tree:
    """Put each library in its own folder, every third one under ``glibc-hwcaps``."""
    tree = Tree()
    conf = b"".join(b"/opt/%d\n" % number for number in files)
    tree.add_parents(b"etc/ld.so.conf")
    tree.add(b"etc/ld.so.conf", File(metadata=META, content=conf))
    for number, content in files.items():
        folder = b"opt/%d/" % number + (b"" if number % 3 else b"glibc-hwcaps/x86-64-v3/")
        tree.add_parents(folder + b"libx.so.1.0")
        tree.add(folder + b"libx.so.1.0", File(metadata=META, content=content))
    return tree


def compare(command: list[str], files: dict[int, bytes], place: Path) -> int:
    """Compare with the real ldconfig; return how many files could be compared."""
    tree = tree_of(files)
    root = place / f"{min(files)}-{len(files)}"
    root.mkdir()
    run("tar", "-C", root, "-xf", "-", stdin=build_tar(tree))
    probe = subprocess.run([*command, "-r", root, "-N", "-X"], capture_output=True, check=False)
    done: Configured | None = None
    if probe.returncode == 0:
        cache = run_judge(command, root, CacheFormat.NEW)
        generator = parse_ld_cache(Input(cache, name="the judge's")).generator
        done = ldconfig(
            tree,
            mtime=0,
            architecture=ARCHITECTURES["x86_64"],
            format=CacheFormat.NEW,
            generator=generator,
        )
        if cache_bytes(done.tree) == cache and links(done.tree) == links(load(root)):
            return len(files)
    if len(files) == 1:
        # The real ldconfig crashed, or read beyond the file.
        told = "" if done is None else "\n".join(done.warnings)
        assert done is None or any(words in told for words in ELSEWHERE), (told, files)
        return 0
    numbers = sorted(files)
    half = len(numbers) // 2
    return sum(
        compare(command, {number: files[number] for number in part}, place)
        for part in (numbers[:half], numbers[half:])
    )


@pytest.mark.oracle
def test_damaged_libraries_equal_real_ldconfig(tmp_path: Path) -> None:
    folder = debian.libraries("amd64") / "usr/lib/x86_64-linux-gnu"
    originals = [
        Original(content)
        for path in sorted(folder.glob("*.so*"))
        if not path.is_symlink()
        and path.stat().st_size < SIZE_BYTES
        and detect(content := path.read_bytes()) is FileKind.ELF
    ][:LIBRARIES]
    assert len(originals) == LIBRARIES
    command = command_for(Path(require("ldconfig")), "amd64")
    held = 0
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        files = {n: chance.choice(originals).damage(chance) for n in range(IN_A_ROUND)}
        place = tmp_path / str(seed)
        place.mkdir()
        held += compare(command, files, place)
    assert held > ROUNDS * IN_A_ROUND * 0.95


@pytest.mark.slow
@pytest.mark.parametrize("release", [(2, 13), (2, 31), (2, 36), (2, 41)])
@pytest.mark.parametrize("bits", [32, 64])
def test_damaged_file_does_not_affect_others(bits: int, release: tuple[int, int]) -> None:
    original = Original(
        make_library(
            b"libx.so.1",
            b"libc.so.6",
            machine=3 if bits == 32 else 62,
            bits=bits,
            interpreter=b"/lib/ld.so",
            isa_needed=3,
            os_version=(2, 6, 32),
            apart_bytes=0x1000 if release >= (2, 31) else 0,
        )
    )
    chance = random.Random(bits)
    found = 0
    for name in ("i386", "x86_64", "aarch64"):
        files = {number: original.damage(chance) for number in range(60)}
        entries: set[bytes] = set()
        done = ldconfig(tree_of(files), mtime=0, architecture=ARCHITECTURES[name], release=release)
        for number, content in files.items():
            alone = ldconfig(
                tree_of({number: content}),
                mtime=0,
                architecture=ARCHITECTURES[name],
                release=release,
            )
            entries |= {entry.path for entry in alone.entries}
        assert {entry.path for entry in done.entries} == entries
        assert all(warning.isprintable() for warning in done.warnings)
        found += len(entries)
    assert found > 20

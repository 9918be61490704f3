"""Compare with the real depmods on random trees and modules.

Run ``python -m tests.rootfs.test_depmod_fuzz FIRST LAST`` to test other seeds.
"""

from __future__ import annotations

import lzma
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from purekernel.errors import ModuleLoopError
from purekernel.formats.compression import unpack
from purekernel.input import Input
from purekernel.rootfs.depmod import (
    Busybox,
    KernelSymbols,
    depmod,
    parse_symvers,
    parse_system_map,
)
from tests import debian
from tests.depmods import (
    RELEASE,
    installed_kmod,
    lay_down,
    listing_of,
    make_tree,
    part_of,
    run_busybox,
    run_kmod,
    symbol_warnings,
    symbol_warnings_of_kmod,
)
from tests.kernel_modules import KINDS, Wanted, make_module
from tests.oracles import skip_or_fail

FOLDERS = ("kernel", "kernel/deep", "updates", "extra/deep", "weird", "build", "kernel/source", "")
NAMES = ("a", "b-c", "b_c", "d_e", "f", "g-h-i", "j.k", "usbcore", "snd-pcm", "x1", "x2")
SUFFIXES = (".ko", ".ko", ".ko", ".ko", ".ko.xz", ".kox", ".ko.bak")
SYMBOLS = (*(f"s{number}" for number in range(30)), ".dot", "__crc_q", "module_layout")
CRCS = (None, 0, 1, 2, 0xDEADBEEF)
SAID = (
    "alias=pci:v*d1",
    "alias=pci:v*d2",
    "alias=a-b[0-9]-c",
    "alias=bad]x",
    "alias=bad[x",
    "alias=devname:foo/1",
    "alias=devname:foo/2",
    "alias=char-major-10-7",
    "alias=char-major-10-300",
    "alias=block-major-7-*",
    "softdep=pre: a-b",
    "weakdep=foo",
    "alias",
    "alias=",
    "=x",
    "alias=x=y",
    "alias=sym bol",
    "license=GPL",
    "depends=a",
    "depends=b-c,x1,,usbcore",
    "depends=",
    "__ksymtab_one",
    "__ksymtab_gpl",
    "__ksymtab_strings",
)
RULES = (
    "search updates built-in",
    "search extra weird",
    "search external built-in updates",
    "search kernel/deep",
    "override a * kernel",
    "override b_c 6.1.* updates",
    "override b-c * updates",
    "override x1 ^5 extra/deep",
    "external * {outside}",
    "external 6\\\\.1 {outside}",
    "exclude weird",
    "exclude deep x1.ko",
    "# c",
    "bad line",
    "override a",
    "search \\",
    "\tsearch up\\dates",
    "make_map_files no",
    "search built-in\\",
)
SECTIONS = (".symtab", ".strtab", ".modinfo", "__ksymtab_strings", "__versions")

# The outcome for input on which a real depmod crashes or accesses memory out of bounds.
UNLIKE = "unlike"

LAST_TO_BE_LENIENT = 33

# For a key that is not ASCII, kmod writes out of bounds or exits.
BAD_KEY = "must be ASCII"

# For an empty name, kmod skips a prefix beyond the end of the string and reads out of bounds.
NAMELESS = b"__crc_\0"


def random_module(chance: random.Random) -> bytes:
    elf_class, byte_order = chance.choice(KINDS)
    return make_module(
        [chance.choice(SAID) for _ in range(chance.randrange(5))],
        exports=[(chance.choice(SYMBOLS), chance.choice(CRCS)) for _ in range(chance.randrange(3))],
        wants=[
            Wanted(name=chance.choice(SYMBOLS), crc=chance.choice(CRCS), weak=chance.random() < 0.2)
            for _ in range(chance.randrange(3))
        ],
        versions=[("module_layout", 5)] if chance.random() < 0.3 else [],
        elf_class=elf_class,
        byte_order=byte_order,
        crc_section=chance.random() < 0.7,
        without=[name for name in SECTIONS if chance.random() < 0.05],
    )


def mutated(chance: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(chance.randrange(1, 6)):
        kind = chance.random()
        # Damage the header, the section table, or any byte.
        if kind < 0.1:
            del data[chance.randrange(1, len(data) + 1) :]
        elif kind < 0.3:
            data[chance.randrange(min(64, len(data)))] = chance.randrange(256)
        else:
            start = max(len(data) - 800, 0) if kind < 0.5 else 0
            data[chance.randrange(start, len(data))] = chance.choice(
                (0, 1, 255, chance.randrange(256))
            )
    return bytes(data)


def random_files(
    chance: random.Random, outside: Path, module: Callable[[random.Random], bytes]
) -> dict[str, bytes | str]:
    """Return modules, lists and config files; ``outside`` is an external folder of modules."""
    files: dict[str, bytes | str] = {}
    for _ in range(chance.randrange(1, 9)):
        folder = chance.choice((*FOLDERS, f"{outside}"))
        name = chance.choice(NAMES) + chance.choice(SUFFIXES)
        content = module(chance)
        if name.endswith(".xz"):
            content = lzma.compress(content, preset=0)
        files[f"{folder}/{name}" if folder else name] = content
    inside = [name for name in files if not name.startswith("/")]
    if chance.random() < 0.2:
        files["linked"] = chance.choice(("updates", "../../../x", "kernel/deep", "gone.ko"))
    if chance.random() < 0.8:
        ordered = [
            name.removesuffix(".xz") for name in [*inside, *inside[:1]] if chance.random() < 0.7
        ]
        ordered += ["", "nothing"][: chance.randrange(3)]
        chance.shuffle(ordered)
        text = "".join(f"{name}\n" for name in ordered)
        files["modules.order"] = (text + "cut" * (chance.random() < 0.1)).encode()
    if chance.random() < 0.7:
        files["modules.builtin"] = chance.choice(
            (
                b"kernel/a.ko\nkernel/b-c.ko\n",
                b"kernel/a\n\nx.ko",
                b"/abs/x.ko\n9x.ko\nkernel/q.ko\n",
                b"kernel/a\0b.ko\nx\r.ko\n",
            )
        )
    if chance.random() < 0.7:
        files["modules.builtin.modinfo"] = chance.choice(
            (
                b"a.alias=x-y\0b.file=foo\0b.alias=p[0-9]\0",
                b"nodot\0a.noeq\0b.alias=eaten\0c.alias=ok\0",
                b"a.alias=cut",
                b"a.alias=x]\0b.alias=\0c.alias=m\0",
            )
        )
    for name in ("a.conf", "b.conf", "c.txt"):
        if chance.random() < 0.3:
            rules = [chance.choice(RULES) for _ in range(chance.randrange(5))]
            text = "\n".join(rules) + chance.choice(("\n", ""))
            files[f"/etc/depmod.d/{name}"] = text.replace("{outside}", str(outside)).encode()
    return files


def random_kernel(chance: random.Random) -> tuple[str, bytes, KernelSymbols]:
    """Return kmod's option for a file of kernel symbols, the file, and our parsed symbols."""
    kept = [symbol for symbol in SYMBOLS if chance.random() < 0.5]
    if chance.random() < 0.5:
        text = "".join(
            f"0x{chance.choice((1, 2, 0xDEADBEEF)):08x}\t{symbol}\tvmlinux\tEXPORT_SYMBOL\n"
            for symbol in kept
        )
        text += "zz foo vmlinux E\n0x1 bar vmlinux\n0x2\ts1\tdrivers/x\tE\n"
        return "-E", text.encode(), parse_symvers(text.encode())
    text = "".join(f"c0000000 r __ksymtab_{symbol}\n" for symbol in kept)
    text += "c1 T foo\nbroken\n"
    return "-F", text.encode(), parse_system_map(text.encode())


def hold_against_kmod(seed: int, folder: Path, module: Callable[[random.Random], bytes]) -> str:
    """Compare with kmod on one tree; return the outcome as a word."""
    chance = random.Random(seed)
    root, outside, symbols = folder / "root", folder / "outside", folder / "symbols"
    files = random_files(chance, outside, module)
    tree = make_tree(files)
    lay_down(tree, root)
    lay_down(part_of(tree, outside), outside)
    options: Sequence[str | Path] = ()
    kernel = None
    if chance.random() < 0.4:
        option, text, kernel = random_kernel(chance)
        symbols.write_bytes(text)
        options = ("-e", option, symbols)
    listing = listing_of(root, outside)
    judged = run_kmod(root, options=options)
    if judged.status < 0 or any(
        NAMELESS in bytes(unpack(Input(content, name="x")))
        for content in files.values()
        if isinstance(content, bytes)
    ):
        return UNLIKE
    try:
        done = depmod(
            tree,
            RELEASE.encode(),
            mtime=0,
            dialect=installed_kmod(),
            kernel=kernel,
            listing=listing,
        )
    except ModuleLoopError:
        assert judged.status, f"{seed}: no loop for kmod"
        assert "ycle" in judged.stderr, f"{seed}: {judged.stderr}"
        return "loop"
    if any(BAD_KEY in warning for warning in done.warnings):
        return UNLIKE
    assert not judged.status, f"{seed}: {judged.stderr}"
    assert done.files.keys() == judged.files.keys(), seed
    for name, said in judged.files.items():
        assert done.files[name] == said, f"{seed}: {name.decode()}"
    if kernel is not None:
        assert symbol_warnings(done) == symbol_warnings_of_kmod(judged.stderr), seed
    return "same"


def hold_against_busybox(seed: int, folder: Path, module: Callable[[random.Random], bytes]) -> str:
    """Compare with busybox on one tree; return the outcome as a word."""
    chance = random.Random(seed)
    root = folder / "root"
    tree = make_tree(random_files(chance, folder / "outside", module))
    lay_down(tree, root)
    listing = listing_of(root)
    judged = run_busybox(root)
    if judged.status:
        return UNLIKE
    done = depmod(tree, RELEASE.encode(), mtime=0, dialect=Busybox(), listing=listing)
    assert done.files == judged.files, seed
    return "same"


def repeat(
    hold: Callable[[int, Path, Callable[[random.Random], bytes]], str],
    module: Callable[[random.Random], bytes],
    seeds: range,
) -> Counter[str]:
    found: Counter[str] = Counter()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            found[hold(seed, Path(folder), module)] += 1
    return found


def broken_module(chance: random.Random) -> bytes:
    content = random_module(chance)
    return mutated(chance, content) if chance.random() < 0.7 else content


def real_modules() -> list[bytes]:
    """Return some small modules of Debian."""
    root, _release = debian.kernel("amd64")
    found = sorted(path for path in root.rglob("*.ko") if path.stat().st_size < 12_000)
    return [path.read_bytes() for path in random.Random(4).sample(found, 60)]


def broken_real_module(chance: random.Random, modules: Sequence[bytes]) -> bytes:
    return mutated(chance, chance.choice(modules))


@pytest.mark.oracle
def test_valid_modules_give_the_same_as_kmod() -> None:
    found = repeat(hold_against_kmod, random_module, range(90))
    assert found["same"] > 60
    assert found["loop"] > 2


def same_broken_modules() -> None:
    """Skip the test if this kmod refuses more broken modules than kmod 30."""
    if installed_kmod().version > LAST_TO_BE_LENIENT:
        skip_or_fail(f"kmod up to {LAST_TO_BE_LENIENT} takes broken modules as ours does")


@pytest.mark.oracle
def test_broken_modules_give_the_same_as_kmod() -> None:
    same_broken_modules()
    found = repeat(hold_against_kmod, broken_module, range(90))
    assert found["same"] > 50


@pytest.mark.oracle
def test_broken_real_modules_give_the_same_as_kmod() -> None:
    same_broken_modules()
    modules = real_modules()
    found = repeat(hold_against_kmod, lambda chance: broken_real_module(chance, modules), range(40))
    assert found["same"] > 20


@pytest.mark.oracle
def test_modules_give_the_same_as_busybox() -> None:
    assert repeat(hold_against_busybox, random_module, range(45))["same"] > 30
    assert repeat(hold_against_busybox, broken_module, range(45))["same"] > 30


if __name__ == "__main__":
    seeds = range(int(sys.argv[1]), int(sys.argv[2]))
    real = real_modules()
    for hold in (hold_against_kmod, hold_against_busybox):
        for module in (
            random_module,
            broken_module,
            lambda chance: broken_real_module(chance, real),
        ):
            sys.stdout.write(f"{hold.__name__}: {repeat(hold, module, seeds)}\n")

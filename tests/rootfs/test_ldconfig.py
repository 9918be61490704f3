from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import LimitError
from purekernel.formats.core_iso import parse_base
from purekernel.formats.elf.layout import EM_386, EM_AARCH64, EM_ARM, EM_RISCV, EM_S390
from purekernel.formats.ld_cache import CacheFormat, build_ld_cache, parse_ld_cache
from purekernel.formats.tar import build_tar, parse_tar
from purekernel.input import Input
from purekernel.rootfs.ldconfig import ARCHITECTURES, Architecture, Configured, ldconfig
from purekernel.rootfs.ldconfig.detect import detect_architecture
from purekernel.rootfs.ldconfig.kinds import Family
from purekernel.tree import File, Metadata, Symlink, Tree
from tests import shared
from tests.elves import make_library
from tests.ldconfigs import cache_bytes, hard_tree, links, make_tree
from tests.oracles import require, run, skip_or_fail

NOW = 1_500_000_000
META = Metadata(mode=0o644)

FORMATS = list(CacheFormat)
X86_64 = ARCHITECTURES["x86_64"]


def names(done: Configured) -> list[tuple[bytes, bytes, int]]:
    return [(entry.name, entry.path, entry.flags) for entry in done.entries]


# The real ldconfig


def judge(root: Path, *options: str) -> tuple[Tree, str]:
    """Run the real ldconfig on a folder; return the resulting tree and its output."""
    program = require("ldconfig")
    if os.geteuid() != 0:
        skip_or_fail("ldconfig -r needs root")
    done = subprocess.run(
        [program, "-i", "-r", str(root), *options],
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(root / "var/cache/ldconfig", ignore_errors=True)
    return packed(root), done.stderr.decode()


def judge_release() -> tuple[int, int]:
    """Return the glibc of the real ldconfig."""
    said = run(require("ldconfig"), "--version").split(b"\n")[0]
    major, minor = said.split()[-1].split(b".")[:2]
    return int(major), int(minor)


def packed(root: Path) -> Tree:
    return parse_tar(Input(run("tar", "-C", root, "-cf", "-", "."), name="root"))


def unpack(tree: Tree, root: Path) -> None:
    root.mkdir()
    run(
        "tar", "-C", root, "-xf", "-", "--exclude=./dev/*", "--exclude=dev/*", stdin=build_tar(tree)
    )


def assert_same(root: Path, form: CacheFormat, architecture: Architecture | None) -> Configured:
    """Compare with the real cache, links and names; return our result."""
    before = packed(root)
    after, said = judge(root, "-c", form.value)
    cache = parse_ld_cache(Input(cache_bytes(after), name="the judge's"))
    # The old format has no generator.
    done = ldconfig(
        before,
        mtime=NOW,
        architecture=architecture,
        release=judge_release(),
        format=form,
        generator=cache.generator,
    )
    assert links(done.tree) == links(after)
    assert {path for path, _ in done.tree.walk()} == {path for path, _ in after.walk()}
    # Both must warn about the same files, except that Debian's ldconfig ignores other machines and
    # reads past the end of truncated files.
    more = complained_of("\n".join(done.warnings)) - complained_of(said)
    assert more <= {"/opt/a/libforeign.so", "/opt/a/libcut.so.1"}
    assert complained_of(said) <= complained_of("\n".join(done.warnings))
    assert cache_bytes(done.tree) == cache_bytes(after)
    return done


def complained_of(text: str) -> set[str]:
    """Return the files in /opt that a text names."""
    return {found.rstrip(".") for found in re.findall(r"/opt/\w/[\w.#=-]+", text)}


@pytest.mark.oracle
@pytest.mark.parametrize("form", FORMATS)
def test_core_equals_real_ldconfig(tmp_path: Path, form: CacheFormat) -> None:
    root = parse_base(Input(shared.core_iso().read_bytes(), name="Core-current.iso")).root
    unpack(root, tmp_path / "root")
    done = assert_same(tmp_path / "root", form, None)
    assert len(done.entries) > 30
    assert not done.warnings


@pytest.mark.oracle
def test_shipped_cache_of_core_has_the_same_order() -> None:
    # The shipped cache also lists libraries that no longer exist.
    root = parse_base(Input(shared.core_iso().read_bytes(), name="Core-current.iso")).root
    shipped = parse_ld_cache(Input(cache_bytes(root), name="shipped"))
    done = ldconfig(root, mtime=NOW)
    ours = parse_ld_cache(Input(cache_bytes(done.tree), name="ours"))
    assert done.release == (2, 13)
    # The shipped cache has no generator and no byte order.
    assert ours.generator == b""
    assert ours.format is CacheFormat.COMPAT
    # The shipped cache has the old format, without OS versions.
    assert {entry.os_version for entry in ours.entries} == {0, 0x020616}
    old = [evolve(entry, os_version=0) for entry in ours.entries]
    assert old == [entry for entry in shipped.entries if entry in old]
    assert cache_bytes(root) == build_ld_cache(
        shipped.entries, format=CacheFormat.OLD, generator=b"", extended=False, marked=False
    )


@pytest.mark.oracle
@pytest.mark.parametrize("form", FORMATS)
def test_host_libraries_equal_real_ldconfig(tmp_path: Path, form: CacheFormat) -> None:
    # Take files directly in the folders, as hard links, or as copies if on another disk.
    host = Path("/usr/lib/x86_64-linux-gnu")
    if not host.is_dir():
        skip_or_fail("this is no Debian for x86-64")
    root = tmp_path / "root"
    folder = root / "usr/lib/x86_64-linux-gnu"
    folder.mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "lib").symlink_to("usr/lib")
    # Take small files only, to save time.
    found = [
        path
        for path in sorted(host.iterdir())
        if ".so" in path.name and (path.is_symlink() or path.stat().st_size < 1 << 20)
    ][:300]
    (root / "etc/ld.so.conf").write_bytes(b"/usr/local/lib\n/usr/lib/x86_64-linux-gnu\n")
    run("cp", "-a", *found, folder)
    done = assert_same(root, form, X86_64)
    assert len(done.entries) > 50


@pytest.mark.oracle
@pytest.mark.parametrize("form", FORMATS)
def test_all_rules_equal_real_ldconfig(tmp_path: Path, form: CacheFormat) -> None:
    unpack(hard_tree(), tmp_path / "root")
    done = assert_same(tmp_path / "root", form, X86_64)
    assert len(done.entries) > 30


@pytest.mark.oracle
def test_hardware_folders_equal_real_ldconfig(tmp_path: Path) -> None:
    # In formats with an old part, glibc 2.36 writes uninitialized memory for these folders.
    folders = ("tls", "i686", "i686/sse2", "tls/i686", "haswell/x86_64", "sse2", "nosegneg")
    tree = make_tree(
        {f"lib/{folder}/libo.so.1": make_library(b"libo.so.1") for folder in folders}
        | {"lib/libo.so.1": make_library(b"libo.so.1"), "etc/ld.so.conf": b"/lib/avx512_1\n"}
        | {"lib/avx512_1/libo.so.1.1": make_library(b"libo.so.1"), "lib/xeon_phi": "i686"}
    )
    unpack(tree, tmp_path / "root")
    done = assert_same(tmp_path / "root", CacheFormat.NEW, X86_64)
    assert len({entry.hwcap for entry in done.entries}) == 8


# Without the real ldconfig


def test_input_tree_is_unchanged_and_links_have_mtime() -> None:
    tree = make_tree({"usr/lib/libz.so.1.2": make_library(b"libz.so.1")})
    before = tree.copy()
    done = ldconfig(tree, mtime=NOW, architecture=X86_64)
    assert tree == before
    made = Symlink(metadata=Metadata(mode=0o777, mtime=NOW), target=b"libz.so.1.2")
    assert done.tree[b"usr/lib/libz.so.1"] == made
    assert done.tree[b"etc/ld.so.cache"].metadata == Metadata(mode=0o644, mtime=NOW)
    assert names(done) == [(b"libz.so.1", b"/usr/lib/libz.so.1", 0x303)]
    assert ldconfig(done.tree, mtime=NOW + 1, architecture=X86_64, cache=None).tree == done.tree


def test_links_are_kept_on_request() -> None:
    tree = make_tree(
        {"lib/libz.so.1.2": make_library(b"libz.so.1"), "lib/libstale.so.1": "libgone.so.1.1"}
    )
    done = ldconfig(tree, mtime=NOW, architecture=X86_64, links=False)
    assert links(done.tree) == links(tree)
    assert names(done) == [(b"libz.so.1", b"/lib/libz.so.1", 0x303)]


@pytest.mark.parametrize(
    ("banner", "form", "generator"),
    [
        (
            b"GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\n",
            CacheFormat.NEW,
            b"ldconfig (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36",
        ),
        (
            b"GNU C Library stable release version 2.13, by Roland McGrath et al.\n",
            CacheFormat.COMPAT,
            b"",
        ),
        (b"something else", CacheFormat.COMPAT, b"ldconfig of purekernel"),
    ],
)
def test_format_and_generator_follow_the_trees_glibc(
    banner: bytes, form: CacheFormat, generator: bytes
) -> None:
    libc = make_library(b"libc.so.6") + banner
    done = ldconfig(make_tree({"lib/libc-2.so": libc}), mtime=NOW, architecture=X86_64)
    assert not done.warnings
    tree = make_tree({"lib/libc.so.6": libc})
    cache = parse_ld_cache(
        Input(cache_bytes(ldconfig(tree, mtime=NOW, architecture=X86_64).tree), name="ours")
    )
    assert (cache.format, cache.generator) == (form, generator)


@pytest.mark.parametrize(
    ("name", "library", "flags"),
    [
        ("i386", make_library(machine=EM_386, bits=32), 1),
        ("i386", make_library(b"a", b"libc.so.5", machine=EM_386, bits=32), 2),
        ("armhf", make_library(machine=EM_ARM, bits=32, flags=0x05000400), 0x903),
        ("arm", make_library(machine=EM_ARM, bits=32, flags=0x05000200), 0xB03),
        ("arm", make_library(machine=EM_ARM, bits=32, flags=0x05000000), 0x003),
        ("aarch64", make_library(machine=EM_AARCH64), 0xA03),
        ("riscv64", make_library(b"a", b"libc.so.6", machine=EM_RISCV, flags=5), 0x1003),
        ("riscv64", make_library(b"a", machine=EM_RISCV, flags=4), 0x1001),
        ("s390x", make_library(machine=EM_S390, byte_order="big"), 0x403),
        ("ppc64le", make_library(machine=21, flags=2), 0x503),
    ],
)
def test_flags_of_other_architectures(name: str, library: bytes, flags: int) -> None:
    folder = ARCHITECTURES[name].folders[0].decode().lstrip("/")
    tree = make_tree({f"{folder}/liba.so.1": library})
    assert detect_architecture(tree).name == name or name == "aarch64" or flags == 3
    done = ldconfig(tree, mtime=NOW, architecture=ARCHITECTURES[name])
    assert [entry.flags for entry in done.entries] == [flags]
    cache = parse_ld_cache(Input(cache_bytes(done.tree), name="ours"))
    assert cache.byte_order == ("big" if name == "s390x" else "little")


def test_soname_with_slash_gets_no_link() -> None:
    tree = make_tree({"lib/libevil.so": make_library(b"../etc/passwd")})
    done = ldconfig(tree, mtime=NOW, architecture=X86_64)
    assert not links(done.tree)
    assert done.warnings == (
        "'/lib': the soname of 'libevil.so' must be a file name, got '../etc/passwd'",
    )


def test_cyclic_include_is_skipped() -> None:
    tree = make_tree(
        {"etc/ld.so.conf": b"include more.conf\n/lib\n", "etc/more.conf": b"include ld.so.*\n"}
    )
    done = ldconfig(tree, mtime=NOW)
    assert done.warnings == ("'/etc/ld.so.conf': skipped: includes itself",)


def test_too_many_includes_are_refused() -> None:
    files: dict[str, bytes | str] = {
        f"etc/{number}.conf": b"include %d.conf %d.conf\n" % (number + 1, number + 1)
        for number in range(20)
    }
    tree = make_tree({**files, "etc/ld.so.conf": b"include 0.conf\n", "etc/20.conf": b""})
    with pytest.raises(LimitError, match="at most 1000 files included"):
        ldconfig(tree, mtime=NOW)


def test_chain_of_a_thousand_includes_is_read_to_its_end() -> None:
    files: dict[str, bytes | str] = {
        f"etc/{number}.conf": b"include %d.conf\n" % (number + 1) for number in range(998)
    }
    tree = make_tree(
        {
            **files,
            "etc/ld.so.conf": b"include 0.conf\n/first\n",
            "etc/998.conf": b"/opt/last\n",
            "opt/last/liba.so.1": make_library(b"liba.so.1"),
            "first/libb.so.1": make_library(b"libb.so.1"),
        }
    )
    done = ldconfig(tree, mtime=NOW, architecture=X86_64)
    assert [entry.path for entry in done.entries] == [b"/opt/last/liba.so.1", b"/first/libb.so.1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"include " + b"/*" * 20, id="glob through links to the root"),
        pytest.param(b"include " + b"*a" * 25_000, id="long pattern"),
        pytest.param(b"include [a]*\n" * 10_000, id="many patterns"),
        pytest.param(b"/a/b\n" * 30_000, id="many folders"),
        pytest.param(b"\n" * 11_000_000, id="many lines"),
    ],
)
def test_ld_so_conf_that_takes_too_many_steps_is_refused(line: bytes) -> None:
    tree = make_tree(
        {"etc/ld.so.conf": b"/lib\ninclude big.conf\n", "etc/big.conf": line, "d/e": b""}
    )
    tree.add(b"l", Symlink(metadata=META, target=b"."))
    tree.add(b"m", Symlink(metadata=META, target=b"/"))
    expected = "at most 10000000 steps to read the loader's configuration, got more$"
    with pytest.raises(LimitError, match=expected) as caught:
        ldconfig(tree, mtime=NOW)
    assert str(caught.value).startswith(("'/etc/big.conf', line ", "'/etc/ld.so.conf', line 2"))
    assert caught.value.hint.startswith("remove lines: each folder takes 500 steps, ")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6),
    end=st.integers(0, 400) | st.none(),
    name=st.sampled_from(sorted(ARCHITECTURES)),
)
def test_damaged_files_do_not_affect_others(
    changes: list[tuple[int, int]], end: int | None, name: str
) -> None:
    tree = hard_tree()
    for path, node in hard_tree().walk():
        if isinstance(node, File) and node.content:
            content = bytearray(node.content)
            for place, byte in changes:
                content[place % len(content)] = byte
            tree.add(path, File(metadata=node.metadata, content=bytes(content[:end])))
    tree.add(
        b"usr/lib/libsound.so.1.1", File(metadata=META, content=make_library(b"libsound.so.1"))
    )
    done = ldconfig(tree, mtime=NOW, architecture=ARCHITECTURES[name])
    found = {
        entry.name for entry in parse_ld_cache(Input(cache_bytes(done.tree), name="ours")).entries
    }
    if (
        b"/usr/lib" in ARCHITECTURES[name].folders
        and ARCHITECTURES[name].family is not Family.RISCV
    ):
        assert b"libsound.so.1" in found
    assert all(warning.isprintable() for warning in done.warnings)

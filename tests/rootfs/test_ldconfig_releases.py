"""Test the rules of different glibc releases."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from purekernel.formats.elf.layout import EM_386, EM_X86_64
from purekernel.formats.ld_cache import CacheFormat, parse_ld_cache
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.rootfs.ldconfig import ARCHITECTURES, Configured, ldconfig
from purekernel.tree import Tree
from tests import debian
from tests.elves import make_library
from tests.ldconfigs import (
    cache_bytes,
    command_for,
    lay_down,
    links,
    load,
    make_tree,
    release_tree,
    run_judge,
    with_libc,
)
from tests.oracles import run

NOW = 1_500_000_000

# Debian's names of architectures, and ours.
PROCESSORS = {"amd64": "x86_64", "i386": "i386", "arm64": "aarch64"}
MACHINES = {"amd64": (EM_X86_64, 64), "i386": (EM_386, 32)}
SUITES = {"bullseye": (2, 31), "trixie": (2, 41)}


def ours(
    tree: Tree, architecture: str, release: tuple[int, int], form: CacheFormat, cache: bytes = b""
) -> Configured:
    return ldconfig(
        tree,
        mtime=NOW,
        architecture=ARCHITECTURES[PROCESSORS[architecture]],
        release=release,
        format=form,
        generator=parse_ld_cache(Input(cache, name="the judge's")).generator if cache else b"",
    )


def entries(done: Configured) -> dict[bytes, set[tuple[bytes, int, int, int]]]:
    found: dict[bytes, set[tuple[bytes, int, int, int]]] = {}
    for entry in done.entries:
        found.setdefault(entry.name, set()).add(
            (entry.path, entry.flags, entry.hwcap, entry.os_version)
        )
    return found


def formats_of(architecture: str, release: tuple[int, int]) -> list[CacheFormat]:
    """Return the formats that a release writes without uninitialized memory."""
    if (2, 33) <= release < (2, 37):
        # With folders for special hardware, the old part contains uninitialized memory.
        return [CacheFormat.NEW]
    if release < (2, 33) and architecture == "amd64":
        # In the old format, all string offsets are wrong if the number of entries is odd.
        return [CacheFormat.COMPAT, CacheFormat.NEW]
    return list(CacheFormat)


# Comparison with real ldconfigs


@pytest.mark.oracle
@pytest.mark.parametrize("architecture", MACHINES)
@pytest.mark.parametrize("suite", SUITES)
def test_differences_between_releases_equal_real_ldconfig(
    tmp_path: Path, suite: str, architecture: str
) -> None:
    command = command_for(debian.ldconfig(suite, architecture), architecture)
    machine, bits = MACHINES[architecture]
    tree = with_libc(
        release_tree(),
        b"GNU C Library (Debian GLIBC %d.%d-1) stable release version 1.0" % SUITES[suite],
        machine=machine,
        bits=bits,
    )
    root = tmp_path / "root"
    root.mkdir()
    run("tar", "-C", root, "-xf", "-", stdin=build_tar(tree))
    for form in formats_of(architecture, SUITES[suite]):
        cache = run_judge(command, root, form)
        done = ours(tree, architecture, SUITES[suite], form, cache)
        assert cache_bytes(done.tree) == cache
        assert len(done.entries) > 30
    assert links(done.tree) == links(load(root))
    assert links(done.tree) != links(tree)


@pytest.mark.oracle
@pytest.mark.parametrize("architecture", PROCESSORS)
@pytest.mark.parametrize("suite", SUITES)
def test_debian_equals_real_ldconfig_of_other_releases(
    tmp_path: Path, suite: str, architecture: str
) -> None:
    command = command_for(debian.ldconfig(suite, architecture), architecture)
    root = tmp_path / "root"
    lay_down(debian.libraries(architecture), root, links=False)
    before = load(root)
    cache = run_judge(command, root, CacheFormat.COMPAT)
    done = ours(before, architecture, SUITES[suite], CacheFormat.COMPAT, cache)
    assert cache_bytes(done.tree) == cache
    assert len(done.entries) > 130
    assert links(done.tree) == links(load(root))


# Results of real ldconfigs on the tree: Debian's 2.36, 2.41 and 2.43, and others built from glibc's
# sources. Each is a prefix of the SHA-256 of the concatenated caches in all formats.
DIGESTS: dict[tuple[str, tuple[int, int]], str] = {
    ("amd64", (2, 13)): "8ccad64c761420d7",
    ("amd64", (2, 19)): "5ff6fe9cc911f180",
    ("amd64", (2, 25)): "5ff6fe9cc911f180",
    ("amd64", (2, 26)): "adf6206bd00cd2d6",
    ("amd64", (2, 27)): "c0b5d26228c02b3a",
    ("amd64", (2, 30)): "c0b5d26228c02b3a",
    ("amd64", (2, 31)): "6ef1d6b30766de99",
    ("amd64", (2, 32)): "36a25c5f55d50e76",
    ("amd64", (2, 33)): "d6bdf108e82e60f4",
    ("amd64", (2, 34)): "05a49991819ae677",
    ("amd64", (2, 35)): "05a49991819ae677",
    ("amd64", (2, 36)): "e22088599bbdf86c",
    ("amd64", (2, 37)): "4f524969d7a71779",
    ("amd64", (2, 38)): "7768694537e8464f",
    ("amd64", (2, 41)): "0ce2a306c4c424b6",
    ("amd64", (2, 43)): "0ce2a306c4c424b6",
    ("i386", (2, 13)): "457ac64e50f2ee9f",
    ("i386", (2, 19)): "9716a7616be4104f",
    ("i386", (2, 25)): "9716a7616be4104f",
    ("i386", (2, 26)): "ffbb5203e9377c67",
    ("i386", (2, 27)): "fa324349d31ed936",
    ("i386", (2, 30)): "fa324349d31ed936",
    ("i386", (2, 31)): "9b1c9ca433f91cb2",
    ("i386", (2, 32)): "09db9f1b0fc0c0c6",
    ("i386", (2, 33)): "228b7b7c74dc9f83",
    ("i386", (2, 34)): "0cec9ee5b6660520",
    ("i386", (2, 35)): "0cec9ee5b6660520",
    ("i386", (2, 36)): "f6d992754846e104",
    ("i386", (2, 37)): "a90a8bac16d03ce1",
    ("i386", (2, 38)): "58fce2d43552bc0d",
    ("i386", (2, 41)): "0ce2a306c4c424b6",
}


@pytest.mark.parametrize(("architecture", "release"), DIGESTS)
def test_cache_of_each_release_is_pinned(architecture: str, release: tuple[int, int]) -> None:
    digest = sha256()
    for form in formats_of(architecture, release):
        digest.update(cache_bytes(ours(release_tree(), architecture, release, form).tree))
    assert digest.hexdigest()[:16] == DIGESTS[architecture, release]


# Without real ldconfigs


def test_release_is_detected() -> None:
    for version, form in (((2, 13), CacheFormat.COMPAT), ((2, 41), CacheFormat.NEW)):
        banner = b"GNU C Library stable release version %d.%d" % version
        tree = with_libc(release_tree(), banner, machine=EM_386, bits=32)
        done = ldconfig(tree, mtime=NOW, architecture=ARCHITECTURES["i386"])
        assert done.release == version
        assert parse_ld_cache(Input(cache_bytes(done.tree), name="ours")).format is form
        # The requested release changes the rules, but not the generator written to the cache.
        other = ldconfig(tree, mtime=NOW, release=(2, 36))
        assert other.release == (2, 36)
        cache = parse_ld_cache(Input(cache_bytes(other.tree), name="ours"))
        assert cache.format is CacheFormat.NEW
        assert cache.generator == b"ldconfig stable release version %d.%d" % version


def test_tree_without_c_library_gets_compatible_cache() -> None:
    done = ldconfig(make_tree({"lib/liba.so.1": make_library(b"liba.so.1")}), mtime=NOW)
    assert done.release == (2, 36)
    assert parse_ld_cache(Input(cache_bytes(done.tree), name="ours")).format is CacheFormat.COMPAT


def test_old_format_is_written_too_before_232() -> None:
    formats = {}
    for minor in (31, 32):
        banner = b"GNU C Library stable release version 2.%d" % minor
        tree = with_libc(release_tree(), banner, machine=EM_X86_64, bits=64)
        cache = cache_bytes(ldconfig(tree, mtime=NOW).tree)
        formats[minor] = parse_ld_cache(Input(cache, name="ours")).format
    assert formats == {31: CacheFormat.COMPAT, 32: CacheFormat.NEW}


def test_debian_231_marks_byte_order() -> None:
    marks = []
    for owner in (b"", b"(Debian GLIBC 2.31-13) ", b"(Ubuntu GLIBC 2.31-0) "):
        banner = b"GNU C Library %sstable release version 2.31" % owner
        tree = with_libc(release_tree(), banner, machine=EM_X86_64, bits=64)
        done = ldconfig(tree, mtime=NOW, format=CacheFormat.NEW)
        assert done.release == (2, 31)
        marks.append(cache_bytes(done.tree)[28])
    assert marks == [0, 2, 0]


def test_213_searches_the_root() -> None:
    found = entries(ours(release_tree(), "amd64", (2, 13), CacheFormat.NEW))
    assert found[b"libroot.so.1"] == {(b"//libroot.so.1", 0x303, 0, 0)}
    assert b"libroot.so.1" not in entries(ours(release_tree(), "amd64", (2, 14), CacheFormat.NEW))


def test_hwcap_folders_depend_on_the_release() -> None:
    # ldconfig 2.31 supports hwcap lines, 2.32 does not.
    def hwcaps(release: tuple[int, int]) -> dict[bytes, int]:
        done = ours(release_tree(), "i386", release, CacheFormat.NEW)
        return {entry.path: entry.hwcap for entry in done.entries if entry.name == b"libo.so.1"}

    named = {b"/opt/e/foo/libo.so.1": 1 << 54, b"/opt/e/nosegneg/libo.so.1": 1 << 53}
    both = {b"/opt/e/i686/nosegneg/libo.so.1": 1 << 53 | 1 << 49}
    assert (named | both).items() <= hwcaps((2, 31)).items()
    assert not (named | both).keys() & hwcaps((2, 32)).keys()
    # Older releases number platforms differently; newer releases have no platforms.
    assert hwcaps((2, 25))[b"/opt/e/i686/libo.so.1"] == 1 << 51
    assert hwcaps((2, 36))[b"/opt/e/i686/libo.so.1"] == 1 << 49
    assert hwcaps((2, 37)) == {b"/opt/e/libo.so.1": 0}


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        (b"hwcap 11 foo", "the hwcap index 11 already belongs to 'tls'"),
        (b"hwcap 12 foo", "the hwcap index must be at most 11, got 12"),
        (b"hwcap 1 foo bar", "a hwcap line must have a number and a name"),
        (b"hwcap 1", "a hwcap line must have a number and a name"),
        (b"hwcap x foo", "a hwcap line must have a number and a name"),
        (b"hwcap 1 bar", "the hwcap index 1 already belongs to 'foo'"),
        (b"hwcap 2 foo", "'foo' already has a hwcap index"),
        (b"hwcap 01 foo", None),
    ],
)
def test_invalid_hwcap_line_is_reported(line: bytes, warning: str | None) -> None:
    tree = make_tree({"etc/ld.so.conf": b"hwcap 0x1 foo\n" + line})
    done = ldconfig(tree, mtime=NOW, release=(2, 31))
    assert done.warnings == (() if warning is None else (f"'/etc/ld.so.conf:2': {warning}",))


def test_default_sonames_depend_on_the_release() -> None:
    for release, name in (((2, 36), b"3.1"), ((2, 37), b"3"), ((2, 38), b"3.1")):
        done = ours(release_tree(), "amd64", release, CacheFormat.NEW)
        assert b"libnone.so." + name in entries(done)


def test_damaged_dependency_names_are_ignored_since_237() -> None:
    # Older releases read the first name; glibc 2.37 and later read none.
    content = make_library(b"liba.so.1", b"libb.so.1")
    needed = b"".join(number.to_bytes(8, "little") for number in (1, 1))
    broken = content.replace(needed, needed[:8] + b"\xff" * 4 + bytes(4))
    assert broken != content
    tree = make_tree({"lib/liba.so.1": broken})
    assert not ours(tree, "amd64", (2, 36), CacheFormat.NEW).entries
    assert len(ours(tree, "amd64", (2, 37), CacheFormat.NEW).entries) == 1

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.formats.ld_cache import CacheFormat, parse_ld_cache
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.rootfs.ldconfig import ARCHITECTURES, ldconfig
from purekernel.rootfs.ldconfig.globs import is_glob, parse_glob
from purekernel.tree import File, Metadata, Tree
from tests.elves import make_library
from tests.ldconfigs import command_for, run_judge
from tests.oracles import require, run

META = Metadata(mode=0o644)

NAMES = [
    *(bytes([byte]) for byte in b"abcA1^!]-[\\*?\xe9"),
    *rb"ab a^b [ab] [a [x] x\* x* b]x .h".split(),
]

PATTERNS = rb"""
    [^a] [!a] [^^] [!^] [a^] [^]] [!]] []] []a] [a-] [-a] [a-b] [b-a] [^a-b] [.]h .[h] [!a]h ?h *h
    \.h [a [[]* []* [[x]* \* \? a\b \[x] [\]] [\^] [^\!] x\\* [a!] [!] [^] a[^x]b *^b *]x ** [--0]
    [+--] []-a] [[-\]] [[:alpha:]] [[:digit:]a] [^[:alpha:]] [[:upper:]] [[:nothing:]]
    [a[:nothing:]b] [^[:nothing:]] [[.a.]]
    [[=a=]] [a-[:digit:]] [[.a.]-c] [[:alpha:] {a,b} ~ a\
""".split()


@pytest.mark.oracle
def test_includes_equal_real_ldconfig(tmp_path: Path) -> None:
    tree = Tree()
    for index, name in enumerate(NAMES):
        tree.add_parents(path := b"etc/d/" + name + b".conf")
        tree.add(path, File(metadata=META, content=b"/opt/%d\n" % index))
        tree.add_parents(path := b"opt/%d/lib%d.so.1" % (index, index))
        tree.add(path, File(metadata=META, content=make_library(b"lib%d.so.1" % index)))
    root = tmp_path / "root"
    root.mkdir()
    run("tar", "-C", root, "-xf", "-", stdin=build_tar(tree))
    command = command_for(Path(require("ldconfig")), "amd64")
    found = 0
    for pattern in PATTERNS:
        line = b"include d/" + pattern + b".conf\n"
        (root / "etc/ld.so.conf").write_bytes(line)
        cache = run_judge(command, root, CacheFormat.NEW)
        theirs = parse_ld_cache(Input(cache, name="the judge's")).entries
        tree.add(b"etc/ld.so.conf", File(metadata=META, content=line))
        done = ldconfig(tree, mtime=0, architecture=ARCHITECTURES["x86_64"])
        assert {entry.name for entry in done.entries} == {entry.name for entry in theirs}, pattern
        found += len(theirs)
    assert found > 100


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        (b"[^a]", b"b^!", b"a"),
        (b"[!^]", b"ab", b"^"),
        (b"[^]]", b"a[", b"]"),
        (b"[]a]", b"]a", b"["),
        (b"[a-c^]", b"abc^", b"d-"),
        (b"[[:digit:][.x.]-z]", b"09xyz", b"aw:"),
        (rb"\*", b"*", b"a\\"),
        (rb"[\]]", b"]", b"\\"),
        (b"?", b"a?/", b""),
        (b"**", b"a", b""),
    ],
)
def test_glob_matches(pattern: bytes, fits: bytes, fits_not: bytes) -> None:
    parsed = parse_glob(pattern)
    assert is_glob(pattern)
    assert all(parsed.matches(bytes([byte])) for byte in fits)
    assert not any(parsed.matches(bytes([byte])) for byte in fits_not)


def test_unclosed_bracket_is_literal() -> None:
    for text in (b"[a", b"[!a", b"[^]", b"[", b"[a-"):
        assert parse_glob(text).matches(text)
        assert not parse_glob(text).matches(b"a")
    assert not parse_glob(b"a\\").matches(b"a\\")
    assert not is_glob(b"a-b]^!.conf")

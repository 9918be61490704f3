from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from purekernel.rootfs.patterns import find_paths, is_wild, parse_pattern
from purekernel.tree import Directory, File, Metadata, Symlink, Tree


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        (b"usr/bin/a", [b"usr/bin/a"]),
        (b"", [b""]),
        (b"usr/*/a", [b"usr/bin/a", b"usr//a"]),
        (b"usr/*", [b"usr/bin", b"usr/"]),
        (b"*.so*", [b"a.so", b".so.1", b"a.so.1.2"]),
        (b"usr/**", [b"usr/bin", b"usr/bin/a", b"usr/"]),
        (b"usr/**/a", [b"usr/a", b"usr/bin/a", b"usr/x/y/a"]),
        (b"usr/**/**/a", [b"usr/a", b"usr/bin/a", b"usr/x/y/a"]),
        (b"**/a", [b"a", b"usr/bin/a"]),
        (b"**/*", [b"a", b"usr/bin/a", b"usr/"]),
        (b"**", [b"", b"a", b"usr/bin/a"]),
        (b"usr/l**/a", [b"usr/lib/a", b"usr/lib/x/a", b"usr/l/a"]),
        (b"a***b", [b"ab", b"a/b", b"axb"]),
        (b"?", [b"a", b"\xff", b"\n"]),
        (b"[abc]", [b"a", b"b", b"c"]),
        (b"[a-c]x", [b"ax", b"bx", b"cx"]),
        (b"[!a-c]", [b"d", b"-", b"!"]),
        (b"[]a]", [b"]", b"a"]),
        (b"[!]a]", [b"b", b"!"]),
        (b"[a-]", [b"a", b"-"]),
        (b"[c-a]x", []),
        (b"[a", [b"[a"]),
        (b"[]", [b"[]"]),
        (b"[!]", [b"[!]"]),
        (b"usr/bin/[", [b"usr/bin/["]),
        (b"a[/]b", []),
        (b"a[!x]b", [b"a.b"]),
        (b"a\\*", [b"a\\b", b"a\\"]),
        (b"\xc3*\n", [b"\xc3\xa9\n"]),
    ],
)
def test_pattern_matches_whole_path(pattern: bytes, paths: list[bytes]) -> None:
    others = [
        b"usr/bin/a", b"usr/bin/ab", b"usr/bin", b"usr/x/y/a", b"usr/a", b"a", b"b", b"ab", b"",
        b"a/b", b"usr/lib/a", b"usr/la", b"[", b"]", b"/", b"//", b"ax", b"dx", b"!", b"-",
    ]  # fmt: skip
    parsed = parse_pattern(pattern)
    for path in paths:
        assert parsed.matches(path), path
    slow = reference(pattern)
    for path in others:
        assert parsed.matches(path) == (slow.fullmatch(path) is not None), path


def test_is_wild_detects_wildcards() -> None:
    assert not is_wild(b"usr/local/bin/a-b.c")
    assert all(map(is_wild, (b"a*", b"?", b"[", b"usr/**")))


def reference(pattern: bytes) -> re.Pattern[bytes]:
    """Return an equivalent regular expression, which may be slow."""
    out = b""
    at = 0
    while at < len(pattern):
        folders = re.compile(rb"(?:\*\*+/)+").match(pattern, at)
        stars = re.compile(rb"\*+").match(pattern, at)
        chosen = re.compile(rb"\[(!?+)(.[^]]*)\]", re.DOTALL).match(pattern, at)
        if folders and (at == 0 or pattern[at - 1 : at] == b"/"):
            out += rb"(?:.*/)?"
            at = folders.end()
        elif stars:
            out += rb".*" if len(stars[0]) > 1 else rb"[^/]*"
            at = stars.end()
        elif pattern[at : at + 1] == b"?":
            out += rb"[^/]"
            at += 1
        elif chosen:
            ranges = re.findall(rb".-.|.", chosen[2], re.DOTALL)
            kept = [one for one in ranges if len(one) == 1 or one[0] <= one[2]]
            inner = b"".join(re.escape(one[:1]) + one[1:2] + re.escape(one[2:]) for one in kept)
            one_of = rb"[" + inner + rb"]" if kept else rb"(?!)."
            out += rb"(?!/)(?!" + one_of + rb")." if chosen[1] else rb"(?!/)" + one_of
            at = chosen.end()
        else:
            out += re.escape(pattern[at : at + 1])
            at += 1
    return re.compile(out, re.DOTALL)


PARTS = st.sampled_from([b"*", b"**", b"**/", b"?", b"/", b"a", b"b", b"[ab]", b"[!a]", b"[", b"]"])
PATHS = st.lists(st.sampled_from([b"a", b"b", b"/", b"[", b"]"]), max_size=8).map(b"".join)


@pytest.mark.slow
@example([b"**/", b"a"], [b"a", b"b/a"])
@given(st.lists(PARTS, max_size=6), st.lists(PATHS, min_size=20, max_size=20))
def test_random_pattern_matches_like_regular_expression(
    parts: list[bytes], paths: list[bytes]
) -> None:
    pattern = b"".join(parts)
    fast, slow = parse_pattern(pattern), reference(pattern)
    for path in paths:
        assert fast.matches(path) == (slow.fullmatch(path) is not None), (pattern, path)


@pytest.mark.slow
def test_many_stars_take_linear_time() -> None:
    path = b"a" * 4000
    assert not parse_pattern(b"*a" * 2000 + b"b").matches(path)
    assert parse_pattern(b"*a" * 2000).matches(path)
    assert not parse_pattern(b"**/a" * 1000).matches(path)
    assert not parse_pattern(b"[" * 4000).matches(path)


# Finding paths in trees


def plant(*paths: str, links: dict[str, str] | None = None) -> Tree:
    """Return a tree of files, of folders where a path ends in a slash, and of links."""
    tree = Tree()
    for path in paths:
        name = path.rstrip("/").encode()
        tree.add_parents(name)
        if name not in tree:
            metadata = Metadata(mode=0o755)
            tree.add(
                name,
                Directory(metadata=metadata) if path.endswith("/") else File(metadata=metadata),
            )
    for path, target in (links or {}).items():
        tree.add_parents(path.encode())
        link = Symlink(metadata=Metadata(mode=0o777), target=target.encode())
        tree.add(path.encode(), link)
    return tree


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (b"/etc/a", [b"etc/a"]),
        (b"link/a", [b"etc/a"]),
        (b"link", [b"link"]),
        (b"l*", [b"link", b"loop"]),
        (b"*/a", [b"etc/a"]),
        (b"loop/loop/link/[!b]", [b"etc/a"]),
        (b"dead/*", []),
        (b"etc/a/*", []),
        (b"link/**", [b"etc/a", b"etc/b", b"etc/b/c"]),
        (b"**/c", [b"etc/b/c"]),
        (b"*/**/c", [b"etc/b/c"]),
        (b"**/link/*", []),
        (b"gone/**", []),
        (b".", []),
    ],
)
def test_paths_are_found_through_links_among_their_parents(
    pattern: bytes, found: list[bytes]
) -> None:
    links = {"link": "/etc", "loop": ".", "dead": "gone"}
    assert find_paths(plant("etc/a", "etc/b/c", links=links), pattern) == found


def test_links_to_a_folder_above_give_each_path_once() -> None:
    tree = plant("a", "b/c", links={"x": ".", "y": "..", "b/z": "/"})
    assert sorted(find_paths(tree, b"/".join([b"*"] * 30))) == [
        b"a", b"b", b"b/c", b"b/z", b"x", b"y",
    ]  # fmt: skip


PATTERN_PARTS = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "?", "[ab]", "**", "a**"])
TREE_PATHS = st.lists(st.sampled_from(["a", "b", "ab", "c"]), min_size=1, max_size=4).map("/".join)


def test_found_paths_are_those_that_match_as_a_whole() -> None:
    seen = set()

    @given(
        st.lists(TREE_PATHS, max_size=8),
        st.lists(PATTERN_PARTS, min_size=1, max_size=4).map("/".join),
    )
    def agree(paths: list[str], pattern: str) -> None:
        # Folders before files of the same path.
        tree = plant(*sorted((f"{path}/" for path in paths), key=len))
        whole = reference(pattern.encode())
        wanted = [path for path, _node in tree.walk() if path and whole.fullmatch(path)]
        assert sorted(find_paths(tree, pattern.encode())) == sorted(wanted)
        seen.add(bool(wanted))

    agree()
    assert seen == {True, False}

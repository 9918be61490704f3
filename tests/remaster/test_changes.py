"""Test the passes of the tables that change files, on trees in memory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import (
    CombinedError,
    ConflictError,
    LinkLoopError,
    PurekernelError,
    TreeError,
)
from purekernel.formats.detect import FileKind, detect
from purekernel.input import DEFAULT_LIMITS
from purekernel.recipe.changes import EditChange
from purekernel.recipe.model import Recipe
from purekernel.recipe.read import parse_recipe
from purekernel.remaster.changes import MOST_ERRORS, change_passes
from purekernel.tree import Directory, File, Metadata, Node, Symlink, Tree

FOLDER = Directory(metadata=Metadata(mode=0o755))
TIME = 7


def file(content: bytes = b"", mode: int = 0o644, **owner: int) -> File:
    return File(metadata=Metadata(mode=mode, **owner), content=content)


def link(target: bytes) -> Symlink:
    return Symlink(metadata=Metadata(mode=0o777), target=target)


def make_tree(nodes: dict[str, Node] | None = None) -> Tree:
    """Return a small root file system with ``nodes`` added."""
    tree = Tree()
    own: dict[str, Node] = {
        "etc/passwd": file(b"root:x:0:0::/root:/bin/sh\ntc:x:1001:50::/home/tc:/bin/sh\n"),
        "etc/group": file(b"root:x:0:\nstaff:x:50:tc\n"),
        "etc/inittab": file(b"tty1::respawn\n#tty2::respawn\n#tty3::respawn\n"),
        "etc/crlf.conf": file(b"a=1\r\nb=2\r\n"),
        "etc/bare": file(b"one"),
        "etc/mtab": link(b"/proc/mounts"),
        "usr/bin/a": file(b"#!/bin/sh\n", 0o755),
        "usr/bin/[": file(b"\x7fELF", 0o755),
        "usr/local/bin/b": file(b"", 0o755),
        "usr/local/bin/a": link(b"../lib/a"),
        "usr/local/bin/sub/c": file(b""),
        "usr/share/doc/x/y": file(b"doc"),
        "bin": link(b"usr/bin"),
    }
    for path, node in {**own, **(nodes or {})}.items():
        tree.add_parents(path.encode())
        tree.add(path.encode(), node)
    return tree


def apply(text: str, tree: Tree | None = None, folder: Path = Path()) -> Tree:
    """Return ``tree`` after the passes of a recipe."""
    return run(parse_recipe(text.encode(), source="p.toml", folder=folder), tree)


def run(recipe: Recipe, tree: Tree | None = None) -> Tree:
    tree = make_tree() if tree is None else tree
    for _words, run_pass in change_passes(recipe, mtime=TIME, limits=DEFAULT_LIMITS):
        before = tree.copy()
        after = run_pass(tree)
        assert tree == before
        tree = after
    return tree


def errors(text: str, tree: Tree | None = None) -> list[str]:
    """Return the messages of a recipe's passes, without the name of the recipe."""
    with pytest.raises(PurekernelError) as caught:
        apply(text, tree)
    error = caught.value
    each = error.errors if isinstance(error, CombinedError) else [error]
    return [str(one).removeprefix("p.toml, ") for one in each]


def paths(tree: Tree) -> set[str]:
    return {path.decode() for path, _node in tree.walk()}


# Removals


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("usr/share/doc", {"usr/share/doc", "usr/share/doc/x", "usr/share/doc/x/y"}),
        ("/usr/share/doc/*", {"usr/share/doc/x", "usr/share/doc/x/y"}),
        ("usr/**/y", {"usr/share/doc/x/y"}),
        ("**/x", {"usr/share/doc/x", "usr/share/doc/x/y"}),
        ("bin/a", {"usr/bin/a"}),
        ("bin", {"bin"}),
        ("usr/bin/[", {"usr/bin/["}),
        ("etc/[!a-lnp-z]*", {"etc/mtab"}),
        ("usr/local/bin/**", {f"usr/local/bin/{name}" for name in ("a", "b", "sub", "sub/c")}),
        ("./usr//share/", {f"usr/share{rest}" for rest in ("", "/doc", "/doc/x", "/doc/x/y")}),
    ],
)
def test_removal_removes_what_matches_and_nothing_else(pattern: str, gone: set[str]) -> None:
    tree = make_tree()
    assert paths(tree) - paths(apply(f"[[remove]]\npaths = ['{pattern}']", tree)) == gone


def test_removals_that_match_nothing_are_reported_together() -> None:
    text = "[[remove]]\npaths = [\n'usr/share/docs',\n'etc/*.gone',\n'etc/mtab/x',\n'bin']"
    assert errors(text) == [
        "line 3, paths under [[remove]]: the image has no 'usr/share/docs'",
        "line 4, paths under [[remove]]: no path matches 'etc/*.gone'",
        "line 5, paths under [[remove]]: the image has no 'etc/mtab/x'",
    ]


def test_missing_path_suggests_a_similar_one() -> None:
    with pytest.raises(PurekernelError) as caught:
        apply("[[remove]]\npaths = ['bin/../etc/initab']".replace("bin/../", "/"))
    assert caught.value.hint == "did you mean 'etc/inittab'?"


def test_missing_path_is_allowed_if_the_recipe_says_so() -> None:
    tables = "\n".join(
        f"[[{name}]]\npaths = ['gone', 'a/**']\nmissing = 'ok'\n{more}"
        for name, more in (
            ("remove", ""), ("edit", "append = 'x'"), ("attributes", "mode = '0644'"),
        )
    )  # fmt: skip
    farm = "\n[[link]]\ntarget = 'gone/*'\ninto = 'bin'\nmissing = 'ok'"
    assert apply(tables + farm) == make_tree()


# Files


def test_new_file_gets_folders_owner_and_mode() -> None:
    tree = apply(
        "[[file]]\npath = '/home/tc/.ssh/keys'\ntext = 'k'\nmode = '0600'\n"
        "[[file]]\npath = 'opt/a/b'\ntext = ''\n"
        "[[file]]\npath = 'opt/a/c'\ntext = ''\nowner = ':staff'\n"
        "[[file]]\npath = 'usr/local/tce.installed/x'\ntext = ''\n"
        "[[file]]\npath = 'bin/new'\ntext = ''\nmode = '4755'\nowner = '7:8'"
    )
    tc = Metadata(mode=0o600, uid=1001, gid=50, mtime=TIME)
    assert tree[b"home/tc/.ssh/keys"] == File(metadata=tc, content=b"k")
    assert tree[b"home/tc/.ssh"].metadata == evolve(tc, mode=0o755)
    assert tree[b"home"].metadata == Metadata(mode=0o755, mtime=TIME)
    assert tree[b"opt/a/b"].metadata == Metadata(mode=0o644, mtime=TIME)
    assert tree[b"opt/a/c"].metadata == Metadata(mode=0o644, gid=50, mtime=TIME)
    assert tree[b"usr/local/tce.installed/x"].metadata == evolve(tc, mode=0o755)
    assert tree[b"usr/local/tce.installed"].metadata.mode == 0o775
    assert tree[b"usr/bin/new"].metadata == Metadata(mode=0o4755, uid=7, gid=8, mtime=TIME)


def test_replaced_file_keeps_owner_and_mode_and_its_hard_links_their_content() -> None:
    tree = make_tree({"opt/boot.sh": file(b"old", 0o775, uid=5, gid=50)})
    tree.link(b"opt/other", b"opt/boot.sh")
    changed = apply("[[file]]\npath = 'opt/boot.sh'\ntext = 'new'", tree)
    assert changed[b"opt/boot.sh"] == File(
        metadata=Metadata(mode=0o775, uid=5, gid=50, mtime=TIME), content=b"new"
    )
    assert changed.read("opt/other") == b"old"


def test_written_file_replaces_a_link_and_not_its_target() -> None:
    tree = make_tree({"etc/motd": link(b"bare")})
    changed = apply("[[file]]\npath = 'etc/motd'\ntext = 'new'", tree)
    assert changed[b"etc/motd"] == File(metadata=Metadata(mode=0o644, mtime=TIME), content=b"new")
    assert changed.read("etc/bare") == b"one"


def test_file_has_the_bytes_of_its_source(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"\x1f\x8b\r\n\0")
    tree = apply("[[file]]\npath = 'k'\nsource = 'keys'", folder=tmp_path)
    assert tree.read("k") == b"\x1f\x8b\r\n\0"


def test_errors_of_files_are_reported_together() -> None:
    text = (
        "[[file]]\npath = 'etc'\ntext = ''\n"
        "[[file]]\npath = 'etc/bare/x'\ntext = ''\n"
        "[[file]]\npath = 'a'\ntext = ''\nowner = 'tcc'\n"
        "[[file]]\npath = 'b'\nsource = 'gone'\n"
    )
    assert errors(text) == [
        "line 2, path under [[file]]: 'etc' is a folder, and a file cannot replace it",
        (
            "line 5, path under [[file]]: 'etc/bare' must be a folder to hold 'etc/bare/x', "
            "got a file"
        ),
        "line 10, owner under [[file]]: the image has no user 'tcc' in etc/passwd",
        "line 13, source under [[file]]: gone does not exist",
    ]


# Edits


@pytest.mark.parametrize(
    ("path", "edit", "content"),
    [
        ("etc/bare", "append = 'two'", "one\ntwo\n"),
        ("etc/bare", "prepend = 'zero'", "zero\none"),
        ("etc/crlf.conf", 'append = "c=3\\nd=4"', "a=1\r\nb=2\r\nc=3\r\nd=4\r\n"),
        ("etc/crlf.conf", "set = ['a=x', 'c=y z']", "a=x\r\nb=2\r\nc=y z\r\n"),
        ("etc/crlf.conf", "regex = '^(.)=(.)$'\nreplace = '\\2:\\1'\ncount = 2", "1:a\r\n2:b\r\n"),
        ("etc/bare", "find = 'n'\nreplace = ''", "oe"),
        ("etc/bare", "find = 'z'\nreplace = ''\nmissing = 'ok'", "one"),
        (
            "etc/inittab",
            "regex = '^#(tty[23]):'\nreplace = '\\1:'\ncount = 2",
            "tty1::respawn\ntty2::respawn\ntty3::respawn\n",
        ),
        ("etc/inittab", "regex = '^#.*\\n'\nreplace = ''\nevery = true", "tty1::respawn\n"),
    ],
)
def test_edit_changes_the_text(path: str, edit: str, content: str) -> None:
    tree = make_tree()
    before = tree[path.encode()]
    changed = apply(f"[[edit]]\npaths = ['{path}']\n{edit}", tree)
    assert changed.read(path).decode() == content
    assert changed[path.encode()].metadata == before.metadata


def test_edits_of_one_file_apply_in_order() -> None:
    edits = [("one", "two"), ("two", "three"), ("three", "four")]
    text = "".join(
        f"[[edit]]\npaths = ['etc/bare']\nfind = '{old}'\nreplace = '{new}'\n" for old, new in edits
    )
    assert apply(text).read("etc/bare") == b"four"


def test_edit_follows_links_and_changes_each_file_once() -> None:
    tree = make_tree({"etc/link": link(b"bare"), "opt/etc": link(b"/etc")})
    tree.link(b"etc/hard", b"etc/bare")
    changed = apply("[[edit]]\npaths = ['opt/etc/[bhl]*', 'etc/bare']\nappend = 'x'", tree)
    assert changed.read("etc/bare") == changed.read("etc/hard") == b"one\nx\n"
    assert changed[b"etc/link"] == link(b"bare")


def test_edit_of_several_files_finds_its_text_in_at_least_one() -> None:
    text = "[[edit]]\npaths = ['etc/*']\nevery = true\nregex = 'TEXT'\nreplace = '<\\0>'"
    changed = apply(text.replace("TEXT", "[bx]=."))
    assert changed.read("etc/crlf.conf") == b"a=1\r\n<b=2>\r\n"
    assert errors(text.replace("TEXT", "zz")) == [
        "line 4, regex under [[edit]]: the expression 'zz' must be in a file, got none"
    ]


def test_wrong_numbers_of_occurrences_are_reported_together() -> None:
    text = (
        "[[edit]]\npaths = ['etc/inittab']\nfind = 'respawn'\nreplace = ''\n"
        "[[edit]]\npaths = ['etc/inittab']\nregex = 'tty\\d'\nreplace = ''\ncount = 4\n"
        "[[edit]]\npaths = ['etc/inittab']\nfind = '#tty1::respawn'\nreplace = ''\n"
        "[[edit]]\npaths = ['etc/passwd', 'etc/group']\nset = ['x=1']\n"
        "[[edit]]\npaths = ['etc/passwd']\nprepend = 'x=2'\n"
        "[[edit]]\npaths = ['etc/passwd']\nset = ['x=1', 'y=2']\n"
    )
    where = "etc/inittab: the"
    assert errors(text) == [
        (
            f"line 3, find under [[edit]]: {where} text 'respawn' must be in the file once, "
            "got 3 (lines 1, 2, 3)"
        ),
        (
            f"line 7, regex under [[edit]]: {where} expression 'tty\\\\d' must be in the file "
            "4 times, got 3 (lines 1, 2, 3)"
        ),
        (
            f"line 12, find under [[edit]]: {where} text '#tty1::respawn' must be in the file "
            "once, got none"
        ),
        "line 22, set under [[edit]]: etc/passwd: one line must set x, got 2 (lines 1, 4)",
    ]


def test_missing_text_suggests_a_similar_line() -> None:
    with pytest.raises(PurekernelError) as caught:
        apply("[[edit]]\npaths = ['etc/inittab']\nfind = '#tty2:respawn'\nreplace = ''")
    assert caught.value.hint == "line 2 is '#tty2::respawn'"


def test_files_that_are_not_text_are_refused() -> None:
    tree = make_tree(
        {
            "x/gz": file(b"\x1f\x8b\x08\0"),
            "x/nul": file(b"ab\0"),
            "x/large": file(b"a" * (4 << 20) + b"a"),
            "x/folder": FOLDER,
            "x/fifo": link(b"nowhere"),
        }
    )
    start = "line 3, append under [[edit]]: x/"
    assert errors("[[edit]]\npaths = ['x/*']\nappend = 'a'", tree) == [
        f"{start}gz: a file to edit must be text, got a gzip file",
        f"{start}large: a file to edit must have at most 4194304 bytes, got 4194305",
        f"{start}nul: a file to edit must be text, got a binary file, with a NUL at byte 2",
    ]
    assert errors("[[edit]]\npaths = ['x/folder', 'x/fifo']\nappend = 'a'", tree) == [
        "line 2, paths under [[edit]]: 'x/folder' must be a file, got a folder",
        "line 2, paths under [[edit]]: 'x/fifo' is a link without a target",
    ]


def test_bytes_that_are_not_utf_8_are_kept() -> None:
    tree = make_tree({"x": file("né".encode("latin-1") + b"\n")})
    changed = apply("[[edit]]\npaths = ['x']\nregex = '^n.$'\nreplace = '\\0 ü'", tree)
    assert changed.read("x") == b"n\xe9 \xc3\xbc\n"


def test_more_errors_than_are_useful_are_counted() -> None:
    tree = make_tree({f"x/{index}": file(b"\0") for index in range(MOST_ERRORS + 5)})
    messages = errors("[[edit]]\npaths = ['x/*']\nappend = 'a'", tree)
    assert len(messages) == MOST_ERRORS + 1
    assert messages[-1] == "line 1, [[edit]]: 5 more errors of this table"


# Links


def test_link_is_added_with_its_folders() -> None:
    tree = apply("[[link]]\npath = 'home/tc/x/l'\ntarget = '../y'")
    expected = Metadata(mode=0o777, uid=1001, gid=50, mtime=TIME)
    assert tree[b"home/tc/x/l"] == Symlink(metadata=expected, target=b"../y")


def test_farm_links_each_name_and_keeps_what_exists() -> None:
    farm = "[[link]]\ntarget = '/usr/local/bin/*'\ninto = 'usr/bin'\n"
    assert errors(farm) == ["line 3, into under [[link]]: 'usr/bin/a' exists and is a file"]
    tree = make_tree()
    kept = apply(farm + "existing = 'keep'", tree)
    assert kept[b"usr/bin/a"] == tree[b"usr/bin/a"]
    assert kept[b"usr/bin/b"] == Symlink(
        metadata=Metadata(mode=0o777, mtime=TIME), target=b"/usr/local/bin/b"
    )
    assert paths(kept) - paths(tree) == {"usr/bin/b", "usr/bin/sub"}
    replaced = apply(farm + "existing = 'replace'", tree)
    assert replaced[b"usr/bin/a"] == Symlink(
        metadata=Metadata(mode=0o777, mtime=TIME), target=b"/usr/local/bin/a"
    )
    # The same links are there already.
    assert apply(farm, replaced) == replaced


def test_farm_into_its_own_folder_is_empty() -> None:
    assert apply("[[link]]\ntarget = 'usr/bin/*'\ninto = 'bin'") == make_tree()


def test_hard_link_is_another_name_of_its_target() -> None:
    tree = apply("[[link]]\npath = 'usr/bin/b'\ntarget = '/bin/a'\nhard = true")
    assert tree.inode(b"usr/bin/b") == tree.inode(b"usr/bin/a")
    again = apply("[[link]]\npath = 'usr/bin/b'\ntarget = 'usr/bin/a'\nhard = true", tree)
    assert again == tree


def test_wrong_links_are_reported_together() -> None:
    text = (
        "[[link]]\npath = 'etc/bare'\ntarget = 'x'\n"
        "[[link]]\npath = 'etc'\ntarget = 'x'\nexisting = 'replace'\n"
        "[[link]]\npath = 'h'\ntarget = 'gone'\nhard = true\n"
        "[[link]]\npath = 'h2'\ntarget = 'etc'\nhard = true\n"
        "[[link]]\ninto = 'bin'\ntarget = 'gone/*'\n"
    )
    assert errors(text) == [
        "line 2, path under [[link]]: 'etc/bare' exists and is a file",
        "line 5, path under [[link]]: 'etc' exists and is a folder",
        "line 9, path under [[link]]: the image has no 'gone'",
        "line 13, path under [[link]]: 'etc' is a folder and cannot have hard links",
        "line 18, target under [[link]]: no path matches 'gone/*'",
    ]


# Attributes


def test_attributes_are_set_by_pattern() -> None:
    tree = apply(
        "[[attributes]]\npaths = ['usr/local/**']\nowner = 'tc:staff'\nmode = 'go-rx'\n"
        "[[attributes]]\npaths = ['etc']\nmode = '0600'\nfolder-mode = '0700'\n"
        "[[attributes]]\npaths = ['etc/bare']\nmode = '640'\nowner = ':8'"
    )
    assert tree[b"usr/local/bin/b"].metadata == Metadata(mode=0o700, uid=1001, gid=50)
    assert tree[b"usr/local/bin/sub"].metadata == Metadata(mode=0o700, uid=1001, gid=50)
    # A link has an owner, and no mode.
    assert tree[b"usr/local/bin/a"].metadata == Metadata(mode=0o777, uid=1001, gid=50)
    assert tree[b"etc"].metadata.mode == 0o700
    assert tree[b"etc/bare"].metadata == Metadata(mode=0o640, gid=8)


def test_wrong_attributes_are_reported_together() -> None:
    text = (
        "[[attributes]]\npaths = ['etc', 'etc/mtab']\nmode = '0644'\n"
        "[[attributes]]\npaths = ['etc/bare']\nfolder-mode = '0755'\n"
        "[[attributes]]\npaths = ['etc/bare']\nowner = 'root:stuff'\n"
        "[[attributes]]\npaths = ['gone']\nowner = '0'\n"
    )
    assert errors(text) == [
        (
            "line 2, paths under [[attributes]]: the mode 0644 would make the folder 'etc' "
            "unusable: without x, no one reaches what is in it"
        ),
        ("line 2, paths under [[attributes]]: 'etc/mtab' matches nothing that has such a mode"),
        ("line 5, paths under [[attributes]]: 'etc/bare' matches nothing that has such a mode"),
        "line 9, owner under [[attributes]]: the image has no group 'stuff' in etc/group",
        "line 11, paths under [[attributes]]: the image has no 'gone'",
    ]


# All together


def test_tables_apply_in_their_order_whatever_the_order_in_the_recipe() -> None:
    text = (
        "[[attributes]]\npaths = ['opt/*']\nmode = '0700'\n"
        "[[link]]\ntarget = 'opt/*'\ninto = 'usr/bin'\n"
        "[[edit]]\npaths = ['opt/*']\nappend = 'x'\n"
        "[[file]]\npath = 'opt/n'\ntext = 'n'\n"
        "[[remove]]\npaths = ['opt/*']\n"
    )
    tree = apply(text, make_tree({"opt/old": file(b"\0")}))
    assert tree[b"opt/n"] == File(metadata=Metadata(mode=0o700, mtime=TIME), content=b"n\nx\n")
    assert b"usr/bin/n" in tree
    assert b"opt/old" not in tree


def test_errors_of_all_tables_are_reported_in_one_run_and_again() -> None:
    text = (
        "[[attributes]]\npaths = ['g1']\nmode = '0700'\n"
        "[[edit]]\npaths = ['g2']\nappend = 'x'\n"
        "[[remove]]\npaths = ['g3']\n"
    )
    wanted = [
        f"line {line}, paths under [[{table}]]: the image has no '{path}'"
        for line, table, path in ((8, "remove", "g3"), (5, "edit", "g2"), (2, "attributes", "g1"))
    ]
    recipe = parse_recipe(text.encode(), source="p.toml", folder=Path())
    (_, first), *others = change_passes(recipe, mtime=TIME, limits=DEFAULT_LIMITS)
    for _ in range(2):
        (_, second), (_, third) = others
        tree = second(first(make_tree()))
        with pytest.raises(CombinedError) as caught:
            third(tree)
        assert [str(error) for error in caught.value.errors] == [
            f"p.toml, {each}" for each in wanted
        ]


def test_recipe_without_such_tables_has_no_passes() -> None:
    assert change_passes(Recipe(), mtime=0, limits=DEFAULT_LIMITS) == []


# Properties

NAMES = st.sampled_from(["a", "b", "c", "*", "?", "[ab]", "x*", "**"])
PATTERNS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TREES = st.lists(
    st.tuples(st.lists(st.sampled_from("abcx"), min_size=1, max_size=4), st.booleans()), max_size=12
)


def grow(entries: list[tuple[list[str], bool]]) -> Tree:
    """Return a tree of links to /a, which may be missing, and of files."""
    tree = Tree()
    for parts, is_link in entries:
        path = "/".join(parts).encode()
        node = link(b"/a") if is_link else file(path)
        with suppress(ConflictError):
            tree.add_parents(path, FOLDER.metadata)
            tree.add(path, node)
    return tree


def test_removed_paths_are_gone_and_others_stay() -> None:
    seen = set()

    @given(TREES, st.lists(PATTERNS, max_size=3))
    def remove(entries: list[tuple[list[str], bool]], patterns: list[str]) -> None:
        tree = grow(entries)
        removals = "".join(f"[[remove]]\npaths = ['{each}']\nmissing = 'ok'\n" for each in patterns)
        after = apply(removals, tree)
        assert paths(after) <= paths(tree)
        for path, node in after.walk():
            assert node == tree[path]
        assert apply(removals, after) == after
        if not patterns:
            assert after == tree
        seen.add(len(after) < len(tree))

    remove()
    assert seen == {True, False}


def test_farm_that_keeps_never_changes_a_path() -> None:
    seen = set()

    @settings(max_examples=100)  # few patterns match
    @given(TREES, PATTERNS, st.sampled_from(["a", "b/n", "x"]), st.booleans())
    def farm(entries: list[tuple[list[str], bool]], pattern: str, into: str, hard: bool) -> None:
        tree = grow(entries)
        text = (
            f"[[link]]\ntarget = '{pattern}'\ninto = '{into}'\nexisting = 'keep'\n"
            f"missing = 'ok'\nhard = {str(hard).lower()}"
        )
        after = tree
        # The folder may be a file or a link that leads nowhere, and folders have no hard links.
        with suppress(ConflictError, LinkLoopError, CombinedError):
            after = apply(text, tree)
        for path, node in tree.walk():
            assert after[path] == node
        for path in paths(after) - paths(tree):
            node = after[path.encode()]
            assert hard or isinstance(node, Symlink | Directory)
        seen.add(len(after) > len(tree))

    farm()
    assert seen == {True, False}


@pytest.mark.slow
def test_appended_text_is_at_the_end_of_the_old() -> None:
    seen = set()

    @given(st.binary(max_size=60) | st.just(b"a\0"), st.text("ab\né", min_size=1, max_size=9))
    def append(old: bytes, lines: str) -> None:
        recipe = Recipe(edits=(EditChange(paths=["x"], append=lines),))
        new = b""
        with suppress(TreeError):
            new = run(recipe, make_tree({"x": file(old)})).read("x")
        seen.add(new == b"")
        if not new:
            assert detect(old) is not FileKind.TEXT
            return
        assert new.startswith(old)
        added = new[len(old) :].replace(b"\r\n", b"\n")
        between = b"\n" if old and not old.endswith(b"\n") else b""
        assert added == between + lines.encode() + (b"" if lines.endswith("\n") else b"\n")

    append()
    assert seen == {True, False}

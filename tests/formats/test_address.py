"""Test finding what an address names inside archives, and errors that say where it stops."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import InputError, LimitError, MissingPathError, PurekernelError
from purekernel.formats import address
from purekernel.formats.address import MAX_COLONS, Item, Opener, find_part
from purekernel.formats.cpio import build_cpio
from purekernel.formats.tar import build_tar
from purekernel.input import Budget, Input, Limits
from purekernel.tree import ROOT, Directory, File, Metadata, Symlink, Tree, put_file

FILE = Metadata(mode=0o644)
LINK = Metadata(mode=0o777)


def tree_of(**contents: bytes) -> Tree:
    """Return a tree of files; two underscores in a name stand for a slash."""
    tree = Tree()
    for name, content in contents.items():
        put_file(tree, name.replace("__", "/").encode(), content, metadata=FILE)
    return tree


def outer() -> Tree:
    """Return a tree with an archive in an archive, links, and names with colons."""
    inner = tree_of(etc__motd=b"inner", usr__bin__sh=b"shell")
    middle = tree_of(etc__motd=b"middle", opt__inner=build_tar(inner))
    middle.add(b"etc/absolute", Symlink(metadata=LINK, target=b"/etc/motd"))
    tree = tree_of(etc__motd=b"outer", boot__core=gzip.compress(build_cpio(middle)), a=b"text")
    for name, target in {
        b"core": b"boot/core",
        b"up": b"../../../etc/motd",
        b"loop": b"loop",
        b"ring": b"boot/../ring/x",
        b"dangling": b"/nowhere/file",
        b"folder": b"boot",
    }.items():
        tree.add(name, Symlink(metadata=LINK, target=target))
    put_file(tree, b"a:b", b"colon", metadata=FILE)
    put_file(tree, b"a:b:c", b"colons", metadata=FILE)
    put_file(tree, b"\xff\x1b[2J", b"strange", metadata=FILE)
    return tree


ARCHIVE = build_tar(outer())


def read(inner: str | bytes) -> bytes:
    text = inner if isinstance(inner, str) else inner.decode("utf-8", "surrogateescape")
    return bytes(find_part(Input(ARCHIVE, name="x.tar"), text).data)


@pytest.mark.parametrize(
    ("inner", "content"),
    [
        ("etc/motd", b"outer"),
        ("/etc/motd", b"outer"),
        ("./etc//motd/", b"outer"),
        ("etc/../../etc/motd", b"outer"),
        ("up", b"outer"),
        ("a", b"text"),
        ("a:b", b"colon"),
        ("a:b:c", b"colons"),
        ("boot/core:etc/motd", b"middle"),
        ("core:etc/motd", b"middle"),
        ("folder/core:etc/motd", b"middle"),
        ("core:etc/absolute", b"middle"),
        ("boot/core:/opt/inner:/etc/motd", b"inner"),
        ("core:opt/inner:usr/bin/sh", b"shell"),
        (b"\xff\x1b[2J", b"strange"),
    ],
)
def test_address_leads_to_content(inner: str | bytes, content: bytes) -> None:
    assert read(inner) == content


def test_file_at_the_end_of_an_address_is_not_unpacked() -> None:
    assert read("boot/core")[:2] == b"\x1f\x8b"
    assert find_part(Input(ARCHIVE, name="x.tar"), "core").name == "x.tar:core"


@pytest.mark.parametrize(
    ("inner", "message", "hint"),
    [
        ("ect/motd", "x.tar has no ect", "did you mean x.tar:etc? it has"),
        ("etc/modt", "x.tar:etc has no modt", "did you mean x.tar:etc/motd? it has motd"),
        ("BOOT/core", "x.tar has no BOOT", "did you mean x.tar:boot? it has"),
        ("core:etc/modt", "x.tar:core:etc has no modt", "did you mean x.tar:core:etc/motd? it has"),
        ("core:zzz", "x.tar:core has no zzz", "it has etc, opt"),
        ("etc/motd/x", "x.tar:etc/motd is a file, not a folder", "x.tar:etc/motd:x"),
        ("boot/core/etc/motd", "x.tar:boot/core is a file, not a", "x.tar:boot/core:etc/motd"),
        ("a:x", "x.tar:a is a text file, so nothing is inside it", "a colon may follow an archive"),
        ("boot:core", "x.tar:boot is a folder, not an archive", "x.tar:boot/…"),
        (":etc", "x.tar: is a folder, not an archive", "slash"),
        ("boot", "x.tar:boot is a folder, not a file", "purekernel ls x.tar:boot"),
        ("folder", "x.tar:folder is a folder, not a file", "purekernel ls x.tar:folder"),
        ("", "x.tar: is a folder, not a file", "purekernel ls x.tar:"),
        ("loop", "x.tar:loop: 'loop' passes through more than 40 symbolic links", "points back"),
        ("loop/x", "x.tar:loop: 'loop' passes through more than 40 symbolic links", "points back"),
        ("ring", "x.tar:ring: 'ring' passes through more than 40 symbolic links", "points back"),
        ("dangling", "x.tar:dangling is a symbolic link to '/nowhere/file', which is m", "links"),
        ("dangling/x", "x.tar:dangling is a symbolic link to '/nowhere/file', which is m", "links"),
        ("dangling:x", "x.tar:dangling is a symbolic link to '/nowhere/file', which is m", "links"),
        ("x" * 5000, "x.tar has no path of 5000 bytes", "check"),
        ("a\x1b[2J", "x.tar has no a\\x1b[2J", "it has"),
        ("nul\0", "x.tar has no nul\\x00", "it has"),
    ],
)  # fmt: skip
def test_error_names_the_place_where_the_address_stops(inner: str, message: str, hint: str) -> None:
    with pytest.raises(PurekernelError) as caught:
        read(inner)
    assert str(caught.value).startswith(message)
    assert hint in caught.value.hint
    assert str(caught.value).isprintable()
    assert caught.value.hint.isprintable()


def test_long_folder_is_not_listed_whole() -> None:
    tree = Tree()
    for number in range(30):
        put_file(tree, b"file%02d" % number, b"", metadata=FILE)
    with pytest.raises(MissingPathError) as caught:
        find_part(Input(build_tar(tree), name="x"), "nothing")
    assert caught.value.hint == (
        "it has file00, file01, file02, file03, file04, file05, file06, file07 and 22 more"
    )


def test_empty_folder_is_called_empty() -> None:
    tree = tree_of(a=b"a")
    tree.add(b"empty", Directory(metadata=Metadata(mode=0o755)))
    with pytest.raises(MissingPathError) as caught:
        find_part(Input(build_tar(tree), name="x"), "empty/file")
    assert caught.value.hint == "it is empty"


def test_number_of_colons_is_limited() -> None:
    with pytest.raises(InputError, match="at most 64 colons"):
        read(":" * MAX_COLONS)


def test_archives_on_the_way_count_against_one_budget() -> None:
    limits = Limits(budget=Budget(len(ARCHIVE) + 3000))
    file = Input(ARCHIVE, name="x.tar", limits=limits)
    assert bytes(find_part(file, "etc/motd").data) == b"outer"
    limits = Limits(budget=Budget(len(ARCHIVE) + 3000))
    with pytest.raises(LimitError, match=r"^x\.tar:core"):
        find_part(Input(ARCHIVE, name="x.tar", limits=limits), "core:opt/inner:etc/motd")


def test_compressed_file_in_compressed_files_is_reached_by_as_many_colons() -> None:
    data, depth = b"end", 8
    for _level in range(depth):
        data = gzip.compress(data, 1)
    name = "x" + ".gz" * depth
    inner = ":".join("x" + ".gz" * level for level in reversed(range(depth)))
    assert bytes(find_part(Input(data, name=name), inner).data) == b"end"


def test_archive_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = address.open_archive

    def count(file: Input, *, name: bytes, metadata: Metadata) -> object:
        opened.append(file.name)
        return real(file, name=name, metadata=metadata)

    monkeypatch.setattr(address, "open_archive", count)
    tree = Tree()
    tree.add(b"x.tar", File(metadata=FILE, content=ARCHIVE))
    top = Item(address="x.tar", tree=tree, path=b"x.tar", limits=Limits())
    opener = Opener()
    for inner in (b"core:etc/motd", b"core:opt/inner", b"etc/motd", b"core:etc"):
        opener.find(top, inner)
    assert opened == ["x.tar", "x.tar:core"]


NAMES = st.text(st.sampled_from("ab:.é\n"), min_size=1, max_size=4).filter(
    lambda name: name not in (".", "..")
)


@given(st.lists(NAMES, min_size=1, max_size=3), st.lists(NAMES, max_size=3))
def test_longest_existing_name_wins(path: list[str], others: list[str]) -> None:
    """Any path is found by its own name, whatever other names with colons are beside it."""
    tree = Tree()
    wanted = "/".join(path).encode()
    put_file(tree, wanted, b"wanted", metadata=FILE)
    for other in others:
        if other.encode() not in tree:
            tree.add(other.encode(), File(metadata=FILE, content=b"other"))
    top = Item(address="x", tree=tree, path=ROOT, limits=Limits())
    item, rest = top.step(wanted)
    assert (item.path, rest) == (wanted, None)
    assert bytes(item.load().data) == b"wanted"


@given(st.binary(max_size=40))
def test_any_bytes_are_found_or_refused(inner: bytes) -> None:
    tree = outer()
    top = Item(address="x", tree=tree, path=ROOT, limits=Limits())
    message = ""
    try:
        assert Opener().find(top, inner).path in tree
    except PurekernelError as error:
        message = str(error) + error.hint
    assert message.isprintable()


def test_archive_entered_by_an_empty_path_is_its_top_folder() -> None:
    top = Item(address="x", tree=outer(), path=ROOT, limits=Limits())
    item = Opener().find(top, b"core:")
    assert (item.address, item.path) == ("x:core:", ROOT)
    assert item.tree.entries(ROOT) == [b"etc", b"opt"]

"""Parse manifests, apply them to trees, and compare with bsdtar."""

from __future__ import annotations

import hashlib
import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import ConflictError, FormatError, InputError, PathError, PurekernelError
from purekernel.formats.mtree import (
    EntryType,
    FindInTree,
    ManifestEntry,
    apply_manifest,
    is_mtree,
    parse_mtree,
)
from purekernel.formats.tar import parse_tar
from purekernel.host.overlay_reader import load_layer
from purekernel.input import Input, Limits
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Layer,
    Metadata,
    Symlink,
    Tree,
)
from tests.oracles import require, run

TIME = 1_400_000_000


def manifest(text: str | bytes) -> Input:
    data = text.encode() if isinstance(text, str) else text
    return Input(b"#mtree\n" + data, name="m")


def parse(text: str | bytes) -> tuple[ManifestEntry, ...]:
    return parse_mtree(manifest(text))


def only(text: str | bytes) -> ManifestEntry:
    (entry,) = parse(text)
    return entry


def folder() -> Tree:
    """Return a folder as read on Windows: without links, with guessed modes."""
    tree = Tree()
    tree.add(b"etc", Directory(metadata=Metadata(mode=0o755, mtime=TIME)))
    tree.add(b"etc/conf", File(metadata=Metadata(mode=0o644, mtime=TIME), content=b"conf\n"))
    tree.add(b"etc/link", File(metadata=Metadata(mode=0o644, mtime=TIME), content=b"conf"))
    tree.add(b"run", File(metadata=Metadata(mode=0o755, mtime=TIME), content=b"#!/bin/sh\n"))
    return tree


def apply(text: str, base: Tree | None = None) -> Layer:
    base = folder() if base is None else base
    return apply_manifest(manifest(text), base=base, find=FindInTree(base), mtime=TIME)


def test_nested_and_full_paths_give_the_same_entries() -> None:
    nested = parse(
        ". type=dir\n  etc type=dir\n    conf type=file\n  ..\n\n"
        "  # a comment\n  run type=file\n..\n"
    )
    full = parse("./ type=dir\n./etc type=dir\netc/conf type=file\n./run type=file\n")
    assert [entry.path for entry in nested] == [b"", b"etc", b"etc/conf", b"run"]
    assert [(entry.path, entry.kind) for entry in nested] == [
        (entry.path, entry.kind) for entry in full
    ]


def test_full_path_does_not_close_the_open_folder() -> None:
    entries = parse("a type=dir\n./x/y type=dir\nb type=file\n")
    assert [entry.path for entry in entries] == [b"a", b"x/y", b"a/b"]


def test_all_keywords_are_read() -> None:
    entry = only(
        "./a type=file mode=04755 uid=1001 gid=50 time=5.9 size=3 contents=./x/y "
        "md5=0xAB sha256digest=cd optional nlink=2 cksum=1 flags=none tags=x inode=5 ignore"
    )
    assert entry == ManifestEntry(
        path=b"a",
        line=2,
        kind=EntryType.FILE,
        mode=0o4755,
        uid=1001,
        gid=50,
        mtime=5,
        size=3,
        contents=b"x/y",
        digests=(("md5", "ab"), ("sha256", "cd")),
        optional=True,
    )
    assert entry.metadata == {"mode": 0o4755, "uid": 1001, "gid": 50, "mtime": 5}


def test_defaults_are_set_and_unset() -> None:
    entries = parse(
        "/set type=file uid=1 gid=2 mode=0600\na\n/unset uid gid\nb mode=0700\n/unset all\nc\n"
    )
    assert [entry.metadata for entry in entries] == [
        {"uid": 1, "gid": 2, "mode": 0o600},
        {"mode": 0o700},
        {},
    ]
    assert [entry.kind for entry in entries] == [EntryType.FILE, EntryType.FILE, None]


def test_uname_is_resolved_and_uid_takes_precedence() -> None:
    assert only("a uname=tc gname=staff").metadata == {"uid": 1001, "gid": 50}
    assert only("a uname=root gname=root").metadata == {"uid": 0, "gid": 0}
    assert only("a uid=7 uname=builder gname=users gid=8").metadata == {"uid": 7, "gid": 8}
    assert only("/set uid=0 gid=0\na uname=tc").metadata == {"uid": 1001, "gid": 0}


def test_continued_line_is_joined_and_errors_have_its_first_number() -> None:
    assert only("a type=link \\\n  link=b\\\\\n").link == b"b\\"
    with pytest.raises(FormatError, match=r"^m, line 3: "):
        parse("a\nb \\\n  mode=9\n")


def test_windows_line_ends_and_byte_order_marks_are_read() -> None:
    data = b"\xef\xbb\xbf#mtree\r\n./a type=link \\\r\n link=b\r\n"
    assert is_mtree(data)
    assert [entry.link for entry in parse_mtree(Input(data, name="m"))] == [b"b"]


def test_later_line_overrides_keywords() -> None:
    entry = only("/set mode=0644 uid=5\n./a type=fifo mode=0600\n./a uid=6\n")
    assert (entry.kind, entry.mode, entry.uid) == (EntryType.FIFO, 0o600, 6)


@pytest.mark.parametrize(
    ("escaped", "name"),
    [
        ("a\\040b", b"a b"),
        ("a\\sb", b"a b"),
        ("\\377\\376", b"\xff\xfe"),
        ("\\M-a\\M^A\\^A\\^?\\M^?", b"\xe1\x81\x01\x7f\xff"),
        ("\\a\\b\\f\\n\\r\\t\\v\\E", b"\a\b\f\n\r\t\v\x1b"),
        ("\\#\\\\\\x41\\*\\[", b"#\\A*["),
        ("a#b=c", b"a#b=c"),
        ("caf\u00e9", b"caf\xc3\xa9"),
        ("...", b"..."),
    ],
)
def test_names_are_unescaped(escaped: str, name: bytes) -> None:
    assert only(escaped).path == name
    assert only(f"a type=link link=x{escaped}").link == b"x" + name


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("native,1,3", (1, 3)),
        ("linux,4,64", (4, 64)),
        ("freebsd,0x10,010", (16, 8)),
        ("259", (1, 3)),
        ("0x0103", (1, 3)),
        ("0x11170", (273, 112)),
        ("0x100000000103", (0x1001, 3)),
    ],
)
def test_devices_are_read(text: str, numbers: tuple[int, int]) -> None:
    assert only(f"a type=char device={text}").device == numbers


ONE_LINE = "correct that line of the manifest"
DEVICE = "m, line 2: expected a device such as native,4,64 or linux,4,64, got "
REFUSED = [
    (
        "a sha265=00",
        "m, line 2: expected a keyword of mtree(5), got 'sha265'",
        "the most similar keyword is 'sha256'",
    ),
    (
        "a type=file # why",
        "m, line 2: expected a keyword of mtree(5), got '#'",
        "put comments on lines of their own; in a name, write \\043 for '#'",
    ),
    (
        "a type=hardlink",
        ("m, line 2: expected one of the types block, char, dir, fifo, file, link, socket, "
        "got 'hardlink'"),
        ONE_LINE,
    ),
    (
        "a mode=u+x",
        "m, line 2: expected a mode of octal digits, 0 to 7777, got 'u+x'",
        "write the mode in octal, such as 0755; symbolic modes are not supported",
    ),
    ("a mode=10000", "m, line 2: expected a mode of octal digits, 0 to 7777, got '10000'", ""),
    ("a uid=-1", "m, line 2: expected a number from 0 to 4294967295, got '-1'", ONE_LINE),
    ("a uid=4294967296", "m, line 2: expected a number from 0 to 4294967295, got '4294967296'", ""),
    (
        "a uname=builder",
        "m, line 2: expected root or tc, got 'builder'",
        "use the number instead: uid=…",
    ),
    (
        "a gname=wheel",
        "m, line 2: expected root or staff, got 'wheel'",
        "use the number instead: gid=…",
    ),
    ("a device=native,1,2,3", DEVICE + "'native,1,2,3'", ""),
    ("a device=cpm,1,2", DEVICE + "'cpm,1,2'", ""),
    ("a device=089", DEVICE + "'089'", ""),
    (
        "a time=now",
        "m, line 2: expected seconds since 1970, with or without '.nanoseconds', got 'now'",
        "",
    ),
    ("a size=-1", "m, line 2: expected a size in bytes, got '-1'", ""),
    ("a md5=xyz", "m, line 2: expected a digest in hexadecimal, got 'xyz'", ""),
    ("a mode", "m, line 2: expected a value for mode, got none", ""),
    ("a mode=", "m, line 2: expected a value for mode, got none", ""),
    ("a optional=yes", "m, line 2: expected optional without a value, got 'yes'", ""),
    ("a\\q", "m, line 2: expected an escape of vis(3), such as \\040, got '\\\\q'", ""),
    ("a link=x\\0", "m, line 2: expected a path without NUL, got 'x\\x00'", ""),
    ("..", "m, line 2: expected an open folder for '..' to close, got none", ""),
    ("a type=dir\n.. x=y", "m, line 3: expected '..' alone on its line, got '.. x=y'", ""),
    ("/unset uid", "m, line 2: expected a keyword that /set has set, got 'uid'", ""),
    ("/set colour=red", "m, line 2: expected a keyword of mtree(5), got 'colour'", ""),
    ("a \\", "m, line 2: expected a line after the '\\' at the end of the line, got nothing", ""),
    (
        "./a type=file\n./a type=dir",
        "m, line 3: expected 'a' of type 'file' as on line 2, got 'dir'",
        "",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "hint"), REFUSED)
def test_malformed_line_raises_format_error(text: str, message: str, hint: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(text)
    assert str(caught.value).replace("\\\\q", "\\q") == message.replace("\\\\q", "\\q")
    assert not hint or caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "/etc/passwd type=file",
            "m, line 2: the name '/etc/passwd' must be relative, got an absolute path",
        ),
        ("./a/../../b", "m, line 2: the name './a/../../b' contains '..'"),
        ("a contents=../secret", "m, line 2: the name '../secret' contains '..'"),
        (
            "a contents=/etc/shadow",
            "m, line 2: the name '/etc/shadow' must be relative, got an absolute path",
        ),
        ("a\\0b", "m, line 2: the name 'a\\x00b' contains a NUL"),
    ],
)
def test_path_outside_of_the_image_is_refused(text: str, message: str) -> None:
    with pytest.raises(PathError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_missing_signature_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        parse_mtree(Input(b"./a type=file\n", name="m"))
    assert str(caught.value) == "m, line 1: expected #mtree on the first line, got './a type=file'"
    assert caught.value.hint == "put '#mtree' on the first line of the manifest"


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_only_our_errors(data: bytes) -> None:
    with suppress(PurekernelError):
        parse(data)


@pytest.mark.slow
def test_random_damage_raises_only_our_errors() -> None:
    chance = random.Random(5)
    text = (
        b"/set type=file uid=0 gid=0 mode=0644\n. type=dir\n a type=dir\n  b\\040c size=3 md5=00\n"
        b" ..\n..\n./d type=char device=native,1,3 time=1.5\n./e type=link link=a\\\\b \\\n uid=1\n"
    )
    for _ in range(3000):
        damaged = bytearray(text)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.choice(b"\0\xff\\\n=./# 0a9")
        with suppress(PurekernelError):
            apply_manifest(manifest(bytes(damaged)), base=Tree(), find=FindInTree(Tree()), mtime=0)


def test_manifest_adds_links_devices_and_modes() -> None:
    layer = apply(
        "/set uid=0 gid=0\n"
        "./etc/conf mode=0640\n"
        "./etc/link type=link link=conf mode=0777\n"
        "./dev/null type=char device=native,1,3 mode=0666 time=7\n"
        "./tmp type=dir mode=01777\n"
        "./pipe type=fifo\n"
        "./usr/bin/run type=file contents=run uname=tc\n"
    )
    tree = layer.tree
    assert tree[b"etc/conf"] == File(metadata=Metadata(mode=0o640, mtime=TIME), content=b"conf\n")
    assert tree[b"etc/link"] == Symlink(metadata=Metadata(mode=0o777, mtime=TIME), target=b"conf")
    assert tree[b"dev/null"] == Device(
        metadata=Metadata(mode=0o666, mtime=7), kind=DeviceKind.CHARACTER, major=1, minor=3
    )
    assert tree[b"dev"] == Directory(metadata=Metadata(mode=0o755, mtime=TIME))
    assert tree[b"tmp"] == Directory(metadata=Metadata(mode=0o1777, mtime=TIME))
    assert tree[b"pipe"] == Fifo(metadata=Metadata(mode=0o644, mtime=TIME))
    assert tree[b"usr/bin/run"] == File(
        metadata=Metadata(mode=0o755, uid=1001, mtime=TIME), content=b"#!/bin/sh\n"
    )
    assert tree[b"run"] == folder()[b"run"]
    assert layer.stated == {
        b"etc/conf": {"mode", "uid", "gid"},
        b"etc/link": {"mode", "uid", "gid"},
        b"dev/null": {"mode", "uid", "gid", "mtime"},
        b"tmp": {"mode", "uid", "gid"},
        b"pipe": {"uid", "gid"},
        b"usr/bin/run": {"uid", "gid"},
    }


def test_base_is_not_changed() -> None:
    base = folder()
    apply("./etc/conf mode=0", base)
    assert base == folder()


def test_metadata_of_the_root_is_set() -> None:
    layer = apply(". type=dir mode=0700 gid=50\n..\n")
    assert layer.tree[b""].metadata == Metadata(mode=0o700, gid=50)
    assert layer.stated == {b"": {"mode", "gid"}}


def test_missing_optional_and_nochange_entries_change_nothing() -> None:
    layer = apply("./nope type=file optional mode=0\n./etc/conf nochange mode=0 uid=5\n")
    assert layer.tree == folder()
    assert layer.stated == {}


def test_all_missing_files_are_in_one_message() -> None:
    with pytest.raises(InputError) as caught:
        apply("./a type=file\n./etc/conf\n./b\n./c contents=x/y\n./d nochange\n")
    assert str(caught.value) == (
        "m lists missing files: 'a' (line 2), 'b' (line 4), 'x/y' (line 5), 'd' (line 6)"
    )
    assert caught.value.hint == (
        "add the files, set others with contents=, or mark the entries optional"
    )


def test_all_mismatches_are_in_one_message() -> None:
    digest = hashlib.sha256(b"conf\n").hexdigest()
    with pytest.raises(InputError) as caught:
        apply(
            f"./etc/conf size=4 sha256={'0' * 64}\n./run type=link\n./x type=block\n"
            "./y type=file contents=etc\n"
        )
    assert str(caught.value) == (
        "m does not match its files: 'etc/conf' (line 2) has 5 bytes, not 4; "
        f"'etc/conf' (line 2) has sha256 {digest}, not {'0' * 64}; "
        "'run' (line 3) needs link=; 'x' (line 4) needs device=; 'etc' (line 5) is a folder"
    )


@pytest.mark.parametrize(
    "keyword", ["md5", "md5digest", "sha1", "sha256", "sha256digest", "sha384", "sha512digest"]
)
def test_matching_digest_is_accepted(keyword: str) -> None:
    digest = hashlib.new(keyword.removesuffix("digest"), b"conf\n").hexdigest()
    assert apply(f"./etc/conf {keyword}={digest.upper()} size=5").tree == folder()


def test_link_cannot_replace_a_folder() -> None:
    with pytest.raises(ConflictError) as caught:
        apply("./etc type=link link=x\n")
    assert str(caught.value) == (
        "m, line 2: 'etc' is a folder, and a symbolic link cannot replace it"
    )


# Comparison with bsdtar

SPEC = """#mtree
/set type=file uid=0 gid=0 mode=0644 time=1400000000.5
.  type=dir mode=0755
    etc  type=dir mode=0755
        conf sha256digest={digest} size=5
        a\\040b contents=files/a mode=04755
        lnk type=link link=../a\\040b mode=0777
        foo#bar contents=./files/a uid=1001 gid=50
        caf\\303\\251 contents=files/a
    ..
    # files that a folder on Windows cannot hold
    dev type=dir mode=0755
        null type=char mode=0666 device=native,1,3
        tty type=char device=linux,4,64 mode=0600
        sda type=block device=0x0103 gid=50
    ..
..
./opt type=dir mode=02775 gid=50
./opt/sl type=link link=\\
/x/y mode=0777
./opt/pipe type=fifo mode=0600 time=5
./opt/run contents=files/run
./nope optional
/unset mode
./opt/run2 contents=files/run
"""


@pytest.mark.oracle
def test_result_of_a_manifest_equals_that_of_bsdtar(tmp_path: Path) -> None:
    program = require("bsdtar")
    (tmp_path / "files").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "files" / "a").write_bytes(b"hi\n")
    (tmp_path / "files" / "run").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "files" / "run").chmod(0o751)
    (tmp_path / "etc" / "conf").write_bytes(b"conf\n")
    spec = tmp_path / "spec.mtree"
    spec.write_text(SPEC.format(digest=hashlib.sha256(b"conf\n").hexdigest()))
    packed = run(program, "-cf", "-", "@spec.mtree", cwd=tmp_path)
    theirs = parse_tar(Input(packed, name="bsdtar"))
    ours = load_layer(spec, mtime=TIME).tree
    assert len(ours) == 16
    assert ours == theirs


@pytest.mark.oracle
@pytest.mark.parametrize("options", ["", "use-set,sha256,indent", "all"])
def test_manifests_of_bsdtar_are_read(options: str, tmp_path: Path) -> None:
    program = require("bsdtar")
    tree = tmp_path / "tree"
    (tree / "a b" / "c").mkdir(parents=True)
    (tree / "a b" / "c" / "\xe9#\\x").write_bytes(b"x")
    (tree / "soft").symlink_to("a b/c")
    (tree / "a b").chmod(0o2750)
    mtree = [f"--options=mtree:{options}"] if options else []
    text = run(program, "--format=mtree", *mtree, "-cf", "-", "-C", tree, ".")
    packed = run(program, "-cf", "-", "-C", tree, ".")
    (tree / "spec.mtree").write_bytes(text)
    assert load_layer(tree / "spec.mtree", mtime=0).tree == parse_tar(Input(packed, name="bsdtar"))


def notes_of(text: bytes) -> list[str]:
    notes: list[str] = []
    limits = Limits(report=notes.append)
    parse_mtree(Input(b"#mtree\n" + text, name="x.mtree", limits=limits))
    return notes


def test_file_flags_and_unverified_sums_are_reported() -> None:
    text = b"./a type=file flags=schg cksum=5\n./b type=file flags=uappnd\n"
    assert notes_of(text) == [
        "x.mtree: ignored the flags of 2 names, which an image cannot hold, for example 'a'",
        "x.mtree: did not verify the cksum or RIPEMD digest of 1 name (use sha256): 'a'",
    ]


def test_keywords_about_the_disk_are_not_reported() -> None:
    text = b"/set flags=none nlink=1\n./a type=file inode=5 resdevice=1 tags=x\n"
    assert notes_of(text) == []

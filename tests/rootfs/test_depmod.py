from __future__ import annotations

import gzip
import importlib
import lzma
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import ConflictError, FormatError, MissingPathError
from purekernel.formats.compression import unpack
from purekernel.formats.module_index import IndexValue, parse_index
from purekernel.input import Input
from purekernel.rootfs.depmod import (
    Busybox,
    Dialect,
    Kmod,
    depmod,
    detect_dialect,
)
from purekernel.rootfs.depmod.normalize import normalize_alias
from purekernel.tree import File, Metadata, Tree
from tests.depmods import RELEASE, index, lines, looked_up, make_tree, paths
from tests.kernel_modules import make_module

NOW = 1_500_000_000

KMOD_FILES = [
    b"modules.dep",
    b"modules.dep.bin",
    b"modules.alias",
    b"modules.alias.bin",
    b"modules.softdep",
    b"modules.symbols",
    b"modules.symbols.bin",
    b"modules.builtin.bin",
    b"modules.builtin.alias.bin",
    b"modules.devname",
]


SMALL: dict[str, bytes | str] = {
    "kernel/fs/upper-one.ko": make_module(
        ["alias=fs-upper", "softdep=pre: crc", "depends=lower"],
        exports=[("upper", 1)],
        wants=["lower", "printk"],
    ),
    "kernel/lib/lower.ko": make_module(["alias=low-[a-z]er"], exports=[("lower", 2)]),
    "modules.order": b"kernel/lib/lower.ko\nkernel/fs/upper-one.ko\n",
    "modules.builtin": b"kernel/lib/built-in.ko\n",
    "modules.builtin.modinfo": b"built_in.license=GPL\0built_in.alias=crypto-x\0",
}


# Files written by each depmod


def test_files_of_kmod() -> None:
    done = index(SMALL)
    assert list(done.files) == KMOD_FILES
    assert done.files[b"modules.dep"] == (
        b"kernel/lib/lower.ko:\nkernel/fs/upper-one.ko: kernel/lib/lower.ko\n"
    )
    assert done.files[b"modules.alias"] == (
        b"# Aliases extracted from modules themselves.\n"
        b"alias low-[a-z]er lower\nalias fs-upper upper_one\n"
    )
    assert done.files[b"modules.softdep"] == (
        b"# Soft dependencies extracted from modules themselves.\nsoftdep upper_one pre: crc\n"
    )
    assert done.files[b"modules.symbols"] == (
        b"# Aliases for symbols, used by symbol_request().\n"
        b"alias symbol:upper upper_one\nalias symbol:lower lower\n"
    )
    assert done.files[b"modules.devname"] == b""
    assert looked_up(done, "modules.dep.bin") == [
        IndexValue(b"lower", b"kernel/lib/lower.ko:", 0),
        IndexValue(b"upper_one", b"kernel/fs/upper-one.ko: kernel/lib/lower.ko", 1),
    ]
    assert looked_up(done, "modules.alias.bin") == [
        IndexValue(b"fs_upper", b"upper_one", 1),
        IndexValue(b"low_[a-z]er", b"lower", 0),
    ]
    assert looked_up(done, "modules.symbols.bin") == [
        IndexValue(b"symbol:lower", b"lower", 0),
        IndexValue(b"symbol:upper", b"upper_one", 1),
    ]
    assert looked_up(done, "modules.builtin.bin") == [IndexValue(b"built_in", b"", 0)]
    assert looked_up(done, "modules.builtin.alias.bin") == [IndexValue(b"crypto_x", b"built_in", 0)]
    assert done.warnings == ()


def test_files_of_busybox() -> None:
    # The last module read comes first.
    done = index(SMALL, Busybox(version=(1, 20)))
    assert done.files == {
        b"modules.dep": b"kernel/lib/lower.ko:\nkernel/fs/upper-one.ko: kernel/lib/lower.ko\n",
        b"modules.alias": b"alias low-[a-z]er lower\nalias fs-upper upper-one\n",
        b"modules.symbols": b"",
    }
    assert done.warnings == ()


def test_newer_busybox_writes_kernel_names_by_bucket() -> None:
    done = index(SMALL, Busybox(version=(1, 35)))
    assert done.files[b"modules.alias"] == b"alias fs-upper upper_one\nalias low-[a-z]er lower\n"
    done = index(SMALL, Busybox(version=(1, 24)))
    assert done.files[b"modules.alias"] == b"alias low-[a-z]er lower\nalias fs-upper upper_one\n"


def test_busybox_finds_symbols_by_ksymtab_names() -> None:
    content = b"ELF\0__ksymtab_strings\0__ksymtab_gpl\0__ksymtab_one\0__ksymtab_two\0" + bytes(20)
    done = index({"kernel/a.ko": content}, Busybox())
    assert lines(done, "modules.symbols") == ["alias symbol:two a", "alias symbol:one a"]


def test_files_have_mtime_and_input_tree_is_unchanged() -> None:
    tree = make_tree({**SMALL, "modules.dep": b"stale"})
    before = tree.copy()
    done = depmod(tree, RELEASE.encode(), mtime=NOW, dialect=Kmod())
    assert tree == before
    for name, content in done.files.items():
        made = File(metadata=Metadata(mode=0o644, mtime=NOW), content=content)
        assert done.tree[f"lib/modules/{RELEASE}/".encode() + name] == made
    added = len(done.tree) - len(tree)
    assert added == len(KMOD_FILES) - 1
    assert depmod(done.tree, RELEASE.encode(), mtime=NOW, dialect=Kmod()).files == done.files


def test_kmod_replaces_existing_file_and_busybox_overwrites_it() -> None:
    tree = make_tree({"kernel/a.ko": make_module(), "modules.alias": "/etc/aliases", "/etc/x": b""})
    old = File(metadata=Metadata(mode=0o600, uid=7), content=b"old")
    folder = f"lib/modules/{RELEASE}".encode()
    dep, alias = folder + b"/modules.dep", folder + b"/modules.alias"
    tree.add(dep, old)
    tree.add(b"etc/aliases", old)
    tree.link(b"etc/dep", dep)
    done = depmod(tree, RELEASE.encode(), mtime=NOW, dialect=Kmod())
    assert done.tree[dep].metadata == Metadata(mode=0o644, mtime=NOW)
    assert isinstance(done.tree[alias], File)
    assert done.tree[b"etc/dep"] == done.tree[b"etc/aliases"] == old
    done = depmod(tree, RELEASE.encode(), mtime=NOW, dialect=Busybox())
    written = Metadata(mode=0o600, uid=7, mtime=NOW)
    assert done.tree[b"etc/dep"] == File(metadata=written, content=b"kernel/a.ko:\n")
    assert done.tree.inode(b"etc/dep") == done.tree.inode(dep)
    assert done.tree[b"etc/aliases"] == File(metadata=written, content=b"")
    assert done.tree[alias] == tree[alias]


@pytest.mark.parametrize("dialect", [Kmod(), Busybox()])
def test_folder_instead_of_file_conflicts(dialect: Dialect) -> None:
    with pytest.raises(ConflictError, match=r"modules\.dep' is a folder"):
        index({"modules.dep/x": b""}, dialect)


def test_lib_linked_to_usr_lib_is_followed() -> None:
    tree = make_tree({"/lib/x": b"", **SMALL})
    moved = Tree()
    for path, node in tree.walk(b"lib"):
        moved.add_parents(b"usr/" + path)
        moved.add(b"usr/" + path, node)
    moved.add(b"lib", make_tree({"/lib2": "usr/lib"})[b"lib2"])
    done = depmod(moved, RELEASE.encode(), mtime=NOW, dialect=Kmod())
    assert done.files == index(SMALL).files
    assert f"usr/lib/modules/{RELEASE}/modules.dep".encode() in done.tree


@pytest.mark.parametrize("release", [b"6.1.1", b"6.1.0/kernel", b"../modules/6.1.0"])
def test_missing_release_is_refused(release: bytes) -> None:
    message = r"^'lib/modules/.*': folder not found in the image$"
    with pytest.raises(MissingPathError, match=message):
        depmod(make_tree(SMALL), release, mtime=NOW)


# Detection of the depmod in a tree


@pytest.mark.parametrize(
    ("files", "dialect"),
    [
        ({}, Kmod()),
        ({"/bin/busybox": b"..BusyBox v1.36.1 (x).."}, Busybox(version=(1, 36))),
        ({"/bin/busybox": b"of no version"}, Busybox()),
        (
            {"/bin/busybox": b"BusyBox v1.19.0 (x)", "/etc/init.d/tc-functions": b""},
            Busybox(version=(1, 19), follows_links=True),
        ),
        (
            {"/bin/busybox": b"BusyBox v1.20.2", "/sbin/depmod": "/bin/busybox"},
            Busybox(version=(1, 20)),
        ),
        (
            {"/bin/busybox": b"BusyBox v1.20.2", "/sbin/depmod": "../bin/kmod", "/bin/kmod": b"x"},
            Kmod(),
        ),
        ({"/usr/sbin/depmod": b"\0kmod version 34.2\0"}, Kmod(version=34)),
        ({"/sbin/depmod": "/bin/gone", "/bin/busybox": b"BusyBox v1.30"}, Busybox(version=(1, 30))),
        ({"/sbin/depmod/x": b"a folder"}, Kmod()),
    ],
)
def test_dialect_is_detected(files: dict[str, bytes | str], dialect: Dialect) -> None:
    tree = make_tree(files)
    assert detect_dialect(tree) == dialect
    written = depmod(tree, RELEASE.encode(), mtime=NOW).files
    assert (b"modules.dep.bin" in written) == isinstance(dialect, Kmod)


def test_later_kmod_writes_weakdep_and_root_first_indexes() -> None:
    files: dict[str, bytes | str] = {**SMALL, "a.ko": make_module(["weakdep=b c", "weakdep=d"])}
    old, later, new = (index(files, Kmod(version=version)) for version in (32, 33, 34))
    assert b"modules.weakdep" not in old.files
    assert later.files[b"modules.weakdep"] == (
        b"# Weak dependencies extracted from modules themselves.\nweakdep a b c\nweakdep a d\n"
    )
    assert list(later.files).index(b"modules.weakdep") == KMOD_FILES.index(b"modules.softdep") + 1
    assert {
        name: content for name, content in later.files.items() if name in old.files
    } == old.files
    for name, content in new.files.items():
        if name.endswith(b".bin"):
            assert parse_index(Input(content, name="")) == parse_index(
                Input(later.files[name], name="")
            )
            # Offset of the root node
            assert content[11] == 12
        else:
            assert content == later.files[name]


# The order of modules


def test_order_is_modules_order_then_table() -> None:
    files: dict[str, bytes | str] = {
        f"kernel/{name}.ko": make_module() for name in ("one", "two", "three", "four-x")
    }
    tabled = lines(index(files), "modules.dep")
    assert sorted(tabled) != tabled
    files["modules.order"] = b"none\nkernel/three.ko\n\nkernel/four-x.ko\n"
    done = lines(index(files), "modules.dep")
    assert done[:2] == ["kernel/three.ko:", "kernel/four-x.ko:"]
    assert done[2:] == [line for line in tabled if line not in done[:2]]


def test_modules_order_has_packed_modules_without_suffix() -> None:
    files: dict[str, bytes | str] = {
        "b.ko.xz": lzma.compress(make_module()),
        "a.ko.gz": gzip.compress(make_module()),
        "modules.order": b"b.ko\na.ko\n",
    }
    assert lines(index(files), "modules.dep") == ["b.ko.xz:", "a.ko.gz:"]
    files["modules.order"] = b"a.ko\nb.ko\n"
    assert lines(index(files), "modules.dep") == ["a.ko.gz:", "b.ko.xz:"]


def test_equal_lines_in_modules_order() -> None:
    files: dict[str, bytes | str] = {
        "a.ko": make_module(),
        "b.ko": make_module(),
        "modules.order": b"a.ko\nb.ko\na.ko\n",
    }
    assert lines(index(files, Kmod(version=33)), "modules.dep") == ["b.ko:", "a.ko:"]
    assert lines(index(files, Kmod(version=34)), "modules.dep") == ["a.ko:", "b.ko:"]


def test_truncated_or_missing_modules_order_is_reported() -> None:
    files: dict[str, bytes | str] = {"a.ko": make_module()}
    assert index(files).warnings == ("modules.order: not found",)
    files["modules.order"] = b"a.ko"
    assert index(files).warnings == ("modules.order: ignored: the last line must end in a newline",)


# Values in modules


def test_aliases_are_normalized_in_index_only() -> None:
    information = [
        "alias=a-b[a-b]-",
        "alias=",
        "alias",
        "alias=x y",
        "alias=a=b",
        "alias=twice",
        "alias=twice",
    ]
    done = index({"m-n.ko": make_module(information)})
    assert lines(done, "modules.alias") == [
        "alias a-b[a-b]- m_n",
        "alias  m_n",
        "alias  m_n",
        "alias x y m_n",
        "alias a=b m_n",
        "alias twice m_n",
        "alias twice m_n",
    ]
    assert [entry.key for entry in looked_up(done, "modules.alias.bin")] == [
        b"",
        b"",
        b"a=b",
        b"a_b[a-b]_",
        b"twice",
        b"twice",
        b"x y",
    ]


@pytest.mark.parametrize("alias", ["x]", "[x", "]x[", "a[b]c]", "["])
def test_alias_with_unmatched_bracket_is_not_indexed(alias: str) -> None:
    done = index({"a.ko": make_module([f"alias={alias}"]), "modules.order": b""})
    assert lines(done, "modules.alias") == [f"alias {alias} a"]
    assert looked_up(done, "modules.alias.bin") == []
    assert done.warnings == (f"'a.ko': the alias '{alias}' has an unmatched bracket",)


def test_non_ascii_alias_is_not_indexed() -> None:
    done = index({"a.ko": make_module(["alias=é", "alias=e"]), "modules.order": b""})
    assert lines(done, "modules.alias") == ["alias é a", "alias e a"]
    assert looked_up(done, "modules.alias.bin") == [IndexValue(b"e", b"a", 0)]
    assert done.warnings == ("'é', an alias: not indexed: must be ASCII",)


def test_non_ascii_module_name_is_not_indexed() -> None:
    done = index(
        {
            "é.ko": make_module(exports=[("ü", None)]),
            "modules.order": b"",
            "modules.builtin": "fs/ö.ko\nö.ko\n".encode(),
        }
    )
    assert lines(done, "modules.dep") == ["é.ko:"]
    for name in ("dep", "alias", "symbols", "builtin"):
        assert looked_up(done, f"modules.{name}.bin") == []
    assert len(done.warnings) == 4


@pytest.mark.parametrize(
    ("information", "device"),
    [
        (["alias=devname:net/tun", "alias=char-major-10-200"], "net/tun c10:200"),
        (["alias=block-major-8-1", "alias=devname:sd"], "sd b8:1"),
        (["alias=char-major-1-1", "alias=char-major-2-2", "alias=devname:x"], "x c2:2"),
        (["alias=devname:x", "alias=devname:y", "alias=char-major-1-1"], "y c1:1"),
        (["alias=devname:x", "alias=char-major-1-1", "alias=char-major-2-2"], "x c1:1"),
        (["alias=devname:", "alias=char-major-1- 007x"], " c1:7"),
        (["alias=char-major-1-1"], None),
    ],
)
def test_devname_lines(information: list[str], device: str | None) -> None:
    done = index({"a-b.ko": make_module(information), "modules.order": b""})
    assert lines(done, "modules.devname") == ([] if device is None else [f"a_b {device}"])
    assert done.warnings == ()


def test_device_without_numbers_is_reported() -> None:
    information = ["alias=devname:loop", "alias=block-major-7-*"]
    done = index({"a.ko": make_module(information), "modules.order": b""})
    assert done.files[b"modules.devname"] == b""
    assert done.warnings == ("'a.ko': the device 'loop' has no numbers",)


# Built-in modules


@pytest.mark.parametrize(
    ("information", "names"),
    [
        (b"kernel/a-b.ko\nkernel/c.ko\n", [b"a_b", b"c"]),
        (b"kernel/a.ko", [b"a"]),
        # A name without a suffix continues past the end of its line.
        (b"a\nb", [b"a\n", b"b"]),
        (b"kernel/\n", [b"\n"]),
        (b"a\r.ko\n", [b"a\r"]),
        (b"a\0b.ko\nc.ko\n", [b"a", b"c"]),
        (b"a.ko\na.ko\n", [b"a", b"a"]),
        (b"", []),
    ],
)
def test_builtin_names(information: bytes, names: list[bytes]) -> None:
    done = index({"modules.builtin": information})
    assert [entry.key for entry in looked_up(done, "modules.builtin.bin")] == names
    assert done.files[b"modules.builtin.alias.bin"] == b""


def test_invalid_line_of_modules_builtin_is_reported() -> None:
    done = index({"modules.builtin": b"9p.ko\n\n/x.ko\n\xe9.ko\n", "modules.order": b""})
    assert looked_up(done, "modules.builtin.bin") == []
    assert len(done.warnings) == 4
    assert done.warnings[0] == "modules.builtin: must be the path of a module, got '9p.ko'"


@pytest.mark.parametrize(
    ("information", "aliases"),
    [
        (b"a.alias=x-y\0a.file=z\0b.alias=x[0-9]\0", [(b"x[0-9]", b"b"), (b"x_y", b"a")]),
        (b"a.alias=x\0a.alias=cut", [(b"x", b"a")]),
        (b"a.alias=\0b.alias=y\0", [(b"y", b"b")]),
        # A string without a dot is skipped; one without "=" also skips the next one.
        (b"nodot\0a.alias=y\0", [(b"y", b"a")]),
        (b"a.noequals\0b.alias=gone\0c.alias=y\0", [(b"y", b"c")]),
        (b"a.alias=bad]\0b.alias=y\0", [(b"y", b"b")]),
        (b"\0\0", []),
    ],
)
def test_builtin_aliases(information: bytes, aliases: list[tuple[bytes, bytes]]) -> None:
    done = index({"modules.builtin.modinfo": information})
    found = looked_up(done, "modules.builtin.alias.bin")
    assert [(entry.key, entry.value) for entry in found] == aliases
    assert done.files[b"modules.builtin.bin"] == b""


# Packed modules


def packers() -> list[tuple[str, Callable[[bytes], bytes]]]:
    """Return suffixes and compressors, with zstd if this Python supports it."""
    known: list[tuple[str, Callable[[bytes], bytes]]] = [
        (".ko", bytes),
        (".ko.gz", gzip.compress),
        (".ko.xz", lzma.compress),
    ]
    for name in ("compression.zstd", "backports.zstd"):
        try:
            pack = importlib.import_module(name).compress
            unpack(Input(pack(b"x"), name="x"))
        except (ImportError, FormatError):
            continue
        known.append((".ko.zst", pack))
        break
    return known


@pytest.mark.parametrize(("suffix", "pack"), packers())
@pytest.mark.parametrize("dialect", [Kmod(), Busybox()])
def test_packed_modules_are_indexed(
    suffix: str, pack: Callable[[bytes], bytes], dialect: Dialect
) -> None:
    if suffix == ".ko.zst" and isinstance(dialect, Busybox):
        # This busybox lacks zstd, and finds no fields in the packed module.
        done = index({f"kernel/a{suffix}": pack(make_module(["alias=x"] * 99))}, dialect)
        assert lines(done, "modules.alias").count("alias x a") < 99
        return
    done = index({f"kernel/a{suffix}": pack(make_module(["alias=x"]))}, dialect)
    assert lines(done, "modules.dep") == [f"kernel/a{suffix}:"]
    assert lines(done, "modules.alias") == ["alias x a"]


# Broken modules


BROKEN: dict[str, bytes] = {
    "empty": b"",
    "text": b"#!/bin/sh\necho no module at all\n",
    "cut": make_module(["alias=x"])[:150],
    "packed": gzip.compress(make_module(["alias=x"]))[:-20],
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_module_is_reported_and_others_are_indexed(name: str) -> None:
    files: dict[str, bytes | str] = {
        "kernel/broken.ko": BROKEN[name],
        "kernel/sound.ko": make_module(["alias=sound"]),
        "modules.order": b"",
    }
    done = index(files)
    assert paths(done) == ["kernel/broken.ko", "kernel/sound.ko"]
    assert lines(done, "modules.alias") == ["alias sound sound"]
    (warning,) = done.warnings
    assert warning.startswith("cannot read a module: 'kernel/broken.ko'")


def test_busybox_reports_broken_packed_module() -> None:
    files: dict[str, bytes | str] = {
        "broken.ko.gz": BROKEN["packed"],
        "sound.ko": make_module(["alias=sound"]),
    }
    done = index(files, Busybox())
    assert paths(done) == ["broken.ko.gz", "sound.ko"]
    assert lines(done, "modules.alias") == ["alias sound sound"]
    (warning,) = done.warnings
    assert warning.startswith("cannot read a module: 'broken.ko.gz'")


LISTS = ("modules.order", "modules.builtin", "modules.builtin.modinfo", "/etc/depmod.d/a.conf")


@given(
    contents=st.tuples(*(st.binary(max_size=60) for _ in LISTS)),
    alias=st.binary(max_size=20).map(lambda alias: alias.replace(b"\0", b"")),
    version=st.sampled_from([30, 34]),
)
def test_random_lists_config_and_aliases_raise_no_error(
    contents: tuple[bytes, ...], alias: bytes, version: int
) -> None:
    files: dict[str, bytes | str] = dict(zip(LISTS, contents, strict=True))
    files["kernel/a.ko"] = make_module([b"alias=" + alias])
    done = index(files, Kmod(version=version))
    for name in ("dep", "alias", "symbols"):
        looked_up(done, f"modules.{name}.bin")
    assert all(warning.isprintable() for warning in done.warnings)


@given(st.text("ab-_[]", max_size=12))
def test_dashes_outside_brackets_become_underscores(alias: str) -> None:
    # The algorithm of kmod's alias_normalize().
    expected_text, inside = "", False
    broken = False
    for character in alias:
        if character == "]" and not inside:
            broken = True
        if character in "[]":
            # An opening bracket in a set is a member of the set.
            inside = character == "["
        expected_text += "_" if character == "-" and not inside else character
    expected = None if broken or inside else expected_text.encode()
    assert normalize_alias(alias.encode()) == expected

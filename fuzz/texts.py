"""Fuzz the readers of recipes, lists, settings, menus and system files."""

from __future__ import annotations

import tomllib
from pathlib import Path

from attrs import evolve

from fuzz.target import Plant, attempt, given, require_equal, target
from purekernel.analysis.origins import parse_origins
from purekernel.errors import InputError
from purekernel.fetch.headers import parse_content_range, parse_length, parse_retry_after
from purekernel.fetch.records import parse_record
from purekernel.fetch.urls import parse_web_url, redact, tell_apart
from purekernel.formats.assignments import parse_assignment
from purekernel.formats.extension_info import parse_info, plain_name
from purekernel.formats.grub import parse_grub_config
from purekernel.formats.grub_script import parse_grub_script
from purekernel.formats.loader_entries import parse_loader_file
from purekernel.formats.menu import (
    Menu,
    MenuEntry,
    build_grub_config,
    build_loader_config,
    build_syslinux_config,
    read_menu,
)
from purekernel.formats.menu_edit import EntryEdit, splice
from purekernel.formats.mtree import FindInTree, apply_manifest, is_mtree, parse_mtree
from purekernel.formats.syslinux import (
    build_boot_menu,
    extend_append,
    parse_boot_menu,
    set_default,
    set_option,
)
from purekernel.formats.text import decode_leniently
from purekernel.formats.timezone import build_tzif, parse_timezone, tzif_rule
from purekernel.formats.tinycore import (
    build_dependencies,
    build_md5,
    is_extension_name,
    is_plain,
    parse_dependencies,
    parse_dependency_index,
    parse_extension_name,
    parse_listing,
    parse_md5,
    parse_md5_index,
    parse_name_index,
    parse_size_index,
    parse_tag_index,
    plain_path,
    read_provided,
)
from purekernel.formats.toml import parse_toml, scan_toml
from purekernel.plan.lock import build_lock, parse_lock
from purekernel.recipe.lists import parse_extension_list, parse_gem_list, parse_path_list
from purekernel.recipe.read import parse_recipe
from purekernel.recipe.settings import parse_settings
from purekernel.rootfs.account_files import GROUP, PASSWD, SHADOW, parse_table
from purekernel.rootfs.depmod.config import read_depmod_config
from purekernel.rootfs.inittab import add_getty, set_autologin
from purekernel.rootfs.ldconfig import ldconfig
from purekernel.rootfs.patterns import parse_pattern
from purekernel.tree import Metadata, Tree, put_file

TIME = 1_372_636_800
_MOST_LINES = 50


def _tree(files: dict[bytes, bytes]) -> Tree:
    tree = Tree()
    for path, content in files.items():
        put_file(tree, path, content, metadata=Metadata(mode=0o644))
    return tree


@target(
    Plant(path="formats/syslinux.py", before="kernel = label  # a label without"),
)
def boot_menu(data: bytes) -> None:
    """Read a boot menu and change it; without changes, all bytes are kept."""
    menu = parse_boot_menu(data)
    require_equal("menu", build_boot_menu(menu), data)
    for label in menu.linux_labels[:5]:
        changed = build_boot_menu(set_default(menu, label))
        require_equal("default", build_boot_menu(parse_boot_menu(changed)), changed)
    build_boot_menu(extend_append(menu, b"quiet"))
    changed_menu = parse_boot_menu(build_boot_menu(set_option(menu, b"timeout", b"50")))
    require_equal("timeout", changed_menu.option(b"timeout"), b"50")
    _rewrite(data)


@target(
    Plant(path="formats/grub_script.py", before='if token != b"\\n":'),
    Plant(path="formats/grub.py", before="line = script.line(script.stopped)"),
)
def grub_config(data: bytes) -> None:
    """Read a menu of GRUB and change it; without changes, all bytes are kept."""
    file = parse_grub_config(data)
    require_equal("script", parse_grub_script(data).commands, file.script.commands)
    for each in file.unclear:
        require_equal("line", 1 <= each.line <= data.count(b"\n") + 1, True)
    for followed in file.followed:
        require_equal("path of a file", bool(followed.path.strip(b"/")), True)
    require_equal("default", file.default is None or file.default < len(file.entries) + 1, True)
    kept = [each for at in range(len(file.found)) for each in file.edit_entry(at, EntryEdit())]
    require_equal("menu", splice(data, kept), data)
    words = (b"word", b"a'b")
    edit = EntryEdit(add=words, initrds=lambda paths: [*paths, b"/more"])
    splices = [each for at in range(len(file.found)) for each in file.edit_entry(at, edit)]
    splices += file.edit_timeout(50, insert=True)
    changed = parse_grub_config(splice(data, splices))
    require_equal("timeout", changed.timeout, 50)
    for before, after in zip(file.found, changed.found, strict=True):
        require_equal("kernel", after.kernel, before.kernel)
        if before.kernel is not None and not set(words) <= set(after.words):
            raise AssertionError(f"{after.words} lacks a word")
    if file.entries:
        name = file.name_entry(0)
        attempt(file.edit_default, name or b"0", insert=True)


@target(
    Plant(path="formats/loader_entries.py", before="new = self.ending + new.removesuffix"),
)
def loader_entry(data: bytes) -> None:
    """Read a file of systemd-boot and change it; without changes, all bytes are kept."""
    file = parse_loader_file(data)
    require_equal("entry", splice(data, file.edit_entry(EntryEdit())), data)
    edit = EntryEdit(add=(b"word",), initrds=lambda paths: [*paths, b"/more"])
    changed = parse_loader_file(splice(data, file.edit_entry(edit)))
    before, after = file.found(b"a.conf"), changed.found(b"a.conf")
    require_equal("kernel", after.kernel, before.kernel)
    # After a quote that nothing closes, it is a part of the last word.
    require_equal("word", before.kernel is None or b"word" in b" ".join(after.words), True)
    config = parse_loader_file(splice(data, [*file.edit_timeout(50), *file.edit_default(b"b")]))
    require_equal("timeout", config.timeout, 50)
    attempt(config.default_of, [b"b"])


def _rewrite(menu: bytes) -> None:
    """Read a menu of isolinux into the model, and write it for all boot loaders."""
    found = attempt(read_menu, _menu_iso(menu), b"boot/isolinux.bin")
    if found is None:
        return
    attempt(build_grub_config, found)
    attempt(build_loader_config, found)
    written = attempt(build_syslinux_config, found)
    if written is None:
        return
    again = attempt(read_menu, _menu_iso(written), b"boot/isolinux.bin")
    require_equal("entries", again and _without_titles(again), _without_titles(found))


def _menu_iso(menu: bytes) -> Tree:
    return _tree({b"boot/isolinux.cfg": menu, b"boot/vmlinuz": b"", b"boot/core.gz": b""})


def _without_titles(menu: Menu) -> list[MenuEntry]:
    """Return the entries of a menu. A title loses a mark of a hot key each time it is read."""
    return [evolve(entry, title=b"") for entry in menu.entries]


@target(
    Plant(path="formats/mtree/parser.py", before='raise line.fail("a keyword that'),
    Plant(path="formats/mtree/apply.py", before="self._missing.append(_name(entry, path))"),
)
def mtree(data: bytes) -> None:
    """Read a manifest, and apply it to a tree."""
    is_mtree(data)
    attempt(parse_mtree, given(data))
    base = _tree({b"etc/conf": b"conf\n", b"files/a": b"a"})
    attempt(apply_manifest, given(data), base=base, find=FindInTree(base), mtime=TIME)


@target(
    Plant(path="formats/toml.py", before='hint = f"put a comma between the'),
)
def toml(data: bytes) -> None:
    """Read TOML; Python's reader accepts the same files, and each value has a line."""
    scan = attempt(scan_toml, given(data))
    document = attempt(parse_toml, given(data))
    if document is None or scan is None:
        return
    require_equal("values", repr(document.values), repr(tomllib.loads(scan.text)))
    if scan.stopped is not None:
        raise AssertionError(f"the scanner stopped at line {scan.stopped} of valid TOML")
    for key in document.values:
        if (key,) not in document.lines:
            raise AssertionError(f"the key {key!r} has no line")


def _read_nothing(path: Path) -> bytes:
    raise InputError(f"{path} is missing")


@target(
    Plant(path="recipe/check.py", before="yield Problem(path=(*path, name)"),
)
def recipe(data: bytes) -> None:
    """Read a recipe."""
    attempt(parse_recipe, data, source="r.toml", folder=Path(), read=_read_nothing)
    extending = b'extends = ["a.toml", "b.toml"]'
    attempt(parse_recipe, extending, source="r.toml", folder=Path(), read=lambda _path: data)
    attempt(
        parse_recipe, data, source="r.toml", folder=Path(), read=_read_nothing, defer_lists=True
    )


@target(
    Plant(path="plan/lock.py", before='raise LockError(f"{self._source}'),
)
def lock_file(data: bytes) -> None:
    """Read a lock file; write what is read, and read it again."""
    lock = attempt(parse_lock, data, source="purekernel.lock")
    if lock is not None:
        again = attempt(build_lock, lock)
        if again is not None:
            require_equal("lock", parse_lock(again, source="again"), lock)


@target(
    Plant(path="analysis/origins.py", before='raise file.fail(None, "paths'),
)
def origins(data: bytes) -> None:
    """Read the origins of an image's files; write what is read, and read it again."""
    read = attempt(parse_origins, given(data))
    if read is not None:
        written = read.to_json()
        require_equal("origins", parse_origins(given(written)), read)
        for tree in (read.root, read.disc, read.tce):
            attempt(tree.find, data[:64])


@target(
    Plant(path="formats/text.py", before="line = body.count("),
)
def lists(data: bytes) -> None:
    """Read the lists that recipes name."""
    attempt(parse_extension_list, data, source="x.lst")
    attempt(parse_gem_list, data, source="gem.list")
    attempt(parse_path_list, data, source="x.lst")


@target(
    Plant(path="recipe/settings.py", before='return f"{words}; did you mean {near}'),
)
def settings(data: bytes) -> None:
    """Read a file of settings, and single assignments."""
    attempt(parse_settings, data, source="settings")
    for line in data.decode("utf-8", "replace").split("\n")[:_MOST_LINES]:
        attempt(parse_assignment, line, source="settings, line 1")


@target(
    Plant(path="formats/tinycore.py", before='raise file.fail_at_line(number, "an'),
)
def tinycore(data: bytes) -> None:
    """Read the files beside an extension and the indexes of a mirror."""
    names = attempt(parse_dependencies, given(data))
    if names is not None:
        require_equal("dep", parse_dependencies(given(build_dependencies(names))), names)
    digest = attempt(parse_md5, given(data))
    if digest is not None:
        require_equal("md5", parse_md5(given(build_md5(digest, "a.tcz"))), digest)
    attempt(parse_md5_index, given(data))
    attempt(parse_size_index, given(data))
    attempt(parse_dependency_index, given(data))
    text = data.decode("utf-8", "replace")
    is_extension_name(text)
    is_plain(data)
    attempt(parse_extension_name, text)


@target(
    Plant(path="formats/text.py", before='return body.decode("latin-1")'),
)
def extension_lists(data: bytes) -> None:
    """Read the texts about extensions that only searches and descriptions use."""
    attempt(parse_name_index, given(data))
    attempt(parse_tag_index, given(data))
    attempt(lambda: list(read_provided(given(data))))
    for path in parse_listing(given(data))[:_MOST_LINES]:
        require_equal("path", plain_path(plain_path(path)), plain_path(path))
    decode_leniently(data)
    info = parse_info(given(data))
    for name, _value in info.fields[:_MOST_LINES]:
        info.value(plain_name(name))


@target(
    Plant(path="rootfs/account_files.py", before='expected, got = "a line that ends'),
)
def accounts(data: bytes) -> None:
    """Read passwd, shadow and group; all bytes are kept."""
    for layout in (PASSWD, SHADOW, GROUP):
        table = attempt(parse_table, data, layout)
        if table is not None:
            require_equal("accounts", table.build(), data)
            for name in table.names:
                table.entry(name)


@target(
    Plant(path="rootfs/inittab.py", before='return getty.with_option(b"-nl", AUTOLOGIN)'),
)
def inittab(data: bytes) -> None:
    """Change an inittab."""
    for on in (True, False):
        changed = attempt(set_autologin, data, on)
        if changed is not None:
            require_equal("inittab", set_autologin(changed, on), changed)
    changed = attempt(add_getty, data, "ttyS0", 9600)
    if changed is not None:
        require_equal("inittab", add_getty(changed, "ttyS0", 9600), changed)


@target(
    Plant(path="rootfs/ldconfig/conf.py", before="return []"),
    Plant(path="rootfs/ldconfig/hwcaps.py", before='return "a hwcap line must have a'),
)
def ld_so_conf(data: bytes) -> None:
    """Read ld.so.conf and the files that it includes, which NUL bytes separate."""
    parts = data.split(b"\0")
    files = {b"etc/ld.so.conf": parts[0], b"lib/libx.so.1": b"", b"usr/lib/glibc-hwcaps/v2/a": b""}
    for number, part in enumerate(parts[1:5]):
        files[b"etc/ld.so.conf.d/%d.conf" % number] = part
    for version in ((2, 12), (2, 36)):
        attempt(ldconfig, _tree(files), mtime=TIME, release=version)


@target(
    Plant(path="formats/timezone.py", before="raise _no_such_day(number[1]"),
)
def timezone(data: bytes) -> None:
    """Read the rule of a time zone; the file made of it holds the rule."""
    rule = attempt(parse_timezone, data.decode("utf-8", "surrogateescape"))
    if rule is not None:
        require_equal("rule", tzif_rule(build_tzif(rule)), rule.text)
    tzif_rule(data)


@target(
    Plant(path="rootfs/depmod/expressions.py", before="return False"),
)
def depmod_conf(data: bytes) -> None:
    """Read the configuration of depmod, and match names with patterns."""
    tree = _tree({b"etc/depmod.d/a.conf": data})
    for version in (18, 30):
        read_depmod_config(tree, b"3.0.21-tinycore", version=version)
    first, _newline, second = data.partition(b"\n")
    parse_pattern(first[:200]).matches(second[:200])


@target(
    Plant(path="fetch/urls.py", before='return _printable(f"{scheme}://{rest}")'),
)
def fetched(data: bytes) -> None:
    """Read a record of the cache, headers and addresses."""
    record = parse_record(data)
    if record is not None:
        require_equal("record", parse_record(record.to_bytes()), record)
    text = data.decode("utf-8", "surrogateescape")
    parse_length(text)
    parse_content_range(text)
    parse_retry_after(text, date="Mon, 01 Jul 2013 00:00:00 GMT")
    redact(text)
    try:
        tell_apart(text)
        parse_web_url(text)
    except ValueError:
        return

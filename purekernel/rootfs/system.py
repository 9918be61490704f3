"""Set the name, the time zone and the message of an image, in the files that Tiny Core reads.

Source: etc/init.d/tc-config, opt/bootsync.sh, usr/bin/sethostname and etc/profile of Tiny Core 4.4,
6.4.1, 10.1, 16.0 and 17.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from shlex import quote

from attrs import evolve

from purekernel.errors import ConflictError, PurekernelError, UsageError
from purekernel.formats.squashfs import open_squashfs
from purekernel.formats.timezone import (
    ZONE_NAME,
    TimezoneRule,
    build_tzif,
    parse_timezone,
    tzif_rule,
)
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.rootfs.ownership import ROOT_ID, STAFF_GROUP
from purekernel.tree import File, Metadata, Tree, describe, display, look_up, put_file
from purekernel.tree.path import join

HOSTNAME = b"etc/hostname"
HOSTS = b"etc/hosts"
MOTD = b"etc/motd"
TIMEZONE = b"etc/sysconfig/timezone"
LOCALTIME = b"etc/localtime"
BOOTSYNC = b"opt/bootsync.sh"

ZONE_FOLDERS = (b"usr/share/zoneinfo", b"usr/local/share/zoneinfo")
BUILTIN_FOLDER = b"tmp/builtin/optional"

# As Core has its scripts in opt: root:staff.
OPT_SCRIPT = Metadata(mode=0o775, uid=ROOT_ID, gid=STAFF_GROUP)
TEXT = Metadata(mode=0o644)
_EXECUTABLE = 0o111

_SETS_HOSTNAME = (b"sethostname", b"/usr/bin/sethostname")
_LITERAL = re.compile(rb"[\w.-]*|\"[\w.-]*\"|'[\w.-]*'")


def set_hostname(tree: Tree, hostname: str, *, mtime: int) -> Tree:
    """Return ``tree`` with the name of the machine set.

    Raises:
        ConflictError: ``opt/bootsync.sh`` computes the name.
    """
    changed = tree.copy()
    new, old = hostname.encode(), file_content(tree, HOSTNAME) or b""
    write_file(changed, HOSTNAME, new + b"\n", mtime=mtime)
    hosts = file_content(tree, HOSTS)
    if hosts is not None:
        write_file(changed, HOSTS, _rename(hosts, old.strip(), new), mtime=mtime)
    script = file_content(tree, BOOTSYNC)
    if script is not None:
        lines = script.split(b"\n")
        for number, line in enumerate(lines):
            command, hash_sign, comment = line.partition(b"#")
            words = command.split()
            if not words or words[0] not in _SETS_HOSTNAME:
                continue
            if len(words) > 2 or _LITERAL.fullmatch(b"".join(words[1:])) is None:
                raise ConflictError(
                    f"{display(BOOTSYNC)}, line {number + 1}: must set a plain host name, so that "
                    f"another can replace it, got {display(command.strip())}",
                    hint="change that line, or remove the hostname from [system]",
                )
            indent = line[: len(line) - len(line.lstrip())]
            blanks = command[len(command.rstrip()) :] if hash_sign else b""
            lines[number] = indent + words[0] + b" " + new + blanks + hash_sign + comment
        write_file(changed, BOOTSYNC, b"\n".join(lines), mtime=mtime, metadata=OPT_SCRIPT)
    return changed


def _rename(hosts: bytes, old: bytes, new: bytes) -> bytes:
    """Return ``etc/hosts`` with the machine's name replaced, or added, in the line of loopback."""
    lines = hosts.split(b"\n")
    for number, line in enumerate(lines):
        words = re.split(rb"([ \t]+)", line)
        if words[0] != b"127.0.0.1":
            continue
        if old in words[1:] and old:
            words[words.index(old)] = new
        elif new not in words:
            words[1:1] = [b"\t", new]
        lines[number] = b"".join(words)
        return b"\n".join(lines)
    return b"127.0.0.1\t" + new + b"\tlocalhost\n" + hosts


def set_motd(tree: Tree, text: str, *, mtime: int) -> Tree:
    """Return ``tree`` with the text that login shows."""
    changed = tree.copy()
    content = text.encode()
    if not content.endswith(b"\n"):
        content += b"\n"
    write_file(changed, MOTD, content, mtime=mtime)
    return changed


def set_timezone(tree: Tree, timezone: str, *, mtime: int, limits: Limits = DEFAULT_LIMITS) -> Tree:
    """Return ``tree`` with its time zone set, for login shells and for all other programs.

    Args:
        tree: a root file system.
        timezone: a rule in the syntax of TZ, or a name of the time zone database.
        mtime: the time of new and changed files, in seconds since 1970, UTC.
        limits: limits on the extension that has the database.

    Raises:
        UsageError: it is neither a rule, nor the name of a zone that the image has.
    """
    data = _find_zone(tree, timezone, limits)
    if data is None:
        rule = _parse_rule(timezone)
        data, text = build_tzif(rule), rule.text
    else:
        # Old files have no rule; glibc reads a path.
        text = tzif_rule(data) or "/" + LOCALTIME.decode()
    changed = tree.copy()
    # A link to a file of the database must stay one file: the database is not to be written to.
    put_file(changed, LOCALTIME, data, metadata=evolve(TEXT, mtime=mtime))
    # etc/profile reads this file as a script.
    write_file(changed, TIMEZONE, f"TZ={quote(text)}\n".encode(), mtime=mtime)
    return changed


def _parse_rule(timezone: str) -> TimezoneRule:
    """Return the rule; an error says that the image lacks a zone, if it may be the name of one."""
    try:
        return parse_timezone(timezone)
    except UsageError:
        if ZONE_NAME.fullmatch(timezone) is None:
            raise
    folders = " and ".join(display(folder) for folder in ZONE_FOLDERS)
    raise UsageError(
        f"the image has no time zone {timezone!r}: neither it nor a builtin extension has it in "
        f"{folders}",
        hint="add tzdata.tcz to the extensions, or give the rule of the zone, such as "
        "'CET-1CEST,M3.5.0,M10.5.0/3'",
    )


def _find_zone(tree: Tree, timezone: str, limits: Limits) -> bytes | None:
    """Return the file of a zone, from the image or one of its builtin extensions."""
    if ZONE_NAME.fullmatch(timezone) is None:
        return None
    for each in chain([tree], builtin_trees(tree, limits)):
        for folder in ZONE_FOLDERS:
            found = look_up(each, join(folder, timezone.encode()))
            if found is not None and isinstance(found.node, File):
                return bytes(found.node.content)
    return None


def builtin_trees(tree: Tree, limits: Limits) -> Iterator[Tree]:
    """Yield the tree of each extension that is loaded at boot. Contents are unpacked on access."""
    if BUILTIN_FOLDER not in tree:
        return
    for entry in tree.entries(BUILTIN_FOLDER):
        node = tree.get(join(BUILTIN_FOLDER, entry))
        if isinstance(node, File) and entry.endswith(b".tcz"):
            file = Input(node.content, name=display(entry), limits=limits.unbudgeted()).quiet()
            try:
                extension = open_squashfs(file).tree
            except PurekernelError:
                continue  # a damaged extension is another step's error
            yield extension


def file_content(tree: Tree, path: bytes) -> bytes | None:
    """Return the content of a file, links followed; ``None`` if it is missing.

    Raises:
        ConflictError: it is not a file.
    """
    found = look_up(tree, path)
    if found is None:
        return None
    if not isinstance(found.node, File):
        raise ConflictError(f"{display(path)} must be a file, got {describe(found.node)}")
    return bytes(found.node.content)


def write_file(
    tree: Tree, path: bytes, content: bytes, *, mtime: int, metadata: Metadata = TEXT
) -> None:
    """Write a file of ``tree``, links followed, unless it has this content.

    An existing file keeps its owner and mode; a script becomes executable.

    Args:
        tree: the tree to change.
        path: path of the file.
        content: the new content.
        mtime: time of a new or changed file, in seconds since 1970, UTC.
        metadata: owner and mode of a new file; executable for a script.
    """
    found = look_up(tree, path)
    if found is None:
        # A link to a missing file is replaced.
        put_file(tree, path, content, metadata=evolve(metadata, mtime=mtime))
        return
    kept = found.node.metadata
    mode = kept.mode | (metadata.mode & _EXECUTABLE)
    if mode != kept.mode or content != file_content(tree, path):
        kept = evolve(kept, mode=mode, mtime=mtime)
        tree.replace(found.path, File(metadata=kept, content=content))

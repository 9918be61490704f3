"""What depmod.d says: where modules are looked for, and which of several of one name counts.

Source: depmod.d(5); cfg_file_parse() and cfg_load() in tools/depmod.c of kmod.
"""

from __future__ import annotations

import re

from attrs import Factory, define

from purekernel.rootfs.depmod.expressions import matches
from purekernel.tree import Directory, File, Tree, display, look_up
from purekernel.tree.path import join

# A file in one of these hides those of its name in the later ones.
_FOLDERS = (b"etc/depmod.d", b"run/depmod.d", b"usr/local/lib/depmod.d", b"lib/depmod.d")
_DISTRIBUTION_FOLDER = b"usr/lib/depmod.d"
_DISTRIBUTION_FOLDER_SINCE = 32

# Before, a backslash that was the last of all stood before what getc() gives at the end.
_END_IGNORED_SINCE = 34

# Two words of a search line that are no folders.
BUILT_IN = b"built-in"
EXTERNAL = b"external"

_BLANKS = re.compile(rb"[\t ]+")
_PIECE = re.compile(rb"\\(?P<escaped>.)|(?P<end>\n)|(?P<plain>[^\\\n]+)|\\", re.DOTALL)


@define
class DepmodConfig:
    """The rules of one run; in all but ``excludes``, what was said last stands first.

    Attributes:
        searches: folders under the release's own, ``built-in`` and ``external``; modules in
            those that stand later win.
        overrides: folder and name, without suffix, of modules that win over all of their name.
        externals: absolute folders to search too.
        excludes: names that are passed over wherever they stand.
        warnings: lines that mean nothing.
    """

    searches: list[bytes] = Factory(list)
    overrides: list[bytes] = Factory(list)
    externals: list[bytes] = Factory(list)
    excludes: set[bytes] = Factory(set)
    warnings: list[str] = Factory(list)


def read_depmod_config(tree: Tree, release: bytes, *, version: int) -> DepmodConfig:
    """Return what the files of depmod.d in ``tree`` say of ``release`` to a ``version`` of kmod."""
    files: dict[bytes, bytes] = {}
    folders = list(_FOLDERS)
    if version >= _DISTRIBUTION_FOLDER_SINCE:
        folders.insert(-1, _DISTRIBUTION_FOLDER)
    for folder in folders:
        found = look_up(tree, folder)
        if found is None or not isinstance(found.node, Directory):
            continue
        for entry in tree.entries(found.path):
            if entry.endswith(b".conf") and len(entry) >= 6 and not entry.startswith(b"."):
                files.setdefault(entry, join(found.path, entry))
    config = DepmodConfig()
    for entry in sorted(files):
        found = look_up(tree, files[entry])
        if found is None or not isinstance(found.node, File):
            config.warnings.append(f"{display(files[entry])} cannot be read")
            continue
        data = bytes(found.node.content)
        _parse(config, _logical_lines(data, version), files[entry], release)
    if not config.searches:
        config.searches.append(b"updates")
    return config


def _parse(
    config: DepmodConfig, lines: list[tuple[int, bytes]], path: bytes, release: bytes
) -> None:
    for number, line in lines:
        if not line or line.startswith(b"#"):
            continue
        words = [word for word in _BLANKS.split(line) if word]
        if not words:
            continue
        command, arguments = words[0], words[1:]
        if command == b"search":
            config.searches[:0] = reversed(arguments)
        elif command == b"exclude":
            config.excludes.update(arguments)
        elif command == b"override" and len(arguments) >= 3:
            if _matches(arguments[1], release):
                config.overrides.insert(0, arguments[2] + b"/" + arguments[0])
        elif command == b"external" and len(arguments) >= 2:
            if _matches(arguments[0], release):
                config.externals.insert(0, arguments[1])
        elif command not in (b"include", b"make_map_files"):
            config.warnings.append(
                f"{display(path)}, line {number}: {display(command)} means nothing here"
            )


def _logical_lines(data: bytes, version: int) -> list[tuple[int, bytes]]:
    r"""Return lines with the number of the last of each.

    A backslash at the end joins the next line; any other gives way to what follows it.
    """
    lines: list[tuple[int, bytes]] = []
    number = 1
    line = bytearray()
    for piece in _PIECE.finditer(data):
        if piece["escaped"] == b"\n":
            number += 1
        elif piece["end"]:
            lines.append((number, bytes(line)))
            number += 1
            line.clear()
        elif piece[0] == b"\\":
            line += b"" if version >= _END_IGNORED_SINCE else b"\xff"
        else:
            line += piece["escaped"] or piece["plain"]
    if line:
        lines.append((number, bytes(line)))
    return lines


def _matches(pattern: bytes, release: bytes) -> bool:
    return pattern == b"*" or matches(pattern, release)

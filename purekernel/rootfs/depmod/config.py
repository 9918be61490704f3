"""Read depmod.d: where to search for modules, and which of several with one name is used.

Source: depmod.d(5); cfg_file_parse() and cfg_load() in tools/depmod.c of kmod.
"""

from __future__ import annotations

import re

from attrs import Factory, define

from purekernel.errors import LimitError
from purekernel.rootfs.depmod.expressions import count_steps, matches
from purekernel.tree import Directory, File, Tree, display, look_up
from purekernel.tree.path import join

# A file in one of these folders hides files of the same name in later ones.
_FOLDERS = (b"etc/depmod.d", b"run/depmod.d", b"usr/local/lib/depmod.d", b"lib/depmod.d")
_DISTRIBUTION_FOLDER = b"usr/lib/depmod.d"
_DISTRIBUTION_FOLDER_SINCE = 32

# Before this version, a backslash at the end of a file escaped EOF as returned by getc(), 0xff.
_END_IGNORED_SINCE = 34

# Two keywords in search lines.
BUILT_IN = b"built-in"
EXTERNAL = b"external"

# The steps of all expressions in one configuration take some seconds. Usual expressions, such as
# "^4\\.4", take some hundreds.
MAX_STEPS = 1 << 26

_BLANKS = re.compile(rb"[\t ]+")
_PIECE = re.compile(rb"\\(?P<escaped>.)|(?P<end>\n)|(?P<plain>[^\\\n]+)|\\", re.DOTALL)


@define
class DepmodConfig:
    """The configuration of one run. Except in ``excludes``, the last entry read comes first.

    Attributes:
        searches: folders below the release's folder, ``built-in`` and ``external``; modules in
            later ones take precedence.
        overrides: folder and name, without suffix, of modules that take precedence over all others
            of their name.
        externals: further absolute folders to search.
        excludes: names to skip in all folders.
        warnings: one line for each invalid line or unreadable file.
    """

    searches: list[bytes] = Factory(list)
    overrides: list[bytes] = Factory(list)
    externals: list[bytes] = Factory(list)
    excludes: set[bytes] = Factory(set)
    warnings: list[str] = Factory(list)
    _steps: int = 0

    def matches(self, expression: bytes, release: bytes, place: str) -> bool:
        """Say whether an expression at ``place`` matches ``release``.

        Raises:
            LimitError: all expressions together take too many steps.
        """
        if expression == b"*":
            return True
        self._steps += count_steps(expression, release)
        if self._steps > MAX_STEPS:
            raise LimitError(
                source=place,
                expected=f"expressions that together match in at most {MAX_STEPS} steps",
                got=f"{display(expression[:40])}, which may take more",
                hint="use * or a simpler expression: repeat no group that has repetitions itself",
            )
        return matches(expression, release)


def read_depmod_config(tree: Tree, release: bytes, *, version: int) -> DepmodConfig:
    """Return the depmod.d configuration for ``release``, as kmod ``version`` reads it.

    Raises:
        LimitError: its expressions may take too long.
    """
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
            config.warnings.append(f"{display(files[entry])}: cannot be read")
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
        place = f"{display(path)}, line {number}"
        words = [word for word in _BLANKS.split(line) if word]
        if not words:
            continue
        command, arguments = words[0], words[1:]
        if command == b"search":
            config.searches[:0] = reversed(arguments)
        elif command == b"exclude":
            config.excludes.update(arguments)
        elif command == b"override" and len(arguments) >= 3:
            if config.matches(arguments[1], release, place):
                config.overrides.insert(0, arguments[2] + b"/" + arguments[0])
        elif command == b"external" and len(arguments) >= 2:
            if config.matches(arguments[0], release, place):
                config.externals.insert(0, arguments[1])
        elif command not in (b"include", b"make_map_files"):
            config.warnings.append(f"{place}: skipped: invalid command {display(command)}")


def _logical_lines(data: bytes, version: int) -> list[tuple[int, bytes]]:
    r"""Return logical lines, each with the number of its last physical line.

    A backslash at the end of a line joins the next line; any other is removed.
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

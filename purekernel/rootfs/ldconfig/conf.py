"""Read ``ld.so.conf`` and the files that it includes.

Source: glibc 2.36, ``parse_conf`` and ``parse_conf_include`` in elf/ldconfig.c; glob(3).
"""

from __future__ import annotations

from purekernel.errors import LimitError
from purekernel.rootfs.ldconfig.folders import WHITE_SPACE, SearchList
from purekernel.rootfs.ldconfig.globs import is_glob, parse_glob
from purekernel.rootfs.ldconfig.hwcaps import Hwcaps
from purekernel.tree import Directory, File, Tree, display, look_up
from purekernel.tree.path import parent

# Files that each include two others take exponential time, even without a cycle. Debian's largest
# configuration has some tens of files.
MAX_FILES = 1000


def read_conf(tree: Tree, path: bytes, folders: SearchList, hwcaps: Hwcaps) -> None:
    """Add the folders in the file at ``path`` to ``folders``, and its hardware names to ``hwcaps``.

    A missing file has no effect. A file that includes itself, directly or not, is skipped the
    second time, with a warning.

    Raises:
        LimitError: more than a thousand files are included.
    """
    _Conf(tree, folders, hwcaps).read(b"/" + path.lstrip(b"/"))


class _Conf:
    """The state of reading: which files are open, and how many were read."""

    def __init__(self, tree: Tree, folders: SearchList, hwcaps: Hwcaps) -> None:
        self._tree = tree
        self._folders = folders
        self._hwcaps = hwcaps
        self._reading: list[int] = []
        self._files = 0

    def read(self, path: bytes) -> None:
        found = look_up(self._tree, path)
        if found is None or not isinstance(found.node, File):
            return
        if found.inode in self._reading:
            self._folders.warnings.append(f"{display(path)}: skipped: includes itself")
            return
        self._files += 1
        if self._files > MAX_FILES:
            raise LimitError(
                source=display(path),
                expected=f"at most {MAX_FILES} files included",
                got="more",
                hint="remove include lines in etc/ld.so.conf.d that include one another",
            )
        self._reading.append(found.inode)
        for number, line in enumerate(bytes(found.node.content).split(b"\n"), 1):
            self._read_line(line, path, number)
        self._reading.pop()

    def _read_line(self, line: bytes, path: bytes, number: int) -> None:
        text = line.split(b"\0")[0].split(b"#")[0].lstrip(WHITE_SPACE)
        if not text:
            return
        origin = path + b":%d" % number
        if text.startswith(b"include") and text[7:8] in (b" ", b"\t"):
            for word in text[8:].replace(b"\t", b" ").split(b" "):
                if word:
                    self._include(word, path)
        elif text[:5].lower() == b"hwcap" and text[5:6] in (b" ", b"\t"):
            error = self._hwcaps.define(text[6:])
            if error is not None:
                self._folders.warnings.append(f"{display(origin)}: {error}")
        else:
            self._folders.add_line(text, origin=origin)

    def _include(self, pattern: bytes, path: bytes) -> None:
        if not pattern.startswith(b"/"):
            pattern = parent(path) + b"/" + pattern
        for found in _glob(self._tree, pattern):
            self.read(found)


def _glob(tree: Tree, pattern: bytes) -> list[bytes]:
    """Return the paths that match a pattern, sorted as bytes."""
    found = [b""]
    for part in pattern.split(b"/"):
        if not part:
            continue
        if is_glob(part):
            found = [
                folder + b"/" + entry for folder in found for entry in _matches(tree, folder, part)
            ]
        else:
            found = [folder + b"/" + part for folder in found]
    return sorted(path for path in found if look_up(tree, path) is not None)


def _matches(tree: Tree, folder: bytes, part: bytes) -> list[bytes]:
    parent_folder = look_up(tree, folder)
    if parent_folder is None or not isinstance(parent_folder.node, Directory):
        return []
    pattern = parse_glob(part)
    # Only a pattern that starts with a dot matches names that do.
    matches_dot = part.startswith((b".", b"\\."))
    return [
        entry
        for entry in tree.entries(parent_folder.path)
        if entry.startswith(b".") <= matches_dot and pattern.matches(entry)
    ]

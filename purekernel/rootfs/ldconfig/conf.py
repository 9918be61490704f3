"""Read ``ld.so.conf`` and the files that it includes.

Source: glibc 2.36, ``parse_conf`` and ``parse_conf_include`` in elf/ldconfig.c; glob(3).
"""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.errors import LimitError
from purekernel.rootfs.ldconfig.folders import WHITE_SPACE, SearchList
from purekernel.rootfs.ldconfig.globs import is_glob, parse_glob
from purekernel.rootfs.ldconfig.hwcaps import Hwcaps
from purekernel.tree import Directory, File, Found, Tree, display, look_up
from purekernel.tree.path import parent

# Files that each include two others take exponential time, even without a cycle. Debian's largest
# configuration has some tens of files.
MAX_FILES = 1000

# A step is about the work for one byte of text. Debian's configuration takes some ten thousand
# steps; this many take some seconds.
MAX_STEPS = 10_000_000

# The steps of a path that is looked up: it may lead through 40 links.
PATH_STEPS = 500

# The steps of compiling a pattern, for each of its bytes: each has a table of 256 bytes.
PATTERN_STEPS = 256

_HINT = "remove include lines in etc/ld.so.conf.d that include one another or match many files"
_STEPS_HINT = (
    f"remove lines: each folder takes {PATH_STEPS} steps, and an include line some for each name "
    "that its pattern is compared with"
)


def read_conf(tree: Tree, path: bytes, folders: SearchList, hwcaps: Hwcaps) -> None:
    """Add the folders in the file at ``path`` to ``folders``, and its hardware names to ``hwcaps``.

    A missing file has no effect. A file that includes itself, directly or not, is skipped the
    second time, with a warning.

    Raises:
        LimitError: more than a thousand files are included, or reading them takes more than
            :data:`MAX_STEPS` steps.
    """
    _Conf(tree, folders, hwcaps).read(b"/" + path.lstrip(b"/"))


class _Conf:
    """The state of reading: which files are open, how many were read, and the steps so far."""

    def __init__(self, tree: Tree, folders: SearchList, hwcaps: Hwcaps) -> None:
        self._tree = tree
        self._folders = folders
        self._hwcaps = hwcaps
        self._reading: list[int] = []
        self._files = 0
        self._steps = 0
        self._origin = b""

    def read(self, path: bytes) -> None:
        """Read the file at ``path``, and each included file where its include line is."""
        # The paths that each open file includes; not recursive, since a chain may be long.
        includes: list[Iterator[bytes]] = [iter((path,))]
        while includes:
            found_path = next(includes[-1], None)
            if found_path is not None:
                found = self._find(found_path)
                if found is not None and isinstance(found.node, File):
                    self._open(found_path, found.inode, found.node, includes)
                continue
            includes.pop()
            if includes:
                self._reading.pop()

    def _open(self, path: bytes, inode: int, file: File, includes: list[Iterator[bytes]]) -> None:
        if inode in self._reading:
            self._folders.warnings.append(f"{display(path)}: skipped: includes itself")
            return
        self._files += 1
        if self._files > MAX_FILES:
            raise self._limit(f"at most {MAX_FILES} files included", _HINT)
        self._count(len(file.content))
        self._reading.append(inode)
        includes.append(self._read_file(path, bytes(file.content)))

    def _read_file(self, path: bytes, content: bytes) -> Iterator[bytes]:
        """Add the folders in a file; yield the paths that it includes, each when it is reached."""
        for number, line in enumerate(content.split(b"\n"), 1):
            text = line.split(b"\0")[0].split(b"#")[0].lstrip(WHITE_SPACE)
            if not text:
                continue
            self._origin = origin = path + b":%d" % number
            if text.startswith(b"include") and text[7:8] in (b" ", b"\t"):
                for word in text[8:].replace(b"\t", b" ").split(b" "):
                    if word:
                        yield from self._included(word, path)
                        self._origin = origin
            elif text[:5].lower() == b"hwcap" and text[5:6] in (b" ", b"\t"):
                error = self._hwcaps.define(text[6:])
                if error is not None:
                    self._folders.warnings.append(f"{display(origin)}: {error}")
            else:
                self._count(PATH_STEPS)
                self._folders.add_line(text, origin=origin)

    def _included(self, pattern: bytes, path: bytes) -> list[bytes]:
        """Return the paths that match a pattern in the file at ``path``, sorted as bytes."""
        if not pattern.startswith(b"/"):
            pattern = parent(path) + b"/" + pattern
        found = [b""]
        for part in pattern.split(b"/"):
            if not part:
                continue
            if is_glob(part):
                self._count(PATTERN_STEPS * len(part))
                found = [
                    folder + b"/" + entry for folder in found for entry in self._match(folder, part)
                ]
            else:
                self._count(sum(map(len, found)))
                found = [folder + b"/" + part for folder in found]
        return sorted(path for path in found if self._find(path) is not None)

    def _match(self, folder: bytes, part: bytes) -> list[bytes]:
        """Return the names in ``folder`` that match one part of a pattern."""
        parent_folder = self._find(folder)
        if parent_folder is None or not isinstance(parent_folder.node, Directory):
            return []
        pattern = parse_glob(part)
        # Only a pattern that starts with a dot matches names that do.
        matches_dot = part.startswith((b".", b"\\."))
        matching: list[bytes] = []
        for entry in self._tree.entries(parent_folder.path):
            # The states of a match are an integer with a bit for each byte of the pattern.
            self._count(len(entry) * (1 + len(part) // 64) + len(folder))
            if entry.startswith(b".") <= matches_dot and pattern.matches(entry):
                matching.append(entry)
        return matching

    def _find(self, path: bytes) -> Found | None:
        self._count(PATH_STEPS + len(path))
        return look_up(self._tree, path)

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            expected = f"at most {MAX_STEPS} steps to read the loader's configuration"
            raise self._limit(expected, _STEPS_HINT)

    def _limit(self, expected: str, hint: str) -> LimitError:
        path, _, line = self._origin.rpartition(b":")
        return LimitError(
            source=f"{display(path)}, line {line.decode()}" if path else "etc/ld.so.conf",
            expected=expected,
            got="more",
            hint=hint,
        )

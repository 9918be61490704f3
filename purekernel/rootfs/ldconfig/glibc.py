"""Find the glibc of a tree, and read its version from its banner."""

from __future__ import annotations

import re
from collections.abc import Iterable

from purekernel.errors import FormatError
from purekernel.formats.detect import FileKind, detect
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.rootfs.ldconfig.architecture import Architecture
from purekernel.rootfs.ldconfig.folders import SearchFolder
from purekernel.rootfs.ldconfig.libraries import read_content
from purekernel.rootfs.ldconfig.rules import Release, Rules
from purekernel.tree import Buffer, Directory, File, Tree, look_up

LIBC = b"libc.so.6"

# The banner that the library prints when it is executed. Source: glibc, csu/version.c.
_BANNER_START = b"GNU C Library "
_BANNER = re.compile(
    rb"GNU C Library (?P<release>(?:\([^()\n\0]{1,100}\) )?[a-z]{1,20} release version "
    rb"(?P<major>[0-9]{1,4})\.(?P<minor>[0-9]{1,4})(?:\.[0-9]{1,4})*)"
)

# The generator in the cache if the version of the C library is unknown.
OWN_GENERATOR = b"ldconfig of purekernel"


@frozen(kw_only=True)
class Glibc:
    """A glibc.

    Attributes:
        version: major and minor number.
        release: the release as its ldconfig writes it after its own name.
    """

    version: Release
    release: bytes

    @property
    def is_debian(self) -> bool:
        """Say whether Debian built it, with Debian's changes."""
        return self.release.startswith(b"(Debian ")

    @property
    def generator(self) -> bytes:
        """Return the generator that its ldconfig writes in the cache."""
        return b"ldconfig " + self.release


def find_glibc(
    tree: Tree, folders: Iterable[SearchFolder], architecture: Architecture, rules: Rules
) -> Glibc | None:
    """Return the C library in ``folders``; of several, the first with the highest flags.

    The link with its soname may be missing: ``libc-2.13.so`` is found, too.
    """
    best: tuple[int, Glibc] | None = None
    for folder in folders:
        if not isinstance(tree.get(folder.place), Directory):
            continue
        for name in tree.entries(folder.place):
            if name != LIBC and not (name.startswith(b"libc-") and name.endswith(b".so")):
                continue
            found = look_up(tree, folder.place + b"/" + name)
            if found is None or not isinstance(found.node, File):
                continue
            try:
                content = found.node.content
            except FormatError:  # the file is not readable
                continue
            flags = _flags_of_libc(content, architecture, rules, name=name)
            if flags is None or (best is not None and flags <= best[0]):
                continue
            glibc = _read_banner(content)
            if glibc is not None:
                best = flags, glibc
    return None if best is None else best[1]


def _flags_of_libc(
    content: Buffer, architecture: Architecture, rules: Rules, *, name: bytes
) -> int | None:
    """Return the flags of a library, if it is the C library."""
    if detect(content) is not FileKind.ELF:
        return None
    try:
        library = read_content(Input(content, name=""), architecture, rules, name=name)
    except FormatError:
        return None
    return library.flags if library is not None and library.soname == LIBC else None


def _read_banner(content: Buffer) -> Glibc | None:
    # A regular expression alone is slow on two megabytes.
    text = bytes(content)
    start = text.find(_BANNER_START)
    banner = _BANNER.search(text, start) if start >= 0 else None
    if banner is None:
        return None
    return Glibc(version=(int(banner["major"]), int(banner["minor"])), release=banner["release"])

"""What the C library of a tree says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import frozen

from purekernel.formats.ld_cache import CacheEntry, CacheFormat
from purekernel.rootfs.ldconfig.lookup import look_up
from purekernel.tree import File, Tree

LIBC = b"libc.so.6"

# What the library prints when it is run. Source: glibc, csu/version.c.
_BANNER = re.compile(
    rb"GNU C Library (?P<release>(?:\([^()\n\0]{1,100}\) )?[a-z]{1,20} release version "
    rb"(?P<major>[0-9]{1,4})\.(?P<minor>[0-9]{1,4})(?:\.[0-9]{1,4})*)"
)

# Since then ldconfig writes the new format alone. Source: glibc's NEWS, 2.32.
NEW_FORMAT_SINCE = (2, 32)

# Who wrote a cache for a C library that does not say its version.
OWN_GENERATOR = b"ldconfig of purekernel"


@frozen(kw_only=True)
class Glibc:
    """A glibc.

    Attributes:
        version: major and minor.
        release: as its ldconfig writes it behind its own name.
    """

    version: tuple[int, int]
    release: bytes

    @property
    def generator(self) -> bytes:
        """Return how its ldconfig signs a cache."""
        return b"ldconfig " + self.release

    @property
    def format(self) -> CacheFormat:
        """Return the format that its ldconfig writes unless told otherwise."""
        return CacheFormat.NEW if self.version >= NEW_FORMAT_SINCE else CacheFormat.COMPAT


def find_glibc(tree: Tree, entries: Iterable[CacheEntry]) -> Glibc | None:
    """Return the C library among ``entries``: of several, that with the highest flags."""
    ordered = sorted(
        (entry for entry in entries if entry.name == LIBC), key=lambda entry: -entry.flags
    )
    for entry in ordered:
        found = look_up(tree, entry.path)
        if found is None or not isinstance(found.node, File):
            continue
        banner = _BANNER.search(found.node.content)
        if banner is not None:
            return Glibc(
                version=(int(banner["major"]), int(banner["minor"])), release=banner["release"]
            )
    return None

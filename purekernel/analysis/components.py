"""Define the components that an image is made of, for lists of them and for attestations."""

from __future__ import annotations

from purekernel.records import frozen
from purekernel.tree.origin import Origin


@frozen(kw_only=True)
class SourceFile:
    """A file that a build reads.

    Attributes:
        name: its file name.
        url: where it came from, without secrets; empty for a file of the host that builds.
        size_bytes: its size.
        sha256: its SHA-256 in hexadecimal.
    """

    name: str
    url: str = ""
    size_bytes: int
    sha256: str


@frozen(kw_only=True)
class Component:
    """A source of an image's files: the base, an extension, a package, a gem or an overlay.

    Attributes:
        origin: the origin of its files.
        version: its version; empty if it is unknown.
        files: the files that it was read from: itself, then those beside it. An overlay that is a
            folder has none.
        licences: its licences, as it names them.
        description: what it is, in one line; empty if it is unknown.
        homepage: the URL of its project; empty if it is unknown.
        architecture: the architecture of a Debian package.
        needs: the components that it depends on.
    """

    origin: Origin
    version: str = ""
    files: tuple[SourceFile, ...] = ()
    licences: tuple[str, ...] = ()
    description: str = ""
    homepage: str = ""
    architecture: str = ""
    needs: tuple[Origin, ...] = ()

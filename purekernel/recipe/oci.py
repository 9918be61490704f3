"""Describe the tables about the root file system as an archive and as a container image.

Source: the OCI image format specification 1.1: config.md, annotations.md; Docker's reference format
for names and tags.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field

from purekernel.encode.archives import ArchiveCompression
from purekernel.recipe.changes import GLOBS
from purekernel.recipe.keys import Named, Placed, key
from purekernel.recipe.kinds import FLAG, Array, Choice, Text, once
from purekernel.records import frozen

_PRINTABLE = r"[^\u0000-\u001f\u007f]"
_COMPONENT = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
_HOST = "([A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(:[0-9]{1,5})?/)?"
_ACCOUNT = "([a-z_][a-z0-9_.-]{0,31}|[0-9]{1,10})"
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

IMAGE_REPOSITORY = Text(
    pattern=f"^{_HOST}{_COMPONENT}(/{_COMPONENT})*$",
    max_length=255,
    words="lower-case letters, digits and . _ - in parts between slashes, perhaps after a host: "
    '"my-core", "registry.example.com/team/my-core"',
)
IMAGE_TAG = Text(
    pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$",
    words="letters, digits and . _ -, beginning with a letter, a digit or _, at most 128",
)
ARCHITECTURE = Text(
    pattern="^[a-z0-9_]{1,20}(/[a-z0-9._]{1,20})?$",
    words='an architecture as Go names it, such as "amd64", "386" or "arm/v7"',
)
CONTAINER_USER = Text(
    pattern=f"^{_ACCOUNT}(:{_ACCOUNT})?$",
    words='a user, or a user and a group, by name or number: "tc", "1001:50"',
)
ARGUMENT = Text(
    pattern=r"^[^\u0000]*$", max_length=65536, words="text without NUL", definition="argument"
)
ARGUMENTS = Array(item=ARGUMENT, min_items=1, definition="arguments")
VARIABLE = Text(
    pattern=r"^[A-Za-z_][A-Za-z0-9_]*=[^\u0000]*$",
    max_length=65536,
    words='a variable such as "LANG=C"',
)
LABEL = Text(
    pattern=r"^[^=\u0000-\u0020\u007f]{1,255}=[^\u0000-\u0008\u000b-\u001f\u007f]*$",
    max_length=65536,
    words='a label such as "org.example.team=core"',
)
CONTAINER_PATH = Text(
    pattern=rf"^/(?!(.*/)?\.\.(/|$)){_PRINTABLE}*$",
    max_length=4096,
    words="an absolute path without '..'",
    definition="container-path",
)
PORT = Text(
    pattern=f"^{_PORT}(/(tcp|udp|sctp))?$",
    words='a port from 1 to 65535, perhaps with its protocol: "8080", "53/udp"',
)


def _named(items: Iterable[str | Named]) -> tuple[Named, ...]:
    """Return ``items`` as names, which those of a recipe are already."""
    return tuple(item if isinstance(item, Named) else Named(name=item, place="") for item in items)


def _exclude(what: str) -> dict[str, object]:
    return dict(
        key(
            "Excluded paths",
            f"Paths and patterns of what to leave out of {what}, such as kernel modules, which a "
            "container cannot load. One that matches nothing is an error.",
            GLOBS,
            ["lib/modules", "dev/*"],
            named=True,
        )
    )


@frozen(kw_only=True)
class RootfsChoice(Placed):
    """Options for the archive of the root file system."""

    compression: ArchiveCompression = field(
        default=ArchiveCompression.GZIP,
        metadata=key(
            "Compression",
            '"none" for NAME.rootfs.tar, "gzip" for NAME.rootfs.tar.gz, "zstd" for '
            "NAME.rootfs.tar.zst.",
            Choice.of(ArchiveCompression),
            "zstd",
            default="gzip",
        ),
    )
    exclude: tuple[Named, ...] = field(
        default=(), converter=_named, metadata=_exclude("the archive")
    )


@frozen(kw_only=True)
class OciChoice(Placed):
    """Options for the container image."""

    archive: bool = field(
        default=True,
        metadata=key(
            "Archive",
            "Whether to write one file, NAME.oci.tar, which podman and docker load. Otherwise a "
            "folder, NAME.oci.",
            FLAG,
            False,
        ),
    )
    name: str | None = field(
        default=None,
        metadata=key(
            "Name",
            "Name of the image, without a tag. If not given, that of the output files in lower "
            "case, without the version.",
            IMAGE_REPOSITORY,
            "my-core",
            "registry.example.com/team/my-core",
        ),
    )
    tag: str | None = field(
        default=None,
        metadata=key(
            "Tag",
            'Tag of the image. If not given, the version of the image, or "latest".',
            IMAGE_TAG,
            "1.0",
        ),
    )
    architecture: str | None = field(
        default=None,
        metadata=key(
            "Architecture",
            "Architecture of the programs, as Go names it. If not given, it is read from the "
            "programs of the image.",
            ARCHITECTURE,
            "amd64",
            "386",
        ),
    )
    entrypoint: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Entry point",
            "Program that a container runs, with its first arguments.",
            ARGUMENTS,
            ["/usr/local/bin/server", "--verbose"],
        ),
    )
    command: tuple[str, ...] | None = field(
        default=None,
        metadata=key(
            "Command",
            "Arguments of the entry point, or the program without one. If neither is given, "
            "/bin/sh.",
            ARGUMENTS,
            ["/bin/sh", "-c", "echo hello"],
        ),
    )
    user: str | None = field(
        default=None,
        metadata=key(
            "User",
            "User, and perhaps group, that the program runs as. Names must be in the image. If "
            "not given, root.",
            CONTAINER_USER,
            "tc",
            "1001:50",
        ),
    )
    working_dir: str | None = field(
        default=None,
        metadata=key(
            "Working folder",
            "Folder that the program starts in. If not given, the root.",
            CONTAINER_PATH,
            "/home/tc",
        ),
    )
    env: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Environment",
            "Environment variables. The last of one name counts. PATH, if it is not given, is that "
            "of Core.",
            Array(item=VARIABLE),
            ["LANG=C", "HOME=/home/tc"],
        ),
    )
    labels: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Labels",
            "Labels of the image. The last of one name counts. Those whose names begin with "
            "org.opencontainers.image. are annotations of its manifest, too.",
            Array(item=LABEL),
            ["org.example.team=core", "org.opencontainers.image.licenses=GPL-2.0-only"],
        ),
    )
    exposed_ports: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Exposed ports",
            "Ports that the program listens on; without a protocol, TCP.",
            Array(item=PORT, convert=once),
            ["8080", "53/udp"],
        ),
    )
    volumes: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Volumes",
            "Folders for data that are not part of the image.",
            Array(item=CONTAINER_PATH, convert=once),
            ["/var/lib/data"],
        ),
    )
    exclude: tuple[Named, ...] = field(default=(), converter=_named, metadata=_exclude("the image"))

"""Describe the tables of a recipe that add to the base: extensions, packages, gems, overlays."""

from __future__ import annotations

from enum import Enum

from attrs import evolve, field

from purekernel.recipe.keys import Key, Named, Placed, key, show_place
from purekernel.recipe.kinds import (
    EXAMPLE_SHA256,
    EXTENSION_NAME,
    EXTENSION_NAMES,
    FLAG,
    GEM,
    IMAGE_PATH,
    PATH,
    SHA256,
    Array,
    Choice,
    Text,
    once,
)
from purekernel.records import frozen
from purekernel.tree import Layer


class GemLayout(Enum):
    """The layout of gems in the image: a mirror with an index (2013), or one folder (2012)."""

    MIRROR = "mirror"
    FLAT = "flat"


@frozen(kw_only=True)
class Extensions(Placed):
    """The extensions of an image, and how each is included."""

    builtin: tuple[Named, ...] | None = field(
        default=None,
        metadata=key(
            "Builtin extensions",
            "Extensions to load at every boot, in this order, each after its dependencies.",
            EXTENSION_NAMES,
            ["bash.tcz", "scsi-KERNEL.tcz"],
            named=True,
            list_key=Key(
                name="builtin-list",
                title="List of builtin extensions",
                description="A file that lists builtin extensions.",
                kind=PATH,
                examples=("lists/builtin-extensions.lst",),
            ),
        ),
    )
    mirror: tuple[Named, ...] | None = field(
        default=None,
        metadata=key(
            "Mirrored extensions",
            "Extensions to include in a mirror inside the image. The running image can install "
            "them from there.",
            EXTENSION_NAMES,
            ["fuse.tcz", "glib2.tcz"],
            named=True,
            list_key=Key(
                name="mirror-list",
                title="List of mirrored extensions",
                description="A file that lists mirrored extensions.",
                kind=PATH,
                examples=("lists/mirror-extensions.lst",),
            ),
        ),
    )
    merged: tuple[Named, ...] = field(
        default=(),
        metadata=key(
            "Merged extensions",
            "Extensions to unpack into the root file system, so that they need no loading. Their "
            "start scripts run at boot.",
            EXTENSION_NAMES,
            ["nano.tcz"],
            named=True,
            list_key=Key(
                name="merged-list",
                title="List of merged extensions",
                description="A file that lists merged extensions.",
                kind=PATH,
                examples=("lists/merged-extensions.lst",),
            ),
        ),
    )
    cde: tuple[Named, ...] = field(
        default=(),
        metadata=key(
            "Extensions on the disc",
            "Extensions to put on the ISO, in cde/. They are loaded from the disc at boot, in this "
            "order, each after its dependencies, and the boot menu gets the word cde.",
            EXTENSION_NAMES,
            ["bash.tcz"],
            named=True,
            list_key=Key(
                name="cde-list",
                title="List of extensions on the disc",
                description="A file that lists extensions on the disc.",
                kind=PATH,
                examples=("lists/cde-extensions.lst",),
            ),
        ),
    )
    tce: tuple[Named, ...] = field(
        default=(),
        metadata=key(
            "Extensions for a partition",
            "Extensions for the folder tce on a writable partition, from where they are loaded at "
            "boot. The output tce holds the folder.",
            EXTENSION_NAMES,
            ["bash.tcz"],
            named=True,
            list_key=Key(
                name="tce-list",
                title="List of extensions for a partition",
                description="A file that lists extensions for a partition.",
                kind=PATH,
                examples=("lists/tce-extensions.lst",),
            ),
        ),
    )
    ondemand: tuple[Named, ...] = field(
        default=(),
        metadata=key(
            "Extensions on demand",
            "Those of the extensions in cde and tce that are not loaded at boot. A script in "
            "ondemand/ loads each.",
            EXTENSION_NAMES,
            ["bash.tcz"],
            named=True,
        ),
    )
    copy2fs: tuple[Named, ...] = field(
        default=(),
        metadata=key(
            "Extensions to copy",
            "Those of the extensions in cde and tce, and of their dependencies, that loading "
            "copies into memory, so that the disc or partition is not needed any more.",
            EXTENSION_NAMES,
            ["bash.tcz"],
            named=True,
        ),
    )
    copy2fs_all: bool = field(
        default=False,
        metadata=key(
            "Copy all extensions",
            "Whether loading copies all extensions of cde and tce into memory.",
            FLAG,
            True,
        ),
    )
    skip: frozenset[str] = field(
        default=frozenset(),
        metadata=key(
            "Extensions to skip",
            "Extensions to leave out even if others depend on them, such as names that no mirror "
            "has.",
            evolve(EXTENSION_NAMES, convert=frozenset),
            ["gvim-base.tcz"],
        ),
    )
    dependencies: bool = field(
        default=True,
        metadata=key(
            "Dependencies", "Whether to include the dependencies of the extensions.", FLAG, False
        ),
    )


@frozen(kw_only=True)
class Cut(Placed):
    """Files to copy into the image from an extension that is not itself in the image."""

    extension: Named = field(
        metadata=key(
            "Extension to copy from",
            "Extension that contains the files.",
            EXTENSION_NAME,
            "util-linux.tcz",
            named=True,
        )
    )
    files: tuple[Named, ...] = field(
        metadata=key(
            "Files to copy",
            "Paths in the extension, without a leading slash. *, ? and [...] match as in a shell.",
            Array(item=IMAGE_PATH, min_items=1, convert=once),
            ["usr/local/sbin/sfdisk", "usr/local/bin/lscpu"],
            named=True,
            list_key=Key(
                name="list",
                title="List of files to copy",
                description="A file that lists paths, one per line. Its paths come before the "
                "paths given here.",
                kind=PATH,
                examples=("lists/util-linux-exec.lst",),
            ),
        )
    )


@frozen(kw_only=True)
class Need(Placed):
    """A substitute for a Debian package that other packages depend on."""

    package: str = field(
        metadata=key(
            "Package",
            "Name of the package that other packages depend on.",
            Text(
                pattern="^[A-Za-z0-9][A-Za-z0-9+.-]{0,199}$", words="the name of a Debian package"
            ),
            "libpci3",
        )
    )
    extensions: tuple[str, ...] = field(
        metadata=key(
            "Replacement extensions",
            "Extensions that replace the package. An empty array means that the image already has "
            "it.",
            evolve(EXTENSION_NAMES, convert=tuple),
            ["pci-utils.tcz"],
        )
    )


@frozen(kw_only=True)
class Checksum(Placed):
    """The expected SHA-256 of an extension, a Debian package or a gem."""

    file: str = field(
        metadata=key(
            "File",
            "Name of an extension, a Debian package or a gem. A package or gem without a version, "
            "such as lshw.deb or json_pure.gem, stands for any version.",
            Text(
                pattern=r"^[0-9A-Za-z_][^/\\\u0000-\u0020\u007f]{0,250}\.(tcz|deb|gem)$",
                words="the name of a file that ends in .tcz, .deb or .gem",
            ),
            "bash.tcz",
            "json_pure-1.8.6.gem",
        )
    )
    sha256: str = field(
        metadata=key("SHA-256", "Expected SHA-256 of the file, as fetched.", SHA256, EXAMPLE_SHA256)
    )


@frozen(kw_only=True)
class DebianChoice(Placed):
    """Options for converting Debian packages to extensions."""

    follow: bool = field(
        default=False,
        metadata=key(
            "Follow dependencies",
            "Whether to include the packages that packages depend on. A substitute under [[need]] "
            "takes precedence.",
            FLAG,
            True,
        ),
    )
    keyring: str | None = field(
        default=None,
        metadata=key(
            "Keyring",
            "A file of OpenPGP keys. One of them must have signed InRelease. Requires "
            "purekernel[signatures].",
            PATH,
            "/usr/share/keyrings/debian-archive-keyring.gpg",
        ),
    )
    allow_expired: bool = field(
        default=False,
        metadata=key(
            "Allow expired archives",
            "Whether to use an archive whose InRelease has expired, such as one that is no longer "
            "updated.",
            FLAG,
            True,
        ),
    )
    documentation: bool = field(
        default=False,
        metadata=key(
            "Keep documentation",
            "Whether to keep doc, man, menu and lintian in usr/share.",
            FLAG,
            True,
        ),
    )
    empty_folders: bool = field(
        default=False,
        metadata=key("Keep empty folders", "Whether to keep empty folders.", FLAG, True),
    )
    library_links: bool = field(
        default=True,
        metadata=key(
            "Link libraries",
            "Whether to link libraries from folders that Core's loader does not search, such as "
            "usr/lib/i386-linux-gnu, into a folder that it searches.",
            FLAG,
            False,
        ),
    )


@frozen(kw_only=True)
class Gems(Placed):
    """The gems of an image."""

    wanted: tuple[Named, ...] | None = field(
        default=None,
        metadata=key(
            "Gems",
            "Names of gems, optionally with version requirements.",
            Array(item=GEM, convert=once),
            ["facter", "json_pure >= 1.7.7"],
            named=True,
            list_key=Key(
                name="list",
                title="List of gems",
                description="A file that lists gems, one per line. Its gems come before the gems "
                "given here.",
                kind=PATH,
                examples=("lists/gem.list",),
            ),
        ),
    )
    layout: GemLayout | None = field(
        default=None,
        metadata=key(
            "Layout",
            '"mirror": with an index, in /tmp/gem-mirror, as a source for gem install; "flat": '
            "the gems only, in /opt/gems. If not given, the layout of the project in [razor].",
            Choice.of(GemLayout),
            "mirror",
        ),
    )
    ruby: str | None = field(
        default=None,
        metadata=key(
            "Ruby version",
            "Version of the image's Ruby. Gem releases that do not run on it are skipped.",
            Text(pattern=r"^[0-9]{1,3}(\.[0-9]{1,4}){1,3}$", words='a version such as "1.8.7"'),
            "1.8.7",
        ),
    )


@frozen(kw_only=True)
class OverlayChoice(Placed):
    """A folder, an archive or a layer in memory to copy over the root file system.

    One of ``path``, ``url`` and ``layer`` is given.

    Attributes:
        path: relative to the recipe's folder, or to the current folder if the command line gives
            it.
        layer: a layer in memory.
        from_command_line: whether the command line gives it.
    """

    path: str | None = field(
        default=None,
        metadata=key(
            "Path",
            "Path of a folder, or of a tar, cpio, squashfs or mtree file; or the address of a "
            "folder or archive inside a file, such as other.iso:boot/core.gz.",
            PATH,
            "site",
        ),
    )
    url: str | None = field(
        default=None,
        repr=show_place,
        metadata=key(
            "URL",
            "URL of an archive, in place of a path.",
            Text(
                pattern=r"^(https?|file)://[^\u0000-\u0020\u007f]+$",
                max_length=2048,
                words="a URL that begins with http://, https:// or file://",
            ),
            "https://mirror.example/site.tar.gz",
        ),
    )
    sha256: str | None = field(
        default=None,
        metadata=key("SHA-256", "Expected SHA-256 of the archive.", SHA256, EXAMPLE_SHA256),
    )
    keep_owners: bool = field(
        default=False,
        metadata=key(
            "Keep owners",
            "Whether to keep the owners that an archive records. Otherwise root owns all files.",
            FLAG,
            True,
        ),
    )
    layer: Layer | None = None
    from_command_line: bool = False

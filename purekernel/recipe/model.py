"""Describe what a recipe can say, and define the values that it is read into.

The fields with a ``key`` or ``table`` are the one description of ``purekernel.toml``; see
:mod:`purekernel.recipe.keys`. To add a key, add a field. The description of a key is the
documentation of its attribute.

Code that creates these values (from ``purekernel.toml``, the command line or the
``MK_BUNDLE_…`` settings of the original scripts) has already validated them, and code that reads
them does not validate them again. ``None`` and empty mean "not given"; the code that uses a
value applies its default.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from attrs import Factory, evolve, field

from purekernel.errors import PurekernelError, UsageError
from purekernel.fetch.urls import redact
from purekernel.formats.tinycore import EDITIONS, arch_of
from purekernel.recipe.changes import (
    OPERATIONS,
    AttributeChange,
    EditChange,
    FileChange,
    LinkChange,
    Removal,
)
from purekernel.recipe.findings import FindingChoice
from purekernel.recipe.flavour import EMITS, Flavour, InitrdLayout
from purekernel.recipe.iso_files import IsoFile
from purekernel.recipe.keys import Key, Placed, key, table
from purekernel.recipe.keys import Named as Named  # noqa: PLC0414  # others import it from here
from purekernel.recipe.kinds import (
    ABSOLUTE_PATH,
    CHECKED_FILE,
    EXTENSION_NAME,
    EXTENSION_NAMES,
    FLAG,
    GEM,
    ID,
    IMAGE_NAME,
    IMAGE_PATH,
    KERNEL_RELEASE,
    LINE_PATTERN,
    LONG_FIELD,
    MIRROR_PLACE,
    PATH,
    PLACE,
    PLACE_OR_FALSE,
    PLACES,
    SECONDS,
    SHA256,
    SHORT_FIELD,
    Array,
    Choice,
    Number,
    Text,
    Whole,
    once,
)
from purekernel.recipe.system import (
    AUTHORIZED_KEY,
    GROUP_NAME,
    LOGIN_NAME,
    SERIAL,
    Group,
    SystemChoice,
)
from purekernel.records import frozen
from purekernel.tree import Layer, Pass


class GemLayout(Enum):
    """The layout of gems in the image: a mirror with an index (2013), or one folder (2012)."""

    MIRROR = "mirror"
    FLAT = "flat"


# In tenths of a second: isolinux counts timer ticks in 16 bits. (Source: its reference, "TIMEOUT".)
MAX_TIMEOUT = 35996

_ZEROS = "0" * 64
_PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f anna@example"
)


def _shown(place: str | None) -> str:
    """Return the representation of a path or URL, without passwords."""
    return repr(None if place is None else redact(place))


def _all_shown(places: tuple[str, ...]) -> str:
    return repr(tuple(map(redact, places)))


# The tables of a recipe.


@frozen(kw_only=True)
class CoreChoice(Placed):
    """The release of Core that an image starts from."""

    version: str = field(
        default="4.x",
        metadata=key(
            "Core version",
            'A series such as "4.x", for its newest release, or one release.',
            Text(
                pattern=r"^[0-9]{1,3}\.(x|[0-9]{1,3}(\.[0-9]{1,3})?)$",
                words='a series such as "4.x", or a release such as "4.4" or "4.7.7"',
            ),
            "4.x",
            "4.4",
        ),
    )
    edition: str | None = field(
        default=None,
        metadata=key(
            "Edition",
            "Name of the mirror's ISO, in place of Core or CorePure64. Its files in cde/ are kept.",
            Choice(choices=tuple(name for names in EDITIONS.values() for name in names)),
            "TinyCore",
        ),
    )
    arch: str = field(
        default=Factory(lambda core: arch_of(core.edition), takes_self=True),
        metadata=key(
            "Architecture",
            "Architecture of Core, named as on the mirrors. If not given, that of the edition.",
            Choice(choices=tuple(EDITIONS)),
            "x86",
            default="x86",
        ),
    )
    iso: str | None = field(
        default=None,
        repr=_shown,
        metadata=key(
            "Base ISO",
            "URL or path of the ISO to start from. If not given, the ISO from the mirror.",
            PLACE,
            "https://mirror.example/tinycorelinux/4.x/x86/release/Core-current.iso",
        ),
    )
    iso_sha256: str | None = field(
        default=None,
        metadata=key(
            "SHA-256 of the base ISO", "Expected SHA-256 of the base ISO.", SHA256, _ZEROS
        ),
    )
    kernel: str | None = field(
        default=None,
        repr=_shown,
        metadata=key(
            "Kernel",
            "The kernel: a path, a URL, or a name in the mirror's folder distribution_files. With "
            "initrd, the base is these files, and has no boot loader. Without, it replaces the "
            "kernel of the ISO.",
            MIRROR_PLACE,
            "vmlinuz64",
        ),
    )
    kernel_sha256: str | None = field(
        default=None,
        metadata=key("SHA-256 of the kernel", "Expected SHA-256 of the kernel.", SHA256, _ZEROS),
    )
    initrd: tuple[str, ...] = field(
        default=(),
        repr=_all_shown,
        metadata=key(
            "Initrds",
            "The initrds, in the order in which the kernel unpacks them: paths, URLs, or names in "
            "the mirror's folder distribution_files. An unpacked root file system can be given as "
            "a folder. If not given, those of the ISO.",
            Array(item=MIRROR_PLACE, min_items=1),
            ["rootfs64.gz", "modules64.gz"],
        ),
    )
    initrd_sha256: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "SHA-256 of the initrds",
            "Expected SHA-256 of each initrd, in the same order.",
            Array(item=SHA256, min_items=1),
            [_ZEROS],
        ),
    )
    layout: InitrdLayout = field(
        default=InitrdLayout.AS_BASE,
        metadata=key(
            "Layout of the initrds",
            '"as-base": as many initrds as the base has, each file in the one that had it; '
            '"merged": one initrd; "second-initrd": the initrds of the base stay as they are, and '
            "one more has the differences.",
            Choice.of(InitrdLayout),
            "second-initrd",
            default="as-base",
        ),
    )
    kernel_release: str | None = field(
        default=None,
        metadata=key(
            "Kernel release",
            "The kernel release that KERNEL in names of extensions stands for. If not given, the "
            "release of the base's kernel.",
            KERNEL_RELEASE,
            "3.0.3-tinycore",
        ),
    )


@frozen(kw_only=True)
class Mirrors(Placed):
    """The sources of downloads, each list in the order in which they are tried."""

    tinycore: tuple[str, ...] = field(
        default=(),
        repr=_all_shown,
        metadata=key(
            "Tiny Core mirrors",
            'Folders that hold "4.x/x86/tcz" and "4.x/x86/release".',
            PLACES,
            ["https://distro.ibiblio.org/tinycorelinux", "../mirror/tinycorelinux"],
        ),
    )
    extensions: tuple[str, ...] = field(
        default=(),
        repr=_all_shown,
        metadata=key(
            "Folders of extensions",
            "Folders that hold the extensions themselves. They are used in place of the Tiny Core "
            "mirrors.",
            PLACES,
            ["https://distro.ibiblio.org/tinycorelinux/4.x/x86/tcz"],
        ),
    )
    gems: tuple[str, ...] = field(
        default=(),
        repr=_all_shown,
        metadata=key(
            "Gem servers",
            "Servers of Ruby gems. The releases of each gem come from the first server that has "
            "it.",
            PLACES,
            ["https://rubygems.org"],
        ),
    )
    debian: tuple[str, ...] = field(
        default=(),
        repr=_all_shown,
        metadata=key(
            "Debian mirrors",
            "Mirrors of Debian, for extensions whose names end in .deb.",
            PLACES,
            ["https://ftp.debian.org/debian"],
        ),
    )
    debian_packages: tuple[str, ...] = field(
        default=(),
        repr=_all_shown,
        metadata=key(
            "Debian packages indexes",
            "Packages indexes to look up .deb packages in.",
            PLACES,
            ["https://ftp.debian.org/debian/dists/stable/main/binary-i386/Packages.gz"],
        ),
    )


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
        metadata=key("SHA-256", "Expected SHA-256 of the file, as fetched.", SHA256, _ZEROS)
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
            "Path", "Path of a folder, or of a tar, cpio, squashfs or mtree file.", PATH, "site"
        ),
    )
    url: str | None = field(
        default=None,
        repr=_shown,
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
        default=None, metadata=key("SHA-256", "Expected SHA-256 of the archive.", SHA256, _ZEROS)
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


@frozen(kw_only=True)
class Account(Placed):
    """A user account of the image, changed or added.

    Attributes:
        name: the login name.
    """

    name: str
    password: str | None = field(
        default=None,
        repr=False,
        metadata=key(
            "Password",
            "The password in plain text. Anyone who can read the recipe can read it.",
            Text(
                pattern=LINE_PATTERN,
                min_length=1,
                max_length=256,
                words="text on one line, of at least 1 and at most 256 characters",
                secret=True,
            ),
            "test1234",
        ),
    )
    password_env: str | None = field(
        default=None,
        metadata=key(
            "Password from the environment",
            "Environment variable that holds the password.",
            Text(
                pattern="^[A-Za-z_][0-9A-Za-z_]*$",
                max_length=255,
                words="the name of an environment variable",
            ),
            "TC_PASSWORD",
        ),
    )
    password_hash: str | None = field(
        default=None,
        repr=False,
        metadata=key(
            "Password hash",
            "Hash of the password, in the form of /etc/shadow.",
            Text(
                pattern=r"^(\$[0-9a-z]{1,8}\$[./0-9A-Za-z$=,-]{1,200}|[./0-9A-Za-z]{13})$",
                words="a hash in the form of /etc/shadow, such as one that begins with $6$",
                secret=True,
            ),
            "$6$saltsalt$diqEm1MZaAfvmRGID6/fuBsSANgy545QfioEs29fE.nbIw4xah49Ul9WWGeLyGBddflSIa1rL"
            "rr6fcxv9xyYK0",
        ),
    )
    locked: bool = field(
        default=False,
        metadata=key("Locked", "Whether to disable login with a password.", FLAG, True),
    )
    uid: int | None = field(
        default=None, metadata=key("User id", "User id of an added account.", ID, 1002)
    )
    gid: int | None = field(
        default=None, metadata=key("Group id", "Group id of an added account.", ID, 50)
    )
    home: str | None = field(
        default=None, metadata=key("Home", "Home directory.", ABSOLUTE_PATH, "/home/anna")
    )
    shell: str | None = field(
        default=None, metadata=key("Shell", "Login shell.", ABSOLUTE_PATH, "/bin/sh")
    )
    comment: str | None = field(
        default=None,
        metadata=key(
            "Comment",
            "Full name.",
            Text(
                pattern=r"^[^\u0000-\u001f:\u007f]*$",
                max_length=255,
                words="text on one line, without colons, of at most 255 characters",
            ),
            "Anna Example",
        ),
    )
    groups: tuple[Named, ...] = field(
        default=(),
        metadata=key(
            "Groups",
            "Groups to add the user to, which the image or [groups] has.",
            Array(item=GROUP_NAME, convert=once),
            ["staff"],
            named=True,
        ),
    )
    authorized_keys: tuple[Named, ...] = field(
        default=(),
        repr=False,
        metadata=key(
            "Authorized keys",
            "Public keys with which the user can log in through SSH, added to "
            ".ssh/authorized_keys in the home.",
            Array(item=AUTHORIZED_KEY, convert=once),
            [_PUBLIC_KEY],
            named=True,
            list_key=Key(
                name="authorized-keys-list",
                title="File of authorized keys",
                description="A file in the format of authorized_keys, such as one that ends in "
                ".pub. Its keys come before the keys given here.",
                kind=PATH,
                examples=("keys/anna.pub",),
            ),
        ),
    )

    @property
    def has_password(self) -> bool:
        """Whether a password is given, in any of the three forms."""
        return (self.password, self.password_env, self.password_hash) != (None, None, None)


def _is_timeout(_changes: object, _attribute: object, timeout: int | None) -> None:
    if timeout is not None and not 0 <= timeout <= MAX_TIMEOUT:
        raise UsageError(
            f"the boot timeout must be from 0 to {MAX_TIMEOUT} tenths of a second, got {timeout}",
            hint=f"give a number from 0 (wait forever) to {MAX_TIMEOUT}",
        )


@frozen(kw_only=True)
class BootChanges(Placed):
    """Changes to the boot menu.

    Raises:
        UsageError: the timeout is outside the range of isolinux.
    """

    append: str | None = field(
        default=None,
        metadata=key(
            "Kernel parameters",
            "Parameters to append to every kernel command line. For a serial console, use the key "
            '"serial".',
            Text(
                pattern=LINE_PATTERN,
                max_length=2047,
                words="text on one line, of at most 2047 characters",
            ),
            "nodhcp waitusb=5",
        ),
    )
    serial: str | None = field(
        default=None,
        metadata=key(
            "Serial console",
            "A serial port, and its speed in bits per second, by default 115200: the kernel's "
            "console, beside the screen, and a terminal that users, and root, can log in on.",
            SERIAL,
            "ttyS0,115200",
        ),
    )
    timeout: int | None = field(
        default=None,
        validator=_is_timeout,
        metadata=key(
            "Timeout",
            "Tenths of a second until the default entry boots; 0 waits forever. If not given, "
            "Core's timeout of 300 becomes 100.",
            Whole(
                minimum=0,
                maximum=MAX_TIMEOUT,
                words=f"a whole number of tenths of a second, from 0 to {MAX_TIMEOUT}",
            ),
            100,
        ),
    )
    default: str | None = field(
        default=None,
        metadata=key(
            "Default",
            "Label of the entry that boots if the user chooses none.",
            Text(
                pattern=r"^[^\u0000-\u0020\u007f]+$",
                max_length=255,
                words="a label of the boot menu, without blanks",
            ),
            "mc",
        ),
    )

    @property
    def given_places(self) -> list[str]:
        """Where each change was given, for messages; without those of the command line."""
        places = map(self.place, ("append", "serial", "timeout", "default"))
        return [place for place in places if place]


VOLUME_FIELDS = {
    "volume_id": "volume_id",
    "application": "application_id",
    "system": "system_id",
    "publisher": "publisher_id",
    "preparer": "preparer_id",
}
"""The fields in :mod:`purekernel.formats.iso` for the attributes of :class:`IsoChoice`."""


@frozen(kw_only=True)
class IsoChoice(Placed):
    """Options for the ISO."""

    volume_id: str | None = field(
        default=None,
        metadata=key(
            "Volume id", "Name of the disc, as operating systems show it.", SHORT_FIELD, "MY CORE"
        ),
    )
    application: str | None = field(
        default=None, metadata=key("Application", "Application field.", LONG_FIELD, "My Core")
    )
    system: str | None = field(
        default=None, metadata=key("System", "System field.", SHORT_FIELD, "LINUX", default="LINUX")
    )
    publisher: str | None = field(
        default=None, metadata=key("Publisher", "Publisher field.", LONG_FIELD, "EXAMPLE LTD")
    )
    preparer: str | None = field(
        default=None,
        metadata=key(
            "Preparer",
            "Preparer field. The default contains no user, host or date.",
            LONG_FIELD,
            "EXAMPLE LTD",
            default="purekernel",
        ),
    )
    keep_files: bool | None = field(
        default=None,
        metadata=key(
            "Keep files",
            "Whether to keep the base ISO's files outside boot/. If not given, they are kept, "
            "except with [razor] from an ISO without cde/.",
            FLAG,
            True,
        ),
    )

    @property
    def volume(self) -> dict[str, str]:
        """The given fields of the volume descriptor, named as in :mod:`purekernel.formats.iso`."""
        given = {name: getattr(self, attribute) for attribute, name in VOLUME_FIELDS.items()}
        return {name: value for name, value in given.items() if value is not None}


@frozen(kw_only=True)
class Razor(Placed):
    """The Razor-Microkernel project that an image is built from.

    An empty place leaves the file out; ``None`` stands for the default.
    """

    project: str = field(
        repr=_shown,
        metadata=key(
            "Project",
            "The Razor-Microkernel project: a folder, a tarball, or a tarball's URL.",
            PLACE,
            "../Razor-Microkernel",
        ),
    )
    project_sha256: str | None = field(
        default=None,
        metadata=key(
            "SHA-256 of the project", "Expected SHA-256 of the project's tarball.", SHA256, _ZEROS
        ),
    )
    rubygems: str | None = field(
        default=None,
        repr=_shown,
        metadata=key(
            "RubyGems",
            "RubyGems distribution that the image installs at boot.",
            PLACE_OR_FALSE,
            "https://rubygems.org/rubygems/rubygems-1.8.24.tgz",
        ),
    )
    rubygems_sha256: str | None = field(
        default=None,
        metadata=key(
            "SHA-256 of RubyGems", "Expected SHA-256 of the RubyGems distribution.", SHA256, _ZEROS
        ),
    )
    open_vm_tools: str | None = field(
        default=None,
        repr=_shown,
        metadata=key(
            "Open VM tools", "The archive mk-open-vm-tools.tar.gz.", PLACE_OR_FALSE, False
        ),
    )
    open_vm_tools_sha256: str | None = field(
        default=None,
        metadata=key(
            "SHA-256 of the Open VM tools",
            "Expected SHA-256 of mk-open-vm-tools.tar.gz.",
            SHA256,
            _ZEROS,
        ),
    )
    mcollective: str | None = field(
        default=None,
        repr=_shown,
        metadata=key(
            "MCollective", "MCollective distribution, for a project of 2012.", PLACE_OR_FALSE, False
        ),
    )
    mcollective_sha256: str | None = field(
        default=None,
        metadata=key(
            "SHA-256 of MCollective",
            "Expected SHA-256 of the MCollective distribution.",
            SHA256,
            _ZEROS,
        ),
    )
    ssh_host_keys: bool = field(
        default=True,
        metadata=key(
            "SSH host keys",
            "Whether to include the host keys in the project's ssh files. All images then have "
            "the same keys.",
            FLAG,
            False,
        ),
    )


@frozen(kw_only=True)
class OutputChoice(Placed):
    """The files to write, and their folder, which is relative to the recipe's folder."""

    folder: str | None = field(
        default=None, metadata=key("Folder", "Folder for the output files.", PATH, "out")
    )
    emit: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Outputs",
            '"iso": the ISO; "core": the initrds and the kernel; "initrd": the second initrd; '
            '"pxe": a folder for a TFTP or HTTP server; "tce": the extensions for a partition, as '
            "a tar archive. If not given, the ISO, or for a base without a boot loader, the "
            "initrds and the kernel; and the extensions for a partition if there are any.",
            Array(item=Choice(choices=EMITS), min_items=1, convert=once),
            ["iso", "pxe"],
        ),
    )


@frozen(kw_only=True)
class DownloadChoice(Placed):
    """Options for downloads; ``None`` for the default.

    Attributes:
        reuse: use earlier downloads without checking for newer files.
    """

    parallel: int | None = field(
        default=None,
        metadata=key(
            "Parallel downloads",
            "Number of downloads at once.",
            Whole(minimum=1, maximum=64, words="a whole number from 1 to 64"),
            8,
            default=8,
        ),
    )
    attempts: int | None = field(
        default=None,
        metadata=key(
            "Attempts",
            "Number of attempts per file, over all mirrors in turn.",
            Whole(minimum=1, maximum=100, words="a whole number from 1 to 100"),
            4,
            default=4,
        ),
    )
    connect_seconds: float | None = field(
        default=None,
        metadata=key(
            "Connection timeout", "Time limit for a server to answer, in seconds.", SECONDS, 10
        ),
    )
    stall_seconds: float | None = field(
        default=None,
        metadata=key(
            "Stall timeout",
            "Time limit for a download without a byte of data, in seconds.",
            SECONDS,
            30,
        ),
    )
    allow_http: bool | None = field(
        default=None,
        metadata=key(
            "Allow plain HTTP",
            "Whether a plain http mirror may stand in for the https mirrors that are listed before "
            "it. Files with a known SHA-256 may come from it in any case.",
            FLAG,
            True,
            default=False,
        ),
    )
    min_bytes_per_second: float | None = field(
        default=None,
        metadata=key(
            "Minimum rate",
            "Bytes per second below which a download is aborted and retried; 0 for no minimum.",
            Number(
                minimum=0,
                maximum=1_000_000_000,
                words="a number of bytes per second, from 0 to 1000000000",
            ),
            1000,
            default=1000,
        ),
    )
    slow_seconds: float | None = field(
        default=None,
        metadata=key(
            "Slow timeout",
            "Time over which the minimum rate is measured, in seconds.",
            SECONDS,
            30,
        ),
    )
    most_seconds: float | None = field(
        default=None,
        metadata=key("Total timeout", "Time limit for a whole file, in seconds.", SECONDS, 3600),
    )
    reuse: bool = False


# The last second that fits in cpio's eight hexadecimal digits, in 2106. ISO 9660's calendar ends
# later, in 2155.
MAX_TIMESTAMP = 0xFFFFFFFF


def _passes(passes: Iterable[tuple[str, Pass]]) -> tuple[tuple[str, Pass], ...]:
    return tuple(passes)


def _overlays(overlays: Iterable[OverlayChoice]) -> tuple[OverlayChoice, ...]:
    return tuple(overlays)


def is_timestamp(_record: object, _attribute: object, timestamp: int | None) -> None:
    """Validate an attribute: ``None``, or a time that every output can represent.

    Raises:
        UsageError: the time is out of range.
    """
    if timestamp is not None and not 0 <= timestamp <= MAX_TIMESTAMP:
        raise UsageError(
            f"the timestamp is out of range: must be from 0 to {MAX_TIMESTAMP}, got {timestamp}",
            hint="give seconds since 1970, UTC; the last is in the year 2106",
        )


@frozen(kw_only=True)
class Recipe(Placed):
    """All that a user specifies for an image.

    Attributes:
        source: source of the recipe, for messages: ``purekernel.toml`` or ``the command line``.
        folder: folder that relative paths are relative to.
        path: path of the recipe's file; ``None`` without a file.
        passes: changes to the complete root file system, in order, each with a description for the
            user and a function from tree to tree. A pass must not change its argument.
        faults: errors in lines of the recipe's lists, to be raised together with other errors.
        warnings: warnings about the recipe and the settings, one line each.

    Raises:
        UsageError: the timestamp is out of range.
    """

    source: str = "the recipe"
    folder: Path = field(factory=Path)
    path: Path | None = None
    passes: tuple[tuple[str, Pass], ...] = field(default=(), repr=False, converter=_passes)
    extends: tuple[str, ...] = field(
        default=(),
        eq=False,
        metadata=key(
            "Files to extend",
            "Recipes whose keys this one inherits. A path; or a table with a path and its sha256, "
            "which a file outside the folder of the recipe must have.",
            Array(item=CHECKED_FILE),
            ["base.toml"],
        ),
    )
    discard: tuple[str, ...] = field(
        default=(),
        eq=False,
        metadata=key(
            "Inherited keys to discard",
            "Keys and tables whose inherited values are discarded before those of this file are "
            "joined, such as an array that would be continued otherwise.",
            Array(
                item=Text(
                    pattern=r"^[0-9A-Za-z_-]{1,64}(\.[0-9A-Za-z_-]{1,64}){0,7}$",
                    words='a key or table, such as "mirrors.tinycore" or "overlay"',
                )
            ),
            ["mirrors.tinycore"],
        ),
    )
    name: str | None = field(
        default=None,
        metadata=key("Name", "Prefix of the names of the output files.", IMAGE_NAME, "my-core"),
    )
    version: str | None = field(
        default=None,
        metadata=key(
            "Version",
            "Version of the image. It appears in the names of the output files and inside the "
            "image.",
            IMAGE_NAME,
            "1.0",
        ),
    )
    flavour: Flavour | None = field(
        default=None,
        metadata=key(
            "Flavour",
            'Use of the image: "dev" allows login, "prod" allows no login, "debug" logs in on the '
            "console automatically. If not given, accounts and console stay as in Core; with "
            '[razor], the default is "dev".',
            Choice.of(Flavour),
            "dev",
        ),
    )
    timestamp: int | None = field(
        default=None,
        validator=is_timestamp,
        metadata=key(
            "Timestamp",
            "Time of the output files, in seconds since 1970, UTC. No file in the image has a "
            "newer time. If not given, the newest time of the inputs.",
            Whole(
                minimum=0,
                maximum=MAX_TIMESTAMP,
                words=f"a whole number of seconds from 0 to {MAX_TIMESTAMP}",
            ),
            1700000000,
        ),
    )
    drop_boot: bool = field(
        default=False,
        metadata=key(
            "Drop unsupported ways to boot",
            "Whether to drop the base's ways to boot that the output does not support (UEFI, USB "
            "sticks, early microcode), and its boot menus that a change does not apply to, with a "
            "warning. Otherwise they are an error.",
            FLAG,
            True,
        ),
    )
    core: CoreChoice = field(
        factory=CoreChoice,
        metadata=table(
            "core",
            "Core",
            "The Tiny Core release that the image starts from.",
            CoreChoice,
            exclusive=("edition", "initrd", "iso"),
        ),
    )
    mirrors: Mirrors = field(
        factory=Mirrors,
        metadata=table(
            "mirrors", "Mirrors", "Sources of downloads: URLs or folders, tried in order.", Mirrors
        ),
    )
    extensions: Extensions = field(
        factory=Extensions,
        metadata=table(
            "extensions",
            "Extensions",
            "Extensions of the image. A name without a suffix means .tcz. A name that ends in .deb "
            "is a Debian package, which is converted to an extension. KERNEL in a name stands for "
            "the kernel release. A list is a file with one name per line; its names come before "
            "the names given here.",
            Extensions,
            exclusive=("copy2fs", "copy2fs-all"),
        ),
    )
    cuts: tuple[Cut, ...] = field(
        default=(),
        metadata=table(
            "cut",
            "Cuts",
            "Files to copy into the image from an extension that is not itself in the image. The "
            "table can be repeated.",
            Cut,
            repeated=True,
            item_title="Cut",
            any_of=("files", "list"),
        ),
    )
    needs: tuple[Need, ...] = field(
        default=(),
        metadata=table(
            "need",
            "Substitutes for packages",
            "Substitutes for Debian packages that other packages depend on. The table can be "
            "repeated.",
            Need,
            repeated=True,
            item_title="Substitute",
        ),
    )
    checksums: tuple[Checksum, ...] = field(
        default=(),
        metadata=table(
            "checksum",
            "Checksums",
            "The expected SHA-256 of extensions, Debian packages and gems. For other files, a key "
            "beside their URL has it. The table can be repeated.",
            Checksum,
            repeated=True,
            item_title="Checksum",
        ),
    )
    debian: DebianChoice = field(
        factory=DebianChoice,
        metadata=table(
            "debian",
            "Debian packages",
            "Options for converting Debian packages, which are listed as NAME.deb among the "
            "extensions.",
            DebianChoice,
        ),
    )
    gems: Gems = field(
        factory=Gems,
        metadata=table(
            "gems", "Gems", "Ruby gems of the image. Their runtime dependencies are included.", Gems
        ),
    )
    overlays: tuple[OverlayChoice, ...] = field(
        default=(),
        converter=_overlays,
        metadata=table(
            "overlay",
            "Overlays",
            "Folders and archives to copy over the root file system, in this order; later files "
            "replace earlier ones. The table can be repeated.",
            OverlayChoice,
            repeated=True,
            item_title="Overlay",
            one_of=("path", "url"),
        ),
    )
    accounts: tuple[Account, ...] = field(
        default=(),
        metadata=table(
            "accounts",
            "Accounts",
            "User accounts to change or add, each in its own table, such as [accounts.tc]. Only "
            "one form of password can be given.",
            Account,
            item_title="Account",
            names=LOGIN_NAME,
            example={"tc": {"password-env": "TC_PASSWORD"}},
            exclusive=("locked", "password", "password-env", "password-hash"),
        ),
    )
    groups: tuple[Group, ...] = field(
        default=(),
        metadata=table(
            "groups",
            "Groups",
            "Groups to change or add, each in its own table, such as [groups.backup].",
            Group,
            item_title="Group",
            names=GROUP_NAME,
            example={"backup": {"members": ["tc"]}},
        ),
    )
    system: SystemChoice = field(
        factory=SystemChoice,
        metadata=table(
            "system",
            "System",
            "Name, time zone, network and services of the running system.",
            SystemChoice,
        ),
    )
    removals: tuple[Removal, ...] = field(
        default=(),
        converter=tuple,
        metadata=table(
            "remove",
            "Removals",
            "Paths to remove from the complete root file system, before files are written and "
            "edited. The table can be repeated, as can the next four.",
            Removal,
            repeated=True,
            item_title="Removal",
        ),
    )
    files: tuple[FileChange, ...] = field(
        default=(),
        converter=tuple,
        metadata=table(
            "file",
            "Files",
            "Files to write into the root file system.",
            FileChange,
            repeated=True,
            item_title="Written file",
            one_of=("text", "source"),
        ),
    )
    edits: tuple[EditChange, ...] = field(
        default=(),
        converter=tuple,
        metadata=table(
            "edit",
            "Edits",
            "Changes to the text of files. find and regex need replace.",
            EditChange,
            repeated=True,
            item_title="Edit",
            one_of=OPERATIONS,
            exclusive=("count", "every"),
        ),
    )
    links: tuple[LinkChange, ...] = field(
        default=(),
        converter=tuple,
        metadata=table(
            "link",
            "Links",
            "Symbolic and hard links to add, one by one or for all that a pattern matches.",
            LinkChange,
            repeated=True,
            item_title="Link",
            one_of=("path", "into"),
        ),
    )
    attributes: tuple[AttributeChange, ...] = field(
        default=(),
        converter=tuple,
        metadata=table(
            "attributes",
            "Attributes",
            "Modes and owners of files and folders, set after all other changes.",
            AttributeChange,
            repeated=True,
            item_title="Attributes",
            any_of=("mode", "folder-mode", "owner"),
        ),
    )
    boot: BootChanges = field(
        factory=BootChanges,
        metadata=table(
            "boot", "Boot", "Changes to the boot menu and to the login after booting.", BootChanges
        ),
    )
    autologin: bool | None = field(
        default=None,
        metadata=key(
            "Automatic login",
            "Whether the first console logs in automatically. If not given, it depends on the "
            "flavour.",
            FLAG,
            True,
            table="boot",
        ),
    )
    iso: IsoChoice = field(
        factory=IsoChoice, metadata=table("iso", "ISO", "Fields and files of the ISO.", IsoChoice)
    )
    iso_files: tuple[IsoFile, ...] = field(
        default=(),
        metadata=table(
            "iso.file",
            "Files of the ISO",
            "Files to put on the ISO, which replace the base's. A boot menu that replaces "
            "boot/isolinux/isolinux.cfg is the one that changes under [boot] apply to. The table "
            "can be repeated.",
            IsoFile,
            repeated=True,
            item_title="File of the ISO",
            one_of=("source", "text", "url"),
        ),
    )
    razor: Razor | None = field(
        default=None,
        metadata=table(
            "razor",
            "Razor",
            "The project for an image that follows the conventions of the Razor Microkernel. A "
            "file set to false is left out.",
            Razor,
        ),
    )
    output: OutputChoice = field(
        factory=OutputChoice,
        metadata=table("output", "Output", "Output files and their folder.", OutputChoice),
    )
    findings: FindingChoice = field(
        factory=FindingChoice,
        metadata=table(
            "findings",
            "Findings",
            "What to do with findings: what is added to the image and will not run there, such as "
            "a program whose libraries are missing.",
            FindingChoice,
        ),
    )
    downloads: DownloadChoice = field(
        factory=DownloadChoice,
        metadata=table("downloads", "Downloads", "Options for downloads.", DownloadChoice),
    )
    faults: tuple[PurekernelError, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def file_changes(self) -> tuple[Placed, ...]:
        """The tables that change files of the image, in the order in which they apply."""
        return (*self.removals, *self.files, *self.edits, *self.links, *self.attributes)

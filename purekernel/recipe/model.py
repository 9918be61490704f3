"""Define the values that a recipe is read into.

Code that creates these values (from ``purekernel.toml``, the command line or the
``MK_BUNDLE_…`` settings of the original scripts) has already validated them, and code that reads
them does not validate them again. ``None`` and empty mean "not given"; the code that uses a
value applies its default.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from attrs import field, frozen

from purekernel.errors import PurekernelError, UsageError
from purekernel.fetch.urls import redact
from purekernel.recipe.flavour import Flavour


class GemLayout(Enum):
    """The layout of gems in the image: a mirror with an index (2013), or one folder (2012)."""

    MIRROR = "mirror"
    FLAT = "flat"


def _shown(place: str | None) -> str:
    """Return the representation of a path or URL, without passwords."""
    return repr(None if place is None else redact(place))


def _all_shown(places: tuple[str, ...]) -> str:
    return repr(tuple(map(redact, places)))


@frozen(kw_only=True)
class CoreChoice:
    """The release of Core that an image starts from.

    Attributes:
        version: ``4.x``, or a release such as ``4.4``.
        arch: ``x86`` or ``x86_64``.
        iso: URL or path of the base ISO; ``None`` for the mirror's own ISO.
        iso_sha256: expected SHA-256 of ``iso``.
        kernel: the kernel release that ``KERNEL`` stands for in names of extensions; ``None``
            for the release of the ISO's kernel.
    """

    version: str = "4.x"
    arch: str = "x86"
    iso: str | None = field(default=None, repr=_shown)
    iso_sha256: str | None = None
    kernel: str | None = None


@frozen(kw_only=True)
class Mirrors:
    """The sources of downloads, each list in the order in which they are tried.

    Attributes:
        tinycore: folders that hold ``4.x/x86/tcz``: URLs or paths.
        extensions: folders that hold the extensions themselves; used in place of
            ``{tinycore}/{version}/{arch}/tcz``.
        gems: gem servers.
        debian: Debian mirrors.
        debian_packages: URLs or paths of packages indexes (``Packages.gz``).
    """

    tinycore: tuple[str, ...] = field(default=(), repr=_all_shown)
    extensions: tuple[str, ...] = field(default=(), repr=_all_shown)
    gems: tuple[str, ...] = field(default=(), repr=_all_shown)
    debian: tuple[str, ...] = field(default=(), repr=_all_shown)
    debian_packages: tuple[str, ...] = field(default=(), repr=_all_shown)


@frozen(kw_only=True)
class Named:
    """A name in a list, with its position for messages.

    Attributes:
        name: ``bash.tcz``, ``lshw.deb``, ``json_pure >= 1.7.7``.
        place: ``purekernel.toml, line 12``, or ``builtin.lst, line 3``.
    """

    name: str
    place: str = field(eq=False)


@frozen(kw_only=True)
class Extensions:
    """The extensions of an image, and how each is included.

    Attributes:
        builtin: extensions that are loaded at boot, from ``/tmp/builtin``; ``None`` if not
            given.
        mirror: extensions in the mirror that the image carries; ``None`` if not given.
        merged: extensions that are unpacked into the root file system.
        skip: names that are left out, even if another extension depends on them.
        dependencies: whether to include the dependencies of these extensions.
    """

    builtin: tuple[Named, ...] | None = None
    mirror: tuple[Named, ...] | None = None
    merged: tuple[Named, ...] = ()
    skip: frozenset[str] = frozenset()
    dependencies: bool = True


@frozen(kw_only=True)
class Cut:
    """Files to copy into the image from an extension that is not itself in the image.

    Attributes:
        extension: ``util-linux.tcz``.
        files: paths in the extension, without a leading slash; may be shell patterns.
    """

    extension: Named
    files: tuple[Named, ...]


@frozen(kw_only=True)
class Need:
    """A substitute for a Debian package that other packages depend on.

    Attributes:
        package: name of the package.
        extensions: names of the extensions that replace it; empty if the image already has it.
    """

    package: str
    extensions: tuple[str, ...]


@frozen(kw_only=True)
class DebianChoice:
    """Options for converting Debian packages to extensions.

    Attributes:
        follow: whether to include the packages that they depend on.
        keyring: path of a file of keys; one of them must have signed the archive.
        documentation: whether to keep documentation.
        empty_folders: whether to keep empty folders.
        library_links: whether to link libraries into the folders that Core's loader searches.
    """

    follow: bool = False
    keyring: str | None = None
    documentation: bool = False
    empty_folders: bool = False
    library_links: bool = True


@frozen(kw_only=True)
class Gems:
    """The gems of an image.

    Attributes:
        wanted: gem names with version requirements, in the form of a line of ``gem.list``;
            ``None`` if not given.
        layout: layout of the gems; ``None`` for the layout of the project's generation.
        ruby: the image's Ruby version. Gems that do not run on it are skipped.
    """

    wanted: tuple[Named, ...] | None = None
    layout: GemLayout | None = None
    ruby: str | None = None


@frozen(kw_only=True)
class OverlayChoice:
    """A folder or archive to copy over the root file system.

    Attributes:
        path: path on the host, relative to the recipe's folder; ``None`` if ``url`` is given.
        url: URL of an archive; ``None`` if ``path`` is given.
        sha256: expected SHA-256 of the archive.
        keep_owners: keep the owners that the archive records.
    """

    path: str | None = None
    url: str | None = field(default=None, repr=_shown)
    sha256: str | None = None
    keep_owners: bool = False


@frozen(kw_only=True)
class Account:
    """A user account of the image, changed or added.

    Attributes:
        name: the login name.
        password: the password in plain text.
        password_place: source of the password, for messages; empty if it is the recipe.
        password_env: name of the environment variable that holds the password.
        password_hash: hash of the password, in the form of ``/etc/shadow``.
        locked: whether login with a password is disabled.
        uid: user id of an added account.
        gid: group id of an added account.
        home: home directory.
        shell: login shell.
        comment: full name.
    """

    name: str
    password: str | None = field(default=None, repr=False)
    password_place: str = field(default="", eq=False)
    password_env: str | None = None
    password_hash: str | None = field(default=None, repr=False)
    locked: bool = False
    uid: int | None = None
    gid: int | None = None
    home: str | None = None
    shell: str | None = None
    comment: str | None = None

    @property
    def has_password(self) -> bool:
        """Whether a password is given, in any of the three forms."""
        return (self.password, self.password_env, self.password_hash) != (None, None, None)


@frozen(kw_only=True)
class IsoChoice:
    """Options for the ISO.

    Attributes:
        volume: fields of the volume descriptor, by their names in
            :mod:`purekernel.formats.iso`.
        keep_files: whether to keep the base ISO's files outside ``boot/``.
    """

    volume: dict[str, str] = field(factory=dict)
    keep_files: bool | None = None


@frozen(kw_only=True)
class Razor:
    """The Razor-Microkernel project that an image is built from.

    Attributes:
        project: folder, tarball or tarball URL of the project.
        project_sha256: expected SHA-256 of a tarball.
        rubygems: URL or path of the RubyGems distribution; empty to leave it out; ``None`` for
            the default.
        open_vm_tools: the same for ``mk-open-vm-tools.tar.gz``.
        mcollective: the same for MCollective; 2012 only.
        ssh_host_keys: whether to include the host keys in the project's ssh files.
    """

    project: str = field(repr=_shown)
    project_sha256: str | None = None
    rubygems: str | None = field(default=None, repr=_shown)
    open_vm_tools: str | None = field(default=None, repr=_shown)
    mcollective: str | None = field(default=None, repr=_shown)
    ssh_host_keys: bool = True


@frozen(kw_only=True)
class OutputChoice:
    """The files to write, and their folder.

    Attributes:
        folder: output folder, relative to the recipe's folder.
        emit: kinds of output: ``iso``, ``core``, ``pxe``.
    """

    folder: str | None = None
    emit: tuple[str, ...] = ()


@frozen(kw_only=True)
class DownloadChoice:
    """Options for downloads; ``None`` for the default.

    Attributes:
        parallel: number of downloads at once.
        attempts: number of attempts for each file, over all mirrors.
        connect_seconds: time limit for a server to answer.
        stall_seconds: time limit without a byte of data.
        most_seconds: time limit for a whole file.
    """

    parallel: int | None = None
    attempts: int | None = None
    connect_seconds: float | None = None
    stall_seconds: float | None = None
    most_seconds: float | None = None


# In tenths of a second: isolinux counts timer ticks in 16 bits. (Source: its reference, "TIMEOUT".)
MAX_TIMEOUT = 35996


def _is_timeout(_changes: object, _attribute: object, timeout: int | None) -> None:
    if timeout is not None and not 0 <= timeout <= MAX_TIMEOUT:
        raise UsageError(
            f"the boot timeout must be from 0 to {MAX_TIMEOUT} tenths of a second, got {timeout}",
            hint=f"give a number from 0 (wait forever) to {MAX_TIMEOUT}",
        )


@frozen(kw_only=True)
class BootChanges:
    """Changes to the boot menu.

    Attributes:
        append: parameters to append to every kernel command line.
        timeout: tenths of a second until the default entry boots; 0 waits forever.
        default: label of the entry that boots if the user chooses none.

    Raises:
        UsageError: the timeout is outside the range of isolinux.
    """

    append: str | None = None
    timeout: int | None = field(default=None, validator=_is_timeout)
    default: str | None = None


@frozen(kw_only=True)
class Recipe:
    """All that a user specifies for an image.

    Attributes:
        source: source of the recipe, for messages: ``purekernel.toml`` or ``the command line``.
        folder: folder that relative paths are relative to.
        name: base name of the output files, without version and suffixes.
        version: version of the image.
        flavour: the image's use; ``None`` keeps the base's accounts and console.
        timestamp: time of all files, in seconds since 1970, UTC.
        core: the release of Core to start from.
        mirrors: sources of downloads.
        extensions: extensions of the image.
        cuts: files to copy from extensions that are not in the image.
        needs: substitutes for Debian packages.
        debian: options for converting Debian packages.
        gems: Ruby gems of the image.
        overlays: folders and archives to copy over the root file system, in order.
        accounts: user accounts to change or add.
        boot: changes to the boot menu.
        autologin: whether the first console logs in automatically; ``None`` for the flavour's
            default.
        iso: options for the ISO.
        razor: the project, for an image that follows Razor's conventions.
        output: the files to write.
        downloads: options for downloads.
        drop_boot: whether to drop the base's ways to boot that an output cannot have; otherwise
            they are an error.
        faults: errors in lines of the recipe's lists, to be raised together with other errors.
    """

    source: str
    folder: Path
    name: str | None = None
    version: str | None = None
    flavour: Flavour | None = None
    timestamp: int | None = None
    core: CoreChoice = field(factory=CoreChoice)
    mirrors: Mirrors = field(factory=Mirrors)
    extensions: Extensions = field(factory=Extensions)
    cuts: tuple[Cut, ...] = ()
    needs: tuple[Need, ...] = ()
    debian: DebianChoice = field(factory=DebianChoice)
    gems: Gems = field(factory=Gems)
    overlays: tuple[OverlayChoice, ...] = ()
    accounts: tuple[Account, ...] = ()
    boot: BootChanges = field(factory=BootChanges)
    autologin: bool | None = None
    iso: IsoChoice = field(factory=IsoChoice)
    razor: Razor | None = None
    output: OutputChoice = field(factory=OutputChoice)
    downloads: DownloadChoice = field(factory=DownloadChoice)
    drop_boot: bool = False
    faults: tuple[PurekernelError, ...] = ()

"""What a recipe says, as values.

Whoever makes one (``purekernel.toml``, the command line, the ``MK_BUNDLE_…`` settings of the
original scripts) has checked it; whoever reads one decides nothing more about its form.
``None`` and empty mean "not said", and the default stands where it is used.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from attrs import field, frozen

from purekernel.errors import PurekernelError, UsageError
from purekernel.fetch.urls import redact
from purekernel.recipe.flavour import Flavour


class GemLayout(Enum):
    """Where gems go: a mirror with an index (2013), or one folder (2012)."""

    MIRROR = "mirror"
    FLAT = "flat"


def _shown(place: str | None) -> str:
    """Return how a place that may be a URL with a password is represented."""
    return repr(None if place is None else redact(place))


def _all_shown(places: tuple[str, ...]) -> str:
    return repr(tuple(map(redact, places)))


@frozen(kw_only=True)
class CoreChoice:
    """Which Core an image starts from.

    Attributes:
        version: ``4.x``, or a release such as ``4.4``.
        arch: ``x86`` or ``x86_64``.
        iso: its ISO: a URL or a path, where it is not the mirror's own.
        iso_sha256: what that must have.
        kernel: the release that ``KERNEL`` stands for in names of extensions, where it is not
            that of the ISO.
    """

    version: str = "4.x"
    arch: str = "x86"
    iso: str | None = field(default=None, repr=_shown)
    iso_sha256: str | None = None
    kernel: str | None = None


@frozen(kw_only=True)
class Mirrors:
    """Where things come from; each in the order in which they are asked.

    Attributes:
        tinycore: folders that hold ``4.x/x86/tcz``: URLs or paths.
        extensions: folders that hold the extensions themselves, in place of
            ``{tinycore}/{version}/{arch}/tcz``.
        gems: gem servers.
        debian: Debian mirrors.
        debian_packages: URLs of packages indexes (``Packages.gz``).
    """

    tinycore: tuple[str, ...] = field(default=(), repr=_all_shown)
    extensions: tuple[str, ...] = field(default=(), repr=_all_shown)
    gems: tuple[str, ...] = field(default=(), repr=_all_shown)
    debian: tuple[str, ...] = field(default=(), repr=_all_shown)
    debian_packages: tuple[str, ...] = field(default=(), repr=_all_shown)


@frozen(kw_only=True)
class Named:
    """A name in a list, and where it stands, for messages.

    Attributes:
        name: ``bash.tcz``, ``lshw.deb``, ``json_pure >= 1.7.7``.
        place: ``purekernel.toml, line 12``, or ``builtin.lst, line 3``.
    """

    name: str
    place: str = field(eq=False)


@frozen(kw_only=True)
class Extensions:
    """Which extensions an image has, and how.

    Attributes:
        builtin: loaded at boot, from ``/tmp/builtin``; ``None`` where nothing is said.
        mirror: in the mirror that the image carries; ``None`` where nothing is said.
        merged: unpacked into the root file system.
        skip: names that are left out wherever they are needed.
        dependencies: whether what they need comes with them.
    """

    builtin: tuple[Named, ...] | None = None
    mirror: tuple[Named, ...] | None = None
    merged: tuple[Named, ...] = ()
    skip: frozenset[str] = frozenset()
    dependencies: bool = True


@frozen(kw_only=True)
class Cut:
    """Files to take out of an extension that is not itself in the image.

    Attributes:
        extension: ``util-linux.tcz``.
        files: paths in it, with no leading slash; shell patterns as well.
    """

    extension: Named
    files: tuple[Named, ...]


@frozen(kw_only=True)
class Need:
    """What takes the place of a Debian package that others depend on.

    Attributes:
        package: its name.
        extensions: the names of extensions; none where the image has it.
    """

    package: str
    extensions: tuple[str, ...]


@frozen(kw_only=True)
class DebianChoice:
    """How Debian packages become extensions.

    Attributes:
        follow: whether what they depend on comes with them.
        keyring: a file of keys, one of which must have signed an archive.
        documentation: whether it is kept.
        empty_folders: whether they are kept.
        library_links: whether libraries are linked where Core's loader looks.
    """

    follow: bool = False
    keyring: str | None = None
    documentation: bool = False
    empty_folders: bool = False
    library_links: bool = True


@frozen(kw_only=True)
class Gems:
    """Which gems an image carries.

    Attributes:
        wanted: each a name and requirements, as a line of ``gem.list`` has them; ``None``
            where nothing is said.
        layout: where they go; ``None`` is the project's generation's way.
        ruby: the image's Ruby version: gems that do not run on it are passed over.
    """

    wanted: tuple[Named, ...] | None = None
    layout: GemLayout | None = None
    ruby: str | None = None


@frozen(kw_only=True)
class OverlayChoice:
    """Something to lay over the root file system.

    Attributes:
        path: on the host, relative to the recipe's folder; or
        url: where an archive is fetched from.
        sha256: what that must have.
        keep_owners: trust the owners that the archive records.
    """

    path: str | None = None
    url: str | None = field(default=None, repr=_shown)
    sha256: str | None = None
    keep_owners: bool = False


@frozen(kw_only=True)
class Account:
    """A user of the image, changed or added.

    Attributes:
        name: the login name.
        password: in the clear.
        password_place: who says it, for messages, where it is not the recipe.
        password_env: the environment variable that holds it instead.
        password_hash: as ``/etc/shadow`` has it, instead.
        locked: nobody logs in with a password.
        uid: of an account that is not there yet, and so on.
        gid: its group.
        home: its folder.
        shell: its shell.
        comment: its full name.
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
        """Whether a password is said, in whatever way."""
        return (self.password, self.password_env, self.password_hash) != (None, None, None)


@frozen(kw_only=True)
class IsoChoice:
    """How the ISO is made.

    Attributes:
        volume: fields of the volume descriptor, by our names for them.
        keep_files: carry over what the base ISO holds outside ``boot/``.
    """

    volume: dict[str, str] = field(factory=dict)
    keep_files: bool | None = None


@frozen(kw_only=True)
class Razor:
    """The Razor-Microkernel project that an image is made from.

    Attributes:
        project: its folder, tarball or URL.
        project_sha256: what a tarball must have.
        rubygems: URL or path of the RubyGems distribution; empty leaves it out; ``None`` is
            the default.
        open_vm_tools: likewise of ``mk-open-vm-tools.tar.gz``.
        mcollective: likewise of MCollective, 2012 only.
        ssh_host_keys: carry the host keys that the project's ssh files hold.
    """

    project: str = field(repr=_shown)
    project_sha256: str | None = None
    rubygems: str | None = field(default=None, repr=_shown)
    open_vm_tools: str | None = field(default=None, repr=_shown)
    mcollective: str | None = field(default=None, repr=_shown)
    ssh_host_keys: bool = True


@frozen(kw_only=True)
class OutputChoice:
    """What is written, and where.

    Attributes:
        folder: relative to the recipe's folder.
        emit: ``iso``, ``core``, ``pxe``.
    """

    folder: str | None = None
    emit: tuple[str, ...] = ()


@frozen(kw_only=True)
class DownloadChoice:
    """How downloads are made; ``None`` is the default.

    Attributes:
        parallel: at once.
        attempts: for each file, mirrors in turn.
        connect_seconds: until a server has answered.
        stall_seconds: without a byte.
        most_seconds: for a file as a whole.
    """

    parallel: int | None = None
    attempts: int | None = None
    connect_seconds: float | None = None
    stall_seconds: float | None = None
    most_seconds: float | None = None


# isolinux counts the ticks of a timer in 16 bits. (Source: its reference, "TIMEOUT".)
MAX_TIMEOUT = 35996


def _is_timeout(_changes: object, _attribute: object, timeout: int | None) -> None:
    if timeout is not None and not 0 <= timeout <= MAX_TIMEOUT:
        raise UsageError(
            f"the boot timeout {timeout} is outside what isolinux takes",
            hint=f"give tenths of a second, 0 (wait for ever) to {MAX_TIMEOUT}",
        )


@frozen(kw_only=True)
class BootChanges:
    """What is to be different in the boot menu.

    Attributes:
        append: words for the end of every kernel's command line.
        timeout: tenths of a second until the default boots; 0 waits for ever.
        default: the label that boots when nobody chooses.

    Raises:
        UsageError: isolinux takes no such timeout.
    """

    append: str | None = None
    timeout: int | None = field(default=None, validator=_is_timeout)
    default: str | None = None


@frozen(kw_only=True)
class Recipe:
    """All that a user says of an image.

    Attributes:
        source: where it was said, for messages: ``purekernel.toml``, or ``the command line``.
        folder: what relative paths are relative to.
        name: of the files that are made, without version and endings.
        version: of the image.
        flavour: whom it is for; ``None`` leaves accounts and console as the base has them.
        timestamp: seconds since 1970, UTC.
        razor: the project, for an image by Razor's conventions.
        autologin: whether the first console logs in by itself; ``None`` is the flavour's way.
        drop_boot: drop what the base boots with and an output cannot have, in place of stopping.
        faults: what is wrong with lines of its lists, to be raised with all else that is wrong.
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

"""Describe the tables of a recipe that say where its inputs come from: base, mirrors, downloads."""

from __future__ import annotations

from attrs import Factory, field

from purekernel.formats.tinycore import EDITIONS, arch_of
from purekernel.recipe.flavour import InitrdLayout
from purekernel.recipe.keys import Placed, key, show_place, show_places
from purekernel.recipe.kinds import (
    EXAMPLE_SHA256,
    FLAG,
    KERNEL_RELEASE,
    MIRROR_PLACE,
    PLACE,
    PLACES,
    SECONDS,
    SHA256,
    Array,
    Choice,
    Number,
    Text,
    Whole,
)
from purekernel.records import frozen


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
        repr=show_place,
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
            "SHA-256 of the base ISO", "Expected SHA-256 of the base ISO.", SHA256, EXAMPLE_SHA256
        ),
    )
    kernel: str | None = field(
        default=None,
        repr=show_place,
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
        metadata=key(
            "SHA-256 of the kernel", "Expected SHA-256 of the kernel.", SHA256, EXAMPLE_SHA256
        ),
    )
    initrd: tuple[str, ...] = field(
        default=(),
        repr=show_places,
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
            [EXAMPLE_SHA256],
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
        repr=show_places,
        metadata=key(
            "Tiny Core mirrors",
            'Folders that hold "4.x/x86/tcz" and "4.x/x86/release".',
            PLACES,
            ["https://distro.ibiblio.org/tinycorelinux", "../mirror/tinycorelinux"],
        ),
    )
    extensions: tuple[str, ...] = field(
        default=(),
        repr=show_places,
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
        repr=show_places,
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
        repr=show_places,
        metadata=key(
            "Debian mirrors",
            "Mirrors of Debian, for extensions whose names end in .deb.",
            PLACES,
            ["https://ftp.debian.org/debian"],
        ),
    )
    debian_packages: tuple[str, ...] = field(
        default=(),
        repr=show_places,
        metadata=key(
            "Debian packages indexes",
            "Packages indexes to look up .deb packages in.",
            PLACES,
            ["https://ftp.debian.org/debian/dists/stable/main/binary-i386/Packages.gz"],
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

"""Define the options that all gathering commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from purekernel.cli.parameters import PathParameter, Size

Command = TypeVar("Command", bound=Callable[..., Any])

# Options that are attributes of Request, and those that are attributes of Context.
REQUEST_OPTIONS = (
    "recipe", "project", "builtin_list", "mirror_list", "build_prod_image", "build_debug_image",
    "tc_passwd", "config", "dpkg_list", "dpkg_keyring", "dpkg_allow_expired", "dpkg_follow",
    "skip", "no_deps", "kernel_release", "iso_version", "reuse_prev_dl", "layout", "overlays",
    "keep_owners", "keep_iso_files", "hybrid", "drop_boot", "strict", "boot", "volume", "disk",
    "rootfs_compression", "embed",
)  # fmt: skip
STORE_OPTIONS = ("cache_dir", "offline", "allow_http", "lock_file", "no_lock", "locked")


def _strip_equals(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Accept "-b=FILE" as well as "-b FILE", as the original scripts do."""
    return None if value is None else value.removeprefix("=")


def _file(context: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    path = _strip_equals(context, parameter, value)
    return None if path is None else PathParameter().convert(path, parameter, context)


config_option = click.option(
    "-c",
    "--config",
    metavar="FILE",
    callback=_file,
    help="A file of MK_BUNDLE_…= lines, as for the original scripts.",
)

limit_option = click.option(
    "--max-unpacked",
    type=Size(),
    help="The maximum unpacked size of all inputs together, such as 4G.  [default: 2G, and 1G "
    "for each]",
)

_MIRROR = (
    click.option(
        "--mirror",
        "mirrors",
        metavar="PLACE",
        multiple=True,
        help="A mirror of Tiny Core: a URL or folder that holds 4.x/x86/tcz. Repeatable.  "
        "[default: the recipe's]",
    ),
    click.option(
        "--core", metavar="VERSION", help="The version of Core.  [default: the recipe's, or 4.x]"
    ),
    click.option("--arch", metavar="ARCH", help="x86 or x86_64.  [default: the recipe's, or x86]"),
    click.option(
        "--kernel-release",
        "--kernel",
        "kernel_release",
        metavar="RELEASE",
        help="The release to replace KERNEL in names with.",
    ),
    click.option(
        "--recipe",
        type=PathParameter(),
        help="The recipe whose mirrors to ask.  [default: purekernel.toml here, if it exists]",
    ),
    config_option,
)

_REQUEST = (
    click.option(
        "--recipe",
        type=PathParameter(),
        help="The recipe of the image.  [default: purekernel.toml here, if it exists]",
    ),
    click.option(
        "--project",
        metavar="PLACE",
        help="A Razor-Microkernel folder, tarball or URL.  [default: this folder, if it is one]",
    ),
    click.option(
        "-b",
        "--builtin-list",
        metavar="FILE",
        callback=_file,
        help="A list of extensions to load at boot, one per line.",
    ),
    click.option(
        "-m",
        "--mirror-list",
        metavar="FILE",
        callback=_file,
        help="A list of extensions for the mirror inside the image, one per line.",
    ),
    click.option(
        "-p",
        "--build-prod-image",
        is_flag=True,
        help="Make a production image, without openssh and without log-in.",
    ),
    click.option(
        "-d",
        "--build-debug-image",
        is_flag=True,
        help="Make a debug image, with automatic log-in on the console.",
    ),
    click.option(
        "-t",
        "--tc-passwd",
        metavar="PASSWORD",
        help="The password of tc; - reads it from stdin, or asks on a terminal.",
    ),
    config_option,
    click.option(
        "--dpkg-list",
        metavar="URL",
        multiple=True,
        help="A Debian packages index for .deb names in lists. Repeatable.",
    ),
    click.option(
        "--dpkg-keyring",
        type=PathParameter(),
        help="A keyring; one of its keys must have signed the InRelease of each index.",
    ),
    click.option(
        "--dpkg-allow-expired",
        is_flag=True,
        help="Use an archive whose InRelease has expired, such as one that is no longer updated.",
    ),
    click.option(
        "--dpkg-follow",
        is_flag=True,
        help="Also fetch the packages that Debian packages depend on.",
    ),
    click.option(
        "--skip",
        metavar="NAME",
        multiple=True,
        help="Leave out this extension, even if others depend on it. Repeatable.",
    ),
    click.option(
        "--no-deps", is_flag=True, help="Do not fetch the extensions that others depend on."
    ),
    click.option(
        "--kernel-release",
        "--kernel",
        "kernel_release",
        metavar="RELEASE",
        help="The release to replace KERNEL in names with.  [default: the base's]",
    ),
    click.option("--iso-version", metavar="VERSION", help="The image's version."),
    click.option(
        "-r",
        "--reuse-prev-dl",
        is_flag=True,
        help="Use earlier downloads without asking for newer files.",
    ),
)

_STORE = (
    click.option("--offline", is_flag=True, help="Use only the store, and no network."),
    click.option(
        "--allow-http",
        is_flag=True,
        help="Let plain http mirrors stand in for https mirrors.",
    ),
    click.option(
        "--cache-dir",
        type=PathParameter(),
        help="The folder of downloads.  [env: PUREKERNEL_CACHE; default: your cache folder]",
    ),
    click.option(
        "--lock-file",
        type=PathParameter(),
        help="The lock file.  [default: purekernel.lock beside the recipe or in the project]",
    ),
    click.option("--no-lock", is_flag=True, help="Ignore the lock file."),
)

locked_option = click.option(
    "--locked",
    is_flag=True,
    help="Require a lock file that fits the recipe: it pins every input, and nothing else.",
)


def request_options(command: Command) -> Command:
    """Add the options of a :class:`Request` to ``command``."""
    for option in reversed(_REQUEST):
        command = option(command)
    return command


def mirror_options(command: Command) -> Command:
    """Add the options of commands that ask mirrors about extensions to ``command``."""
    command = store_options(command)
    for option in reversed(_MIRROR):
        command = option(command)
    return command


def store_options(command: Command) -> Command:
    """Add the options for the store and the lock file to ``command``."""
    for option in reversed(_STORE):
        command = option(command)
    return command

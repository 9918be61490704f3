"""What the commands that gather have in common: their options, and what they tell people."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from purekernel.cli.parameters import Place
from purekernel.errors import UsageError

if TYPE_CHECKING:
    from purekernel.cli.terminal import StepTimer
    from purekernel.plan import Plan
    from purekernel.recipe.request import Asked
    from purekernel.remaster.job import Session

Command = TypeVar("Command", bound=Callable[..., Any])

STDIN = "-"

# By whom each option is understood: build.request.Request, and build.session.Provision.
REQUEST_OPTIONS = (
    "recipe", "project", "builtin_list", "mirror_list", "build_prod_image", "build_debug_image",
    "tc_passwd", "config", "dpkg_list", "dpkg_keyring", "dpkg_follow", "skip", "no_deps", "kernel",
    "iso_version", "reuse_prev_dl",
)  # fmt: skip
PROVISION_OPTIONS = ("cache_dir", "offline", "lock_file", "no_lock")


def _place(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Take "-b=FILE" for "-b FILE", as the original scripts did."""
    return None if value is None else value.removeprefix("=")


def _file(context: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    place = _place(context, parameter, value)
    return None if place is None else Place().convert(place, parameter, context)


_REQUEST = (
    click.option(
        "--recipe",
        type=Place(),
        help="What the image is made of.  [default: purekernel.toml here, if there is one]",
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
        help="Extensions that are loaded at boot, one a line.",
    ),
    click.option(
        "-m",
        "--mirror-list",
        metavar="FILE",
        callback=_file,
        help="Extensions in the mirror that the image carries, one a line.",
    ),
    click.option(
        "-p",
        "--build-prod-image",
        is_flag=True,
        help="Make a production image: no openssh, and nobody logs in.",
    ),
    click.option(
        "-d",
        "--build-debug-image",
        is_flag=True,
        help="Make a debug image: the console logs in by itself.",
    ),
    click.option(
        "-t",
        "--tc-passwd",
        metavar="PASSWORD",
        help="The password of tc; - reads it from standard input, or asks.",
    ),
    click.option(
        "-c",
        "--config",
        metavar="FILE",
        callback=_file,
        help="A file of MK_BUNDLE_…= lines, as the original scripts have it.",
    ),
    click.option(
        "--dpkg-list",
        metavar="URL",
        multiple=True,
        help="A Debian packages index, for .deb names in lists. Repeatable.",
    ),
    click.option(
        "--dpkg-keyring",
        type=Place(),
        help="Keys, by one of which the InRelease beside such an index must be signed.",
    ),
    click.option("--dpkg-follow", is_flag=True, help="Bring along what Debian packages depend on."),
    click.option(
        "--skip",
        metavar="NAME",
        multiple=True,
        help="Leave this extension out, wherever it is needed. Repeatable.",
    ),
    click.option("--no-deps", is_flag=True, help="Do not follow what extensions need."),
    click.option(
        "--kernel",
        metavar="RELEASE",
        help="What KERNEL stands for in extensions' names.  [default: the base's own]",
    ),
    click.option("--iso-version", metavar="VERSION", help="The image's version."),
    click.option(
        "-r",
        "--reuse-prev-dl",
        is_flag=True,
        help="Take what was downloaded before without asking for newer.",
    ),
)

_PROVISION = (
    click.option("--offline", is_flag=True, help="Use what the store has, and no network."),
    click.option(
        "--cache-dir",
        type=Place(),
        help="Where downloads are kept.  [env: PUREKERNEL_CACHE; default: your cache folder]",
    ),
    click.option(
        "--lock-file",
        type=Place(),
        help="The lock file.  [default: purekernel.lock, beside it all]",
    ),
    click.option("--no-lock", is_flag=True, help="Pass the lock file over."),
)


def request_options(command: Command) -> Command:
    """Give ``command`` the options that say what is gathered."""
    for option in reversed(_REQUEST):
        command = option(command)
    return command


def provision_options(command: Command) -> Command:
    """Give ``command`` the options that say where downloads are kept."""
    for option in reversed(_PROVISION):
        command = option(command)
    return command


def take_request(options: dict[str, Any]) -> Asked:
    """Return what the options that say what is gathered ask for; they are taken out.

    It may ask for a password: nothing else may be shown on the terminal by then.

    Raises:
        PurekernelError: something is wrong with them.
    """
    from purekernel.cli.terminal import say_warning  # noqa: PLC0415
    from purekernel.recipe.request import Request, join_request  # noqa: PLC0415

    said = {name: options.pop(name) for name in REQUEST_OPTIONS if name in options}
    asks = said.get("tc_passwd") == STDIN
    if asks:
        said["tc_passwd"] = None
    asked = join_request(Request(**said), os.environ)
    if asks:
        # Not before all else is found to be in order.
        asked = asked.with_password(read_password())
    for warning in asked.warnings:
        say_warning(warning)
    return asked


@contextmanager
def open_session(
    asked: Asked,
    options: dict[str, Any],
    *,
    progress: StepTimer,
    max_unpacked: int | None = None,
    makes_lock: bool = False,
) -> Iterator[Session]:
    """Give a session with the options that say where downloads are kept; they are taken out."""
    from purekernel.formats.limits import limits_of  # noqa: PLC0415
    from purekernel.remaster.job import Provision, Session  # noqa: PLC0415

    provision = Provision(**{name: options.pop(name) for name in PROVISION_OPTIONS})
    limits = limits_of(max_unpacked)
    with Session(
        asked,
        provision,
        limits=limits,
        progress=progress,
        report=progress.had,
        makes_lock=makes_lock,
    ) as session:
        yield session


def show_plan(
    session: Session,
    writes: Callable[[Plan], Iterable[str]],
    *,
    progress: StepTimer,
    as_json: bool,
) -> None:
    """Print what would be fetched and written, as a tree or for machines.

    Args:
        session: what plans.
        writes: says which files would be written.
        progress: is closed before anything is printed.
        as_json: whether it is for machines.
    """
    from purekernel.cli.drawing import draw, draw_plan, guides  # noqa: PLC0415
    from purekernel.cli.summary import render_json, summarize_plan  # noqa: PLC0415
    from purekernel.cli.terminal import say  # noqa: PLC0415

    plan = session.plan()
    sizes = session.sizes(plan)
    progress.close()
    if as_json:
        say(render_json(summarize_plan(plan, sizes, writes(plan))))
    else:
        say("\n".join(draw(draw_plan(plan, sizes, writes(plan)), guides())))


def read_password() -> str:
    """Return the password of ``tc`` from standard input, or from whoever sits there.

    Raises:
        UsageError: there is none, or somebody types two.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        password: str = click.prompt("password of tc", hide_input=True, err=True)
        again: str = click.prompt("the same once more", hide_input=True, err=True)
        if password != again:
            raise UsageError("the two passwords differ", hint="run again, and type it twice")
        return password
    line = "" if sys.stdin is None else sys.stdin.readline()
    password = line.removesuffix("\n").removesuffix("\r")
    if not password:
        raise UsageError(
            "there is no password on standard input",
            hint="write it there: printf '%s\\n' \"$PASSWORD\" | purekernel … --tc-passwd -",
        )
    return password

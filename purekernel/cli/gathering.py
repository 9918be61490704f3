"""Define the options and output that all gathering commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from purekernel.cli.parameters import Place
from purekernel.errors import UsageError

if TYPE_CHECKING:
    from purekernel.cli.terminal import StepTimer
    from purekernel.plan import Plan
    from purekernel.recipe.context import Context
    from purekernel.recipe.model import Recipe

Command = TypeVar("Command", bound=Callable[..., Any])

STDIN = "-"

# Options that are attributes of Request, and those that are attributes of Context.
REQUEST_OPTIONS = (
    "recipe", "project", "builtin_list", "mirror_list", "build_prod_image", "build_debug_image",
    "tc_passwd", "config", "dpkg_list", "dpkg_keyring", "dpkg_follow", "skip", "no_deps", "kernel",
    "iso_version", "reuse_prev_dl", "overlays", "keep_owners", "keep_iso_files", "drop_boot",
    "boot", "volume",
)  # fmt: skip
STORE_OPTIONS = ("cache_dir", "offline", "lock_file", "no_lock")


def _strip_equals(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Accept "-b=FILE" as well as "-b FILE", as the original scripts do."""
    return None if value is None else value.removeprefix("=")


def _file(context: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    path = _strip_equals(context, parameter, value)
    return None if path is None else Place().convert(path, parameter, context)


_REQUEST = (
    click.option(
        "--recipe",
        type=Place(),
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
    click.option(
        "-c",
        "--config",
        metavar="FILE",
        callback=_file,
        help="A file of MK_BUNDLE_…= lines, as for the original scripts.",
    ),
    click.option(
        "--dpkg-list",
        metavar="URL",
        multiple=True,
        help="A Debian packages index for .deb names in lists. Repeatable.",
    ),
    click.option(
        "--dpkg-keyring",
        type=Place(),
        help="A keyring; one of its keys must have signed the InRelease of each index.",
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
        "--kernel",
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
        "--cache-dir",
        type=Place(),
        help="The folder of downloads.  [env: PUREKERNEL_CACHE; default: your cache folder]",
    ),
    click.option(
        "--lock-file",
        type=Place(),
        help="The lock file.  [default: purekernel.lock beside the recipe or in the project]",
    ),
    click.option("--no-lock", is_flag=True, help="Ignore the lock file."),
)


def request_options(command: Command) -> Command:
    """Add the options of a :class:`Request` to ``command``."""
    for option in reversed(_REQUEST):
        command = option(command)
    return command


def store_options(command: Command) -> Command:
    """Add the options for the store and the lock file to ``command``."""
    for option in reversed(_STORE):
        command = option(command)
    return command


def take_recipe(options: dict[str, Any]) -> Recipe:
    """Remove the options of a request from ``options``, and return the recipe that they give.

    This may ask for a password, so nothing else may use the terminal at that time.

    Raises:
        PurekernelError: an option or the recipe is invalid.
    """
    from purekernel.cli.terminal import say_warning  # noqa: PLC0415
    from purekernel.recipe.request import Request, join_request, with_password  # noqa: PLC0415

    request = {name: options.pop(name) for name in REQUEST_OPTIONS if name in options}
    asks = request.get("tc_passwd") == STDIN
    if asks:
        request["tc_passwd"] = None
    recipe = join_request(Request(**request), os.environ)
    if asks:
        # Only after all else is checked.
        recipe = with_password(recipe, read_password())
    for warning in recipe.warnings:
        say_warning(warning)
    return recipe


def take_context(options: dict[str, Any], progress: StepTimer, **settings: Any) -> Context:
    """Remove the options of a store and lock file from ``options``, and return a context of them.

    Args:
        options: the options of a command.
        progress: receives the steps and the fetched files.
        settings: further attributes of the context.
    """
    from purekernel.input import limits_of  # noqa: PLC0415
    from purekernel.recipe.context import Context  # noqa: PLC0415

    settings.update({name: options.pop(name) for name in STORE_OPTIONS if name in options})
    return Context(
        **settings,
        limits=limits_of(options.pop("max_unpacked", None)),
        environment=os.environ,
        progress=progress,
        report=progress.had,
    )


def show_plan(
    recipe: Recipe,
    context: Context,
    writes: Callable[[Plan], Iterable[str]],
    *,
    progress: StepTimer,
    as_json: bool,
) -> None:
    """Print what would be fetched and written, as a tree or as JSON.

    Args:
        recipe: the recipe to plan.
        context: the store and the lock file.
        writes: returns the files that would be written.
        progress: receives the steps; closed before anything is printed.
        as_json: whether to print JSON.
    """
    from purekernel.cli.drawing import draw, draw_plan, guides  # noqa: PLC0415
    from purekernel.cli.summary import render_json, summarize_plan  # noqa: PLC0415
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.plan.fetch_plan import open_plan_context, sizes_of  # noqa: PLC0415
    from purekernel.plan.planner import make_plan  # noqa: PLC0415

    with open_plan_context(recipe, context) as plan_context:
        with progress.step("planning"):
            _planner, plan = make_plan(plan_context)
        with progress.step("asking for sizes"):
            sizes = sizes_of(plan, plan_context.downloads)
    progress.close()
    if as_json:
        say(render_json(summarize_plan(plan, sizes, writes(plan))))
    else:
        say("\n".join(draw(draw_plan(plan, sizes, writes(plan)), guides())))


def read_password() -> str:
    """Return the password of ``tc`` from stdin; ask for it twice on a terminal.

    Raises:
        UsageError: the password is missing, or the two entries differ.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        password: str = click.prompt("password of tc", hide_input=True, err=True)
        again: str = click.prompt("repeat the password", hide_input=True, err=True)
        if password != again:
            raise UsageError(
                "the two passwords differ", hint="run again, and enter the same password twice"
            )
        return password
    line = "" if sys.stdin is None else sys.stdin.readline()
    password = line.removesuffix("\n").removesuffix("\r")
    if not password:
        raise UsageError(
            "the password on stdin is empty",
            hint="write it to stdin: printf '%s\\n' \"$PASSWORD\" | purekernel … --tc-passwd -",
        )
    return password

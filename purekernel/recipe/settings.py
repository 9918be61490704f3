"""The ``MK_BUNDLE_…`` settings of the original scripts, from a file or the environment.

Source: ``read_config_file`` of build-bundle-file.sh, and its ``bundle.cfg.example``. The
scripts evaluate each line as a shell does; here a value is what stands there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, fields, frozen

from purekernel.errors import RecipeError, raise_all
from purekernel.formats.assignments import parse_assignment
from purekernel.formats.text import decode_text
from purekernel.recipe.check import either, nearest, show, show_name, without_credentials
from purekernel.recipe.flavour import Flavour

PREFIX = "MK_BUNDLE_"
ENVIRONMENT = "the environment"

# More help nobody, and a hostile file could have thousands.
MAX_ERRORS = 100

# PATH_MAX of Linux; no longer URL works either.
MAX_VALUE_CHARACTERS = 4096

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REUSE = {"yes": True, "no": False}
_FLAVOURS = {flavour.value: flavour for flavour in Flavour}


def _shown(value: str | None) -> str:
    return "None" if value is None else repr(without_credentials(value))


@frozen(kw_only=True)
class Settings:
    """What is set; ``None`` is what is not.

    Attributes:
        builtin_list: the file that lists builtin extensions.
        mirror_list: the file that lists those of the image's own mirror.
        tc_passwd: the password of ``tc``, in the clear.
        type: the flavour.
        tcl_mirror_uri: the folder of extensions, ``…/4.x/x86/tcz``.
        tcl_iso_url: the base ISO.
        ruby_gems_url: the RubyGems distribution.
        open_vm_tools_url: ``mk-open-vm-tools.tar.gz``.
        mcollective_url: MCollective, which projects of 2012 have.
        gem_server_uri: the gem server.
        deb_mirror_url: the Debian mirror.
        re_use_prev_dl: whether what was fetched before is used again.
        places: where each was set, by its name here, for messages.
        warnings: what is not as the original scripts would take it.
    """

    builtin_list: str | None = None
    mirror_list: str | None = None
    tc_passwd: str | None = field(default=None, repr=False)
    type: Flavour | None = None
    tcl_mirror_uri: str | None = field(default=None, repr=_shown)
    tcl_iso_url: str | None = field(default=None, repr=_shown)
    ruby_gems_url: str | None = field(default=None, repr=_shown)
    open_vm_tools_url: str | None = field(default=None, repr=_shown)
    mcollective_url: str | None = field(default=None, repr=_shown)
    gem_server_uri: str | None = field(default=None, repr=_shown)
    deb_mirror_url: str | None = field(default=None, repr=_shown)
    re_use_prev_dl: bool | None = None
    places: Mapping[str, str] = field(factory=dict, eq=False)
    warnings: tuple[str, ...] = field(default=(), eq=False)


_NAMES = tuple(
    attribute.name for attribute in fields(Settings) if attribute.name not in ("places", "warnings")
)
NAMES = tuple(PREFIX + name.upper() for name in _NAMES)


def parse_settings(data: bytes, *, source: str) -> Settings:
    """Return what a file of ``MK_BUNDLE_NAME=value`` lines sets.

    Reads blank lines, ``#`` comments, ``export``, values in quotes of either kind, and lines
    that end as on Windows. Of a name that is set twice the last counts, and a name with
    nothing behind it is not set, as with the original scripts. Nothing is evaluated.

    Args:
        data: what the file holds.
        source: its name, for messages.

    Raises:
        RecipeError: a line is no such line, or sets what there is not; the message names it.
        CombinedError: several do.
    """
    reading = _Reading()
    for number, line in enumerate(decode_text(data, source=source).split("\n"), start=1):
        reading.take_line(line, f"{source}, line {number}")
        if len(reading.errors) == MAX_ERRORS:
            break
    return reading.settings()


def settings_from_environment(environment: Mapping[str, str]) -> Settings:
    """Return what ``environment`` sets.

    Names that begin with ``MK_BUNDLE_`` and mean nothing are warned of: they need not be
    meant for us.

    Raises:
        RecipeError: a value is none that its name can have.
        CombinedError: several are.
    """
    reading = _Reading()
    for name in sorted(environment):
        if name not in NAMES and name.startswith(PREFIX):
            reading.warnings.append(f"{ENVIRONMENT}: {_unknown(name)}; it is passed over")
        elif name in NAMES:
            reading.set(name, environment[name], ENVIRONMENT)
    return reading.settings()


class _Reading:
    """What was set so far, and what was wrong."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._places: dict[str, str] = {}
        self.errors: list[RecipeError] = []
        self.warnings: list[str] = []

    def settings(self) -> Settings:
        raise_all(self.errors)
        return Settings(**self._values, places=self._places, warnings=tuple(self.warnings))

    def take_line(self, line: str, place: str) -> None:
        """Take in a line of a file."""
        try:
            assignment = parse_assignment(line, source=place)
        except RecipeError as error:
            self.errors.append(error)
            return
        if assignment is None:
            return
        name = assignment.name
        if name not in NAMES:
            near = _nearest(name)
            hint = f"write {near}" if near else f"there are {', '.join(NAMES)}"
            self._refuse(f"{place}: {_unknown(name)}", hint)
            return
        if assignment.evaluated:
            self.warnings.append(
                f"{place}: {name} is taken as it stands; "
                "the original scripts would have evaluated what is in it"
            )
        if assignment.has_hash:
            self.warnings.append(f"{place}: what follows '#' is a part of {name}, not a comment")
        if name.removeprefix(PREFIX).lower() in self._places:
            self.warnings.append(f"{place}: {name} is set again; the last counts")
        self.set(name, assignment.value, place)

    def set(self, name: str, value: str, place: str) -> None:
        """Set ``name`` to what ``value`` means; to nothing, as if it had not been set."""
        key = name.removeprefix(PREFIX).lower()
        self._values.pop(key, None)
        self._places.pop(key, None)
        if _CONTROL.search(value) or len(value) > MAX_VALUE_CHARACTERS:
            self._refuse(
                f"{place}: {name} must be text on one line, "
                f"of at most {MAX_VALUE_CHARACTERS} characters",
                "correct the value",
            )
        elif value:
            self._places[key] = place
            if key == "type":
                self._choose(key, name, value, _FLAVOURS, place)
            elif key == "re_use_prev_dl":
                self._choose(key, name, value, _REUSE, place)
            else:
                self._values[key] = value

    def _choose(
        self, key: str, name: str, value: str, choices: Mapping[str, object], place: str
    ) -> None:
        if value in choices:
            self._values[key] = choices[value]
            return
        near = nearest(value, choices)
        message = f"{place}: {name} must be {either(choices)}, and is {show(value)}"
        self._refuse(
            f"{message}; the nearest is {near}" if near else message,
            f"write {name}={near or next(iter(choices))}",
        )

    def _refuse(self, message: str, hint: str) -> None:
        self.errors.append(RecipeError(message, hint=hint))


def _unknown(name: str) -> str:
    """Say that there is no setting ``name``, and which is meant."""
    near = _nearest(name)
    words = f"there is no setting {show_name(name)}"
    return f"{words}; the nearest is {near}" if near else words


def _nearest(name: str) -> str | None:
    """Return the setting that is most like ``name``, with or without what all begin with."""
    bare = {known.removeprefix(PREFIX): known for known in NAMES}
    near = nearest(name.upper().removeprefix(PREFIX), bare)
    return bare[near] if near else None

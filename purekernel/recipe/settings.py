"""Read the ``MK_BUNDLE_…`` settings of the original scripts from a file or the environment.

Source: ``read_config_file`` of build-bundle-file.sh, and its ``bundle.cfg.example``. The
scripts evaluate each line as a shell does; this module uses each value as written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, fields

from purekernel.errors import RecipeError, raise_all
from purekernel.formats.assignments import parse_assignment
from purekernel.formats.text import decode_text
from purekernel.input import Input
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.words import either, nearest, show, show_name, without_credentials
from purekernel.records import frozen

PREFIX = "MK_BUNDLE_"
ENVIRONMENT = "the environment"

# No user reads more, and a hostile file can have thousands.
MAX_ERRORS = 100

# PATH_MAX of Linux. Longer URLs do not work either.
MAX_VALUE_CHARACTERS = 4096

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REUSE = {"yes": True, "no": False}
_FLAVOURS = {flavour.value: flavour for flavour in Flavour}


def _shown(value: str | None) -> str:
    return "None" if value is None else repr(without_credentials(value))


@frozen(kw_only=True)
class Settings:
    """The values of the settings; ``None`` for a setting that is not given.

    Attributes:
        builtin_list: path of the file that lists builtin extensions.
        mirror_list: path of the file that lists the extensions of the image's own mirror.
        tc_passwd: password of ``tc``, in plain text.
        type: flavour of the image.
        tcl_mirror_uri: URL of the folder of extensions, ``…/4.x/x86/tcz``.
        tcl_iso_url: URL of the base ISO.
        ruby_gems_url: URL of the RubyGems distribution.
        open_vm_tools_url: URL of ``mk-open-vm-tools.tar.gz``.
        mcollective_url: URL of MCollective, for projects of 2012.
        gem_server_uri: URL of the gem server.
        deb_mirror_url: URL of the Debian mirror.
        re_use_prev_dl: whether to use earlier downloads.
        places: for each setting that is given, its file and line for messages.
        warnings: warnings for the user, one line each, about differences from the original
            scripts.
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
    """Return the settings in a file of ``MK_BUNDLE_NAME=value`` lines.

    The file may have blank lines, ``#`` comments, ``export``, values in quotes of either kind,
    and Windows line endings. As with the original scripts, the last value of a name counts, and
    a name with an empty value is not set. Nothing is evaluated.

    Args:
        data: content of the file.
        source: name of the file, for messages.

    Raises:
        RecipeError: a line is not an assignment, or its name or value is not valid; the message
            names the line.
        CombinedError: several lines are not valid.
    """
    reader = _SettingsReader()
    for number, line in enumerate(decode_text(Input(data, name=source)).split("\n"), start=1):
        reader.take_line(line, f"{source}, line {number}")
        if len(reader.errors) == MAX_ERRORS:
            break
    return reader.settings()


def settings_from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings in ``environment``.

    An unknown name that begins with ``MK_BUNDLE_`` only gives a warning, because another program
    may use it.

    Raises:
        RecipeError: the value of a setting is not valid.
        CombinedError: several values are not valid.
    """
    reader = _SettingsReader()
    for name in sorted(environment):
        if name not in NAMES and name.startswith(PREFIX):
            reader.warnings.append(f"{ENVIRONMENT}: ignored {_unknown(name)}")
        elif name in NAMES:
            reader.set(name, environment[name], ENVIRONMENT)
    return reader.settings()


class _SettingsReader:
    """Collects values, warnings and errors."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._places: dict[str, str] = {}
        self.errors: list[RecipeError] = []
        self.warnings: list[str] = []

    def settings(self) -> Settings:
        raise_all(self.errors)
        return Settings(**self._values, places=self._places, warnings=tuple(self.warnings))

    def take_line(self, line: str, place: str) -> None:
        """Read a line of a file."""
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
            hint = f"write {near}" if near else f"use one of {', '.join(NAMES)}"
            self._refuse(f"{place}: {_unknown(name)}", hint)
            return
        if assignment.evaluated:
            self.warnings.append(
                f"{place}: {name} is used as written; "
                "the original scripts evaluate it as a shell does"
            )
        if assignment.has_hash:
            self.warnings.append(f"{place}: '#' is part of the value of {name}, not a comment")
        if name.removeprefix(PREFIX).lower() in self._places:
            self.warnings.append(f"{place}: {name} is set more than once; the last value is used")
        self.set(name, assignment.value, place)

    def set(self, name: str, value: str, place: str) -> None:
        """Set ``name`` to ``value``; an empty value removes the setting."""
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
        message = f"{place}: {name} must be {either(choices)}, got {show(value)}"
        self._refuse(
            f"{message}; did you mean {near}?" if near else message,
            f"write {name}={near or next(iter(choices))}",
        )

    def _refuse(self, message: str, hint: str) -> None:
        self.errors.append(RecipeError(message, hint=hint))


def _unknown(name: str) -> str:
    """Return the words for an unknown setting, with the closest known one."""
    near = _nearest(name)
    words = f"unknown setting {show_name(name)}"
    return f"{words}; did you mean {near}?" if near else words


def _nearest(name: str) -> str | None:
    """Return the setting closest to ``name``, which may lack the common prefix."""
    bare = {known.removeprefix(PREFIX): known for known in NAMES}
    near = nearest(name.upper().removeprefix(PREFIX), bare)
    return bare[near] if near else None

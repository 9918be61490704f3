"""What a user asks for: a recipe, the command line, and the settings of the original scripts.

The command line wins over the file of settings, that over the recipe, and that over the
environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from attrs import evolve, field, frozen

from purekernel.errors import InputError, PurekernelError, UsageError, raise_all
from purekernel.fetch.urls import is_url
from purekernel.formats.tinycore import parse_extension_name
from purekernel.host.read import is_folder
from purekernel.recipe.defaults import USER
from purekernel.recipe.flavour import SCRIPTS, Flavour
from purekernel.recipe.lists import parse_extension_list
from purekernel.recipe.model import (
    Account,
    DebianChoice,
    Extensions,
    Mirrors,
    Named,
    Razor,
    Recipe,
)
from purekernel.recipe.read import load_recipe, read_text_file
from purekernel.recipe.schema import load_schema
from purekernel.recipe.settings import (
    Settings,
    parse_settings,
    settings_from_environment,
)

T = TypeVar("T")

RECIPE_NAME = "purekernel.toml"
COMMAND_LINE = "the command line"


@frozen(kw_only=True)
class Request:
    """What the command line says of what an image is gathered from.

    Attributes:
        recipe: a recipe's path; by default ``purekernel.toml`` in the current folder, if it
            is there.
        project: a Razor-Microkernel folder, tarball or URL; by default the current folder,
            if it is one.
        builtin_list: a file that lists the extensions loaded at boot.
        mirror_list: a file that lists the extensions of the image's own mirror.
        build_prod_image: make a production image.
        build_debug_image: make a debug image.
        tc_passwd: the password of ``tc``.
        config: a file of ``MK_BUNDLE_…`` settings.
        dpkg_list: URLs or paths of Debian packages indexes.
        dpkg_keyring: a file of keys, one of which must have signed an archive.
        dpkg_follow: whether what packages depend on comes with them.
        skip: names of extensions to leave out.
        no_deps: whether extensions come without what they need.
        kernel: the release that ``-KERNEL`` stands for.
        iso_version: of the image.
        reuse_prev_dl: take what was downloaded before without asking for newer.
    """

    recipe: Path | None = None
    project: str | None = None
    builtin_list: Path | None = None
    mirror_list: Path | None = None
    build_prod_image: bool = False
    build_debug_image: bool = False
    tc_passwd: str | None = field(default=None, repr=False)
    config: Path | None = None
    dpkg_list: tuple[str, ...] = ()
    dpkg_keyring: Path | None = None
    dpkg_follow: bool = False
    skip: tuple[str, ...] = ()
    no_deps: bool = False
    kernel: str | None = None
    iso_version: str | None = None
    reuse_prev_dl: bool = False


@frozen(kw_only=True)
class Asked:
    """What was asked for, all of it joined.

    Attributes:
        recipe: the recipe, with all else put into it.
        path: the recipe's file, if there is one.
        reuse: take what was downloaded before without asking for newer.
        warnings: what the user should know, a line each.
    """

    recipe: Recipe
    path: Path | None
    reuse: bool
    warnings: tuple[str, ...]

    def with_password(self, password: str) -> Asked:
        """Return the same, with the password of ``tc`` that the command line gives otherwise."""
        accounts = {account.name: account for account in self.recipe.accounts}
        known = accounts.get(USER, Account(name=USER))
        accounts[USER] = _with_password(known, password, COMMAND_LINE)
        return evolve(
            self,
            recipe=evolve(self.recipe, accounts=tuple(accounts.values())),
            warnings=(*_odd_password(password), *self.warnings),
        )

    def keeping_iso_files(self) -> Asked:
        """Return the same, with what the base ISO holds outside ``boot/`` carried over."""
        iso = evolve(self.recipe.iso, keep_files=True)
        return evolve(self, recipe=evolve(self.recipe, iso=iso))


def join_request(request: Request, environment: Mapping[str, str]) -> Asked:
    """Return what ``request`` and everything beside it ask for.

    Args:
        request: what the command line says.
        environment: where ``MK_BUNDLE_…`` settings may stand.

    Raises:
        UsageError: nothing says what to build, or two things contradict one another.
        InputError: a file cannot be read.
        RecipeError: something in the recipe or the settings is wrong. What is wrong with lines
            of lists is left to the recipe's ``faults``.
        CombinedError: several things are.
    """
    if request.build_prod_image and request.build_debug_image:
        raise UsageError(
            "--build-prod-image and --build-debug-image exclude each other",
            hint="an image is a production image or a debug image: choose one",
        )
    path = _recipe_path(request)
    joining = _Joining(request)
    recipe = joining.try_or(lambda: _recipe(request, path), _nothing_said())
    file = joining.try_or(lambda: _settings_file(request.config), Settings())
    outer = joining.try_or(lambda: settings_from_environment(environment), Settings())
    joining.try_or(lambda: _check_kernel(request.kernel), None)
    joined = joining.join(recipe, file, outer)
    faults = (*joined.faults, *joining.faults)
    if joining.errors:
        raise_all([*joining.errors, *faults])
    joined = evolve(joined, faults=faults)
    asked = Asked(
        recipe=joined,
        path=path,
        reuse=bool(request.reuse_prev_dl or _first(file.re_use_prev_dl, outer.re_use_prev_dl)),
        warnings=(*file.warnings, *outer.warnings),
    )
    return asked if request.tc_passwd is None else asked.with_password(request.tc_passwd)


def ask_about(
    recipe: Path | None,
    *,
    mirrors: tuple[str, ...] = (),
    core: str | None = None,
    arch: str | None = None,
    kernel: str | None = None,
) -> Asked:
    """Return what a question about a mirror asks; no image is to be made.

    Args:
        recipe: whose mirrors are asked; by default ``purekernel.toml`` in the current folder,
            if it is there.
        mirrors: in place of the recipe's.
        core: which Core, in place of the recipe's.
        arch: likewise.
        kernel: the release that ``-KERNEL`` stands for.

    Raises:
        PurekernelError: the recipe cannot be read, or something in it is wrong.
    """
    _check_kernel(kernel)
    path = _recipe_path(Request(recipe=recipe))
    said = _nothing_said() if path is None else load_recipe(path)
    if mirrors:
        places = tuple(one if is_url(one) else str(Path(one).absolute()) for one in mirrors)
        said = evolve(said, mirrors=evolve(said.mirrors, tinycore=places, extensions=()))
    release = evolve(
        said.core,
        version=core or said.core.version,
        arch=arch or said.core.arch,
        kernel=kernel or said.core.kernel,
    )
    return Asked(recipe=evolve(said, core=release), path=path, reuse=False, warnings=())


class _Joining:
    """A recipe on its way to holding all that was asked for."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.errors: list[PurekernelError] = []
        self.faults: list[PurekernelError] = []

    def try_or(self, load: Callable[[], T], otherwise: T) -> T:
        """Return what ``load`` returns; note why it cannot, and return ``otherwise``."""
        try:
            return load()
        except PurekernelError as error:
            self.errors.append(error)
            return otherwise

    def join(self, recipe: Recipe, file: Settings, outer: Settings) -> Recipe:
        """Return ``recipe`` with the command line and both settings put into it."""
        request = self._request
        return evolve(
            recipe,
            version=_first(request.iso_version, recipe.version),
            flavour=_first(_flavour(request), file.type, recipe.flavour, outer.type),
            core=evolve(
                recipe.core,
                iso=_first(file.tcl_iso_url, recipe.core.iso, outer.tcl_iso_url),
                kernel=_first(request.kernel, recipe.core.kernel),
            ),
            mirrors=self._mirrors(recipe, file, outer),
            extensions=self._extensions(recipe, file, outer),
            debian=self._debian(recipe),
            accounts=_accounts(recipe, file, outer),
            razor=_with_addresses(recipe.razor, file, outer),
        )

    def _mirrors(self, recipe: Recipe, file: Settings, outer: Settings) -> Mirrors:
        said = recipe.mirrors
        extensions = said.extensions
        if file.tcl_mirror_uri is not None:
            extensions = (file.tcl_mirror_uri,)
        elif not extensions and not said.tinycore and outer.tcl_mirror_uri is not None:
            extensions = (outer.tcl_mirror_uri,)
        return evolve(
            said,
            extensions=extensions,
            gems=_one(file.gem_server_uri) or said.gems or _one(outer.gem_server_uri),
            debian=_one(file.deb_mirror_url) or said.debian or _one(outer.deb_mirror_url),
            debian_packages=tuple(map(_from_here, self._request.dpkg_list)) or said.debian_packages,
        )

    def _debian(self, recipe: Recipe) -> DebianChoice:
        keyring = self._request.dpkg_keyring
        return evolve(
            recipe.debian,
            follow=recipe.debian.follow or self._request.dpkg_follow,
            keyring=recipe.debian.keyring if keyring is None else str(keyring.absolute()),
        )

    def _extensions(self, recipe: Recipe, file: Settings, outer: Settings) -> Extensions:
        request, said = self._request, recipe.extensions
        skip = self.try_or(
            lambda: frozenset(parse_extension_name(name, source="--skip") for name in request.skip),
            frozenset[str](),
        )
        return evolve(
            said,
            builtin=self._list(
                request.builtin_list, said.builtin, file, outer, name="builtin_list"
            ),
            mirror=self._list(request.mirror_list, said.mirror, file, outer, name="mirror_list"),
            skip=said.skip | skip,
            dependencies=said.dependencies and not request.no_deps,
        )

    def _list(
        self,
        asked: Path | None,
        said: tuple[Named, ...] | None,
        file: Settings,
        outer: Settings,
        *,
        name: str,
    ) -> tuple[Named, ...] | None:
        """Return a list: the command line's, the settings', the recipe's, the environment's."""
        option = "--" + name.replace("_", "-")
        if asked is not None:
            return self.try_or(lambda: _load_list(asked, option, self.faults), None)
        from_file: str | None = getattr(file, name)
        if from_file is not None:
            place = file.places.get(name, "the settings")
            return self.try_or(lambda: _load_list(Path(from_file), place, self.faults), None)
        from_outside: str | None = getattr(outer, name)
        if said is not None or from_outside is None:
            return said
        place = outer.places.get(name, "the environment")
        return self.try_or(lambda: _load_list(Path(from_outside), place, self.faults), None)


def _from_here(place: str) -> str:
    """Return a place of the command line's, whose paths are taken from the current folder."""
    return place if is_url(place) else str(Path(place).absolute())


def _check_kernel(kernel: str | None) -> None:
    """Refuse what is no release of a kernel, as the schema of recipes does."""
    schema = load_schema()["properties"]["core"]["properties"]["kernel"]
    if kernel is not None and not re.search(schema["pattern"], kernel):
        raise UsageError(
            f"--kernel must be {schema['x-words']}, not {kernel!r}",
            hint="'uname -r' in the image tells it",
        )


def _nothing_said() -> Recipe:
    return Recipe(source=COMMAND_LINE, folder=Path())


def _recipe_path(request: Request) -> Path | None:
    if request.recipe is not None:
        return request.recipe / RECIPE_NAME if is_folder(request.recipe) else request.recipe
    default = Path(RECIPE_NAME)
    return default if default.is_file() else None


def _recipe(request: Request, path: Path | None) -> Recipe:
    """Return the recipe, with the project that the command line or the current folder is."""
    recipe = _nothing_said() if path is None else load_recipe(path, defer_lists=True)
    if request.project is not None:
        # A path on the command line is taken from the current folder, not from the recipe's.
        place = request.project
        if not is_url(place):
            place = str(Path(place).absolute()) if path is not None else place
        razor = recipe.razor or Razor(project=place)
        return evolve(recipe, razor=evolve(razor, project=place))
    if path is not None:
        return recipe
    if not is_folder(Path(SCRIPTS.decode())):
        raise UsageError(
            f"nothing says what to build: there is no {RECIPE_NAME} here, and this is no "
            "Razor-Microkernel project",
            hint="write a recipe with 'purekernel init', name one with --recipe or a project with "
            "--project; or build a bundle, or the sample: purekernel build --sample",
        )
    return evolve(recipe, razor=Razor(project="."))


def _settings_file(path: Path | None) -> Settings:
    if path is None:
        return Settings()
    return parse_settings(read_text_file(path), source=str(path))


def _load_list(path: Path, place: str, faults: list[PurekernelError]) -> tuple[Named, ...]:
    try:
        data = read_text_file(path)
    except InputError as error:
        raise InputError(
            f"{place}: {error.message}", hint="give a file with one extension a line"
        ) from None
    return parse_extension_list(data, source=str(path), errors=faults)


def _flavour(request: Request) -> Flavour | None:
    if request.build_prod_image:
        return Flavour.PROD
    return Flavour.DEBUG if request.build_debug_image else None


def _accounts(recipe: Recipe, file: Settings, outer: Settings) -> tuple[Account, ...]:
    said = {account.name: account for account in recipe.accounts}
    known = said.get(USER, Account(name=USER))
    password, place = file.tc_passwd, file.places.get("tc_passwd", "the settings")
    if password is None and not known.has_password and not known.locked:
        password, place = outer.tc_passwd, outer.places.get("tc_passwd", "the environment")
    if password is not None:
        said[USER] = _with_password(known, password, place)
    return tuple(said.values())


def _with_password(account: Account, password: str, place: str) -> Account:
    return evolve(
        account,
        password=password,
        password_place=place,
        password_env=None,
        password_hash=None,
        locked=False,
    )


def _with_addresses(razor: Razor | None, file: Settings, outer: Settings) -> Razor | None:
    if razor is None:
        return None
    return evolve(
        razor,
        rubygems=_first(file.ruby_gems_url, razor.rubygems, outer.ruby_gems_url),
        open_vm_tools=_first(file.open_vm_tools_url, razor.open_vm_tools, outer.open_vm_tools_url),
        mcollective=_first(file.mcollective_url, razor.mcollective, outer.mcollective_url),
    )


def _odd_password(password: str | None) -> tuple[str, ...]:
    """Warn of a password that a slip of the keyboard has made another.

    Source: build-bundle-file.sh, which warns of the same two.
    """
    if password is None:
        return ()
    if password.startswith("c-passwd="):
        return ("the password begins with 'c-passwd=': did you mean --tc-passwd, with two dashes?",)
    if password.startswith("="):
        return ("the password begins with '=': after -t it follows without one",)
    return ()


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)


def _one(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)

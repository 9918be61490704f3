"""Join a recipe, the command line, and the settings of the original scripts.

The command line overrides the settings file, the settings file overrides the recipe, and the
recipe overrides the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import evolve, field, fields

from purekernel import recipe as recipes
from purekernel.encode.archives import ArchiveCompression
from purekernel.errors import InputError, PurekernelError, UsageError, raise_all
from purekernel.fetch.urls import is_url
from purekernel.formats.tinycore import parse_extension_name
from purekernel.host.read import is_file, is_folder
from purekernel.recipe.accounts import Account
from purekernel.recipe.additions import DebianChoice, Extensions, OverlayChoice
from purekernel.recipe.base import Mirrors
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.defaults import RECIPE_NAME, USER
from purekernel.recipe.disk import DiskChoice
from purekernel.recipe.flavour import SCRIPTS, Flavour, InitrdLayout
from purekernel.recipe.keys import Named, Placed, override
from purekernel.recipe.kinds import KERNEL_RELEASE
from purekernel.recipe.lists import parse_extension_list
from purekernel.recipe.model import Recipe
from purekernel.recipe.razor import Razor
from purekernel.recipe.settings import (
    Settings,
    parse_settings,
    settings_from_environment,
)
from purekernel.records import frozen

T = TypeVar("T")

COMMAND_LINE = "the command line"


@frozen(kw_only=True)
class Request:
    """The command line's options for what an image is built from.

    Attributes:
        recipe: path of a recipe; by default ``purekernel.toml`` in the current folder, if it
            exists.
        project: a Razor-Microkernel folder, tarball or URL; by default the current folder,
            if it is a project.
        builtin_list: path of a file that lists the extensions to load at boot.
        mirror_list: path of a file that lists the extensions of the image's own mirror.
        build_prod_image: whether to build a production image.
        build_debug_image: whether to build a debug image.
        tc_passwd: password of ``tc``.
        config: path of a file of ``MK_BUNDLE_…`` settings.
        dpkg_list: URLs or paths of Debian packages indexes.
        dpkg_keyring: path of a file of keys; one of them must have signed the archive.
        dpkg_allow_expired: whether to use an archive whose InRelease has expired.
        dpkg_follow: whether to include the packages that packages depend on.
        skip: names of extensions to leave out.
        no_deps: whether to leave out the dependencies of extensions.
        kernel_release: the kernel release that ``-KERNEL`` stands for.
        iso_version: version of the image.
        reuse_prev_dl: whether to use earlier downloads without checking for newer files.
        overlays: paths of folders and archives to copy over the root file system last.
        keep_owners: whether to keep the owners that these overlays record.
        keep_iso_files: whether to keep the base ISO's files outside ``boot/``.
        hybrid: whether the ISO also boots from disks; ``None`` for the recipe's choice.
        drop_boot: whether to drop ways to boot that the output cannot have.
        embed: whether the image carries its recipe.
        strict: whether findings that are errors stop the build.
        boot: changes to the boot menu.
        disk: options for the disk image.
        volume: fields of the ISO's volume descriptor, by the names of :class:`IsoChoice`.
        rootfs_compression: compression of the archive of the root file system.
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
    dpkg_allow_expired: bool = False
    dpkg_follow: bool = False
    skip: tuple[str, ...] = ()
    no_deps: bool = False
    kernel_release: str | None = None
    iso_version: str | None = None
    reuse_prev_dl: bool = False
    overlays: tuple[Path, ...] = ()
    keep_owners: bool = False
    keep_iso_files: bool = False
    hybrid: bool | None = None
    drop_boot: bool = False
    layout: str | None = None
    strict: bool = False
    embed: bool = False
    boot: BootChanges = field(factory=BootChanges)
    disk: DiskChoice = field(factory=DiskChoice)
    volume: Mapping[str, str] = field(factory=dict)
    rootfs_compression: str | None = None


def join_request(request: Request, environment: Mapping[str, str]) -> Recipe:
    """Return the recipe with the command line and the settings applied.

    Args:
        request: options of the command line.
        environment: the environment variables, which may contain ``MK_BUNDLE_…`` settings.

    Raises:
        UsageError: neither a recipe nor a project is given, or two options contradict each other.
        InputError: a file cannot be read.
        RecipeError: the recipe or the settings have an error. Errors in lines of lists go into
            the recipe's ``faults``.
        CombinedError: there are several errors.
    """
    if request.build_prod_image and request.build_debug_image:
        raise UsageError(
            "--build-prod-image and --build-debug-image cannot be used together",
            hint="leave out one of the two",
        )
    path = _recipe_path(request)
    joining = _Joining(request)
    recipe = joining.try_or(lambda: _recipe(request, path), _empty_recipe())
    file, outer = joining.settings(environment)
    joined = joining.join(recipe, file, outer)
    faults = (*joined.faults, *joining.faults)
    if joining.errors:
        raise_all([*joining.errors, *faults])
    reuse = bool(request.reuse_prev_dl or _first(file.re_use_prev_dl, outer.re_use_prev_dl))
    joined = evolve(
        joined,
        path=path,
        downloads=evolve(joined.downloads, reuse=reuse),
        faults=faults,
        warnings=(*file.warnings, *outer.warnings),
    )
    return joined if request.tc_passwd is None else with_password(joined, request.tc_passwd)


def bundle_changes(request: Request) -> Recipe:
    """Return the changes that ``request`` makes to the image of a bundle, as a recipe."""
    return _with_changes(_empty_recipe(), request)


def with_password(recipe: Recipe, password: str) -> Recipe:
    """Return ``recipe`` with ``password`` from the command line as the password of ``tc``."""
    accounts = {account.name: account for account in recipe.accounts}
    known = accounts.get(USER, Account(name=USER))
    accounts[USER] = _with_password(known, password, COMMAND_LINE)
    return evolve(
        recipe,
        accounts=tuple(accounts.values()),
        warnings=(*_odd_password(password), *recipe.warnings),
    )


def ask_about(
    recipe: Path | None,
    environment: Mapping[str, str],
    *,
    config: Path | None = None,
    mirrors: tuple[str, ...] = (),
    core: str | None = None,
    arch: str | None = None,
    kernel_release: str | None = None,
) -> Recipe:
    """Return a recipe for commands that query a mirror and build no image.

    The settings name mirrors, with the same precedence as in :func:`join_request`.

    Args:
        recipe: path of the recipe whose mirrors are used; by default ``purekernel.toml`` in the
            current folder, if it exists.
        environment: the environment variables, which may contain ``MK_BUNDLE_…`` settings.
        config: path of a file of ``MK_BUNDLE_…`` settings.
        mirrors: mirrors to use in place of the recipe's and of the settings'.
        core: version of Core, in place of the recipe's.
        arch: architecture, in place of the recipe's.
        kernel_release: the kernel release that ``-KERNEL`` stands for.

    Raises:
        PurekernelError: the recipe or the settings cannot be read, or have an error.
    """
    request = Request(recipe=recipe, config=config, kernel_release=kernel_release)
    path = _recipe_path(request)
    joining = _Joining(request)
    loaded = joining.try_or(
        lambda: _empty_recipe() if path is None else recipes.load_recipe(path), _empty_recipe()
    )
    file, outer = joining.settings(environment)
    raise_all(joining.errors)
    loaded = evolve(loaded, mirrors=joining.mirrors(loaded, file, outer))
    if mirrors:
        tinycore = tuple(map(_from_current_folder, mirrors))
        loaded = evolve(loaded, mirrors=evolve(loaded.mirrors, tinycore=tinycore, extensions=()))
    release = evolve(
        loaded.core,
        version=core or loaded.core.version,
        arch=arch or loaded.core.arch,
        kernel_release=kernel_release or loaded.core.kernel_release,
    )
    warnings = (*file.warnings, *outer.warnings)
    return evolve(loaded, core=release, path=path, warnings=warnings)


class _Joining:
    """Applies the command line and the settings to a recipe, and collects the errors."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.errors: list[PurekernelError] = []
        self.faults: list[PurekernelError] = []

    def try_or(self, load: Callable[[], T], otherwise: T) -> T:
        """Return the result of ``load``; if it fails, record the error and return ``otherwise``."""
        try:
            return load()
        except PurekernelError as error:
            self.errors.append(error)
            return otherwise

    def settings(self, environment: Mapping[str, str]) -> tuple[Settings, Settings]:
        """Return the settings of the settings file and of the environment."""
        self.try_or(lambda: _check_kernel(self._request.kernel_release), None)
        return (
            self.try_or(lambda: _settings_file(self._request.config), Settings()),
            self.try_or(lambda: settings_from_environment(environment), Settings()),
        )

    def join(self, recipe: Recipe, file: Settings, outer: Settings) -> Recipe:
        """Return ``recipe`` with the command line and both kinds of settings applied."""
        request = self._request
        return evolve(
            _with_changes(recipe, request),
            flavour=_first(_flavour(request), file.type, recipe.flavour, outer.type),
            core=override(
                recipe.core,
                iso=_replacement(file.tcl_iso_url, recipe.core.iso, outer.tcl_iso_url),
                kernel_release=request.kernel_release,
                layout=None if request.layout is None else InitrdLayout(request.layout),
            ),
            mirrors=self.mirrors(recipe, file, outer),
            extensions=self._extensions(recipe, file, outer),
            debian=self._debian(recipe),
            accounts=_accounts(recipe, file, outer),
            razor=_with_urls(recipe.razor, file, outer),
        )

    def mirrors(self, recipe: Recipe, file: Settings, outer: Settings) -> Mirrors:
        """Return the recipe's mirrors with both kinds of settings applied."""
        mirrors = recipe.mirrors

        def choose(first: str | None, own: tuple[str, ...], last: str | None) -> Any:
            chosen = _replacement(first, own or None, last)
            return None if chosen is None else (chosen,)

        return override(
            mirrors,
            extensions=choose(
                file.tcl_mirror_uri, mirrors.extensions or mirrors.tinycore, outer.tcl_mirror_uri
            ),
            gems=choose(file.gem_server_uri, mirrors.gems, outer.gem_server_uri),
            debian=choose(file.deb_mirror_url, mirrors.debian, outer.deb_mirror_url),
            debian_packages=tuple(map(_from_current_folder, self._request.dpkg_list)) or None,
        )

    def _debian(self, recipe: Recipe) -> DebianChoice:
        keyring = self._request.dpkg_keyring
        return override(
            recipe.debian,
            follow=self._request.dpkg_follow or None,
            allow_expired=self._request.dpkg_allow_expired or None,
            keyring=None if keyring is None else str(keyring.absolute()),
        )

    def _extensions(self, recipe: Recipe, file: Settings, outer: Settings) -> Extensions:
        request, extensions = self._request, recipe.extensions
        skip = self.try_or(
            lambda: frozenset(parse_extension_name(name, source="--skip") for name in request.skip),
            frozenset[str](),
        )
        return evolve(
            extensions,
            builtin=self._list(
                request.builtin_list, extensions.builtin, file, outer, name="builtin_list"
            ),
            mirror=self._list(
                request.mirror_list, extensions.mirror, file, outer, name="mirror_list"
            ),
            skip=extensions.skip | skip,
            dependencies=extensions.dependencies and not request.no_deps,
        )

    def _list(
        self,
        from_option: Path | None,
        from_recipe: tuple[Named, ...] | None,
        file: Settings,
        outer: Settings,
        *,
        name: str,
    ) -> tuple[Named, ...] | None:
        """Return the list of the first source that gives it."""
        option = "--" + name.replace("_", "-")
        if from_option is not None:
            return self.try_or(lambda: _load_list(from_option, option, self.faults), None)
        from_file: str | None = getattr(file, name)
        if from_file is not None:
            place = file.places.get(name, "the settings")
            return self.try_or(lambda: _load_list(Path(from_file), place, self.faults), None)
        from_environment: str | None = getattr(outer, name)
        if from_recipe is not None or from_environment is None:
            return from_recipe
        place = outer.places.get(name, "the environment")
        return self.try_or(lambda: _load_list(Path(from_environment), place, self.faults), None)


def _with_changes(recipe: Recipe, request: Request) -> Recipe:
    """Return ``recipe`` with the options that apply to bundles too."""
    compression = request.rootfs_compression
    overlays = tuple(
        OverlayChoice(path=str(path), keep_owners=request.keep_owners, from_command_line=True)
        for path in request.overlays
    )
    return override(
        recipe,
        version=request.iso_version,
        overlays=(*recipe.overlays, *overlays),
        boot=override(
            recipe.boot,
            **_given(request.boot),
        ),
        disk=override(recipe.disk, **_given(request.disk)),
        iso=override(
            recipe.iso,
            **request.volume,
            keep_files=request.keep_iso_files or None,
            hybrid=request.hybrid,
        ),
        rootfs=override(
            recipe.rootfs,
            compression=None if compression is None else ArchiveCompression(compression),
        ),
        drop_boot=request.drop_boot or None,
        findings=override(recipe.findings, strict=request.strict or None),
        output=override(recipe.output, embed=request.embed or None),
    )


def _given(values: Placed) -> dict[str, Any]:
    """Return the attributes of a table's values; ``None`` for those that are not given."""
    return {key.name: getattr(values, key.name) for key in fields(type(values)) if key.eq}


def _from_current_folder(address: str) -> str:
    """Return a URL unchanged, and a path as an absolute path from the current folder."""
    return address if is_url(address) else str(Path(address).absolute())


def _check_kernel(kernel: str | None) -> None:
    if kernel is not None and not KERNEL_RELEASE.accepts(kernel):
        raise UsageError(
            f"--kernel-release must be {KERNEL_RELEASE.words}, got {kernel!r}",
            hint="run 'uname -r' in the image to see its release",
        )


def _empty_recipe() -> Recipe:
    return Recipe(source=COMMAND_LINE, folder=Path())


def _recipe_path(request: Request) -> Path | None:
    if request.recipe is not None:
        return request.recipe / RECIPE_NAME if is_folder(request.recipe) else request.recipe
    default = Path(RECIPE_NAME)
    return default if is_file(default) else None


def _recipe(request: Request, path: Path | None) -> Recipe:
    """Return the recipe, with the project from the command line or the current folder."""
    recipe = _empty_recipe() if path is None else recipes.load_recipe(path, defer_lists=True)
    if request.project is not None:
        # A path on the command line is relative to the current folder, not to the recipe's.
        project = request.project
        if path is not None:
            project = _from_current_folder(project)
        razor = recipe.razor or Razor(project=project)
        return evolve(recipe, razor=override(razor, project=project))
    if path is not None:
        return recipe
    if not is_folder(Path(SCRIPTS.decode())):
        raise UsageError(
            f"nothing to build: the current folder has no {RECIPE_NAME}, and is not a "
            "Razor-Microkernel project",
            hint="write a recipe with 'purekernel init', name one with --recipe or a project with "
            "--project; or build a bundle, or the sample: purekernel build --sample",
        )
    return evolve(recipe, razor=Razor(project="."))


def _settings_file(path: Path | None) -> Settings:
    if path is None:
        return Settings()
    return parse_settings(recipes.read_text_file(path), source=str(path))


def _load_list(path: Path, place: str, faults: list[PurekernelError]) -> tuple[Named, ...]:
    try:
        data = recipes.read_text_file(path)
    except InputError as error:
        raise InputError(
            f"{place}: {error.message}", hint="give a file with one extension per line"
        ) from None
    return parse_extension_list(data, source=str(path), errors=faults)


def _flavour(request: Request) -> Flavour | None:
    if request.build_prod_image:
        return Flavour.PROD
    return Flavour.DEBUG if request.build_debug_image else None


def _accounts(recipe: Recipe, file: Settings, outer: Settings) -> tuple[Account, ...]:
    accounts = {account.name: account for account in recipe.accounts}
    known = accounts.get(USER, Account(name=USER))
    password, place = file.tc_passwd, file.places.get("tc_passwd", "the settings")
    if password is None and not known.has_password and not known.locked:
        password, place = outer.tc_passwd, outer.places.get("tc_passwd", "the environment")
    if password is not None:
        accounts[USER] = _with_password(known, password, place)
    return tuple(accounts.values())


def _with_password(account: Account, password: str, place: str) -> Account:
    return evolve(
        account,
        password=password,
        password_env=None,
        password_hash=None,
        locked=False,
        places={**account.places, "password": place},
    )


def _with_urls(razor: Razor | None, file: Settings, outer: Settings) -> Razor | None:
    if razor is None:
        return None
    return override(
        razor,
        rubygems=_replacement(file.ruby_gems_url, razor.rubygems, outer.ruby_gems_url),
        open_vm_tools=_replacement(
            file.open_vm_tools_url, razor.open_vm_tools, outer.open_vm_tools_url
        ),
        mcollective=_replacement(file.mcollective_url, razor.mcollective, outer.mcollective_url),
    )


def _odd_password(password: str | None) -> tuple[str, ...]:
    """Return a warning if the password looks like a mistyped option.

    Source: build-bundle-file.sh, which warns of the same two mistakes.
    """
    if password is None:
        return ()
    if password.startswith("c-passwd="):
        return ("the password begins with 'c-passwd=': did you mean --tc-passwd, with two dashes?",)
    if password.startswith("="):
        return ("the password begins with '=': write it directly after -t, without '='",)
    return ()


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)


def _replacement(first: str | None, own: object, last: str | None) -> str | None:
    """Return the value that replaces the recipe's ``own``; ``None`` if that stays.

    The settings file comes ``first``. The environment comes ``last``, where the recipe has none.
    """
    return last if first is None and own is None else first

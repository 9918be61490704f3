"""Define what an image is where its recipe does not say: the conventions of a plain Core.

:mod:`purekernel.razor.conventions` has those of the Razor Microkernel. Code that plans and composes
images asks one of the two and does not know which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from attrs import evolve

from purekernel.errors import PurekernelError, UsageError, raise_all
from purekernel.formats.core_iso import Base
from purekernel.input import Limits
from purekernel.recipe.accounts import Account
from purekernel.recipe.additions import Cut, GemLayout
from purekernel.recipe.composition import Composition, Identity, check_version, remaster_identity
from purekernel.recipe.defaults import REMASTER_NAME, USER
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.recipe.keys import Named
from purekernel.recipe.model import Recipe
from purekernel.records import frozen
from purekernel.rootfs.overlay import OverlayTree
from purekernel.rootfs.ownership import own_as_root
from purekernel.tree import Layer, Pass, Sources, Tree

if TYPE_CHECKING:
    from purekernel.formats.gem import GemVersion, ListedGem


# The role of the base ISO among the files of a plan.
BASE = "base"


class Materials(Protocol):
    """The inputs of a composition, each made on first use."""

    @property
    def recipe(self) -> Recipe:
        """The recipe."""
        ...

    @property
    def flavour(self) -> Flavour | None:
        """The image's flavour."""
        ...

    @property
    def limits(self) -> Limits:
        """Limits on parsed input."""
        ...

    @property
    def base(self) -> Base:
        """The content of the base."""
        ...

    @property
    def merged_root(self) -> Tree:
        """The base's root file system with the extensions that are unpacked into it."""
        ...

    @property
    def mtime(self) -> int:
        """The time of generated entries, in seconds since 1970, UTC."""
        ...

    @property
    def overlays(self) -> tuple[Layer, ...]:
        """The user's overlays, in order."""
        ...

    @property
    def passes(self) -> tuple[tuple[str, Pass], ...]:
        """The passes that change accounts and console. They run on the complete tree."""
        ...

    @property
    def changes(self) -> tuple[tuple[str, Pass], ...]:
        """The passes of [system] and of the tables that change files.

        They run on the complete tree, after the others.
        """
        ...

    @property
    def sources(self) -> Sources:
        """Where contents come from; whoever adds files of another source enters them."""
        ...

    def add_packages(self, overlay: OverlayTree) -> None:
        """Add extensions, gems and files cut out of extensions."""
        ...

    def file(self, role: str) -> tuple[str, bytes] | None:
        """Return name and content of the file with this role, or ``None`` if it is not planned."""
        ...


@frozen(kw_only=True)
class FurtherFile:
    """A file to fetch besides the base, overlays, extensions and gems.

    Attributes:
        requested: URL or path.
        sha256: the expected SHA-256 in hexadecimal, if the recipe gives it.
        place: where ``requested`` is given, for messages; empty for a default.
        sha256_place: where ``sha256`` is given, likewise.
    """

    requested: str
    sha256: str | None = None
    place: str = ""
    sha256_place: str = ""


@frozen(kw_only=True)
class Conventions:
    """The conventions of a plain Core.

    Attributes:
        generation: the generation of Razor's conventions; ``None`` for a plain Core.
        default_flavour: the flavour of an image whose recipe gives none.
        default_name: the name of an image whose recipe gives none.
        keeps_iso_files: whether the base ISO's files outside ``boot/`` are kept if it has no
            ``cde/``.
        has_all_folders: whether an image has the folders of extensions and gems even if they are
            empty.
        gem_layout: the layout of gems.
        version: the version of an image whose recipe gives none.
        source: path or URL of the project, for messages; ``None`` without a project.
    """

    default_flavour: ClassVar[Flavour | None] = None
    default_name: ClassVar[str] = REMASTER_NAME
    keeps_iso_files: ClassVar[bool] = True
    has_all_folders: ClassVar[bool] = False

    @property
    def generation(self) -> Generation | None:  # noqa: D102
        return None

    @property
    def version(self) -> str | None:  # noqa: D102
        return None

    @property
    def source(self) -> str | None:  # noqa: D102
        return None

    @property
    def gem_layout(self) -> GemLayout:  # noqa: D102
        return GemLayout.MIRROR

    # Planning

    def builtin(self, errors: list[PurekernelError]) -> tuple[Named, ...]:  # noqa: ARG002
        """Return the extensions that are loaded at boot if the recipe lists none.

        Args:
            errors: receives errors in lines of a list.
        """
        return ()

    def mirror(self, errors: list[PurekernelError]) -> tuple[Named, ...]:  # noqa: ARG002
        """Return the extensions of the image's own mirror if the recipe lists none.

        Args:
            errors: receives errors in lines of a list.
        """
        return ()

    def cuts(self, chosen: tuple[Cut, ...]) -> tuple[Cut, ...]:
        """Return the files to cut out of extensions.

        Args:
            chosen: those of the recipe.
        """
        return chosen

    def gems(self, errors: list[PurekernelError]) -> tuple[ListedGem, ...]:  # noqa: ARG002
        """Return the gems if the recipe lists none.

        Args:
            errors: receives errors in lines of a list.
        """
        return ()

    def ruby(self, recipe: Recipe) -> str | None:
        """Return the version of Ruby that the gems must run on; ``None`` for any."""
        return recipe.gems.ruby

    def rubygems(self, recipe: Recipe) -> GemVersion | None:  # noqa: ARG002
        """Return the version of RubyGems that installs the gems; ``None`` for any."""
        return None

    def files(self, recipe: Recipe) -> Mapping[str, FurtherFile]:  # noqa: ARG002
        """Return further files to fetch, by role."""
        return {}

    def notes(self, recipe: Recipe, flavour: Flavour | None) -> Iterator[str]:  # noqa: ARG002
        """Yield notes for the user, one line each."""
        yield from ()

    # Composing

    def accounts(self, recipe: Recipe, flavour: Flavour | None) -> tuple[Account, ...]:
        """Return the accounts to change or add. A production image allows no login by password.

        Raises:
            UsageError: the recipe gives a password for a production image.
            CombinedError: it gives several.
        """
        if flavour is not Flavour.PROD:
            return recipe.accounts
        refuse_passwords(recipe)
        accounts = {account.name: account for account in without_passwords(recipe.accounts)}
        # In Core's own file, tc has an empty password.
        accounts[USER] = evolve(accounts.get(USER) or Account(name=USER), locked=True)
        return tuple(accounts.values())

    def autologin(self, flavour: Flavour | None) -> bool | None:
        """Return whether the first console logs in automatically; ``None`` leaves it unchanged."""
        if flavour is Flavour.DEBUG:
            return True
        return False if flavour is Flavour.PROD else None

    def mirror_folder(self, core: str) -> str:
        """Return the folder of extensions in the image's own mirror.

        Args:
            core: series and architecture of Core: ``4.x/x86``.
        """
        return f"{core}/tcz"

    def inputs(self) -> Iterator[Tree]:
        """Yield the inputs whose times are meaningful, besides the base and packages."""
        yield from ()

    def identity(self, recipe: Recipe, flavour: Flavour | None) -> Identity:
        """Return the names of the image.

        Raises:
            BundleError: the version is missing or not valid.
        """
        version = None if recipe.version is None else check_version(recipe.version)
        return remaster_identity(
            name=recipe.name or self.default_name, version=version, flavour=flavour
        )

    def compose(self, materials: Materials) -> Composition:
        """Return the composition of the image.

        Raises:
            PurekernelError: an input is damaged, or two inputs contradict each other.
        """
        recipe = materials.recipe
        overlay = OverlayTree(materials.mtime)
        materials.add_packages(overlay)
        packages = own_as_root(Layer(source="extensions", tree=overlay.tree))
        return Composition(
            source=recipe.source,
            base=evolve(materials.base, root=materials.merged_root),
            layers=(packages, *materials.overlays),
            passes=(*materials.passes, *materials.changes, *recipe.passes),
            identity=self.identity(recipe, materials.flavour),
            mtime=materials.mtime,
            recipe=recipe,
            made_layers=1,
            sources=materials.sources,
        )

    def bundle(self, materials: Materials) -> bytes:
        """Return the bundle, a gzipped tar file.

        The bundle includes the recipe's overlays. It does not preserve the owners that they record.

        Raises:
            UsageError: the recipe names no project, or has passes, which a bundle cannot hold.
            PurekernelError: an input is damaged, or two inputs contradict each other.
        """
        raise UsageError(
            f"{materials.recipe.source}: the Razor-Microkernel project is missing: a bundle needs "
            "one",
            hint="name it with --project, or build an image with 'purekernel build'",
        )


PLAIN = Conventions()


def refuse_passwords(recipe: Recipe) -> None:
    """Refuse the passwords of a recipe for a production image.

    Raises:
        UsageError: the recipe gives a password.
        CombinedError: it gives several.
    """
    raise_all(
        UsageError(
            f"account {account.name!r} has a password: a production image must have none",
            hint="remove the password, or build a development image",
        ).within(password_place(account))
        for account in recipe.accounts
        if account.has_password
    )


def password_place(account: Account) -> str:
    """Return where the account's password is given, for messages."""
    given = [
        attribute
        for attribute in ("password", "password_env", "password_hash")
        if getattr(account, attribute) is not None
    ]
    return account.place(given[0]) if given else ""


def without_passwords(accounts: tuple[Account, ...]) -> tuple[Account, ...]:
    """Return the accounts without their passwords."""
    return tuple(
        evolve(account, password=None, password_env=None, password_hash=None)
        for account in accounts
    )

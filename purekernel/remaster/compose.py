"""Compose the image of a recipe from the fetched inputs of its plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property, partial

from attrs import evolve

from purekernel.encode.encoders import Libdeflate
from purekernel.errors import (
    CombinedError,
    MissingPathError,
    PurekernelError,
    inside,
    raise_all,
)
from purekernel.fetch.urls import portable_name
from purekernel.formats import gem as gem_format
from purekernel.formats.core_iso import Base
from purekernel.host.write import Output
from purekernel.input import Input, Limits
from purekernel.plan.bases import INITRD, KERNEL
from purekernel.plan.fetch_plan import Gathered
from purekernel.razor.bundle import bundle_name
from purekernel.recipe.additions import GemLayout
from purekernel.recipe.composition import Composition, DiscAdditions
from purekernel.recipe.context import Context
from purekernel.recipe.conventions import BASE
from purekernel.recipe.destination import Destination
from purekernel.recipe.efi import EfiSource
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.iso_files import read_contents
from purekernel.recipe.keys import Named
from purekernel.recipe.model import Recipe
from purekernel.recipe.overlays import Overlays
from purekernel.remaster.accounts import account_changes
from purekernel.remaster.changes import change_passes
from purekernel.remaster.components import extension_origin
from purekernel.remaster.system import system_passes
from purekernel.repos.tinycore import Extension, resolve_kernel
from purekernel.repos.tinycore.placement import (
    CDE,
    OPTIONAL,
    Loading,
    add_builtins,
    add_folder,
    add_mirror,
)
from purekernel.rootfs.accounts import AccountChange, change_accounts
from purekernel.rootfs.extensions import cut_files, merge_extension
from purekernel.rootfs.inittab import set_autologin
from purekernel.rootfs.overlay import GEM_FOLDER, GEM_MIRROR, OverlayTree
from purekernel.tree import (
    Buffer,
    File,
    Layer,
    Origin,
    OriginKind,
    Pass,
    Sources,
    Tree,
    resolve,
)
from purekernel.tree.origin import OriginPass
from purekernel.tree.path import join

INITTAB = b"etc/inittab"


def compose_recipe(gathered: Gathered, context: Context) -> Composition:
    """Return the composition of the image of a recipe whose inputs are fetched.

    Raises:
        PurekernelError: an input is damaged, or two inputs contradict each other.
    """
    assembly = Assembly(gathered, context)
    composition = gathered.plan.conventions.compose(assembly)
    return evolve(
        composition,
        base_origin=Origin(OriginKind.BASE, ", ".join(assembly.base_names())),
        disc=assembly.disc(),
        efi=tuple(assembly.efi_files()),
        tce=assembly.tce(),
        notes=gathered.notes,
        extensions=assembly.unpacked_extensions,
        suggest=gathered.find_providers,
    )


class Assembly:
    """The inputs of a recipe's image, each made on first use."""

    def __init__(self, gathered: Gathered, context: Context) -> None:
        """Compose from ``gathered``; nothing is made yet."""
        self._gathered = gathered
        self._plan = gathered.plan
        self._conventions = gathered.plan.conventions
        self._context = context
        self.sources = Sources()
        self._overlays = Overlays(gathered.plan.recipe, limits=self.limits, fetched=gathered.file)

    @property
    def recipe(self) -> Recipe:
        """The recipe."""
        return self._plan.recipe

    @property
    def flavour(self) -> Flavour | None:
        """The image's flavour."""
        return self._plan.flavour

    @property
    def limits(self) -> Limits:
        """Limits on parsed input."""
        return self._gathered.planner.limits

    @property
    def base(self) -> Base:
        """The content of the base."""
        return self._gathered.base

    @cached_property
    def mtime(self) -> int:
        """The time of generated entries, in seconds since 1970, UTC."""
        return self._context.time_of(self.recipe, self._inputs())

    @cached_property
    def merged_root(self) -> Tree:
        """The base's root file system with the extensions that are unpacked into it."""
        root = self.base.root
        for name, tree in self._merged.items():
            with inside(name):
                root = merge_extension(root, tree, name=name.removesuffix(".tcz"), mtime=self.mtime)
        return root

    @property
    def unpacked_extensions(self) -> tuple[tuple[str, Tree], ...]:
        """Name and files of each extension that is unpacked into the root file system."""
        return (*self._cuts, *self._merged.items())

    @cached_property
    def overlays(self) -> tuple[Layer, ...]:
        """The user's overlays, in order."""
        return self._overlays.layers(self.mtime)

    @cached_property
    def passes(self) -> tuple[tuple[str, Pass], ...]:
        """The passes that change accounts and console. They run on the complete tree."""
        passes: list[tuple[str, Pass]] = []
        if self._account_changes:
            run = partial(change_accounts, changes=self._account_changes, mtime=self.mtime)
            passes.append(("set the accounts", OriginPass(run, _edit("[accounts]"))))
        if self._autologin is not None:
            login = partial(_with_autologin, on=self._autologin)
            passes.append(("set the console", OriginPass(login, _edit("autologin"))))
        return tuple(passes)

    @cached_property
    def changes(self) -> tuple[tuple[str, Pass], ...]:
        """The passes of [system] and of the tables that change files; for the complete tree."""
        system = system_passes(
            self.recipe, autologin=self._autologin, mtime=self.mtime, limits=self.limits
        )
        return (*system, *change_passes(self.recipe, mtime=self.mtime, limits=self.limits))

    def file(self, role: str) -> tuple[str, bytes] | None:
        """Return name and content of the file with this role, or ``None`` if it is not planned."""
        return self._gathered.file(role)

    def add_packages(self, overlay: OverlayTree) -> None:
        """Add extensions, gems and files cut out of extensions."""
        extensions, release = self._plan.extensions, self._plan.release
        every = self._conventions.has_all_folders
        if extensions.builtin or every:
            builtins = self._entered(self._gathered.builtins())
            add_builtins(overlay, builtins, extensions.builtin)
        if extensions.mirror or every:
            folder = self._conventions.mirror_folder(f"{release.series}/{release.arch}")
            add_mirror(overlay, folder, self._entered(self._gathered.mirrored()))
        if self._plan.gems.releases or every:
            self._add_gems(overlay)
        for tree in self._cut_trees:
            overlay.copy_all(tree)

    def disc(self) -> DiscAdditions:
        """Return what the recipe adds to the ISO."""
        recipe, planned = self.recipe, self._plan.extensions
        files = read_contents(
            recipe.iso_files, recipe.folder, limits=self.limits, fetched=self.file
        )
        for number, file in enumerate(recipe.iso_files, start=1):
            self.sources.add_content(files[file.raw_path], _edit(f"[[iso.file]] {number}"))
        base = self.base.iso
        on_disc = base.entries(join(CDE, OPTIONAL)) if join(CDE, OPTIONAL) in base else ()
        known = {name.decode("utf-8", "replace") for name in on_disc}
        # What the recipe says of extensions in cde holds for those of the base too.
        changes = planned.cde or known & {*planned.ondemand, *planned.copied}
        copies = recipe.extensions.copy2fs_all and CDE in base
        cde = self._folder(planned.cde, also=known) if changes or copies else None
        return DiscAdditions(files=files, cde=cde)

    def base_names(self) -> Iterator[str]:
        """Yield the names of the files that the base is read from."""
        files = self._plan.files
        initrds = (role for role in files if role.startswith(INITRD))
        for role in (BASE,) if BASE in files else (KERNEL, *initrds):
            if role in files:
                yield portable_name(files[role].download.name)

    def efi_files(self) -> Iterator[tuple[EfiSource, Input]]:
        """Yield the files for the EFI system partition; their contents are entered as sources."""
        extensions = self._plan.extensions
        for source, file in self._gathered.efi_files():
            name = extensions.efi_from.get(source.part[0]) if source.part else None
            if name is not None:
                self.sources.add_content(file.data, extension_origin(extensions.cut_from[name]))
            elif source.part is None:
                origin = Origin(OriginKind.OVERLAY, portable_name(source.text))
                self.sources.add_content(file.data, origin)
            yield source, file

    def tce(self) -> Tree | None:
        """Return the folder of extensions for a writable partition; ``None`` without any."""
        listed = self._plan.extensions.tce
        return self._folder(listed) if listed else None

    def _folder(self, listed: Sequence[str], *, also: Collection[str] = ()) -> Tree:
        """Return a folder that Core loads extensions from.

        Args:
            listed: the extensions that are listed for it.
            also: names of other extensions that it has.
        """
        planned = self._plan.extensions
        added = planned.medium_order(listed)
        known = {*added, *also}
        overlay = OverlayTree(self.mtime)
        add_folder(
            overlay,
            self._entered(self._gathered.on_medium(listed)),
            Loading(
                onboot=[each for each in listed if each in added and each not in planned.ondemand],
                ondemand=[each for each in planned.ondemand if each in known],
                copied=[each for each in planned.copied if each in known],
                copy_all=self.recipe.extensions.copy2fs_all,
            ),
        )
        return overlay.tree

    def _add_gems(self, overlay: OverlayTree) -> None:
        """Add the gems as a mirror with an index, or as files in one folder."""
        gems = self._plan.gems
        files = {
            gem.download.name: self._gathered.content(gem.download) or b"" for gem in gems.releases
        }
        for gem in gems.releases:
            origin = Origin(OriginKind.GEM, gem.name, str(gem.version))
            self.sources.add_content(files[gem.download.name], origin)
        listed = self.recipe.gems.wanted
        # Every gem is read, so that a damaged one is found before it is in the image.
        specs = {
            name: gem_format.parse_gem(Input(data, name=name, limits=self.limits)).spec
            for name, data in files.items()
        }
        names = None if listed is None else "".join(f"{gem.name}\n" for gem in listed).encode()
        if gems.layout is GemLayout.FLAT:
            overlay.files(GEM_FOLDER, files)
            if names is not None:
                overlay.file(GEM_FOLDER + b"/gem.list", names)
            return
        overlay.files(GEM_MIRROR + b"/gems", files)
        overlay.files(GEM_MIRROR, gem_format.build_gem_index(specs, deflate=Libdeflate().encode))
        if names is not None:
            overlay.file(GEM_MIRROR + b"/gems/gem.list", names)

    def _inputs(self) -> Iterator[Tree]:
        """Yield the inputs whose times are meaningful."""
        yield from (self.base.iso, self.base.root, *self._cut_trees, *self._merged.values())
        yield from (layer.tree for layer in self._overlays.dated if layer is not None)
        yield from self._conventions.inputs()

    @property
    def _autologin(self) -> bool | None:
        """Whether the console logs in automatically; ``None`` leaves that as in the base."""
        chosen = self.recipe.autologin
        return self._conventions.autologin(self.flavour) if chosen is None else chosen

    @cached_property
    def _account_changes(self) -> tuple[AccountChange, ...]:
        return account_changes(
            self._conventions.accounts(self.recipe, self.flavour),
            self.base.root,
            self._context.environment,
            image=self.recipe.name or self._conventions.default_name,
        )

    @property
    def _cut_trees(self) -> list[Tree]:
        return [tree for _name, tree in self._cuts]

    @cached_property
    def _cuts(self) -> list[tuple[str, Tree]]:
        cuts = []
        for cut in self._plan.extensions.cuts:
            name = resolve_kernel(cut.extension.name, self._plan.extensions.kernel)
            extension = self._plan.extensions.cut_from[name]
            tree = self._gathered.tree(extension)
            self.sources.add_tree(tree, extension_origin(extension))
            cuts.append((name, _cut(tree, name, cut.files)))
        return cuts

    @cached_property
    def _merged(self) -> dict[str, Tree]:
        graph = self._plan.extensions.graph
        trees = {}
        for name in self._plan.extensions.merged_order():
            trees[name] = self._gathered.tree(graph.extensions[name])
            self.sources.add_tree(trees[name], extension_origin(graph.extensions[name]))
        return trees

    def _entered(self, extensions: Iterable[Extension[Buffer]]) -> Iterator[Extension[Buffer]]:
        """Yield extensions, and enter where they and the files beside them come from."""
        for extension in extensions:
            origin = extension_origin(extension)
            for content in (extension.file, *extension.companions.values()):
                self.sources.add_content(content, origin)
            yield extension


def _edit(table: str) -> Origin:
    return Origin(OriginKind.EDIT, table)


def _cut(tree: Tree, name: str, files: Sequence[Named]) -> Tree:
    """Return the files cut out of an extension.

    An error about a missing file names the list that asks for it.
    """
    try:
        with inside(name):
            return cut_files(tree, [file.name.encode() for file in files])
    except (MissingPathError, CombinedError):
        errors: list[PurekernelError] = []
        for file in files:
            try:
                with inside(file.place), inside(name):
                    cut_files(tree, [file.name.encode()])
            except PurekernelError as error:
                errors.append(error)
        raise_all(errors)
        raise


def _with_autologin(tree: Tree, *, on: bool) -> Tree:
    """Return ``tree`` with automatic login on its first console switched on or off."""
    path = resolve(tree, INITTAB)
    node = tree.get(path)
    if not isinstance(node, File):
        return tree
    changed = tree.copy()
    content = set_autologin(bytes(node.content), on)
    changed.replace(path, evolve(node, content=content))
    return changed


def write_bundle(gathered: Gathered, context: Context, destination: Destination) -> Output:
    """Write the bundle to ``destination``.

    Raises:
        PurekernelError: an input is damaged, or two inputs contradict each other.
        OutputError: the bundle cannot be written; an existing file stays unchanged.
        BrokenPipeError: the reader of the destination's stream is gone.
    """
    plan, progress = gathered.plan, context.progress
    with progress.step("assembling"):
        content = plan.conventions.bundle(Assembly(gathered, context))
    name = bundle_name(plan.flavour or Flavour.DEV)
    with progress.step("writing"):
        (output,) = destination.write({name: content})
    return output

"""Compose an image from a bundle, or from the fetched inputs of a recipe's plan."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

from attrs import evolve, fields

from purekernel.encode.encoders import Libdeflate
from purekernel.errors import (
    BundleError,
    CombinedError,
    InputError,
    MissingPathError,
    PurekernelError,
    UsageError,
    inside,
    raise_all,
)
from purekernel.fetch.urls import redact
from purekernel.formats.core_iso import parse_base
from purekernel.formats.gem import build_gem_index, parse_gem
from purekernel.formats.tar import parse_tar
from purekernel.host.overlay_reader import load_layer, parse_layer
from purekernel.host.read import check_digest, is_folder
from purekernel.input import Input, Limits
from purekernel.plan import Plan
from purekernel.plan.fetch_plan import Gathered
from purekernel.plan.files import missing_overlays, overlay_role
from purekernel.plan.plan import MCOLLECTIVE, RUBYGEMS, VM_TOOLS
from purekernel.razor.bundle import (
    VM_TOOLS_TARBALL,
    Bundle,
    BundleParts,
    pack_bundle,
    setup_tarballs,
    without_paths,
)
from purekernel.razor.microkernel import TIMEOUT, Microkernel, bundle_version
from purekernel.razor.overlay import (
    GEM_FOLDER,
    GEM_MIRROR,
    OverlayTree,
    add_builtins,
    add_files,
    add_mcollective,
    add_mirror,
    add_project,
)
from purekernel.razor.project import Project
from purekernel.recipe.context import Context
from purekernel.recipe.defaults import REMASTER_NAME
from purekernel.recipe.flavour import SCRIPTS, Flavour, Generation
from purekernel.recipe.identity import Identity, check_version, remaster_identity
from purekernel.recipe.model import GemLayout, Named, OverlayChoice, Recipe
from purekernel.remaster.accounts import account_changes, wants_autologin
from purekernel.remaster.image import Composition
from purekernel.repos.tinycore import resolve_kernel
from purekernel.rootfs.accounts import AccountChange, change_accounts
from purekernel.rootfs.extensions import cut_files, merge_extension
from purekernel.rootfs.inittab import set_autologin
from purekernel.rootfs.ownership import own_as_root, protect_shadow
from purekernel.tree import (
    Buffer,
    File,
    Layer,
    Pass,
    Tree,
    content_bytes,
    date_all,
    difference,
    merge,
    resolve,
    subtree,
)

INITTAB = b"etc/inittab"


# Source: rz_mk_tce_mirror.rb.
RAZOR_MIRROR = "4.x/x86/tcz"


# The user's overlays: location and content.


class Overlays:
    """The overlays of a recipe, read on first use."""

    def __init__(self, recipe: Recipe, context: Context, gathered: Gathered | None = None) -> None:
        """Locate the overlays without reading them.

        Args:
            recipe: names the overlays.
            context: gives the limits.
            gathered: the fetched overlays.
        """
        self._recipe = recipe
        self._gathered = gathered
        self._context = context

    @cached_property
    def dated(self) -> tuple[Layer | None, ...]:
        """The overlays that record times: archives and layers in memory; ``None`` for folders.

        Raises:
            PurekernelError: an overlay cannot be read, is damaged, or has another digest.
        """
        return tuple(map(self._dated, self._recipe.overlays))

    def layers(self, mtime: int) -> tuple[Layer, ...]:
        """Return all overlays, in order. Entries without a time get ``mtime``.

        Raises:
            PurekernelError: as for :attr:`dated`.
        """
        return tuple(
            self._at(choice, layer, mtime)
            for choice, layer in zip(self._recipe.overlays, self.dated, strict=True)
        )

    def _dated(self, choice: OverlayChoice) -> Layer | None:
        if choice.layer is not None:
            layer = choice.layer
        elif choice.url is not None:
            with inside(choice.place("url")):
                layer = self._fetched(choice.url)
        else:
            path = self._path(choice)
            if choice.sha256 is not None:
                with inside(choice.place("sha256")):
                    check_digest(path, choice.sha256)
            if is_folder(path):
                return None
            layer = self._load(choice, 0)
        return layer if choice.keep_owners else own_as_root(layer)

    def _at(self, choice: OverlayChoice, layer: Layer | None, mtime: int) -> Layer:
        """Return an overlay in which no entry lacks a time; a manifest may give none."""
        on_host = choice.layer is None and choice.url is None
        if layer is not None and (
            not on_host or all(node.metadata.mtime for _path, node in layer.tree.walk())
        ):
            return layer
        layer = self._load(choice, mtime)
        return layer if choice.keep_owners else own_as_root(layer)

    def _fetched(self, url: str) -> Layer:
        fetched = None if self._gathered is None else self._gathered.file(overlay_role(url))
        if fetched is None:
            raise InputError(
                f"{redact(url)} was not fetched: an overlay of a bundle must be a file or folder",
                hint="download it, and give its path",
            )
        name, content = fetched
        return parse_layer(content, source=name, limits=self._context.limits)

    def _load(self, choice: OverlayChoice, mtime: int) -> Layer:
        with inside(choice.place("path")):
            return load_layer(self._path(choice), mtime=mtime, limits=self._context.limits)

    def _path(self, choice: OverlayChoice) -> Path:
        path = Path(choice.path or "")
        return path if choice.from_command_line else self._recipe.folder / path


# Compose the image of a bundle.

# What a bundle determines, and a recipe for its image cannot change.
_CHANGES = frozenset(
    {
        "source", "folder", "path", "version", "timestamp", "overlays", "passes", "boot", "iso",
        "output", "drop_boot", "faults", "warnings",
    }
)  # fmt: skip


def compose_bundle(bundle: Bundle, context: Context) -> Composition:
    """Return the composition of a bundle's image.

    Raises:
        UsageError: the changes to the bundle need packages or accounts, which only a recipe has.
        PurekernelError: an input is damaged, a part is missing, or two parts contradict each other.
    """
    changes = bundle.changes
    _check_changes(changes)
    raise_all(missing_overlays(changes))
    microkernel = Microkernel(
        version=bundle_version(changes.version, bundle.version, source=bundle.source),
        flavour=bundle.flavour,
        generation=bundle.generation,
        licences=bundle.licences,
    )
    with context.progress.step("unpacking the base ISO"), inside(bundle.source):
        base = parse_base(
            bundle.iso,
            source="Core-current.iso",
            keep_iso_files=bool(changes.iso.keep_files),
            limits=context.limits,
        )
    with context.progress.step("unpacking the overlays"):
        parts = _bundle_layers(bundle, context.limits)
        mtime = context.time_of(changes, at_least=bundle.mtime)
        layers = Overlays(changes, context).layers(mtime)
    return Composition(
        source=bundle.source,
        base=base,
        parts=tuple(map(own_as_root, parts)),
        layers=layers,
        passes=changes.passes,
        identity=microkernel.identity,
        root_files=microkernel.root_files,
        iso_files=microkernel.iso_files,
        describe=microkernel.describe,
        timeout=TIMEOUT,
        mtime=bundle.mtime,
        recipe=changes,
    )


def _check_changes(changes: Recipe) -> None:
    plain = Recipe()
    others = [
        attribute.name
        for attribute in fields(Recipe)
        if attribute.eq
        and attribute.name not in _CHANGES
        and getattr(changes, attribute.name) != getattr(plain, attribute.name)
    ]
    if others:
        raise UsageError(
            f"a bundle's image cannot be changed in: {', '.join(others)}",
            hint="build from a recipe, or make the bundle again with 'purekernel bundle'",
        )


def _bundle_layers(bundle: Bundle, limits: Limits) -> list[Layer]:
    layers: list[Layer] = []
    # All overlays share one limit, so that many archives cannot add up beyond it.
    left_bytes = limits.unpacked_bytes
    with inside(bundle.source):
        for source, part in bundle.overlays:
            if isinstance(part, Layer):
                layers.append(part)
                continue
            shared = evolve(limits, unpacked_bytes=left_bytes)
            tree = parse_tar(Input(part, name=source, limits=shared))
            left_bytes = max(0, left_bytes - content_bytes(tree))
            layers.append(Layer(source=source, tree=tree))
    return layers


# Compose the image of a recipe.


def add_gems(overlay: OverlayTree, gathered: Gathered) -> None:
    """Add the gems of a plan, if it has gems or a project.

    Raises:
        FormatError: a gem is damaged.
    """
    plan = gathered.plan
    if not plan.gems.releases and plan.project is None:
        return
    files = {gem.download.name: gathered.content(gem.download) or b"" for gem in plan.gems.releases}
    listed = plan.recipe.gems.wanted
    names = None if listed is None else "".join(f"{gem.name}\n" for gem in listed).encode()
    if plan.gems.layout is GemLayout.FLAT:
        add_files(overlay, GEM_FOLDER, files)
        if names is not None:
            overlay.file(GEM_FOLDER + b"/gem.list", names)
        return
    specs = {name: parse_gem(Input(content, name=name)).spec for name, content in files.items()}
    add_files(overlay, GEM_MIRROR + b"/gems", files)
    add_files(overlay, GEM_MIRROR, build_gem_index(specs, deflate=Libdeflate().encode))
    if names is not None:
        overlay.file(GEM_MIRROR + b"/gems/gem.list", names)


class Assembly:
    """The parts of a recipe's image, each made on first use."""

    def __init__(self, gathered: Gathered, context: Context) -> None:
        """Compose from ``gathered``; nothing is made yet."""
        self._gathered = gathered
        self._plan = gathered.plan
        self._recipe = gathered.plan.recipe
        self._context = context
        self._overlay_files = Overlays(self._recipe, context, gathered)

    # Results

    @property
    def flavour(self) -> Flavour | None:
        """The image's flavour."""
        return self._plan.flavour

    def composition(self) -> Composition:
        """Return the composition of the image.

        Raises:
            PurekernelError: an input is damaged, or two inputs contradict each other.
        """
        if self._project is not None:
            return self._microkernel(self._project)
        overlay = OverlayTree(self.mtime)
        self._add_packages(overlay)
        return Composition(
            source=self._recipe.source,
            base=evolve(self._gathered.base, root=self._merged_root),
            layers=(own_as_root(Layer(source="extensions", tree=overlay.tree)), *self._overlays),
            passes=(*self._passes(), *self._recipe.passes),
            identity=identify(self._plan),
            mtime=self.mtime,
            recipe=self._recipe,
            notes=self._gathered.notes,
        )

    def bundle(self) -> bytes:
        """Return the bundle, a gzipped tar file.

        The bundle includes the recipe's overlays. It does not preserve the owners that they
        record.

        Raises:
            UsageError: the recipe names no project, or has passes, which a bundle cannot hold.
            PurekernelError: an input is damaged, or two inputs contradict each other.
        """
        if self._recipe.passes:
            raise UsageError(
                "a bundle cannot hold the recipe's own passes",
                hint="build the image, or put what they change into an overlay",
            )
        if self._project is None:
            raise UsageError(
                f"{self._recipe.source}: the Razor-Microkernel project is missing: a bundle "
                "needs one",
                hint="name it with --project, or build an image with 'purekernel build'",
            )
        overlay = self._overlay(self._project)
        for layer in self._overlays:
            with inside(layer.source):
                tree = merge(overlay.tree, layer.tree, stated=layer.stated)
                overlay = evolve(overlay, tree=tree)
        if self._overlays:
            tree = overlay.tree
            for _words, run in self._passes():
                tree = run(tree)
            # A tarball holds only folders with an entry of their own.
            overlay = evolve(overlay, tree=_named_folders(tree, self.mtime))
        parts = self._parts(self._project, overlay)
        tarballs = {
            # A tarball that is unpacked later must not overwrite files of the user's overlays.
            name: packed if name == VM_TOOLS_TARBALL else without_paths(packed, self._overlays)
            for name, packed in parts.tarballs.items()
        }
        return pack_bundle(evolve(parts, tarballs=tarballs))

    # Intermediate parts

    @cached_property
    def _project(self) -> Project | None:
        """The project. Times of a checkout are arbitrary and are replaced by :attr:`mtime`."""
        found = self._gathered.planner.project
        if found is None or found.dated:
            return None if found is None else found.project
        return evolve(found.project, tree=date_all(found.project.tree, self.mtime))

    @cached_property
    def mtime(self) -> int:
        """The time of all generated entries, in seconds since 1970, UTC."""
        return self._context.time_of(self._recipe, self._inputs())

    def _inputs(self) -> Iterator[Tree]:
        """Yield the inputs whose times are meaningful."""
        base = self._gathered.base
        yield from (base.iso, base.root, *self._cut_trees, *self._merged.values())
        yield from (layer.tree for layer in self._overlay_files.dated if layer is not None)
        found = self._gathered.planner.project
        if found is not None and found.dated:
            yield found.project.tree

    def _microkernel(self, project: Project) -> Composition:
        microkernel = plan_microkernel(self._plan, project)
        bundle = self._parts(project, self._overlay(project)).as_bundle()
        return Composition(
            source=self._recipe.source,
            base=self._gathered.base,
            parts=tuple(
                own_as_root(part if isinstance(part, Layer) else self._unpacked(source, part))
                for source, part in bundle.overlays
            ),
            layers=self._overlays,
            passes=(*(self._passes() if self._overlays else ()), *self._recipe.passes),
            identity=microkernel.identity,
            root_files=microkernel.root_files,
            iso_files=microkernel.iso_files,
            describe=microkernel.describe,
            timeout=TIMEOUT,
            mtime=bundle.mtime,
            recipe=self._recipe,
            notes=self._gathered.notes,
        )

    def _parts(self, project: Project, overlay: Layer) -> BundleParts:
        flavour = self._plan.flavour or Flavour.DEV
        tarballs = setup_tarballs(project, flavour, keep_host_keys=self._keep_host_keys)
        vm_tools = self._gathered.file(VM_TOOLS)
        if vm_tools is not None:
            tarballs[VM_TOOLS_TARBALL] = vm_tools[1]
        new = project.generation is Generation.V2013
        return BundleParts(
            source=self._recipe.source,
            iso=self._gathered.iso,
            flavour=flavour,
            generation=project.generation,
            version=planned_version(self._plan) if new else None,
            scripts=_below(project.tree, SCRIPTS),
            licences=project.licences,
            overlay=overlay,
            tarballs=tarballs,
            mtime=self.mtime,
        )

    @property
    def _keep_host_keys(self) -> bool:
        razor = self._recipe.razor
        return razor is None or razor.ssh_host_keys

    def _overlay(self, project: Project) -> Layer:
        """Return the overlay of a Microkernel's root file system."""
        overlay = OverlayTree(self.mtime)
        overlay.copy_all(difference(self._gathered.base.root, self._merged_root))
        add_project(overlay, project, self._plan.flavour or Flavour.DEV)
        self._add_packages(overlay)
        self._add_extras(overlay, project)
        tree = overlay.tree
        for _words, run in self._passes():
            tree = run(tree)
        return Layer(source="razor-microkernel-overlay.tar.gz", tree=protect_shadow(tree))

    def _add_packages(self, overlay: OverlayTree) -> None:
        """Add extensions, gems and files cut out of extensions."""
        plan = self._plan
        if plan.extensions.builtin or self._project is not None:
            add_builtins(overlay, self._gathered.builtins(), plan.extensions.builtin)
        if plan.extensions.mirror or self._project is not None:
            # Razor's own server serves this folder only, for every version of Core.
            core = f"{plan.release.series}/{plan.release.arch}"
            folder = RAZOR_MIRROR if self._project is not None else f"{core}/tcz"
            add_mirror(overlay, folder, self._gathered.mirrored())
        add_gems(overlay, self._gathered)
        for tree in self._cut_trees:
            overlay.copy_all(tree)

    def _add_extras(self, overlay: OverlayTree, project: Project) -> None:
        rubygems = self._gathered.file(RUBYGEMS)
        if rubygems is not None:
            name, content = rubygems
            overlay.file(b"opt/" + os.fsencode(name), content)
        mcollective = self._gathered.file(MCOLLECTIVE)
        if mcollective is not None:
            name, content = mcollective
            with inside(name):
                add_mcollective(overlay, project, self._unpacked(name, content).tree)

    def _passes(self) -> list[tuple[str, Pass]]:
        """Return the passes that change accounts and console. They run on the complete tree."""
        passes: list[tuple[str, Pass]] = []
        if self._changes:
            run = partial(change_accounts, changes=self._changes, mtime=self.mtime)
            passes.append(("set the accounts", run))
        autologin = wants_autologin(self._plan)
        if autologin is not None:
            passes.append(("set the console", partial(_with_autologin, on=autologin)))
        return passes

    @cached_property
    def _changes(self) -> tuple[AccountChange, ...]:
        root = self._gathered.base.root
        return account_changes(self._plan, root, self._context.environment)

    @cached_property
    def _cut_trees(self) -> list[Tree]:
        trees = []
        for cut in self._plan.extensions.cuts:
            name = resolve_kernel(cut.extension.name, self._plan.extensions.kernel)
            tree = self._gathered.tree(self._plan.extensions.cut_from[name])
            trees.append(_cut(tree, name, cut.files))
        return trees

    @cached_property
    def _merged(self) -> dict[str, Tree]:
        graph = self._plan.extensions.graph
        return {
            name: self._gathered.tree(graph.extensions[name])
            for name in self._plan.extensions.merged_order()
        }

    @cached_property
    def _merged_root(self) -> Tree:
        root = self._gathered.base.root
        for name, tree in self._merged.items():
            with inside(name):
                root = merge_extension(root, tree, name=name.removesuffix(".tcz"), mtime=self.mtime)
        return root

    @cached_property
    def _overlays(self) -> tuple[Layer, ...]:
        """The user's overlays, in order."""
        return self._overlay_files.layers(self.mtime)

    def _unpacked(self, source: str, packed: Buffer) -> Layer:
        return Layer(
            source=source, tree=parse_tar(Input(packed, name=source, limits=self._context.limits))
        )


def identify(plan: Plan) -> Identity:
    """Return the identity of the image of ``plan``.

    Raises:
        BundleError: the version of a Microkernel is missing or not valid.
    """
    if plan.project is not None:
        return plan_microkernel(plan, plan.project).identity
    name = plan.recipe.name or REMASTER_NAME
    return remaster_identity(name=name, version=planned_version(plan), flavour=plan.flavour)


def plan_microkernel(plan: Plan, project: Project) -> Microkernel:
    """Return the conventions of the image of ``plan``.

    Raises:
        BundleError: the version is missing or not valid.
    """
    version = planned_version(plan)
    if version is None:
        raise BundleError(
            f"{plan.recipe.source}: the image's version is missing: neither the recipe nor the "
            "project sets it",
            hint="give one with --iso-version, such as --iso-version 0.9.0.1",
        )
    return Microkernel(
        version=version,
        flavour=plan.flavour or Flavour.DEV,
        generation=project.generation,
        licences=project.licences,
    )


def planned_version(plan: Plan) -> str | None:
    """Return the version of the image, from the recipe or else from the project.

    Raises:
        BundleError: the version is not valid in a file name and a volume ID.
    """
    version = plan.recipe.version or (None if plan.project is None else plan.project.version)
    return None if version is None else check_version(version)


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


def _below(tree: Tree, folder: bytes) -> Tree:
    """Return the content of ``folder`` as a tree of its own."""
    inner = Tree()
    for path, node in subtree(tree, folder).walk(folder):
        if path != folder:
            inner.add(path[len(folder) + 1 :], node)
    return inner


def _named_folders(tree: Tree, mtime: int) -> Tree:
    """Return ``tree`` with an entry for every folder. New entries get the time ``mtime``."""
    named = tree.copy()
    for path in tree.implied():
        node = tree[path]
        named.add(path, evolve(node, metadata=evolve(node.metadata, mtime=mtime)))
    return named

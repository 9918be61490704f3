"""Compose an image or a bundle from the fetched inputs of a plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from attrs import evolve, field, frozen

from purekernel.encode.encoders import Libdeflate
from purekernel.errors import (
    CombinedError,
    InputError,
    MissingPathError,
    PurekernelError,
    UsageError,
    inside,
    raise_all,
)
from purekernel.formats.gem import build_gem_index, parse_gem
from purekernel.formats.tar import parse_tar
from purekernel.host.overlay_reader import load_layer, parse_layer
from purekernel.host.read import check_digest, is_folder
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.plan.fetch_plan import Gathered
from purekernel.plan.files import overlay_role
from purekernel.plan.plan import MCOLLECTIVE, RUBYGEMS, VM_TOOLS
from purekernel.razor.bundle import (
    VM_TOOLS_TARBALL,
    BundleParts,
    pack_bundle,
    setup_tarballs,
    without_paths,
)
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
from purekernel.recipe.flavour import SCRIPTS, Flavour, Generation
from purekernel.recipe.model import GemLayout, Named
from purekernel.remaster.accounts import account_changes, wants_autologin
from purekernel.remaster.image import MAX_TIMESTAMP, Composition
from purekernel.remaster.image_name import identify, planned_version
from purekernel.repos.tinycore import resolve_kernel
from purekernel.rootfs.accounts import AccountChange, change_accounts
from purekernel.rootfs.extensions import cut_files, merge_extension
from purekernel.rootfs.inittab import set_autologin
from purekernel.rootfs.ownership import own_as_root, protect_shadow
from purekernel.rootfs.passes import Pass
from purekernel.tree import (
    Buffer,
    File,
    Layer,
    Tree,
    date_all,
    difference,
    merge,
    newest_time,
    resolve,
    subtree,
)

INITTAB = b"etc/inittab"


# Source: rz_mk_tce_mirror.rb.
RAZOR_MIRROR = "4.x/x86/tcz"


@frozen(kw_only=True)
class Surroundings:
    """Settings of a build that come from its environment and the command line.

    Attributes:
        environment: environment variables, which may hold passwords.
        overlays: overlays that the command line adds to the recipe's, in order.
        keep_owners: keep the owners that these overlays record.
        timestamp: the latest time that an entry may have, in seconds since 1970, UTC;
            ``None`` uses the newest time of the inputs.
        limits: limits on parsed input.
    """

    environment: Mapping[str, str] = field(repr=False)
    overlays: tuple[Path, ...] = ()
    keep_owners: bool = False
    timestamp: int | None = None
    limits: Limits = DEFAULT_LIMITS

    def check(self) -> None:
        """Refuse missing overlays before anything is fetched.

        Raises:
            InputError: an overlay is missing.
            CombinedError: several are missing.
        """
        raise_all(
            InputError(f"{path} does not exist", hint="check the path of the overlay")
            for path in self.overlays
            if not os.path.lexists(path)
        )


# The user's overlays: location and content.


@frozen(kw_only=True)
class _Location:
    """The location of one of the user's overlays.

    Attributes:
        role: its role in the plan if it is fetched; else ``None``.
        path: its path on the host.
        sha256: expected SHA-256 of a file at ``path``, in hexadecimal; ``None`` if unchecked.
        keep_owners: keep the owners that it records.
    """

    role: str | None = None
    path: Path
    sha256: str | None = None
    keep_owners: bool


class OverlayPlaces:
    """The overlays of a recipe, followed by those of the command line."""

    def __init__(
        self, gathered: Gathered, added: Sequence[Path], *, keep_owners: bool, limits: Limits
    ) -> None:
        """Locate the overlays without reading them.

        Args:
            gathered: the fetched overlays.
            added: paths from the command line, in order.
            keep_owners: keep the owners that overlays from the command line record.
            limits: limits on parsed input.
        """
        self._gathered = gathered
        self._limits = limits
        recipe = gathered.plan.recipe
        listed = tuple(
            _Location(
                role=None if choice.url is None else overlay_role(choice.url),
                path=recipe.folder / (choice.path or ""),
                sha256=choice.sha256,
                keep_owners=choice.keep_owners,
            )
            for choice in recipe.overlays
        )
        self._locations = listed + tuple(
            _Location(path=path, keep_owners=keep_owners) for path in added
        )

    @cached_property
    def archives(self) -> tuple[Layer | None, ...]:
        """The overlays that are archives and record times; ``None`` for each folder.

        Raises:
            PurekernelError: an overlay cannot be read, is damaged, or has another digest.
        """
        return tuple(map(self._archive, self._locations))

    def layers(self, mtime: int) -> tuple[Layer, ...]:
        """Return all overlays, in order. Entries without a time get ``mtime``.

        Raises:
            PurekernelError: as for :attr:`archives`.
        """
        return tuple(
            own_as_root(load_layer(location.path, mtime=mtime, limits=self._limits))
            if archive is None
            else self._dated(location, archive, mtime)
            for location, archive in zip(self._locations, self.archives, strict=True)
        )

    def _archive(self, location: _Location) -> Layer | None:
        fetched = None if location.role is None else self._gathered.file(location.role)
        if fetched is not None:
            name, content = fetched
            layer = parse_layer(content, source=name, limits=self._limits)
        else:
            if location.sha256 is not None:
                check_digest(location.path, location.sha256)
            if is_folder(location.path):
                return None
            layer = load_layer(location.path, mtime=0, limits=self._limits)
        return layer if location.keep_owners else own_as_root(layer)

    def _dated(self, location: _Location, archive: Layer, mtime: int) -> Layer:
        """Return ``archive``; if it has entries without times, as a manifest may, use ``mtime``."""
        if location.role is not None or all(
            node.metadata.mtime for _path, node in archive.tree.walk()
        ):
            return archive
        layer = load_layer(location.path, mtime=mtime, limits=self._limits)
        return layer if location.keep_owners else own_as_root(layer)


# Add gems to an image: as a mirror with an index, or as files in one folder.


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
    specs = {name: parse_gem(content, source=name).spec for name, content in files.items()}
    add_files(overlay, GEM_MIRROR + b"/gems", files)
    add_files(overlay, GEM_MIRROR, build_gem_index(specs, deflate=Libdeflate().encode))
    if names is not None:
        overlay.file(GEM_MIRROR + b"/gems/gem.list", names)


class Assembly:
    """The parts of one image, each made on first use."""

    def __init__(self, gathered: Gathered, surroundings: Surroundings) -> None:
        """Compose from ``gathered``; nothing is made yet."""
        self._gathered = gathered
        self._plan = gathered.plan
        self._surroundings = surroundings
        self._limits = surroundings.limits
        self._overlay_places = OverlayPlaces(
            gathered, surroundings.overlays,
            keep_owners=surroundings.keep_owners, limits=surroundings.limits,
        )  # fmt: skip

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
            source=self._plan.recipe.source,
            base=evolve(self._gathered.base, root=self._merged_root),
            layers=(own_as_root(Layer(source="extensions", tree=overlay.tree)), *self._overlays),
            passes=tuple(self._passes()),
            identity=identify(self._plan),
            mtime=self.mtime,
        )

    def bundle(self) -> bytes:
        """Return the bundle, a gzipped tar file.

        The bundle includes the recipe's overlays. It does not preserve the owners that they
        record.

        Raises:
            UsageError: the recipe names no project.
            PurekernelError: an input is damaged, or two inputs contradict each other.
        """
        if self._project is None:
            raise UsageError(
                f"{self._plan.recipe.source}: the Razor-Microkernel project is missing: a bundle "
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
        timestamp = self._surroundings.timestamp
        timestamp = self._plan.recipe.timestamp if timestamp is None else timestamp
        if timestamp is not None:
            return timestamp
        base = self._gathered.base
        trees = [base.iso, base.root, *self._cut_trees, *self._merged.values()]
        trees += [layer.tree for layer in self._overlay_places.archives if layer is not None]
        found = self._gathered.planner.project
        if found is not None and found.dated:
            trees.append(found.project.tree)
        return min(max(0, *map(newest_time, trees)), MAX_TIMESTAMP)

    def _microkernel(self, project: Project) -> Composition:
        identity = identify(self._plan)
        bundle = self._parts(project, self._overlay(project)).as_bundle()
        return Composition(
            source=self._plan.recipe.source,
            base=self._gathered.base,
            parts=tuple(
                own_as_root(part if isinstance(part, Layer) else self._unpacked(source, part))
                for source, part in bundle.overlays
            ),
            layers=self._overlays,
            passes=tuple(self._passes()) if self._overlays else (),
            identity=identity,
            licences=bundle.licences,
            mtime=bundle.mtime,
        )

    def _parts(self, project: Project, overlay: Layer) -> BundleParts:
        flavour = self._plan.flavour or Flavour.DEV
        tarballs = setup_tarballs(project, flavour, keep_host_keys=self._keep_host_keys)
        vm_tools = self._gathered.file(VM_TOOLS)
        if vm_tools is not None:
            tarballs[VM_TOOLS_TARBALL] = vm_tools[1]
        licences = [(name, project.content(name)) for name in (b"COPYING", b"LICENSE")]
        new = project.generation is Generation.V2013
        return BundleParts(
            source=self._plan.recipe.source,
            iso=self._gathered.iso,
            flavour=flavour,
            generation=project.generation,
            version=planned_version(self._plan) if new else None,
            scripts=_below(project.tree, SCRIPTS),
            licences=tuple((name, text) for name, text in licences if text is not None),
            overlay=overlay,
            tarballs=tarballs,
            mtime=self.mtime,
        )

    @property
    def _keep_host_keys(self) -> bool:
        razor = self._plan.recipe.razor
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
        return account_changes(self._plan, root, self._surroundings.environment)

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
        return self._overlay_places.layers(self.mtime)

    def _unpacked(self, source: str, packed: Buffer) -> Layer:
        return Layer(source=source, tree=parse_tar(Input(packed, name=source, limits=self._limits)))


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

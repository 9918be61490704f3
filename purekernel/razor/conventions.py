"""Define the conventions of a Razor Microkernel: what its project says where a recipe does not.

Source: ``build-bundle-file.sh`` and the scripts that it calls, of both generations.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from attrs import evolve

from purekernel.errors import BundleError, PurekernelError, UsageError, inside, raise_all
from purekernel.fetch.shipped import load_shipped_list
from purekernel.fetch.urls import last_component, portable_name
from purekernel.formats import gem as gem_format
from purekernel.formats.tar import parse_tar
from purekernel.input import Input
from purekernel.razor.bundle import (
    SSH_SETUP_PATH,
    VM_TOOLS_TARBALL,
    BundleParts,
    host_keys,
    pack_bundle,
    setup_tarballs,
    without_paths,
)
from purekernel.razor.microkernel import Microkernel
from purekernel.razor.overlay import add_mcollective, add_project
from purekernel.razor.project import (
    BUILTIN_LIST,
    EXECUTABLE_LIST,
    GEM_LIST,
    MIRROR_LIST,
    Project,
)
from purekernel.recipe import defaults
from purekernel.recipe.accounts import Account
from purekernel.recipe.additions import Cut, GemLayout
from purekernel.recipe.composition import Composition, Identity, check_version
from purekernel.recipe.conventions import (
    BASE,
    Conventions,
    FurtherFile,
    Materials,
    refuse_passwords,
    without_passwords,
)
from purekernel.recipe.flavour import SCRIPTS, Flavour, Generation
from purekernel.recipe.keys import Named
from purekernel.recipe.lists import parse_extension_list, parse_path_list
from purekernel.recipe.model import Recipe
from purekernel.recipe.system import find_settings
from purekernel.records import frozen
from purekernel.rootfs.overlay import OverlayTree
from purekernel.rootfs.ownership import own_as_root, protect_shadow
from purekernel.tree import (
    Buffer,
    Layer,
    Origin,
    OriginKind,
    Tree,
    date_all,
    difference,
    files_with_attributes,
    merge,
    subtree,
)
from purekernel.tree.origin import origin_of_pass

# Roles of the files of a Microkernel besides extensions and gems.
RUBYGEMS, VM_TOOLS, MCOLLECTIVE = "rubygems", "open-vm-tools", "mcollective"

# Razor's own server serves this folder only, for every version of Core.
# (Source: rz_mk_tce_mirror.rb.)
MIRROR_FOLDER = "4.x/x86/tcz"

_RUBYGEMS = re.compile(r"rubygems-([0-9]+(?:\.[0-9]+)*)\.(?:tgz|tar\.gz)")


@frozen(kw_only=True)
class RazorConventions(Conventions):
    """The conventions of a Microkernel.

    Attributes:
        project: the project.
        dated: whether the times of its files are meaningful. Those of a checkout are not; they are
            replaced by the time of generated entries.
    """

    default_flavour: ClassVar[Flavour | None] = Flavour.DEV
    default_name: ClassVar[str] = "razor-microkernel"
    keeps_iso_files: ClassVar[bool] = False
    has_all_folders: ClassVar[bool] = True

    project: Project
    dated: bool = True

    @property
    def generation(self) -> Generation:
        """The generation of the project's scripts."""
        return self.project.generation

    @property
    def version(self) -> str | None:
        """The version of the project."""
        return self.project.version

    @property
    def source(self) -> str:
        """The project's path or URL."""
        return self.project.source

    @property
    def gem_layout(self) -> GemLayout:
        """One folder in 2012, a mirror in 2013."""
        return GemLayout.FLAT if self.generation is Generation.V2012 else GemLayout.MIRROR

    def builtin(self, errors: list[PurekernelError]) -> tuple[Named, ...]:
        """Return the project's list of extensions that are loaded at boot, or the default list."""
        return self._list(BUILTIN_LIST, errors)

    def mirror(self, errors: list[PurekernelError]) -> tuple[Named, ...]:
        """Return the project's list of extensions in the image's mirror, or the default list."""
        return self._list(MIRROR_LIST, errors)

    def _list(self, path: bytes, errors: list[PurekernelError]) -> tuple[Named, ...]:
        data = self.project.content(path)
        name = path.rpartition(b"/")[2].decode()
        if data is None:
            return parse_extension_list(load_shipped_list(name), source=f"the default {name}")
        list_errors: list[PurekernelError] = []
        with inside(self.source):
            names = parse_extension_list(data, source=path.decode(), errors=list_errors)
        errors += [error.within(self.source) for error in list_errors]
        return names

    def cuts(self, chosen: tuple[Cut, ...]) -> tuple[Cut, ...]:
        """Return the recipe's cuts and the programs of util-linux that the project lists.

        A recipe that cuts from util-linux overrides the project's list.
        """
        if any(cut.extension.name == defaults.UTIL_LINUX for cut in chosen):
            return chosen
        source = EXECUTABLE_LIST.decode()
        with inside(self.source):
            files = parse_path_list(self.project.content(EXECUTABLE_LIST) or b"", source=source)
        extension = Named(name=defaults.UTIL_LINUX, place=source)
        return (*([Cut(extension=extension, files=files)] if files else []), *chosen)

    def gems(self, errors: list[PurekernelError]) -> tuple[gem_format.ListedGem, ...]:
        """Return the project's list of gems."""
        list_errors: list[PurekernelError] = []
        data = self.project.content(GEM_LIST) or b""
        listed = gem_format.parse_gem_list(Input(data, name=GEM_LIST.decode()), errors=list_errors)
        errors += [error.within(self.source) for error in list_errors]
        return listed

    def ruby(self, recipe: Recipe) -> str:
        """Return the version of Ruby: a Microkernel's programs are in ``lib/ruby/1.8``."""
        return recipe.gems.ruby or defaults.RUBY

    def rubygems(self, recipe: Recipe) -> gem_format.GemVersion | None:
        """Return the version of the RubyGems in the image, from its file's name."""
        requested = None if recipe.razor is None else recipe.razor.rubygems
        match = _RUBYGEMS.fullmatch(
            last_component(defaults.RUBYGEMS if requested is None else requested)
        )
        return gem_format.GemVersion(match[1]) if match is not None else None

    def files(self, recipe: Recipe) -> Mapping[str, FurtherFile]:
        """Return RubyGems, the VMware tools and, in 2012, MCollective."""
        razor = recipe.razor
        if razor is None:
            return {}
        choices = {
            RUBYGEMS: ("rubygems", defaults.RUBYGEMS),
            VM_TOOLS: ("open_vm_tools", defaults.OPEN_VM_TOOLS),
        }
        if self.generation is Generation.V2012:
            choices[MCOLLECTIVE] = ("mcollective", defaults.MCOLLECTIVE)
        files: dict[str, FurtherFile] = {}
        for role, (attribute, default) in choices.items():
            chosen: str | None = getattr(razor, attribute)
            requested = default if chosen is None else chosen
            if requested:
                files[role] = FurtherFile(
                    requested=requested,
                    sha256=getattr(razor, f"{attribute}_sha256"),
                    place=razor.place(attribute),
                    sha256_place=razor.place(f"{attribute}_sha256"),
                )
        return files

    def notes(self, recipe: Recipe, flavour: Flavour | None) -> Iterator[str]:
        """Yield notes about SSH, the version and passwords."""
        project = self.project
        new = self.generation is Generation.V2013
        if flavour is not Flavour.PROD and project.content(SSH_SETUP_PATH) is None:
            yield (
                f"{SSH_SETUP_PATH.decode()} not found in the project: the image's SSH server is "
                "not configured"
            )
        if new and (recipe.version or project.version) is None:
            yield (
                "the image's version is missing, and the next step needs it; set it with "
                "--iso-version"
            )
        if flavour is not Flavour.PROD and self._keeps_host_keys(recipe) and host_keys(project):
            yield (
                "the project contains SSH host keys, and all images made from it share them; "
                "remove them with ssh-host-keys = false under [razor]"
            )
        if flavour is Flavour.PROD and new:
            for account in recipe.accounts:
                if account.has_password:
                    yield (
                        "a production image allows no login with a password: the password of "
                        f"{account.name} is ignored"
                    )

    def accounts(self, recipe: Recipe, flavour: Flavour | None) -> tuple[Account, ...]:
        """Return the accounts to change or add.

        In a 2013 development or debug image, ``tc`` has the documented password unless the recipe
        sets another. A production image allows no login with a password: the 2012 scripts refuse a
        password, and the 2013 scripts ignore it.
        """
        new = self.generation is Generation.V2013
        if flavour is Flavour.PROD:
            if not new:
                refuse_passwords(recipe)
            return without_passwords(recipe.accounts)
        if not new or any(account.name == defaults.USER for account in recipe.accounts):
            return recipe.accounts
        return (*recipe.accounts, Account(name=defaults.USER, password=defaults.TC_PASSWORD))

    def autologin(self, flavour: Flavour | None) -> bool | None:
        """Return whether the first console logs in automatically: in a debug image."""
        return True if flavour is Flavour.DEBUG else None

    def mirror_folder(self, core: str) -> str:  # noqa: ARG002
        """Return the only folder that Razor's server serves."""
        return MIRROR_FOLDER

    def inputs(self) -> Iterator[Tree]:
        """Yield the project, if its times are meaningful."""
        if self.dated:
            yield self.project.tree

    def identity(self, recipe: Recipe, flavour: Flavour | None) -> Identity:
        """Return the names of the image."""
        return self._microkernel(recipe, flavour).identity

    def compose(self, materials: Materials) -> Composition:
        """Return the composition of the image: the overlays of its bundle, without packing it."""
        recipe = materials.recipe
        microkernel = self._microkernel(recipe, materials.flavour)
        bundle = self._parts(materials, self._overlay(materials)).as_bundle()
        return microkernel.compose(
            recipe,
            materials.base,
            source=recipe.source,
            parts=tuple(
                own_as_root(part if isinstance(part, Layer) else _unpack(materials, source, part))
                for source, part in bundle.overlays
            ),
            layers=materials.overlays,
            passes=(
                *(materials.passes if materials.overlays else ()),
                *materials.changes,
                *recipe.passes,
            ),
            mtime=bundle.mtime,
            sources=materials.sources,
        )

    def bundle(self, materials: Materials) -> bytes:
        """Return the bundle, a gzipped tar file."""
        refuse_unbundled(materials.recipe)
        overlay, layers = self._overlay(materials), materials.overlays
        for layer in layers:
            with inside(layer.source):
                tree = merge(overlay.tree, layer.tree, stated=layer.stated)
                overlay = evolve(overlay, tree=tree)
        if layers:
            tree = overlay.tree
            for _words, run in materials.passes:
                tree = run(tree)
            # A tarball holds only folders with an entry of their own.
            overlay = evolve(overlay, tree=_named_folders(tree, materials.mtime))
        if lost := files_with_attributes(overlay.tree):
            materials.limits.report(f"the bundle cannot hold the extended attributes of {lost}")
        parts = self._parts(materials, overlay)
        tarballs = {
            # A tarball that is unpacked later must not overwrite files of the user's overlays.
            name: without_paths(
                Input(packed, name=name.decode(), limits=materials.limits.unbudgeted()),
                () if name == VM_TOOLS_TARBALL else layers,
            )
            for name, packed in parts.tarballs.items()
        }
        return pack_bundle(evolve(parts, tarballs=tarballs))

    # Parts of both

    def _microkernel(self, recipe: Recipe, flavour: Flavour | None) -> Microkernel:
        version = self._version(recipe)
        if version is None:
            raise BundleError(
                f"{recipe.source}: the image's version is missing: neither the recipe nor the "
                "project sets it",
                hint="give one with --iso-version, such as --iso-version 0.9.0.1",
            )
        return Microkernel(
            version=version,
            flavour=flavour or Flavour.DEV,
            generation=self.generation,
            licences=self.project.licences,
        )

    def _version(self, recipe: Recipe) -> str | None:
        version = recipe.version or self.version
        return None if version is None else check_version(version)

    def _keeps_host_keys(self, recipe: Recipe) -> bool:
        return recipe.razor is None or recipe.razor.ssh_host_keys

    def _project_at(self, mtime: int) -> Project:
        if self.dated:
            return self.project
        return evolve(self.project, tree=date_all(self.project.tree, mtime))

    def _parts(self, materials: Materials, overlay: Layer) -> BundleParts:
        recipe, project = materials.recipe, self._project_at(materials.mtime)
        flavour = materials.flavour or Flavour.DEV
        tarballs = setup_tarballs(
            project,
            flavour,
            keep_host_keys=self._keeps_host_keys(recipe),
            limits=materials.limits.unbudgeted(),
        )
        vm_tools = materials.file(VM_TOOLS)
        if vm_tools is not None:
            tarballs[VM_TOOLS_TARBALL] = vm_tools[1]
        new = self.generation is Generation.V2013
        return BundleParts(
            source=recipe.source,
            iso=_iso(materials),
            flavour=flavour,
            generation=self.generation,
            version=self._version(recipe) if new else None,
            scripts=_below(project.tree, SCRIPTS),
            licences=project.licences,
            overlay=overlay,
            tarballs=tarballs,
            mtime=materials.mtime,
        )

    def _overlay(self, materials: Materials) -> Layer:
        """Return the overlay of the root file system."""
        project, sources = self._project_at(materials.mtime), materials.sources
        razor = materials.recipe.razor
        name = "project" if razor is None else portable_name(razor.project)
        sources.add_tree(project.tree, Origin(OriginKind.OVERLAY, name))
        overlay = OverlayTree(materials.mtime)
        overlay.copy_all(difference(materials.base.root, materials.merged_root))
        add_project(overlay, project, materials.flavour or Flavour.DEV)
        materials.add_packages(overlay)
        rubygems = materials.file(RUBYGEMS)
        if rubygems is not None:
            name, content = rubygems
            # The image has it packed, and unpacks it at boot: a damaged one would be found then.
            parse_tar(Input(content, name=name, limits=materials.limits.unbudgeted()).quiet())
            sources.add_content(content, Origin(OriginKind.OVERLAY, name))
            overlay.file(b"opt/" + os.fsencode(name), content)
        mcollective = materials.file(MCOLLECTIVE)
        if mcollective is not None:
            name, content = mcollective
            with inside(name):
                unpacked = _unpack(materials, name, content).tree
                sources.add_tree(unpacked, Origin(OriginKind.OVERLAY, name))
                add_mcollective(overlay, project, unpacked)
        tree = overlay.tree
        for words, run in materials.passes:
            before, tree = tree, run(tree)
            sources.add_changes(before, tree, origin_of_pass(words, run))
        return Layer(source="razor-microkernel-overlay.tar.gz", tree=protect_shadow(tree))


def refuse_unbundled(recipe: Recipe) -> None:
    """Refuse what a bundle cannot hold: the scripts that read it know only the root file system.

    Raises:
        UsageError: the recipe has passes of its own, tables that change files, settings of the
            system, files of the ISO, or extensions on it.
        CombinedError: it has several of these.
    """
    errors: list[PurekernelError] = []
    if recipe.passes:
        errors.append(
            UsageError(
                "a bundle cannot hold the recipe's own passes",
                hint="build the image, or put what they change into an overlay",
            )
        )
    errors += [
        UsageError(
            "a bundle cannot hold changes to files of the image",
            hint="build the image, or put the changed files into an overlay",
        ).within(table.place())
        for table in recipe.file_changes
    ]
    hint = "build the image, or leave it out"
    errors += [
        UsageError(
            f"a bundle cannot hold {words}, which need the complete root file system", hint=hint
        ).within(place)
        for words, place in find_settings(recipe)
    ]
    errors += [
        UsageError("a bundle cannot hold a file of the ISO", hint=hint).within(file.place("path"))
        for file in recipe.iso_files
    ]
    errors += [
        UsageError(
            f"a bundle cannot hold {attribute.replace('_', '-')}, which is for a disc or partition",
            hint=hint,
        ).within(recipe.extensions.place(attribute))
        for attribute in ("cde", "tce", "ondemand", "copy2fs", "copy2fs_all")
        if getattr(recipe.extensions, attribute)
    ]
    raise_all(errors)


def _unpack(materials: Materials, source: str, packed: Buffer) -> Layer:
    tree = parse_tar(Input(packed, name=source, limits=materials.limits))
    return Layer(source=source, tree=tree, origin=Origin(OriginKind.OVERLAY, source))


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


def _iso(materials: Materials) -> bytes:
    """Return the base ISO, which a bundle contains."""
    iso = materials.file(BASE)
    if iso is None:
        raise UsageError(
            "a bundle needs a base ISO, and the recipe has a kernel and initrds",
            hint="give iso under [core], or leave out kernel and initrd",
        ).within(materials.recipe.core.place("initrd"))
    return iso[1]

"""Make the overlay of a Microkernel's root file system, as ``build-bundle-file.sh`` did.

Each function adds one part of it to a tree: extensions, gems, the project's own files. What is
made has one time; what is copied keeps its own. Everything is root's until
:mod:`purekernel.rootfs.ownership` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, frozen

from purekernel.errors import ProjectError
from purekernel.razor.project import AGENTS, GEM_LIST, GEMRC, Project
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.tree import (
    ROOT,
    Buffer,
    Directory,
    Metadata,
    Symlink,
    Tree,
    put_file,
    with_metadata,
)
from purekernel.tree.path import ancestors, join, name

BUILTIN = b"tmp/builtin"
OPTIONAL = BUILTIN + b"/optional"
ONBOOT = BUILTIN + b"/onboot.lst"
MIRROR = b"tmp/tinycorelinux"
GEM_MIRROR = b"tmp/gem-mirror"
GEM_FOLDER = b"opt/gems"

_EXECUTABLE = 0o755
_PLAIN = 0o644

# What Facter looks for in one place, and the extension has in another.
_DMIDECODE = (b"usr/sbin/dmidecode", b"/usr/local/sbin/dmidecode")


@frozen(kw_only=True)
class PackedExtension:
    """An extension's files, as they go into an image.

    Attributes:
        name: ``bash.tcz``.
        content: the extension itself.
        beside: the files beside it, by the ends of their names.
    """

    name: str
    content: Buffer
    beside: Mapping[str, Buffer]


class OverlayTree:
    """A tree under way, in which all that is made has one time.

    Attributes:
        tree: what stands so far; its folders are all named.
        mtime: of what is made, in seconds since 1970, UTC.
    """

    def __init__(self, mtime: int) -> None:
        self.mtime = mtime
        self.tree = Tree(Directory(metadata=Metadata(mode=0o755, mtime=mtime)))

    def folder(self, path: bytes) -> None:
        """Make a folder, and those above it that are missing."""
        for place in (*ancestors(path), path):
            if place and place not in self.tree:
                self.tree.add(place, Directory(metadata=Metadata(mode=0o755, mtime=self.mtime)))

    def file(self, path: bytes, content: Buffer, mode: int = _PLAIN) -> None:
        """Make a file."""
        metadata = Metadata(mode=mode, mtime=self.mtime)
        put_file(self.tree, path, content, metadata=metadata)

    def link(self, path: bytes, target: bytes) -> None:
        """Make a symbolic link."""
        self.folder(path.rpartition(b"/")[0])
        metadata = Metadata(mode=0o777, mtime=self.mtime)
        self.tree.add(path, Symlink(metadata=metadata, target=target))

    def copy(self, source: Tree, path: bytes, place: bytes, *, executable: bool = False) -> None:
        """Copy what stands at ``path`` in another tree, with its mode and time."""
        node = source[path]
        metadata = evolve(node.metadata, uid=0, gid=0)
        if executable:
            # As "chmod +rx" has it.
            metadata = evolve(metadata, mode=metadata.mode | 0o555)
        self.folder(place.rpartition(b"/")[0])
        self.tree.add(place, with_metadata(node, metadata))

    def copy_all(self, source: Tree, folder: bytes = ROOT) -> None:
        """Copy all that another tree holds into ``folder``; hard links stay hard links."""
        self.folder(folder)
        firsts: dict[int, bytes] = {}
        for path, node in source.walk():
            place = join(folder, path) if path else folder
            if isinstance(node, Directory):
                self._copy_folder(source, path, place)
            elif (first := firsts.setdefault(source.inode(path), place)) != place:
                self.tree.link(place, first)
            else:
                self.copy(source, path, place)

    def _copy_folder(self, source: Tree, path: bytes, place: bytes) -> None:
        if source.is_implied(path):
            self.folder(place)
        elif place not in self.tree:
            metadata = evolve(source[path].metadata, uid=0, gid=0)
            self.tree.add(place, Directory(metadata=metadata))


def add_builtins(
    overlay: OverlayTree, extensions: Iterable[PackedExtension], onboot: Sequence[str]
) -> None:
    """Add the extensions that are loaded at boot.

    Args:
        overlay: what they go into.
        extensions: all that must be there, needed ones as well.
        onboot: the names that are loaded, in order; what they need is loaded before them.
    """
    overlay.folder(OPTIONAL)
    for extension in extensions:
        _add_extension(overlay, OPTIONAL, extension)
    overlay.file(ONBOOT, "".join(f"{name}\n" for name in onboot).encode())


def add_mirror(overlay: OverlayTree, folder: str, extensions: Iterable[PackedExtension]) -> None:
    """Add the mirror of extensions that an image carries.

    Args:
        overlay: what it goes into.
        folder: the extensions' place in it, such as ``4.x/x86/tcz``.
        extensions: what it holds.
    """
    place = join(MIRROR, folder.encode())
    overlay.folder(place)
    for extension in extensions:
        _add_extension(overlay, place, extension)


def add_files(overlay: OverlayTree, folder: bytes, files: Mapping[str, Buffer]) -> None:
    """Add files, by their paths below ``folder``."""
    overlay.folder(folder)
    for path, content in sorted(files.items()):
        overlay.file(join(folder, path.encode()), content)


def add_project(overlay: OverlayTree, project: Project, flavour: Flavour) -> None:
    """Add the project's own files, where the generation of its scripts has them."""
    tree = project.tree
    for path in (
        b"etc/init.d/dhcp.sh",
        b"usr/share/udhcpc/dhcp_mk_config.script",
        b"etc/inittab",
        b"etc/passwd",
        b"tmp/first_checkin.yaml",
    ):
        overlay.copy(tree, path, path)
    overlay.copy(tree, project.shadow(flavour), b"etc/shadow")
    overlay.copy(tree, project.settings(flavour), b"tmp/mk_conf.yaml")
    for path in project.find(b"rz_mk_*.rb"):
        overlay.copy(tree, path, join(b"usr/local/bin", path))
    for path in project.find(b"razor_microkernel/*.rb"):
        overlay.copy(tree, path, join(b"usr/local/lib/ruby/1.8", path))
    for path in project.find(b"tmp/tinycorelinux/*.yaml"):
        overlay.copy(tree, path, path)
    if project.generation is Generation.V2012:
        overlay.copy(tree, b"opt/bootsync.sh", b"opt/bootsync.sh")
        overlay.copy(tree, GEM_LIST, GEM_LIST)
    else:
        for path in project.find(b"opt/boot*.sh"):
            overlay.copy(tree, path, path, executable=True)
        overlay.copy(tree, GEM_LIST, GEM_MIRROR + b"/gems/gem.list")
        overlay.copy(tree, GEMRC, b"root/.gemrc")
    overlay.link(*_DMIDECODE)


def add_mcollective(overlay: OverlayTree, project: Project, unpacked: Tree) -> None:
    """Add MCollective with the project's agents, as the project of 2012 had it.

    Args:
        overlay: what it goes into.
        project: whose agents are added.
        unpacked: the release, as its tarball has it: in a folder ``mcollective-2.0.0``.

    Raises:
        ProjectError: the tarball has something else at its top.
    """
    folders = unpacked.entries(ROOT)
    if len(folders) != 1 or not isinstance(unpacked[folders[0]], Directory):
        raise ProjectError(
            "the tarball of MCollective does not have one folder at its top",
            hint="give a release as MCollective published it, such as mcollective-2.0.0.tgz",
        )
    (folder,) = folders
    installed = b"usr/local/tce.installed"
    overlay.copy_all(unpacked, installed)
    agents = join(installed, folder) + b"/plugins/mcollective/agent"
    for path in AGENTS:
        overlay.copy(project.tree, path, join(agents, name(path)))
    overlay.link(b"usr/local/mcollective", b"/" + join(installed, folder))
    overlay.link(b"usr/local/bin/mcollectived", b"/usr/local/mcollective/bin/mcollectived")


def _add_extension(overlay: OverlayTree, folder: bytes, extension: PackedExtension) -> None:
    place = join(folder, extension.name.encode())
    overlay.file(place, extension.content)
    for side, content in extension.beside.items():
        overlay.file(place + side.encode(), content)

"""Make the overlay of a Microkernel's root file system, as ``build-bundle-file.sh`` does.

Each function adds one part to a tree: extensions, gems, the project's own files. Generated
files share one time; copied files keep their own. Root owns all files until
:mod:`purekernel.rootfs.ownership` changes that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from purekernel.errors import ProjectError
from purekernel.razor.project import AGENTS, GEM_LIST, GEMRC, Project
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.repos.tinycore.extension import Extension
from purekernel.tree import (
    ROOT,
    Buffer,
    Directory,
    Metadata,
    Symlink,
    Tree,
    put_file,
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

# Path where Facter looks for dmidecode, and path where the extension installs it.
_DMIDECODE = (b"usr/sbin/dmidecode", b"/usr/local/sbin/dmidecode")


class OverlayTree:
    """A tree under construction. All generated entries have the same time.

    Attributes:
        tree: the tree so far. Every folder in it has an entry of its own.
        mtime: time of generated entries, in seconds since 1970, UTC.
    """

    def __init__(self, mtime: int) -> None:
        self.mtime = mtime
        self.tree = Tree(Directory(metadata=Metadata(mode=0o755, mtime=mtime)))

    def folder(self, path: bytes) -> None:
        """Make a folder and its missing parents."""
        for folder in (*ancestors(path), path):
            if folder and folder not in self.tree:
                self.tree.add(folder, Directory(metadata=Metadata(mode=0o755, mtime=self.mtime)))

    def file(self, path: bytes, content: Buffer, mode: int = _PLAIN) -> None:
        """Make a file."""
        metadata = Metadata(mode=mode, mtime=self.mtime)
        put_file(self.tree, path, content, metadata=metadata)

    def link(self, path: bytes, target: bytes) -> None:
        """Make a symbolic link."""
        self.folder(path.rpartition(b"/")[0])
        metadata = Metadata(mode=0o777, mtime=self.mtime)
        self.tree.add(path, Symlink(metadata=metadata, target=target))

    def copy(self, source: Tree, path: bytes, target: bytes, *, executable: bool = False) -> None:
        """Copy the entry at ``path`` of another tree to ``target``, with its mode and time."""
        node = source[path]
        metadata = evolve(node.metadata, uid=0, gid=0)
        if executable:
            # As "chmod +rx" does.
            metadata = evolve(metadata, mode=metadata.mode | 0o555)
        self.folder(target.rpartition(b"/")[0])
        self.tree.add(target, evolve(node, metadata=metadata))

    def copy_all(self, source: Tree, folder: bytes = ROOT) -> None:
        """Copy another tree into ``folder``. Hard links stay hard links."""
        self.folder(folder)
        firsts: dict[int, bytes] = {}
        for path, node in source.walk():
            target = join(folder, path) if path else folder
            if isinstance(node, Directory):
                self._copy_folder(source, path, target)
            elif (first := firsts.setdefault(source.inode(path), target)) != target:
                self.tree.link(target, first)
            else:
                self.copy(source, path, target)

    def _copy_folder(self, source: Tree, path: bytes, target: bytes) -> None:
        if source.is_implied(path):
            self.folder(target)
        elif target not in self.tree:
            metadata = evolve(source[path].metadata, uid=0, gid=0)
            self.tree.add(target, Directory(metadata=metadata))


def add_builtins(
    overlay: OverlayTree, extensions: Iterable[Extension[Buffer]], onboot: Sequence[str]
) -> None:
    """Add the extensions that are loaded at boot.

    Args:
        overlay: the tree to add to.
        extensions: all extensions that must be present, with their dependencies.
        onboot: names of the extensions to load, in order. Core loads the dependencies of each
            first.
    """
    overlay.folder(OPTIONAL)
    for extension in extensions:
        _add_extension(overlay, OPTIONAL, extension)
    overlay.file(ONBOOT, "".join(f"{name}\n" for name in onboot).encode())


def add_mirror(overlay: OverlayTree, folder: str, extensions: Iterable[Extension[Buffer]]) -> None:
    """Add the image's own mirror of extensions.

    Args:
        overlay: the tree to add to.
        folder: path of the extensions in the mirror, such as ``4.x/x86/tcz``.
        extensions: the extensions in the mirror.
    """
    path = join(MIRROR, folder.encode())
    overlay.folder(path)
    for extension in extensions:
        _add_extension(overlay, path, extension)


def add_files(overlay: OverlayTree, folder: bytes, files: Mapping[str, Buffer]) -> None:
    """Add files, given by their paths below ``folder``."""
    overlay.folder(folder)
    for path, content in sorted(files.items()):
        overlay.file(join(folder, path.encode()), content)


def add_project(overlay: OverlayTree, project: Project, flavour: Flavour) -> None:
    """Add the project's own files, at the paths that its generation uses."""
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
    """Add MCollective with the project's agents, as in the 2012 project.

    Args:
        overlay: the tree to add to.
        project: the project with the agents.
        unpacked: the unpacked release tarball: one folder such as ``mcollective-2.0.0``.

    Raises:
        ProjectError: the tarball does not hold exactly one folder at its top level.
    """
    folders = unpacked.entries(ROOT)
    if len(folders) != 1 or not isinstance(unpacked[folders[0]], Directory):
        raise ProjectError(
            "MCollective tarball: the top level must be one folder",
            hint="use a release that MCollective published, such as mcollective-2.0.0.tgz",
        )
    (folder,) = folders
    installed = b"usr/local/tce.installed"
    overlay.copy_all(unpacked, installed)
    agents = join(installed, folder) + b"/plugins/mcollective/agent"
    for path in AGENTS:
        overlay.copy(project.tree, path, join(agents, name(path)))
    overlay.link(b"usr/local/mcollective", b"/" + join(installed, folder))
    overlay.link(b"usr/local/bin/mcollectived", b"/usr/local/mcollective/bin/mcollectived")


def _add_extension(overlay: OverlayTree, folder: bytes, extension: Extension[Buffer]) -> None:
    path = join(folder, extension.name.encode())
    overlay.file(path, extension.file)
    for suffix, content in extension.companions.items():
        overlay.file(path + suffix.encode(), content)

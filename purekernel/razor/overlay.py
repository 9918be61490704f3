"""Add the files of a Razor-Microkernel project to an overlay, as ``build-bundle-file.sh`` does."""

from __future__ import annotations

from purekernel.errors import ProjectError
from purekernel.razor.project import AGENTS, GEM_LIST, GEMRC, Project
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.rootfs.overlay import GEM_MIRROR, OverlayTree
from purekernel.tree import ROOT, Directory, Tree
from purekernel.tree.path import join, name

# Path where Facter looks for dmidecode, and path where the extension installs it.
_DMIDECODE = (b"usr/sbin/dmidecode", b"/usr/local/sbin/dmidecode")


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

"""Read a Razor-Microkernel project: the files that go into a bundle.

The layout is that of the project's repository, of either generation. This module runs nothing
in it. The scripts go into the bundle unchanged.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from purekernel.errors import ProjectError, raise_all
from purekernel.recipe.flavour import SCRIPTS, Flavour, Generation
from purekernel.records import frozen
from purekernel.tree import ROOT, Directory, File, Layer, Tree, describe, display
from purekernel.tree.path import join

EXTRAS = b"additional-build-files"
BUILTIN_LIST = EXTRAS + b"/builtin-extensions.lst"
MIRROR_LIST = EXTRAS + b"/mirror-extensions.lst"
EXECUTABLE_LIST = EXTRAS + b"/util-linux-exec.lst"
GEM_LIST = b"opt/gems/gem.list"
GEMRC = b"rz_mk_gemrc.yaml"
SHADOW, SHADOW_PROD = b"etc/shadow", b"etc/shadow-nologin"
SETTINGS, SETTINGS_DEBUG = b"tmp/mk_conf.yaml", b"tmp/mk_conf_debug.yaml"


# MCollective's agents. Only the 2012 project has them.
AGENTS = (b"configuration-agent/configuration.rb", b"facter-agent/facteragent.rb")


REBUILD_SCRIPT = b"rebuild_iso.sh"
_OLD_VOLUME_ID = re.compile(rb"-V\s+TC-custom\b")


# Files that every bundle needs, and patterns that must each match at least one file.
_NEEDED = (
    SCRIPTS + b"/" + REBUILD_SCRIPT,
    SCRIPTS + b"/build_initial_directories.sh",
    EXECUTABLE_LIST,
    b"etc/init.d/dhcp.sh",
    b"etc/inittab",
    b"etc/passwd",
    SHADOW,
    SHADOW_PROD,
    GEM_LIST,
    b"tmp/first_checkin.yaml",
    SETTINGS,
    b"usr/share/udhcpc/dhcp_mk_config.script",
)
_NEEDED_KINDS = (b"rz_mk_*.rb", b"razor_microkernel/*.rb", b"tmp/tinycorelinux/*.yaml")
_NEEDED_2012 = (*AGENTS, b"opt/bootsync.sh")
_NEEDED_2013 = (b"COPYING", b"LICENSE", GEMRC)
_NEEDED_KINDS_2013 = (b"opt/boot*.sh",)


# The entries of a checkout's top folder to read. Skips the history and output of earlier runs.
_TOP_FOLDERS = {
    SCRIPTS, EXTRAS, b"configuration-agent", b"facter-agent", b"etc", b"opt",
    b"razor_microkernel", b"tmp", b"usr",
}  # fmt: skip
_TOP_FILES = {b"COPYING", b"LICENSE", GEMRC}


# Matches the top folder of a release tarball: "Razor-Microkernel-0.12.0/".
_VERSION_IN_NAME = re.compile(rb".*?-v?([0-9][0-9A-Za-z.+~_-]*)")


@frozen(kw_only=True)
class Project:
    """A parsed project.

    Attributes:
        source: the project's path or URL, for messages.
        tree: its files, by path in the project.
        generation: the scripts' generation, from ``rebuild_iso.sh``.
        version: version from git or from the tarball's top folder; ``None`` if unknown.
    """

    source: str
    tree: Tree
    generation: Generation
    version: str | None

    def find(self, pattern: bytes) -> list[bytes]:
        """Return the files of one folder that match ``pattern``, sorted by name."""
        return _find(self.tree, pattern)

    @property
    def licences(self) -> tuple[tuple[bytes, bytes], ...]:
        """Name and content of each licence file."""
        texts = ((name, self.content(name)) for name in (b"COPYING", b"LICENSE"))
        return tuple((name, text) for name, text in texts if text is not None)

    def content(self, path: bytes) -> bytes | None:
        """Return the content of the file at ``path``, or ``None`` if it is missing."""
        node = self.tree.get(path)
        return bytes(node.content) if isinstance(node, File) else None

    def shadow(self, flavour: Flavour) -> bytes:
        """Return the path of the file that becomes ``etc/shadow``.

        A production image allows no login.
        """
        return SHADOW_PROD if flavour is Flavour.PROD else SHADOW

    def settings(self, flavour: Flavour) -> bytes:
        """Return the path of the file that becomes ``tmp/mk_conf.yaml``."""
        debug = flavour is Flavour.DEBUG and SETTINGS_DEBUG in self.tree
        return SETTINGS_DEBUG if debug else SETTINGS


def is_project_name(entry: bytes) -> bool:
    """Say whether a top-level entry of a checkout can be part of a bundle."""
    return (
        entry in _TOP_FOLDERS
        or entry in _TOP_FILES
        or (entry.startswith(b"rz_mk_") and entry.endswith(b".rb"))
    )


# Read the image's kind from the original build scripts.


def tell_generation(script: bytes) -> Generation:
    """Return the generation of a ``rebuild_iso.sh``, by the volume ID that it sets."""
    return Generation.V2012 if _OLD_VOLUME_ID.search(script) else Generation.V2013


def parse_project(layer: Layer, *, version: str | None = None) -> Project:
    """Parse the project in ``layer``, at its top level or in its only folder.

    Args:
        layer: a checkout or an unpacked release.
        version: the checkout's version from ``git describe``, such as ``v0.12.0``.

    Raises:
        ProjectError: a part that every bundle needs is missing.
    """
    tree, folder = _top(layer.tree)
    if SCRIPTS not in tree:
        raise ProjectError(
            f"{layer.source}: not a Razor-Microkernel project: {SCRIPTS.decode()} not found"
        )
    script = tree.get(join(SCRIPTS, REBUILD_SCRIPT))
    if not isinstance(script, File):
        raise ProjectError(f"{layer.source}: {_NEEDED[0].decode()} not found in the project")
    generation = tell_generation(bytes(script.content))
    _check_parts(tree, generation, layer.source)
    if version is None and (match := _VERSION_IN_NAME.fullmatch(folder)) is not None:
        version = match[1].decode("ascii", "replace")
    return Project(
        source=layer.source,
        tree=tree,
        generation=generation,
        version=None if version is None else iso_version(version),
    )


def iso_version(tag: str) -> str:
    """Convert a git tag to a version: ``v0.12.0-3-gdeadbee`` is ``0.12.0+3-gdeadbee``.

    Source: build-bundle-file.sh, which does this with sed.
    """
    return tag.replace("-", "+", 1).removeprefix("v")


def _top(tree: Tree) -> tuple[Tree, bytes]:
    """Return the content and name of the only folder of ``tree``; else ``tree`` and ``b""``."""
    entries = tree.entries(ROOT)
    if SCRIPTS in entries or len(entries) != 1 or not isinstance(tree[entries[0]], Directory):
        return tree, b""
    folder = entries[0]
    inner = Tree()
    firsts: dict[int, bytes] = {}
    for path, node in tree.walk(folder):
        below = path[len(folder) + 1 :]
        first = firsts.setdefault(tree.inode(path), below)
        if not below:
            continue
        if first != below:
            inner.link(below, first)
        else:
            inner.add(below, node)
    return inner, folder


def _check_parts(tree: Tree, generation: Generation, source: str) -> None:
    new = generation is Generation.V2013
    needed = (*_NEEDED, *(_NEEDED_2013 if new else _NEEDED_2012))
    kinds = (*_NEEDED_KINDS, *(_NEEDED_KINDS_2013 if new else ()))
    raise_all(
        [
            *(
                ProjectError(f"{source}: {_describe_fault(tree, path)}")
                for path in needed
                if not isinstance(tree.get(path), File)
            ),
            *(
                ProjectError(f"{source}: no file matches {kind.decode()} in the project")
                for kind in kinds
                if not _find(tree, kind)
            ),
        ]
    )


def _describe_fault(tree: Tree, path: bytes) -> str:
    node = tree.get(path)
    if node is None:
        return f"{path.decode()} not found in the project"
    return f"{display(path)} in the project must be a file, got {describe(node)}"


def _find(tree: Tree, pattern: bytes) -> list[bytes]:
    folder, _slash, last = pattern.rpartition(b"/")
    if not isinstance(tree.get(folder), Directory):
        return []
    return [
        join(folder, entry)
        for entry in tree.entries(folder)
        if fnmatchcase(entry, last) and isinstance(tree[join(folder, entry)], File)
    ]

"""A Razor-Microkernel project: what of it goes into a bundle.

Its layout is that of the project's own repository, of either generation. Nothing in it is
run; its scripts go into the bundle as they are.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from attrs import frozen

from purekernel.errors import ProjectError, raise_all
from purekernel.recipe.flavour import SCRIPTS, Flavour, Generation
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


# MCollective's agents, which only the project of 2012 has.
AGENTS = (b"configuration-agent/configuration.rb", b"facter-agent/facteragent.rb")


REBUILD_SCRIPT = b"rebuild_iso.sh"
_OLD_VOLUME_ID = re.compile(rb"-V\s+TC-custom\b")


# Single files without which there is no bundle, and kinds of which there must be one.
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


# What of a checkout's top is read at all: not its history, nor what an earlier run left.
_TOP_FOLDERS = {
    SCRIPTS, EXTRAS, b"configuration-agent", b"facter-agent", b"etc", b"opt",
    b"razor_microkernel", b"tmp", b"usr",
}  # fmt: skip
_TOP_FILES = {b"COPYING", b"LICENSE", GEMRC}


# Of a release's tarball: "Razor-Microkernel-0.12.0/".
_VERSION_IN_NAME = re.compile(rb".*?-v?([0-9][0-9A-Za-z.+~_-]*)")


@frozen(kw_only=True)
class Project:
    """A project, read.

    Attributes:
        source: where it came from, for messages.
        tree: its files, by their places in the project.
        generation: as its scripts say.
        version: as its checkout or its tarball says; ``None`` where nothing does.
    """

    source: str
    tree: Tree
    generation: Generation
    version: str | None

    def find(self, pattern: bytes) -> list[bytes]:
        """Return the files of one folder that match ``pattern``, in the order of their names."""
        return _find(self.tree, pattern)

    def content(self, path: bytes) -> bytes | None:
        """Return what the file at ``path`` holds, or ``None``."""
        node = self.tree.get(path)
        return bytes(node.content) if isinstance(node, File) else None

    def shadow(self, flavour: Flavour) -> bytes:
        """Return which file becomes ``etc/shadow``: in a production image nobody logs in."""
        return SHADOW_PROD if flavour is Flavour.PROD else SHADOW

    def settings(self, flavour: Flavour) -> bytes:
        """Return which file becomes ``tmp/mk_conf.yaml``."""
        debug = flavour is Flavour.DEBUG and SETTINGS_DEBUG in self.tree
        return SETTINGS_DEBUG if debug else SETTINGS


def is_project_name(entry: bytes) -> bool:
    """Say whether a name at the top of a checkout can be part of a bundle."""
    return (
        entry in _TOP_FOLDERS
        or entry in _TOP_FILES
        or (entry.startswith(b"rz_mk_") and entry.endswith(b".rb"))
    )


# What the original scripts of half two say of the image that they would make.


def tell_generation(script: bytes) -> Generation:
    """Return the generation of a ``rebuild_iso.sh``, by the volume id that it gives."""
    return Generation.V2012 if _OLD_VOLUME_ID.search(script) else Generation.V2013


def parse_project(layer: Layer, *, version: str | None = None) -> Project:
    """Return the project that ``layer`` holds, at its top or in its only folder.

    Args:
        layer: a checkout or an unpacked release.
        version: what its checkout is called, as git has it: ``v0.12.0``.

    Raises:
        ProjectError: it lacks a part that every bundle has.
    """
    tree, folder = _top(layer.tree)
    if SCRIPTS not in tree:
        raise ProjectError(
            f"{layer.source} is no Razor-Microkernel project: it has no {SCRIPTS.decode()}"
        )
    script = tree.get(join(SCRIPTS, REBUILD_SCRIPT))
    if not isinstance(script, File):
        raise ProjectError(f"{layer.source}: there is no {_NEEDED[0].decode()} in the project")
    generation = tell_generation(bytes(script.content))
    _check_parts(tree, generation, layer.source)
    if version is None and (found := _VERSION_IN_NAME.fullmatch(folder)) is not None:
        version = found[1].decode("ascii", "replace")
    return Project(
        source=layer.source,
        tree=tree,
        generation=generation,
        version=None if version is None else iso_version(version),
    )


def iso_version(tag: str) -> str:
    """Return the version that a tag means: ``v0.12.0-3-gdeadbee`` is ``0.12.0+3-gdeadbee``.

    Source: build-bundle-file.sh, which has sed do so.
    """
    return tag.replace("-", "+", 1).removeprefix("v")


def _top(tree: Tree) -> tuple[Tree, bytes]:
    """Return what the only folder of ``tree`` holds, and its name; else all, and no name."""
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
                ProjectError(f"{source}: {_what(tree, path)} in the project")
                for path in needed
                if not isinstance(tree.get(path), File)
            ),
            *(
                ProjectError(f"{source}: there is no {kind.decode()} in the project")
                for kind in kinds
                if not _find(tree, kind)
            ),
        ]
    )


def _what(tree: Tree, path: bytes) -> str:
    node = tree.get(path)
    if node is None:
        return f"there is no {path.decode()}"
    return f"{display(path)} must be a file and is {describe(node)}"


def _find(tree: Tree, pattern: bytes) -> list[bytes]:
    folder, _slash, last = pattern.rpartition(b"/")
    if not isinstance(tree.get(folder), Directory):
        return []
    return [
        join(folder, entry)
        for entry in tree.entries(folder)
        if fnmatchcase(entry, last) and isinstance(tree[join(folder, entry)], File)
    ]

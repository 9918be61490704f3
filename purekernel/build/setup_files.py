"""The tarballs of settings that a project brings along: for SSH, and once for MCollective."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from purekernel.build.packing import ENCODER, SSH_SETUP
from purekernel.build.project import EXTRAS, Project
from purekernel.encode.encoders import compress
from purekernel.errors import inside
from purekernel.formats.tar import build_tar, parse_tar
from purekernel.recipe.flavour import Flavour
from purekernel.tree import Buffer, Directory, Layer, Tree
from purekernel.tree.path import name

VM_TOOLS_TARBALL = b"mk-open-vm-tools.tar.gz"

# Whoever has them can pass for every image that was made with them.
SSH_SETUP_PATH = EXTRAS + b"/" + SSH_SETUP
HOST_KEYS = b"usr/local/etc/ssh/ssh_host_*_key*"


def setup_tarballs(
    project: Project, flavour: Flavour, *, keep_host_keys: bool
) -> dict[bytes, Buffer]:
    """Return the project's tarballs, by the names that they have in a bundle.

    Args:
        project: whose they are.
        flavour: a production image has none for SSH.
        keep_host_keys: whether the SSH host keys in them, if there are any, stay.

    Raises:
        FormatError: one of them is damaged.
    """
    found: dict[bytes, Buffer] = {}
    for path in project.find(EXTRAS + b"/*.gz"):
        content: Buffer = project.content(path) or b""
        if name(path) == SSH_SETUP:
            if flavour is Flavour.PROD:
                continue
            if not keep_host_keys:
                content = _without_host_keys(content, path, project.source)
        found[name(path)] = content
    return found


def host_keys(project: Project) -> list[bytes]:
    """Return the SSH host keys that the project brings along.

    Raises:
        FormatError: its tarball is damaged.
    """
    content = project.content(SSH_SETUP_PATH)
    if content is None:
        return []
    with inside(project.source):
        return _keys(parse_tar(content, source=SSH_SETUP_PATH.decode()))


def without_paths(packed: Buffer, layers: Iterable[Layer]) -> Buffer:
    """Return a tarball without the files that ``layers`` bring too; as it is if there are none.

    Raises:
        FormatError: it is damaged.
    """
    tree = parse_tar(packed, source="the project's tarball")
    brought = {
        path
        for layer in layers
        for path, node in layer.tree.walk()
        if not isinstance(node, Directory)
    }
    return _without(packed, tree, [path for path, _node in tree.walk() if path in brought])


def _keys(tree: Tree) -> list[bytes]:
    return [path for path, _node in tree.walk() if fnmatchcase(path, HOST_KEYS)]


def _without_host_keys(content: Buffer, path: bytes, source: str) -> Buffer:
    with inside(source):
        tree = parse_tar(content, source=path.decode())
    return _without(content, tree, _keys(tree))


def _without(packed: Buffer, tree: Tree, doomed: list[bytes]) -> Buffer:
    for path in doomed:
        tree.remove(path)
    return compress(build_tar(tree), encoder=ENCODER) if doomed else packed

"""Make of a Debian package's files what Tiny Core takes for an extension.

Source: Tiny Core's deb2tcz, by what it leaves out and adds; deb-postinst(5) for how dpkg calls a
package's script; tce-setup, which runs start scripts.
"""

from __future__ import annotations

import re

from attrs import frozen

from purekernel.errors import ConflictError
from purekernel.rootfs.ownership import ROOT_ID, STAFF_GROUP, START_SCRIPTS, TC_USER
from purekernel.tree import (
    ROOT,
    Buffer,
    Directory,
    File,
    Metadata,
    Symlink,
    Tree,
    date_implied,
    display,
)
from purekernel.tree.path import join, parent

# What nobody reads on a Microkernel.
DOCUMENTATION = tuple(b"usr/share/" + entry for entry in (b"doc", b"man", b"menu", b"lintian"))

POSTINST = b"usr/local/postinst"

# Where Debian has libraries of one architecture, as it writes that: usr/lib/i386-linux-gnu. The
# loaders of Tiny Core look in the folder above it, and not there.
_LIBRARIES = (b"lib", b"usr/lib")
_MULTIARCH = re.compile(rb"[a-z0-9_]+-linux-gnu[a-z0-9]*")
_LIBRARY = re.compile(rb".+\.so(?:\..*)?", re.DOTALL)

_SHEBANG = b"#!/bin/sh\n"


@frozen(kw_only=True)
class ConversionOptions:
    """What is kept of a package, and added to it.

    Attributes:
        documentation: keep ``usr/share/doc``, ``man``, ``menu`` and ``lintian``.
        empty_folders: keep folders that hold nothing, or only such.
        library_links: put links to libraries in ``usr/lib/i386-linux-gnu`` and the like where
            Tiny Core's loaders look for them.
    """

    documentation: bool = False
    empty_folders: bool = False
    library_links: bool = True


def convert_tree(
    tree: Tree,
    *,
    extension: str,
    mtime: int,
    postinst: Buffer | None = None,
    import_script: Buffer | None = None,
    options: ConversionOptions | None = None,
) -> Tree:
    """Return a package's files as those of an extension.

    A package's ``postinst`` goes to ``usr/local/postinst/NAME``, and the start script
    ``usr/local/tce.installed/NAME`` calls it as dpkg would on installing the package; what Tiny
    Core's mirror has to be run for such an extension is appended to that. The folder of start
    scripts belongs to root and staff, and they to tc, without which Core does not run them.

    Args:
        tree: the package's own files.
        extension: its name, without ``.tcz``.
        mtime: of all that is added, in seconds since 1970, UTC.
        postinst: the package's script, if it has one.
        import_script: what is appended, if there is something.
        options: what is kept and added.

    Raises:
        ConflictError: the package has something where a script goes.
    """
    options = options or ConversionOptions()
    made = date_implied(tree, mtime)
    if not options.documentation:
        for path in DOCUMENTATION:
            if path in made:
                made.remove(path)
    if not options.empty_folders:
        _remove_empty_folders(made)
    if options.library_links:
        _link_libraries(made, mtime)
    script = start_script(extension, has_postinst=postinst is not None, appended=import_script)
    if postinst is not None:
        place = join(POSTINST, extension.encode())
        _add(made, place, postinst, Metadata(mode=0o755, mtime=mtime))
    if script is not None:
        owned = Metadata(mode=0o755, uid=TC_USER, gid=STAFF_GROUP, mtime=mtime)
        _add(made, join(START_SCRIPTS, extension.encode()), script, owned)
    if START_SCRIPTS in made:
        folder = Metadata(mode=0o775, uid=ROOT_ID, gid=STAFF_GROUP, mtime=mtime)
        made.replace(START_SCRIPTS, Directory(metadata=folder))
    return made


def start_script(
    extension: str, *, has_postinst: bool, appended: Buffer | None = None
) -> bytes | None:
    """Return what runs when an extension has been loaded; ``None`` where nothing does."""
    if not has_postinst and appended is None:
        return None
    call = b"/%s/%s configure 2>/dev/null\n" % (POSTINST, extension.encode())
    more = b"" if appended is None else bytes(appended)
    if more and not more.endswith(b"\n"):
        more += b"\n"
    if not has_postinst and more.startswith(b"#!"):
        return more
    return _SHEBANG + (call if has_postinst else b"") + more


def wanted_programs(postinst: Buffer) -> tuple[str, ...]:
    """Return what a script needs that Core itself does not have, as far as its text shows."""
    text = bytes(postinst)
    found = []
    first = text.partition(b"\n")[0]
    interpreter = first[2:].split()[:1] if first.startswith(b"#!") else []
    if interpreter and interpreter[0] not in (b"/bin/sh", b"/bin/ash", b"/bin/busybox"):
        found.append(interpreter[0].decode("utf-8", "backslashreplace"))
    if b"debconf/confmodule" in text:
        found.append("debconf")
    return tuple(found)


def _remove_empty_folders(tree: Tree) -> None:
    """Take out folders that hold nothing, and those that then hold nothing."""
    folders = [path for path, node in tree.walk() if isinstance(node, Directory) and path != ROOT]
    for path in reversed(folders):
        if not tree.entries(path):
            tree.remove(path)


def _link_libraries(tree: Tree, mtime: int) -> None:
    for folder in _LIBRARIES:
        if not isinstance(tree.get(folder), Directory):
            continue
        for inner in tree.entries(folder):
            path = join(folder, inner)
            if not _MULTIARCH.fullmatch(inner) or not isinstance(tree[path], Directory):
                continue
            for entry in tree.entries(path):
                link = join(folder, entry)
                node = tree[join(path, entry)]
                if (
                    _LIBRARY.fullmatch(entry)
                    and isinstance(node, File | Symlink)
                    and link not in tree
                ):
                    metadata = Metadata(mode=0o777, mtime=mtime)
                    tree.add(link, Symlink(metadata=metadata, target=join(inner, entry)))


def _add(tree: Tree, path: bytes, content: Buffer, metadata: Metadata) -> None:
    if path in tree:
        raise ConflictError(
            f"the package has {display(path)} itself, where its start script or postinst goes",
            hint="convert it under another name",
        )
    tree.add_parents(parent(path), Metadata(mode=0o755, mtime=metadata.mtime))
    if parent(path) not in tree:
        tree.add(parent(path), Directory(metadata=Metadata(mode=0o755, mtime=metadata.mtime)))
    tree.add(path, File(metadata=metadata, content=content))


def listing(tree: Tree) -> bytes:
    """Return the ``.list`` of an extension: all that it holds but folders, a path a line."""
    paths = [path for path, node in tree.walk() if not isinstance(node, Directory)]
    return b"".join(path.replace(b"\n", b"\\n") + b"\n" for path in paths)

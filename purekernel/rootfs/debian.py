"""Convert the files of a Debian package to those of a Tiny Core extension.

Source: Tiny Core's deb2tcz for what is removed and added; deb-postinst(5) for how dpkg calls the
postinst script; tce-setup, which runs start scripts.
"""

from __future__ import annotations

import re

from purekernel.errors import ConflictError
from purekernel.records import frozen
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

# Documentation is not needed on a Microkernel.
DOCUMENTATION = tuple(b"usr/share/" + entry for entry in (b"doc", b"man", b"menu", b"lintian"))

POSTINST = b"usr/local/postinst"

# Debian's multiarch folders, such as usr/lib/i386-linux-gnu. Tiny Core's loaders search only the
# parent folder.
_LIBRARIES = (b"lib", b"usr/lib")
_MULTIARCH = re.compile(rb"[a-z0-9_]+-linux-gnu[a-z0-9]*")
_LIBRARY = re.compile(rb".+\.so(?:\..*)?", re.DOTALL)

_SHEBANG = b"#!/bin/sh\n"


@frozen(kw_only=True)
class ConversionOptions:
    """What to keep of a package and what to add.

    Attributes:
        documentation: keep ``usr/share/doc``, ``man``, ``menu`` and ``lintian``.
        empty_folders: keep folders without files.
        library_links: link libraries in ``usr/lib/i386-linux-gnu`` and similar folders into the
            parent folder, which Tiny Core's loaders search.
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

    A package's ``postinst`` becomes ``usr/local/postinst/NAME``. The start script
    ``usr/local/tce.installed/NAME`` calls it as dpkg does after unpacking; the import script of
    Tiny Core's mirror, if any, is appended to it. The folder of start scripts belongs to root and
    staff, and the scripts belong to tc, because Core runs no others.

    Args:
        tree: the package's own files.
        extension: the name of the extension, without ``.tcz``.
        mtime: the time of added files, in seconds since 1970, UTC.
        postinst: the package's script, if it has one.
        import_script: the script to append, if any.
        options: what to keep and what to add.

    Raises:
        ConflictError: the package has a file at the path of a script.
    """
    options = options or ConversionOptions()
    converted = date_implied(tree, mtime)
    if not options.documentation:
        for path in DOCUMENTATION:
            if path in converted:
                converted.remove(path)
    if not options.empty_folders:
        _remove_empty_folders(converted)
    if options.library_links:
        _link_libraries(converted, mtime)
    script = start_script(extension, has_postinst=postinst is not None, appended=import_script)
    if postinst is not None:
        place = join(POSTINST, extension.encode())
        _add(converted, place, postinst, Metadata(mode=0o755, mtime=mtime))
    if script is not None:
        owned = Metadata(mode=0o755, uid=TC_USER, gid=STAFF_GROUP, mtime=mtime)
        _add(converted, join(START_SCRIPTS, extension.encode()), script, owned)
    if START_SCRIPTS in converted:
        folder = Metadata(mode=0o775, uid=ROOT_ID, gid=STAFF_GROUP, mtime=mtime)
        converted.replace(START_SCRIPTS, Directory(metadata=folder))
    return converted


def start_script(
    extension: str, *, has_postinst: bool, appended: Buffer | None = None
) -> bytes | None:
    """Return the script that runs when an extension is loaded; ``None`` if it is empty."""
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
    """Return the programs that a script needs and Core lacks, as far as its text shows."""
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
    """Remove empty folders, and folders that become empty."""
    folders = [path for path, node in tree.walk() if isinstance(node, Directory) and path != ROOT]
    for path in reversed(folders):
        if not tree.entries(path):
            tree.remove(path)


def _link_libraries(tree: Tree, mtime: int) -> None:
    for folder in _LIBRARIES:
        if not isinstance(tree.get(folder), Directory):
            continue
        for multiarch in tree.entries(folder):
            path = join(folder, multiarch)
            if not _MULTIARCH.fullmatch(multiarch) or not isinstance(tree[path], Directory):
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
                    tree.add(link, Symlink(metadata=metadata, target=join(multiarch, entry)))


def _add(tree: Tree, path: bytes, content: Buffer, metadata: Metadata) -> None:
    if path in tree:
        raise ConflictError(
            f"{display(path)}: the package has a file at the path of its start script or postinst",
            hint="convert it under another name",
        )
    tree.add_parents(parent(path), Metadata(mode=0o755, mtime=metadata.mtime))
    if parent(path) not in tree:
        tree.add(parent(path), Directory(metadata=Metadata(mode=0o755, mtime=metadata.mtime)))
    tree.add(path, File(metadata=metadata, content=content))


def listing(tree: Tree) -> bytes:
    """Return the ``.list`` of an extension: all paths except folders, one a line."""
    paths = [path for path, node in tree.walk() if not isinstance(node, Directory)]
    return b"".join(path.replace(b"\n", b"\\n") + b"\n" for path in paths)

"""List and unpack squashfs images as unsquashfs does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from purekernel.analysis.listing import entry_json
from purekernel.errors import InputError
from purekernel.formats.squashfs import (
    OpenImage,
    describe_image,
    list_details,
    list_names,
    open_squashfs,
    parse_squashfs,
)
from purekernel.formats.squashfs.codecs import NAMES
from purekernel.host.addresses import load_address
from purekernel.host.unpack import Unpacked, select, unpack_tree
from purekernel.input import Input, limits_of
from purekernel.tools.accounts import group_name, user_name
from purekernel.tree import (
    File,
    display,
    look_up,
)


class SquashfsTool:
    """A squashfs image on this host, or in a file of it.

    The methods raise InputError if the image or a path in it is missing or cannot be read,
    FormatError if the image is damaged, and LimitError if it exceeds its limits.

    Args:
        image: the address of the image.
        max_unpacked: the maximum unpacked size of the image, in bytes; ``None`` for the default.
    """

    def __init__(self, image: Path, *, max_unpacked: int | None) -> None:
        self._path = image
        self._limits = limits_of(max_unpacked)

    @cached_property
    def _image(self) -> OpenImage:
        return open_squashfs(self._load())

    def _load(self) -> Input:
        return load_address(self._path, limits=self._limits)

    def superblock_lines(self) -> list[str]:
        """Return the lines that ``unsquashfs -s`` prints."""
        return describe_image(self._image, name=str(self._path))

    def superblock_json(self) -> dict[str, object]:
        """Return the JSON of the superblock."""
        facts = self._image.facts
        return {
            "compression": NAMES[facts.compression],
            "block_bytes": facts.block_bytes,
            "used_bytes": facts.used_bytes,
            "mkfs_time": facts.mkfs_time,
            "inodes": facts.inodes,
            "fragments": facts.fragments,
            "ids": facts.ids,
            "flags": int(facts.flags),
        }

    def listing(
        self, paths: list[bytes], folder: Path, *, is_long: bool, is_numeric: bool
    ) -> Iterator[bytes]:
        """Return the lines that unsquashfs lists, without their ends.

        Args:
            paths: what to list, with patterns; empty for all.
            folder: the folder to put before each path.
            is_long: whether to list modes, owners, sizes and times.
            is_numeric: whether to list owners as numbers.
        """
        tree = select(self._image.tree, paths, source=str(self._path))
        top = os.fsencode(folder)
        if not is_long:
            return list_names(tree, top=top)
        if is_numeric:
            return list_details(self._image, tree, top=top)
        return list_details(self._image, tree, top=top, user=user_name, group=group_name)

    def entries(self, paths: list[bytes]) -> list[dict[str, object]]:
        """Return the JSON of the entries at ``paths`` and below; empty ``paths`` stand for all."""
        tree = select(self._image.tree, paths, source=str(self._path))
        return [entry_json(path, node) for path, node in tree.walk()]

    def contents(self, paths: list[bytes]) -> list[bytes]:
        """Return the contents of the files at ``paths``."""
        contents = []
        for path in paths:
            found = look_up(self._image.tree, path.strip(b"/"))
            if found is None or not isinstance(found.node, File):
                raise InputError(
                    f"{self._path}: no file {display(path)}", hint="list its files with -l"
                )
            contents.append(bytes(found.node.content))
        return contents

    def unpack(self, paths: list[bytes], folder: Path, *, replace: bool, xattrs: bool) -> Unpacked:
        """Unpack the entries at ``paths``.

        Args:
            paths: what to unpack, with patterns; empty for all.
            folder: where to unpack.
            replace: whether to replace existing files.
            xattrs: whether to set extended attributes.

        Raises:
            OutputError: a file exists or cannot be written.
        """
        # Parse the whole image first, so that a damaged one is reported before anything is written.
        tree = parse_squashfs(self._load())
        tree = select(tree, paths, source=str(self._path))
        return unpack_tree(tree, folder, replace=replace, xattrs=xattrs)

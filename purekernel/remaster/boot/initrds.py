"""Name the initrds of an output in all menus, and add them to images for UEFI that have copies.

A menu inside an image for UEFI may boot initrds of the ISO, as GRUB does, or copies inside that
image, as systemd-boot does. For these, a new initrd is added there too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field

from purekernel.errors import BootMenuError
from purekernel.formats.boot_menus import MenuEdit, plain_menu_path
from purekernel.formats.iso import IsoBoot
from purekernel.formats.menu_edit import EntryEdit
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.records import frozen
from purekernel.remaster.boot.menu import add_change, linux_entries, no_menu
from purekernel.remaster.boot.volumes import Volume, open_volumes, write_volumes
from purekernel.tree import Buffer, Tree, display
from purekernel.tree.path import join, name, parent


def change_initrds(
    iso: Tree,
    boot: IsoBoot,
    old: Mapping[bytes, Buffer],
    new: Mapping[bytes, Buffer],
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Tree, IsoBoot]:
    """Return an image whose menus boot the initrds ``new`` where they booted ``old``.

    Entries that do not boot all of ``old``, one after the other, stay as they are. Of ``new``,
    only what an image for UEFI lacks is added to it; the ISO stays as it is.

    Args:
        iso: the tree of the ISO, with the initrds ``old``.
        boot: how it boots.
        old: the contents of the initrds by their paths on the ISO, in order.
        new: the same of those that replace them.
        limits: limits on parsed input.

    Raises:
        BootMenuError: no menu has such a list in one place.
        PurekernelError: as for :func:`~purekernel.remaster.boot.volumes.write_volumes`.
    """
    volumes = open_volumes(iso, boot, limits=limits)
    changed: list[dict[bytes, Buffer]] = []
    for volume in volumes:
        files: dict[bytes, Buffer] = {}
        changed.append(files)
        copies = {path: volume.find_copies(content) for path, content in old.items()}
        names = _names_in(volume, [path for path in new if path not in old])
        for menu in volume.menus:
            replaced = _Replaced(
                old=list(old), new=list(new), folder=parent(menu.path), copies=copies, names=names
            )
            linux = linux_entries(menu)
            add_change(
                files,
                menu,
                MenuEdit(entries=dict.fromkeys(linux, EntryEdit(initrds=replaced))),
            )
            for index in linux:
                for path, on_iso in replaced.added(menu.found[index].initrds).items():
                    files[path] = new[on_iso]
    result = write_volumes(iso, boot, zip(volumes, changed, strict=True), limits=limits)
    if result == (iso, boot):
        paths = [display(menu.path) for volume in volumes for menu in volume.menus]
        if not paths:
            raise no_menu()
        listed = ",".join(map(display, old))
        raise BootMenuError(
            f"{paths[0]} has no list of the initrds {listed}, to add to or to shorten",
            hint='use layout = "as-base", or correct the menu',
        )
    return result


def is_booted(iso: Tree, boot: IsoBoot, path: bytes) -> bool:
    """Return whether an entry of a menu boots the initrd at ``path`` on the ISO."""
    return any(
        _means(each, path, parent(menu.path))
        for volume in open_volumes(iso, boot)
        for menu in volume.menus
        for index in linux_entries(menu)
        for each in menu.found[index].initrds
    )


def _names_in(volume: Volume, paths: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the file names of new initrds in an image, which no other file there has."""
    if volume.entry is None or volume.tree is None:
        return {}
    taken = {name(path).lower() for path, _node in volume.tree.walk()}
    names: dict[bytes, bytes] = {}
    for path in paths:
        stem, dot, ending = name(path).rpartition(b".")
        number, names[path] = 1, name(path)
        while names[path].lower() in taken:
            number += 1
            names[path] = b"%s-%d%s%s" % (stem, number, dot, ending)
        taken.add(names[path].lower())
    return names


def _means(named: bytes, path: bytes, folder: bytes) -> bool:
    """Return whether a menu in ``folder`` means the file at ``path`` when it says ``named``."""
    plain, wanted = plain_menu_path(named), path.lower()
    return plain == wanted or (
        not named.startswith((b"/", b"(")) and join(folder.lower(), plain) == wanted
    )


@frozen(kw_only=True)
class _Replaced:
    """Replaces initrds in a list, where all old ones follow one another.

    Attributes:
        old: the old paths on the ISO.
        new: the new paths.
        folder: the folder that names without a slash are in.
        copies: the paths of copies of the old ones inside the image that has the menu.
        names: the file names of new ones in that image.
    """

    old: Sequence[bytes]
    new: Sequence[bytes]
    folder: bytes
    copies: Mapping[bytes, Sequence[bytes]] = field(factory=dict)
    names: Mapping[bytes, bytes] = field(factory=dict)

    def __call__(self, names: Sequence[bytes]) -> Sequence[bytes]:
        start = self._find(names)
        if start is None:
            return names
        part = names[start : start + len(self.old)]
        known = dict(zip(self.old, part, strict=True))
        new = [known.get(path) or self._like(part[0], path) for path in self.new]
        return [*names[:start], *new, *names[start + len(self.old) :]]

    def added(self, names: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the new initrds that an entry needs inside the image: paths there, and on the ISO.

        It needs none if it boots those of the ISO.
        """
        start = self._find(names)
        copy = None if start is None else self._copy(names[start], self.old[0])
        if copy is None:
            return {}
        return {self._beside(copy, path): path for path in self.new if path in self.names}

    def _find(self, names: Sequence[bytes]) -> int | None:
        count = len(self.old)
        for start in range(len(names) - count + 1):
            if all(map(self._is_same, names[start : start + count], self.old)):
                return start
        return None

    def _is_same(self, named: bytes, path: bytes) -> bool:
        return _means(named, path, self.folder) or self._copy(named, path) is not None

    def _copy(self, named: bytes, path: bytes) -> bytes | None:
        """Return the copy of ``path`` that a menu means when it says ``named``."""
        copies = self.copies.get(path, ())
        return next((copy for copy in copies if _means(named, copy, self.folder)), None)

    def _beside(self, copy: bytes, path: bytes) -> bytes:
        return join(parent(copy), self.names[path])

    def _like(self, named: bytes, path: bytes) -> bytes:
        """Return how a menu names ``path`` that names the first old initrd ``named``."""
        first = self.old[0]
        copy = self._copy(named, first)
        if copy is not None:
            first, path = copy, self._beside(copy, path)
        if named.lower().endswith(b"/" + first.lower()):
            return named[: len(named) - len(first)] + path
        return b"/" + path

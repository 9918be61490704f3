"""Apply the user's changes to all boot menus of an image: on the ISO, and inside its EFI images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import evolve

from purekernel.errors import BootMenuError, UsageError, inside
from purekernel.formats.boot_menus import (
    FoundMenu,
    GrubMenu,
    MenuEdit,
    SyslinuxMenu,
    plain_menu_path,
)
from purekernel.formats.booted import MENU_NAME
from purekernel.formats.iso import IsoBoot
from purekernel.formats.menu_edit import EntryEdit, FoundEntry, Part, split_words
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.system import parse_serial
from purekernel.records import frozen
from purekernel.remaster.boot.volumes import Volume, open_volumes, write_volumes
from purekernel.tree import Buffer, Tree, display

# Core waits half a minute at its boot prompt.
CORE_TIMEOUT = 300

# The word on the kernel's command line for which tce-setup loads extensions from a disc.
CDE = b"cde"


@frozen(kw_only=True)
class MenuChange:
    """What is to change in all menus.

    Attributes:
        changes: the changes that the user asks for.
        timeout: replaces Core's own timeout, in tenths of a second; ``None`` keeps it.
        cde_place: where extensions on the disc are given, for messages. The default entry then has
            the word ``cde``, and if no entry of the menu had it, all have it. ``None`` adds no
            word.
        new_initrds: whether the menus must name other initrds, too.
        initrds: the contents of the base's initrds.
    """

    changes: BootChanges
    timeout: int | None = None
    cde_place: str | None = None
    new_initrds: bool = False
    initrds: Sequence[Buffer] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether the user asks for no change."""
        return self.changes == BootChanges() and self.cde_place is None

    @property
    def parts(self) -> Part:
        """What of a menu must change."""
        changes, parts = self.changes, Part(0)
        if changes.append or changes.serial or self.cde_place is not None:
            parts |= Part.LINUX
        if self.new_initrds:
            parts |= Part.INITRDS
        if changes.timeout is not None:
            parts |= Part.TIMEOUT
        return parts if changes.default is None else parts | Part.DEFAULT


def change_boot_menu(
    iso: Tree, boot: IsoBoot, change: MenuChange, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[Tree, IsoBoot, tuple[str, ...]]:
    """Return an image with a change applied to all its menus, and notes.

    Args:
        iso: the tree of the ISO.
        boot: how it boots.
        change: the change.
        limits: limits on parsed input.

    Raises:
        BootMenuError: there is no menu, or none has the entry or a kernel to change.
        UsageError: the text to append contains a line break.
    """
    changes = change.changes
    if change.is_nothing and change.timeout is None:
        return iso, boot, ()
    volumes = open_volumes(iso, boot, limits=limits)
    menus = [(volume, menu) for volume in volumes for menu in volume.menus]
    if not menus:
        if change.is_nothing:
            return iso, boot, ()
        raise no_menu().within(next(iter(changes.given_places), change.cde_place or ""))
    with inside(changes.place("append")):
        words = split_words(_line(changes.append or ""))
    place = next(
        (
            place
            for given, place in (
                (words, changes.place("append")),
                (changes.serial, changes.place("serial")),
                (change.cde_place is not None, change.cde_place or ""),
            )
            if given
        ),
        None,
    )
    if place is not None and not any(linux_entries(menu) for _volume, menu in menus):
        volume, menu = menus[0]
        raise BootMenuError(f"{volume.describe(menu.path)}: no label boots a Linux kernel").within(
            place
        )
    with inside(changes.place("default")):
        defaults, notes = _defaults(menus, changes.default)
    edits = [
        _edit(menu, change, words, defaults.get(index))
        for index, (_volume, menu) in enumerate(menus)
    ]
    changed: list[dict[bytes, Buffer]] = [{} for _volume in volumes]
    for (volume, menu), edit in zip(menus, edits, strict=True):
        add_change(changed[volumes.index(volume)], menu, edit)
    return (
        *write_volumes(iso, boot, zip(volumes, changed, strict=True), limits=limits),
        notes,
    )


def cde_words(iso: Tree, boot: IsoBoot) -> list[Sequence[bytes]]:
    """Return the words of each entry of a menu that has the word ``cde``."""
    return [
        entry.words
        for volume in open_volumes(iso, boot)
        for menu in volume.menus
        for entry in menu.found
        if CDE in entry.words
    ]


def loads_cde(iso: Tree, boot: IsoBoot) -> bool:
    """Return whether an entry of a menu has the word ``cde``, or there is no menu."""
    return bool(cde_words(iso, boot)) or not any(volume.menus for volume in open_volumes(iso, boot))


# The change of one menu.


def add_change(changed: dict[bytes, Buffer], menu: FoundMenu, edit: MenuEdit) -> None:
    """Add what a menu changes. A file may be a part of it, and a menu of its own, which decides."""
    for path, content in menu.change(edit).items():
        if path == menu.path:
            changed[path] = content
        else:
            changed.setdefault(path, content)


def linux_entries(menu: FoundMenu) -> list[int]:
    """Return the indexes of the entries that boot a Linux kernel."""
    return [index for index, entry in enumerate(menu.found) if entry.kernel is not None]


def _edit(
    menu: FoundMenu, change: MenuChange, words: Sequence[bytes], default: int | None
) -> MenuEdit:
    changes, linux = change.changes, linux_entries(menu)
    edit = EntryEdit(add=tuple(words))
    if changes.serial is not None:
        edit = _with_consoles(edit, changes.serial)
    entries = {index: edit for index in linux if edit != EntryEdit()}
    if change.cde_place is not None:
        for index in _without_cde(menu, linux):
            entry = entries.get(index, EntryEdit())
            entries[index] = evolve(entry, add=(*entry.add, CDE))
    timeout = changes.timeout
    if timeout is None and menu.timeout == CORE_TIMEOUT:
        timeout = change.timeout
    return MenuEdit(entries=entries, timeout=timeout, default=default)


def _with_consoles(edit: EntryEdit, serial: str) -> EntryEdit:
    """Return ``edit`` with the screen and a serial port as the last consoles of each kernel.

    Messages appear on all consoles; the last one is /dev/console, where start scripts print.
    """
    line = parse_serial(serial)
    consoles = [word.encode() for word in line.consoles]
    port = f"console={line.tty}".encode()

    def drop(word: bytes) -> bool:
        return word in (*consoles, port) or word.startswith(port + b",")

    kept = (word for word in edit.add if not drop(word))
    return evolve(edit, drop=drop, add=(*kept, *consoles))


def _without_cde(menu: FoundMenu, linux: Sequence[int]) -> Iterator[int]:
    """Yield the entries that need the word ``cde``.

    If some entries have the word, the base chose which, and only the default one may lack it.
    """
    having = {index for index in linux if CDE in menu.found[index].words}
    default = menu.default if menu.default in linux else next(iter(linux), None)
    for index in linux:
        if index not in having and (not having or index == default):
            yield index


def _defaults(
    menus: Sequence[tuple[Volume, FoundMenu]], wanted: str | None
) -> tuple[dict[int, int], tuple[str, ...]]:
    """Return the new default entry of each menu, by the menu's index, and notes.

    A menu that has no entry of this name gets the entry that boots the same as that of another
    menu. If it has none, it keeps its default, and a note says so.
    """
    if wanted is None:
        return {}, ()
    label = wanted.encode("utf-8", "surrogateescape")
    chosen: dict[int, int] = {}
    for index, (_volume, menu) in enumerate(menus):
        named = [at for at, entry in enumerate(menu.found) if label in entry.names]
        if named:
            chosen[index] = named[0]
    if not chosen:
        raise _no_entry(menus, wanted)
    first = next(iter(chosen))
    sought = _boots(menus[first][1].found[chosen[first]])
    notes: list[str] = []
    for index, (volume, menu) in enumerate(menus):
        if index in chosen or not menu.found:
            continue
        same = [at for at, entry in enumerate(menu.found) if _boots(entry) == sought]
        if len(same) == 1 and sought is not None:
            chosen[index] = same[0]
        elif linux_entries(menu):
            notes.append(
                f"{volume.describe(menu.path)} has no entry {wanted!r}, and keeps its default"
            )
    for index, at in chosen.items():
        volume, menu = menus[index]
        if isinstance(menu, GrubMenu) and menu.value_for(at) is None:
            notes.append(
                f"{volume.describe(menu.path)}: GRUB has no name for the entry {wanted!r} that is "
                "the same in all cases, and keeps its default"
            )
    return chosen, tuple(notes)


def _boots(entry: FoundEntry) -> tuple[bytes, tuple[bytes, ...], frozenset[bytes]] | None:
    """Return what an entry boots, to compare entries of two menus."""
    if entry.kernel is None:
        return None
    initrds = tuple(plain_menu_path(path) for path in entry.initrds)
    return plain_menu_path(entry.kernel), initrds, frozenset(entry.words)


def _no_entry(menus: Sequence[tuple[Volume, FoundMenu]], wanted: str) -> BootMenuError:
    volume, menu = menus[0]
    path = volume.describe(menu.path)
    if isinstance(menu, SyslinuxMenu) and not menu.menu.labels and menu.found:
        boots = display(menu.found[0].names[0])
        return BootMenuError(
            f"{path} has no labels: it boots {boots}, got {wanted!r}",
            hint=f"leave the default out, or name {boots}",
        )
    names = dict.fromkeys(
        entry.names[0] for _volume, each in menus for entry in each.found if entry.names
    )
    known = ", ".join(map(display, names)) or "none"
    return BootMenuError(
        f"{path}: label not found: must be one of {known}, got {wanted!r}",
        hint="name one of these with --boot-default",
    )


def no_menu() -> BootMenuError:
    """Return the error for an image without a menu."""
    return BootMenuError(
        f"{MENU_NAME.decode()} not found on the ISO: its boot menu cannot be changed"
    )


def _line(append: str) -> bytes:
    if "\n" in append or "\r" in append or "\0" in append:
        raise UsageError(
            "the text to append to the kernel's command line must be one line",
            hint="give --boot-append once, with spaces between the words",
        )
    return append.strip().encode("utf-8", "surrogateescape")

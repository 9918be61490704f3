"""Read and change the menus of the Syslinux family, of GRUB and of systemd-boot in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Protocol

from attrs import field

from purekernel.formats.booted import marked_label, named_label
from purekernel.formats.grub import GrubFile
from purekernel.formats.loader_entries import LoaderFile
from purekernel.formats.menu_edit import EntryEdit, FoundEntry, Splice, Unclear, splice
from purekernel.formats.syslinux import (
    BootMenu,
    build_boot_menu,
    drop_parameters,
    extend_append,
    map_initrds,
    set_default,
    set_option,
)
from purekernel.records import frozen
from purekernel.tree.path import name

# The device before a path in GRUB: "(hd0,1)/boot/vmlinuz".
_DEVICE = re.compile(rb"\([^()]*\)")


@frozen(kw_only=True)
class MenuEdit:
    """A change of one menu.

    Attributes:
        entries: how entries change, by index.
        timeout: the new timeout in tenths of a second, of which 0 waits for the user; ``None``
            keeps the old one.
        default: the index of the new default entry; ``None`` keeps the old one.
    """

    entries: Mapping[int, EntryEdit] = field(factory=dict)
    timeout: int | None = None
    default: int | None = None


class FoundMenu(Protocol):
    """A menu of a boot loader, in one file or several."""

    @property
    def path(self) -> bytes:
        """The path of its main file."""
        ...

    @property
    def found(self) -> Sequence[FoundEntry]:
        """The entries in order."""
        ...

    @property
    def timeout(self) -> int | None:
        """The timeout in tenths of a second; ``None`` if there is none or it is not known."""
        ...

    @property
    def default(self) -> int | None:
        """The index of the default entry; ``None`` if it is not known."""
        ...

    @property
    def unclear(self) -> Sequence[tuple[bytes, Unclear]]:
        """The places that were not understood, by the path of their file."""
        ...

    def change(self, edit: MenuEdit) -> dict[bytes, bytes]:
        """Return the new contents of the files, by path."""
        ...


@frozen(kw_only=True)
class SyslinuxMenu:
    """A menu of isolinux, syslinux or extlinux.

    Attributes:
        path: the path of its file.
        menu: what it holds, with the files that it includes.
    """

    path: bytes
    menu: BootMenu

    @cached_property
    def found(self) -> Sequence[FoundEntry]:
        """The labels, then the kernel that DEFAULT names without a label, if it names one."""
        menu = self.menu
        entries = [
            _syslinux_entry(
                names=(label, *filter(None, [menu.option(b"menu label", label)])),
                kernel=menu.kernel(label),
                line=menu.append(label),
                initrd=menu.option(b"initrd", label) or menu.option(b"initrd"),
            )
            for label in menu.labels
        ]
        command = menu.command(b"default")
        if command is not None:
            kernel, own = command
            line = b" ".join([menu.shared_append, own])
            initrd = menu.option(b"initrd")
            entries.append(
                _syslinux_entry(names=(kernel,), kernel=kernel, line=line, initrd=initrd)
            )
        return entries

    @property
    def timeout(self) -> int | None:
        """The timeout in tenths of a second."""
        return self.menu.timeout

    @cached_property
    def default(self) -> int | None:
        """The index of the default entry."""
        if self.menu.command(b"default") is not None:
            return len(self.menu.labels)
        label = named_label(self.menu) or marked_label(self.menu)
        return None if label is None else self.menu.labels.index(label)

    @property
    def unclear(self) -> Sequence[tuple[bytes, Unclear]]:
        """Nothing: what is not understood boots no kernel."""
        return ()

    def change(self, edit: MenuEdit) -> dict[bytes, bytes]:
        """Return the new contents of the file."""
        menu = self.menu
        if edit.timeout is not None:
            menu = set_option(menu, b"timeout", str(edit.timeout).encode())
        if edit.default is not None and edit.default < len(self.menu.labels):
            menu = set_default(menu, self.menu.labels[edit.default])
        edits = {index: edit.entries[index] for index in sorted(edit.entries)}
        for change in edits.values():
            menu = drop_parameters(menu, change.drop)
            menu = map_initrds(menu, _in_commas(change.initrds))
            break  # all entries drop the same words
        for added in dict.fromkeys(change.add for change in edits.values() if change.add):
            indexes = [index for index, change in edits.items() if change.add == added]
            linux = [index for index, entry in enumerate(self.found) if entry.kernel is not None]
            labels = {self.menu.labels[each] for each in indexes if each < len(self.menu.labels)}
            menu = extend_append(
                menu, b" ".join(added), labels=None if indexes == linux else labels
            )
        included = dict.fromkeys(line.source for line in menu.lines if line.source is not None)
        return {
            self.path: build_boot_menu(menu),
            **{path: build_boot_menu(menu, path) for path in included},
        }


def _syslinux_entry(
    *, names: tuple[bytes, ...], kernel: bytes | None, line: bytes, initrd: bytes | None
) -> FoundEntry:
    words = line.split()
    initrds = [word.removeprefix(b"initrd=") for word in words if word.startswith(b"initrd=")]
    initrds.append(initrd or b"")
    return FoundEntry(
        names=names,
        title=names[-1],
        kernel=kernel,
        initrds=tuple(each for each in b",".join(initrds).split(b",") if each),
        words=tuple(word for word in words if not word.startswith(b"initrd=")),
    )


def _in_commas(change: Callable[[Sequence[bytes]], Sequence[bytes]]) -> Callable[[bytes], bytes]:
    def changed(names: bytes) -> bytes:
        listed = [each for each in names.split(b",") if each]
        new = list(change(listed))
        return names if new == listed else b",".join(new)

    return changed


@frozen(kw_only=True)
class GrubMenu:
    """A menu of GRUB.

    Attributes:
        path: the path of its main file.
        files: the main file, and those that it reads as parts of the menu, by path.
    """

    path: bytes
    files: Mapping[bytes, GrubFile]

    @cached_property
    def _indexes(self) -> Sequence[tuple[bytes, int]]:
        return [
            (path, index) for path, file in self.files.items() for index in range(len(file.found))
        ]

    @cached_property
    def found(self) -> Sequence[FoundEntry]:
        """The entries of all files."""
        return [self.files[path].found[index] for path, index in self._indexes]

    @property
    def timeout(self) -> int | None:
        """The timeout in tenths of a second."""
        known = [file.timeout for file in self.files.values() if file.sets(b"timeout")]
        return known[-1] if known else None

    @property
    def default(self) -> int | None:
        """The index of the default entry."""
        for path, file in self.files.items():
            if (file.sets(b"default") or len(self.files) == 1) and file.default is not None:
                return self._indexes.index((path, file.default))
        return None

    @cached_property
    def unclear(self) -> Sequence[tuple[bytes, Unclear]]:
        """The places that were not understood."""
        return [(path, each) for path, file in self.files.items() for each in file.unclear]

    @property
    def _shows_menu(self) -> bool:
        """Whether it has entries, and does more than to read another menu."""
        return any(file.entries for file in self.files.values())

    def value_for(self, index: int) -> bytes | None:
        """Return the value of ``default`` for an entry; ``None`` if nothing names it for sure."""
        path, number = self._indexes[index]
        file = self.files[path]
        value = file.name_entry(number) if number < len(file.entries) else None
        # Numbers count the entries of all files.
        return None if value is not None and value[:1].isdigit() and path != self.path else value

    def change(self, edit: MenuEdit) -> dict[bytes, bytes]:
        """Return the new contents of the files."""
        splices: dict[bytes, list[Splice]] = {path: [] for path in self.files}
        for index, change in edit.entries.items():
            path, number = self._indexes[index]
            splices[path] += self.files[path].edit_entry(number, change)
        default = None if edit.default is None else self.value_for(edit.default)
        for path, file in self.files.items():
            is_main = path == self.path and self._shows_menu
            if edit.timeout is not None:
                insert = is_main and not self._sets(b"timeout")
                splices[path] += file.edit_timeout(edit.timeout, insert=insert)
            if default is not None:
                insert = is_main and not self._sets(b"default")
                splices[path] += file.edit_default(default, insert=insert)
        return {path: splice(file.script.data, splices[path]) for path, file in self.files.items()}

    def _sets(self, variable: bytes) -> bool:
        return any(file.sets(variable) for file in self.files.values())


@frozen(kw_only=True)
class LoaderMenu:
    """The menu of systemd-boot.

    Attributes:
        path: the path of ``loader.conf``, also if there is none.
        config: what it holds.
        entries: the files of the entries, by path.
    """

    path: bytes
    config: LoaderFile
    entries: Mapping[bytes, LoaderFile]

    @cached_property
    def found(self) -> Sequence[FoundEntry]:
        """The entries in the order of their names."""
        return [file.found(name(path)) for path, file in self.entries.items()]

    @property
    def timeout(self) -> int | None:
        """The timeout in tenths of a second."""
        return self.config.timeout

    @property
    def default(self) -> int | None:
        """The index of the default entry."""
        return self.config.default_of([name(path) for path in self.entries])

    @property
    def unclear(self) -> Sequence[tuple[bytes, Unclear]]:
        """Nothing: an entry is plain text."""
        return ()

    def change(self, edit: MenuEdit) -> dict[bytes, bytes]:
        """Return the new contents of the files."""
        paths = list(self.entries)
        changed = {
            paths[index]: splice(file.data, file.edit_entry(change))
            for index, change in edit.entries.items()
            for file in [self.entries[paths[index]]]
        }
        splices = [] if edit.timeout is None else self.config.edit_timeout(edit.timeout)
        if edit.default is not None:
            splices += self.config.edit_default(name(paths[edit.default]))
        if splices:
            changed[self.path] = splice(self.config.data, splices)
        return changed


def plain_menu_path(path: bytes) -> bytes:
    """Return a path in a menu without device and slash, in lower case."""
    plain = _DEVICE.sub(b"", path.replace(b"\\", b"/"), count=1)
    return plain.lstrip(b"/").lower()

"""Put the recipe's files and extensions on the ISO, change its menu, and tell what outputs lack.

Source: Tiny Core's usr/bin/tce-setup, ``process_CD``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from attrs import evolve

from purekernel.errors import PurekernelError, UsageError, inside, raise_all
from purekernel.formats.core_iso import files_outside_boot
from purekernel.formats.iso import IsoBoot
from purekernel.formats.menu import read_menu
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.razor.microkernel import METADATA_FILE
from purekernel.recipe.composition import CARRIED_FOLDER, Composition
from purekernel.recipe.flavour import Emit
from purekernel.remaster.boot.disk import disk_notes, has_efi
from purekernel.remaster.boot.kernel import replace_kernel
from purekernel.remaster.boot.menu import MenuChange, cde_words, change_boot_menu, loads_cde
from purekernel.repos.tinycore.placement import CDE, COPIED, ONBOOT, ONDEMAND, OPTIONAL
from purekernel.tree import Directory, File, Metadata, Tree, display, put_file, with_example
from purekernel.tree.path import join

_EXECUTABLE = 0o111

# Outputs with the files of the ISO, and those with the extensions for a partition.
WITH_ISO_FILES = frozenset({Emit.ISO, Emit.DISK})
WITH_TCE = frozenset({Emit.TCE, Emit.DISK})

# A word of the kernel's command line, and the list that tce-setup then reads instead of onboot.lst.
_LIST = re.compile(rb"lst=([A-Za-z0-9_][A-Za-z0-9_.+~-]{0,99})")

# Of an extension that is replaced, files that describe the old one.
_DESCRIBING = (b".dep", b".md5.txt", b".info", b".list", b".tree", b".zsync")


def change_disc(
    composition: Composition, metadata: Metadata, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[Tree, IsoBoot | None, tuple[str, ...]]:
    """Return the base's ISO with added files and extensions and changed menus, and notes.

    This needs no core, so what is wrong with the changes is found before the core is compressed.

    Args:
        composition: what to add.
        metadata: the metadata of added files.
        limits: limits on parsed input.

    Returns:
        The files of the ISO, how it boots, and the notes.

    Raises:
        UsageError: a file of the recipe would replace one that the build makes.
        ConflictError: a file is where the ISO has a folder, or the other way.
        CombinedError: there are several such files.
        BootMenuError: the menu lacks what is to be changed.
    """
    base, disc = composition.base, composition.disc
    iso = base.iso.copy()
    notes = tuple(_drop_carried(iso, base.source))
    for path, content in composition.iso_files.items():
        put_file(iso, path, content, metadata=metadata)
    errors = list(_put_files(iso, composition, metadata))
    cde_place = composition.recipe.extensions.place("cde")
    if base.boot is None:  # no ISO is written
        raise_all(errors)
        return iso, None, notes
    change = MenuChange(
        changes=composition.recipe.boot,
        timeout=composition.timeout,
        cde_place=None if disc.cde is None else cde_place,
    )
    boot = base.boot
    try:
        with inside(composition.recipe.core.place("kernel")):
            iso, boot = replace_kernel(iso, boot, base, limits=limits)
        iso, boot, more = change_boot_menu(iso, boot, change, limits=limits)
        notes = (*notes, *more)
    except PurekernelError as error:
        errors.append(error)
    raise_all(errors)
    if disc.cde is None:
        return iso, boot, notes
    with inside(cde_place):
        iso, more = _add_cde(iso, disc.cde, cde_words(iso, boot))
        return iso, boot, (*notes, *more)


def _drop_carried(iso: Tree, source: str) -> Iterator[str]:
    """Remove what the base carries of its own making, which is not that of the output."""
    if not isinstance(iso.get(CARRIED_FOLDER), Directory):
        return
    for path, _node in reversed(list(iso.walk(CARRIED_FOLDER))):
        iso.remove(path)
    yield f"{source}: dropped {display(CARRIED_FOLDER)}, the recipe of the base"


def find_left_out(composition: Composition, iso: Tree, kinds: Iterable[Emit]) -> Iterator[str]:
    """Yield a note for what is left out of each output, or is in it and not loaded."""
    base, disc, recipe = composition.base, composition.disc, composition.recipe
    # A disk has the files of the ISO.
    has_files = not WITH_ISO_FILES.isdisjoint(kinds)
    if base.dropped and has_files:
        yield f"{base.source}: dropped {base.dropped}; --keep-iso-files keeps what is there"
    if (
        has_files
        and disc.cde is None
        and base.boot is not None
        and CDE in iso
        and not loads_cde(iso, base.boot)
    ):
        yield (
            f"{base.source}: no entry of the boot menu has the word cde, so Core does not load "
            'the extensions in cde/; "--boot-append cde" adds it'
        )
    outside = files_outside_boot(iso, besides=composition.iso_files) or base.outside
    if outside and Emit.PXE in kinds:
        source = f"{base.source}: " if base.outside else ""
        yield f"{source}the files for booting over the network do not include {outside}"
    if not has_files and (disc.cde is not None or disc.files):
        what = "the extensions in cde" if disc.cde is not None else "the files under [[iso.file]]"
        yield f"no output includes {what}, because none is an ISO or a disk"
    if composition.tce is not None and WITH_TCE.isdisjoint(kinds):
        place = recipe.extensions.place("tce")
        yield f"{place}: no output includes these extensions; --emit tce writes them"
    if Emit.DISK in kinds:
        yield from disk_notes(
            None if base.boot is None else read_menu(iso, base.boot.boot_image),
            by_uefi=recipe.efi.is_given or has_efi(base.boot),
        )


def no_tce() -> UsageError:
    """Return the error for an image without extensions for a partition."""
    return UsageError(
        "the output tce holds the extensions for a partition, and the image has none",
        hint='list some under [extensions], such as tce = ["bash.tcz"], or leave the output out',
    )


def _put_files(
    iso: Tree, composition: Composition, metadata: Metadata
) -> Iterator[PurekernelError]:
    """Add the recipe's files to ``iso``, and yield an error for each that cannot be added."""
    made = _made_files(composition)
    for file in composition.recipe.iso_files:
        path = file.raw_path
        mode = metadata.mode | (_EXECUTABLE if file.executable else 0)
        try:
            with inside(file.place("path")):
                if path in made:
                    what, hint = made[path]
                    raise UsageError(f"{file.path!r} cannot be replaced: it is {what}", hint=hint)
                content = composition.disc.files[path]
                put_file(iso, path, content, metadata=evolve(metadata, mode=mode))
        except PurekernelError as error:
            yield error


def _made_files(composition: Composition) -> dict[bytes, tuple[str, str]]:
    """Return what the build itself puts on the ISO: by path, what it is and what to do instead."""
    base = composition.base
    other = "choose another path"
    made = dict.fromkeys(composition.iso_files, ("a file of the project", other))
    if composition.describe is not None:
        made[METADATA_FILE] = ("made from the image", other)
    if base.boot is not None:
        made[base.boot.boot_image] = ("the boot loader", "use a base that has the one you want")
        made[base.boot.catalog] = ("the boot catalog", other)
    made[base.kernel_path] = ("the kernel", "give a kernel under [core]")
    initrd = ("an initrd", "change the root file system by an overlay, or give initrd under [core]")
    made |= dict.fromkeys((each.path for each in base.initrds), initrd)
    return made


# Extend the folder of extensions.


def _add_cde(
    iso: Tree, added: Tree, lines: Iterable[Sequence[bytes]]
) -> tuple[Tree, tuple[str, ...]]:
    """Return ``iso`` with the extensions in ``added``, and notes.

    Extensions and scripts replace those of the same name. Lists get the names that they lack.
    """
    iso = iso.copy()
    replaced = list(_remove_replaced(iso, added))
    lists = {join(CDE, each): ONBOOT for each in _onboot_lists(lines)}
    notes = [*_loaded_anyway(iso, added, lists)]
    if COPIED in added:
        lists[join(CDE, COPIED)] = COPIED
    for path, node in added.walk():
        target = join(CDE, path) if path else CDE
        if path not in (ONBOOT, COPIED) and not (
            isinstance(node, Directory) and isinstance(iso.get(target), Directory)
        ):
            iso.add(target, node)
    for target, path in lists.items():
        node = added[path]
        content = _extended(_content(iso, target), _content(added, path))
        put_file(iso, target, content, metadata=node.metadata)
    if replaced:
        example = display(replaced[0])
        notes.append(
            f"replaced {with_example(len(replaced), 'extension', example, clause=' of the base')}"
        )
    return iso, tuple(notes)


def _remove_replaced(iso: Tree, added: Tree) -> Iterator[bytes]:
    """Remove what describes extensions of ``iso`` that are replaced; yield those that change."""
    for path, node in added.walk(OPTIONAL):
        target = join(CDE, path)
        if not path.endswith(b".tcz") or target not in iso:
            continue
        if not isinstance(node, File) or _content(iso, target) != node.content:
            yield target
        for ending in _DESCRIBING:
            if target + ending in iso:
                iso.remove(target + ending)


def _onboot_lists(lines: Iterable[Sequence[bytes]]) -> list[bytes]:
    """Return the names of the lists from which command lines with the word ``cde`` load."""
    named = [match[1] for line in lines for match in map(_LIST.fullmatch, line) if match]
    return list(dict.fromkeys((ONBOOT, *named)))


def _loaded_anyway(iso: Tree, added: Tree, lists: Iterable[bytes]) -> Iterator[str]:
    """Yield a note for each extension on demand that a list of the base loads at boot."""
    scripts = added.entries(ONDEMAND) if ONDEMAND in added else ()
    for target in lists:
        known = _names(_content(iso, target))
        for script in sorted(scripts):
            if script + b".tcz" in known:
                extension = display(script + b".tcz")
                yield (
                    f"{extension} is loaded at boot all the same: {display(target)} of the base "
                    "lists it"
                )


def _extended(old: bytes, new: bytes) -> bytes:
    """Return a list with the names of ``new`` that it lacks at its end."""
    known = _names(old)
    missing = [each for each in _names(new) if each not in known]
    start = old if old.endswith(b"\n") or not old else old + b"\n"
    return start + b"".join(each + b"\n" for each in missing)


def _names(content: bytes) -> dict[bytes, None]:
    """Return the extensions that a list names, as Core reads it, in order."""
    words = (line.partition(b"#")[0].split() for line in content.splitlines())
    return dict.fromkeys(line[0].removesuffix(b".tcz") + b".tcz" for line in words if line)


def _content(tree: Tree, path: bytes) -> bytes:
    node = tree.get(path)
    return bytes(node.content) if isinstance(node, File) else b""

"""Say how the content of a file changed, by what it means: text, program, module, cache, kernel."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress

from purekernel.analysis.diff.compare import place_of
from purekernel.analysis.diff.model import Aspect, Change, Fact, FactChange, compare_facts
from purekernel.analysis.diff.unified import MAX_TEXT_BYTES, Hunks, compare_texts
from purekernel.analysis.libraries import machine_name, machine_of
from purekernel.errors import PurekernelError
from purekernel.formats.bzimage import is_64_bit, kernel_release
from purekernel.formats.compression import COMPRESSED, unpack
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.elf import ElfObject, parse_object
from purekernel.formats.kernel_module import parse_kernel_module
from purekernel.formats.ld_cache import list_ld_cache, parse_ld_cache
from purekernel.formats.module_index import parse_index
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import File
from purekernel.tree.path import escape, name

# What of a module's information is worth a line; the rest is in the file.
_OF_MODULES = (b"vermagic", b"depends", b"version", b"license", b"description", b"parm", b"alias")

# The indexes that depmod makes of modules.alias and the like, and these themselves, in which the
# order of lines means nothing.
_INDEX_ENDING = b".bin"
_MODULE_LISTS = (b"modules.alias", b"modules.symbols")


@frozen(kw_only=True)
class Detail:
    """How a content changed.

    Attributes:
        facts: the properties that changed.
        hunks: the lines that changed; ``None`` if it is no text, or properties tell it.
        has_same_meaning: whether the bytes differ, and not what they mean to who reads them.
    """

    facts: tuple[FactChange, ...] = ()
    hunks: Hunks | None = None
    has_same_meaning: bool = False


def describe_change(change: Change) -> Detail:
    """Return how the content of a changed file differs; nothing for other changes.

    A damaged file has no properties, and may be shown as text.
    """
    old, new = change.old, change.new
    if (
        Aspect.CONTENT not in change.aspects
        or change.is_entered
        or not isinstance(old, File)
        or not isinstance(new, File)
    ):
        return Detail(facts=change.facts)
    try:
        detail = _describe(change, old, new)
    except PurekernelError:  # reported by the comparison
        return Detail(facts=change.facts)
    if change.facts:  # the entries of a menu, in place of its text
        return Detail(facts=(*change.facts, *detail.facts))
    return detail


def _describe(change: Change, old: File, new: File) -> Detail:
    shown = place_of(change)
    before, after = (_unpacked(Input(node.content, name=shown)) for node in (old, new))
    if before.data == after.data:
        return Detail(has_same_meaning=True)
    read = _reader_for(change.path, before)
    if read is not None:
        with suppress(PurekernelError):  # damaged, or of another kind after all
            facts = compare_facts(read(before), read(after))
            if facts or _means_all(change.path):
                return Detail(facts=facts, has_same_meaning=not facts)
            return Detail()
    texts = bytes(before.data), bytes(after.data)
    if all(map(_is_text, texts)):
        return Detail(hunks=compare_texts(*texts))
    return Detail()


def _unpacked(file: Input) -> Input:
    """Return the content of a file that is compressed, such as a manual page."""
    if detect(file.data) not in COMPRESSED:
        return file
    with suppress(PurekernelError):
        return file.unpacked(unpack(file))
    return file


def _is_text(data: bytes) -> bool:
    return len(data) <= MAX_TEXT_BYTES and b"\0" not in data


# Readers.


def _reader_for(path: bytes, file: Input) -> Callable[[Input], Mapping[str, Fact]] | None:
    own_name = name(path)
    if own_name == b"modules.dep":
        return _dependencies
    if own_name.startswith(b"modules.") and own_name.endswith(_INDEX_ENDING):
        return _index
    if own_name in _MODULE_LISTS:
        return _lines
    if own_name == b"ld.so.cache":
        return _cache
    kind = detect(file.data)
    if kind is FileKind.ELF:
        return _elf
    return _kernel if kind is FileKind.BZIMAGE else None


def _means_all(path: bytes) -> bool:
    """Return whether the facts of a file are all that it says."""
    return name(path).startswith((b"ld.so.cache", b"modules."))


def _dependencies(file: Input) -> dict[str, Fact]:
    """Return what each module depends on."""
    found: dict[str, Fact] = {}
    for line in bytes(file.data).splitlines():
        module, colon, needed = line.partition(b":")
        if not colon:
            raise file.fail(None, "a colon after the name of a module", escape(line[:80]))
        found[escape(module)] = tuple(map(escape, needed.split())) or "no other module"
    return found


def _lines(file: Input) -> dict[str, Fact]:
    lines = bytes(file.data).splitlines()
    return {"lines": tuple(escape(line) for line in lines if line and not line.startswith(b"#"))}


def _index(file: Input) -> dict[str, Fact]:
    return {
        "entries": tuple(
            f"{escape(each.key)} {escape(each.value)}".rstrip() for each in parse_index(file)
        )
    }


def _cache(file: Input) -> dict[str, Fact]:
    cache = parse_ld_cache(file)
    lines = list_ld_cache(cache, name=b"")[1:]
    return {
        "format": cache.format.value,
        "libraries": tuple(escape(line.strip()) for line in lines),
    }


def _kernel(file: Input) -> dict[str, Fact]:
    bits = "64-bit" if is_64_bit(file.data) else "32-bit"
    return {"release": kernel_release(file.data) or "unknown", "kernel": bits}


def _elf(file: Input) -> dict[str, Fact]:
    found = parse_object(file)
    return _module(file) if found is None else _object(found)


def _by_numbers(version: str) -> list[tuple[int, str]]:
    """Return a sort key that puts GLIBC_2.4 before GLIBC_2.34."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split("([0-9]+)", version)]


def _object(found: ElfObject) -> dict[str, Fact]:
    facts: dict[str, Fact] = {
        "machine": machine_name(machine_of(found)),
        "needed libraries": tuple(map(escape, found.needed)),
        "needed versions": tuple(
            sorted(
                {f"{escape(each.library)} {escape(each.name)}" for each in found.needed_versions},
                key=_by_numbers,
            )
        ),
        "defined versions": tuple(map(escape, found.versions)),
    }
    texts = {
        "soname": found.soname, "loader": found.interpreter, "RPATH": found.rpath or None,
        "RUNPATH": found.runpath,
    }  # fmt: skip
    return facts | {subject: escape(text) for subject, text in texts.items() if text is not None}


def _module(file: Input) -> dict[str, Fact]:
    module = parse_kernel_module(file)
    facts: dict[str, Fact] = {
        key.decode(): tuple(map(escape, module.values(key))) for key in _OF_MODULES
    }
    facts["exported symbols"] = tuple(escape(each.name) for each in module.exports)
    facts["needed symbols"] = tuple(escape(each.name) for each in module.needs)
    return facts

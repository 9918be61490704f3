"""Write the files of kmod's depmod.

Source: tools/depmod.c of kmod 30, of 33 for modules.weakdep and of 34 for the order of indexes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from purekernel.formats.module_index import IndexValue, build_index
from purekernel.rootfs.depmod.builtin import builtin_aliases, builtin_names
from purekernel.rootfs.depmod.kmod import KmodModules, Module
from purekernel.rootfs.depmod.normalize import normalize_alias
from purekernel.tree import display

WEAKDEP_SINCE = 33
ROOT_FIRST_SINCE = 34

# The entries whose duplicates kmod reports with -w.
_DUPLICATES_REPORTED = ("a module", "an alias", "a symbol")

_DEVICE = re.compile(rb"(char|block)-major-[ \t]*\+?([0-9]{1,9})-[ \t]*\+?([0-9]{1,9})")
_DEVNAME = b"devname:"

Warn = Callable[[str], None]


def build_kmod_files(
    modules: KmodModules,
    *,
    builtin: bytes | None,
    builtin_modinfo: bytes | None,
    version: int,
    warn: Warn,
    report_duplicates: bool = False,
) -> dict[bytes, bytes]:
    """Return the content of each file, by name, in the order of writing.

    Args:
        modules: the modules of the release.
        builtin: the content of modules.builtin, ``None`` if it is missing.
        builtin_modinfo: the content of modules.builtin.modinfo, ``None`` if it is missing.
        version: the version of kmod.
        warn: called with a line for each entry that cannot be written.
        report_duplicates: whether to warn about duplicate entries of an index, too.
    """

    def index(entries: Iterable[IndexValue], what: str) -> bytes:
        indexable = list(_indexable(entries, what, warn))
        if report_duplicates and what in _DUPLICATES_REPORTED:
            _warn_about_duplicates(indexable, what, warn)
        return build_index(indexable, root_first=version >= ROOT_FIRST_SINCE)

    lines = dependency_lines(modules)
    files = {
        b"modules.dep": b"".join(line + b"\n" for line in lines),
        b"modules.dep.bin": index(
            (
                IndexValue(module.name, line, module.number)
                for module, line in zip(modules.modules, lines, strict=True)
            ),
            "a module",
        ),
        b"modules.alias": b"# Aliases extracted from modules themselves.\n"
        + b"".join(
            b"alias " + alias + b" " + module.name + b"\n" for module, alias in _aliases(modules)
        ),
        b"modules.alias.bin": index(_alias_entries(modules, warn), "an alias"),
        b"modules.softdep": b"# Soft dependencies extracted from modules themselves.\n"
        + _values_as_lines(modules, b"softdep"),
    }
    if version >= WEAKDEP_SINCE:
        files[b"modules.weakdep"] = (
            b"# Weak dependencies extracted from modules themselves.\n"
            + _values_as_lines(modules, b"weakdep")
        )
    files |= {
        b"modules.symbols": b"# Aliases for symbols, used by symbol_request().\n"
        + b"".join(
            b"alias symbol:" + symbol + b" " + owner.name + b"\n"
            for symbol, owner in modules.symbols
        ),
        b"modules.symbols.bin": index(
            (
                IndexValue(b"symbol:" + symbol, owner.name, owner.number)
                for symbol, owner in modules.symbols
            ),
            "a symbol",
        ),
        b"modules.builtin.bin": b""
        if builtin is None
        else index(builtin_names(builtin, warn), "modules.builtin"),
        b"modules.builtin.alias.bin": b""
        if builtin_modinfo is None
        else index(builtin_aliases(builtin_modinfo, warn), "modules.builtin.modinfo"),
        b"modules.devname": _devnames(modules, warn),
    }
    return files


def dependency_lines(modules: KmodModules) -> list[bytes]:
    """Return the lines of modules.dep without newlines."""
    return [
        module.path + b":" + b"".join(b" " + needed.path for needed in module.all_needs)
        for module in modules.modules
    ]


def _indexable(entries: Iterable[IndexValue], what: str, warn: Warn) -> Iterator[IndexValue]:
    """Yield the entries with ASCII keys. Other keys make kmod write out of bounds, or exit."""
    for entry in entries:
        if entry.key.isascii():
            yield entry
        else:
            warn(f"{display(entry.key)}, {what}: not indexed: must be ASCII")


def _warn_about_duplicates(entries: list[IndexValue], what: str, warn: Warn) -> None:
    seen = set()
    for entry in entries:
        if (entry.key, entry.value) in seen:
            warn(f"{display(entry.key)} of {display(entry.value)}, {what}: duplicate entry")
        seen.add((entry.key, entry.value))


def _aliases(modules: KmodModules) -> Iterator[tuple[Module, bytes]]:
    for module in modules.modules:
        for alias in module.values(b"alias"):
            yield module, alias


def _alias_entries(modules: KmodModules, warn: Warn) -> Iterator[IndexValue]:
    for module, alias in _aliases(modules):
        key = normalize_alias(alias)
        if key is None:
            warn(f"{display(module.path)}: the alias {display(alias)} has an unmatched bracket")
        else:
            yield IndexValue(key, module.name, module.number)


def _values_as_lines(modules: KmodModules, key: bytes) -> bytes:
    return b"".join(
        key + b" " + module.name + b" " + value + b"\n"
        for module in modules.modules
        for value in module.values(key)
    )


def _devnames(modules: KmodModules, warn: Warn) -> bytes:
    lines = []
    for module in modules.modules:
        device = name = None
        for alias in module.values(b"alias"):
            numbers = _DEVICE.match(alias)
            if alias.startswith(_DEVNAME):
                name = alias[len(_DEVNAME) :]
            elif numbers is not None:
                device = b"%s%d:%d" % (numbers[1][:1], int(numbers[2]), int(numbers[3]))
            if device is not None and name is not None:
                break
        if name is None:
            continue
        if device is None:
            warn(f"{display(module.path)}: the device {display(name)} has no numbers")
        else:
            lines.append(module.name + b" " + name + b" " + device + b"\n")
    if not lines:
        return b""
    return b"# Device nodes to trigger on-demand module loading.\n" + b"".join(lines)

"""Write the three text files of busybox's depmod.

busybox does not parse ELF. It searches each unpacked module for three keywords, and takes the bytes
after a keyword, up to the next NUL, as its value.

Source: modutils/depmod.c and modutils/modutils.c of busybox, from 1.19.4 to 1.36.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from attrs import Factory, define, field

from purekernel.errors import FormatError, ModuleLoopError
from purekernel.formats.compression import unpack
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.kernel_module import LIMITS
from purekernel.input import Input, Limits
from purekernel.records import frozen
from purekernel.rootfs.depmod.found import (
    MAX_DEPTH,
    FoundModule,
    Listing,
    check_names,
    check_needs,
    module_name,
    show_cycle,
)
from purekernel.rootfs.modules import LOCAL_LINK
from purekernel.tree import Directory, File, Symlink, Tree, display, look_up
from purekernel.tree.path import join, name

# The first version whose lines end in a module's kernel name, not its file name.
KERNEL_NAMES_SINCE = (1, 24)
# The first version that keeps modules in a hash table, not a list; and its number of buckets.
TABLE_SINCE = (1, 25)
BUCKETS = 256

MAX_NAME_BYTES = 255

# No keyword is searched in this many bytes at the end of a file.
TAIL_BYTES = 10

# busybox unpacks gzip, bzip2 and xz, by magic number. It searches other packed files without
# unpacking.
_NOT_UNPACKED = (FileKind.LZMA, FileKind.ZSTD)

_DEPENDS, _ALIAS, _SYMBOL = b"depends=", b"alias=", b"__ksymtab_"


@frozen(kw_only=True)
class Busybox:
    """The properties of a busybox that change what its depmod writes.

    Attributes:
        version: major and minor.
        follows_links: whether it searches linked folders. Only Tiny Core's does, and so finds the
            modules of extensions.
    """

    version: tuple[int, int] = (1, 35)
    follows_links: bool = False


@define(eq=False)
class _Module:
    """A module and its values; aliases and symbols are in file order, and written in reverse."""

    name: bytes
    path: bytes
    needs: list[bytes] = Factory(list)
    aliases: list[bytes] = Factory(list)
    symbols: list[bytes] = Factory(list)
    all_needs: list[_Module] = field(factory=list, repr=False)


def search_as_busybox(
    tree: Tree,
    folder: bytes,
    busybox: Busybox,
    warnings: list[str],
    listing: Listing | None = None,
) -> list[FoundModule]:
    """Return all files in ``folder`` and below that busybox takes for modules, in order.

    Args:
        tree: the root file system.
        folder: the folder of the release.
        busybox: the busybox whose depmod runs.
        warnings: receives a line for each file that is skipped.
        listing: returns the order of names in a folder. busybox uses the file system's order; the
            default sorts by bytes.

    Raises:
        LimitError: links between folders lead to too many names.
    """
    listing = listing or tree.entries
    top = look_up(tree, folder)
    if top is None or not isinstance(top.node, Directory):
        return []
    found: list[FoundModule] = []
    names = 0
    pending = [(b".", top.path, frozenset[bytes]())]
    while pending:
        path, real_path, above = pending.pop()
        node = tree.get(real_path)
        if isinstance(node, Symlink):
            target = look_up(tree, real_path)
            if target is None:
                if name(path) != LOCAL_LINK:  # filled by extensions
                    warnings.append(f"{display(path[2:])}: skipped: broken symbolic link")
                continue
            if isinstance(target.node, Directory) and not busybox.follows_links:
                continue
            real_path, node = target.path, target.node
        if isinstance(node, Directory):
            if real_path in above or len(above) >= MAX_DEPTH:
                warnings.append(f"{display(path[2:])}: skipped: link to a parent folder")
                continue
            entries = listing(real_path)
            names += len(entries)
            check_names(names, folder)
            now_above = above | {real_path}
            pending += [
                (path + b"/" + entry, join(real_path, entry), now_above)
                for entry in reversed(entries)
            ]
        elif isinstance(node, File) and b".ko" in path:
            found.append(FoundModule(path=path[2:], name=_kernel_name(path), node=node))
    return found


def build_busybox_files(
    found: Iterable[FoundModule], busybox: Busybox, warnings: list[str]
) -> dict[bytes, bytes]:
    """Return the content of each file, by name, in the order of writing.

    Args:
        found: the modules, in the order of reading.
        busybox: the busybox whose depmod runs.
        warnings: receives a line for each module that cannot be read.

    Raises:
        ModuleLoopError: modules depend on one another in a cycle, which crashes busybox.
        LimitError: the dependencies are too many.
    """
    modules: list[_Module] = []
    by_name: dict[bytes, _Module] = {}
    has_table = busybox.version >= TABLE_SINCE
    limits = LIMITS.budgeted()
    for found_module in found:
        module = by_name.get(found_module.name) if has_table else None
        if module is None:
            module = _Module(found_module.name, found_module.path)
            modules.append(module)
        module.path = found_module.path
        # busybox searches its list from the module that was read last.
        by_name[found_module.name] = module
        _read(module, found_module.node, limits, warnings)
    modules.reverse()
    if has_table:
        modules.sort(key=lambda module: _bucket(module.name))
    _resolve(modules, by_name, has_table=has_table)
    return {
        b"modules.dep": b"".join(
            module.path + b":" + b"".join(b" " + needed.path for needed in module.all_needs) + b"\n"
            for module in modules
        ),
        b"modules.alias": b"".join(
            b"alias " + alias + b" " + _shown_name(module, busybox) + b"\n"
            for module in modules
            for alias in reversed(module.aliases)
        ),
        b"modules.symbols": b"".join(
            b"alias symbol:" + symbol + b" " + _shown_name(module, busybox) + b"\n"
            for module in modules
            for symbol in reversed(module.symbols)
        ),
    }


def _kernel_name(path: bytes) -> bytes:
    return module_name(name(path))[:MAX_NAME_BYTES]


def _shown_name(module: _Module, busybox: Busybox) -> bytes:
    if busybox.version >= KERNEL_NAMES_SINCE:
        return module.name
    return name(module.path).partition(b".")[0]


def _bucket(key: bytes) -> int:
    value = 0
    for byte in key:
        # Only the lowest byte of the result is used, so signs and overflows do not matter.
        value = (value * 33 + byte) % BUCKETS
    return value


def _read(module: _Module, node: File, limits: Limits, warnings: list[str]) -> None:
    try:
        content = node.content
        file = Input(content, name=display(module.path), limits=limits)
        file.count_data()
        if detect(content) not in _NOT_UNPACKED:
            content = unpack(file)
    except FormatError as error:
        warnings.append(f"cannot read a module: {error}")
        return
    image = bytes(content)
    position = 0
    for start, keyword in _keywords(image):
        if start < position:
            continue
        text_at = start + len(keyword)
        if keyword == _SYMBOL and image.startswith(b"gpl", text_at):
            position = text_at + 1
            continue
        end = image.find(b"\0", text_at)
        text = image[text_at:] if end < 0 else image[text_at:end]
        if keyword == _DEPENDS:
            check_needs(text.count(b","), module.path)
            needs = [need for need in text.replace(b"-", b"_").split(b",") if need]
            module.needs += needs
            position = text_at + sum(map(len, needs)) + 1
        elif keyword == _ALIAS:
            module.aliases.append(text)
            position = text_at + len(text) + 1
        elif text == b"strings":
            position = text_at + 1
        else:
            module.symbols.append(text)
            position = text_at + len(text) + 1


def _keywords(image: bytes) -> Iterator[tuple[int, bytes]]:
    last = len(image) - TAIL_BYTES
    found = [
        (match.start(), keyword)
        for keyword in (_DEPENDS, _ALIAS, _SYMBOL)
        for match in re.finditer(re.escape(keyword), image)
        if match.start() < last
    ]
    yield from sorted(found)


def _resolve(modules: list[_Module], by_name: dict[bytes, _Module], *, has_table: bool) -> None:
    """Set the dependencies of each module, direct and indirect, in busybox's order.

    busybox walks all dependencies of each module depth first. If it meets a module more than once,
    the last position counts. A backward walk where the first position counts gives the same order,
    and can reuse the results of modules that are already resolved.
    """
    needs = {
        module: [
            by_name[key]
            for need in module.needs
            if (key := module_name(need)[:MAX_NAME_BYTES] if has_table else need) in by_name
        ]
        for module in modules
    }
    finished: set[_Module] = set()
    steps = 0
    for start in modules:
        # The modules that are entered and not finished, each a dependency of the previous one.
        path_to_module: dict[_Module, None] = {}
        pending = [start]
        while pending:
            module = pending[-1]
            if module in finished:
                pending.pop()
            elif module in path_to_module:
                backwards: dict[_Module, None] = {}
                for needed in reversed(needs[module]):
                    steps += 1 + len(needed.all_needs)
                    check_needs(steps, module.path)
                    backwards.update(dict.fromkeys(reversed(needed.all_needs)))
                    backwards.setdefault(needed)
                module.all_needs = list(reversed(backwards))
                finished.add(module)
                del path_to_module[module]
            else:
                path_to_module[module] = None
                for needed in needs[module]:
                    if needed in path_to_module:
                        raise ModuleLoopError(_describe_cycle(list(path_to_module), needed))
                pending += needs[module]


def _describe_cycle(path_to_module: list[_Module], first: _Module) -> str:
    """Describe the cycle of dependencies from ``first`` back to itself."""
    cycle = [*path_to_module[path_to_module.index(first) :], first]
    return show_cycle([module.name for module in cycle])

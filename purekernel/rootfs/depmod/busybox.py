"""What busybox's depmod writes: three text files, from whatever in a module looks right.

It knows no ELF. Wherever a module, unpacked, has one of three words, what follows it up to the
next NUL counts.

Source: modutils/depmod.c and modutils/modutils.c of busybox, from 1.19.4 to 1.36.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from attrs import Factory, define, field, frozen

from purekernel.errors import FormatError, ModuleLoopError
from purekernel.formats.compression import LZMA_MAGIC, ZSTD_MAGIC, unpack
from purekernel.formats.kernel_module import LIMITS
from purekernel.rootfs.depmod.found import (
    MAX_DEPTH,
    FoundModule,
    Listing,
    check_names,
    module_name,
)
from purekernel.rootfs.modules import LOCAL_LINK
from purekernel.tree import Directory, File, Symlink, Tree, display, look_up
from purekernel.tree.path import join, name

# Since then lines end in the kernel's name of a module, not in its file's.
KERNEL_NAMES_SINCE = (1, 24)
# Since then modules are kept in a table of so many buckets, not in a list.
TABLE_SINCE = (1, 25)
BUCKETS = 256

MAX_NAME_BYTES = 255

# Behind this many bytes before a file's end no word is looked for.
TAIL_BYTES = 10

# busybox knows gzip, bzip2 and xz by their first bytes. What is packed otherwise it searches as
# it is.
_NOT_UNPACKED = (LZMA_MAGIC, ZSTD_MAGIC)

_DEPENDS, _ALIAS, _SYMBOL = b"depends=", b"alias=", b"__ksymtab_"


@frozen(kw_only=True)
class Busybox:
    """A busybox, as far as its depmod differs from others.

    Attributes:
        version: major and minor.
        follows_links: whether it looks into folders that are links. Tiny Core's does, which
            is how it finds what extensions bring, and others do not.
    """

    version: tuple[int, int] = (1, 35)
    follows_links: bool = False


@define(eq=False)
class _Module:
    """A module, with what was found in it; aliases and symbols stand last first."""

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
        tree: where they are.
        folder: of the release.
        busybox: whose depmod.
        warnings: gets what was passed over.
        listing: the order of names in a folder; busybox takes them as the file system has
            them, we by their bytes.

    Raises:
        LimitError: links to folders lead on and on.
    """
    listing = listing or tree.entries
    top = look_up(tree, folder)
    if top is None or not isinstance(top.node, Directory):
        return []
    found: list[FoundModule] = []
    names = 0
    pending = [(b".", top.path, frozenset[bytes]())]
    while pending:
        path, place, above = pending.pop()
        node = tree.get(place)
        if isinstance(node, Symlink):
            led = look_up(tree, place)
            if led is None:
                if name(path) != LOCAL_LINK:  # which waits for extensions
                    warnings.append(f"{display(path[2:])} is a link that leads nowhere")
                continue
            if isinstance(led.node, Directory) and not busybox.follows_links:
                continue
            place, node = led.path, led.node
        if isinstance(node, Directory):
            if place in above or len(above) >= MAX_DEPTH:
                warnings.append(f"{display(path[2:])} leads back to a folder that it lies in")
                continue
            entries = listing(place)
            names += len(entries)
            check_names(names, folder)
            now_above = above | {place}
            pending += [
                (path + b"/" + entry, join(place, entry), now_above) for entry in reversed(entries)
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
        busybox: whose depmod.
        warnings: gets what could not be read.

    Raises:
        ModuleLoopError: modules need one another in a circle, which busybox dies of.
    """
    modules: list[_Module] = []
    by_name: dict[bytes, _Module] = {}
    tabled = busybox.version >= TABLE_SINCE
    for one in found:
        module = by_name.get(one.name) if tabled else None
        if module is None:
            module = _Module(one.name, one.path)
            modules.append(module)
        module.path = one.path
        # In a list, the module that was read last is found first.
        by_name[one.name] = module
        _read(module, one.node, warnings)
    modules.reverse()
    if tabled:
        modules.sort(key=lambda module: _bucket(module.name))
    _resolve(modules, by_name, tabled=tabled)
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


def _bucket(known: bytes) -> int:
    value = 0
    for byte in known:
        # Only the lowest byte of the product counts, so signs and overflows do not.
        value = (value * 33 + byte) % BUCKETS
    return value


def _read(module: _Module, file: File, warnings: list[str]) -> None:
    try:
        content = file.content
        if not bytes(content[:4]).startswith(_NOT_UNPACKED):
            content = unpack(content, source=display(module.path), limits=LIMITS)
    except FormatError as error:
        warnings.append(f"a module that cannot be read: {error}")
        return
    image = bytes(content)
    here = 0
    for start, word in _words(image):
        if start < here:
            continue
        text_at = start + len(word)
        if word == _SYMBOL and image.startswith(b"gpl", text_at):
            here = text_at + 1
            continue
        end = image.find(b"\0", text_at)
        text = image[text_at:] if end < 0 else image[text_at:end]
        if word == _DEPENDS:
            needs = [need for need in text.replace(b"-", b"_").split(b",") if need]
            module.needs += needs
            here = text_at + sum(map(len, needs)) + 1
        elif word == _ALIAS:
            module.aliases.append(text)
            here = text_at + len(text) + 1
        elif text == b"strings":
            here = text_at + 1
        else:
            module.symbols.append(text)
            here = text_at + len(text) + 1


def _words(image: bytes) -> Iterator[tuple[int, bytes]]:
    last = len(image) - TAIL_BYTES
    found = [
        (match.start(), word)
        for word in (_DEPENDS, _ALIAS, _SYMBOL)
        for match in re.finditer(re.escape(word), image)
        if match.start() < last
    ]
    yield from sorted(found)


def _resolve(modules: list[_Module], by_name: dict[bytes, _Module], *, tabled: bool) -> None:
    """Give each module all that it needs, in busybox's order.

    busybox walks down to the bottom from each, and of what it comes by more than once the
    last time counts. That is the same as to walk backwards and to let the first time count,
    and that can go on from what is known of those below.
    """
    needs = {
        module: [
            by_name[known]
            for need in module.needs
            if (known := module_name(need)[:MAX_NAME_BYTES] if tabled else need) in by_name
        ]
        for module in modules
    }
    finished: set[_Module] = set()
    for start in modules:
        # Those that are gone into and not finished, each needed by the one before.
        way: dict[_Module, None] = {}
        pending = [start]
        while pending:
            module = pending[-1]
            if module in finished:
                pending.pop()
            elif module in way:
                backwards: dict[_Module, None] = {}
                for needed in reversed(needs[module]):
                    backwards.update(dict.fromkeys(reversed(needed.all_needs)))
                    backwards.setdefault(needed)
                module.all_needs = list(reversed(backwards))
                finished.add(module)
                del way[module]
            else:
                way[module] = None
                for needed in needs[module]:
                    if needed in way:
                        raise ModuleLoopError(_circle(list(way), needed))
                pending += needs[module]


def _circle(way: list[_Module], first: _Module) -> str:
    """Return in words how a way comes back to ``first``."""
    circle = [*way[way.index(first) :], first]
    return "modules need one another in a circle: " + " -> ".join(
        module.name.decode("ascii", "backslashreplace") for module in circle
    )

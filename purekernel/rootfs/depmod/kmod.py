"""Which module needs which, as kmod works it out.

Source: tools/depmod.c of kmod 30.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import Factory, define, field

from purekernel.errors import FormatError, ModuleLoopError
from purekernel.formats.kernel_module import KernelModule, parse_kernel_module
from purekernel.formats.kernel_module.symbols import Requirement
from purekernel.rootfs.depmod.found import FoundModule
from purekernel.rootfs.depmod.kernel_symbols import KernelSymbols
from purekernel.rootfs.depmod.kmod_hash import in_table_order
from purekernel.tree import display

# Of equal lines in modules.order, the last counted before.
FIRST_LINE_SINCE = 34

# On 64-bit PowerPC, a function's entry has it before its name.
DOT = b"."

# How many buckets kmod's tables of modules and of symbols have.
MODULE_BUCKETS, SYMBOL_BUCKETS = 512, 2048

_NOTHING = KernelModule(information=(), exports=(), requires=())


@define(eq=False)
class Module:
    """A module in the making of an index.

    Attributes:
        name: as the kernel knows it.
        path: as modules.dep names it.
        information: of its ``.modinfo``.
        number: its place in the order of modules.
        needs: the modules that it takes symbols of, itself among them if it takes its own.
        rank: its place among all when each stands before what it needs.
        all_needs: what it needs, and what that needs, by rank.
    """

    name: bytes
    path: bytes
    information: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    number: int = 0
    needs: list[Module] = field(factory=list, repr=False)
    rank: int = -1
    all_needs: list[Module] = field(factory=list, repr=False)

    def values(self, key: bytes) -> list[bytes]:
        """Return all values of ``key`` in the module's information, in order."""
        return [value for found, value in self.information if found == key]


@define(kw_only=True)
class Modules:
    """All modules of a release, in order, and whose each symbol is.

    Attributes:
        modules: by number.
        symbols: which module exports it, in the order of kmod's table.
        warnings: what could not be read, and what is not as it should be.
    """

    modules: list[Module]
    symbols: list[tuple[bytes, Module]]
    warnings: list[str] = Factory(list)


def relate_modules(
    found: Iterable[FoundModule],
    *,
    order: bytes | None,
    version: int,
    kernel: KernelSymbols | None = None,
    report_unknown: bool = True,
) -> Modules:
    """Return modules in kmod's order, with what each needs.

    A module that cannot be read stays, and neither offers nor needs anything.

    Args:
        found: the modules that count.
        order: the content of modules.order; ``None`` if there is none.
        version: of kmod.
        kernel: what the kernel itself exports, to tell what nobody does; ``None`` not to.
        report_unknown: whether to tell it.

    Raises:
        ModuleLoopError: modules need one another, or one needs itself, in a circle.
    """
    warnings: list[str] = []
    ordered = _in_order(list(found), order, version, warnings)
    modules: list[Module] = []
    # Names that many modules need are kept once, and what is to be told of them only if it is.
    names: dict[bytes, bytes] = {}
    needed: list[list[bytes]] = []
    requires: list[Sequence[Requirement]] = []
    owners: dict[bytes, tuple[Module | None, int]] = {}
    if kernel is not None:
        owners = {name: (None, crc) for name, crc in kernel.symbols.items()}
    for number, one in enumerate(ordered):
        parsed = _NOTHING
        try:
            parsed = parse_kernel_module(one.content, source=display(one.path))
        except FormatError as error:
            warnings.append(f"a module that cannot be read: {error}")
        module = Module(one.name, one.path, parsed.information, number)
        modules.append(module)
        plain = [requirement.name.removeprefix(DOT) for requirement in parsed.requires]
        needed.append(list(map(names.setdefault, plain, plain)))
        if kernel is not None:
            requires.append(parsed.requires)
        for export in parsed.exports:
            owners[export.name] = (module, export.crc)
    for module, wanted in zip(modules, needed, strict=True):
        module.needs = _find_needs(wanted, owners)
    if kernel is not None:
        for module, required in zip(modules, requires, strict=True):
            warnings += _complain(module, required, owners, kernel, report_unknown=report_unknown)
    _rank(modules)
    return Modules(
        modules=modules,
        symbols=[
            (name, owner)
            for name in in_table_order(owners, SYMBOL_BUCKETS)
            if (owner := owners[name][0]) is not None
        ],
        warnings=warnings,
    )


def _in_order(
    found: list[FoundModule], order: bytes | None, version: int, warnings: list[str]
) -> list[FoundModule]:
    """Return modules by modules.order, and those that it does not name behind, by table."""
    by_name = {module.name: module for module in found}
    tabled = [by_name[name] for name in in_table_order(by_name, MODULE_BUCKETS)]
    if order is None:
        warnings.append("there is no modules.order")
        return tabled
    lines = order.split(b"\n")
    if lines.pop():
        warnings.append("modules.order does not end in a newline, and is not used")
        return tabled
    numbered = list(enumerate(lines))
    if version >= FIRST_LINE_SINCE:
        numbered.reverse()
    # Of those that are equal, the last one here counts.
    by_order: dict[bytes | None, int] = {line: number for number, line in numbered}
    return sorted(tabled, key=lambda module: by_order.get(_ordered_path(module), len(lines)))


def _ordered_path(module: FoundModule) -> bytes | None:
    """Return the path by which modules.order would name a module: not packed.

    It names none in other folders, whose paths are absolute.
    """
    if module.path.startswith(b"/"):
        return None
    folder_end = module.path.rfind(b"/") + 1
    return module.path[: folder_end + len(module.name) + len(b".ko")]


def _find_needs(
    names: Iterable[bytes], owners: dict[bytes, tuple[Module | None, int]]
) -> list[Module]:
    needs = dict.fromkeys([one[0] for one in map(owners.get, names) if one is not None])
    return [owner for owner in needs if owner is not None]


def _complain(
    module: Module,
    wanted: Sequence[Requirement],
    owners: dict[bytes, tuple[Module | None, int]],
    kernel: KernelSymbols,
    *,
    report_unknown: bool,
) -> Iterator[str]:
    """Yield a line for each symbol that nobody offers, or that is not what it was."""
    for requirement in wanted:
        if requirement.weak:
            continue
        found = owners.get(requirement.name.removeprefix(DOT))
        if found is None:
            if report_unknown:
                yield f"{display(module.path)} needs the unknown symbol {display(requirement.name)}"
        elif kernel.has_versions and found[1] != requirement.crc:
            yield (
                f"{display(module.path)} was built for another version of the symbol "
                f"{display(requirement.name)}"
            )


def _rank(modules: list[Module]) -> None:
    """Give each module a rank lower than that of all which it needs, and sort by it.

    Raises:
        ModuleLoopError: that cannot be.
    """
    users = [0] * len(modules)
    for module in modules:
        for needed in module.needs:
            users[needed.number] += 1
    free = [module for module in modules if not users[module.number]]
    ranked: list[Module] = []
    while free:
        module = free.pop()
        module.rank = len(ranked)
        ranked.append(module)
        for needed in module.needs:
            users[needed.number] -= 1
            if not users[needed.number]:
                free.append(needed)
    if len(ranked) < len(modules):
        raise ModuleLoopError(_loops([module for module in modules if module.rank < 0]))
    # What is needed comes behind, so from the back all that it needs is known already.
    reached: list[list[int]] = [[]] * len(ranked)
    for module in reversed(ranked):
        ranks: set[int] = set()
        for needed in module.needs:
            ranks.add(needed.rank)
            ranks.update(reached[needed.rank])
        reached[module.rank] = sorted(ranks)
        module.all_needs = [ranked[rank] for rank in reached[module.rank]]


def _loops(tied: list[Module]) -> str:
    """Return one circle that a module of ``tied`` is in, in words."""
    way: list[Module] = [tied[0]]
    # All of them are in a circle or needed by one; going up to who needs it ends in one.
    users: dict[int, Module] = {}
    for module in tied:
        for needed in module.needs:
            users.setdefault(needed.number, module)
    seen: dict[int, int] = {}
    while way[-1].number not in seen:
        seen[way[-1].number] = len(way) - 1
        way.append(users[way[-1].number])
    circle = way[seen[way[-1].number] :][::-1]
    return "modules need one another in a circle: " + " -> ".join(
        module.name.decode("ascii", "backslashreplace") for module in circle
    )

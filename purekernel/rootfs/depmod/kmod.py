"""Work out the dependencies between modules as kmod does.

Source: tools/depmod.c of kmod 30.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import Factory, define, field

from purekernel.errors import FormatError, ModuleLoopError
from purekernel.formats.kernel_module import (
    LIMITS,
    KernelModule,
    NeededSymbol,
    parse_kernel_module,
)
from purekernel.input import Input
from purekernel.rootfs.depmod.found import FoundModule, check_needs, show_cycle
from purekernel.rootfs.depmod.kernel_symbols import KernelSymbols
from purekernel.rootfs.depmod.kmod_hash import in_table_order
from purekernel.tree import display

# The first version where the first of equal lines in modules.order counts; before, the last did.
FIRST_LINE_SINCE = 34

# On 64-bit PowerPC, the symbol of a function's entry starts with a dot.
DOT = b"."

# The numbers of buckets of kmod's hash tables of modules and symbols.
MODULE_BUCKETS, SYMBOL_BUCKETS = 512, 2048

_NOTHING = KernelModule(information=(), exports=(), needs=())


@define(eq=False)
class Module:
    """A module with its dependencies.

    Attributes:
        name: the kernel's name.
        path: the path in modules.dep.
        information: keys and values of its ``.modinfo``.
        number: its index in the order of modules.
        needs: the modules whose symbols it uses; includes itself if it uses its own.
        rank: its index in a topological order, users before dependencies.
        all_needs: direct and indirect dependencies, by rank.
    """

    name: bytes
    path: bytes
    information: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    number: int = 0
    needs: list[Module] = field(factory=list, repr=False)
    rank: int = -1
    all_needs: list[Module] = field(factory=list, repr=False)

    def values(self, key: bytes) -> list[bytes]:
        """Return all values of ``key`` in the module's ``.modinfo``, in order."""
        return [value for found, value in self.information if found == key]


@define(kw_only=True)
class KmodModules:
    """All modules of a release, in order, and the owners of symbols.

    Attributes:
        modules: the modules, by number.
        symbols: each symbol and the module that exports it, in the order of kmod's table.
        warnings: one line for each fault.
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
) -> KmodModules:
    """Return modules in kmod's order, with their dependencies.

    A module that cannot be read is kept, without symbols and dependencies.

    Args:
        found: the modules to index.
        order: the content of modules.order; ``None`` if it is missing.
        version: the version of kmod.
        kernel: the symbols of the kernel, to check those that modules need; ``None`` for no check.
        report_unknown: whether to report symbols that neither the kernel nor a module exports.

    Raises:
        ModuleLoopError: modules depend on one another in a cycle, or a module on itself.
        LimitError: the dependencies are too many.
    """
    warnings: list[str] = []
    ordered = _sort_modules(list(found), order, version, warnings)
    modules: list[Module] = []
    # Intern the names of symbols; keep full requirements only if they are checked.
    names: dict[bytes, bytes] = {}
    needed: list[list[bytes]] = []
    requires: list[Sequence[NeededSymbol]] = []
    owners: dict[bytes, tuple[Module | None, int]] = {}
    limits = LIMITS.budgeted()
    if kernel is not None:
        owners = {name: (None, crc) for name, crc in kernel.symbols.items()}
    for number, found_module in enumerate(ordered):
        parsed = _NOTHING
        try:
            file = Input(found_module.content, name=display(found_module.path), limits=limits)
            file.count_data()
            parsed = parse_kernel_module(file)
        except FormatError as error:
            warnings.append(f"cannot read a module: {error}")
        module = Module(found_module.name, found_module.path, parsed.information, number)
        modules.append(module)
        plain = [requirement.name.removeprefix(DOT) for requirement in parsed.needs]
        needed.append(list(map(names.setdefault, plain, plain)))
        if kernel is not None:
            requires.append(parsed.needs)
        for export in parsed.exports:
            owners[export.name] = (module, export.crc)
    for module, wanted in zip(modules, needed, strict=True):
        module.needs = _find_needs(wanted, owners)
    if kernel is not None:
        for module, required in zip(modules, requires, strict=True):
            warnings += _check_symbols(
                module, required, owners, kernel, report_unknown=report_unknown
            )
    _rank(modules)
    return KmodModules(
        modules=modules,
        symbols=[
            (name, owner)
            for name in in_table_order(owners, SYMBOL_BUCKETS)
            if (owner := owners[name][0]) is not None
        ],
        warnings=warnings,
    )


def _sort_modules(
    found: list[FoundModule], order: bytes | None, version: int, warnings: list[str]
) -> list[FoundModule]:
    """Return modules in the order of modules.order, then the others in kmod's table order."""
    by_name = {module.name: module for module in found}
    in_table = [by_name[name] for name in in_table_order(by_name, MODULE_BUCKETS)]
    if order is None:
        warnings.append("modules.order: not found")
        return in_table
    lines = order.split(b"\n")
    if lines.pop():
        warnings.append("modules.order: ignored: the last line must end in a newline")
        return in_table
    numbered = list(enumerate(lines))
    if version >= FIRST_LINE_SINCE:
        numbered.reverse()
    # Of equal lines, the last in ``numbered`` counts.
    by_order: dict[bytes | None, int] = {line: number for number, line in numbered}
    return sorted(in_table, key=lambda module: by_order.get(_ordered_path(module), len(lines)))


def _ordered_path(module: FoundModule) -> bytes | None:
    """Return a module's path in modules.order, without the suffix of compression.

    modules.order has no modules outside the release's folder, whose paths are absolute.
    """
    if module.path.startswith(b"/"):
        return None
    folder_end = module.path.rfind(b"/") + 1
    return module.path[: folder_end + len(module.name) + len(b".ko")]


def _find_needs(
    names: Iterable[bytes], owners: dict[bytes, tuple[Module | None, int]]
) -> list[Module]:
    needs = dict.fromkeys([owner[0] for owner in map(owners.get, names) if owner is not None])
    return [owner for owner in needs if owner is not None]


def _check_symbols(
    module: Module,
    wanted: Sequence[NeededSymbol],
    owners: dict[bytes, tuple[Module | None, int]],
    kernel: KernelSymbols,
    *,
    report_unknown: bool,
) -> Iterator[str]:
    """Yield a line for each needed symbol that is not exported, or has another checksum."""
    for requirement in wanted:
        if requirement.weak:
            continue
        found = owners.get(requirement.name.removeprefix(DOT))
        if found is None:
            if report_unknown:
                yield f"{display(module.path)}: unknown symbol {display(requirement.name)}"
        elif kernel.has_versions and found[1] != requirement.crc:
            yield (
                f"{display(module.path)}: built for another version of the symbol "
                f"{display(requirement.name)}"
            )


def _rank(modules: list[Module]) -> None:
    """Set the rank of each module, lower than those of its dependencies, and ``all_needs``.

    Raises:
        ModuleLoopError: the dependencies have a cycle.
        LimitError: they are too many.
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
        raise ModuleLoopError(_describe_cycle([module for module in modules if module.rank < 0]))
    # Dependencies have higher ranks, so in reverse order they are resolved first.
    reached: list[list[int]] = [[]] * len(ranked)
    steps = 0
    for module in reversed(ranked):
        ranks: set[int] = set()
        for needed in module.needs:
            steps += 1 + len(reached[needed.rank])
            check_needs(steps, module.path)
            ranks.add(needed.rank)
            ranks.update(reached[needed.rank])
        reached[module.rank] = sorted(ranks)
        module.all_needs = [ranked[rank] for rank in reached[module.rank]]


def _describe_cycle(unranked: list[Module]) -> str:
    """Describe one cycle among the modules in ``unranked``, which have no rank."""
    path_up: list[Module] = [unranked[0]]
    # Each is in a cycle or a dependency of one, so walking up through users reaches a cycle.
    users: dict[int, Module] = {}
    for module in unranked:
        for needed in module.needs:
            users.setdefault(needed.number, module)
    seen: dict[int, int] = {}
    while path_up[-1].number not in seen:
        seen[path_up[-1].number] = len(path_up) - 1
        path_up.append(users[path_up[-1].number])
    cycle = path_up[seen[path_up[-1].number] :][::-1]
    return show_cycle([module.name for module in cycle])

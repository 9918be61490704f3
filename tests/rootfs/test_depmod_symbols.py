from __future__ import annotations

import pytest

from purekernel.errors import ModuleLoopError
from purekernel.formats.elf import ByteOrder, ElfClass
from purekernel.rootfs.depmod import (
    Busybox,
    Dialect,
    KernelSymbols,
    Kmod,
    parse_symvers,
    parse_system_map,
)
from tests.depmods import index, lines
from tests.kernel_modules import KINDS, Wanted, make_module

# Dependencies


@pytest.mark.parametrize(("elf_class", "byte_order"), KINDS)
def test_modules_of_all_classes_and_byte_orders(elf_class: ElfClass, byte_order: ByteOrder) -> None:
    done = index(
        {
            "a.ko": make_module(
                ["alias=a-a"],
                wants=[Wanted(name="b", crc=7)],
                elf_class=elf_class,
                byte_order=byte_order,
            ),
            "b.ko": make_module(exports=[("b", 7)], elf_class=elf_class, byte_order=byte_order),
        },
        kernel=KernelSymbols(symbols={}, has_versions=True),
    )
    assert sorted(lines(done, "modules.dep")) == ["a.ko: b.ko", "b.ko:"]
    assert lines(done, "modules.symbols") == ["alias symbol:b b"]
    assert done.warnings == ("modules.order: not found",)


def test_dependencies_are_listed_nearest_first() -> None:
    files: dict[str, bytes | str] = {
        "a.ko": make_module(["depends=c,b"], wants=["b", "c"]),
        "b.ko": make_module(["depends=d"], exports=[("b", 1)], wants=["d"]),
        "c.ko": make_module(["depends=d"], exports=[("c", 1)], wants=["d"]),
        "d.ko": make_module(["depends=e"], exports=[("d", 1)], wants=["e"]),
        "e.ko": make_module(exports=[("e", 1)]),
    }
    (line,) = (line for line in lines(index(files), "modules.dep") if line.startswith("a.ko"))
    assert line in ("a.ko: b.ko c.ko d.ko e.ko", "a.ko: c.ko b.ko d.ko e.ko")
    (line,) = (
        line for line in lines(index(files, Busybox()), "modules.dep") if line.startswith("a.ko")
    )
    assert line == "a.ko: c.ko b.ko d.ko e.ko"


def test_later_of_two_exporters_is_the_dependency() -> None:
    files: dict[str, bytes | str] = {
        "a.ko": make_module(wants=["s"]),
        "b.ko": make_module(exports=[("s", 1)]),
        "c.ko": make_module(exports=[("s", 1)]),
        "modules.order": b"c.ko\nb.ko\na.ko\n",
    }
    assert "a.ko: b.ko" in lines(index(files), "modules.dep")
    files["modules.order"] = b"b.ko\nc.ko\na.ko\n"
    assert "a.ko: c.ko" in lines(index(files), "modules.dep")


@pytest.mark.parametrize("dialect", [Kmod(), Busybox(version=(1, 20)), Busybox()])
def test_dependency_cycle_is_reported(dialect: Dialect) -> None:
    files: dict[str, bytes | str] = {
        f"{one}.ko": make_module([f"depends={other}"], exports=[(one, 1)], wants=[other])
        for one, other in ("ab", "bc", "ca", "xa")
    }
    with pytest.raises(ModuleLoopError) as raised:
        index(files, dialect)
    assert str(raised.value) in {
        f"modules depend on one another in a cycle: {way}"
        for way in ("a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c")
    }


@pytest.mark.parametrize("dialect", [Kmod(), Busybox()])
def test_dependency_on_itself_is_a_cycle(dialect: Dialect) -> None:
    content = make_module(["depends=a"], exports=[("a", 1)], wants=["a"])
    with pytest.raises(ModuleLoopError, match=r"cycle: a -> a$"):
        index({"a.ko": content}, dialect)


def test_dot_before_symbol_is_ignored() -> None:
    # On 64-bit PowerPC, the symbol of a function's entry point starts with a dot.
    done = index(
        {
            "a.ko": make_module(wants=[".f", "g"]),
            "b.ko": make_module(exports=[("f", 1)]),
            "c.ko": make_module(exports=[(".g", 1)]),
        }
    )
    assert "a.ko: b.ko" in lines(done, "modules.dep")
    assert sorted(lines(done, "modules.symbols")) == ["alias symbol:.g c", "alias symbol:f b"]


# Unknown symbols


WANTING = make_module(
    wants=[
        Wanted(name="known", crc=5),
        Wanted(name="unknown", crc=6),
        Wanted(name="weak", crc=7, weak=True),
        "_GLOBAL_OFFSET_TABLE_",
        "__this_module",
        "TOC.",
    ],
    versions=[("module_layout", 8)],
)


def test_unknown_symbols_are_reported_on_request() -> None:
    files: dict[str, bytes | str] = {"a.ko": WANTING, "modules.order": b""}
    assert index(files).warnings == ()
    kernel = parse_system_map(b"c0 r __ksymtab_known\nc1 T unknown\nc2 r __ksymtab_module_layout\n")
    assert index(files, kernel=kernel).warnings == ("'a.ko': unknown symbol 'unknown'",)


def test_symbol_version_mismatches_are_reported_on_request() -> None:
    files: dict[str, bytes | str] = {"a.ko": WANTING, "modules.order": b""}
    kernel = parse_symvers(
        b"0x00000005\tknown\tvmlinux\tEXPORT_SYMBOL\n"
        b"0x00000009\tweak\tvmlinux\tEXPORT_SYMBOL\n"
        b"0x00000006\tunknown\tdrivers/other\tEXPORT_SYMBOL\n"
        b"0x00000009\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\n"
    )
    assert index(files, kernel=kernel).warnings == (
        "'a.ko': unknown symbol 'unknown'",
        "'a.ko': built for another version of the symbol 'module_layout'",
    )


def test_symbol_versions_between_modules_are_compared() -> None:
    files: dict[str, bytes | str] = {
        "a.ko": make_module(wants=[Wanted(name="same", crc=1), Wanted(name="other", crc=1)]),
        "b.ko": make_module(exports=[("same", 1), ("other", 2)]),
        "modules.order": b"",
    }
    kernel = KernelSymbols(symbols={}, has_versions=True)
    assert index(files, kernel=kernel).warnings == (
        "'a.ko': built for another version of the symbol 'other'",
    )
    kernel = KernelSymbols(symbols={}, has_versions=False)
    assert index(files, kernel=kernel).warnings == ()


def test_kernel_symbols_are_parsed() -> None:
    faked = {b"__this_module": 0, b"_GLOBAL_OFFSET_TABLE_": 0, b"TOC.": 0}
    read = parse_system_map(b"c0 R __ksymtab_a\nshort\nc0 r __ksymtab_b c\nc0 t b\nc0  __ksymtab_d")
    assert read.symbols == {b"a": 0, b"b c": 0, b"d": 0, **faked}
    assert not read.has_versions
    read = parse_symvers(
        b"0x1\ta\tvmlinux\tEXPORT_SYMBOL\n2 b vmlinux EXPORT_SYMBOL_GPL\n"
        b"0x3\tc\tfs/x\tEXPORT_SYMBOL\n0xzz\td\tvmlinux\tE\n\n0x1 e\n"
    )
    assert read.symbols == {b"a": 1, b"b": 2, **faked}
    assert read.has_versions


# Linear time


@pytest.mark.slow
@pytest.mark.parametrize("dialect", [Kmod(), Busybox(version=(1, 20)), Busybox()])
def test_long_dependency_chain_is_listed_completely(dialect: Dialect) -> None:
    # The chain exceeds Python's recursion limit. Each module depends on all before it, which makes
    # 700,000 names in total.
    count = 1200
    files: dict[str, bytes | str] = {
        f"m{number}.ko": make_module(
            [f"depends=m{number - 1}"] if number else [],
            exports=[(f"s{number}", 1)],
            wants=[f"s{number - 1}"] if number else [],
        )
        for number in range(count)
    }
    done = index(files, dialect)
    longest = max(lines(done, "modules.dep"), key=len)
    assert longest == f"m{count - 1}.ko: " + " ".join(
        f"m{number}.ko" for number in range(count - 2, -1, -1)
    )


@pytest.mark.parametrize("dialect", [Kmod(), Busybox()])
def test_many_paths_to_one_module_take_linear_time(dialect: Dialect) -> None:
    # There are 2**60 paths from the first module to the last.
    files: dict[str, bytes | str] = {}
    for number in range(60):
        for side in "lr":
            needs = [f"{other}{number + 1}" for other in "lr"] if number < 59 else []
            files[f"{side}{number}.ko"] = make_module(
                [f"depends={','.join(needs)}"], exports=[(f"{side}{number}", 1)], wants=needs
            )
    done = index(files, dialect)
    longest = max(lines(done, "modules.dep"), key=len)
    assert longest.count(".ko") == 1 + 2 * 59

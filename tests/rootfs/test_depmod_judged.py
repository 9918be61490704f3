"""Compare with the real depmods on Debian's i386 kernel, on Core and on a tree for all rules."""

from __future__ import annotations

import bz2
import gzip
import lzma
import platform
import random
import re
from pathlib import Path

import pytest

from purekernel.formats.core_iso import parse_base
from purekernel.formats.module_index import IndexValue, parse_index
from purekernel.input import Input
from purekernel.rootfs.depmod import (
    Busybox,
    Indexed,
    KernelSymbols,
    depmod,
    detect_dialect,
    parse_symvers,
    parse_system_map,
)
from purekernel.rootfs.modules import kernel_releases, link_local_modules
from purekernel.tree import File, Metadata, Tree
from purekernel.tree.edit import subtree
from tests import debian, shared
from tests.depmods import (
    RELEASE,
    DepmodRun,
    copy_root,
    installed_kmod,
    lay_down,
    listing_of,
    load,
    make_tree,
    part_of,
    run_busybox,
    run_kmod,
    symbol_warnings,
    symbol_warnings_of_kmod,
)
from tests.kernel_modules import KINDS, Wanted, make_module
from tests.oracles import skip_or_fail
from tests.rootfs.test_depmod_search import EXPRESSIONS, RULES, several

pytestmark = pytest.mark.oracle


def assert_same(done: Indexed, judged: DepmodRun) -> None:
    assert judged.status == 0, judged.stderr
    assert done.files.keys() == judged.files.keys()
    for name, said in judged.files.items():
        assert done.files[name] == said, name


def test_i386_files_equal_those_of_kmod(tmp_path: Path) -> None:
    root, release = debian.kernel("i386")
    done = depmod(load(root), release.encode(), mtime=0, dialect=installed_kmod())
    copy_root(root, tmp_path / "root")
    assert_same(done, run_kmod(tmp_path / "root", release))
    assert not done.warnings
    assert done.files[b"modules.dep"].count(b"\n") > 4000


# Core


@pytest.fixture(scope="module")
def core() -> Tree:
    return parse_base(Input(shared.core_iso().read_bytes(), name="Core-current.iso")).root


def release_of(core: Tree) -> str:
    (release,) = kernel_releases(core)
    return release.decode()


def own_busybox(root: Path) -> list[str | Path]:
    """Return the command for the busybox of a root, without chroot."""
    if platform.machine() not in ("x86_64", "i686"):
        skip_or_fail("Core's busybox is for x86")
    for path in ("lib/ld-linux.so.2", "bin/busybox"):
        (root / path).resolve().chmod(0o755)
    return [root / "lib/ld-linux.so.2", "--library-path", root / "lib", root / "bin/busybox"]


def with_local_modules(core: Tree) -> Tree:
    """Return Core after the merge of an extension with modules."""
    tree = link_local_modules(core, mtime=0)
    release = release_of(core)
    path = f"usr/local/lib/modules/{release}/kernel/fs/local-one.ko.gz".encode()
    tree.add_parents(path)
    content = gzip.compress(
        make_module(["depends=no,psnap", "alias=fs-local"], exports=[("local", None)])
    )
    tree.add(path, File(metadata=Metadata(mode=0o644), content=content))
    return tree


def test_core_files_equal_those_of_its_busybox(core: Tree, tmp_path: Path) -> None:
    tree = with_local_modules(core)
    root = tmp_path / "root"
    lay_down(tree, root)
    release = release_of(core)
    done = depmod(tree, release.encode(), mtime=0, listing=listing_of(root))
    dialect = detect_dialect(tree)
    assert dialect == Busybox(version=(1, 19), follows_links=True)
    assert_same(done, run_busybox(root, release, own_busybox(root)))
    lines = done.files[b"modules.dep"].splitlines()
    assert len(lines) == 400
    assert (
        b"kernel.tclocal/fs/local-one.ko.gz: kernel/net/802/psnap.ko.gz kernel/net/llc/llc.ko.gz"
    ) in lines


def test_core_files_equal_those_of_another_busybox(core: Tree, tmp_path: Path) -> None:
    # This busybox does not search linked folders.
    tree = with_local_modules(core)
    root = tmp_path / "root"
    lay_down(tree, root)
    release = release_of(core)
    done = depmod(tree, release.encode(), mtime=0, dialect=Busybox(), listing=listing_of(root))
    judged = run_busybox(root, release)
    assert_same(done, judged)
    assert done.files[b"modules.dep"].count(b"\n") == 399


def test_core_ships_the_same_lines(core: Tree) -> None:
    folder = f"lib/modules/{release_of(core)}"
    done = depmod(core, release_of(core).encode(), mtime=0)
    for name, content in done.files.items():
        shipped = core[f"{folder}/".encode() + name]
        assert isinstance(shipped, File)
        assert sorted(content.splitlines()) == sorted(bytes(shipped.content).splitlines())


def test_unpacked_core_files_equal_those_of_kmod(core: Tree, tmp_path: Path) -> None:
    # Debian's kmod lacks gzip.
    unpacked = Tree()
    for path, node in subtree(core, b"lib/modules").walk():
        if isinstance(node, File) and path.endswith(b".ko.gz"):
            content = gzip.decompress(node.content)
            unpacked.add(path.removesuffix(b".gz"), File(metadata=node.metadata, content=content))
        elif path:
            unpacked.add(path, node)
    lay_down(unpacked, tmp_path / "root")
    release = release_of(core)
    judged = run_kmod(tmp_path / "root", release)
    assert_same(depmod(unpacked, release.encode(), mtime=0, dialect=installed_kmod()), judged)
    done = depmod(core, release.encode(), mtime=0, dialect=installed_kmod())
    for name, content in judged.files.items():
        if name == b"modules.dep.bin":
            ours = [
                IndexValue(key, value.replace(b".ko.gz", b".ko"), priority)
                for key, value, priority in parse_index(Input(done.files[name], name="ours"))
            ]
            assert ours == parse_index(Input(content, name="theirs"))
        else:
            assert done.files[name].replace(b".ko.gz", b".ko") == content


# All rules


def hard_tree(outside: Path) -> Tree:
    """Return input for all rules of kmod; ``outside`` is an external folder of modules."""
    modules: dict[str, bytes | str] = {
        # Kinds of files and modules.
        "kernel/packed.ko.xz": lzma.compress(make_module(["alias=packed"], wants=["kind_0"])),
        "kernel/old-crcs.ko": make_module(exports=[("old", 7)], crc_section=False),
        "kernel/no-crcs.ko": make_module(exports=[("plain", None)]),
        "kernel/half-zstd.ko.zst": b"\x28\xb5\x2f\xfd\0alias=read-as-it-is\0" + bytes(20),
        "kernel/half-lzma.ko": b"\x5d\0\0\0alias=read-as-it-is-too\0" + bytes(20),
        "kernel/bzip2.ko": bz2.compress(make_module(["alias=bzip2"])),
        "kernel/dotted.ko": make_module(exports=[(".entry", 3)]),
        "kernel/wants-dotted.ko": make_module(wants=[".entry", "entry", ".old"]),
        "kernel/weak.ko": make_module(wants=[Wanted(name="plain", weak=True)]),
        "kernel/said.ko": make_module(
            ["softdep=pre: a post: b", "softdep=pre: c", "weakdep=d", "license=GPL", "depends=no"]
        ),
        # Files that are not modules.
        "kernel/empty.ko": b"",
        "kernel/text.ko": b"#!/bin/sh\n",
        "kernel/cut.ko": make_module()[:100],
        "kernel/.ko": make_module(["alias=nameless"]),
        "kernel/other.o": make_module(["alias=other"]),
        "kernel/other.ko.bak": make_module(["alias=other"]),
        "kernel/folder.ko/inside.ko": make_module(["alias=inside"]),
        "build/never.ko": make_module(["alias=never"]),
        "kernel/source/never.ko": make_module(["alias=never"]),
        # Links.
        "linked": "../elsewhere",
        "kernel/link.ko": "../../elsewhere/target.ko",
        "kernel/nowhere.ko": "gone.ko",
        "/lib/modules/elsewhere/target.ko": make_module(["alias=target"]),
        # Several modules of one name.
        "kernel/a-b.ko": make_module(["alias=kernel"]),
        "updates/a_b.ko": make_module(["alias=updates"]),
        "extra/deep/a-b.ko": make_module(["alias=extra"]),
        "kernel/overridden.ko": make_module(["alias=kernel"]),
        "updates/overridden.ko": make_module(["alias=updates"]),
        "kernel/external.ko": make_module(["alias=kernel"]),
        f"{outside}/external.ko": make_module(["alias=external"]),
        f"{outside}/alone.ko": make_module(["alias=alone"], wants=["plain"]),
        "kernel/external-later.ko": make_module(["alias=kernel"]),
        "excluded/x.ko": make_module(["alias=excluded"]),
        "kernel/excluded.ko": make_module(["alias=excluded"]),
        # Aliases.
        "kernel/aliases.ko": make_module(
            [
                "alias=pci:v0000-8086d*sv[0-9A-F-]*",
                "alias=of:N*T*Cti,am335x-cpsw",
                "alias=a b c",
                "alias=",
                "alias",
                "alias=a=b",
                "alias=open[",
                "alias=close]",
                "alias=twice",
                "alias=twice",
                "alias=\x01\x7f",
            ]
        ),
        # Devices.
        "kernel/device.ko": make_module(["alias=devname:net/tun", "alias=char-major-10-200"]),
        "kernel/block-device.ko": make_module(["alias=block-major-7-*", "alias=devname:loop"]),
        "kernel/disk.ko": make_module(["alias=block-major-8-1", "alias=devname:sd"]),
        "kernel/last-device.ko": make_module(
            ["alias=char-major-1-1", "alias=char-major-2- 3x", "alias=devname:x", "alias=devname:y"]
        ),
        # Lists of modules.
        "modules.order": b"kernel/said.ko\nkernel/packed.ko\nnothing\n\nkernel/a-b.ko\n"
        b"kernel/said.ko\nlinked/target.ko\nupdates/a_b.ko\n",
        "modules.builtin": b"kernel/fs/ext4.ko\nkernel/a-b-c.ko\n9p.ko\n\nx\n/kernel/y.ko\n",
        "modules.builtin.modinfo": b"ext4.alias=fs-ext4\0ext4.file=fs/ext4\0ext4.alias=x[a-b]-\0"
        b"nodot\0jbd.noequals\0eaten.alias=eaten\0m.alias=bad]\0n.alias=\0o.alias=cut",
        # Rules.
        "/etc/depmod.d/b.conf": b"search updates extra/deep built-in external\n\n# comment\n"
        b"override overridden * kernel\noverride overridden ^5 updates\nmake_map_files no\n",
        "/etc/depmod.d/a.conf": f"external 6\\\\.1 {outside}\nexternal 5.* /nowhere\n"
        "exclude excluded excluded.ko\nnonsense here\nsearch \\\n  updates\n".encode(),
        "/run/depmod.d/a.conf": b"exclude kernel\n",
        "/run/depmod.d/ignored.txt": b"exclude kernel\n",
        "/lib/depmod.d/c.conf": b"override external-later * kernel\n",
    }
    # One module of each class and byte order, each a dependency of the next.
    for number, (elf_class, byte_order) in enumerate(KINDS):
        modules[f"kernel/kinds/kind{number}.ko"] = make_module(
            [f"alias=kind-{number}"],
            exports=[(f"kind_{number}", number + 1)],
            wants=[Wanted(name=f"kind_{(number + 1)}", crc=number + 2)] if number < 3 else [],
            versions=[("module_layout", 5)],
            elf_class=elf_class,
            byte_order=byte_order,
        )
    return make_tree(modules)


def test_all_rules_give_the_same_as_kmod(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    tree = hard_tree(outside)
    # kmod reads the folders of "external" on the host.
    lay_down(tree, root)
    lay_down(part_of(tree, outside), outside)
    listing = listing_of(root)
    done = depmod(tree, RELEASE.encode(), mtime=0, dialect=installed_kmod(), listing=listing)
    assert_same(done, run_kmod(root))
    assert done.files[b"modules.alias"].count(b"alias ") > 20


def test_all_rules_give_the_same_as_busybox(tmp_path: Path) -> None:
    tree = hard_tree(tmp_path / "outside")
    # busybox crashes on empty files and broken links.
    for name in ("empty.ko", "nowhere.ko"):
        tree.remove(f"lib/modules/{RELEASE}/kernel/{name}".encode())
    root = tmp_path / "root"
    lay_down(tree, root)
    done = depmod(tree, RELEASE.encode(), mtime=0, dialect=Busybox(), listing=listing_of(root))
    assert_same(done, run_busybox(root))


def test_each_rule_gives_the_same_as_kmod(tmp_path: Path) -> None:
    asked = [rules for rules, _ in RULES]
    asked += [f"override a-b {expression} kernel" for expression, _ in EXPRESSIONS]
    for number, rules in enumerate(asked):
        tree = make_tree(several(a=rules))
        root = tmp_path / str(number)
        lay_down(tree, root)
        done = depmod(
            tree, RELEASE.encode(), mtime=0, dialect=installed_kmod(), listing=listing_of(root)
        )
        assert done.files == run_kmod(root).files, rules


# Symbols that the kernel does not export


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Tree]:
    """Return Debian's network modules, without their dependencies in other folders."""
    whole, release = debian.kernel("i386")
    root = tmp_path_factory.mktemp("network") / "root"
    kernel = f"lib/modules/{release}/kernel"
    for part in ("drivers/net/ethernet", "net"):
        copy_root(whole / kernel / part, root / kernel / part)
    return root, release, load(root)


def wanted_symbols(done: Indexed) -> list[str]:
    """Return all symbols that the modules need but do not export."""
    return sorted(
        {found[1] for warning in done.warnings if (found := re.search("symbol '(.*)'", warning))}
    )


def test_unknown_symbols_equal_those_of_kmod(
    network: tuple[Path, str, Tree], tmp_path: Path
) -> None:
    root, release, tree = network
    nothing = KernelSymbols(symbols={}, has_versions=False)
    wanted = wanted_symbols(
        depmod(tree, release.encode(), mtime=0, dialect=installed_kmod(), kernel=nothing)
    )
    assert len(wanted) > 1000
    chance = random.Random(4)
    lines = [f"c0000000 r __ksymtab_{name}" for name in wanted if chance.random() < 0.9]
    text = "\n".join(["c1000000 T printk", *lines, "", "c2 broken"]) + "\n"
    path = tmp_path / "System.map"
    path.write_text(text)
    judged = run_kmod(root, release, ["-e", "-F", path])
    done = depmod(
        tree,
        release.encode(),
        mtime=0,
        dialect=installed_kmod(),
        kernel=parse_system_map(text.encode()),
    )
    assert symbol_warnings(done) == symbol_warnings_of_kmod(judged.stderr)
    assert len(symbol_warnings_of_kmod(judged.stderr)) > 100
    assert_same(done, judged)


def test_symbol_version_mismatches_equal_those_of_kmod(
    network: tuple[Path, str, Tree], tmp_path: Path
) -> None:
    root, release, tree = network
    nothing = KernelSymbols(symbols={}, has_versions=True)
    first = depmod(tree, release.encode(), mtime=0, dialect=installed_kmod(), kernel=nothing)
    chance = random.Random(4)
    lines = [
        f"0x{chance.choice((0, 1, 0xFFFFFFFF)):08x}\t{name}\tvmlinux\tEXPORT_SYMBOL_GPL\t"
        for name in wanted_symbols(first)
        if chance.random() < 0.9
    ]
    text = (
        "\n".join([*lines, "0x1\tin_module\tdrivers/x\tEXPORT_SYMBOL", "", "0xz x vmlinux E"])
        + "\n"
    )
    path = tmp_path / "Module.symvers"
    path.write_text(text)
    judged = run_kmod(root, release, ["-e", "-E", path])
    done = depmod(
        tree,
        release.encode(),
        mtime=0,
        dialect=installed_kmod(),
        kernel=parse_symvers(text.encode()),
    )
    assert symbol_warnings(done) == symbol_warnings_of_kmod(judged.stderr)
    assert len({kind for _module, kind, _symbol in symbol_warnings_of_kmod(judged.stderr)}) == 2
    assert_same(done, judged)

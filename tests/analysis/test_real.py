"""Findings about real extensions on real roots, beside readelf's view of the same files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from purekernel.analysis.check import check_image
from purekernel.analysis.findings import Finding
from purekernel.analysis.system import Subject
from purekernel.formats.core_iso import Base, parse_base
from purekernel.formats.squashfs import open_squashfs
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import File, Tree
from tests.analysis.images import brief, put
from tests.oracles import require, run
from tests.shared import core_iso, extension, mirror, modern_extension


@cache
def core_44() -> Base:
    return parse_base(Input(core_iso().read_bytes(), name="Core-current.iso"))


def findings(files: Iterable[Path]) -> tuple[Finding, ...]:
    """Return the findings of extensions that Core 4.4 loads at boot."""
    base = core_44()
    root = base.root.copy()
    names = []
    for file in files:
        put(root, f"tmp/builtin/optional/{file.name}", file.read_bytes())
        names.append(file.name)
    put(root, "tmp/builtin/onboot.lst", "\n".join(names).encode())
    kernel = Input(base.kernel.content, name="vmlinuz")
    return check_image(Subject(root=root, stock_root=base.root, kernel=kernel))


@pytest.mark.slow
def test_htop_of_a_newer_release_needs_a_newer_glibc() -> None:
    found = findings([extension("htop"), extension("ncursesw")])
    (htop,) = (each for each in found if each.owner.name == "htop.tcz")
    assert htop.message == (
        "'/usr/local/bin/htop' needs GLIBC_2.28, and '/lib/libc.so.6' has none newer than "
        "GLIBC_2.13"
    )
    assert (htop.code, htop.path) == ("PK103", b"usr/local/bin/htop")


@pytest.mark.slow
def test_modules_for_a_newer_kernel_are_one_finding() -> None:
    assert brief(findings([extension("wireless-5.15.10-tinycore")])) == [
        (
            "PK201",
            "wireless-5.15.10-tinycore.tcz",
            "usr/local/lib/modules/5.15.10-tinycore",
            "5.15.10-tinycore",
        )
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "machine"), [("dosfstools", "x86_64"), ("dnsmasq", "ARM")])
def test_extension_for_another_machine_is_found(name: str, machine: str) -> None:
    found = findings([modern_extension(name)])
    assert {(each.code, each.subject) for each in found} == {("PK101", machine)}


@pytest.mark.slow
def test_core_has_no_findings() -> None:
    """Its files are checked here as if they were new."""
    base = core_44()
    kernel = Input(base.kernel.content, name="vmlinuz")
    found = check_image(Subject(root=base.root, stock_root=Tree(), kernel=kernel))
    # tests/analysis/test_lint.py has those of its links, rights and passwords.
    assert [each for each in found if each.code < "PK5"] == []


@frozen(kw_only=True)
class Shown:
    """What readelf shows of a file."""

    needed: tuple[str, ...]
    sonames: tuple[str, ...]
    needed_versions: tuple[tuple[str, str], ...]
    versions: tuple[str, ...]


@pytest.mark.oracle
def test_findings_of_all_shared_extensions_equal_those_by_readelf(tmp_path: Path) -> None:
    """Compare missing libraries and versions of 29 extensions on Core 4.4, file by file."""
    files = sorted((mirror() / "4.x/x86/tcz").glob("*.tcz"))
    assert len(files) == 29
    trees = {
        file.name: open_squashfs(Input(file.read_bytes(), name=file.name)).tree for file in files
    }
    everything = {"": core_44().root, **trees}
    shown = {
        owner: readelf(tree, tmp_path / str(number))
        for number, (owner, tree) in enumerate(everything.items())
    }
    names = {path.rpartition(b"/")[2] for tree in everything.values() for path, _ in tree.walk()}
    libraries: dict[str, set[str]] = {}
    for objects in shown.values():
        for path, each in objects.items():
            for name in {*each.sonames, path.rpartition("/")[2]}:
                libraries.setdefault(name, set()).update(each.versions)
    expected: set[tuple[str, str, str, str]] = set()
    for owner in trees:
        for path, each in shown[owner].items():
            for name in each.needed:
                if name.encode() not in names and name not in libraries:
                    expected.add(("PK102", owner, path, name))
            for version in lacking(each, libraries):
                expected.add(("PK103", owner, path, version))
    found = [row for row in brief(findings(files)) if row[0] in ("PK102", "PK103", "PK106")]
    assert len(found) > 100
    assert set(found) == expected


def lacking(shown: Shown, libraries: dict[str, set[str]]) -> Iterator[str]:
    """Yield the newest missing version of each family, such as GLIBC."""
    newest: dict[str, str] = {}
    for library, version in shown.needed_versions:
        defined = libraries.get(library, set())
        if defined and version not in defined:
            family = re.split(r"_?[0-9]", version, maxsplit=1)[0]
            newest[family] = max(newest.get(family, version), version, key=numbers)
    yield from newest.values()


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"[0-9]+", version)]


def readelf(tree: Tree, folder: Path) -> dict[str, Shown]:
    """Return what readelf shows of each executable ELF file of a tree, by its path."""
    folder.mkdir()
    paths = {}
    for path, node in tree.walk():
        executable = isinstance(node, File) and (node.metadata.mode & 0o111 or b".so" in path)
        if executable and isinstance(node, File) and bytes(node.part(0, 4)) == b"\x7fELF":
            place = folder / str(len(paths))
            place.write_bytes(node.content)
            paths[str(place)] = path.decode()
    if not paths:
        return {}
    # For a single file, readelf does not print its name.
    command = [require("readelf"), "-W", "-d", "-V", *paths, next(iter(paths))]
    output = run(*command).decode(errors="replace")
    found = {}
    for part in re.split(r"(?m)^File: ", output)[1:]:
        place, _newline, text = part.partition("\n")
        found[paths[place.strip()]] = read_shown(text)
    return found


def read_shown(text: str) -> Shown:
    needed_versions, versions = [], []
    library = section = ""
    for line in text.splitlines():
        if line.startswith("Version "):
            section = line.split()[1]
        elif section == "needs" and " File: " in line:
            library = line.partition(" File: ")[2].split()[0]
        elif section == "needs" and " Name: " in line and "WEAK" not in line:
            needed_versions.append((library, line.partition(" Name: ")[2].split()[0]))
        elif section == "definition" and " Rev: " in line:
            versions.append(line.partition(" Name: ")[2].strip())
    return Shown(
        needed=tuple(re.findall(r"\(NEEDED\).*\[(.*?)\]", text)),
        sonames=tuple(re.findall(r"\(SONAME\).*\[(.*?)\]", text)),
        needed_versions=tuple(needed_versions),
        versions=tuple(versions),
    )

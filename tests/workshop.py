"""Make a Razor-Microkernel project with mirrors in folders, and settings that name them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from fixtures.gem import make_gem
from fixtures.gem_server import lay_out_server
from fixtures.project import (
    make_mcollective_tarball,
    make_project,
    make_rubygems_tarball,
    make_vm_tools_tarball,
    write_tree,
)
from fixtures.repository import TCZ, make_repository
from fixtures.scripts import Generation
from purekernel.cli import main
from purekernel.formats.tar import parse_tar
from purekernel.input import Input
from purekernel.tree import File, Tree

NEEDS: Mapping[str, Sequence[str]] = {
    "bash.tcz": ["readline.tcz"],
    "readline.tcz": ["ncurses.tcz", " "],
    "ncurses.tcz": [],
    "openssh.tcz": ["openssl.tcz", "ncurses.tcz"],
    "openssl.tcz": [],
    "nano.tcz": ["ncurses.tcz"],
    "util-linux.tcz": [],
}

ISO = "4.x/x86/release/Core-current.iso"


@cache
def core_iso() -> bytes:
    return make_core_iso()


@cache
def _gems() -> tuple[object, ...]:
    return (
        make_gem("sample_gem", "1.0"),
        make_gem("sample_tool", "1.3", needs={"sample_lib": "~> 2.0"}),
        make_gem("sample_lib", "2.1"),
        make_gem("sample_lib", "3.0"),
    )


class Workshop:
    """A project and its mirrors; commands run in the folder of the project.

    Attributes:
        top: the folder that contains all others.
        mirror: the mirror of Tiny Core, a folder.
        project: the project's folder.
        out: the folder for outputs.
    """

    def __init__(
        self,
        top: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        generation: Generation = "2013",
        needs: Mapping[str, Sequence[str]] = NEEDS,
        builtins: Sequence[str] = ("bash.tcz", "openssh.tcz"),
        mirrored: Sequence[str] = ("nano.tcz",),
        gems: Sequence[str] = ("sample_gem", "sample_tool  >= 1.2"),
        indexes: bool = True,
    ) -> None:
        self.top = top
        self.mirror = top / "mirror"
        self.project = top / "project"
        self.out = top / "out"
        self.write_mirror(make_repository(needs, indexes=indexes))
        self.write_mirror({ISO: core_iso()})
        # No program is removed from the extensions: here they are not real squashfs images.
        project = make_project(
            generation=generation, builtins=builtins, mirrored=mirrored, gems=gems, cut=()
        )
        write_tree(project, self.project)
        lay_out_server(top / "gems", _gems(), compact=False)  # type: ignore[arg-type]
        for name, content in (
            ("rubygems-1.8.24.tgz", make_rubygems_tarball()),
            ("mk-open-vm-tools.tar.gz", make_vm_tools_tarball()),
            ("mcollective-2.0.0.tgz", make_mcollective_tarball()),
        ):
            (top / name).write_bytes(content)
        (top / "bundle.cfg").write_text(self.settings(), encoding="utf-8")
        monkeypatch.chdir(self.project)
        monkeypatch.setenv("PUREKERNEL_CACHE", str(top / "cache"))
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
        for name in ("TC_PASSWD", "TYPE", "BUILTIN_LIST", "MIRROR_LIST"):
            monkeypatch.delenv(f"MK_BUNDLE_{name}", raising=False)

    def settings(self, **changes: str) -> str:
        """Return settings in the form of the original scripts, with the paths of this folder."""
        values = {
            "TCL_MIRROR_URI": (self.mirror / TCZ).as_posix(),
            "TCL_ISO_URL": (self.mirror / ISO).as_posix(),
            "RUBY_GEMS_URL": (self.top / "rubygems-1.8.24.tgz").as_posix(),
            "OPEN_VM_TOOLS_URL": (self.top / "mk-open-vm-tools.tar.gz").as_uri(),
            "MCOLLECTIVE_URL": (self.top / "mcollective-2.0.0.tgz").as_posix(),
            "GEM_SERVER_URI": (self.top / "gems").as_posix(),
            **changes,
        }
        return "".join(f"MK_BUNDLE_{name}={value}\n" for name, value in values.items())

    def write_mirror(self, files: Mapping[str, bytes]) -> None:
        """Write files into the mirror, by their paths in it."""
        for path, content in files.items():
            place = self.mirror.joinpath(*path.split("/"))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    def run(self, command: str, *options: str | Path) -> int:
        """Run a command with the settings; return its exit status."""
        settings = ("-c", str(self.top / "bundle.cfg"))
        return main([command, *settings, *map(str, options)])

    def bundle(self, *options: str | Path, flavour: str = "dev") -> Tree:
        """Make a bundle, and return its content."""
        version = ("--iso-version", "0.9.0.1")
        status = self.run("bundle", *version, "-q", "-o", self.out, *options)
        assert status == 0
        return self.load(flavour)

    def load(self, flavour: str = "dev") -> Tree:
        """Return the content of the written bundle."""
        path = self.out / f"razor-microkernel-bundle-{flavour}.tar.gz"
        return parse_tar(Input(path.read_bytes(), name=path.name))


def inner(tree: Tree, name: str = "razor-microkernel-overlay") -> Tree:
    """Return the content of one of the overlays in a bundle."""
    node = tree[f"dependencies/{name}.tar.gz".encode()]
    assert isinstance(node, File)
    return parse_tar(Input(node.content, name=name))


def text(tree: Tree, path: str) -> str:
    """Return a file of ``tree`` as text."""
    node = tree[path.encode()]
    assert isinstance(node, File)
    return bytes(node.content).decode()


# A step that takes ten seconds or more, as on a busy machine, is reported by a line.
_PROGRESS = re.compile(
    r"purekernel: (?:asking|asking for sizes|assembling|compressing|connecting to the cluster"
    r"|fetching|laying out the ISO|merging|planning|reading the bundle|recompressing"
    r"|unpack kernel modules|unpacking the (?:base ISO|overlays)|writing)(?:: .*)?"
)


def two_lines(error: str) -> list[tuple[str, str]]:
    """Return the errors on stderr, each a message and a hint, without notes and progress."""
    lines = [
        line
        for line in error.splitlines()
        if not line.startswith("purekernel: note: ") and not _PROGRESS.fullmatch(line)
    ]
    assert len(lines) % 2 == 0, error
    found = []
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        assert first.startswith("purekernel: "), error
        assert second.startswith("  "), error
        found.append((first.removeprefix("purekernel: "), second.strip()))
    assert "Traceback" not in error
    return found


def notes(error: str) -> list[str]:
    """Return the notes on stderr."""
    first = "purekernel: note: "
    return [line.removeprefix(first) for line in error.splitlines() if line.startswith(first)]

"""Compare long listings of real images with those of independent programs."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from purekernel.analysis.listing import PlaceListing, list_place
from purekernel.analysis.open import Places
from purekernel.input import Limits
from tests import shared
from tests.oracles import require, run

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

Rows = dict[bytes, tuple[bytes, ...]]
"""Mode, owner, group, and size or device numbers, by name."""

# A line of bsdtar, GNU cpio or xorriso: mode, links, owner, group, size, month, day, year or time.
_LIKE_LS = re.compile(
    rb"(?P<mode>\S{10}) +\d+ +(?P<uid>\d+) +(?P<gid>\d+) +"
    rb"(?P<size>\d+(?:, *\d+)?) +\w+ +\d+ +[\d:]+ (?P<name>.*)"
)
_OURS = re.compile(
    rb"(?P<mode>\S{10}) +\d+ +(?P<uid>\d+) +(?P<gid>\d+) +"
    rb"(?P<size>\d+(?:, ?\d+)?) (?P<time>\S+ \S+) (?P<name>.*)"
)
_UNSQUASHFS = re.compile(
    rb"(?P<mode>\S{10}) (?P<uid>\d+)/(?P<gid>\d+) +(?P<size>\d+(?:, *\d+)?) (?P<time>\S+ \S+) "
    rb"squashfs-root/?(?P<name>.*)"
)


def rows(lines: list[bytes], pattern: re.Pattern[bytes]) -> Rows:
    found: Rows = {}
    for line in lines:
        match = pattern.fullmatch(line)
        assert match is not None, line
        fields = match.groupdict()
        name, arrow, target = fields.pop("name").partition(b" -> ")
        name, _link, _first = name.strip(b"'").partition(b" link to ")
        name = name.removeprefix(b".").strip(b"/")
        if not name:
            continue
        kind = fields["mode"][:1]
        if kind in b"dl":  # folders and links have sizes of their own in each format
            fields["size"] = b""
        fields["size"] = fields["size"].replace(b" ", b"")
        found[name] = (*fields.values(), target if arrow else b"")
    return found


def ours(place: str | Path) -> tuple[PlaceListing, Rows]:
    listing = list_place(Places(Limits()), str(place), is_recursive=True)
    return listing, rows(listing.lines(is_long=True), _OURS)


def without_times(found: Rows) -> Rows:
    return {name: (*fields[:4], fields[5]) for name, fields in found.items()}


def test_root_in_a_tar_archive_is_listed_as_bsdtar_lists_it() -> None:
    path = shared.modern() / "roots/rootfs-17.x-x86_64.tar.xz"
    lines = run(require("bsdtar"), "--numeric-owner", "-tvf", path).splitlines()
    listing, found = ours(path)
    theirs = rows(
        [line.replace(b"h", b"-", 1) if line[:1] == b"h" else line for line in lines], _LIKE_LS
    )
    links = {entry.name for entry in listing.entries if entry.first is not None}
    # It shows no size for them.
    for name in links:
        theirs[name] = (*theirs[name][:3], found[name][3], theirs[name][4])
    assert without_times(found) == theirs
    assert len(found) > 1000


def test_core_in_an_iso_is_listed_as_cpio_lists_it(tmp_path: Path) -> None:
    iso = shared.core_iso()
    run(
        require("xorriso"), "-osirrox", "on", "-indev", iso,
        "-extract", "/boot/core.gz", tmp_path / "core.gz",
    )  # fmt: skip
    plain = gzip.decompress((tmp_path / "core.gz").read_bytes())
    theirs = rows(run(require("cpio"), "-tvn", "--quiet", stdin=plain).splitlines(), _LIKE_LS)
    listing, found = ours(f"{iso}:boot/core.gz")
    assert {entry.node.metadata.uid for entry in listing.entries} > {0}
    found = without_times(found)
    hard_linked = {entry.name for entry in listing.entries if entry.names > 1}
    # In a cpio archive, one name of a hard link has the content, and the others have none.
    for name in hard_linked:
        theirs[name] = (*theirs[name][:3], found[name][3], theirs[name][4])
    assert found == theirs


@pytest.mark.parametrize("name", ["bash", "glib2"])
def test_extension_is_listed_as_unsquashfs_lists_it(name: str) -> None:
    path = shared.extension(name)
    lines = run(require("unsquashfs"), "-lln", "-UTC", path).splitlines()
    theirs = rows([line for line in lines if b" squashfs-root" in line], _UNSQUASHFS)
    assert ours(path)[1] == theirs


def test_iso_is_listed_as_xorriso_lists_it() -> None:
    for iso in (shared.core_iso(), shared.modern() / "TinyCorePure64-look.iso"):
        out = run(require("xorriso"), "-indev", iso, "-find", "/", "-exec", "lsdl")
        # xorriso has a type of its own for the boot catalog.
        lines = [re.sub(rb"^e", b"-", line) for line in out.splitlines()]
        assert without_times(ours(iso)[1]) == rows(lines, _LIKE_LS)


def test_boot_image_for_uefi_in_an_iso_is_listed_and_printed() -> None:
    iso = shared.modern() / "TinyCorePure64-look.iso"
    places = Places(Limits())
    place = f"{iso}:EFI/BOOT/efiboot.img:EFI/BOOT"
    (entry,) = list_place(places, place).entries
    assert entry.name == b"BOOTX64.EFI"
    program = places.load(f"{place}/BOOTX64.EFI")
    assert bytes(program.data[:2]) == b"MZ"
    extension = places.load(f"{iso}:cde/optional/parted.tcz:usr/local/sbin/parted")
    assert bytes(extension.data[:4]) == b"\x7fELF"
    release = places.load(f"{iso}:boot/corepure64.gz:etc/os-release")
    assert b'VERSION="17.0"' in bytes(release.data)

"""Write the list of the findings of known bases: ``python -m tests.known_bases``.

It needs the shared data, of which the list holds digests only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from purekernel import Context, Outputs, build
from purekernel.analysis import known_bases
from purekernel.analysis.contents import read_contents
from purekernel.analysis.known_bases import KnownBase, build_known_bases, program_digest
from purekernel.analysis.lint import check_contents
from purekernel.razor.bundle import sample_bundle
from tests.shared import core_iso, modern

PLACE = Path(known_bases.__file__).with_name(known_bases.LIST)

# Lists of the same busybox join: the roots without modules are those of Tiny Core in containers.
ROOTS = (
    ("Tiny Core 5.2 for x86_64", "5.2/rootfs64.gz"),
    ("Tiny Core 6.4.1 for x86_64", "6.4.1/rootfs64.gz"),
    ("Tiny Core 10 for x86_64", "rootfs-10.x-x86_64.tar.xz"),
    ("Tiny Core 16 for x86", "rootfs-16.x-x86.tar.xz"),
    ("Tiny Core 17 for x86_64", "rootfs-17.x-x86_64.tar.xz"),
)


def known(name: str, address: Path) -> KnownBase:
    """Return the findings of an image as those of a known base."""
    contents = read_contents(str(address))
    found, faults = check_contents(contents)
    assert not faults
    assert contents.root is not None
    return KnownBase(
        name=name,
        program=program_digest(contents.root) or "",
        findings=frozenset(finding.digest for finding in found),
    )


def sample() -> KnownBase:
    """Return the findings of the sample image."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "sample.iso"
        build(sample_bundle(), Context(jobs=1), Outputs(file=place))
        return known("the sample", place)


def all_bases() -> Iterator[KnownBase]:
    """Yield the known bases in order."""
    yield sample()
    yield known("Core 4.4", core_iso())
    for name, place in ROOTS:
        yield known(name, modern() / "roots" / place)


def main() -> None:
    """Write the list."""
    PLACE.write_text(build_known_bases(list(all_bases())), encoding="ascii")


if __name__ == "__main__":
    main()

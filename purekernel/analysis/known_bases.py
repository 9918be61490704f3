"""Know the findings of Tiny Core's own systems, which no one who builds on them can mend.

A base is known by the digest of its busybox, which a remaster leaves alone, and its findings by
their digests, which depend on code, path, subject and state only (:attr:`Finding.digest`). The
list has digests, and nothing of the files themselves. ``python -m tests.known_bases`` writes it.
"""

from __future__ import annotations

import hashlib
from importlib import resources

from purekernel.analysis.system import View
from purekernel.errors import FormatError
from purekernel.records import frozen
from purekernel.tree import Tree

LIST = "known_bases.txt"

# Every Tiny Core has it, and each release its own.
PROGRAM = b"bin/busybox"


@frozen(kw_only=True)
class KnownBase:
    """A root file system whose findings are known.

    Attributes:
        name: its name, for people.
        program: the start of the SHA-256 digest of its busybox, in hexadecimal digits.
        findings: the digests of its findings.
    """

    name: str
    program: str
    findings: frozenset[str]


def program_digest(root: Tree) -> str | None:
    """Return what a base is known by; ``None`` if the root file system has no busybox."""
    node = View([root]).file(PROGRAM)
    try:
        return None if node is None else hashlib.sha256(node.content).hexdigest()[:16]
    except FormatError:
        return None


def find_known_bases(root: Tree) -> list[KnownBase]:
    """Return the known bases that a root file system may be made from."""
    program = program_digest(root)
    if program is None:
        return []
    return [base for base in load_known_bases() if base.program == program]


def load_known_bases() -> list[KnownBase]:
    """Return all known bases."""
    text = resources.files("purekernel.analysis").joinpath(LIST).read_text(encoding="ascii")
    return parse_known_bases(text)


def parse_known_bases(text: str) -> list[KnownBase]:
    """Parse the list: blocks, each a line ``base PROGRAM NAME``, and lines of digests."""
    bases: list[tuple[str, str, set[str]]] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "base":
            bases.append((" ".join(words[2:]), words[1], set()))
        else:
            bases[-1][2].update(words)
    return [
        KnownBase(name=name, program=program, findings=frozenset(found))
        for name, program, found in bases
    ]


def build_known_bases(bases: list[KnownBase]) -> str:
    """Return the text of the list."""
    lines = ["# The findings of known bases, by digest. Written by python -m tests.known_bases."]
    for base in bases:
        lines += ["", f"base {base.program} {base.name}"]
        found = sorted(base.findings)
        lines += [" ".join(found[start : start + 7]) for start in range(0, len(found), 7)]
    return "\n".join(lines) + "\n"

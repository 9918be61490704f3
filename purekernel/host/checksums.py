"""Keep the checksums of all outputs in a folder in its file SHA256SUMS.

Source: sha256sum(1); the GNU coreutils manual, "md5sum invocation", for the lines of a checksum
file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from purekernel.errors import InputError
from purekernel.host.read import find_status, load_file
from purekernel.host.write import Closing, Output
from purekernel.input import Limits
from purekernel.records import frozen

CHECKSUMS = "SHA256SUMS"

# Far more than the lines of all images that anyone keeps in one folder.
_MAX_BYTES = 1 << 24

_LINE = re.compile(rb"(\\?)([0-9A-Fa-f]{64}) [ *](.+)", re.DOTALL)
_TAGGED_LINE = re.compile(rb"(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})", re.DOTALL)
# In a line that begins with a backslash.
_ESCAPE = re.compile(rb"\\([\\nr])")
_ESCAPED = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}


@frozen(kw_only=True)
class ChecksumLine:
    """A line of a checksum file.

    Attributes:
        raw: its bytes.
        name: the file that it is about; empty for a comment.
        sha256: the digest in lower-case hexadecimal; empty for a comment.
    """

    raw: bytes
    name: bytes
    sha256: str = ""


def load_checksums(folder: Path) -> list[ChecksumLine]:
    """Return the lines of the checksum file in ``folder``; none if there is no such file.

    Raises:
        InputError: the file cannot be read, or has lines that sha256sum does not check.
        LimitError: it is too large.
    """
    path = folder / CHECKSUMS
    if find_status(path, follow=False) is None:
        return []
    data = load_file(path, limits=Limits(unpacked_bytes=_MAX_BYTES))
    return list(_lines(data, path))


def closing_checksums(folder: Path) -> Closing:
    """Return what adds the checksum file to outputs that are written into ``folder``."""
    return partial(_merge, folder)


def _merge(folder: Path, outputs: Iterable[Output]) -> tuple[str, bytes]:
    """Return name and content of the checksum file with the lines of ``outputs``.

    Comments come first, then all other lines, sorted by name. Lines of other files stay, because
    other builds wrote them.
    """
    new = {}
    for output in outputs:
        name = output.path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        raw = b"%s  %s" % (output.sha256.encode(), name)
        new[name] = ChecksumLine(raw=raw, name=name, sha256=output.sha256)
    kept = [line for line in load_checksums(folder) if line.name not in new]
    lines = sorted([*kept, *new.values()], key=lambda line: line.name)
    return CHECKSUMS, b"".join(line.raw + b"\n" for line in lines)


def _lines(data: bytes, path: Path) -> Iterator[ChecksumLine]:
    for number, raw in enumerate(data.split(b"\n"), start=1):
        line = raw.removesuffix(b"\r")
        if not line or line.startswith(b"#"):
            if line:
                yield ChecksumLine(raw=raw, name=b"")
            continue
        match = _LINE.fullmatch(line)
        tagged = _TAGGED_LINE.fullmatch(line)
        if match is not None:
            is_escaped, sha256, name = match.groups()
        elif tagged is not None:
            is_escaped, name, sha256 = tagged.groups()
        else:
            raise InputError(
                f"{path}, line {number}: must be a SHA-256 and a file name, as sha256sum writes "
                "them",
                hint="move the file away, or write the outputs to another folder",
            )
        if is_escaped:
            name = _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], name)
        yield ChecksumLine(raw=raw, name=name.removeprefix(b"./"), sha256=sha256.decode().lower())

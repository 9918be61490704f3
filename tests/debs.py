"""Create valid and invalid Debian packages and archives, without Debian's programs."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable, Mapping

from purekernel.formats.zstd import compress as zstd

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".zst": zstd,
    ".bz2": bz2.compress,
    ".lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
}

MTIME = 1_300_000_000


def ar(members: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return an ar archive in the form that dpkg-deb writes."""
    return b"!<arch>\n" + b"".join(ar_member(name, content) for name, content in members)


def ar_member(name: bytes, content: bytes) -> bytes:
    header = b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, MTIME, 0, 0, b"100644", len(content))
    return header + content + b"\n" * (len(content) % 2)


def entry(
    name: str,
    content: bytes | None = None,
    *,
    mode: int | None = None,
    link: str | None = None,
    kind: bytes | None = None,
    uid: int = 0,
    gid: int = 0,
) -> tuple[tarfile.TarInfo, bytes]:
    """Return a tar member: a folder, a file (with content), or a link."""
    info = tarfile.TarInfo(name)
    info.mtime, info.uid, info.gid = MTIME, uid, gid
    info.uname = info.gname = "root"
    if link is not None:
        info.type, info.linkname, info.mode = kind or tarfile.SYMTYPE, link, 0o777
    elif content is None:
        info.type, info.mode = kind or tarfile.DIRTYPE, 0o755
    else:
        info.size, info.mode = len(content), 0o644
    if mode is not None:
        info.mode = mode
    return info, content or b""


def tar(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def control(
    name: str = "tool",
    version: str = "1.0-1",
    architecture: str = "i386",
    fields: Mapping[str, str] | None = None,
) -> bytes:
    values = {
        "Package": name,
        "Version": version,
        "Architecture": architecture,
        "Maintainer": "Nobody <nobody@example.org>",
        "Description": "a tool\n It does things.",
        **(fields or {}),
    }
    return "".join(f"{key}: {value}\n" for key, value in values.items()).encode()


TOOL = (
    entry("./"),
    entry("./usr/"),
    entry("./usr/bin/"),
    entry("./usr/bin/tool", b"#!/bin/sh\necho tool\n", mode=0o755),
)


def deb(
    text: bytes | None = None,
    *,
    data: Iterable[tuple[tarfile.TarInfo, bytes]] = TOOL,
    scripts: Mapping[str, bytes] | None = None,
    packed: str = ".xz",
    control_packed: str = ".gz",
) -> bytes:
    """Return a package."""
    files = [entry("./control", control() if text is None else text)]
    files += [entry(f"./{name}", content, mode=0o755) for name, content in (scripts or {}).items()]
    return ar(
        [
            (b"debian-binary", b"2.0\n"),
            (
                f"control.tar{control_packed}".encode(),
                COMPRESSIONS[control_packed](tar([entry("./"), *files])),
            ),
            (f"data.tar{packed}".encode(), COMPRESSIONS[packed](tar(data))),
        ]
    )


def listed(text: bytes, package: bytes, path: str) -> bytes:
    """Return a package's stanza in an index."""
    return (
        text
        + (
            f"Filename: {path}\nSize: {len(package)}\n"
            f"SHA256: {hashlib.sha256(package).hexdigest()}\n"
        ).encode()
    )

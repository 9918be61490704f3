"""The two YAML files that tell a Microkernel, and the Razor server, what they hold."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import yaml

from purekernel.tree import Buffer

VERSION_FILE = b"tmp/mk-version.yaml"
METADATA_FILE = b"iso-metadata.yaml"


class _Quoted(str):
    """A string that YAML must not take for a number, whatever its digits."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Write :class:`_Quoted` in quotes."""


_Dumper.add_representer(
    _Quoted,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="'"),
)


def build_version_file(version: str) -> bytes:
    """Return ``tmp/mk-version.yaml``, which the boot scripts show."""
    return _dump({"mk_version": version})


def build_iso_metadata(
    *,
    version: str,
    kernel_path: str,
    kernel: Buffer,
    initrd_path: str,
    initrd: Buffer,
    timestamp: int,
) -> bytes:
    """Return ``iso-metadata.yaml``, by which the Razor server checks what it serves.

    Args:
        version: of the image.
        kernel_path: in the ISO, relative.
        kernel: its bytes.
        initrd_path: in the ISO, relative.
        initrd: its bytes.
        timestamp: the build's, in seconds since 1970, UTC.
    """
    return _dump(
        {
            "iso_version": version,
            "kernel": kernel_path,
            "initrd": initrd_path,
            "hash_description": {"type": "Digest::SHA2", "bitlen": 256},
            "kernel_hash": _Quoted(hashlib.sha256(kernel).hexdigest()),
            "initrd_hash": _Quoted(hashlib.sha256(initrd).hexdigest()),
            "iso_build_time": datetime.fromtimestamp(timestamp, tz=UTC),
        }
    )


def _dump(document: dict[str, object]) -> bytes:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, explicit_start=True)
    return text.encode("utf-8")

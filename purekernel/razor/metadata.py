"""Write the YAML files that describe an image to the Microkernel and to the Razor server."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import yaml

from purekernel.tree import Buffer

VERSION_FILE = b"tmp/mk-version.yaml"
METADATA_FILE = b"iso-metadata.yaml"


class _Quoted(str):
    """A string that is always quoted, so that YAML does not read digits as a number."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Write :class:`_Quoted` in quotes."""


_Dumper.add_representer(
    _Quoted,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="'"),
)


def build_version_file(version: str) -> bytes:
    """Return ``tmp/mk-version.yaml``. The boot scripts print it."""
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
    """Return ``iso-metadata.yaml``. The Razor server checks the files that it serves against it.

    Args:
        version: the image's version.
        kernel_path: path of the kernel in the ISO, relative.
        kernel: content of the kernel.
        initrd_path: path of the initrd in the ISO, relative.
        initrd: content of the initrd.
        timestamp: time of the build, in seconds since 1970, UTC.
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

"""Build a Debian mirror on a local test server."""

from __future__ import annotations

import gzip
import hashlib
import lzma
from collections.abc import Iterable, Sequence

from pysequoia import ArmorKind, SignatureMode, Tsk, armor, sign

from tests.debs import control, deb, listed
from tests.fetch.server import Server

INDEX = "main/binary-i386/Packages"


def package(name: str, version: str = "1.0-1", architecture: str = "i386", **fields: str) -> bytes:
    """Return a package. Field names have ``_`` in place of ``-``."""
    values = {key.replace("_", "-"): value for key, value in fields.items()}
    return deb(control(name, version, architecture, values))


class Mirror:
    """A mirror below ``/debian`` of a server.

    Attributes:
        url: URL of the mirror.
    """

    def __init__(self, server: Server, suite: str = "wheezy", *, at: str = "/debian") -> None:
        self._server = server
        self._at = at
        self._suite = suite
        self.url = server.url + at
        self.index = b""

    def add(
        self, name: str, version: str = "1.0-1", architecture: str = "i386", **fields: str
    ) -> str:
        """Add a package to the pool and the index; return its path."""
        content = package(name, version, architecture, **fields)
        file_name = f"{name}_{version.partition(':')[2] or version}_{architecture}.deb"
        path = f"pool/main/{name[0]}/{name}/{file_name}"
        values = {key.replace("_", "-"): value for key, value in fields.items()}
        self.index += listed(control(name, version, architecture, values), content, path) + b"\n"
        self._server.put(f"{self._at}/{path}", content)
        return path

    def publish(
        self,
        *,
        key: Tsk | None = None,
        release: bool = True,
        index: str = INDEX,
        valid_until: str = "",
        detached: Sequence[Tsk] = (),
    ) -> str:
        """Serve the index in all compressions, and ``InRelease``; return the URL of ``.gz``."""
        forms = {
            index: self.index,
            f"{index}.gz": gzip.compress(self.index, mtime=0),
            f"{index}.xz": lzma.compress(self.index),
        }
        for path, content in forms.items():
            self._server.put(f"{self._at}/dists/{self._suite}/{path}", content)
        if release:
            self.release(forms.items(), key=key, valid_until=valid_until, detached=detached)
        return f"{self.url}/dists/{self._suite}/{index}.gz"

    def release(
        self,
        forms: Iterable[tuple[str, bytes]],
        *,
        key: Tsk | None = None,
        valid_until: str = "",
        detached: Sequence[Tsk] = (),
    ) -> None:
        """Serve ``InRelease``, or with ``detached`` keys ``Release`` and their ``Release.gpg``."""
        lines = "".join(
            f" {hashlib.sha256(content).hexdigest()} {len(content)} {path}\n"
            for path, content in forms
        )
        text = f"Origin: Debian\nSuite: oldstable\nCodename: {self._suite}\nSHA256:\n{lines}"
        data = (f"Valid-Until: {valid_until}\n" * bool(valid_until) + text).encode()
        folder = f"{self._at}/dists/{self._suite}"
        if detached:
            signatures = b"".join(
                sign(one.signer(), data, mode=SignatureMode.DETACHED, armor=False)
                for one in detached
            )
            self._server.put(f"{folder}/Release", data)
            self._server.put(
                f"{folder}/Release.gpg", armor(signatures, ArmorKind.Signature).encode()
            )
            return
        if key is not None:
            data = sign(key.signer(), data, mode=SignatureMode.CLEAR)
        self._server.put(f"{folder}/InRelease", data)

"""Downloads without a network: a mirror that is a dictionary."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from purekernel.errors import MissingFileError
from purekernel.sources.wanted import Fetched, Wanted


class FakeDownloads:
    """Serves files by their URLs, and counts what was asked for.

    Attributes:
        asked: every URL that was asked for, in order.
    """

    def __init__(self, files: Mapping[str, bytes], base: str = "http://mirror.example") -> None:
        self._files = {f"{base}/{path}": content for path, content in files.items()}
        self.asked: list[str] = []

    def fetch(self, wanted: Wanted) -> Fetched | None:
        self.asked.extend(wanted.urls)
        for url in wanted.urls:
            content = self._files.get(url)
            if content is not None:
                return Fetched(
                    name=wanted.name,
                    url=url,
                    size_bytes=len(content),
                    sha256=hashlib.sha256(content).hexdigest(),
                    md5=hashlib.md5(content).hexdigest(),
                    path=Path(url),
                )
        if wanted.optional:
            return None
        raise MissingFileError(f"no mirror has {wanted.name}")

    def fetch_all(self, wanted: Iterable[Wanted]) -> list[Fetched | None]:
        return [self.fetch(one) for one in wanted]

    def exists(self, wanted: Wanted) -> bool:
        self.asked.extend(f"HEAD {url}" for url in wanted.urls)
        return any(url in self._files for url in wanted.urls)

    def load(self, fetched: Fetched) -> bytes:
        return self._files[fetched.url]

"""Downloads without a network: a mirror that is a dictionary."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from purekernel.errors import DownloadError, MissingFileError
from purekernel.fetch.wanted import Fetched, Wanted


class FakeDownloads:
    """Serves files by their URLs, and counts what was asked for.

    Attributes:
        asked: every URL that was asked for, in order.
        failures: by host, how many more requests it does not answer.
    """

    def __init__(self, files: Mapping[str, bytes], base: str = "http://mirror.example") -> None:
        self._files = {f"{base}/{path}": content for path, content in files.items()}
        self.asked: list[str] = []
        self.failures: dict[str, int] = {}

    def fetch(self, wanted: Wanted) -> Fetched | None:
        # As the real ones do: what the first place says of an optional file counts.
        urls = wanted.urls[:1] if wanted.optional else wanted.urls
        self.asked.extend(urls)
        for url in urls:
            self._check(url)
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

    def try_all(self, wanted: Iterable[Wanted]) -> list[Fetched | DownloadError | None]:
        found: list[Fetched | DownloadError | None] = []
        for one in wanted:
            try:
                found.append(self.fetch(one))
            except DownloadError as error:
                found.append(error)
        return found

    def look_all(self, wanted: Iterable[Wanted]) -> list[bool | DownloadError]:
        found: list[bool | DownloadError] = []
        for one in wanted:
            self.asked.extend(f"HEAD {url}" for url in one.urls)
            try:
                for url in one.urls:
                    self._check(url)
            except DownloadError as error:
                found.append(error)
            else:
                found.append(any(url in self._files for url in one.urls))
        return found

    def load(self, fetched: Fetched) -> bytes:
        return self._files[fetched.url]

    def _check(self, url: str) -> None:
        """Raise an error where the host is down; so many times as it is to be."""
        host = url.split("/")[2]
        if self.failures.get(host, 0):
            self.failures[host] -= 1
            raise DownloadError(f"{url}: nobody answers")

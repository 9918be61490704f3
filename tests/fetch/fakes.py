"""Downloads without a network: the mirror is a dictionary."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from purekernel.errors import DownloadError, MissingFileError
from purekernel.fetch.model import Download, DownloadedFile


class FakeDownloads:
    """Return files from a dictionary of URLs, and record the requests.

    Attributes:
        asked: every requested URL, in order.
        failures: by host, the number of next requests that fail.
    """

    def __init__(self, files: Mapping[str, bytes], base: str = "http://mirror.example") -> None:
        self._files = {f"{base}/{path}": content for path, content in files.items()}
        self.asked: list[str] = []
        self.failures: dict[str, int] = {}

    def fetch(self, download: Download) -> DownloadedFile | None:
        # As in Downloads, the first mirror's response decides for an optional file.
        urls = download.urls[:1] if download.optional else download.urls
        self.asked.extend(urls)
        for url in urls:
            self._check(url)
            content = self._files.get(url)
            if content is not None:
                return DownloadedFile(
                    name=download.name,
                    url=url,
                    size_bytes=len(content),
                    sha256=hashlib.sha256(content).hexdigest(),
                    md5=hashlib.md5(content).hexdigest(),
                    path=Path(url),
                )
        if download.optional:
            return None
        raise MissingFileError(f"no mirror has {download.name}")

    def fetch_all(self, downloads: Iterable[Download]) -> list[DownloadedFile | None]:
        return [self.fetch(one) for one in downloads]

    def try_all(self, downloads: Iterable[Download]) -> list[DownloadedFile | DownloadError | None]:
        found: list[DownloadedFile | DownloadError | None] = []
        for one in downloads:
            try:
                found.append(self.fetch(one))
            except DownloadError as error:
                found.append(error)
        return found

    def look_all(self, downloads: Iterable[Download]) -> list[bool | DownloadError]:
        found: list[bool | DownloadError] = []
        for one in downloads:
            self.asked.extend(f"HEAD {url}" for url in one.urls)
            try:
                for url in one.urls:
                    self._check(url)
            except DownloadError as error:
                found.append(error)
            else:
                found.append(any(url in self._files for url in one.urls))
        return found

    def load(self, fetched: DownloadedFile) -> bytes:
        return self._files[fetched.url]

    def _check(self, url: str) -> None:
        """Raise an error if the host is down, as many times as the test has set."""
        host = url.split("/")[2]
        if self.failures.get(host, 0):
            self.failures[host] -= 1
            raise DownloadError(f"{url}: nobody answers")

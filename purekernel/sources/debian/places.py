"""Where the files of an archive are, told by where one of its indexes is.

Source: Debian's "RepositoryFormat".
"""

from __future__ import annotations

import os
import re

from attrs import frozen

from purekernel.fetch.urls import is_local, is_url, join_url

DISTS = "/dists/"
RELEASE = "InRelease"


@frozen(kw_only=True)
class IndexPlace:
    """One packages index, and what is around it.

    Attributes:
        url: its address or path.
        base: what the paths in it are below.
        releases: for each folder that may have its ``InRelease``, that file's address, and the
            path of the index as it would say it; the likeliest first.
    """

    url: str
    base: str
    releases: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, url: str) -> IndexPlace:
        """Take an address apart: ``…/debian/dists/wheezy/main/binary-i386/Packages.gz``.

        In an archive without ``dists`` all lies in one folder.
        """
        path, query = _cut_query(url)
        folder, _slash, name = path.rpartition("/")
        base, dists, below = path.rpartition(DISTS)
        if not dists:
            return cls(
                url=url,
                base=(folder or ".") + query,
                releases=((join_url((folder or ".") + query, RELEASE), name),),
            )
        parts = below.split("/")
        releases = tuple(
            (
                join_url(base + query, "dists", *parts[:count], RELEASE),
                "/".join(parts[count:]),
            )
            for count in range(1, len(parts))
        )
        return cls(url=url, base=(base or "/") + query, releases=releases)

    def by_digest(self, sha256: str) -> str:
        """Return where the index is kept under its digest, if the archive does that.

        There it stays when the next one has taken its name.
        """
        path, query = _cut_query(self.url)
        folder = path.rpartition("/")[0] or "."
        return join_url(folder + query, "by-hash", "SHA256", sha256)


def _cut_query(url: str) -> tuple[str, str]:
    if is_local(url):
        if not is_url(url) and os.sep != "/":
            url = url.replace(os.sep, "/")
        return url, ""
    path = re.split("[?#]", url, maxsplit=1)[0]
    return path, url[len(path) :]

"""Check that the pages of the built site load nothing from another host.

Run with ``python docs/check_site.py FOLDER``; ``nox -s docs`` does. Links that a reader may follow
are allowed. Scripts, styles, fonts, images and frames are not: the browser fetches those by itself.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

# Elements whose attributes name what a browser fetches without being asked.
FETCHED = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "video": ("poster", "src"),
}
# Kinds of <link> that only tell where something is.
TOLD = {"alternate", "author", "canonical", "license"}
ABROAD = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s;]+)""", re.IGNORECASE)


class _Page(HTMLParser):
    """Collect what a browser fetches for a page.

    Attributes:
        fetched: addresses on other hosts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element's attributes."""
        values = dict(attrs)
        self._in_style = tag == "style"
        self.fetched += foreign_in_styles(values.get("style") or "")
        if tag == "link" and set((values.get("rel") or "").lower().split()) & TOLD:
            return
        for name in FETCHED.get(tag, ()):
            for address in _addresses(name, values.get(name) or ""):
                if ABROAD.match(address):
                    self.fetched.append(address)

    def handle_endtag(self, tag: str) -> None:
        """Leave a style."""
        if tag == "style":
            self._in_style = False

    def handle_data(self, data: str) -> None:
        """Look at styles inside the page."""
        if self._in_style:
            self.fetched += foreign_in_styles(data)


def _addresses(attribute: str, value: str) -> Iterator[str]:
    if attribute == "srcset":
        yield from (part.split()[0] for part in value.split(",") if part.split())
    else:
        yield value.strip()


def foreign_in_page(html: str) -> list[str]:
    """Return the addresses on other hosts from which a page loads something."""
    page = _Page()
    page.feed(html)
    page.close()
    return page.fetched


def foreign_in_styles(css: str) -> list[str]:
    """Return the addresses on other hosts that a style sheet loads."""
    return IN_STYLES.findall(css)


def check(site: Path) -> list[str]:
    """Return one line for each address on another host, with the file that names it."""
    found = []
    for path in sorted(site.rglob("*")):
        look = {".html": foreign_in_page, ".css": foreign_in_styles, ".svg": foreign_in_page}.get(
            path.suffix
        )
        if look is not None:
            text = path.read_text(encoding="utf-8")
            found += [f"{path.relative_to(site).as_posix()}: {address}" for address in look(text)]
    return found


def main() -> int:
    """Check the site that the command line names; return the exit status."""
    site = Path(sys.argv[1])
    pages = len(list(site.rglob("*.html")))
    found = check(site)
    for line in found:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(f"{pages} pages, {len(found)} addresses on other hosts\n")
    return int(bool(found) or not pages)


if __name__ == "__main__":
    sys.exit(main())

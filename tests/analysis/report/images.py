"""Make images that have all that the report shows."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from purekernel.analysis.origins import Origin, OriginKind, OriginMap, Origins
from tests.analysis.images import pack, put, tree_of

# Names that would do something if a page took them for HTML, for a script or for a pattern.
HOSTILE = (
    "<img src=x onerror=document.title='hacked'>",
    "</script><script>document.title='hacked'<",
    "<!--<script>",
    "{{data}}$&`${1}",
    "\x1b[2J\u202e",
)


def make_iso(*, embedded: bool = False, more: int = 0) -> bytes:
    """Return an ISO with extensions, hostile names, and a merged extension.

    Args:
        embedded: whether it says where its files come from.
        more: how many small files are added.
    """
    root = make_core_tree()
    for name in HOSTILE:
        put(root, f"opt/hostile/{name.replace('/', '|')}", b"x" * 1000)
    put(root, "usr/local/tce.installed/merged", b"")
    put(root, "usr/local/bin/linked", b"->/tmp/tcloop/linked/usr/local/bin/linked")
    for number in range(more):
        put(root, f"opt/many/{number % 50}/file{number}", b"%d" % number * 3)
    extensions = {
        "a.tcz": ({"usr/local/bin/a": b"a" * 5000}, b"b.tcz\nmissing.tcz\n"),
        "b.tcz": ({"usr/local/lib/b": bytes(range(256)) * 40}, b"c.tcz\n"),
        "c.tcz": ({"usr/local/lib/c": b"c"}, b"a.tcz\n"),
        "stored.tcz": ({"usr/local/bin/s": b"s"}, None),
    }
    beside: dict[bytes, bytes] = {b"cde/onboot.lst": b"a.tcz\n"}
    for name, (files, needs) in extensions.items():
        place = f"cde/optional/{name}".encode()
        beside[place] = pack(tree_of(files))
        if needs is not None:
            beside[place + b".dep"] = needs
    if embedded:
        beside[b"boot/purekernel/origins.json"] = make_origins().to_json()
    return make_core_iso(root=root, beside_boot=beside)


def make_origins() -> Origins:
    """Return origins: of the base, and of an overlay with the files in opt/."""
    base = Origin(OriginKind.BASE, "Core-current.iso")
    overlay = Origin(OriginKind.OVERLAY, "<b>overlay</b>")
    extension = Origin(OriginKind.EXTENSION, "a.tcz")
    return Origins(
        root=OriginMap({b"": base, b"opt": overlay}),
        disc=OriginMap({b"": base, b"cde/optional/a.tcz": extension}),
    )


def write_iso(folder: Path, name: str = "image.iso", **options: Any) -> str:
    """Write an ISO; return its path."""
    path = folder / name
    path.write_bytes(make_iso(**options))
    return str(path)


class Page(HTMLParser):
    """A page as a browser reads it, as far as the standard library can.

    Attributes:
        tags: the start tags, with their attributes.
        contents: the contents of scripts and styles, in order, with their attributes.
    """

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.contents: list[tuple[str, dict[str, str | None], str]] = []
        self.text = page.decode()
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.contents.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is not None:
            tag, attributes, text = self.contents[-1]
            self.contents[-1] = (tag, attributes, text + data)

    @property
    def policy(self) -> dict[str, str]:
        """The directives of the Content Security Policy."""
        (content,) = (
            attributes["content"] or ""
            for tag, attributes in self.tags
            if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
        )
        return dict(re.split(r"\s+", each.strip(), maxsplit=1) for each in content.split(";"))

    @property
    def data(self) -> dict[str, Any]:
        """The data of the page."""
        (text,) = (
            text
            for _tag, attributes, text in self.contents
            if attributes.get("type") == "application/json"
        )
        found: dict[str, Any] = json.loads(text)
        return found

    def paths(self) -> list[str]:
        """Return the path of each entry, as an address."""
        space = self.data["space"]
        paths = [""]
        for number in range(1, len(space["names"])):
            above = space["parents"][number]
            joint = "" if above == 0 else ":" if space["kinds"][above] == "a" else "/"
            paths.append(paths[above] + joint + space["names"][number])
        return paths

    def column(self, name: str) -> dict[str, Any]:
        """Return the values of a column, by path."""
        return dict(zip(self.paths(), self.data["space"][name], strict=True))

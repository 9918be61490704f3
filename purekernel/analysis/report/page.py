"""Write the page: one HTML file with its script, its style and its data.

Its Content Security Policy permits its own script and style by their digests, and nothing else: no
network, no other script. The script makes text only by ``textContent``.

Source: Content Security Policy Level 3; HTML, "The script element" (data blocks).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib import resources

_MARK = re.compile(r"\{\{([a-z]+)\}\}")


def write_page(document: Mapping[str, object], title: str) -> bytes:
    """Return the page that shows a document.

    Args:
        document: the data, as JSON has it.
        title: the title of the page, plain text.
    """
    style, script = _asset("page.css"), _asset("page.js")
    policy = "; ".join((
        "default-src 'none'",
        f"script-src {_source_of(script)}",
        f"style-src {_source_of(style)}",
        "base-uri 'none'",
        "form-action 'none'",
    ))  # fmt: skip
    values = {
        "policy": policy,
        "title": html.escape(title),
        "style": style,
        "script": script,
        "data": build_data(document),
    }
    page = _MARK.sub(lambda match: values[match[1]], _asset("page.html"))
    return page.encode("utf-8", "backslashreplace")


def build_data(document: Mapping[str, object]) -> str:
    """Return a document as JSON in ASCII that cannot end the element that it is in."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\x7f", "\\u007f")


def _asset(name: str) -> str:
    """Return a file of the package, with lines that end as on Linux."""
    file = resources.files("purekernel.analysis.report").joinpath(name)
    return file.read_bytes().decode().replace("\r\n", "\n")


def _source_of(text: str) -> str:
    """Return the source expression that permits an element with this content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

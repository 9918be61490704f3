"""Test that the page can do nothing but what its own script does."""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

import pytest

from purekernel.analysis.report.collect import make_report
from purekernel.analysis.report.page import build_data, write_page
from tests.analysis.report.images import HOSTILE, Page, write_iso

PACKAGE = Path(__file__).parents[3] / "purekernel/analysis/report"


def source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_policy_permits_the_script_and_the_style_of_the_page_only(tmp_path: Path) -> None:
    page = Page(make_report(write_iso(tmp_path)).page)
    (style,) = (text for tag, _attributes, text in page.contents if tag == "style")
    (script,) = (
        text for tag, attributes, text in page.contents if tag == "script" and not attributes
    )
    assert page.policy == {
        "default-src": "'none'", "script-src": source(script), "style-src": source(style),
        "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_hostile_names_add_no_element(tmp_path: Path) -> None:
    page = Page(make_report(write_iso(tmp_path, HOSTILE[0].replace("/", "|"))).page)
    empty = Page(write_page({}, ""))
    assert [tag for tag, _attributes in page.tags] == [tag for tag, _attributes in empty.tags]
    assert page.data["title"] == HOSTILE[0]


def test_page_refers_to_no_other_file() -> None:
    for _tag, attributes in Page(write_page({}, "")).tags:
        assert not attributes.keys() & {"src", "srcset", "style", "action", "data", "poster"}
        assert (attributes.get("href") or "#").startswith("#")


def test_data_cannot_end_its_element() -> None:
    text = build_data({"a": "</script><!--\u2028\x7f\udc80é"})
    assert text.isascii()
    assert "<" not in text
    assert "\x7f" not in text


def test_script_makes_text_of_names_only() -> None:
    script = (PACKAGE / "page.js").read_text(encoding="utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                 "new Function", "srcdoc", "fetch(", "XMLHttpRequest", "import("):  # fmt: skip
        assert word not in script
    assert "</script" not in script
    assert "<!--" not in script

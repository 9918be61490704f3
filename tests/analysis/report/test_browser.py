"""Test the page in Chromium: it draws, zooms and searches, and names of files do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from purekernel.analysis.report.collect import make_report
from tests.analysis.report.images import HOSTILE, make_iso
from tests.browser import Browser

pytestmark = [pytest.mark.oracle, pytest.mark.nightly]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    new, old = folder / "new.iso", folder / "old.iso"
    new.write_bytes(make_iso(embedded=True))
    old.write_bytes(make_iso(more=20))
    (folder / "report.html").write_bytes(make_report(str(new), against=str(old)).page)
    many = folder / "many.iso"
    many.write_bytes(make_iso(more=20_000))
    (folder / "many.html").write_bytes(make_report(str(many)).page)
    return folder


@pytest.fixture
def browser(pages: Path, tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile", height=1000) as browser:
        browser.open(pages / "report.html")
        yield browser
        assert browser.problems == []


def boxes(browser: Browser) -> int:
    return int(browser.evaluate("document.getElementById('canvas').dataset.boxes"))


def detail(browser: Browser) -> str:
    return str(browser.evaluate("document.querySelector('#detail .path').textContent"))


def list_names(browser: Browser) -> list[str]:
    script = "[...document.querySelectorAll('#list .name')].map((each) => each.textContent)"
    found: list[str] = browser.evaluate(script)
    return found


def search(browser: Browser, text: str) -> None:
    browser.evaluate("document.getElementById('search').focus()")
    browser.call("Input.insertText", text=text)
    browser.evaluate("new Promise((done) => setTimeout(done, 300))")


def test_page_draws_all_its_parts(browser: Browser) -> None:
    assert boxes(browser) > 20
    assert browser.evaluate("document.querySelectorAll('#graph g').length") == 4
    assert browser.evaluate("document.querySelectorAll('#changes-table tbody tr').length") > 0
    rows = browser.evaluate("document.getElementById('origins-table').textContent")
    assert "<b>overlay</b>" in rows
    assert "Core-current.iso" in rows


def test_keyboard_opens_a_folder_and_goes_up(browser: Browser) -> None:
    browser.evaluate("document.getElementById('canvas').focus()")
    browser.press("ArrowRight")
    first = detail(browser)
    assert first in ("boot", "cde", "(headers and padding)")
    browser.press("Home")
    for _number in range(3):
        browser.press("ArrowRight")
        if detail(browser) in ("boot", "cde"):
            break
        browser.press("ArrowLeft")
    chosen = detail(browser)
    assert chosen in ("boot", "cde")
    browser.press("Enter")
    assert detail(browser).startswith(f"{chosen}/")
    browser.press("Escape")
    assert detail(browser) == chosen


def test_click_opens_what_is_under_it(browser: Browser) -> None:
    before = list_names(browser)
    box = "document.getElementById('canvas').getBoundingClientRect()"
    at = browser.evaluate(f"(({{ right, bottom }}) => [right - 9, bottom - 9])({box})")
    for kind in ("mousePressed", "mouseReleased"):
        browser.call(
            "Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1
        )
    assert list_names(browser) != before


def test_search_finds_names_and_paths(browser: Browser) -> None:
    search(browser, "*/busybox")
    assert list_names(browser) == ["boot/core.gz:bin/busybox"]
    assert "1 match" in browser.evaluate("document.getElementById('list-title').textContent")


def test_hostile_names_are_text(browser: Browser) -> None:
    search(browser, "<img")
    (name,) = list_names(browser)
    assert name.endswith(HOSTILE[0])
    assert browser.evaluate("document.querySelectorAll('img, main script, b').length") == 0
    assert browser.evaluate("document.title").startswith("new.iso")


def test_theme_button_changes_the_colours(browser: Browser) -> None:
    colours = set()
    for _number in range(3):
        colours.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
        browser.evaluate("document.getElementById('theme').click()")
    assert len(colours) == 2


def test_page_fits_the_width_of_a_phone(pages: Path, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile", width=380, height=800) as browser:
        browser.open(pages / "report.html")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 380
        assert boxes(browser) > 10
        assert browser.problems == []


def test_map_of_many_files_is_drawn(pages: Path, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.open(pages / "many.html")
        assert boxes(browser) > 50
        assert browser.problems == []

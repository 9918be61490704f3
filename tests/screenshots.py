"""Make the screenshots of docs/report.md: light, dark, and as wide as a phone.

Run with ``python -m tests.screenshots``; it needs Chromium. The image is made up: only the names of
its files are like those of a real one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from purekernel.analysis.origins import ORIGINS_PATH, Origin, OriginKind, OriginMap, Origins
from purekernel.analysis.report.collect import make_report
from tests.analysis.images import pack, put, tree_of
from tests.browser import Browser
from tests.processes import ROOT

FOLDER = ROOT / "docs/report"

# Name, width, height, and whether it is dark.
SHOTS = (
    ("light", 1280, 860, False),
    ("dark", 1280, 860, True),
    ("phone", 380, 800, False),
)


# Of the root file system: a folder, and how many files of which size at most are in it.
FILES = (
    ("lib", 24, 400_000), ("lib/modules/5.10.3-tinycore/kernel/drivers/net", 120, 60_000),
    ("lib/modules/5.10.3-tinycore/kernel/fs", 40, 90_000), ("usr/bin", 60, 30_000),
    ("usr/lib", 16, 260_000), ("sbin", 20, 60_000), ("etc/init.d", 30, 4_000),
    ("usr/share/zoneinfo", 60, 3_000), ("opt/company", 5, 200_000),
)  # fmt: skip
EXTENSIONS = {
    "bash": (["readline"], 900_000), "readline": (["ncursesw"], 200_000),
    "ncursesw": ([], 350_000), "htop": (["ncursesw"], 120_000), "nano": (["ncursesw"], 240_000),
    "openssh": (["openssl", "gcc_libs"], 800_000), "openssl": ([], 1_600_000),
    "curl": (["openssl", "ca-certificates"], 400_000), "ca-certificates": (["openssl"], 90_000),
    "gcc_libs": ([], 700_000), "python3": (["openssl", "readline", "libffi"], 2_600_000),
    "libffi": ([], 60_000),
}  # fmt: skip
LOADED = b"openssh.tcz\ncurl.tcz\n"


def make_image(*, newer: bool) -> bytes:
    """Return an image that says where its files come from; the newer one has Python, and more."""
    random = Random(1)  # the same each time
    root = make_core_tree()
    for folder, count, most_bytes in FILES:
        for number in range(count):
            size_bytes = int(most_bytes * random.random() ** 2)
            put(root, f"{folder}/{folder.rpartition('/')[2]}{number}", random.randbytes(size_bytes))
    beside = {b"cde/onboot.lst": LOADED}
    kinds = {b"": Origin(OriginKind.BASE, "Core-current.iso")}
    for name, (needs, size_bytes) in EXTENSIONS.items():
        path = f"cde/optional/{name}.tcz".encode()
        content = pack(tree_of({
            f"usr/local/bin/{name}": random.randbytes(size_bytes // 3),
            f"usr/local/lib/lib{name}.so": random.randbytes(size_bytes // 2),
        }))  # fmt: skip
        if newer or name not in ("python3", "libffi"):
            beside[path] = content
            beside[path + b".dep"] = "".join(f"{need}.tcz\n" for need in needs).encode()
            kinds[path] = kinds[path + b".dep"] = Origin(OriginKind.EXTENSION, f"{name}.tcz")
    if newer:
        put(root, "opt/company/agent", random.randbytes(1_500_000))
    origins = Origins(
        root=OriginMap({
            b"": kinds[b""],
            b"etc/init.d": Origin(OriginKind.EDIT, "[[edit]] 1"),
            b"opt/company": Origin(OriginKind.OVERLAY, "overlay/"),
            b"usr/share/zoneinfo": Origin(OriginKind.PACKAGE, "tzdata", "2026a"),
        }),
        disc=OriginMap(dict(sorted(kinds.items()))),
    )  # fmt: skip
    beside[ORIGINS_PATH] = origins.to_json()
    return make_core_iso(root=root, beside_boot=beside)


def make() -> None:
    """Write the screenshots."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        new, old = folder / "image.iso", folder / "last-week.iso"
        new.write_bytes(make_image(newer=True))
        old.write_bytes(make_image(newer=False))
        page = folder / "report.html"
        page.write_bytes(make_report(str(new), against=str(old)).page)
        for shot, width, height, dark in SHOTS:
            with Browser(folder / shot, width=width, height=height, dark=dark) as browser:
                browser.open(page)
                (FOLDER / f"{shot}.png").write_bytes(browser.screenshot())
                if shot == "light":
                    browser.evaluate("document.getElementById('extensions').scrollIntoView()")
                    (FOLDER / "extensions.png").write_bytes(browser.screenshot())


if __name__ == "__main__":
    make()

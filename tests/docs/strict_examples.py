"""Check the Python examples of the pages with ``mypy --strict``, as a user's project would.

Run ``python -m tests.docs.strict_examples`` where purekernel and mypy are installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.docs.pages import read_page

PAGES = ("README.md", "docs/compression.md", "docs/squashfs.md")
_FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def main() -> int:
    """Write each example to its own folder, check all of them, and return the status of mypy."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for page in PAGES:
            for number, match in enumerate(_FENCE.finditer(read_page(page))):
                name = f"{Path(page).stem.lower()}_{number}.py"
                (Path(folder) / name).write_text(match[1], encoding="utf-8")
                files.append(name)
        if len(files) < len(PAGES):
            raise SystemExit(f"examples are missing: found {', '.join(files)}")
        command = [sys.executable, "-m", "mypy", "--strict", *files]
        return subprocess.run(command, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

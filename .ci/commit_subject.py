"""Check a commit message's first line: ``area: summary``, under 72 characters.

Run with ``python .ci/commit_subject.py FILE``; pre-commit does.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

MOST_CHARACTERS = 71
SUBJECT = re.compile(r"[\w.,/ -]+: \S.*")
# Git writes these itself.
GENERATED = ("Merge ", "Revert ", "fixup! ", "squash! ", "amend! ")


def check_message(message: str) -> str | None:
    """Return what is wrong with a message, or nothing."""
    subject, *rest = message.splitlines() or [""]
    if subject.startswith(GENERATED):
        return None
    if not SUBJECT.fullmatch(subject):
        return f"the first line must be 'area: summary', got {subject!r}"
    if len(subject) > MOST_CHARACTERS:
        return f"the first line must be under 72 characters, got {len(subject)}"
    if subject.endswith("."):
        return "the first line must not end with a full stop"
    if rest and rest[0].strip() and not rest[0].startswith("#"):
        return "the second line must be empty"
    return None


def main() -> int:
    """Check the file that the command line names; return the exit status."""
    fault = check_message(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if fault is not None:
        sys.stderr.write(f"{fault}\n")
    return int(fault is not None)


if __name__ == "__main__":
    sys.exit(main())

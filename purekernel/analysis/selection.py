"""Choose among findings: by code, and by code and path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from purekernel.analysis.findings import RULES, Finding
from purekernel.errors import UsageError, raise_all
from purekernel.records import frozen
from purekernel.rootfs.patterns import Pattern, parse_pattern

_SELECTED = re.compile(r"PK[0-9]{0,3}")
_IGNORED = re.compile(r"(PK[0-9]{3})(?::/*(.+))?", re.DOTALL)


@frozen(kw_only=True)
class Selection:
    """Which findings count.

    Attributes:
        select: codes, or the starts of codes such as ``PK7``; empty for all.
        ignore: codes and perhaps patterns of paths, each with its text.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[tuple[str, str, Pattern | None], ...] = ()

    def apply(self, findings: Iterable[Finding]) -> tuple[tuple[Finding, ...], list[str]]:
        """Return the findings that count, and the texts in ``ignore`` that apply to none."""
        used: set[str] = set()
        kept = []
        for finding in findings:
            matching = [
                text
                for text, code, pattern in self.ignore
                if finding.code == code and (pattern is None or pattern.matches(finding.path))
            ]
            used.update(matching)
            if not matching and (not self.select or finding.code.startswith(self.select)):
                kept.append(finding)
        unused = dict.fromkeys(text for text, _code, _pattern in self.ignore if text not in used)
        return tuple(kept), list(unused)


def parse_selection(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> Selection:
    """Parse codes to select and to ignore.

    Args:
        select: codes, or starts of codes.
        ignore: codes, each perhaps with a colon and a path or pattern.

    Raises:
        UsageError: a code does not exist; several of them are raised together.
    """
    errors = [_unknown(text) for text in select if not _is_selectable(text)]
    parsed = []
    for text in ignore:
        match = _IGNORED.fullmatch(text)
        if match is None or match[1] not in RULES:
            errors.append(_unknown(text))
            continue
        path = match[2]
        pattern = None if path is None else parse_pattern(path.encode("utf-8", "surrogateescape"))
        parsed.append((text, match[1], pattern))
    raise_all(errors)
    return Selection(select=tuple(select), ignore=tuple(parsed))


def _is_selectable(text: str) -> bool:
    return _SELECTED.fullmatch(text) is not None and any(code.startswith(text) for code in RULES)


def _unknown(text: str) -> UsageError:
    return UsageError(
        f"{text}: no finding has this code",
        hint="docs/findings.md lists the codes; PK7 selects all that begin so",
    )

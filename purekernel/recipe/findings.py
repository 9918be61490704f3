"""Describe the recipe's table about findings: what to ignore, and what fails the build."""

from __future__ import annotations

import re

from attrs import field

from purekernel.recipe.keys import Placed, key
from purekernel.recipe.kinds import FLAG, Array, Text
from purekernel.records import frozen

# A code, and perhaps a path or pattern after a colon.
IGNORED = Text(
    pattern=r"^PK[0-9]{3}(:[^\u0000-\u001f\u007f]{1,1024})?(?!\n)$",
    words='the code of a finding, such as "PK302", and perhaps a path or pattern after a colon: '
    '"PK302:usr/local/share/*"',
)
_ENTRY = re.compile(r"(PK[0-9]{3})(?::/*(.*))?", re.DOTALL)


@frozen(kw_only=True)
class FindingChoice(Placed):
    """What to do with findings."""

    ignore: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Ignore",
            "Findings to leave out: a code for all of its kind, or a code with a path, or a "
            "pattern as for cuts, after a colon. An entry that applies to none is reported.",
            Array(item=IGNORED),
            ["PK302", "PK102:usr/local/lib/plugins/*"],
        ),
    )
    strict: bool = field(
        default=False,
        metadata=key("Strict", "Whether findings that are errors stop the build.", FLAG, True),
    )

    def ignored(self) -> list[tuple[str, bytes | None]]:
        """Return the code of each entry, and its path or pattern, if it has one."""
        entries = []
        for text in self.ignore:
            match = _ENTRY.fullmatch(text)
            if match is not None:
                path = match[2]
                entries.append((match[1], None if path is None else path.encode()))
        return entries

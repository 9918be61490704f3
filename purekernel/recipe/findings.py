"""Describe the recipe's table about findings: what to ignore, and what fails the build."""

from __future__ import annotations

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
SELECTED = Text(
    pattern=r"^PK[0-9]{0,3}(?!\n)$",
    words='the code of a finding, or its start: "PK301", or "PK7" for all that begin so',
)


@frozen(kw_only=True)
class FindingChoice(Placed):
    """What to do with findings."""

    select: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Select",
            "Findings to report, by codes or starts of codes. Default: all.",
            Array(item=SELECTED),
            ["PK1", "PK601"],
        ),
    )
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

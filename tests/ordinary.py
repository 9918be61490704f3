"""Act as an ordinary user for a time, even if root runs the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# The uid of nobody on Debian. Any uid that owns no files works.
NOBODY = 65534


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Drop root's rights if the process has them. Windows has no uids."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)

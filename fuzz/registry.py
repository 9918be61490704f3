"""Import the modules of all targets."""

from __future__ import annotations

import fuzz.archives
import fuzz.binaries
import fuzz.images
import fuzz.packages
import fuzz.texts  # noqa: F401  # a module registers its targets when it is imported
from fuzz.target import TARGETS

__all__ = ["TARGETS"]

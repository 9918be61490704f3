"""Compose images and bundles, and write them.

What only recipes need is imported on first use.
"""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.remaster.compose import compose_recipe
else:
    __getattr__ = lazy_names(__name__, {"compose": "compose_recipe"})

__all__ = ["compose_recipe"]

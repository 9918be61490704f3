"""Compose images and bundles, and write them.

What only recipes need is imported on first use.
"""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.remaster.compose import compose_recipe
    from purekernel.remaster.embed import embed_gathered, embed_unpacked
else:
    __getattr__ = lazy_names(
        __name__, {"compose": "compose_recipe", "embed": "embed_gathered embed_unpacked"}
    )

__all__ = ["compose_recipe", "embed_gathered", "embed_unpacked"]

"""What the original scripts of half two say of the image that they would make."""

from __future__ import annotations

import re

from purekernel.recipe.flavour import Generation

REBUILD_SCRIPT = b"rebuild_iso.sh"

_OLD_VOLUME_ID = re.compile(rb"-V\s+TC-custom\b")


def tell_generation(script: bytes) -> Generation:
    """Return the generation of a ``rebuild_iso.sh``, by the volume id that it gives."""
    return Generation.V2012 if _OLD_VOLUME_ID.search(script) else Generation.V2013

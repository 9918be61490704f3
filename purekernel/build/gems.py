"""Put gems into an image: as a mirror with an index, or as files in one folder."""

from __future__ import annotations

from purekernel.encode.encoders import Libdeflate
from purekernel.formats.gem import build_gem_index, parse_gem
from purekernel.plan.fetch_plan import Gathered
from purekernel.razor.overlay import GEM_FOLDER, GEM_MIRROR, OverlayTree, add_files
from purekernel.recipe.model import GemLayout


def add_gems(overlay: OverlayTree, gathered: Gathered) -> None:
    """Add the gems of a plan, if it has any or its project has a place for them.

    Raises:
        FormatError: a gem is damaged.
    """
    plan = gathered.plan
    if not plan.gems and plan.project is None:
        return
    files = {gem.wanted.name: gathered.content(gem.wanted) or b"" for gem in plan.gems}
    listed = plan.recipe.gems.wanted
    names = None if listed is None else "".join(f"{one.name}\n" for one in listed).encode()
    if plan.gem_layout is GemLayout.FLAT:
        add_files(overlay, GEM_FOLDER, files)
        if names is not None:
            overlay.file(GEM_FOLDER + b"/gem.list", names)
        return
    specs = {name: parse_gem(content, source=name).spec for name, content in files.items()}
    add_files(overlay, GEM_MIRROR + b"/gems", files)
    add_files(overlay, GEM_MIRROR, build_gem_index(specs, deflate=Libdeflate().encode))
    if names is not None:
        overlay.file(GEM_MIRROR + b"/gems/gem.list", names)

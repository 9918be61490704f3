"""Read recipes, check them against their schema, and join them with the command line.

The reader is imported on first use: an image of a bundle needs no recipe file.
"""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.recipe.read import load_recipe, read_text_file
else:
    __getattr__ = lazy_names(__name__, {"read": "load_recipe read_text_file"})

__all__ = ["load_recipe", "read_text_file"]

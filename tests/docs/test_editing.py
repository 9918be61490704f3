"""Test that the examples of docs/editing.md apply to the sample's root file system."""

from __future__ import annotations

import re
from pathlib import Path

from fixtures.core import make_core_tree
from purekernel.input import DEFAULT_LIMITS
from purekernel.recipe.conflicts import change_faults
from purekernel.recipe.model import Recipe
from purekernel.recipe.read import parse_recipe
from purekernel.remaster.changes import change_passes
from purekernel.tree import Symlink, Tree
from tests.docs.pages import read_page

PAGE = read_page("docs/editing.md")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def apply(recipe: Recipe) -> Tree:
    tree = make_core_tree()
    assert change_faults(recipe) == []
    for _words, run in change_passes(recipe, mtime=0, limits=DEFAULT_LIMITS):
        tree = run(tree)
    return tree


def test_examples_apply() -> None:
    trees = [apply(parse_recipe(text.encode(), source="page", folder=Path())) for text in EXAMPLES]
    whole, removed, written, edited, linked, owned = trees
    assert whole.read("etc/motd") == b"Welcome.\n"
    assert b"115200 tty1" in whole.read("etc/inittab")
    assert not any(b"/drivers/" in path and b".ko" in path for path, _node in whole.walk())
    assert removed == make_core_tree()
    script = written[b"opt/bootlocal.sh"].metadata
    assert (script.mode, script.gid) == (0o755, 50)
    assert written[b"home/tc/.ash_history"].metadata.uid == 1001
    assert b"\nttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n" in edited.read("etc/inittab")
    assert edited.read("home/tc/.profile") == b"PS1='core$ '\nexport EDITOR=vi\nTZ=UTC\n"
    library = linked[b"usr/lib/libplain.so"]
    assert isinstance(library, Symlink)
    assert library.target == b"/usr/local/lib/libplain.so"
    assert owned[b"home/tc/.profile"].metadata.mode == 0o600
    assert owned[b"usr/local/lib/modules"].metadata.mode == 0o755
    assert owned[b"usr/local/lib/libplain.so"].metadata.mode == 0o644


def test_example_of_the_library_is_the_same_as_the_recipe() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Recipe] = {}
    exec(code, names)  # the page's own example
    tree = apply(names["recipe"])
    assert b"usr/share/sample" not in tree
    assert b"115200 tty1" in tree.read("etc/inittab")

"""Test the one entry of builds: outputs, layers in memory and passes, for bundles and recipes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from purekernel import (
    Context,
    Layer,
    Outputs,
    OverlayChoice,
    Recipe,
    Tree,
    build,
    load_recipe,
    sample_bundle,
)
from purekernel.errors import UsageError
from purekernel.tree import File, Metadata, put_file
from tests.workshop import Workshop


def layer(owner: int = 0) -> Layer:
    tree = Tree()
    put_file(tree, b"opt/mine", b"layer", metadata=Metadata(mode=0o600, uid=owner, mtime=5))
    return Layer(source="memory", tree=tree)


def with_mark(tree: Tree) -> Tree:
    changed = tree.copy()
    node = tree[b"opt/mine"]
    assert isinstance(node, File)
    put_file(changed, b"opt/marked", bytes(node.content) + b" seen", metadata=node.metadata)
    return changed


def test_layers_and_passes_change_the_image_of_a_bundle() -> None:
    changes = Recipe(
        overlays=[OverlayChoice(layer=layer(owner=1001))], passes=[("mark it", with_mark)]
    )
    image = build(sample_bundle(changes=changes))
    assert image.root.read("opt/marked") == b"layer seen"
    assert image.root[b"opt/mine"].metadata.uid == 0
    kept = Recipe(overlays=[OverlayChoice(layer=layer(owner=1001), keep_owners=True)])
    root = build(sample_bundle(changes=kept)).root
    assert root[b"opt/mine"].metadata.uid == 1001


def test_layers_and_passes_change_the_image_of_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Workshop(tmp_path, monkeypatch)
    iso = tmp_path / "mirror/4.x/x86/release/Core-current.iso"
    (tmp_path / "purekernel.toml").write_text(f"[core]\niso = {str(iso)!r}\n", encoding="utf-8")
    recipe = load_recipe(tmp_path)
    assert recipe.path == tmp_path / "purekernel.toml"
    steps = Recipe(
        folder=recipe.folder,
        core=recipe.core,
        overlays=[OverlayChoice(layer=layer())],
        passes=[("mark it", with_mark)],
    )
    image = build(steps, Context(cache_dir=tmp_path / "cache"))
    assert image.root.read("opt/marked") == b"layer seen"
    assert image.files == ()


def test_iso_is_the_same_as_bytes_in_a_stream_and_in_a_file(tmp_path: Path) -> None:
    image = build(sample_bundle(), outputs=Outputs(folder=tmp_path))
    (written,) = image.files
    stream = BytesIO()
    image.write_iso(stream)
    assert written.path.read_bytes() == image.iso_bytes() == stream.getvalue()


def test_changes_that_a_bundle_cannot_have_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        build(sample_bundle(changes=Recipe(name="mine", autologin=True)))
    assert str(caught.value) == "a bundle's image cannot be changed in: name, autologin"
    with pytest.raises(UsageError, match=r"must be iso, core, .*: 'usb' is not a valid"):
        Outputs(kinds=["usb"])

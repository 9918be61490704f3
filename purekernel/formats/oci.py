"""Read an OCI image layout: the images that it lists, and the root file system of each.

Source: the OCI image format specification 1.1: image-layout.md, image-index.md, manifest.md,
config.md, and layer.md for the files that remove others.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field

from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Directory, File, Tree
from purekernel.tree.path import join, name, parent

LAYOUT, INDEX = b"oci-layout", b"index.json"

# The specification asks readers to accept manifests of 4 MiB.
MAX_JSON_BYTES = 4 << 20
# Registries refuse more layers, and images have one for each system.
MAX_LAYERS, MAX_IMAGES = 1000, 100

_DIGEST = re.compile(r"sha(?P<bits>256|512):(?P<hex>[0-9a-f]{64,128})")
_WHITEOUT, _OPAQUE = b".wh.", b".wh..wh..opq"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_NAME = "org.opencontainers.image.ref.name"


@frozen(kw_only=True)
class OciLayer:
    """A layer of an image.

    Attributes:
        path: the path of its file in the layout.
        media_type: what the manifest says it is.
    """

    path: bytes
    media_type: str


@frozen(kw_only=True)
class OciImage:
    """An image of a layout.

    Attributes:
        name: its name or tag; empty for none.
        digest: the digest of its manifest.
        manifest: the manifest.
        config: its configuration.
        layers: its layers, the lowest first.
    """

    name: str
    digest: str
    manifest: Mapping[str, Any] = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    layers: tuple[OciLayer, ...]


def is_oci_layout(tree: Tree) -> bool:
    """Return whether a tree is an OCI image layout."""
    return isinstance(tree.get(LAYOUT), File) and isinstance(tree.get(INDEX), File)


def read_images(tree: Tree, file: Input) -> Iterator[OciImage]:
    """Yield the images of a layout, also those of the lists in its index.

    Args:
        tree: the layout.
        file: its name and limits; its data are not used.

    Raises:
        FormatError: a file is missing, is not as the specification has it, or has another digest
            than its name says. Images before it are still yielded.
    """
    layout = _Layout(tree, file)
    index = layout.parse(INDEX)
    pending = list(_descriptors(index, "manifests", layout.at(INDEX)))
    seen = 0
    while pending:
        seen += 1
        if seen > MAX_IMAGES:
            raise file.exceed(None, f"at most {MAX_IMAGES} images", "more")
        descriptor = pending.pop(0)
        path = layout.blob(descriptor)
        manifest = layout.parse(path)
        if descriptor.get("mediaType") in (_INDEX_TYPE, _DOCKER_LIST):
            pending += _descriptors(manifest, "manifests", layout.at(path))
            continue
        config = manifest.get("config")
        if not isinstance(config, dict):
            raise layout.at(path).fail(None, "a manifest with a config", "none")
        layers = list(_descriptors(manifest, "layers", layout.at(path)))
        if len(layers) > MAX_LAYERS:
            raise layout.at(path).exceed(None, f"at most {MAX_LAYERS} layers", str(len(layers)))
        annotations = descriptor.get("annotations")
        named = annotations.get(_NAME) if isinstance(annotations, dict) else None
        yield OciImage(
            name=named if isinstance(named, str) else "",
            digest=str(descriptor["digest"]),
            manifest=manifest,
            config=layout.parse(layout.blob(config)),
            layers=tuple(
                OciLayer(path=layout.blob(each), media_type=str(each.get("mediaType", "")))
                for each in layers
            ),
        )


def merge_layers(layers: Iterable[Tree]) -> Tree:
    """Return what layers unpack to, the lowest first.

    A file ``.wh.NAME`` removes NAME of the layers below, and ``.wh..wh..opq`` all that they have in
    its folder.
    """
    merged = Tree()
    for layer in layers:
        for path, _node in layer.walk():
            base = name(path)
            if base == _OPAQUE:
                _clear(merged, parent(path))
            elif base.startswith(_WHITEOUT):
                hidden = join(parent(path), base.removeprefix(_WHITEOUT))
                if hidden and hidden in merged:
                    merged.remove(hidden)
        _lay_over(merged, layer)
    return merged


def _clear(tree: Tree, folder: bytes) -> None:
    if isinstance(tree.get(folder), Directory):
        for entry in tree.entries(folder):
            tree.remove(join(folder, entry))


def _lay_over(merged: Tree, layer: Tree) -> None:
    firsts: dict[int, bytes] = {}
    for path, node in layer.walk():
        if name(path).startswith(_WHITEOUT):
            continue
        old = merged.get(path)
        if isinstance(old, Directory) and isinstance(node, Directory) and layer.is_implied(path):
            continue
        if old is not None and isinstance(old, Directory) != isinstance(node, Directory):
            merged.remove(path)
        inode = layer.inode(path)
        first = firsts.setdefault(inode, path)
        if first == path:
            merged.add(path, node)
        else:
            merged.link(path, first)


class _Layout:
    def __init__(self, tree: Tree, file: Input) -> None:
        self._tree = tree
        self._file = file

    def at(self, path: bytes) -> Input:
        """Return a file of the layout.

        Raises:
            FormatError: it is missing.
        """
        node = self._tree.get(path)
        shown = path.decode("utf-8", "backslashreplace")
        if not isinstance(node, File):
            raise self._file.fail(None, f"a file {shown}", "none")
        return self._file.unpacked(node.content, name=f"{self._file.name}: {shown}")

    def parse(self, path: bytes) -> dict[str, Any]:
        """Return a file of the layout, an object of JSON."""
        file = self.at(path)
        if len(file) > MAX_JSON_BYTES:
            raise file.exceed(None, f"at most {MAX_JSON_BYTES} bytes of JSON", str(len(file)))
        try:
            value = json.loads(bytes(file.data))
        except (ValueError, RecursionError) as error:
            raise file.fail(None, "valid JSON", str(error)) from None
        if not isinstance(value, dict):
            raise file.fail(None, "an object of JSON", "another value")
        return value

    def blob(self, descriptor: Mapping[str, Any]) -> bytes:
        """Return the path of a blob, after comparing its digest."""
        found = _DIGEST.fullmatch(str(descriptor.get("digest")))
        if found is None:
            raise self._file.fail(
                None, "a digest such as sha256:0123...", str(descriptor.get("digest"))[:80]
            )
        algorithm = f"sha{found['bits']}"
        path = f"blobs/{algorithm}/{found['hex']}".encode()
        file = self.at(path)
        actual = hashlib.new(algorithm, file.data).hexdigest()
        if actual != found["hex"]:
            raise file.fail(None, f"the digest {found['hex']}", actual)
        return path


def _descriptors(value: Mapping[str, Any], key: str, file: Input) -> list[Mapping[str, Any]]:
    listed = value.get(key)
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise file.fail(None, f"a list of objects {key!r}", "something else")
    return listed

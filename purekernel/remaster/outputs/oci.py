"""Write an image as a container image: an OCI image layout of one layer.

Source: the OCI image format specification 1.1: image-layout.md, image-index.md, manifest.md,
config.md; for ``manifest.json`` and the name in the index, what ``docker save`` writes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, BinaryIO

from purekernel.encode.archives import ArchiveCompression, compress_archive
from purekernel.formats.tar import iter_tar
from purekernel.remaster.containers import ANNOTATION, Container, make_container
from purekernel.remaster.image import Image
from purekernel.remaster.outputs.rootfs import iter_root
from purekernel.tree import Buffer, File, Metadata, Tree

_TYPE = "application/vnd.oci.image."
INDEX_TYPE = f"{_TYPE}index.v1+json"
MANIFEST_TYPE = f"{_TYPE}manifest.v1+json"
CONFIG_TYPE = f"{_TYPE}config.v1+json"
LAYER_TYPE = f"{_TYPE}layer.v1.tar+gzip"
_BLOBS = "blobs/sha256/"

# Where Docker puts an image without a host, and one without a user. (Source: the reference format
# of github.com/distribution/reference, "normalize.go".)
_DEFAULT_HOST, _DEFAULT_FOLDER = "docker.io", "library"

_Json = dict[str, Any]


def oci_name(name: str, *, archive: bool) -> str:
    """Return the name of the file or folder for an image called ``name``."""
    return f"{name}.oci.tar" if archive else f"{name}.oci"


def build_oci(image: Image, executor: Executor) -> dict[str, Buffer]:
    """Return the files of an OCI image layout, by relative path.

    Raises:
        PurekernelError: the recipe names what the image does not have.
        UnrepresentableError: a layer cannot represent an entry of the image.
    """
    container = make_container(image.oci, image.root, name=image.name, version=image.version)
    blobs: dict[str, Buffer] = {}
    created = datetime.fromtimestamp(image.timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    layer, diff_id = _build_layer(container.root, image, executor)
    annotations = {f"{ANNOTATION}created": created, **container.annotations}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _add(blobs, CONFIG_TYPE, _json(_config(image, container, created, diff_id))),
        "layers": [_add(blobs, LAYER_TYPE, layer)],
        "annotations": annotations,
    }
    described = _add(blobs, MANIFEST_TYPE, _json(manifest))
    described["platform"] = container.platform
    described["annotations"] = {
        "io.containerd.image.name": f"{_with_host(container.name)}:{container.tag}",
        f"{ANNOTATION}ref.name": container.tag,
    }
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [described]}
    files = {f"{_BLOBS}{digest}": content for digest, content in blobs.items()}
    files["index.json"] = _json(index)
    files["oci-layout"] = _json({"imageLayoutVersion": "1.0.0"})
    if image.oci.archive:
        files["manifest.json"] = _docker_manifest(manifest, container)
    return files


def write_oci_archive(image: Image, stream: BinaryIO, executor: Executor) -> None:
    """Write an OCI image layout as one tar archive, which ``docker load`` reads, too.

    Raises:
        PurekernelError: as for :func:`build_oci`.
    """
    tree = Tree()
    metadata = Metadata(mode=0o644, mtime=image.timestamp)
    for path, content in build_oci(image, executor).items():
        tree.add_parents(path.encode(), Metadata(mode=0o755, mtime=image.timestamp))
        tree.add(path.encode(), File(metadata=metadata, content=content))
    stream.writelines(iter_tar(tree, pax=True))


def _build_layer(root: Tree, image: Image, executor: Executor) -> tuple[bytes, str]:
    """Return the layer, and the digest of its archive before compression."""
    digest = hashlib.sha256()

    def pieces() -> Iterator[Buffer]:
        for piece in iter_root(root):
            digest.update(piece)
            yield piece

    packed = BytesIO()
    for piece in compress_archive(
        pieces(), compression=ArchiveCompression.GZIP, effort=image.effort, executor=executor
    ):
        packed.write(piece)
    return packed.getvalue(), f"sha256:{digest.hexdigest()}"


def _config(image: Image, container: Container, created: str, diff_id: str) -> _Json:
    author = container.annotations.get(f"{ANNOTATION}authors")
    step = {"created": created, "created_by": "purekernel", "comment": image.name}
    return {
        "created": created,
        **({} if author is None else {"author": author}),
        **container.platform,
        "config": container.config,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [step],
    }


def _docker_manifest(manifest: _Json, container: Container) -> bytes:
    def path(descriptor: Mapping[str, str]) -> str:
        return _BLOBS + descriptor["digest"].removeprefix("sha256:")

    described = {
        "Config": path(manifest["config"]),
        "RepoTags": [f"{container.name}:{container.tag}"],
        "Layers": [path(layer) for layer in manifest["layers"]],
    }
    return _json([described])


def _add(blobs: dict[str, Buffer], media_type: str, content: Buffer) -> _Json:
    """Add a blob, and return its descriptor."""
    digest = hashlib.sha256(content).hexdigest()
    blobs[digest] = content
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _with_host(name: str) -> str:
    """Return the name with its host, as Docker completes names."""
    first, slash, _rest = name.partition("/")
    if slash and (first == "localhost" or set(first) & {".", ":"} or first != first.lower()):
        return name
    return "/".join([_DEFAULT_HOST, *([] if slash else [_DEFAULT_FOLDER]), name])


def _json(value: _Json | Iterable[_Json]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

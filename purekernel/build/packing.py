"""Pack what was gathered as a bundle, as ``build-bundle-file.sh`` leaves it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, frozen

from purekernel.build.bundle import (
    CORE_ISO,
    DEPENDENCIES,
    OVERLAYS,
    VERSION_SCRIPT,
    Bundle,
)
from purekernel.build.scripts import REBUILD_SCRIPT
from purekernel.encode.encoders import Libdeflate, compress
from purekernel.formats.tar import build_tar
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.rootfs.ownership import own_as_root
from purekernel.tree import Buffer, Directory, File, Layer, Metadata, Tree, clamp_times, put_file
from purekernel.tree.path import join

OVERLAY = b"razor-microkernel-overlay.tar.gz"
VM_TOOLS = b"mk-open-vm-tools.tar.gz"
SSH_SETUP = b"ssh-setup-files.tar.gz"

# Nearly all in a bundle is compressed already. More than gzip's own default gains nothing.
ENCODER = Libdeflate(level=6)


@frozen(kw_only=True)
class BundleParts:
    """All that goes into a bundle.

    Attributes:
        source: what to call it in messages.
        iso: the Core ISO.
        flavour: whom the image is for.
        generation: of the project's scripts.
        version: of the image; ``None`` leaves it to whoever builds, as 2012 did.
        scripts: what the project has in ``iso-build-files``.
        licences: the licence files, by name.
        overlay: of the root file system.
        tarballs: the other overlays, by the names that they have in ``dependencies/``.
        mtime: of all that is made, in seconds since 1970, UTC.
    """

    source: str
    iso: Buffer
    flavour: Flavour
    generation: Generation
    version: str | None
    scripts: Tree
    licences: tuple[tuple[bytes, Buffer], ...]
    overlay: Layer
    tarballs: Mapping[bytes, Buffer]
    mtime: int

    def as_bundle(self) -> Bundle:
        """Return the bundle that :func:`pack_bundle` packs, without packing it."""
        overlays: list[tuple[str, Buffer | Layer]] = []
        for name in OVERLAYS:
            part = self.overlay if name == OVERLAY else self.tarballs.get(name)
            if part is not None:
                overlays.append((f"{DEPENDENCIES.decode()}/{name.decode()}", part))
        return Bundle(
            source=self.source,
            iso=self.iso,
            flavour=self.flavour,
            generation=self.generation,
            version=self.version,
            overlays=tuple(overlays),
            licences=self.licences,
            mtime=self.mtime,
        )


def pack_bundle(parts: BundleParts) -> bytes:
    """Return the bundle: a gzipped tar file, the same bytes every time.

    Everything in it is root's. The scripts are those of the project, with the flavour put
    into ``rebuild_iso.sh`` as the original put it.
    """
    made = Metadata(mode=0o644, mtime=parts.mtime)
    tree = Tree(Directory(metadata=Metadata(mode=0o755, mtime=parts.mtime)))
    for path, node in parts.scripts.walk():
        if path:
            tree.add(path, node)
    _set_flavour(tree, parts.flavour)
    put_file(tree, CORE_ISO, parts.iso, metadata=made)
    for name, content in parts.licences:
        put_file(tree, name, content, metadata=made)
    if parts.version is not None:
        put_file(tree, VERSION_SCRIPT, build_version_script(parts.version), metadata=made)
    overlay = clamp_times(own_as_root(parts.overlay).tree, parts.mtime)
    packed = compress(build_tar(overlay), encoder=ENCODER)
    for name, content in {**parts.tarballs, OVERLAY: packed}.items():
        put_file(tree, join(DEPENDENCIES, name), content, metadata=made)
    owned = own_as_root(Layer(source=parts.source, tree=tree))
    return compress(build_tar(clamp_times(owned.tree, parts.mtime)), encoder=ENCODER)


def bundle_name(flavour: Flavour) -> str:
    """Return what a bundle's file is called."""
    return f"razor-microkernel-bundle-{flavour.value}.tar.gz"


def build_version_script(version: str) -> bytes:
    """Return ``gitversion.sh``, which ``rebuild_iso.sh`` of 2013 takes the version from."""
    return f"ISO_VERSION='{version}'\n".encode()


def _set_flavour(tree: Tree, flavour: Flavour) -> None:
    node = tree.get(REBUILD_SCRIPT)
    if not isinstance(node, File):
        return
    old = b"ISO_NAME=rz_mk_dev-image"
    new = b"ISO_NAME=rz_mk_%s-image" % flavour.value.encode()
    tree.replace(REBUILD_SCRIPT, evolve(node, content=bytes(node.content).replace(old, new)))

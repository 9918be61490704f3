"""Read and write Razor Microkernel bundles.

A bundle is the gzipped tar file that ``build-bundle-file.sh`` writes: a Core ISO, overlays
in ``dependencies/``, and the scripts that combine them. This module runs none of the scripts.
It reads the image's flavour, generation and version from them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from attrs import evolve, field

from purekernel.encode.encoders import Libdeflate, compress
from purekernel.errors import BundleError, inside
from purekernel.fetch.shipped import SAMPLE_BUNDLE, load_sample_bundle
from purekernel.formats.tar import build_tar, parse_tar
from purekernel.host.read import load_file
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.razor.project import EXTRAS, REBUILD_SCRIPT, Project, tell_generation
from purekernel.recipe.destination import OutputForm
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.recipe.model import Recipe
from purekernel.records import frozen
from purekernel.rootfs.ownership import own_as_root
from purekernel.tree import (
    Buffer,
    Directory,
    File,
    Layer,
    Metadata,
    Tree,
    clamp_times,
    describe,
    display,
    put_file,
)
from purekernel.tree.path import join
from purekernel.tree.path import name as last_name

CORE_ISO = b"Core-current.iso"
DEPENDENCIES = b"dependencies"
VERSION_SCRIPT = b"gitversion.sh"
LICENCES = (b"COPYING", b"LICENSE")


# The order in which build_initial_directories.sh unpacks them; later ones win.
OVERLAYS = (
    b"mk-open-vm-tools.tar.gz",
    b"razor-microkernel-overlay.tar.gz",
    b"mcollective-setup-files.tar.gz",
    b"ssh-setup-files.tar.gz",
)


# [ \t] and not \s: a pattern that matches line ends takes quadratic time on many of them.
_VERSION_LINE = re.compile(rb"^[ \t]*(?:export[ \t]+)?ISO_VERSION=(.*)$", re.MULTILINE)
_ISO_NAME_LINE = re.compile(rb"^[ \t]*ISO_NAME=[^\s-]*?rz_mk_([a-z]+)-image", re.MULTILINE)
OVERLAY = b"razor-microkernel-overlay.tar.gz"
VM_TOOLS = b"mk-open-vm-tools.tar.gz"
SSH_SETUP = b"ssh-setup-files.tar.gz"


# Most of a bundle is already compressed. A level above gzip's default gains nothing.
ENCODER = Libdeflate(level=6)


VM_TOOLS_TARBALL = b"mk-open-vm-tools.tar.gz"


# Anyone with these keys can impersonate each image that was made with them.
SSH_SETUP_PATH = EXTRAS + b"/" + SSH_SETUP
HOST_KEYS = b"usr/local/etc/ssh/ssh_host_*_key*"


@frozen(kw_only=True)
class Bundle:
    """The parts of a bundle, still packed.

    Attributes:
        source: the bundle's file name or URL, for messages.
        iso: the Core ISO.
        flavour: the image's flavour, from ``rebuild_iso.sh``.
        generation: the scripts' generation, from ``rebuild_iso.sh``.
        version: ``ISO_VERSION`` in ``gitversion.sh``; ``None`` if the script or the
            assignment is missing.
        overlays: name and content of each overlay in ``dependencies/``, in the order in which
            they are applied. The content is a packed tar file or a parsed layer.
        licences: name and content of each licence file for the ISO's root.
        mtime: the newest time among its members, in seconds since 1970, UTC.
        sha256: the SHA-256 of the bundle as it was read, in hexadecimal.
        size_bytes: its size.
        changes: the user's changes to its image: version, timestamp, overlays, passes, boot menu,
            fields and files of the ISO, and what of the base's ways to boot may be dropped.
    """

    source: str
    iso: Buffer = field(repr=False)
    flavour: Flavour
    generation: Generation
    version: str | None
    overlays: tuple[tuple[str, Buffer | Layer], ...] = field(repr=False)
    licences: tuple[tuple[bytes, Buffer], ...] = field(repr=False)
    mtime: int
    sha256: str = field(default="", repr=False)
    size_bytes: int = field(default=0, repr=False)
    changes: Recipe = field(factory=Recipe)


def load_bundle(
    path: str | os.PathLike[str],
    *,
    changes: Recipe | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Bundle:
    """Load the bundle at ``path``.

    Args:
        path: path of the bundle.
        changes: changes to its image.
        limits: limits on parsed input.

    Raises:
        PurekernelError: the file cannot be read, or is not a complete bundle.
    """
    path = Path(path)
    bundle = parse_bundle(load_file(path, limits=limits), source=path.name, limits=limits)
    return bundle if changes is None else evolve(bundle, changes=changes)


# The sample has neither Ruby nor the extension with dmidecode.
SAMPLE_FINDINGS = ("PK301:usr/local/bin/rz_mk_init.rb", "PK501:usr/sbin/dmidecode")


def sample_bundle(*, changes: Recipe | None = None, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """Return the sample bundle that comes with purekernel, with ``changes`` to its image.

    The findings about what the sample leaves out are ignored.
    """
    bundle = parse_bundle(load_sample_bundle(), source=SAMPLE_BUNDLE, limits=limits)
    changes = changes or Recipe()
    ignore = (*changes.findings.ignore, *SAMPLE_FINDINGS)
    findings = evolve(changes.findings, ignore=ignore)
    return evolve(bundle, changes=evolve(changes, findings=findings))


def parse_bundle(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """Parse a bundle: a tar file with any supported compression.

    Raises:
        FormatError: the tar file is damaged.
        BundleError: a part is missing, or the scripts name no known flavour.
    """
    tree = parse_tar(Input(data, name=source, limits=limits))
    with inside(source):
        bundle = _parse_parts(tree, source)
    return evolve(bundle, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def _parse_parts(tree: Tree, source: str) -> Bundle:
    iso = _file(tree, CORE_ISO)
    if iso is None:
        names = ", ".join(display(name) for name in tree.entries(b"")[:6]) or "nothing"
        raise BundleError(f"{CORE_ISO.decode()} not found in the bundle; it holds {names}")
    script = _file(tree, REBUILD_SCRIPT)
    if script is None:
        raise BundleError(
            f"{REBUILD_SCRIPT.decode()} not found in the bundle; it names the bundle's flavour"
        )
    overlays = [(name, _file(tree, join(DEPENDENCIES, name))) for name in OVERLAYS]
    if not any(content is not None for _name, content in overlays):
        known = ", ".join(name.decode() for name in OVERLAYS)
        raise BundleError(f"no overlay in the bundle's dependencies/: must be one of {known}")
    licences = [(name, _file(tree, name)) for name in LICENCES]
    return Bundle(
        source=source,
        iso=iso,
        flavour=_flavour(bytes(script)),
        generation=tell_generation(bytes(script)),
        version=_version(tree),
        overlays=tuple(
            (f"dependencies/{name.decode()}", content)
            for name, content in overlays
            if content is not None
        ),
        licences=tuple((name, content) for name, content in licences if content is not None),
        mtime=max(node.metadata.mtime for _path, node in tree.walk()),
    )


def _file(tree: Tree, path: bytes) -> Buffer | None:
    node = tree.get(path)
    if node is None:
        return None
    if not isinstance(node, File):
        raise BundleError(f"{display(path)} in the bundle must be a file, got {describe(node)}")
    return node.content


def _flavour(script: bytes) -> Flavour:
    match = _ISO_NAME_LINE.search(script)
    if match is None:
        raise BundleError(
            f"{REBUILD_SCRIPT.decode()} in the bundle: the flavour is missing: there must be a "
            "line ISO_NAME=rz_mk_…-image…"
        )
    name = match.group(1).decode("ascii")
    try:
        return Flavour(name)
    except ValueError:
        known = ", ".join(flavour.value for flavour in Flavour)
        raise BundleError(
            f"{REBUILD_SCRIPT.decode()} in the bundle: unknown flavour: must be one of {known}, "
            f"got {name!r}"
        ) from None


def _version(tree: Tree) -> str | None:
    script = _file(tree, VERSION_SCRIPT)
    if script is None:
        return None
    # The last assignment wins, as in a shell.
    values = [_shell_value(match.group(1)) for match in _VERSION_LINE.finditer(bytes(script))]
    return values[-1].decode("utf-8", "backslashreplace") or None if values else None


def _shell_value(text: bytes) -> bytes:
    """Return the value that a shell would assign from ``text``, without expansion."""
    for quote in (b"'", b'"'):
        if text.startswith(quote):
            return text[1:].partition(quote)[0]
    return re.split(rb"[\s#;]", text, maxsplit=1)[0]


# Pack a bundle in the layout of ``build-bundle-file.sh``.


@frozen(kw_only=True)
class BundleParts:
    """The contents of a bundle before packing.

    Attributes:
        source: the bundle's name in messages.
        iso: the Core ISO.
        flavour: the image's flavour.
        generation: the generation of the project's scripts.
        version: the image's version; ``None`` leaves the choice to the next build step, as the
            2012 scripts do.
        scripts: the project's ``iso-build-files``.
        licences: name and content of each licence file.
        overlay: the overlay of the root file system.
        tarballs: the other overlays, packed, by their names in ``dependencies/``.
        mtime: the time of each generated file, in seconds since 1970, UTC.
    """

    source: str
    iso: Buffer = field(repr=False)
    flavour: Flavour
    generation: Generation
    version: str | None
    scripts: Tree
    licences: tuple[tuple[bytes, Buffer], ...] = field(repr=False)
    overlay: Layer
    tarballs: Mapping[bytes, Buffer] = field(repr=False)
    mtime: int

    def as_bundle(self) -> Bundle:
        """Return these parts as a :class:`Bundle`, without packing and parsing them."""
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
    """Pack a bundle as a gzipped tar file. The same parts give the same bytes.

    Root owns all members. The scripts are the project's; ``rebuild_iso.sh`` gets the flavour in
    its ``ISO_NAME``, as in the original.
    """
    metadata = Metadata(mode=0o644, mtime=parts.mtime)
    tree = Tree(Directory(metadata=Metadata(mode=0o755, mtime=parts.mtime)))
    for path, node in parts.scripts.walk():
        if path:
            tree.add(path, node)
    _set_flavour(tree, parts.flavour)
    put_file(tree, CORE_ISO, parts.iso, metadata=metadata)
    for name, content in parts.licences:
        put_file(tree, name, content, metadata=metadata)
    if parts.version is not None:
        put_file(tree, VERSION_SCRIPT, build_version_script(parts.version), metadata=metadata)
    overlay = clamp_times(own_as_root(parts.overlay).tree, parts.mtime)
    packed = compress(build_tar(overlay), encoder=ENCODER)
    for name, content in {**parts.tarballs, OVERLAY: packed}.items():
        put_file(tree, join(DEPENDENCIES, name), content, metadata=metadata)
    owned = own_as_root(Layer(source=parts.source, tree=tree))
    return compress(build_tar(clamp_times(owned.tree, parts.mtime)), encoder=ENCODER)


BUNDLE_FORM = OutputForm(words="the bundle", endings=(".tar.gz", ".tgz"))
"""What a bundle can be written to besides a folder."""


def bundle_name(flavour: Flavour) -> str:
    """Return the file name of a bundle."""
    return f"razor-microkernel-bundle-{flavour.value}.tar.gz"


def build_version_script(version: str) -> bytes:
    """Return ``gitversion.sh``. The 2013 ``rebuild_iso.sh`` reads the version from it."""
    return f"ISO_VERSION='{version}'\n".encode()


def _set_flavour(tree: Tree, flavour: Flavour) -> None:
    node = tree.get(REBUILD_SCRIPT)
    if not isinstance(node, File):
        return
    old = b"ISO_NAME=rz_mk_dev-image"
    new = b"ISO_NAME=rz_mk_%s-image" % flavour.value.encode()
    tree.replace(REBUILD_SCRIPT, evolve(node, content=bytes(node.content).replace(old, new)))


# A project's tarballs of settings: for SSH and, in 2012, for MCollective.


def setup_tarballs(
    project: Project, flavour: Flavour, *, keep_host_keys: bool, limits: Limits
) -> dict[bytes, Buffer]:
    """Return the project's tarballs, by their names in a bundle.

    Args:
        project: the project to read.
        flavour: the image's flavour. A production image has no SSH tarball.
        keep_host_keys: whether to keep SSH host keys in the tarballs.
        limits: limits on parsed input.

    Raises:
        FormatError: a tarball is damaged.
    """
    tarballs: dict[bytes, Buffer] = {}
    for path in project.find(EXTRAS + b"/*.gz"):
        content: Buffer = project.content(path) or b""
        if last_name(path) == SSH_SETUP:
            if flavour is Flavour.PROD:
                continue
            if not keep_host_keys:
                content = _remove_host_keys(content, path, project.source, limits)
        tarballs[last_name(path)] = content
    return tarballs


def host_keys(project: Project) -> list[bytes]:
    """Return the paths of the SSH host keys in the project's SSH tarball.

    Raises:
        FormatError: the tarball is damaged.
    """
    content = project.content(SSH_SETUP_PATH)
    if content is None:
        return []
    with inside(project.source):
        return _find_host_keys(parse_tar(Input(content, name=SSH_SETUP_PATH.decode())))


def without_paths(packed: Input, layers: Iterable[Layer]) -> Buffer:
    """Return the content of a tarball without the files that ``layers`` also hold.

    If no file is removed, return ``packed`` unchanged.

    Raises:
        FormatError: the tarball is damaged.
    """
    tree = parse_tar(packed)
    duplicates = {
        path
        for layer in layers
        for path, node in layer.tree.walk()
        if not isinstance(node, Directory)
    }
    paths = [path for path, _node in tree.walk() if path in duplicates]
    return _remove_paths(packed.data, tree, paths)


def _find_host_keys(tree: Tree) -> list[bytes]:
    return [path for path, _node in tree.walk() if fnmatchcase(path, HOST_KEYS)]


def _remove_host_keys(content: Buffer, path: bytes, source: str, limits: Limits) -> Buffer:
    with inside(source):
        tree = parse_tar(Input(content, name=path.decode(), limits=limits))
    return _remove_paths(content, tree, _find_host_keys(tree))


def _remove_paths(packed: Buffer, tree: Tree, paths: list[bytes]) -> Buffer:
    for path in paths:
        tree.remove(path)
    return compress(build_tar(tree), encoder=ENCODER) if paths else packed

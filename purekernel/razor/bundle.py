"""What a Razor Microkernel bundle holds.

A bundle is the gzipped tar file that ``build-bundle-file.sh`` leaves: a Core ISO, overlays
in ``dependencies/``, and the scripts that were to join them. None of the scripts is run;
they are read for what they say of the image's kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from attrs import evolve, field, frozen

from purekernel.encode.encoders import Libdeflate, compress
from purekernel.errors import BundleError, inside
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.tar import build_tar, parse_tar
from purekernel.razor.project import EXTRAS, REBUILD_SCRIPT, Project, tell_generation
from purekernel.recipe.flavour import Flavour, Generation
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


# Blanks only, not \s: a pattern that may run over line ends takes its time on many of them.
_VERSION_LINE = re.compile(rb"^[ \t]*(?:export[ \t]+)?ISO_VERSION=(.*)$", re.MULTILINE)
_ISO_NAME_LINE = re.compile(rb"^[ \t]*ISO_NAME=[^\s-]*?rz_mk_([a-z]+)-image", re.MULTILINE)
OVERLAY = b"razor-microkernel-overlay.tar.gz"
VM_TOOLS = b"mk-open-vm-tools.tar.gz"
SSH_SETUP = b"ssh-setup-files.tar.gz"


# Nearly all in a bundle is compressed already. More than gzip's own default gains nothing.
ENCODER = Libdeflate(level=6)


VM_TOOLS_TARBALL = b"mk-open-vm-tools.tar.gz"


# Whoever has them can pass for every image that was made with them.
SSH_SETUP_PATH = EXTRAS + b"/" + SSH_SETUP
HOST_KEYS = b"usr/local/etc/ssh/ssh_host_*_key*"


@frozen(kw_only=True)
class Bundle:
    """A bundle, taken apart but not yet unpacked.

    Attributes:
        source: where it came from, for messages.
        iso: the Core ISO.
        flavour: as its scripts say.
        generation: as its scripts say.
        version: what ``gitversion.sh`` says; ``None`` where it, or its word on that, is
            missing.
        overlays: what is in ``dependencies/``, in the order they are laid over: the tar files
            as they are, or read already.
        licences: the licence files that go to the ISO's root, by name.
        mtime: the newest time among its members.
    """

    source: str
    iso: Buffer = field(repr=False)
    flavour: Flavour
    generation: Generation
    version: str | None
    overlays: tuple[tuple[str, Buffer | Layer], ...] = field(repr=False)
    licences: tuple[tuple[bytes, Buffer], ...] = field(repr=False)
    mtime: int


def parse_bundle(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """Return the bundle in ``data``, a tar file with any compression.

    Raises:
        FormatError: it is no sound tar file.
        BundleError: it lacks a part, or its scripts name no flavour that there is.
    """
    tree = parse_tar(data, source=source, limits=limits)
    with inside(source):
        return _take_apart(tree, source)


def _take_apart(tree: Tree, source: str) -> Bundle:
    iso = _file(tree, CORE_ISO)
    if iso is None:
        found = ", ".join(display(name) for name in tree.entries(b"")[:6]) or "nothing"
        raise BundleError(f"there is no {CORE_ISO.decode()} in the bundle; it holds {found}")
    script = _file(tree, REBUILD_SCRIPT)
    if script is None:
        raise BundleError(
            f"there is no {REBUILD_SCRIPT.decode()} in the bundle, which says what flavour it is"
        )
    overlays = [(name, _file(tree, join(DEPENDENCIES, name))) for name in OVERLAYS]
    if not any(content is not None for _name, content in overlays):
        names = ", ".join(name.decode() for name in OVERLAYS)
        raise BundleError(f"there is no overlay in the bundle's dependencies/ (one of {names})")
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
        raise BundleError(f"{display(path)} in the bundle must be a file and is {describe(node)}")
    return node.content


def _flavour(script: bytes) -> Flavour:
    match = _ISO_NAME_LINE.search(script)
    if match is None:
        raise BundleError(
            f"{REBUILD_SCRIPT.decode()} in the bundle has no line "
            "ISO_NAME=rz_mk_…-image… to tell its flavour"
        )
    name = match.group(1).decode("ascii")
    try:
        return Flavour(name)
    except ValueError:
        known = ", ".join(flavour.value for flavour in Flavour)
        raise BundleError(
            f"{REBUILD_SCRIPT.decode()} in the bundle makes a {name!r} image; there are {known}"
        ) from None


def _version(tree: Tree) -> str | None:
    script = _file(tree, VERSION_SCRIPT)
    if script is None:
        return None
    # A shell that runs the script is left with the last.
    said = [_value(match.group(1)) for match in _VERSION_LINE.finditer(bytes(script))]
    return said[-1].decode("utf-8", "backslashreplace") or None if said else None


def _value(text: bytes) -> bytes:
    """Return what a shell would take for the value in an assignment of plain words."""
    for quote in (b"'", b'"'):
        if text.startswith(quote):
            return text[1:].partition(quote)[0]
    return re.split(rb"[\s#;]", text, maxsplit=1)[0]


# Pack what was gathered as a bundle, as ``build-bundle-file.sh`` leaves it.


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


# The tarballs of settings that a project brings along: for SSH, and once for MCollective.


def setup_tarballs(
    project: Project, flavour: Flavour, *, keep_host_keys: bool
) -> dict[bytes, Buffer]:
    """Return the project's tarballs, by the names that they have in a bundle.

    Args:
        project: whose they are.
        flavour: a production image has none for SSH.
        keep_host_keys: whether the SSH host keys in them, if there are any, stay.

    Raises:
        FormatError: one of them is damaged.
    """
    found: dict[bytes, Buffer] = {}
    for path in project.find(EXTRAS + b"/*.gz"):
        content: Buffer = project.content(path) or b""
        if last_name(path) == SSH_SETUP:
            if flavour is Flavour.PROD:
                continue
            if not keep_host_keys:
                content = _without_host_keys(content, path, project.source)
        found[last_name(path)] = content
    return found


def host_keys(project: Project) -> list[bytes]:
    """Return the SSH host keys that the project brings along.

    Raises:
        FormatError: its tarball is damaged.
    """
    content = project.content(SSH_SETUP_PATH)
    if content is None:
        return []
    with inside(project.source):
        return _keys(parse_tar(content, source=SSH_SETUP_PATH.decode()))


def without_paths(packed: Buffer, layers: Iterable[Layer]) -> Buffer:
    """Return a tarball without the files that ``layers`` bring too; as it is if there are none.

    Raises:
        FormatError: it is damaged.
    """
    tree = parse_tar(packed, source="the project's tarball")
    brought = {
        path
        for layer in layers
        for path, node in layer.tree.walk()
        if not isinstance(node, Directory)
    }
    return _without(packed, tree, [path for path, _node in tree.walk() if path in brought])


def _keys(tree: Tree) -> list[bytes]:
    return [path for path, _node in tree.walk() if fnmatchcase(path, HOST_KEYS)]


def _without_host_keys(content: Buffer, path: bytes, source: str) -> Buffer:
    with inside(source):
        tree = parse_tar(content, source=path.decode())
    return _without(content, tree, _keys(tree))


def _without(packed: Buffer, tree: Tree, doomed: list[bytes]) -> Buffer:
    for path in doomed:
        tree.remove(path)
    return compress(build_tar(tree), encoder=ENCODER) if doomed else packed

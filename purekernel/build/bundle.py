"""What a Razor Microkernel bundle holds.

A bundle is the gzipped tar file that ``build-bundle-file.sh`` leaves: a Core ISO, overlays
in ``dependencies/``, and the scripts that were to join them. None of the scripts is run;
they are read for what they say of the image's kind.
"""

from __future__ import annotations

import re

from attrs import frozen

from purekernel.build.scripts import REBUILD_SCRIPT, tell_generation
from purekernel.errors import BundleError, inside
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.tar import parse_tar
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.tree import Buffer, File, Layer, Tree, describe, display
from purekernel.tree.path import join

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
    iso: Buffer
    flavour: Flavour
    generation: Generation
    version: str | None
    overlays: tuple[tuple[str, Buffer | Layer], ...]
    licences: tuple[tuple[bytes, Buffer], ...]
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

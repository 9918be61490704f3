"""Decide what a container image has of a root file system: its files, platform and settings.

Source: the OCI image format specification 1.1, config.md and layer.md; Go's list of architectures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from purekernel.errors import (
    FormatError,
    PurekernelError,
    UnrepresentableError,
    UsageError,
    inside,
    raise_all,
)
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.elf import parse_elf_header
from purekernel.formats.elf.layout import (
    EM_386,
    EM_AARCH64,
    EM_ARM,
    EM_RISCV,
    EM_X86_64,
    ET_DYN,
    ET_EXEC,
)
from purekernel.input import Input
from purekernel.recipe.composition import Identity
from purekernel.recipe.flavour import Emit
from purekernel.recipe.keys import Named
from purekernel.recipe.model import Recipe
from purekernel.recipe.oci import IMAGE_REPOSITORY, OciChoice
from purekernel.records import frozen
from purekernel.rootfs.account_files import GROUP, PASSWD, Layout, find_entry, load_table
from purekernel.rootfs.changes import match_paths
from purekernel.tree import File, Socket, Tree, display, look_up, with_example
from purekernel.tree.path import name

# The PATH of Core's etc/profile.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHELL = "/bin/sh"

# A layer has a name with this prefix for each name that it removes. (Source: layer.md, "Whiteouts")
_WHITEOUT = b".wh."

# Go's names of the architectures that Core has, or may have.
_ARCHITECTURES = {
    EM_386: "386",
    EM_X86_64: "amd64",
    EM_ARM: "arm",
    EM_AARCH64: "arm64",
    EM_RISCV: "riscv64",
}
# The first of these that is a program says for which machine the image is.
_PROGRAMS = (b"bin/busybox", b"bin/sh", b"sbin/init", b"bin/bash")
_HEADER_BYTES = 64


@frozen(kw_only=True)
class Container:
    """What a container image is made of.

    Attributes:
        root: the root file system.
        name: name of the image, without a tag.
        tag: its tag.
        platform: its ``os``, ``architecture`` and perhaps ``variant``.
        config: the execution parameters, as the image's configuration has them.
        annotations: the annotations of the manifest, by name.
    """

    root: Tree
    name: str
    tag: str
    platform: dict[str, str]
    config: dict[str, Any]
    annotations: dict[str, str]


def check_containers(
    recipe: Recipe, root: Tree, identity: Identity, kinds: Iterable[Emit]
) -> list[str]:
    """Return notes about the archive and the container image of a root file system.

    Raises:
        PurekernelError: they cannot be made.
        CombinedError: there are several reasons.
    """
    notes: list[str] = []
    errors: list[PurekernelError] = []
    checks: dict[Emit, Callable[[], list[str]]] = {
        Emit.ROOTFS: lambda: _notes(export_root(root, recipe.rootfs.exclude), root, "archive"),
        Emit.OCI: lambda: _check_oci(recipe, root, identity),
    }
    for kind, check in checks.items():
        try:
            notes += check() if kind in kinds else []
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    return notes


def _check_oci(recipe: Recipe, root: Tree, identity: Identity) -> list[str]:
    container = make_container(recipe.oci, root, name=identity.name, version=identity.version)
    notes = _notes(container.root, root, "container image")
    program = next(iter((*recipe.oci.entrypoint, *(container.config.get("Cmd") or ()))), None)
    place = recipe.oci.place("entrypoint" if recipe.oci.entrypoint else "command")
    start = f"{place}: " if place else ""
    if program is None:
        notes.append(f"the container image has no {SHELL}, and so no program that it runs")
    elif not _is_found(container, program):
        notes.append(f"{start}the container image has no {program!r}, which it runs")
    found, given = find_architecture(container.root), container.platform["architecture"]
    if found not in (None, given):
        place = recipe.oci.place("architecture")
        start = f"{place}: " if place else ""
        notes.append(f"{start}the programs of the image are for {found}, not {given}")
    return notes


def _is_found(container: Container, program: str) -> bool:
    """Return whether a container finds the program; a relative path with a slash is not checked."""
    if "/" in program:
        folders = [""] if program.startswith("/") else []
    else:
        variables = dict(each.split("=", 1) for each in container.config["Env"])
        folders = variables["PATH"].split(":")
    paths = [f"{folder}/{program}".encode("utf-8", "surrogateescape") for folder in folders]
    found = [look_up(container.root, path.lstrip(b"/")) for path in paths]
    return not folders or any(each is not None and isinstance(each.node, File) for each in found)


def _notes(exported: Tree, root: Tree, what: str) -> list[str]:
    sockets = [path for path, node in root.walk() if isinstance(node, Socket)]
    dropped = [path for path in sockets if path not in exported]
    if not dropped:
        return []
    return [f"the {what} leaves out {with_example(len(dropped), 'socket', display(dropped[0]))}"]


def export_root(root: Tree, exclude: Iterable[Named]) -> Tree:
    """Return ``root`` without sockets, which no archive holds, and without excluded paths.

    Raises:
        MissingPathError: an excluded path does not exist.
        CombinedError: several do not.
    """
    exported = root.copy()
    errors: list[PurekernelError] = []
    for excluded in exclude:
        try:
            with inside(excluded.place):
                matches = match_paths(root, excluded.name)
        except PurekernelError as error:
            errors.append(error)
            continue
        for path in matches:
            if path in exported:  # not in a folder that was removed
                exported.remove(path)
    raise_all(errors)
    for path in [path for path, node in exported.walk() if isinstance(node, Socket)]:
        exported.remove(path)
    return exported


def make_container(oci: OciChoice, root: Tree, *, name: str, version: str | None) -> Container:
    """Return the container image of a root file system.

    Args:
        oci: what the recipe says of it.
        root: the root file system.
        name: name of the image's files.
        version: version of the image, with which ``name`` may end.

    Raises:
        MissingPathError: an excluded path does not exist.
        UnrepresentableError: a name has another meaning in a layer.
        UsageError: the user or group is not in the image, or no architecture is known.
        CombinedError: there are several faults.
    """
    exported = export_root(root, oci.exclude)
    errors = [*_whiteouts(exported), *_account_faults(oci, exported)]
    platform: dict[str, str] = {"os": "linux"}
    architecture, _slash, variant = (oci.architecture or "").partition("/")
    if not architecture:
        architecture = find_architecture(exported) or ""
        if not architecture:
            errors.append(
                UsageError(
                    "no program of the image says which architecture the container image is for",
                    hint='give it under [oci], such as architecture = "amd64"',
                ).within(oci.place())
            )
    raise_all(errors)
    platform |= {"architecture": architecture} | ({"variant": variant} if variant else {})
    repository = oci.name or _repository(name, version)
    labels = dict(label.split("=", 1) for label in oci.labels)
    annotations = {
        "org.opencontainers.image.title": repository.rpartition("/")[2],
        **({} if version is None else {"org.opencontainers.image.version": version}),
        **{key: text for key, text in labels.items() if key.startswith(ANNOTATION)},
    }
    return Container(
        root=exported,
        name=repository,
        tag=oci.tag or _tag(version),
        platform=platform,
        config=_config(oci, exported, labels),
        annotations=annotations,
    )


ANNOTATION = "org.opencontainers.image."


def _config(oci: OciChoice, root: Tree, labels: dict[str, str]) -> dict[str, Any]:
    """Return the execution parameters; what is not given is absent."""
    variables = {"PATH": PATH} | dict(each.split("=", 1) for each in oci.env)
    command = oci.command
    if command is None and not oci.entrypoint and look_up(root, SHELL[1:].encode()) is not None:
        command = (SHELL,)
    ports = [port if "/" in port else f"{port}/tcp" for port in oci.exposed_ports]
    config: dict[str, Any] = {
        "User": oci.user,
        "ExposedPorts": {port: {} for port in ports},
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Entrypoint": list(oci.entrypoint),
        "Cmd": list(command or ()),
        "Volumes": {path: {} for path in oci.volumes},
        "WorkingDir": oci.working_dir or "/",
        "Labels": labels,
    }
    return {key: value for key, value in config.items() if value}


def _repository(image: str, version: str | None) -> str:
    """Return a name of a container image for the name of an image's files."""
    base = image.removesuffix(version or "").rstrip(".-") or image
    valid = re.sub("[^a-z0-9]+", _separator, base.lower()).strip("._-")
    return valid if IMAGE_REPOSITORY.accepts(valid) else "image"


def _separator(run: re.Match[str]) -> str:
    return run[0] if run[0] in (".", "_", "__") or set(run[0]) == {"-"} else "-"


def _tag(version: str | None) -> str:
    """Return a tag for a version: tags have no ``+`` and ``~``."""
    return "latest" if version is None else re.sub("[+~]", "-", version)


def _account_faults(oci: OciChoice, root: Tree) -> Iterator[PurekernelError]:
    user, _colon, group = (oci.user or "").partition(":")
    for text, layout, kind in ((user, PASSWD, "user"), (group, GROUP, "group")):
        if not text or text.isdecimal():
            continue
        try:
            with inside(oci.place("user")):
                _find(root, layout, text, kind)
        except PurekernelError as error:
            yield error


def _find(root: Tree, layout: Layout, text: str, kind: str) -> None:
    find_entry(load_table(root, layout), text, kind=kind, otherwise=f"give the number of a {kind}")


def _whiteouts(root: Tree) -> Iterator[PurekernelError]:
    for path, _node in root.walk():
        if name(path).startswith(_WHITEOUT):
            yield UnrepresentableError(
                f"{display(path)}: a layer of a container image cannot contain a name that begins "
                "with .wh., which removes a file",
                hint="rename it, or exclude it under [oci]",
            )
            return


def find_architecture(root: Tree) -> str | None:
    """Return the architecture of the programs in ``root``, as Go names it, or ``None``."""
    found = filter(None, (look_up(root, path) for path in _PROGRAMS))
    nodes = [each.node for each in found]
    for node in (*nodes, *(node for _path, node in root.walk())):
        architecture = _architecture_of(node) if isinstance(node, File) else None
        if architecture is not None:
            return architecture
    return None


def _architecture_of(file: File) -> str | None:
    """Return the architecture of a program or library, or ``None``."""
    head = file.part(0, _HEADER_BYTES)
    if detect(head) is not FileKind.ELF:
        return None
    try:
        header = parse_elf_header(Input(head, name="a program"))
    except FormatError:
        return None
    return _ARCHITECTURES.get(header.machine) if header.type in (ET_EXEC, ET_DYN) else None

"""Define what an image carries of its own making: the recipe, the lock, and digests of inputs.

Nothing in it tells of the host: paths become ``inputs/NAME``, and passwords are left out. See
docs/rebuild.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, field

from purekernel.errors import FormatError
from purekernel.host.local_inputs import InputKind, LocalInput
from purekernel.input import Input
from purekernel.plan.lock import Lock, Pin, PinnedFile
from purekernel.recipe.composition import CARRIED_FOLDER as FOLDER
from purekernel.records import frozen
from purekernel.tree import Buffer, File, Tree
from purekernel.tree.path import join

RECIPE, LOCK, INPUTS = b"recipe.toml", b"purekernel.lock", b"inputs.json"

# What stands for the paths of local inputs, and for a folder that is a mirror.
LOCAL = "inputs"

VERSION = 1
MAX_BYTES = 16 << 20
_MOST_INPUTS = 100_000
_SHA256 = re.compile("[0-9a-f]{64}")
_PATH = re.compile(r"inputs(/[^/\x00-\x1f\x7f]+){1,2}")
_HINT = "the file is damaged or not made by purekernel: use another copy of the image"


@frozen(kw_only=True)
class Settings:
    """How an image was made, besides its recipe.

    Attributes:
        emit: the outputs.
        effort: the effort of compression.
        compression: the compression of the core.
        modules: how kernel modules are stored.
        nested: whether gzip files in the image were recompressed.
    """

    emit: tuple[str, ...]
    effort: str
    compression: str
    modules: str
    nested: bool


@frozen(kw_only=True)
class Carried:
    """What an image carries of its own making.

    Attributes:
        recipe: the effective recipe, as TOML.
        lock: the lock file; ``None`` for the image of a bundle.
        bundle: the path that stands for the bundle; ``None`` for the image of a recipe.
        is_sample: whether that is the sample bundle, which comes with purekernel.
        settings: how the image was made.
        releases: the releases of purekernel and of the packages that decide the bytes of an image.
        inputs: the local inputs.
        hidden: keys of the recipe that are left out because they are secrets.
        environment: names of the environment variables that hold passwords.
        names: the paths and URLs that the build was given, each with what stands for it in
            ``recipe``. They are not carried.
    """

    recipe: bytes = field(repr=False)
    lock: bytes | None = field(default=None, repr=False)
    bundle: str | None = None
    is_sample: bool = False
    settings: Settings
    releases: Mapping[str, str] = field(factory=dict)
    inputs: tuple[LocalInput, ...] = ()
    hidden: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    names: Mapping[str, str] = field(factory=dict, repr=False)

    def files(self) -> dict[bytes, Buffer]:
        """Return the files of the image that carry it, by path."""
        document = {
            "version": VERSION,
            "bundle": self.bundle,
            "is_sample": self.is_sample,
            "outputs": {
                "emit": list(self.settings.emit),
                "effort": self.settings.effort,
                "compression": self.settings.compression,
                "modules": self.settings.modules,
                "nested": self.settings.nested,
            },
            "releases": dict(self.releases),
            "inputs": [
                {
                    "path": each.path,
                    "kind": each.kind.value,
                    "sha256": each.sha256,
                    "bytes": each.size_bytes,
                    "files": each.files,
                    "only": list(each.only),
                    "used": list(each.used),
                }
                for each in self.inputs
            ],
            "hidden": list(self.hidden),
            "environment": list(self.environment),
        }
        text = json.dumps(document, indent=2, sort_keys=True)
        files: dict[bytes, Buffer] = {
            join(FOLDER, RECIPE): self.recipe,
            join(FOLDER, INPUTS): text.encode("ascii") + b"\n",
        }
        if self.lock is not None:
            files[join(FOLDER, LOCK)] = self.lock
        return files


def read_carried(tree: Tree, *, source: str) -> Carried | None:
    """Return what an image carries of its own making; ``None`` if it carries nothing.

    Args:
        tree: the files of the image.
        source: the image, for messages.

    Raises:
        FormatError: what it carries is damaged.
    """
    files = {name: tree.get(join(FOLDER, name)) for name in (RECIPE, LOCK, INPUTS)}
    contents = {
        name: bytes(node.content)
        for name, node in files.items()
        if isinstance(node, File) and node.size_bytes <= MAX_BYTES
    }
    if INPUTS not in contents or RECIPE not in contents:
        return None
    name = f"{source}:{join(FOLDER, INPUTS).decode()}"
    file = Input(contents[INPUTS], name=name)
    try:
        document = json.loads(contents[INPUTS])
        return _carried(document, contents)
    except RecursionError:
        raise file.fail(None, "what an image is made of, as JSON", "it nested too deep") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        got = f"{type(error).__name__}: {error}"[:200]
        raise _damaged(file, got) from None


def _damaged(file: Input, got: str) -> FormatError:
    return file.fail(None, "what an image is made of, as JSON", ascii(got), hint=_HINT)


def _carried(document: Any, contents: Mapping[bytes, bytes]) -> Carried:
    if document["version"] != VERSION:
        raise ValueError(f"version {document['version']}")
    outputs = document["outputs"]
    inputs = document["inputs"]
    if len(inputs) > _MOST_INPUTS:
        raise ValueError("too many inputs")
    return Carried(
        recipe=contents[RECIPE],
        lock=contents.get(LOCK),
        bundle=None if document["bundle"] is None else _text(document["bundle"]),
        is_sample=document["is_sample"] is True,
        settings=Settings(
            emit=_texts(outputs["emit"]),
            effort=_text(outputs["effort"]),
            compression=_text(outputs["compression"]),
            modules=_text(outputs["modules"]),
            nested=outputs["nested"] is True,
        ),
        releases={_text(key): _text(value) for key, value in document["releases"].items()},
        inputs=tuple(_input(each) for each in inputs),
        hidden=_texts(document["hidden"]),
        environment=_texts(document["environment"]),
    )


def _input(values: Any) -> LocalInput:
    path, sha256 = _text(values["path"]), _text(values["sha256"])
    if not _PATH.fullmatch(path) or not _SHA256.fullmatch(sha256) or ".." in path.split("/"):
        raise ValueError(f"the input {path}")
    return LocalInput(
        path=path,
        kind=InputKind(values["kind"]),
        sha256=sha256,
        size_bytes=_number(values["bytes"]),
        files=_number(values["files"]),
        only=_texts(values["only"]),
        used=_texts(values["used"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is missing")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(each) for each in value)


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("a number is missing")
    return value


def relocate(lock: Lock, texts: Mapping[str, str], url: Callable[[Pin, str], str]) -> Lock:
    """Return a lock file for other paths of local inputs.

    Args:
        lock: the lock file.
        texts: the new path or URL for each that the recipe names, as the lock file has them.
        url: returns the new path or URL of a pin, given also what it is used for.
    """

    def moved(pin: Pin, used: str) -> Pin:
        return evolve(pin, url=url(pin, used))

    files: dict[str, PinnedFile] = {}
    for file in lock.files.values():
        use, _space, text = file.role.partition(" ")
        role = f"{use} {texts[text]}" if text in texts else file.role
        pin = moved(file.pin, role if role == use else use)
        requested = texts.get(file.requested, file.requested)
        files[role] = PinnedFile(role=role, requested=requested, pin=pin)
    extensions = {
        name: extension.with_files(
            moved(extension.file, name),
            {suffix: moved(pin, pin.name) for suffix, pin in extension.companions.items()},
        )
        for name, extension in lock.extensions.items()
    }
    packages = {
        name: evolve(
            package,
            pin=moved(package.pin, package.pin.name),
            script=None if package.script is None else moved(package.script, package.script.name),
        )
        for name, package in lock.packages.items()
    }
    gems = tuple(evolve(gem, pin=moved(gem.pin, gem.pin.name)) for gem in lock.gems)
    return evolve(lock, files=files, extensions=extensions, packages=packages, gems=gems)

"""Build an image again from what it carries of its own making, and compare."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from attrs import evolve, field

from purekernel.analysis.contents import Contents, read_contents
from purekernel.analysis.diff.compare import compare
from purekernel.analysis.diff.render import change_line
from purekernel.encode.encoders import Effort
from purekernel.encode.releases import installed_releases
from purekernel.errors import (
    DownloadError,
    InputError,
    PurekernelError,
    UndecidedError,
    raise_all,
    split_errors,
)
from purekernel.fetch.shipped import load_sample_bundle
from purekernel.fetch.urls import tell_apart
from purekernel.formats.detect import FileKind
from purekernel.formats.initramfs import Compression
from purekernel.formats.toml import parse_toml
from purekernel.host.local_inputs import InputKind, LocalInput, find_inputs
from purekernel.input import Input, Limits
from purekernel.plan.carried import LOCAL, Carried, read_carried, relocate
from purekernel.plan.lock import Lock, Pin, changed_releases, parse_lock
from purekernel.razor.bundle import Bundle, load_bundle, parse_bundle
from purekernel.recipe.context import Context
from purekernel.recipe.flavour import Emit
from purekernel.recipe.kinds import Kind
from purekernel.recipe.model import Recipe
from purekernel.recipe.outputs import Modules, Outputs
from purekernel.recipe.read import parse_recipe, read_text_file
from purekernel.recipe.write import build_recipe, recipe_values
from purekernel.records import frozen
from purekernel.remaster.build import build_carried
from purekernel.remaster.outputs.write import write_outputs
from purekernel.tree import display

_CARRIED_RECIPE = "recipe.toml"
_FILE = "file://"


class Verdict(Enum):
    """Whether an image is what its recipe makes."""

    SAME = "same"
    DIFFERENT = "different"
    UNDECIDED = "undecided"


@frozen(kw_only=True)
class Rebuilt:
    """The result of building an image again.

    Attributes:
        verdict: whether both are the same.
        releases: the name of each package whose release is another than that which made the image,
            with both releases.
        inputs: where each local input was found.
        difference: the first difference; empty without one.
        missing: what is missing to decide.
        notes: notes for the user, one line each.
    """

    verdict: Verdict
    releases: tuple[tuple[str, str | None, str | None], ...] = ()
    inputs: Mapping[str, Path] = field(factory=dict)
    difference: str = ""
    missing: tuple[PurekernelError, ...] = ()
    notes: tuple[str, ...] = ()


def rebuild(
    address: str, context: Context, *, inputs: Path | None = None, secrets: Path | None = None
) -> Rebuilt:
    """Build the image at an address again, and compare the two.

    Args:
        address: the address of an image that carries its recipe.
        context: what the build uses of its surroundings.
        inputs: the folder with the local inputs, which are found by their digests.
        secrets: a recipe with the passwords that the image does not carry.

    Raises:
        InputError: nothing is at the address, or the image does not carry its recipe.
        PurekernelError: what it carries is damaged, or cannot be built.
    """
    limits = context.limits
    contents = read_contents(address, limits=limits)
    carried = _carried(contents)
    given = contents.parts[0].file
    if given is None:
        raise InputError(
            f"{address} is a folder, whose bytes cannot be compared",
            hint="give the ISO or the disk image itself",
            file=address,
        )
    found, missing = _find_inputs(carried, inputs, limits)
    values, missing_secrets = _secrets(carried, secrets)
    missing += [*missing_secrets, *_missing_variables(carried, context.environment)]
    releases = tuple(changed_releases(carried.releases, installed_releases()))
    if missing:
        return Rebuilt(
            verdict=Verdict.UNDECIDED, releases=releases, inputs=found, missing=tuple(missing)
        )
    outputs = _outputs(carried)
    with tempfile.TemporaryDirectory(prefix="purekernel-") as folder:
        relocation = _Relocation(carried, _with_names(carried, found, Path(folder)), inputs)
        recipe = relocation.recipe(values)
        carried = evolve(carried, names=relocation.names())
        source: Recipe | Bundle = recipe
        if carried.bundle is not None:
            source = _bundle(carried, found, recipe, limits)
        try:
            image = build_carried(source, context, outputs, lock=relocation.lock(), carried=carried)
        except PurekernelError as error:
            errors = split_errors([error])
            if not all(isinstance(each, DownloadError) for each in errors):
                raise
            unfetched = tuple(UndecidedError(str(each), hint=each.hint) for each in errors)
            return Rebuilt(
                verdict=Verdict.UNDECIDED, releases=releases, inputs=found, missing=unfetched
            )
        kind = Emit.ISO if contents.parts[0].kind is FileKind.ISO else Emit.DISK
        (made,) = write_outputs(
            image,
            evolve(outputs, folder=Path(folder, "made"), kinds=(kind,)),
            progress=context.progress,
        )
        difference = _compare(contents, given, made.path, limits)
    verdict = Verdict.SAME
    if difference:
        # Another release may make other bytes of the same inputs.
        verdict = Verdict.UNDECIDED if releases else Verdict.DIFFERENT
    return Rebuilt(
        verdict=verdict, releases=releases, inputs=found, difference=difference, notes=image.notes
    )


def _carried(contents: Contents) -> Carried:
    """Return what an image carries, on itself or on its partition."""
    for part in contents.parts:
        carried = read_carried(part.tree, source=part.place or contents.address)
        if carried is not None:
            return carried
    raise_all(contents.faults)
    raise InputError(
        f"{contents.address} does not carry its recipe",
        hint="build it with --embed, or embed = true under [output]",
        file=contents.address,
    )


def _find_inputs(
    carried: Carried, folder: Path | None, limits: Limits
) -> tuple[dict[str, Path], list[PurekernelError]]:
    """Return where the local inputs are, and an error for each that is missing."""
    wanted = [each for each in carried.inputs if not (carried.is_sample and _is_bundle(each))]
    found = {} if folder is None else find_inputs(folder, wanted, limits=limits)
    missing: list[PurekernelError] = []
    for each in wanted:
        # The name of an unpacked initrd becomes a name on the ISO.
        is_named = each.kind is not InputKind.FOLDER or "core.initrd" not in each.used
        at = found.get(each.path)
        if at is None or (not is_named and at.name != each.name):
            place = "no folder with inputs is given" if folder is None else f"not in {folder}"
            missing.append(
                UndecidedError(
                    f"{each.kind.value} {display(each.name.encode())} of {each.size_bytes} bytes "
                    f"is missing, for {', '.join(each.used[:3])}: {place} (SHA-256 {each.sha256})",
                    hint="put it into a folder, and name that with --inputs",
                )
            )
    return found, missing


def _with_names(carried: Carried, found: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Return where the inputs are, under their own names: kernels keep theirs on the ISO."""
    named = dict(found)
    for each in carried.inputs:
        path = found.get(each.path)
        if path is not None and each.kind is InputKind.FILE and path.name != each.name:
            named[each.path] = folder / each.path
            named[each.path].parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, named[each.path])
    return named


def _is_bundle(each: LocalInput) -> bool:
    return "bundle" in each.used


def _secrets(carried: Carried, path: Path | None) -> tuple[dict[str, str], list[PurekernelError]]:
    """Return the secrets that the image does not carry, and an error for each missing one."""
    values: Any = {}
    if path is not None:
        values = parse_toml(Input(read_text_file(path), name=str(path))).values
    found: dict[str, str] = {}
    missing: list[PurekernelError] = []
    for hidden in carried.hidden:
        table, _dot, rest = hidden.partition(".")
        name, _dot, key = rest.rpartition(".")
        value = values
        for part in (table, name, key):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, str):
            found[hidden] = value
        else:
            missing.append(
                UndecidedError(
                    f"{hidden} is missing: an image does not carry secrets",
                    hint="give a recipe that has it, with --secrets",
                )
            )
    return found, missing


def _missing_variables(
    carried: Carried, environment: Mapping[str, str]
) -> Iterator[PurekernelError]:
    for name in carried.environment:
        if name not in environment:
            yield UndecidedError(
                f"the environment variable {name} is missing, which holds a password",
                hint="set it to the password that the image was made with",
            )


class _Relocation:
    """Replaces the paths of local inputs by those of this host."""

    def __init__(self, carried: Carried, found: Mapping[str, Path], folder: Path | None) -> None:
        self._carried = carried
        self._found = {name: path.absolute() for name, path in found.items()}
        self._folder = folder
        self._texts: dict[str, str] = {}

    def recipe(self, secrets: Mapping[str, str]) -> Recipe:
        """Return the recipe with the paths of this host, and with secrets by their keys."""
        carried = parse_recipe(self._carried.recipe, source=_CARRIED_RECIPE, folder=Path())
        values = recipe_values(carried, self._convert)
        for hidden, secret in secrets.items():
            table, _dot, rest = hidden.partition(".")
            name, _dot, key = rest.rpartition(".")
            values.setdefault(table, {}).setdefault(name, {})[key] = secret
        data = build_recipe(values, "")
        return parse_recipe(data, source=_CARRIED_RECIPE, folder=Path())

    def names(self) -> dict[str, str]:
        """Return the paths of this host, each with what stands for it in the carried recipe."""
        return {new: text for text, new in self._texts.items()}

    def lock(self) -> Lock | None:
        """Return the lock file with the paths of this host."""
        if self._carried.lock is None:
            return None
        lock = parse_lock(self._carried.lock, source="purekernel.lock of the image")
        return relocate(lock, self._texts, self._pin)

    def _convert(self, kind: Kind, text: str, key: str) -> str | None:
        if key.startswith("mirrors."):
            if text != LOCAL:
                return text
            return None if self._folder is None else str(self._folder.absolute())
        new = text
        if text.startswith(f"{_FILE}{LOCAL}/") and key.endswith((".url", "project")):
            path = self._found.get(text.removeprefix(_FILE))
            new = text if path is None else path.as_uri()
        elif kind.is_host_path and text.startswith(f"{LOCAL}/"):
            new = self._path(text)
        if new != text:
            self._texts[tell_apart(text)] = tell_apart(new)
        return new

    def _path(self, text: str) -> str:
        """Return the path for an input, and what an address names inside it."""
        names = sorted(self._found, key=len, reverse=True)
        for name in names:
            if text == name or text.startswith(f"{name}:"):
                return str(self._found[name]) + text.removeprefix(name)
        return text

    def _pin(self, pin: Pin, _used: str) -> str:
        path = self._found.get(pin.url)
        return pin.url if path is None else str(path)


def _bundle(carried: Carried, found: Mapping[str, Path], recipe: Recipe, limits: Limits) -> Bundle:
    if not carried.is_sample:
        return load_bundle(found[carried.bundle or ""], changes=recipe, limits=limits)
    bundle = parse_bundle(load_sample_bundle(), source="the sample bundle", limits=limits)
    return evolve(bundle, changes=recipe)


def _outputs(carried: Carried) -> Outputs:
    settings = carried.settings
    try:
        return Outputs(
            kinds=settings.emit,
            effort=Effort(settings.effort),
            compression=Compression(settings.compression),
            modules=Modules(settings.modules),
            nested=settings.nested,
        )
    except ValueError as error:
        raise InputError(
            f"what the image carries is of another release of purekernel: {error}",
            hint="use the release that made the image",
        ) from None


def _compare(contents: Contents, given: Input, path: Path, limits: Limits) -> str:
    """Return the first difference between an image and that at ``path``; empty without one."""
    made = path.read_bytes()
    if made == given.view:
        return ""
    comparison = compare(contents.address, str(path), limits=limits.unbudgeted())
    # A file inside an initrd says more than the initrd.
    changes = sorted(comparison.changes, key=lambda change: change.is_entered)
    if changes:
        return change_line(changes[0])
    if len(made) != len(given):
        return f"the size of the image: {len(given)} bytes, and rebuilt {len(made)}"
    at = next(at for at, (a, b) in enumerate(zip(given.view, made, strict=True)) if a != b)
    return f"byte {at}, in no file"

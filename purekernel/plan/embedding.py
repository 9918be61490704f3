"""Make what an image carries of its own making, without anything of the host or any secret."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from purekernel.encode.releases import installed_releases
from purekernel.errors import PurekernelError, UsageError, inside
from purekernel.fetch.urls import HIDDEN, is_local, is_url, local_path, redact, tell_apart
from purekernel.host.addresses import split_address
from purekernel.host.local_inputs import InputKind, LocalInput, describe_input
from purekernel.host.read import exists
from purekernel.input import Limits
from purekernel.plan.carried import LOCAL, Carried, Settings, relocate
from purekernel.plan.lock import Lock, Pin, build_lock
from purekernel.razor.project import is_project_name
from purekernel.recipe.accounts import Account
from purekernel.recipe.kinds import Kind, Text
from purekernel.recipe.model import Recipe
from purekernel.recipe.read import parse_recipe
from purekernel.recipe.write import build_recipe, recipe_values

if TYPE_CHECKING:
    from purekernel.razor.bundle import Bundle

_MIRRORS = "mirrors."
_PROJECT = "razor.project"
# What the lock file makes unnecessary, and where the outputs go.
_LEFT_OUT = frozenset({
    "debian.keyring", "mirrors.debian-packages", "output.emit", "output.file", "output.folder",
})  # fmt: skip


def embed_recipe(
    recipe: Recipe, lock: Lock, settings: Settings, *, version: str | None, limits: Limits
) -> Carried:
    """Return what the image of a recipe carries.

    Args:
        recipe: the recipe.
        lock: pins all that was fetched.
        settings: how the image is made.
        version: the version of the image.
        limits: limits on local inputs.

    Raises:
        UsageError: the recipe has parts that a file cannot hold.
        PurekernelError: a local input cannot be read.
    """
    recipe = evolve(recipe, version=recipe.version or version)
    return _Embedding(recipe, lock, limits).carried(settings)


def embed_bundle(bundle: Bundle, settings: Settings, *, is_sample: bool, limits: Limits) -> Carried:
    """Return what the image of a bundle carries: the bundle's digest, and the changes as a recipe.

    Raises as :func:`embed_recipe`.
    """
    embedding = _Embedding(bundle.changes, None, limits)
    local = LocalInput(
        path="", kind=InputKind.FILE, sha256=bundle.sha256, size_bytes=bundle.size_bytes
    )
    path = embedding.add(local, Path(bundle.source).name, "bundle")
    return evolve(embedding.carried(settings), bundle=path, is_sample=is_sample)


class _Embedding:
    """Collects the local inputs and secrets of a recipe while it is written."""

    def __init__(self, recipe: Recipe, lock: Lock | None, limits: Limits) -> None:
        if recipe.passes or any(overlay.layer is not None for overlay in recipe.overlays):
            raise UsageError(
                "the image cannot carry its recipe: it has passes or layers of a program",
                hint="leave out embed, or give the changes in the recipe",
            ).within(recipe.output.place("embed"))
        self._recipe = recipe
        self._lock = lock
        self._limits = limits.unbudgeted()
        self._inputs: dict[str, LocalInput] = {}
        self._texts: dict[str, str] = {}
        self._hidden: list[str] = []

    def carried(self, settings: Settings) -> Carried:
        recipe = evolve(
            self._recipe,
            overlays=tuple(
                evolve(each, path=str(Path(each.path).absolute()))
                if each.from_command_line and each.path is not None
                else each
                for each in self._recipe.overlays
            ),
            findings=evolve(self._recipe.findings, strict=False),
        )
        values = recipe_values(recipe, self._convert)
        names = dict(self._texts)
        for given, absolute in zip(self._recipe.overlays, recipe.overlays, strict=True):
            if given.path is not None and absolute.path in names:
                names[given.path] = names[absolute.path]
        lock = None if self._lock is None else relocate(self._lock, self._texts, self._pin)
        releases = installed_releases()
        header = (
            f"Made by purekernel {releases['purekernel']}: the recipe of this image, with all that "
            "it extends.\n'purekernel rebuild IMAGE' builds the image again."
        )
        if self._hidden:
            header += f"\nLeft out because they are secret: {', '.join(self._hidden)}."
        data = build_recipe(values, header)
        try:
            parse_recipe(data, source="recipe.toml", folder=Path())
        except PurekernelError as error:
            raise UsageError(
                f"the image cannot carry its recipe: {error}", hint="leave out embed"
            ).within(recipe.output.place("embed")) from None
        return Carried(
            recipe=data,
            lock=None if lock is None else build_lock(lock),
            settings=settings,
            releases=releases,
            inputs=tuple(self._inputs.values()),
            hidden=tuple(self._hidden),
            environment=_variables(recipe.accounts),
            names=names,
        )

    def add(self, local: LocalInput, name: str, used: str) -> str:
        """Return the path that stands for an input; the same content has one path."""
        if name in ("", ".", ".."):
            name = "folder"
        name = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name)
        number = 1
        while True:
            path = f"{LOCAL}/{name}" if number == 1 else f"{LOCAL}/{number}/{name}"
            known = self._inputs.get(path)
            if known is None or (known.kind, known.sha256) == (local.kind, local.sha256):
                break
            number += 1
        uses = (*known.used, used) if known is not None else (used,)
        self._inputs[path] = evolve(local, path=path, used=tuple(dict.fromkeys(uses)))
        return path

    def _convert(self, kind: Kind, text: str, key: str) -> str | None:
        """Return a text as the image carries it; ``None`` if it does not."""
        plain = key.partition("[")[0]
        if isinstance(kind, Text) and kind.secret:
            self._hidden.append(key)
            return None
        if plain in _LEFT_OUT:
            return None
        if plain.startswith(_MIRRORS):
            return LOCAL if is_local(text) else redact(text).partition("?")[0]
        is_place = kind.is_host_path or plain.rpartition(".")[2] == "url" or key.endswith(".url")
        if not is_place or not text or kind.is_part(text):
            return text
        new = self._place(kind, text, key)
        self._texts[tell_apart(text)] = tell_apart(new)
        return new

    def _place(self, kind: Kind, text: str, key: str) -> str:
        if is_url(text):
            if is_local(text):
                return f"file://{self._add_path(local_path(text), key)}"
            if HIDDEN not in redact(text):
                return redact(text)
            # Each value of its query may be a token, so what it gave is an input by its digest.
            pin = self._pin_of(tell_apart(text))
            return text if pin is None else f"file://{self._add_pin(pin, key)}"
        for host, inner in split_address(text):
            path = self._recipe.folder / host
            if exists(path):
                known = self._add_path(path, key)
                return known if inner is None else f"{known}:{inner}"
        is_on_mirror = kind.is_mirror_name and not {"/", "\\"} & set(text)
        return text if is_on_mirror else self._add_missing(text)

    def _add_path(self, path: Path, key: str) -> str:
        is_project = key == _PROJECT
        with inside(key):
            only = _project_names(path) if is_project and path.is_dir() else ()
            local = describe_input(
                path, only=only, is_overlay=key.startswith("overlay["), limits=self._limits
            )
        return self.add(local, path.name, key)

    def _add_missing(self, text: str) -> str:
        """Return a path for a file that was there when it was read."""
        return f"{LOCAL}/{Path(text).name}"

    def _pin_of(self, requested: str) -> Pin | None:
        files = () if self._lock is None else self._lock.files.values()
        return next((file.pin for file in files if file.requested == requested), None)

    def _add_pin(self, pin: Pin, used: str) -> str:
        local = LocalInput(
            path="", kind=InputKind.FILE, sha256=pin.sha256, size_bytes=pin.size_bytes
        )
        return self.add(local, pin.name, used)

    def _pin(self, pin: Pin, used: str) -> str:
        """Return the URL of a pin as the image carries it."""
        url = redact(pin.url)
        return self._add_pin(pin, used) if is_local(url) or HIDDEN in url else url


def _project_names(path: Path) -> tuple[str, ...]:
    names = (entry.name for entry in path.iterdir())
    return tuple(sorted(name for name in names if is_project_name(name.encode("utf-8", "ignore"))))


def _variables(accounts: tuple[Account, ...]) -> tuple[str, ...]:
    """Return the names of the environment variables with passwords."""
    names = (account.password_env for account in accounts)
    return tuple(dict.fromkeys(name for name in names if name is not None))

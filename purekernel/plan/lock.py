"""Define, parse and write the lock file, which pins every input of an image by its digests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from attrs import field

from purekernel.errors import InputError, LockError, PurekernelError, RecipeError
from purekernel.formats.tinycore import DEB, TCZ, is_extension_name
from purekernel.formats.toml import parse_toml
from purekernel.host.read import exists, load_file
from purekernel.host.write import Output, publish
from purekernel.input import Input
from purekernel.recipe.model import Recipe
from purekernel.recipe.words import show, show_name
from purekernel.records import frozen
from purekernel.repos.tinycore.extension import COMPANIONS, IMPORT_SCRIPT, Extension

FORMAT = 1


HEADER = """\
# Made by 'purekernel lock'. It pins every input; commit it beside the recipe.
# 'purekernel lock --update [NAME…]' looks for newer ones.

"""


# A lock file of 500 extensions has half a megabyte and 15,000 values.
MAX_BYTES = 16 << 20
MAX_VALUES = 500_000

# No input has a petabyte.
MAX_SIZE_BYTES = 1 << 50


# The user decides whether to discard pins.
_AFRESH = "restore the file, or delete it and run 'purekernel lock'"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")
_CORE = re.compile(r"[0-9]{1,3}\.x/[a-z0-9_]{1,20}")
_KERNEL = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]{0,63}")
_EXPECTED = {
    None: "text",
    _SHA256: "a SHA-256 in hexadecimal",
    _MD5: "an MD5 in hexadecimal",
    _CORE: "a series and an architecture, such as 4.x/x86",
    _KERNEL: "a kernel release",
}


LOCK_NAME = "purekernel.lock"
ENDING = ".lock"


@frozen(kw_only=True)
class Pin:
    """A pinned file.

    Attributes:
        name: file name.
        url: URL or path that it came from.
        size_bytes: size in bytes.
        sha256: SHA-256 in hexadecimal.
        md5: MD5 in hexadecimal.
    """

    name: str
    url: str
    size_bytes: int
    sha256: str
    md5: str


@frozen(kw_only=True)
class PinnedFile:
    """A pinned single file: the base ISO, RubyGems, a tarball.

    Attributes:
        role: purpose of the file: ``base``, ``rubygems``, ``overlay http://…``.
        requested: URL or path, as in the recipe. If the request changes, the pin is void.
        pin: the file.
    """

    role: str
    requested: str
    pin: Pin


@frozen(kw_only=True)
class PinnedPackage:
    """A pinned Debian package that is converted to an extension.

    Attributes:
        extension: name of the extension.
        package: name of the package.
        version: version of the package.
        architecture: architecture of the package.
        depends: the package's ``Depends`` field, as in an index.
        provides: the package's ``Provides`` field, as in an index.
        pin: the file.
        script: its import script from Tiny Core's mirror, if there is one.
    """

    extension: str
    package: str
    version: str
    architecture: str
    depends: str
    provides: str
    pin: Pin
    script: Pin | None = None


@frozen(kw_only=True)
class PinnedGem:
    """A pinned gem.

    Attributes:
        name: name of the gem.
        version: version of the gem.
        needs: its dependencies, each a name and a requirement: ``json_pure >= 1.7.7``.
        pin: the file.
    """

    name: str
    version: str
    needs: tuple[str, ...]
    pin: Pin


@frozen(kw_only=True)
class Lock:
    """The content of a lock file.

    Attributes:
        core: the series and architecture of Core: ``4.x/x86``.
        kernel: the kernel release that ``-KERNEL`` stands for; ``None`` if unknown.
        releases: the releases of purekernel and of the packages that decide the bytes of an image,
            by name, as of the run that made the lock; empty if they are unknown.
        files: single files, by role.
        extensions: extensions, by name. A companion that is absent was not on the mirror.
        packages: packages, by the name of the extension made from each.
        gems: gems, sorted by name and version.
    """

    core: str
    kernel: str | None = None
    releases: Mapping[str, str] = field(factory=dict)
    files: Mapping[str, PinnedFile] = field(factory=dict)
    extensions: Mapping[str, Extension[Pin]] = field(factory=dict)
    packages: Mapping[str, PinnedPackage] = field(factory=dict)
    gems: tuple[PinnedGem, ...] = ()

    def pins(self) -> dict[str, Pin]:
        """Return every pin by a unique name, in a stable order."""
        pins = {f"{file.role}: {file.pin.name}": file.pin for file in self.files.values()}
        for extension in self.extensions.values():
            pins[extension.name] = extension.file
            pins.update((pin.name, pin) for pin in extension.companions.values())
        for package in self.packages.values():
            pins[f"{package.package}.deb"] = package.pin
            if package.script is not None:
                pins[package.script.name] = package.script
        pins.update((gem.pin.name, gem.pin) for gem in self.gems)
        return pins


def changes(old: Lock | None, new: Lock) -> list[str]:
    """Return the differences between two locks, one line each, for the user."""
    before = old.pins() if old is not None else {}
    after = new.pins()
    lines = []
    if old is not None and old.kernel != new.kernel:
        lines.append(f"~ kernel {old.kernel or 'none'} → {new.kernel or 'none'}")
    if old is not None:
        lines += [
            f"~ made with {name} {was or 'none'} → {now or 'none'}"
            for name, was, now in changed_releases(old.releases, new.releases)
        ]
        lines += _changed_requests(old, new)
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if was is None and now is not None:
            lines.append(f"+ {name}  {now.size_bytes} bytes  sha256:{now.sha256[:12]}…")
        elif now is None and was is not None:
            lines.append(f"- {name}")
        elif was is not None and now is not None and was.sha256 != now.sha256:
            lines.append(
                f"~ {name}  {was.size_bytes} → {now.size_bytes} bytes  "
                f"sha256:{was.sha256[:12]}… → {now.sha256[:12]}…"
            )
        elif was is not None and now is not None and was.url != now.url:
            lines.append(f"~ {name}  from {was.url} → {now.url}")
    return lines


def changed_releases(
    old: Mapping[str, str], new: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield the name of each package whose release differs, with both releases."""
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _changed_requests(old: Lock, new: Lock) -> Iterator[str]:
    """Yield changed requests and dependencies of inputs that both locks pin."""
    for role, now in sorted(new.files.items()):
        was = old.files.get(role)
        if was is not None and was.requested != now.requested:
            yield f"~ {role}: requested as {was.requested} → {now.requested}"
    before: dict[str, Sequence[str]] = {
        name: extension.dependencies for name, extension in old.extensions.items()
    }
    before |= {gem.pin.name: gem.needs for gem in old.gems}
    after: dict[str, Sequence[str]] = {
        name: extension.dependencies for name, extension in new.extensions.items()
    }
    after |= {gem.pin.name: gem.needs for gem in new.gems}
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            was_needed, needed = (", ".join(of[name]) or "nothing" for of in (before, after))
            yield f"~ {name} depends on {was_needed} → {needed}"


# Read and write a lock file.
#
# The file is TOML in a fixed order, so that a change of one input changes few lines. URLs are
# written without user and password.


def build_lock(lock: Lock) -> bytes:
    """Return ``lock`` as the bytes of a lock file.

    Raises:
        LockError: the name of an input is not valid UTF-8.
    """
    document: dict[str, Any] = {"version": FORMAT, "core": lock.core}
    if lock.kernel is not None:
        document["kernel"] = lock.kernel
    if lock.releases:
        document["releases"] = dict(sorted(lock.releases.items()))
    document["file"] = [
        {"role": file.role, "asked": file.requested, **_table(file.pin)}
        for _role, file in sorted(lock.files.items())
    ]
    document["extension"] = [
        {
            **_table(extension.file),
            "needs": list(extension.dependencies),
            "beside": [_table(pin) for _suffix, pin in sorted(extension.companions.items())],
        }
        for _name, extension in sorted(lock.extensions.items())
    ]
    document["package"] = [
        {
            "extension": package.extension,
            "package": package.package,
            "version": package.version,
            "architecture": package.architecture,
            "depends": package.depends,
            "provides": package.provides,
            **_table(package.pin),
            "script": [] if package.script is None else [_table(package.script)],
        }
        for _name, package in sorted(lock.packages.items())
    ]
    document["gem"] = [
        {"gem": gem.name, "version": gem.version, "needs": list(gem.needs), **_table(gem.pin)}
        for gem in lock.gems
    ]
    # In TOML, an empty list of tables is left out.
    document = {key: value for key, value in document.items() if value != []}
    try:
        return (HEADER + tomli_w.dumps(document)).encode("utf-8")
    except UnicodeEncodeError as error:
        excerpt = error.object[max(0, error.start - 20) : error.end + 20]
        raise LockError(
            f"the name of an input must be UTF-8 to be written to a lock file, got {excerpt!a}",
            hint="rename the file",
        ) from None


def parse_lock(data: bytes, *, source: str) -> Lock:
    """Parse a lock file.

    Raises:
        LockError: the file is damaged, or has a newer format.
    """
    try:
        document = parse_toml(
            Input(data, name=source), most_bytes=MAX_BYTES, max_values=MAX_VALUES
        ).values
    except RecipeError as error:
        raise LockError(error.message, hint=_AFRESH) from None
    version = document.get("version")
    if version is None:
        raise LockError(f"{source}: not a lock file: its version is missing", hint=_AFRESH)
    if type(version) is not int or version != FORMAT:
        raise LockError(
            f"{source}: unsupported version: must be {FORMAT}, got {show(version)}",
            hint=f"use the purekernel that wrote it; or {_AFRESH}",
        )
    try:
        return _lock(_LockTable(document, source))
    except PurekernelError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise LockError(f"{source}: damaged: {error}", hint=_AFRESH) from None


def _table(pin: Pin) -> dict[str, Any]:
    return {
        "name": pin.name,
        "url": pin.url,
        "size": pin.size_bytes,
        "sha256": pin.sha256,
        "md5": pin.md5,
    }


def _lock(reader: _LockTable) -> Lock:
    files = [
        PinnedFile(role=table.text("role"), requested=table.text("asked"), pin=table.pin())
        for table in reader.tables("file")
    ]
    extensions = [_extension(table) for table in reader.tables("extension")]
    packages = [_package(table) for table in reader.tables("package")]
    gems = [
        PinnedGem(
            name=table.text("gem"),
            version=table.text("version"),
            needs=table.texts("needs"),
            pin=table.pin(),
        )
        for table in reader.tables("gem")
    ]
    if gems:
        from purekernel.formats.gem.spec import is_gem_name  # noqa: PLC0415  # 15 ms
    for table, gem in zip(reader.tables("gem"), gems, strict=True):
        table.check_name(gem.name, is_gem_name(gem.name))
        table.check_name(gem.pin.name, gem.pin.name == f"{gem.name}-{gem.version}.gem")
    for key, names in (
        ("file", [file.role for file in files]),
        ("extension", [extension.name for extension in extensions]),
        ("package", [package.extension for package in packages]),
        ("gem", [gem.pin.name for gem in gems]),
    ):
        reader.check_once(key, names)
    return Lock(
        core=reader.text("core", _CORE),
        kernel=reader.text("kernel", _KERNEL) if reader.has("kernel") else None,
        releases=reader.named_texts("releases"),
        files={file.role: file for file in files},
        extensions={extension.name: extension for extension in extensions},
        packages={package.extension: package for package in packages},
        gems=tuple(gems),
    )


def _extension(table: _LockTable) -> Extension[Pin]:
    pin = table.pin()
    table.check_name(pin.name, pin.name.endswith(TCZ) and is_extension_name(pin.name))
    for need in table.texts("needs"):
        table.check_name(need, is_extension_name(need))
    companions: dict[str, Pin] = {}
    for inner in table.tables("beside"):
        companion = inner.pin()
        suffix = companion.name.removeprefix(pin.name)
        known = suffix in COMPANIONS and companion.name == pin.name + suffix
        inner.check_name(companion.name, known)
        if suffix in companions:
            table.check_once("beside", [companion.name, companion.name])
        companions[suffix] = companion
    return Extension(
        name=pin.name, dependencies=table.texts("needs"), file=pin, companions=companions
    )


def _package(table: _LockTable) -> PinnedPackage:
    pin = table.pin()
    table.check_name(pin.name, pin.name.endswith(DEB) and is_extension_name(pin.name))
    extension = table.text("extension")
    table.check_name(extension, extension.endswith(TCZ) and is_extension_name(extension))
    scripts = [inner.pin() for inner in table.tables("script")]
    for script in scripts:
        table.check_name(script.name, script.name == extension.removesuffix(TCZ) + IMPORT_SCRIPT)
    table.check_once("script", [script.name for script in scripts])
    return PinnedPackage(
        extension=extension,
        package=table.text("package"),
        version=table.text("version"),
        architecture=table.text("architecture"),
        depends=table.text("depends"),
        provides=table.text("provides"),
        pin=pin,
        script=scripts[0] if scripts else None,
    )


class _LockTable:
    """One table of a lock file, with typed access to its values."""

    def __init__(self, table: Mapping[str, Any], source: str) -> None:
        self._table = table
        self._source = source

    def has(self, key: str) -> bool:
        return key in self._table

    def text(self, key: str, form: re.Pattern[str] | None = None) -> str:
        value = self._table.get(key)
        if not isinstance(value, str) or (form is not None and not form.fullmatch(value)):
            raise LockError(
                f"{self._source}: invalid {key!r}: must be {_EXPECTED[form]}, got {show(value)}",
                hint=_AFRESH,
            )
        return value

    def number(self, key: str) -> int:
        value = self._table.get(key)
        if type(value) is not int or not 0 <= value <= MAX_SIZE_BYTES:
            raise LockError(
                f"{self._source}: invalid {key!r}: must be a number from 0 to {MAX_SIZE_BYTES}, "
                f"got {show(value)}",
                hint=_AFRESH,
            )
        return value

    def named_texts(self, key: str) -> dict[str, str]:
        values = self._table.get(key, {})
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise LockError(
                f"{self._source}: invalid {key!r}: must be a table of texts", hint=_AFRESH
            )
        return values

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._table.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise LockError(
                f"{self._source}: invalid {key!r}: must be a list of names", hint=_AFRESH
            )
        return tuple(values)

    def tables(self, key: str) -> Sequence[_LockTable]:
        tables = self._table.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise LockError(
                f"{self._source}: invalid {key!r}: must be a list of tables", hint=_AFRESH
            )
        return [_LockTable(table, f"{self._source}, [[{key}]]") for table in tables]

    def check_name(self, name: str, good: bool) -> None:
        """Refuse a name that could lead outside its folder in the image."""
        if not good:
            raise LockError(f"{self._source}: invalid name: got {show_name(name)}", hint=_AFRESH)

    def check_once(self, key: str, names: Sequence[str]) -> None:
        """Refuse two pins with one name, because it would be unclear which applies."""
        for name, count in Counter(names).items():
            if count > 1:
                raise LockError(
                    f"{self._source}: [[{key}]]: {show_name(name)} must be unique, got it {count} "
                    "times",
                    hint=_AFRESH,
                )

    def pin(self) -> Pin:
        return Pin(
            name=self.text("name"),
            url=self.text("url"),
            size_bytes=self.number("size"),
            sha256=self.text("sha256", _SHA256),
            md5=self.text("md5", _MD5),
        )


# Locate, load and atomically write the lock file of a request.


def lock_path(recipe: Recipe) -> Path:
    """Return the path of the lock file: beside the recipe, with its name."""
    return Path(LOCK_NAME) if recipe.path is None else recipe.path.with_suffix(ENDING)


def load_lock(path: Path, *, required: bool = False) -> Lock | None:
    """Load a lock file. Return ``None`` if it is missing and not required.

    Args:
        path: path of the file.
        required: whether a missing file is an error.

    Raises:
        LockError: the file cannot be read, is damaged, or is required and missing.
    """
    try:
        if not required and not exists(path):
            return None
        data = load_file(path)
    except InputError as error:
        hint = "make it with 'purekernel lock', or name another file" if required else error.hint
        raise LockError(error.message, hint=hint) from None
    return parse_lock(data, source=str(path))


def write_lock(path: Path, lock: Lock) -> Output:
    """Write a lock file.

    Raises:
        OutputError: the file cannot be written; an existing file stays unchanged.
    """
    (output,) = publish(path.parent, {path.name: build_lock(lock)})
    return output

"""What a lock file says: every input of an image, by its digests."""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import tomli_w
from attrs import field, frozen

from purekernel.errors import InputError, LockError, PurekernelError
from purekernel.formats.tinycore import DEB, TCZ, is_extension_name
from purekernel.host.read import load_file
from purekernel.host.write import Output, publish
from purekernel.recipe.request import Asked
from purekernel.repos.tinycore.extension import IMPORT_SCRIPT, SIDES

FORMAT = 1


HEADER = """\
# Made by 'purekernel lock'. It pins every input; commit it beside the recipe.
# 'purekernel lock --update [NAME…]' looks for newer ones.

"""


# A lock of 500 extensions has half a megabyte.
MAX_BYTES = 64 << 20


# Nobody's pins are thrown away unasked.
_AFRESH = "put it back as it was, or remove it and run 'purekernel lock'"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


LOCK_NAME = "purekernel.lock"
ENDING = ".lock"


@frozen(kw_only=True)
class Pin:
    """One file that may be no other.

    Attributes:
        name: the file's.
        url: where it came from.
        size_bytes: its size.
        sha256: in hexadecimal.
        md5: in hexadecimal.
    """

    name: str
    url: str
    size_bytes: int
    sha256: str
    md5: str


@frozen(kw_only=True)
class PinnedFile:
    """A file that stands by itself: the base ISO, RubyGems, a tarball.

    Attributes:
        role: what it is for: ``base``, ``rubygems``, ``overlay http://…``.
        asked: the address or place that was asked for: where that changes, the pin is void.
        pin: the file.
    """

    role: str
    asked: str
    pin: Pin


@frozen(kw_only=True)
class PinnedExtension:
    """An extension with the files beside it.

    Attributes:
        pin: the extension.
        needs: the names in its ``.dep``, in order.
        beside: the files beside it, by the ends of their names; what is not here the mirror
            did not have.
    """

    pin: Pin
    needs: tuple[str, ...]
    beside: Mapping[str, Pin] = field(factory=dict)


@frozen(kw_only=True)
class PinnedPackage:
    """A Debian package that becomes an extension.

    Attributes:
        extension: the extension's name.
        package: the package's.
        version: of the package.
        architecture: of the package.
        depends: what it depends on, as an index has it.
        provides: what it stands for, likewise.
        pin: the file.
        script: what the mirror of Tiny Core has to be run for it, if it has that.
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
    """A gem.

    Attributes:
        name: of the gem.
        version: of the gem.
        needs: what it needs, each a name and its requirement: ``json_pure >= 1.7.7``.
        pin: the file.
    """

    name: str
    version: str
    needs: tuple[str, ...]
    pin: Pin


@frozen(kw_only=True)
class Lock:
    """All that a lock file says.

    Attributes:
        core: the series and architecture of Core: ``4.x/x86``.
        kernel: the release that ``-KERNEL`` stands for, where it is known.
        files: by role.
        extensions: by name.
        packages: by the names of the extensions that they become.
        gems: in order of name and version.
    """

    core: str
    kernel: str | None = None
    files: Mapping[str, PinnedFile] = field(factory=dict)
    extensions: Mapping[str, PinnedExtension] = field(factory=dict)
    packages: Mapping[str, PinnedPackage] = field(factory=dict)
    gems: tuple[PinnedGem, ...] = ()

    def pins(self) -> dict[str, Pin]:
        """Return every pin, by a name that is its own, in a stable order."""
        found = {f"{file.role}: {file.pin.name}": file.pin for file in self.files.values()}
        for extension in self.extensions.values():
            found[extension.pin.name] = extension.pin
            found.update((pin.name, pin) for pin in extension.beside.values())
        for package in self.packages.values():
            found[f"{package.package}.deb"] = package.pin
            if package.script is not None:
                found[package.script.name] = package.script
        found.update((gem.pin.name, gem.pin) for gem in self.gems)
        return found


def changes(old: Lock | None, new: Lock) -> list[str]:
    """Return what differs between two locks, a line each, for people."""
    before = old.pins() if old is not None else {}
    after = new.pins()
    lines = []
    if old is not None and old.kernel != new.kernel:
        lines.append(f"~ kernel {old.kernel or 'none'} → {new.kernel or 'none'}")
    if old is not None:
        lines += _changed_questions(old, new)
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


def _changed_questions(old: Lock, new: Lock) -> Iterator[str]:
    """Yield what is asked for otherwise, or needed otherwise, of what is in both locks."""
    for role, now in sorted(new.files.items()):
        was = old.files.get(role)
        if was is not None and was.asked != now.asked:
            yield f"~ {role}: asked for as {was.asked} → {now.asked}"
    before: dict[str, Sequence[str]] = {name: one.needs for name, one in old.extensions.items()}
    before |= {one.pin.name: one.needs for one in old.gems}
    after: dict[str, Sequence[str]] = {name: one.needs for name, one in new.extensions.items()}
    after |= {one.pin.name: one.needs for one in new.gems}
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            was_needed, needed = (", ".join(of[name]) or "nothing" for of in (before, after))
            yield f"~ {name} needs {was_needed} → {needed}"


# Read and write a lock file.
#
# It is TOML, written in one order, so that a change of one input is a change of a few lines.
# Addresses stand in it without user and password.


def build_lock(lock: Lock) -> bytes:
    """Return ``lock`` as the bytes of a lock file.

    Raises:
        LockError: the name of an input is not text.
    """
    document: dict[str, Any] = {"version": FORMAT, "core": lock.core}
    if lock.kernel is not None:
        document["kernel"] = lock.kernel
    document["file"] = [
        {"role": file.role, "asked": file.asked, **_table(file.pin)}
        for _role, file in sorted(lock.files.items())
    ]
    document["extension"] = [
        {
            **_table(extension.pin),
            "needs": list(extension.needs),
            "beside": [
                _table(pin) for _side, pin in sorted(extension.beside.items(), key=lambda x: x[0])
            ],
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
    # TOML says an empty list of tables by leaving it out.
    document = {key: value for key, value in document.items() if value != []}
    try:
        return (HEADER + tomli_w.dumps(document)).encode("utf-8")
    except UnicodeEncodeError as error:
        odd = error.object[max(0, error.start - 20) : error.end + 20]
        raise LockError(
            f"a lock file is text in UTF-8, and the name of an input is not: {odd!a}",
            hint="give that file another name",
        ) from None


def parse_lock(data: bytes, *, source: str) -> Lock:
    """Return what the bytes of a lock file say.

    Raises:
        LockError: they are damaged, or of a format to come.
    """
    if len(data) > MAX_BYTES:
        raise LockError(f"{source} has {len(data)} bytes; a lock file has at most {MAX_BYTES}")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise LockError(
            f"{source} is damaged: {error or 'it is nested too deeply'}", hint=_AFRESH
        ) from None
    found = document.get("version")
    if found is None:
        raise LockError(f"{source} is no lock file: it does not say its version", hint=_AFRESH)
    if type(found) is not int or found != FORMAT:
        raise LockError(
            f"{source} is of format {found!r}, and this purekernel reads {FORMAT}",
            hint=f"use the purekernel that made it; or {_AFRESH}",
        )
    try:
        return _lock(_Reader(document, source))
    except PurekernelError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise LockError(f"{source} is damaged: {error}", hint=_AFRESH) from None


def _table(pin: Pin) -> dict[str, Any]:
    return {
        "name": pin.name,
        "url": pin.url,
        "size": pin.size_bytes,
        "sha256": pin.sha256,
        "md5": pin.md5,
    }


def _lock(reader: _Reader) -> Lock:
    files = [
        PinnedFile(role=table.text("role"), asked=table.text("asked"), pin=table.pin())
        for table in reader.tables("file")
    ]
    extensions = []
    for table in reader.tables("extension"):
        pin = table.pin()
        table.check_name(pin.name, pin.name.endswith(TCZ) and is_extension_name(pin.name))
        for need in table.texts("needs"):
            table.check_name(need, is_extension_name(need))
        beside = {}
        for inner in table.tables("beside"):
            one = inner.pin()
            side = one.name.removeprefix(pin.name)
            inner.check_name(one.name, side in SIDES and one.name == pin.name + side)
            if side in beside:
                table.check_once("beside", [one.name, one.name])
            beside[side] = one
        extensions.append(PinnedExtension(pin=pin, needs=table.texts("needs"), beside=beside))
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
        ("extension", [extension.pin.name for extension in extensions]),
        ("package", [package.extension for package in packages]),
        ("gem", [gem.pin.name for gem in gems]),
    ):
        reader.check_once(key, names)
    return Lock(
        core=reader.text("core"),
        kernel=reader.text("kernel") if reader.has("kernel") else None,
        files={file.role: file for file in files},
        extensions={extension.pin.name: extension for extension in extensions},
        packages={package.extension: package for package in packages},
        gems=tuple(gems),
    )


def _package(table: _Reader) -> PinnedPackage:
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


class _Reader:
    """One table of a lock file, whose values are asked for by name and type."""

    def __init__(self, table: Mapping[str, Any], source: str) -> None:
        self._table = table
        self._source = source

    def has(self, key: str) -> bool:
        return key in self._table

    def text(self, key: str, form: re.Pattern[str] | None = None) -> str:
        value = self._table.get(key)
        if not isinstance(value, str) or (form is not None and not form.fullmatch(value)):
            raise LockError(f"{self._source} is damaged: {key!r} is {value!r}", hint=_AFRESH)
        return value

    def number(self, key: str) -> int:
        value = self._table.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise LockError(f"{self._source} is damaged: {key!r} is {value!r}", hint=_AFRESH)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._table.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise LockError(f"{self._source} is damaged: {key!r} is no list of names", hint=_AFRESH)
        return tuple(values)

    def tables(self, key: str) -> Sequence[_Reader]:
        tables = self._table.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            raise LockError(
                f"{self._source} is damaged: {key!r} is no list of tables", hint=_AFRESH
            )
        return [_Reader(table, f"{self._source}, [[{key}]]") for table in tables]

    def check_name(self, name: str, good: bool) -> None:
        """Refuse a name that would not stay where it belongs in the image."""
        if not good:
            raise LockError(
                f"{self._source} is damaged: no name that this can have is {name!r}", hint=_AFRESH
            )

    def check_once(self, key: str, names: Sequence[str]) -> None:
        """Refuse two pins of one name, of which nobody could say which counts."""
        for name, count in Counter(names).items():
            if count > 1:
                raise LockError(
                    f"{self._source} is damaged: [[{key}]] has {name!r} {count} times", hint=_AFRESH
                )

    def pin(self) -> Pin:
        return Pin(
            name=self.text("name"),
            url=self.text("url"),
            size_bytes=self.number("size"),
            sha256=self.text("sha256", _SHA256),
            md5=self.text("md5", _MD5),
        )


# Where the lock file of a request stands; read it, and write it whole or not at all.


def lock_path(asked: Asked) -> Path:
    """Return where the lock file stands: beside the recipe, under its name."""
    return Path(LOCK_NAME) if asked.path is None else asked.path.with_suffix(ENDING)


def load_lock(path: Path, *, required: bool = False) -> Lock | None:
    """Return what a lock file pins; ``None`` where there is none.

    Args:
        path: of the file.
        required: whether there must be one.

    Raises:
        LockError: it cannot be read, is damaged, or is required and not there.
    """
    try:
        if not required and not os.path.lexists(path):
            return None
        data = load_file(path)
    except InputError as error:
        hint = "make it with 'purekernel lock', or name another" if required else error.hint
        raise LockError(error.message, hint=hint) from None
    return parse_lock(data, source=str(path))


def write_lock(path: Path, lock: Lock) -> Output:
    """Write a lock file.

    Raises:
        OutputError: it cannot be written; what stood there before still stands.
    """
    (output,) = publish(path.parent, {path.name: partial(_write, build_lock(lock))})
    return output


def _write(content: bytes, stream: BinaryIO) -> None:
    stream.write(content)

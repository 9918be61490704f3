"""Read and write a lock file.

It is TOML, written in one order, so that a change of one input is a change of a few lines.
Addresses stand in it without user and password.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

from purekernel.errors import LockError, PurekernelError
from purekernel.formats.extension_name import DEB, TCZ, is_extension_name
from purekernel.repos.tinycore.extension import IMPORT_SCRIPT, SIDES
from purekernel.sources.lock import (
    Lock,
    Pin,
    PinnedExtension,
    PinnedFile,
    PinnedGem,
    PinnedPackage,
)

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
        from purekernel.formats.gem.names import is_gem_name  # noqa: PLC0415  # 15 ms
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

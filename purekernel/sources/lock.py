"""The lock file: every input of an image, by its digests.

It is TOML, written in one order, so that a change of one input is a change of a few lines.
Addresses stand in it without user and password.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w
from attrs import field, frozen

from purekernel.errors import LockError, PurekernelError

LOCK_NAME = "purekernel.lock"
FORMAT = 1

HEADER = """\
# Made by 'purekernel lock'. It pins every input; commit it beside the recipe.
# 'purekernel lock --update [NAME…]' looks for newer ones.

"""

# A lock of 500 extensions has half a megabyte.
MAX_BYTES = 64 << 20

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


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
        gems: in order of name and version.
    """

    core: str
    kernel: str | None = None
    files: Mapping[str, PinnedFile] = field(factory=dict)
    extensions: Mapping[str, PinnedExtension] = field(factory=dict)
    gems: tuple[PinnedGem, ...] = ()

    def pins(self) -> dict[str, Pin]:
        """Return every pin, by a name that is its own, in a stable order."""
        found = {f"{file.role}: {file.pin.name}": file.pin for file in self.files.values()}
        for extension in self.extensions.values():
            found[extension.pin.name] = extension.pin
            found.update((pin.name, pin) for pin in extension.beside.values())
        found.update((gem.pin.name, gem.pin) for gem in self.gems)
        return found


def build_lock(lock: Lock) -> bytes:
    """Return ``lock`` as the bytes of a lock file."""
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
    document["gem"] = [
        {"gem": gem.name, "version": gem.version, "needs": list(gem.needs), **_table(gem.pin)}
        for gem in lock.gems
    ]
    # TOML says an empty list of tables by leaving it out.
    document = {key: value for key, value in document.items() if value != []}
    return (HEADER + tomli_w.dumps(document)).encode("utf-8")


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
        raise LockError(f"{source} is damaged: {error or 'it is nested too deeply'}") from None
    found = document.get("version")
    if found != FORMAT:
        raise LockError(
            f"{source} is of format {found!r}, and this purekernel reads {FORMAT}",
            hint="use the purekernel that made it, or make it anew with 'purekernel lock'",
        )
    try:
        return _lock(_Reader(document, source))
    except PurekernelError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise LockError(f"{source} is damaged: {error}") from None


def changes(old: Lock | None, new: Lock) -> list[str]:
    """Return what differs between two locks, a line each, for people."""
    before = old.pins() if old is not None else {}
    after = new.pins()
    lines = []
    if old is not None and old.kernel != new.kernel:
        lines.append(f"~ kernel {old.kernel or 'none'} → {new.kernel or 'none'}")
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
    return lines


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
        beside = [inner.pin() for inner in table.tables("beside")]
        extensions.append(
            PinnedExtension(
                pin=pin,
                needs=table.texts("needs"),
                beside={one.name.removeprefix(pin.name): one for one in beside},
            )
        )
    gems = [
        PinnedGem(
            name=table.text("gem"),
            version=table.text("version"),
            needs=table.texts("needs"),
            pin=table.pin(),
        )
        for table in reader.tables("gem")
    ]
    return Lock(
        core=reader.text("core"),
        kernel=reader.text("kernel") if reader.has("kernel") else None,
        files={file.role: file for file in files},
        extensions={extension.pin.name: extension for extension in extensions},
        gems=tuple(gems),
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
            raise LockError(f"{self._source} is damaged: {key!r} is {value!r}")
        return value

    def number(self, key: str) -> int:
        value = self._table.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise LockError(f"{self._source} is damaged: {key!r} is {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._table.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise LockError(f"{self._source} is damaged: {key!r} is no list of names")
        return tuple(values)

    def tables(self, key: str) -> Sequence[_Reader]:
        tables = self._table.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            raise LockError(f"{self._source} is damaged: {key!r} is no list of tables")
        return [_Reader(table, f"{self._source}, [[{key}]]") for table in tables]

    def pin(self) -> Pin:
        return Pin(
            name=self.text("name"),
            url=self.text("url"),
            size_bytes=self.number("size"),
            sha256=self.text("sha256", _SHA256),
            md5=self.text("md5", _MD5),
        )

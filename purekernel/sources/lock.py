"""What a lock file says: every input of an image, by its digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen


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

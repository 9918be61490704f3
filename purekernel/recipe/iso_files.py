"""Define the files that a recipe puts on the ISO, check their paths, and read their contents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import field

from purekernel.errors import ChecksumError, InputError, PurekernelError, RecipeError, inside
from purekernel.fetch.urls import tell_apart
from purekernel.formats.iso.names import joliet_names
from purekernel.host.read import is_file, load_file
from purekernel.input import Buffer, Limits
from purekernel.recipe.keys import Placed, key, show_place
from purekernel.recipe.kinds import FLAG, LONG_FIELD, PATH, SHA256, SHORT_FIELD, Text
from purekernel.records import frozen
from purekernel.tree.path import NAME_MAX_BYTES, ancestors, display

# Role of a downloaded file among the files of a plan.
ISO_FILE = "iso.file"

FindFile = Callable[[str], tuple[str, bytes] | None]
"""Returns name and content of the fetched file with a role, or ``None``."""


VOLUME_FIELDS = {
    "volume_id": "volume_id",
    "application": "application_id",
    "system": "system_id",
    "publisher": "publisher_id",
    "preparer": "preparer_id",
}
"""The fields in :mod:`purekernel.formats.iso` for the attributes of :class:`IsoChoice`."""


@frozen(kw_only=True)
class IsoChoice(Placed):
    """Options for the ISO."""

    volume_id: str | None = field(
        default=None,
        metadata=key(
            "Volume id", "Name of the disc, as operating systems show it.", SHORT_FIELD, "MY CORE"
        ),
    )
    application: str | None = field(
        default=None, metadata=key("Application", "Application field.", LONG_FIELD, "My Core")
    )
    system: str | None = field(
        default=None, metadata=key("System", "System field.", SHORT_FIELD, "LINUX", default="LINUX")
    )
    publisher: str | None = field(
        default=None, metadata=key("Publisher", "Publisher field.", LONG_FIELD, "EXAMPLE LTD")
    )
    preparer: str | None = field(
        default=None,
        metadata=key(
            "Preparer",
            "Preparer field. The default contains no user, host or date.",
            LONG_FIELD,
            "EXAMPLE LTD",
            default="purekernel",
        ),
    )
    keep_files: bool | None = field(
        default=None,
        metadata=key(
            "Keep files",
            "Whether to keep the base ISO's files outside boot/. If not given, they are kept, "
            "except with [razor] from an ISO without cde/.",
            FLAG,
            True,
        ),
    )
    hybrid: bool | None = field(
        default=None,
        metadata=key(
            "Hybrid",
            "Whether the ISO also boots from a USB stick or disk that it is written to: it gets "
            "boot code for isolinux.bin, and partition tables. Those of the base are kept. If not "
            "given, it does so with [boot.efi].",
            FLAG,
            True,
        ),
    )

    @property
    def volume(self) -> dict[str, str]:
        """The given fields of the volume descriptor, named as in :mod:`purekernel.formats.iso`."""
        given = {name: getattr(self, attribute) for attribute, name in VOLUME_FIELDS.items()}
        return {name: value for name, value in given.items() if value is not None}


@frozen(kw_only=True)
class IsoFile(Placed):
    """A file on the ISO. One of ``source``, ``text`` and ``url`` is given."""

    path: str = field(
        metadata=key(
            "Path",
            "Path of the file on the ISO, without a leading slash. The kernel, the core and "
            "isolinux.bin cannot be replaced.",
            Text(
                pattern=r"^(?!/)(?!(.*/)?\.{0,2}(/|$))[^\u0000-\u001f\u007f]+$",
                max_length=1024,
                words="a path on the ISO, without a leading slash, '.' or '..'",
                definition="iso-path",
            ),
            "boot/isolinux/boot.msg",
        )
    )
    source: str | None = field(
        default=None,
        metadata=key("Source", "Path of the file whose content it has.", PATH, "iso/boot.msg"),
    )
    text: str | None = field(
        default=None,
        metadata=key(
            "Text",
            "The content, in UTF-8. TOML's triple quotes hold several lines.",
            Text(
                pattern=r"^[^\u0000]*$",
                max_length=65536,
                words="text of at most 65536 characters, without NUL",
            ),
            "Welcome.\n",
        ),
    )
    url: str | None = field(
        default=None,
        repr=show_place,
        metadata=key(
            "URL",
            "URL of the file whose content it has.",
            Text(
                pattern=r"^(https?|file)://[^\u0000-\u0020\u007f]+$",
                max_length=2048,
                words="a URL that begins with http://, https:// or file://",
            ),
            "https://mirror.example/memtest86.bin",
        ),
    )
    sha256: str | None = field(
        default=None,
        metadata=key("SHA-256", "Expected SHA-256 of the content.", SHA256, "0" * 64),
    )
    executable: bool = field(
        default=False,
        metadata=key(
            "Executable", "Whether programs on the disc may run the file as a program.", FLAG, True
        ),
    )

    @property
    def raw_path(self) -> bytes:
        """The path in the tree of the ISO."""
        return self.path.encode("utf-8", "surrogateescape")


def iso_file_role(url: str) -> str:
    """Return the role of a file from the network."""
    return f"{ISO_FILE} {tell_apart(url)}"


def find_faults(files: Sequence[IsoFile], folder: Path) -> Iterator[PurekernelError]:
    """Yield an error for each file that an ISO cannot have, or whose content does not exist.

    Args:
        files: the files.
        folder: folder that the paths of contents are relative to.
    """
    first: dict[bytes, IsoFile] = {}
    for file in files:
        error = _fault_of_name(file) or _fault_of_source(file, folder)
        known = first.setdefault(file.raw_path, file)
        if known is not file:
            error = RecipeError(
                f"{file.path!r} has a content already, in {known.place('path')}",
                hint="keep one of the two",
            ).within(file.place("path"))
        if error is not None:
            yield error
    for file in first.values():
        for above in ancestors(file.raw_path):
            if above in first:
                yield RecipeError(
                    f"{file.path!r} cannot be below the file {first[above].path!r}, in "
                    f"{first[above].place('path')}",
                    hint="rename one of the two",
                ).within(file.place("path"))


def _fault_of_name(file: IsoFile) -> PurekernelError | None:
    """Return the error for a name that Rock Ridge or Joliet would not keep."""
    for part in file.raw_path.split(b"/"):
        if len(part) > NAME_MAX_BYTES:
            return RecipeError(
                f"the name {display(part[:40])}… is too long for an ISO: must be at most "
                f"{NAME_MAX_BYTES} bytes, got {len(part)}",
                hint="choose a shorter name",
            ).within(file.place("path"))
        if joliet_names([part])[part].decode("utf-16-be") != part.decode("utf-8", "replace"):
            return RecipeError(
                f"the name {display(part)} cannot be in Joliet, which Windows reads",
                hint="use at most 64 characters, without * : ; ? \\ and emoji",
            ).within(file.place("path"))
    return None


def _fault_of_source(file: IsoFile, folder: Path) -> PurekernelError | None:
    if file.source is None or is_file(folder / file.source):
        return None
    return InputError(
        f"not a file: {folder / file.source}",
        hint="correct its path; it is relative to the recipe's folder",
    ).within(file.place("source"))


def read_contents(
    files: Sequence[IsoFile], folder: Path, *, limits: Limits, fetched: FindFile
) -> Mapping[bytes, Buffer]:
    """Return the content of each file, by its path on the ISO.

    Args:
        files: files without faults.
        folder: folder that the paths of contents are relative to.
        limits: limits on the size of a content.
        fetched: returns the fetched files.

    Raises:
        InputError: a file cannot be read.
        ChecksumError: a file has another digest.
    """
    contents: dict[bytes, Buffer] = {}
    for file in files:
        if file.source is not None:
            with inside(file.place("source")):
                content = load_file(folder / file.source, limits=limits)
        elif file.url is not None:
            found = fetched(iso_file_role(file.url))
            content = b"" if found is None else found[1]
        else:
            content = (file.text or "").encode("utf-8", "surrogateescape")
        actual = hashlib.sha256(content).hexdigest()
        if file.sha256 not in (None, actual):
            raise ChecksumError(
                f"{file.path!r}: SHA-256 must be {file.sha256}, got {actual}",
                hint="correct the digest in the recipe, or the content",
            ).within(file.place("sha256"))
        contents[file.raw_path] = content
    return contents

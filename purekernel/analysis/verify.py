"""Verify an image: that its digests, lists and boot structures hold.

A part that cannot be read is a fault, and everything else is still checked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import field

from purekernel.analysis.boot_tables import verify_boot_code, verify_iso, verify_tables
from purekernel.analysis.contents import Contents, Part, read_contents
from purekernel.analysis.results import Check, Result
from purekernel.errors import FormatError, InputError, PurekernelError
from purekernel.formats.archive import open_qcow2
from purekernel.formats.bzimage import kernel_release
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.tinycore import TCZ, parse_dependencies, parse_md5
from purekernel.host.addresses import find_on_host
from purekernel.host.checksums import CHECKSUMS, load_checksums
from purekernel.host.read import is_file, load_file
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.records import frozen
from purekernel.tree import Buffer, Directory, File, display
from purekernel.tree.path import escape, join, name, parent

METADATA, MD5, LIST, DEPENDENCY = "metadata", "md5", "list", "dependency"
SHA256SUMS, LOCK, ARCHIVE = "sha256sums", "lock", "archive"

_MD5_ENDING = b".md5.txt"
_DEP_ENDING = b".dep"
_LIST_ENDING = b".lst"
_OPTIONAL = b"optional"
_INSTALLED = b"usr/local/tce.installed"

# The file in which a Razor Microkernel names its kernel and its core, with their digests; the
# scripts of the project write it line by line, with Ruby's YAML.
_METADATA_FILE = b"iso-metadata.yaml"
_MOST_METADATA_BYTES = 1 << 16
_METADATA_LINE = re.compile(rb"(\w+):[ \t]*(['\"]?)([^'\"\r\n]*)\2[ \t\r]*")
_HASHES = {64: "sha256", 96: "sha384", 128: "sha512"}
_DESCRIBED = ("kernel", "initrd")

# A list of all extensions of a mirror has less than 100 KB.
_MOST_LIST_BYTES = 1 << 22

# A disk whose MBR is damaged still has its GPT.
_HEAD_BYTES, _GPT_AT, _GPT_SIGNATURE = 4096, 512, b"EFI PART"

# How many names one check shows.
_MOST_NAMED = 5


@frozen(kw_only=True)
class Pinned:
    """A file whose digest is known.

    Attributes:
        name: its name: of an extension, of a gem; empty for the kernel.
        sha256: its SHA-256 in hexadecimal.
    """

    name: str
    sha256: str


@frozen(kw_only=True)
class Verification:
    """What was verified of an image.

    Attributes:
        address: the image.
        checks: the checks, in the order of docs/verify.md.
        faults: what could not be read, and why.
    """

    address: str
    checks: tuple[Check, ...] = field(repr=False)
    faults: tuple[PurekernelError, ...] = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.result is Result.FAILED)

    def lines(self) -> Iterator[str]:
        """Yield a line for each check: result, kind, place and detail."""
        for check in self.checks:
            place = f"{check.place}: " if check.place else ""
            yield f"{check.result.value:<9}  {check.kind:<15}  {place}{check.detail}"


def verify_image(
    address: str,
    *,
    pins: Sequence[Pinned] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Verification:
    """Verify the image at an address.

    Args:
        address: the address of the image: an ISO, a disk, an initrd, an extension, a folder.
        pins: the files whose digests a lock file has; ``None`` without a lock file.
        limits: the limits of all that is read, together.

    Raises:
        InputError, MissingPathError: nothing is at the address.
    """
    contents = read_contents(address, limits=limits)
    faults = list(contents.faults)
    checks = [*_verify_beside(address, contents, limits, faults)]
    checks += _verify_boot(contents)
    for part in contents.parts:
        checks += _verify_archive(part, contents.fault_of(part))
    checks += _verify_metadata(contents)
    checks += _verify_md5(contents)
    checks += _verify_lists(contents)
    if pins is not None:
        checks += _verify_pins(contents, pins)
    # A table that is checked by itself may be a fault of the reader, too.
    known = {check.detail for check in checks if check.result is Result.FAILED}
    return Verification(
        address=address,
        checks=tuple(checks),
        faults=tuple(
            fault for fault in faults if Check.of_error("", "", fault).detail not in known
        ),
    )


def _verify_beside(
    address: str, contents: Contents, limits: Limits, faults: list[PurekernelError]
) -> Iterator[Check]:
    """Yield the checks by files beside the image on the host: SHA256SUMS and its .md5.txt."""
    found = find_on_host(address)
    file = contents.parts[0].file
    if found.inner is not None or file is None:
        return
    own_name = found.host.name.encode("utf-8", "surrogateescape")
    try:
        lines = [line for line in load_checksums(found.host.parent) if line.name == own_name]
    except PurekernelError as error:
        faults.append(error)
        lines = []
    for line in lines:
        actual = hashlib.sha256(file.view).hexdigest()
        yield _compare(SHA256SUMS, f"{CHECKSUMS} beside the image", "SHA-256", line.sha256, actual)
    if not lines:
        detail = f"no {CHECKSUMS} beside the image names it"
        yield Check(SHA256SUMS, "", Result.ABSENT, detail)
    beside = Path(f"{found.host}{_MD5_ENDING.decode()}")
    if not is_file(beside):
        return
    try:
        expected = parse_md5(Input(load_file(beside, limits=limits), name=str(beside)))
    except InputError as error:
        faults.append(error)
    except FormatError as error:
        yield Check.of_error(MD5, f"{beside.name} beside the image", error)
    else:
        yield _compare(MD5, f"{beside.name} beside the image", "MD5", expected, _md5(file.view))


def _compare(kind: str, place: str, digest: str, expected: str, actual: str) -> Check:
    if expected == actual:
        return Check(kind, place, Result.OK, f"{digest} {actual[:12]}…")
    return Check(kind, place, Result.FAILED, f"{digest} must be {expected}, got {actual}")


def _md5(data: Buffer) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _verify_boot(contents: Contents) -> Iterator[Check]:
    """Yield the checks of the volume, the boot catalog and the partition tables."""
    top = contents.parts[0]
    disk, is_iso = top.plain, top.kind is FileKind.ISO
    if disk is None:
        return
    if top.kind is FileKind.QCOW2:
        try:
            disk = open_qcow2(disk.quiet())
        except PurekernelError:  # a fault of the contents
            return
    start = bytes(disk.view[:_HEAD_BYTES])
    is_disk = detect(start) is FileKind.DISK or start[_GPT_AT:].startswith(_GPT_SIGNATURE)
    if not (is_iso or is_disk):
        return
    checks = [*verify_iso(disk, top.iso)] if is_iso else []
    yield from checks
    yield from verify_tables(disk, is_disk=not is_iso)
    if is_iso and all(check.result is not Result.FAILED for check in checks):
        yield from verify_boot_code(disk)


def _verify_archive(part: Part, fault: PurekernelError | None) -> Iterator[Check]:
    """Yield the check of an initrd: compressed data have checksums, which unpacking compares."""
    if part.kind is not FileKind.CPIO:
        return
    if fault is not None:
        yield Check.of_error(ARCHIVE, part.place, fault)
        return
    names = sum(1 for path, _node in part.tree.walk() if path)
    compression = "" if part.compression is None else f"{part.compression.name.lower()}, "
    yield Check(ARCHIVE, part.place, Result.OK, f"unpacks: {compression}{names} names")


def _verify_metadata(contents: Contents) -> Iterator[Check]:
    found = [part for part in contents.parts if _METADATA_FILE in part.tree]
    for part in found:
        node = part.tree[_METADATA_FILE]
        place = _place(part, _METADATA_FILE)
        if not isinstance(node, File) or node.size_bytes > _MOST_METADATA_BYTES:
            yield Check(METADATA, place, Result.FAILED, "must be a file of at most 64 KiB")
            continue
        values = {
            match[1].decode(): match[3].decode("utf-8", "surrogateescape")
            for match in map(_METADATA_LINE.fullmatch, bytes(node.content).split(b"\n"))
            if match is not None
        }
        for what in _DESCRIBED:
            yield _verify_described(part, place, what, values)
    if not found:
        yield Check(METADATA, "", Result.ABSENT, f"no {_METADATA_FILE.decode()}")


def _verify_described(part: Part, place: str, what: str, values: Mapping[str, str]) -> Check:
    """Return the check of one of the files that iso-metadata.yaml names."""
    path = values.get(what, "").strip("/").encode("utf-8", "surrogateescape")
    expected = values.get(f"{what}_hash", "").lower()
    algorithm = _HASHES.get(len(expected))
    place = f"{place}, {what}"
    if not path or algorithm is None or not re.fullmatch("[0-9a-f]+", expected):
        detail = f"must have {what} and {what}_hash, a digest of SHA-2 in hexadecimal"
        return Check(METADATA, place, Result.FAILED, detail)
    node = part.tree.get(path)
    if not isinstance(node, File):
        return Check(METADATA, place, Result.FAILED, f"{display(path)} is not a file of the image")
    actual = hashlib.new(algorithm, node.content).hexdigest()
    label = f"{display(path)}: {algorithm.upper().replace('SHA', 'SHA-')}"
    return _compare(METADATA, place, label, expected, actual)


def _verify_md5(contents: Contents) -> Iterator[Check]:
    """Yield the check of each .md5.txt against the file beside it."""
    count = 0
    for part in contents.parts:
        for path, node in part.tree.walk():
            if path.endswith(_MD5_ENDING) and isinstance(node, File):
                count += 1
                yield _verify_digest_file(contents, part, path, node)
    if not count:
        yield Check(MD5, "", Result.ABSENT, "no .md5.txt in the image")


def _verify_digest_file(contents: Contents, part: Part, path: bytes, node: File) -> Check:
    place = _place(part, path)
    if node.size_bytes > _MOST_METADATA_BYTES:
        return Check(MD5, place, Result.FAILED, "must be a file of at most 64 KiB")
    beside = path.removesuffix(_MD5_ENDING)
    trees = (part.tree, contents.root if part.kind is FileKind.CPIO else None)
    file = next(
        (each for tree in trees if tree is not None and isinstance(each := tree.get(beside), File)),
        None,
    )
    try:
        expected = parse_md5(Input(node.content, name=place))
        if file is None:
            detail = f"{display(name(beside))} must be beside it, and is missing"
            return Check(MD5, place, Result.FAILED, detail)
        return _compare(MD5, place, "MD5", expected, _md5(file.content))
    except PurekernelError as error:
        return Check.of_error(MD5, place, error)


def _verify_lists(contents: Contents) -> Iterator[Check]:
    """Yield the checks of the lists that Core loads extensions by, and of their dependencies."""
    kernel = None if contents.kernel is None else kernel_release(contents.kernel.data)
    count = 0
    for part in contents.parts:
        for path, node in part.tree.walk():
            folder = join(parent(path), _OPTIONAL)
            if (
                path.endswith(_LIST_ENDING)
                and isinstance(node, File)
                and isinstance(part.tree.get(folder), Directory)
            ):
                count += 1
                yield from _List(contents, part, folder, kernel).verify(path, node)
    if not count:
        yield Check(LIST, "", Result.ABSENT, "no onboot.lst in the image")


class _List:
    """Verifies lists of the extensions in one folder.

    Source: Tiny Core's usr/bin/tce-setup and tce-load, of Core 4.4.
    """

    def __init__(self, contents: Contents, part: Part, folder: bytes, kernel: str | None) -> None:
        self._contents = contents
        self._part = part
        self._folder = folder
        self._kernel = kernel

    def verify(self, path: bytes, node: File) -> Iterator[Check]:
        """Yield the checks of one list."""
        place = _place(self._part, path)
        if node.size_bytes > _MOST_LIST_BYTES:
            yield Check(LIST, place, Result.FAILED, "must be a file of at most 4 MiB")
            return
        names = [self._name(line) for line in _list_lines(bytes(node.content))]
        missing = [each for each in names if join(self._folder, each) not in self._part.tree]
        for each in missing:
            detail = f"{display(each)} must be in {display(self._folder)}, and is missing"
            yield Check(LIST, place, Result.FAILED, detail)
        if not missing:
            yield Check(LIST, place, Result.OK, _count(len(names), "extension"))
        yield from self._dependencies([each for each in names if each not in missing])

    def _dependencies(self, names: Sequence[bytes]) -> Iterator[Check]:
        """Yield the checks of the .dep of extensions, and of all that these name."""
        waiting, seen = list(reversed(names)), set(names)
        while waiting:
            extension = waiting.pop()
            path = join(self._folder, extension + _DEP_ENDING)
            node = self._part.tree.get(path)
            if not isinstance(node, File) or node.size_bytes > _MOST_LIST_BYTES:
                continue
            place = _place(self._part, path)
            try:
                words = parse_dependencies(Input(node.content, name=place))
            except PurekernelError as error:
                yield Check.of_error(DEPENDENCY, place, error)
                continue
            needed = [self._name(word.encode()) for word in words]
            missing = [each for each in needed if not self._is_there(each)]
            for each in missing:
                detail = f"{display(each)} is not in the image"
                yield Check(DEPENDENCY, place, Result.FAILED, detail)
            if needed and not missing:
                yield Check(DEPENDENCY, place, Result.OK, _count(len(needed), "extension"))
            for each in needed:
                if each not in seen and join(self._folder, each) in self._part.tree:
                    seen.add(each)
                    waiting.append(each)

    def _name(self, word: bytes) -> bytes:
        """Return the file of an extension that is named with or without ``.tcz``."""
        stem = word.removesuffix(TCZ.encode())
        if self._kernel is not None and stem.endswith(b"-KERNEL"):
            stem = stem.removesuffix(b"KERNEL") + self._kernel.encode()
        return stem + TCZ.encode()

    def _is_there(self, extension: bytes) -> bool:
        """Return whether an extension is beside the others, loaded before, or merged."""
        if join(self._folder, extension) in self._part.tree:
            return True
        root = self._contents.root
        merged = join(_INSTALLED, extension.removesuffix(TCZ.encode()))
        if root is not None and merged in root:
            return True
        file = escape(extension)
        return any(re.split("[:/]", part.place)[-1] == file for part in self._contents.extensions)


def _list_lines(content: bytes) -> Iterator[bytes]:
    """Yield the first word of each line, as Core reads a list."""
    for line in content.splitlines():
        words = line.partition(b"#")[0].split()
        if words:
            yield words[0]


def _verify_pins(contents: Contents, pins: Sequence[Pinned]) -> Iterator[Check]:
    """Yield the checks of the extensions, gems and the kernel whose digests a lock file has."""
    wanted: dict[bytes, list[str]] = {}
    for pin in pins:
        wanted.setdefault(pin.name.encode("utf-8", "surrogateescape"), []).append(pin.sha256)
    found: set[bytes] = set()
    kernel = contents.kernel
    if b"" in wanted and kernel is not None:
        found.add(b"")
        actual = hashlib.sha256(kernel.view).hexdigest()
        yield _compare(LOCK, "the kernel", "SHA-256", wanted[b""][0], actual)
    for place, path, node in _files(contents):
        expected = wanted.get(name(path))
        if expected:
            found.add(name(path))
            actual = hashlib.sha256(node.content).hexdigest()
            nearest = actual if actual in expected else expected[0]
            yield _compare(LOCK, place, "SHA-256", nearest, actual)
    absent = sorted(display(each) if each else "the kernel" for each in wanted.keys() - found)
    if absent:
        more = f", and {len(absent) - _MOST_NAMED} more" if len(absent) > _MOST_NAMED else ""
        detail = f"not in the image as files: {', '.join(absent[:_MOST_NAMED])}{more}"
        yield Check(LOCK, "", Result.ABSENT, detail)


def _files(contents: Contents) -> Iterator[tuple[str, bytes, File]]:
    """Yield the place, path and node of each file in the parts of an image."""
    for part in contents.parts:
        for path, node in part.tree.walk():
            if isinstance(node, File):
                yield _place(part, path), path, node


def _place(part: Part, path: bytes) -> str:
    return f"{part.place}:{escape(path)}" if part.place else escape(path)


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"

"""Make an extension of a Debian package, with all that stands beside it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from purekernel.encode.encoders import Effort
from purekernel.encode.squashfs import Compression, make_codec
from purekernel.formats.debian.package import POSTINST, DebianPackage, parse_deb
from purekernel.formats.debian.record import PackageRecord
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.squashfs import Options, build_squashfs
from purekernel.formats.tinycore import TCZ, build_dependencies, build_info, build_md5
from purekernel.recipe.encoding import Encoding
from purekernel.repos.tinycore import DEPENDENCIES, INFO, LISTING, MD5
from purekernel.rootfs.debian import ConversionOptions, convert_tree, listing, wanted_programs
from purekernel.tree import Buffer, Tree, newest_time

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")


@frozen(kw_only=True)
class Conversion:
    """A package as an extension, not yet packed.

    Attributes:
        name: of the extension, with ``.tcz``.
        tree: what it holds.
        record: what the package says of itself.
        needs: the extensions that it needs, with ``.tcz``.
        notes: what the user should know, a line each.
    """

    name: str
    tree: Tree
    record: PackageRecord
    needs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def beside(self, content: Buffer) -> dict[str, bytes]:
        """Return what stands beside the packed extension, by the ends of the names.

        Args:
            content: the extension, packed.
        """
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        sides = {MD5: build_md5(digest, self.name)}
        if self.needs:
            sides[DEPENDENCIES] = build_dependencies(self.needs)
        sides[INFO] = build_info(_info(self.name, self.record, len(content)))
        sides[LISTING] = listing(self.tree)
        return sides


@frozen(kw_only=True)
class ConvertedExtension:
    """An extension that was a package.

    Attributes:
        name: with ``.tcz``.
        content: the ``.tcz`` itself.
        beside: what stands beside it, by the ends of the names.
        notes: what the user should know, a line each.
    """

    name: str
    content: bytes = field(repr=lambda content: f"<{len(content)} bytes>")
    beside: Mapping[str, bytes] = field(repr=lambda beside: repr(list(beside)))
    notes: tuple[str, ...] = ()


def convert_package(
    data: Buffer,
    *,
    source: str,
    name: str | None = None,
    needs: Sequence[str] = (),
    import_script: Buffer | None = None,
    options: ConversionOptions | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Conversion:
    """Return a package as an extension; nothing of it hangs on the host or the time.

    What is added has the newest time of what the package holds.

    Args:
        data: the ``.deb``.
        source: its name, for messages.
        name: of the extension, with ``.tcz``; by default the package's.
        needs: the extensions that it needs.
        import_script: what Tiny Core's mirror has to be run for it.
        options: what is kept and added.
        limits: the readers' bounds.

    Raises:
        FormatError: it is no sound package.
        LimitError: it unpacks to more than ``limits`` allow.
        TreeError: it holds paths that no image may hold.
    """
    package = parse_deb(data, source=source, limits=limits)
    name = name or f"{package.record.name}{TCZ}"
    unpacked = package.unpack()
    tree = convert_tree(
        unpacked,
        extension=name.removesuffix(TCZ),
        mtime=max(package.newest, newest_time(unpacked)),
        postinst=package.control.get(POSTINST),
        import_script=import_script,
        options=options,
    )
    return Conversion(
        name=name,
        tree=tree,
        record=package.record,
        needs=tuple(needs),
        notes=tuple(_notes(name, package)),
    )


def pack_conversion(
    conversion: Conversion, *, effort: Effort = Effort.BALANCED, jobs: int | None = None
) -> ConvertedExtension:
    """Return an extension as it lies on a mirror: packed, and with its files beside it.

    Args:
        conversion: what is packed: with gzip, in blocks of 4 KiB, as Core demands.
        effort: how much is done for a small one.
        jobs: how many blocks are packed at once; ``None`` for one a processor.

    Raises:
        UnrepresentableError: squashfs cannot hold something in it.
    """
    codec = make_codec(Compression.GZIP, effort, Options().block_bytes)
    with Encoding(jobs=jobs).running() as executor:
        content = build_squashfs(conversion.tree, codec=codec, executor=executor)
    return ConvertedExtension(
        name=conversion.name,
        content=content,
        beside=conversion.beside(content),
        notes=conversion.notes,
    )


def _notes(name: str, package: DebianPackage) -> list[str]:
    postinst = package.control.get(POSTINST)
    wanted = () if postinst is None else wanted_programs(postinst)
    if not wanted:
        return []
    return [
        f"{name}: the package's postinst wants {' and '.join(wanted)}, which Core does not have"
    ]


def _info(name: str, record: PackageRecord, size_bytes: int) -> dict[str, str]:
    said = record.fields
    paragraphs = said.get("Description").split("\n")[1:]
    # deb822 has a full stop for a blank line.
    text = "\n".join("" if line == "." else line for line in paragraphs)
    fields = {
        "Title": name,
        "Description": record.summary,
        "Version": str(record.version),
        "Author": "see Original-site",
        "Original-site": said.get("Homepage") or f"https://packages.debian.org/{record.name}",
        "Copying-policy": f"see usr/share/doc/{record.name}/copyright in the package",
        "Size": _kilobytes(size_bytes),
        "Extension_by": f"purekernel, of {record.file_name}",
        "Tags": said.get("Section") or "debian",
        "Comments": text or record.summary,
    }
    return {
        key: "\n".join(_UNPRINTABLE.sub(" ", line) for line in value.split("\n"))
        for key, value in fields.items()
    }


def _kilobytes(size_bytes: int) -> str:
    """Return a size as du -h would say it of a file."""
    return f"{-(-size_bytes // 1024)}K"

"""Convert a Debian package to an extension and its companion files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from purekernel.encode.encoders import Effort
from purekernel.encode.squashfs import Compression, make_codec
from purekernel.formats.debian.package import POSTINST, DebianPackage, parse_deb
from purekernel.formats.debian.record import PackageRecord
from purekernel.formats.squashfs import Options, build_squashfs
from purekernel.formats.tinycore import TCZ, build_dependencies, build_info, build_md5
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.recipe.encoding import Encoding
from purekernel.repos.tinycore import DEPENDENCIES, INFO, LISTING, MD5
from purekernel.rootfs.debian import ConversionOptions, convert_tree, listing, wanted_programs
from purekernel.tree import Buffer, Tree, newest_time

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")


@frozen(kw_only=True)
class Conversion:
    """A converted package, not packed.

    Attributes:
        name: name of the extension, with ``.tcz``.
        tree: files of the extension.
        record: the package's control record.
        needs: extensions that it depends on, with ``.tcz``.
        notes: notes for the user, one line each.
    """

    name: str
    tree: Tree
    record: PackageRecord
    needs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def beside(self, content: Buffer) -> dict[str, bytes]:
        """Return the companion files of the packed extension, by suffix.

        Args:
            content: the packed extension.
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
    """A packed extension made from a package.

    Attributes:
        name: name of the extension, with ``.tcz``.
        content: content of the ``.tcz``.
        beside: companion files, by suffix.
        notes: notes for the user, one line each.
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
    """Convert a package to an extension. The result does not depend on the host or the time.

    Added files get the newest time of the package's files.

    Args:
        data: content of the ``.deb``.
        source: its name, for messages.
        name: name of the extension, with ``.tcz``; by default the package's.
        needs: extensions that it depends on.
        import_script: the import script for the package from Tiny Core's mirror.
        options: which files to keep and add.
        limits: limits on parsed input.

    Raises:
        FormatError: the package is damaged.
        LimitError: the package unpacks to more than ``limits`` allow.
        TreeError: the package holds a path that is not allowed in an image.
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
    """Pack an extension and make its companion files, as on a mirror.

    Args:
        conversion: the extension. It is packed with gzip, in blocks of 4 KiB, as Core requires.
        effort: the compression effort.
        jobs: number of blocks to pack at once; ``None`` for the number of processors.

    Raises:
        UnrepresentableError: squashfs cannot represent an entry of the extension.
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
    return [f"{name}: the package's postinst runs {' and '.join(wanted)}, which Core does not have"]


def _info(name: str, record: PackageRecord, size_bytes: int) -> dict[str, str]:
    control = record.fields
    paragraphs = control.get("Description").split("\n")[1:]
    # In deb822, a full stop stands for a blank line.
    text = "\n".join("" if line == "." else line for line in paragraphs)
    fields = {
        "Title": name,
        "Description": record.summary,
        "Version": str(record.version),
        "Author": "see Original-site",
        "Original-site": control.get("Homepage") or f"https://packages.debian.org/{record.name}",
        "Copying-policy": f"see usr/share/doc/{record.name}/copyright in the package",
        "Size": _kilobytes(size_bytes),
        "Extension_by": f"purekernel, of {record.file_name}",
        "Tags": control.get("Section") or "debian",
        "Comments": text or record.summary,
    }
    return {
        key: "\n".join(_UNPRINTABLE.sub(" ", line) for line in value.split("\n"))
        for key, value in fields.items()
    }


def _kilobytes(size_bytes: int) -> str:
    """Format a size in KiB, rounded up, as du -h does for small files."""
    return f"{-(-size_bytes // 1024)}K"

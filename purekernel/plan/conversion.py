"""Convert a Debian package to an extension and its companion files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from attrs import evolve

from purekernel.encode.encoders import Effort
from purekernel.encode.squashfs import SquashfsCompression, make_codec
from purekernel.formats import squashfs
from purekernel.formats.debian.control import PackageRecord
from purekernel.formats.debian.package import POSTINST, DebianPackage, parse_deb
from purekernel.formats.extension_info import build_info
from purekernel.formats.tinycore import TCZ, build_dependencies, build_md5
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.repos.tinycore import DEPENDENCIES, INFO, LISTING, MD5, Extension
from purekernel.rootfs.debian import ConversionOptions, convert_tree, listing, wanted_programs
from purekernel.threads import running_executor
from purekernel.tree import Buffer, Tree, newest_time

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")

# The scripts that dpkg runs before it unpacks or configures a package. Those that it runs when it
# removes one (prerm, postrm) have no use: Core removes no extensions.
_UNUSED_SCRIPTS = (b"preinst", b"config")


def convert_package(
    data: Buffer,
    *,
    source: str,
    name: str | None = None,
    needs: Sequence[str] = (),
    import_script: Buffer | None = None,
    options: ConversionOptions | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Extension[Tree], tuple[str, ...]]:
    """Convert a package to an unpacked extension. It does not depend on the host or the time.

    Added files get the newest time of the package's files.

    Args:
        data: content of the ``.deb``.
        source: its name, for messages.
        name: name of the extension, with ``.tcz``; by default the package's.
        needs: extensions that it depends on.
        import_script: the import script for the package from Tiny Core's mirror.
        options: which files to keep and add.
        limits: limits on parsed input.

    Returns:
        The extension, and notes for the user, one line each.

    Raises:
        FormatError: the package is damaged.
        LimitError: the package unpacks to more than ``limits`` allow.
        TreeError: the package holds a path that is not allowed in an image.
    """
    notes: list[str] = []
    limits = evolve(limits, report=notes.append)
    package = parse_deb(Input(data, name=source, limits=limits))
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
    extension = Extension(name=name, dependencies=tuple(needs), file=tree, record=package.record)
    return extension, (*notes, *_notes(name, package))


def pack_extension(
    extension: Extension[Tree], *, effort: Effort = Effort.BALANCED, jobs: int | None = None
) -> Extension[Buffer]:
    """Pack an extension and make its companion files, as on a mirror.

    Args:
        extension: the extension. It is packed with gzip, in blocks of 4 KiB, as Core requires.
        effort: the compression effort.
        jobs: number of blocks to pack at once; ``None`` for the number of processors.

    Raises:
        UnrepresentableError: squashfs cannot represent an entry of the extension.
    """
    codec = make_codec(SquashfsCompression.GZIP, effort, squashfs.Options().block_bytes)
    with running_executor(jobs=jobs) as executor:
        content = squashfs.build_squashfs(extension.file, codec=codec, executor=executor)
    return extension.with_files(content, build_companions(extension, content))


def build_companions(extension: Extension[Tree], content: Buffer) -> dict[str, bytes]:
    """Return the companion files of a packed extension, by suffix.

    Args:
        extension: the extension, unpacked. Without a package's record it gets no ``.info``.
        content: the packed extension.
    """
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    companions = {MD5: build_md5(digest, extension.name)}
    if extension.dependencies:
        companions[DEPENDENCIES] = build_dependencies(extension.dependencies)
    if extension.record is not None:
        companions[INFO] = build_info(_info(extension.name, extension.record, len(content)))
    companions[LISTING] = listing(extension.file)
    return companions


def _notes(name: str, package: DebianPackage) -> list[str]:
    notes = list(package.record.fields.notes)
    postinst = package.control.get(POSTINST)
    wanted = () if postinst is None else wanted_programs(postinst)
    if wanted:
        notes.append(
            f"{name}: the package's postinst runs {' and '.join(wanted)}, which Core does not have"
        )
    if unused := [script for script in _UNUSED_SCRIPTS if script in package.control]:
        shown = " and ".join(script.decode() for script in unused)
        verb = "does" if len(unused) == 1 else "do"
        notes.append(f"{name}: the package's {shown} {verb} not run")
    if triggers := _lost_triggers(package.control.get(b"triggers", b"")):
        notes.append(f"{name}: the package's triggers do not run: {', '.join(triggers)}")
    return notes


def _lost_triggers(text: Buffer) -> list[str]:
    """Return the triggers that a package activates, other than that of ldconfig.

    Core runs ldconfig after it loads an extension. Triggers that a package waits for
    (``interest``) concern packages that are installed later.

    Source: deb-triggers(5).
    """
    lines = (line.partition(b"#")[0].split() for line in bytes(text).splitlines())
    names = (words[1] for words in lines if len(words) > 1 and words[0].startswith(b"activate"))
    return [name.decode("utf-8", "backslashreplace") for name in names if name != b"ldconfig"]


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

"""Make an extension from a Debian package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from purekernel.encode.encoders import Effort
from purekernel.errors import OutputError, UsageError
from purekernel.formats.debian.relation import show_relations
from purekernel.formats.tinycore import TCZ, is_extension_name, parse_extension_name
from purekernel.host.addresses import load_address
from purekernel.host.read import exists, load_file
from purekernel.host.staging import remove
from purekernel.host.write import publish
from purekernel.input import limits_of
from purekernel.plan.conversion import convert_package, pack_extension
from purekernel.records import frozen
from purekernel.repos.tinycore import COMPANIONS, DEPENDENCIES
from purekernel.rootfs.debian import ConversionOptions


@frozen(kw_only=True)
class WrittenExtension:
    """An extension that was made from a package.

    Attributes:
        path: the path of the extension.
        size_bytes: its size.
        package: the name and version of the package.
        depends: the package's dependencies, as in its control file; empty without any.
        notes: what was left out or added, one line each.
    """

    path: Path
    size_bytes: int
    package: str
    depends: str
    notes: tuple[str, ...]


def write_extension(
    package: Path,
    output: Path | None,
    *,
    script: Path | None,
    needs: Sequence[str],
    keep_doc: bool,
    keep_empty: bool,
    no_library_links: bool,
    effort: str,
    jobs: int | None,
    force: bool,
    max_unpacked: int | None,
) -> WrittenExtension:
    """Write the extension of a package, and the files beside it.

    Args:
        package: the package.
        output: the path of the extension; ``None`` for the package's name in the current folder.
        script: a script to run after the package's postinst on load.
        needs: the names of extensions to depend on.
        keep_doc: keep documentation.
        keep_empty: keep empty folders.
        no_library_links: make no links to libraries in the folders that Core's loader searches.
        effort: a value of :class:`Effort`.
        jobs: how many blocks to compress at once; ``None`` for one per processor.
        force: overwrite existing files.
        max_unpacked: the maximum unpacked size of the package, in bytes; ``None`` for the default.

    Raises:
        UsageError: a name is not that of an extension.
        InputError: the package or the script cannot be read.
        FormatError: the package is damaged.
        OutputError: an output exists or cannot be written.
    """
    name = None if output is None else output.name
    if name is not None and not (name.endswith(TCZ) and is_extension_name(name)):
        raise UsageError(
            f"{name}: must be the name of an extension",
            hint="use a name that ends in .tcz: lshw.tcz",
        )
    names = [parse_extension_name(need, source="--dep") for need in needs]
    if invalid := [name for name in names if not name.endswith(TCZ)]:
        raise UsageError(
            f"--dep {invalid[0]}: must be an extension", hint="use a name that ends in .tcz"
        )
    limits = limits_of(max_unpacked).budgeted()
    extension, notes = convert_package(
        load_address(package, limits=limits).data,
        source=str(package),
        name=name,
        needs=tuple(dict.fromkeys(names)),
        import_script=None if script is None else load_file(script),
        options=ConversionOptions(
            documentation=keep_doc, empty_folders=keep_empty, library_links=not no_library_links
        ),
        limits=limits,
    )
    made = pack_extension(extension, effort=Effort(effort), jobs=jobs)
    folder = Path() if output is None else output.parent
    contents = {made.name: made.file}
    contents |= {made.name + suffix: content for suffix, content in made.companions.items()}
    if not force:
        _check_free(folder, [made.name, *(made.name + suffix for suffix in COMPANIONS)])
    publish(folder, contents)
    if DEPENDENCIES not in made.companions:
        # An old .dep describes the extension that is replaced.
        remove(folder / f"{made.name}{DEPENDENCIES}")
    return WrittenExtension(
        path=folder / made.name,
        size_bytes=len(made.file),
        package=str(made.record),
        depends="" if made.record is None else show_relations(made.record.depends),
        notes=notes,
    )


def _check_free(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        if exists(path):
            raise OutputError(f"{path} exists already", hint="add -f to overwrite it")

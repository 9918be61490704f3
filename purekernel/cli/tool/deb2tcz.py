"""Run ``purekernel tool deb2tcz``: make an extension from a Debian package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purekernel.cli.parameters import Place, Size
from purekernel.cli.tool.mksquashfs import EFFORTS
from purekernel.errors import OutputError, UsageError

if TYPE_CHECKING:
    from purekernel.input import Limits
    from purekernel.repos.tinycore import Extension
    from purekernel.tree import Buffer


@click.command("deb2tcz", short_help="Make an extension (.tcz) from a Debian package.")
@click.argument("package", metavar="FILE.deb", type=Place())
@click.argument("output", metavar="[OUT.tcz]", type=Place(), required=False)
@click.option("--dep", "needs", metavar="NAME", multiple=True,
    help="An extension to depend on, for the .dep. Repeatable.")  # fmt: skip
@click.option("--script", type=Place(), metavar="FILE",
    help="A script to run after postinst on load, such as Tiny Core's importscripts.",
)  # fmt: skip
@click.option("--keep-doc", is_flag=True, help="Keep usr/share/doc, man, menu and lintian.")
@click.option("--keep-empty", is_flag=True, help="Keep empty folders.")
@click.option("--no-library-links", is_flag=True,
    help="Make no links to libraries in the folders that Core's loader searches.")  # fmt: skip
@click.option("--effort", type=click.Choice(EFFORTS), default="balanced", show_default=True,
    help="How much time to spend on a small image.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N",
    help="How many blocks to compress at once.  [default: one per processor]",
)  # fmt: skip
@click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
@click.option("-q", "--quiet", is_flag=True, help="Print no names.")
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of FILE.  [default: 1G]"
)
def deb2tcz_command(
    *,
    package: Path,
    output: Path | None,
    script: Path | None,
    force: bool,
    quiet: bool,
    max_unpacked: int | None,
    **options: Any,
) -> None:
    """Make an extension from a Debian package, and .md5.txt, .dep, .info and .list beside it.

    Without OUT.tcz, name it after the package, in the current folder. The package's postinst
    becomes usr/local/postinst/NAME, and the extension's start script calls it. The package's
    dependencies are printed; use --dep to depend on extensions instead.

    \b
    Examples:
      purekernel tool deb2tcz lshw_02.19-2_i386.deb
      purekernel tool deb2tcz --dep pci-utils.tcz lshw.deb tce/optional/lshw.tcz
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.cli.terminal import say, say_warning  # noqa: PLC0415
    from purekernel.formats.debian.relation import show_relations  # noqa: PLC0415
    from purekernel.host.write import publish, remove, writer_of  # noqa: PLC0415  # too slow for --help
    from purekernel.input import limits_of  # noqa: PLC0415
    from purekernel.repos.tinycore import COMPANIONS, DEPENDENCIES  # noqa: PLC0415

    limits = limits_of(max_unpacked)
    made, notes = _convert(package, output, script, limits=limits, **options)
    folder = Path() if output is None else output.parent
    contents = {made.name: made.file}
    contents |= {made.name + suffix: content for suffix, content in made.companions.items()}
    if not force:
        _check_free(folder, [made.name, *(made.name + suffix for suffix in COMPANIONS)])
    publish(folder, {name: writer_of(content) for name, content in contents.items()})
    if DEPENDENCIES not in made.companions:
        # An old .dep describes the extension that is replaced.
        remove(folder / f"{made.name}{DEPENDENCIES}")
    for note in notes:
        say_warning(note)
    if quiet:
        return
    say(f"{folder / made.name}  {len(made.file)} bytes, from {made.record}")
    if made.record is not None and made.record.depends:
        say(f"depends on: {show_relations(made.record.depends)}")


def _convert(
    package: Path,
    output: Path | None,
    script: Path | None,
    *,
    limits: Limits,
    needs: tuple[str, ...],
    keep_doc: bool,
    keep_empty: bool,
    no_library_links: bool,
    effort: str,
    jobs: int | None,
) -> tuple[Extension[Buffer], tuple[str, ...]]:
    """Return the extension at hand, and notes for the user."""
    from purekernel.encode.encoders import Effort  # noqa: PLC0415
    from purekernel.formats.tinycore import (  # noqa: PLC0415
        TCZ,
        is_extension_name,
        parse_extension_name,
    )
    from purekernel.host.read import load_file  # noqa: PLC0415
    from purekernel.plan.conversion import convert_package, pack_extension  # noqa: PLC0415
    from purekernel.rootfs.debian import ConversionOptions  # noqa: PLC0415

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
    extension, notes = convert_package(
        load_file(package, limits=limits),
        source=str(package),
        name=name,
        needs=tuple(dict.fromkeys(names)),
        import_script=None if script is None else load_file(script),
        options=ConversionOptions(
            documentation=keep_doc, empty_folders=keep_empty, library_links=not no_library_links
        ),
        limits=limits,
    )
    return pack_extension(extension, effort=Effort(effort), jobs=jobs), notes


def _check_free(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        if path.exists() or path.is_symlink():
            raise OutputError(f"{path} exists already", hint="add -f to overwrite it")

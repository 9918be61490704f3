"""Run ``purekernel tool modinfo``: print the information in a kernel module."""

from __future__ import annotations

import click

from purekernel.cli.printer import Printer, reports


@click.command("modinfo", short_help="Print the information in a kernel module.")
@click.argument("modules", metavar="MODULE...", nargs=-1, required=True)
@click.option("-a", "--author", "name", flag_value="author", help="Print only the authors.")
@click.option(
    "-d", "--description", "name", flag_value="description", help="Print only the description."
)
@click.option("-l", "--license", "name", flag_value="license", help="Print only the licence.")
@click.option("-p", "--parameters", "name", flag_value="parm", help="Print only the parameters.")
@click.option("-n", "--filename", "name", flag_value="filename", help="Print only the file name.")
@click.option("-F", "--field", metavar="FIELD", help="Print only this field.")
@click.option("-0", "--null", "nul", is_flag=True, help="End each entry with NUL, not newline.")
@click.option(
    "-b", "--basedir", "root_place", metavar="ROOT", help="The root file system to search."
)
@click.option(
    "-k", "--set-version", "release", metavar="KVER",
    help="The kernel's release.  [default: the only one in ROOT]",
)  # fmt: skip
@reports
def modinfo_command(
    printer: Printer,
    /,
    *,
    modules: tuple[str, ...],
    name: str | None,
    field: str | None,
    nul: bool,
    root_place: str | None,
    release: str | None,
) -> None:
    """Print the information in each MODULE, and its signature.

    MODULE is a file, compressed or not, or FILE:PATH for one in an archive; with -b, the name of a
    module in ROOT.

    \b
    Examples:
      purekernel tool modinfo ext4.ko.xz
      purekernel tool modinfo -b Core-current.iso -F depends garp
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.modinfo import find_modules, render_module  # noqa: PLC0415

    end = b"\0" if nul else b"\n"
    described: list[dict[str, object]] = []
    printer.document["modules"] = described
    for module in find_modules(modules, root_place, release, note=printer.note):
        fields: dict[str, list[bytes]] = {}
        for key, value in module.information:
            fields.setdefault(key.decode("utf-8", "backslashreplace"), []).append(value)
        described.append({"path": module.path, "fields": fields})
        printer.lines(render_module(module, field=field or name, end=end), end=end)

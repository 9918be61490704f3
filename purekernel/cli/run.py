"""Run ``purekernel run``: start QEMU with an image."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from purekernel.cli.parameters import ParamType, PathParameter, Size
from purekernel.cli.printer import Printer, reports
from purekernel.errors import ProgramError, UsageError

_PORTS = re.compile(r"([0-9]{1,5}):([0-9]{1,5})", re.ASCII)
_MORE = "purekernel.more"


class Ports(ParamType):
    """A port of this host and a port of the guest."""

    name = "ports"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return the two ports."""
        if isinstance(value, tuple):
            return value
        match = _PORTS.fullmatch(str(value))
        ports = (int(match[1]), int(match[2])) if match else (0, 0)
        if not all(0 < port < 65536 for port in ports):
            self.fail(f"must be two ports, such as 2222:22, got {value!r}", param, ctx)
        return ports


class _RunCommand(click.Command):
    """A command whose arguments after ``--`` are those of another program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what follows the first ``--``; parse the rest."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_MORE] = tuple(args[end + 1 :])
        return super().parse_args(ctx, args[:end])


@click.command(
    "run",
    cls=_RunCommand,
    short_help="Start QEMU with an image.",
    options_metavar="[OPTIONS]",
    epilog="Arguments after -- go to QEMU as they are.",
)
@click.argument("image", type=PathParameter(), required=False)
@click.option("--disk", "as_disk", is_flag=True, help="Start an ISO as a disk.")
@click.option("--usb", "as_usb", is_flag=True, help="Start an ISO or a disk as a USB stick.")
@click.option(
    "--uefi/--bios",
    default=None,
    help="The firmware.  [default: a BIOS, or UEFI if the image boots by that only]",
)
@click.option("--secure-boot", is_flag=True, help="UEFI that starts signed loaders only.")
@click.option(
    "--processor",
    type=click.Choice(["i386", "x86_64"]),
    help="The machine's processor.  [default: that of the image's kernel]",
)
@click.option(
    "--memory",
    "memory_bytes",
    type=Size(),
    help="The machine's memory, such as 1G.  [default: by the size of the image]",
)
@click.option(
    "--accel",
    "accelerator",
    metavar="NAME",
    help="QEMU's accelerator, such as kvm or tcg.  [default: the fastest one that works]",
)
@click.option("--serial", is_flag=True, help="Use the terminal as serial port, and open no window.")
@click.option(
    "--forward",
    "forwards",
    type=Ports(),
    multiple=True,
    metavar="HOST:GUEST",
    help="Forward a TCP port of this host to the guest, such as 2222:22. Repeatable.",
)
@click.option(
    "--snapshot/--write",
    "is_snapshot",
    default=True,
    help="Drop what the guest writes to a disk, or keep it in the image.  [default: --snapshot]",
)
@click.option("--kernel", type=PathParameter(), help="A kernel to load without a boot loader.")
@click.option(
    "--initrd",
    "initrds",
    type=PathParameter(),
    multiple=True,
    help="An initrd for the kernel. Repeatable.",
)
@click.option("--append", default="", metavar="WORDS", help="The kernel's command line.")
@click.option("--dry-run", is_flag=True, help="Print the command, and start nothing.")
@reports
@click.pass_context
def run_command(
    ctx: click.Context,
    printer: Printer,
    /,
    *,
    image: Path | None,
    kernel: Path | None,
    initrds: tuple[Path, ...],
    is_snapshot: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Start QEMU, which must be installed, with IMAGE.

    IMAGE is an ISO, a disk image (raw or qcow2), a folder of --emit core or pxe, or an initrd with
    --kernel. Its content tells what QEMU needs. The image is never changed, unless --write is
    given. This is the only command that starts another program.

    \b
    Examples:
      purekernel run my-core.iso
      purekernel run my-core.iso --uefi --usb
      purekernel run my-core.iso --serial --forward 2222:22
      purekernel run core/ --append 'loglevel=3' -- -smp 2
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.run import prepared, quote, run  # noqa: PLC0415  # see build

    more: tuple[str, ...] = ctx.meta[_MORE]
    if image is None and kernel is None and more and Path(more[0]).exists():
        image, more = Path(more[0]), more[1:]  # a name that begins with a dash
    if printer.as_json and options["serial"] and not dry_run:
        raise UsageError(
            "the serial port and the JSON cannot both be on stdout", hint="leave out --json"
        )
    with prepared(
        image,
        kernel=kernel,
        initrds=initrds,
        is_dry=dry_run,
        is_writable=not is_snapshot,
        more=more,
        **options,
    ) as command:
        printer.document["command"] = command
        if dry_run:
            printer.lines([os.fsencode(quote(command))])
            return
        if options["serial"]:
            printer.note("to leave QEMU, press Ctrl-A, then X")
        status = run(command, stdout=sys.stderr if printer.as_json else None)
    printer.document["status"] = status
    if status:
        raise ProgramError(
            f"QEMU ended with exit status {status}",
            hint="its own message is above",
            status=status,
        )

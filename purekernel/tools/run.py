"""Start QEMU with an image, because the user asks for it.

No other module of the package starts a program; ``tests/test_imports.py`` holds that.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from purekernel.analysis.bootable import Bootable, find_bootable
from purekernel.errors import ProgramError, UsageError
from purekernel.host.hints import reason, writing
from purekernel.host.read import load_file
from purekernel.interruption import Interruption
from purekernel.tools.qemu import Machine, RunHost, make_command

# How long QEMU may take to end after it is asked to.
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.5
# An initrd in front of another is filled up to this, as the kernel's documentation requires of an
# uncompressed archive (Documentation/driver-api/early-userspace/buffer-format.rst).
_ALIGNMENT = 4


@contextmanager
def prepared(
    path: Path | None,
    *,
    kernel: Path | None,
    initrds: Sequence[Path],
    is_dry: bool = False,
    **machine: Any,
) -> Iterator[list[str]]:
    """Yield the command that runs an image; files that it needs are deleted at the end.

    Args:
        path: the image; ``None`` for ``kernel`` alone.
        kernel: a kernel to load directly.
        initrds: the initrds to load with it, in order.
        is_dry: whether the command is not run here, so that no file may be made for it.
        machine: the attributes of a :class:`Machine`.

    Raises:
        PurekernelError: the image cannot be run, or QEMU is not installed.
    """
    image = find_bootable(path, kernel=kernel, initrds=initrds)
    if is_dry and len(image.initrds) > 1:
        names = shlex.join(map(str, image.initrds))
        raise UsageError(
            "QEMU loads one file as initrd, and there are several",
            hint=f"join them first: cat {names} > initrd",
        )
    with _joined(image) as initrd:
        yield make_command(image, Machine(**machine), RunHost.here(), initrd=initrd)


@contextmanager
def _joined(image: Bootable) -> Iterator[Path | None]:
    """Yield the one file with all initrds, as a boot loader lays them into memory."""
    if len(image.initrds) < 2:
        yield image.initrds[0] if image.initrds else None
        return
    with tempfile.TemporaryDirectory(prefix="purekernel-") as folder:
        path = Path(folder, "initrd")
        with writing(path, elsewhere="set another folder with TMPDIR"), path.open("xb") as stream:
            for initrd in image.initrds:
                content = load_file(initrd)
                stream.write(content + bytes(-len(content) % _ALIGNMENT))
        yield path


def quote(command: Sequence[str]) -> str:
    """Return a command as a line for the shell of this system."""
    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)


def run(command: Sequence[str], *, stdout: IO[str] | None = None) -> int:
    """Run a command on the terminal until it ends, and return its exit status.

    A signal that ends purekernel also ends the program.

    Args:
        command: the program and its arguments.
        stdout: where its output goes; by default to stdout.

    Returns:
        The exit status; 128 and the number of a signal that ended it, as shells report it.

    Raises:
        ProgramError: the program cannot be started.
    """
    try:
        process = subprocess.Popen(command, stdout=stdout)  # noqa: S603  # a list, no shell
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        words = reason(error) if isinstance(error, OSError) else str(error)
        raise ProgramError(f"{command[0]} cannot be started: {words}") from None
    try:
        status = _wait(process)
    except (Interruption, KeyboardInterrupt):
        _end(process)
        raise
    return 128 - status if status < 0 else status


def _wait(process: subprocess.Popen[bytes]) -> int:
    # A wait without a limit would not notice a signal on Windows.
    while True:
        try:
            return process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

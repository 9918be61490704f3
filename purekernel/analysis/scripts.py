"""Check whether the interpreters of scripts are there.

Source: execve(2), "Interpreter scripts"; load_script in fs/binfmt_script.c of Linux; env(1).
"""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.analysis.findings import Finding, shown
from purekernel.analysis.system import OwnedFiles, View
from purekernel.errors import FormatError
from purekernel.records import frozen
from purekernel.rootfs.extensions import EXECUTABLE
from purekernel.rootfs.ownership import START_SCRIPTS
from purekernel.tree import display
from purekernel.tree.path import join, name, parent

# Linux reads this much of a script (BINPRM_BUF_SIZE; 128 before 5.1).
MOST_LINE_BYTES = 256

# The folders that Tiny Core's programs are searched in. (Source: etc/profile, etc/init.d/rcS.)
SEARCHED = (
    b"usr/local/sbin",
    b"usr/local/bin",
    b"usr/sbin",
    b"usr/bin",
    b"sbin",
    b"bin",
    b"apps/bin",
)

# Where scripts are that run at boot, by a name alone, or by another script.
COMMANDS = (
    *SEARCHED,
    START_SCRIPTS,
    b"opt",
    b"etc/init.d",
    b"usr/local/etc/init.d",
    b"usr/lib",
    b"",
)


@frozen(kw_only=True)
class Interpreter:
    """What runs a script.

    Attributes:
        path: the path in its first line.
        command: the name that ``env`` searches; ``None`` without env.
    """

    path: bytes
    command: bytes | None = None


def read_interpreter(start: bytes) -> Interpreter | None:
    """Return the interpreter in the first line of a script; ``None`` if the file is no script.

    Args:
        start: the first :data:`MOST_LINE_BYTES` of the file, or more.
    """
    if not start.startswith(b"#!"):
        return None
    line, newline, _rest = start[2:MOST_LINE_BYTES].partition(b"\n")
    words = line.replace(b"\t", b" ").strip(b" ").split(b" ")
    words = [word for word in words if word]
    # A longer line is cut off, which may be in the middle of a name.
    if not words or b"\0" in line or (not newline and len(start) >= MOST_LINE_BYTES):
        return None
    path = words[0]
    if name(path) != b"env":
        return Interpreter(path=path)
    for word in words[1:]:
        if not word.startswith(b"-") and b"=" not in word:
            return Interpreter(path=path, command=word)
    return Interpreter(path=path)


def check_scripts(part: OwnedFiles) -> Iterator[Finding]:
    """Yield a finding for each executable script whose interpreter is missing.

    Args:
        part: the files to check.
    """
    for path, node in part.files.items():
        if not node.metadata.mode & EXECUTABLE:
            continue
        try:
            found = read_interpreter(bytes(node.part(0, MOST_LINE_BYTES)))
        except FormatError:  # check_programs() reports it
            continue
        if found is None:
            continue
        missing = _missing(found, part.view)
        if missing is None:
            continue
        code = "PK301" if parent(path) in COMMANDS else "PK302"
        yield Finding(
            code=code,
            owner=part.owner,
            path=path,
            message=f"{shown(path)} is run by {display(missing)}, which is missing",
            remedy=_remedy(missing, part.view),
            subject=display(missing)[1:-1],
        )


def _missing(found: Interpreter, view: View) -> bytes | None:
    """Return what is missing of an interpreter; ``None`` if nothing is."""
    if not found.path.startswith(b"/"):
        return None  # relative to the folder that it is called from
    if not _is_there(found.path, view):
        return found.path
    command = found.command
    if command is None or (command.startswith(b"/") and _is_there(command, view)):
        return None
    if b"/" not in command and _is_command(command, view):
        return None
    return command


def _is_there(path: bytes, view: View) -> bool:
    if view.file(path) is not None:
        return True
    # Start scripts make links such as /bin/bash, to a program of the same extension.
    return path in view.start_scripts and _is_command(name(path), view)


def _is_command(command: bytes, view: View) -> bool:
    return any(view.file(join(folder, command)) is not None for folder in SEARCHED)


def _remedy(missing: bytes, view: View) -> str:
    if missing.endswith(b"\r"):
        return "save the script with the ends of lines of Unix"
    if _is_command(name(missing), view):
        return "link the program of that name to that path"
    return "add an extension that has it"

"""Test that a build starts no process, opens no socket, and needs no privileges."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

import pytest

from fixtures.bundle import SAMPLE
from tests.builds import SAMPLE_FINDINGS
from tests.oracles import require
from tests.processes import UNPRIVILEGED, environment, purekernel

pytestmark = pytest.mark.slow

# Forbids calls in a build, by the audit events of CPython (docs.python.org, "Audit events
# table"). Calls without an event are replaced.
WATCHED = """
import os, sys

SEEN = []
FORBIDDEN = (
    "subprocess.", "socket.", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
    "os.system", "os.startfile", "os.chown", "os.symlink", "os.link", "pty.spawn", "os.lockf",
    "ctypes.dlopen", "urllib.Request", "http.client.connect", "os.setxattr",
)

def hook(event, arguments):
    # PySquashfsImage imports ctypes, which opens the program itself: None. On Windows, platformdirs
    # asks these libraries of the system for the folder of caches.
    if event == "ctypes.dlopen" and arguments[0] in (None, "kernel32", "shell32"):
        return
    # Outputs that are replaced keep a second name until all have been renamed.
    if event == "os.link" and str(arguments[1]).startswith(".purekernel."):
        return
    if event.startswith(FORBIDDEN):
        SEEN.append((event, repr(arguments)))

def refuse(name):
    def call(*arguments, **options):
        SEEN.append((name, repr(arguments)))
        raise PermissionError(name)
    return call

for name in ("mknod", "chroot", "chown", "lchown", "fchown", "mkfifo", "symlink", "mount",
             "umount", "unshare", "setns", "setuid", "fork"):
    if hasattr(os, name):
        setattr(os, name, refuse("os." + name))
sys.addaudithook(hook)

from purekernel.cli import main
status = main(sys.argv[1:])
for event, arguments in SEEN:
    print("FORBIDDEN", event, arguments)
print("STATUS", status)
"""

# System calls with the same effect, from any code in the process.
FORBIDDEN_CALLS = (
    "execve,execveat,fork,vfork,socket,connect,bind,chown,lchown,fchown,fchownat,mknod,mknodat,"
    "chroot,mount,umount2,symlink,symlinkat,link,linkat,setuid,setgid,ptrace,unshare"
)

EMIT = ("--emit", "iso,core,pxe", "--iso-version", "1")
BUILD = ("build", "--sample", *EMIT)


def test_audit_hook_reports_forbidden_calls(tmp_path: Path) -> None:
    """Check the hook itself: it must report a script that makes forbidden calls."""
    script = WATCHED.replace(
        "status = main(sys.argv[1:])",
        "import socket, subprocess; socket.socket().close(); status = 0\n"
        "subprocess.run([sys.executable, '--version'])",
    )
    done = purekernel(cwd=tmp_path, script=script)
    assert "FORBIDDEN socket.__new__" in done.stdout
    assert "FORBIDDEN subprocess.Popen" in done.stdout


def test_build_makes_no_forbidden_call(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file").write_text("x")
    done = purekernel(*BUILD, "--overlay", "site", cwd=tmp_path, script=WATCHED)
    assert done.stderr == ""
    assert "STATUS 0" in done.stdout
    assert "FORBIDDEN" not in done.stdout, done.stdout
    assert (tmp_path / "rz_mk_dev-image.1.iso").stat().st_size > 50_000


@pytest.mark.oracle
@pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's")
def test_strace_shows_no_forbidden_system_call(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    prefix = [require("strace"), "-f", "-qq", "-o", str(trace), "-e", f"trace={FORBIDDEN_CALLS}"]
    done = purekernel(*BUILD, cwd=tmp_path, prefix=prefix)
    assert done.returncode == 0, done.stderr
    calls = [line.split(None, 1)[1] for line in trace.read_text().splitlines()]
    made = [call for call in calls if re.match(r"\w+\(", call)]
    # strace shows only the start of the interpreter.
    assert len(made) == 1, made
    assert made[0].startswith("execve(")


def readable_sample(folder: Path) -> Path:
    """Return a copy of the sample that other users can read; the checkout may be private."""
    bundle = folder / "bundle.tar.gz"
    bundle.write_bytes(SAMPLE.read_bytes())
    bundle.chmod(0o644)
    return bundle


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no uids")
def test_unprivileged_user_with_empty_path_builds_the_same_image(
    open_folder: Path, tmp_path: Path
) -> None:
    bundle = readable_sample(open_folder)
    done = purekernel("build", bundle, *EMIT, cwd=open_folder, script=UNPRIVILEGED)
    assert (done.returncode, done.stderr) == (0, SAMPLE_FINDINGS)
    made = open_folder / "rz_mk_dev-image.1.iso"
    assert made.stat().st_uid != 0
    mine = purekernel("build", bundle, *EMIT, cwd=tmp_path)
    assert mine.returncode == 0, mine.stderr
    assert made.read_bytes() == (tmp_path / "rz_mk_dev-image.1.iso").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_unwritable_folder_is_refused_in_two_lines(open_folder: Path) -> None:
    out = open_folder / "out"
    out.mkdir()
    out.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IXOTH)
    bundle = readable_sample(open_folder)
    done = purekernel(
        "build", bundle, *EMIT, "--output-dir", out, cwd=open_folder, script=UNPRIVILEGED
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"purekernel: {out / 'rz_mk_dev-image.1.iso'} cannot be written: Permission denied\n"
        "  choose a folder that you may write to with --output-dir\n"
    )
    assert list(out.iterdir()) == []


def test_user_time_zone_locale_and_hash_seed_do_not_change_the_image(tmp_path: Path) -> None:
    surroundings = [
        {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1", "USER": "ann", "HOME": "/home/ann"},
        {"TZ": "Asia/Kolkata", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2", "LOGNAME": "bob"},
        {"TZ": "America/St_Johns", "LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "3"},
    ]
    made = []
    for number, changes in enumerate(surroundings):
        # Also set another date: each run moves every clock of Python a year ahead.
        script = (
            "import sys, time\n"
            f"ahead = {number} * 31_536_000\n"
            "now, now_ns = time.time, time.time_ns\n"
            "time.time = lambda: now() + ahead\n"
            "time.time_ns = lambda: now_ns() + ahead * 10**9\n"
            "from purekernel.cli import main\n"
            "sys.exit(main(sys.argv[1:]))\n"
        )
        out = tmp_path / f"out-{number}-secretword"
        done = purekernel(
            *BUILD, "--output-dir", out, cwd=tmp_path, script=script, env=environment(**changes)
        )
        assert done.returncode == 0, done.stderr
        made.append(
            {
                path.relative_to(out).as_posix(): path.read_bytes()
                for path in sorted(out.rglob("*"))
                if path.is_file()
            }
        )
    assert made[0] == made[1] == made[2]
    assert len(made[0]) == 8
    leaks = [b"secretword", os.fsencode(tmp_path), b"/home/ann"]
    for content in made[0].values():
        assert not [leak for leak in leaks if leak in content]


def test_source_date_epoch_sets_the_times(tmp_path: Path) -> None:
    env = environment(SOURCE_DATE_EPOCH="1234567890")
    done = purekernel(*BUILD, "--json", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert '"timestamp": 1234567890' in done.stdout
    iso = (tmp_path / "rz_mk_dev-image.1.iso").read_bytes()
    assert b"2009021323313000" in iso  # the volume creation time, in UTC

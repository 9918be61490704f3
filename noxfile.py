"""Run the checks as CI does: ``nox -s fast``, ``nox -s lint`` and others; ``nox -l`` lists them.

Each session makes a virtual environment of its own. ``nox --no-venv -s lint`` uses the active one.
"""

from __future__ import annotations

import os
import shutil

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "fast"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True

# One file's tests stay on one worker, because their fixtures are shared.
PARALLEL = ("-n", "auto", "--dist", "loadfile")
# What a contributor waits for: no other program, emulator or cluster, and nothing slow. Tests
# without any of those marks get this one.
FAST = "fast"


def _install(session: nox.Session, extra: str) -> None:
    """Install the project with an extra, unless the session uses the active environment."""
    if session.virtualenv.is_sandboxed:
        session.install("--quiet", "--editable", f".[{extra}]")


def _pytest(session: nox.Session, marks: str) -> None:
    _install(session, "test")
    session.run("python", "-m", "pytest", *PARALLEL, "-m", marks, *session.posargs)


@nox.session
def fast(session: nox.Session) -> None:
    """Run the tests that need nothing but Python."""
    _pytest(session, FAST)


@nox.session
def oracles(session: nox.Session) -> None:
    """Compare with independent programs; a test whose program is missing is skipped."""
    _pytest(session, "oracle")


@nox.session
def boot(session: nox.Session) -> None:
    """Boot images under QEMU; skipped without QEMU or the shared data."""
    _pytest(session, "boot")


@nox.session
def lint(session: nox.Session) -> None:
    """Check lint rules, format, types, import contracts, workflows and the committed sample."""
    _install(session, "test,lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("zizmor", "--quiet", "--offline", "--strict-collection", ".github")
    session.run("python", "-m", "tests.docs.strict_examples")
    session.run("python", "-m", "fixtures", "--check")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site; a warning or a broken link is an error."""
    _install(session, "docs")
    site = os.path.join("docs", "_site")  # noqa: PTH118  # nox itself speaks in strings
    # From nothing: a page that was deleted must not stay, and every page must be checked.
    shutil.rmtree(site, ignore_errors=True)
    options = ("--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "--fresh-env")
    session.run("sphinx-build", *options, "-b", "html", "-d", session.create_tmp(), "docs", site)
    session.run("python", "docs/check_site.py", site)
    session.run("python", "docs/reference.py", "--check")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz each reader for a minute, or as the arguments say; Linux on x86-64 only."""
    _install(session, "test,fuzz")
    session.run("python", "-m", "fuzz", *session.posargs)


@nox.session(venv_backend="none")
def nightly(session: nox.Session) -> None:
    """Run everything, as a scheduled job does; needs root on Debian or Ubuntu."""
    session.run(os.path.join(".ci", "nightly"), *session.posargs, external=True)  # noqa: PTH118

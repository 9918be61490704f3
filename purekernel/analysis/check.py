"""Run all checks of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from attrs import evolve

from purekernel.analysis.attributes import check_attributes, check_silenced
from purekernel.analysis.boot_files import check_boot_files
from purekernel.analysis.findings import Finding, sort_findings
from purekernel.analysis.firmware import check_firmware
from purekernel.analysis.libraries import LoadableLibraries
from purekernel.analysis.links import check_broken_links, check_links
from purekernel.analysis.modules import check_modules
from purekernel.analysis.programs import Runs, check_programs, machine_of_root
from purekernel.analysis.scripts import check_scripts
from purekernel.analysis.secrets import check_keys, check_passwords
from purekernel.analysis.system import Subject, System
from purekernel.analysis.zram import check_zram
from purekernel.formats.bzimage import is_64_bit

Suggest = Callable[[Iterable[str]], Mapping[str, tuple[str, ...]]]
"""Return, for names of files, the extensions of the mirror that have them."""

_SUGGESTED = ("PK102", "PK301", "PK302")


def check_image(subject: Subject, suggest: Suggest | None = None) -> tuple[Finding, ...]:
    """Return what is wrong in an image, the worst first. What is as in the base is not checked.

    Args:
        subject: the image.
        suggest: finds the extensions that have a missing file. Called once, if any is missing.
    """
    findings = sort_findings(_findings(subject))
    missing = [finding for finding in findings if finding.code in _SUGGESTED]
    if suggest is None or not missing:
        return findings
    found = suggest(dict.fromkeys(map(_wanted, missing)))
    return tuple(_with_suggestion(finding, found) for finding in findings)


def _findings(subject: Subject) -> Iterator[Finding]:
    system = System(subject)
    yield from system.faults
    kernel = subject.kernel
    runs = Runs(
        machine=machine_of_root(subject.stock_root, subject.root),
        is_64_bit=kernel is not None and is_64_bit(kernel.data),
    )
    libraries = LoadableLibraries(system.view)
    for part in system.parts():
        # Parts with a view of their own come last, one by one.
        if part.view is not libraries.view:
            libraries = LoadableLibraries(part.view)
        yield from check_programs(part, libraries, runs)
        yield from check_scripts(part)
        yield from check_modules(part, system.release)
        yield from check_firmware(part, system.release)
        yield from check_links(part, system.all_extensions)
        yield from check_attributes(part)
        yield from check_keys(part)
    yield from check_broken_links(system)
    yield from check_silenced(system)
    yield from check_passwords(system)
    yield from check_boot_files(subject)
    yield from check_zram(subject, system.release)


def _wanted(finding: Finding) -> str:
    """Return the name of the missing file, with the end of its folder if that matters."""
    if finding.code == "PK102":
        return finding.subject
    return "bin/" + finding.subject.rpartition("/")[2]


def _with_suggestion(finding: Finding, found: Mapping[str, tuple[str, ...]]) -> Finding:
    names = found.get(_wanted(finding), ()) if finding.code in _SUGGESTED else ()
    if not names:
        return finding
    added = f"add {' or '.join(names)}, which has"
    if not finding.subject.startswith("/"):
        return evolve(finding, remedy=f"{added} it")
    # Extensions have their programs in other folders than scripts expect.
    command = finding.subject.rpartition("/")[2]
    return evolve(finding, remedy=f"{added} {command}, and link it to that path if it is elsewhere")

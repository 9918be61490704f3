"""Plan single files: the base ISO, tarballs, overlays from the network."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen

from purekernel.errors import (
    DownloadError,
    FormatError,
    LockError,
    MissingFileError,
    OfflineError,
)
from purekernel.fetch.urls import is_url, last_component, tell_apart
from purekernel.fetch.wanted import Kind, Wanted
from purekernel.formats.tinycore import parse_md5
from purekernel.plan.lock.locked import pinned
from purekernel.plan.plan import (
    BASE,
    MCOLLECTIVE,
    OVERLAY,
    RUBYGEMS,
    VM_TOOLS,
    Inquiry,
    PlannedFile,
)
from purekernel.recipe import defaults
from purekernel.recipe.flavour import Generation
from purekernel.repos.tinycore import MD5

MOST_MD5_BYTES = 4096


@frozen(kw_only=True)
class FileAsk:
    """A request for a single file.

    Attributes:
        role: purpose of the file.
        asked: URL or path as requested.
        wanted: the download.
    """

    role: str
    asked: str
    wanted: Wanted


def plan_file(inquiry: Inquiry, ask: FileAsk) -> PlannedFile:
    """Plan a file. Apply the lock file's pin if there is one.

    Raises:
        LockError: the lock file binds, and pins no file or another file.
    """
    asked, wanted = tell_apart(ask.asked), ask.wanted
    locked = None if inquiry.lock is None else inquiry.lock.files.get(ask.role)
    expected = ask.wanted.sha256
    if locked is not None and expected is not None and expected != locked.pin.sha256:
        if inquiry.bound_by_lock:
            raise LockError(
                f"the lock file: wrong SHA-256 for {ask.role}: must be {expected} as in "
                f"{inquiry.recipe.source}, got {locked.pin.sha256}",
                hint="correct the digest in the recipe, or run 'purekernel lock'",
            )
        locked = None
    if locked is not None and locked.asked == asked:
        wanted = pinned(wanted, locked.pin, inquiry.place)
    elif inquiry.bound_by_lock:
        got = f"{locked.asked}" if locked is not None else "none"
        raise LockError(
            f"the lock file: no pin for {ask.role}: must be {asked} as in "
            f"{inquiry.recipe.source}, got {got}",
            hint="run 'purekernel lock' to pin it",
        )
    return PlannedFile(role=ask.role, asked=asked, wanted=wanted)


def plan_base(inquiry: Inquiry) -> tuple[PlannedFile, str]:
    """Plan the base ISO: the recipe's own, or the mirrors'.

    If there is an MD5 file beside the ISO, check the ISO against it. Mirrors of Tiny Core always
    have one. For an ISO elsewhere, the file is optional.

    Returns:
        The file, and a note for the user; ``""`` for none.

    Raises:
        DownloadError: the mirrors cannot be reached.
        FormatError: the MD5 file beside a mirror's ISO is damaged.
        LockError: the lock file binds, and pins no file or another file.
    """
    core = inquiry.recipe.core
    urls: tuple[str, ...]
    if core.iso is not None:
        asked, urls = core.iso, (inquiry.place(core.iso),)
    else:
        urls = inquiry.release.iso_urls(inquiry.mirrors)
        # A path without the mirror: a change of the mirror must not void the pin.
        asked = inquiry.release.iso_places()[0]
    wanted = Wanted(name=last_component(urls[0]), urls=urls, kind=Kind.ISO, sha256=core.iso_sha256)
    planned = plan_file(inquiry, FileAsk(role=BASE, asked=asked, wanted=wanted))
    if planned.wanted.sha256 is not None or (core.iso is not None and not is_url(core.iso)):
        return planned, ""
    try:
        return evolve(planned, wanted=_with_md5(inquiry, planned.wanted)), ""
    except OfflineError:
        raise
    except (DownloadError, FormatError) as error:
        if core.iso is None:
            raise
        return planned, f"{wanted.name} is not checked against an MD5: {error.message}"


def overlay_asks(inquiry: Inquiry) -> Iterator[FileAsk]:
    """Yield the overlays to download."""
    for overlay in inquiry.recipe.overlays:
        if overlay.url is not None:
            wanted = Wanted(
                name=last_component(overlay.url), urls=(overlay.url,), sha256=overlay.sha256
            )
            yield FileAsk(role=overlay_role(overlay.url), asked=overlay.url, wanted=wanted)


def extra_asks(inquiry: Inquiry, generation: Generation | None) -> Iterator[FileAsk]:
    """Yield the files of a Microkernel besides extensions and gems."""
    razor = inquiry.recipe.razor
    if razor is None:
        return
    choices = {
        RUBYGEMS: (razor.rubygems, defaults.RUBYGEMS),
        VM_TOOLS: (razor.open_vm_tools, defaults.OPEN_VM_TOOLS),
    }
    if generation is Generation.V2012:
        choices[MCOLLECTIVE] = (razor.mcollective, defaults.MCOLLECTIVE)
    for role, (chosen, default) in choices.items():
        asked = default if chosen is None else chosen
        if asked:
            wanted = Wanted(
                name=last_component(asked), urls=(inquiry.place(asked),), kind=Kind.GZIP
            )
            yield FileAsk(role=role, asked=asked, wanted=wanted)


def overlay_role(url: str) -> str:
    """Return the role of an overlay from the network."""
    return f"{OVERLAY} {tell_apart(url)}"


def _with_md5(inquiry: Inquiry, wanted: Wanted) -> Wanted:
    """Return ``wanted`` with the MD5 from the file beside it, if there is one."""
    beside = Wanted(
        name=wanted.name + MD5,
        urls=tuple(_beside(url, MD5) for url in wanted.urls),
        kind=Kind.TEXT,
        most_bytes=MOST_MD5_BYTES,
        # The file is often missing beside the user's own ISO: do not retry.
        attempts=None if inquiry.recipe.core.iso is None else 1,
    )
    try:
        # Not as an optional file: for those, "not found" on the first mirror ends the search. A
        # release that has moved is at a later URL.
        fetched = inquiry.downloads.fetch(beside)
    except MissingFileError:
        fetched = None
    if fetched is None:
        return wanted
    digest = parse_md5(inquiry.downloads.load(fetched), source=fetched.url)
    return evolve(wanted, md5=digest)


def _beside(url: str, ending: str) -> str:
    """Return the URL of a companion file: ``ending`` goes before a query, if there is one."""
    if not is_url(url):
        return url + ending
    bare, mark, query = url.partition("?")
    return bare + ending + mark + query

"""Plan the files that stand by themselves: the base ISO, tarballs, overlays from the network."""

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
    """A file that stands by itself, as it is asked for.

    Attributes:
        role: what it is for.
        asked: the address or place.
        wanted: how it is to be had.
    """

    role: str
    asked: str
    wanted: Wanted


def plan_file(inquiry: Inquiry, ask: FileAsk) -> PlannedFile:
    """Plan a file, pinned if the lock has it.

    Raises:
        LockError: the lock has none, or another.
    """
    asked, wanted = tell_apart(ask.asked), ask.wanted
    locked = None if inquiry.lock is None else inquiry.lock.files.get(ask.role)
    promised = ask.wanted.sha256
    if locked is not None and promised is not None and promised != locked.pin.sha256:
        if inquiry.bound_by_lock:
            raise LockError(
                f"the lock file has another SHA-256 for {ask.role} than {inquiry.recipe.source}",
                hint="correct the digest in the recipe, or run 'purekernel lock'",
            )
        locked = None
    if locked is not None and locked.asked == asked:
        wanted = pinned(wanted, locked.pin, inquiry.place)
    elif inquiry.bound_by_lock:
        has = f"{locked.asked} for {ask.role}" if locked is not None else f"no {ask.role}"
        raise LockError(
            f"the lock file has {has}, and {inquiry.recipe.source} asks for {asked}",
            hint="run 'purekernel lock' to pin it",
        )
    return PlannedFile(role=ask.role, asked=asked, wanted=wanted)


def plan_base(inquiry: Inquiry) -> tuple[PlannedFile, str]:
    """Plan the base ISO: the recipe's own, or the mirrors'.

    Where its MD5 stands beside it, that counts. Mirrors of Tiny Core have it; whoever names an
    ISO elsewhere never promised one.

    Returns:
        The file, and what the user should know of it, if anything.

    Raises:
        DownloadError: the mirrors cannot be asked.
        FormatError: what stands beside a mirror's ISO is no digest.
        LockError: the lock has none, or another.
    """
    core = inquiry.recipe.core
    urls: tuple[str, ...]
    if core.iso is not None:
        asked, urls = core.iso, (inquiry.place(core.iso),)
    else:
        urls = inquiry.release.iso_urls(inquiry.mirrors)
        # Whichever mirror has it: to name another one voids no pin.
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
    """Yield the overlays that come from the network."""
    for overlay in inquiry.recipe.overlays:
        if overlay.url is not None:
            wanted = Wanted(
                name=last_component(overlay.url), urls=(overlay.url,), sha256=overlay.sha256
            )
            yield FileAsk(role=overlay_role(overlay.url), asked=overlay.url, wanted=wanted)


def extra_asks(inquiry: Inquiry, generation: Generation | None) -> Iterator[FileAsk]:
    """Yield what a Microkernel has besides extensions and gems."""
    razor = inquiry.recipe.razor
    if razor is None:
        return
    said = {
        RUBYGEMS: (razor.rubygems, defaults.RUBYGEMS),
        VM_TOOLS: (razor.open_vm_tools, defaults.OPEN_VM_TOOLS),
    }
    if generation is Generation.V2012:
        said[MCOLLECTIVE] = (razor.mcollective, defaults.MCOLLECTIVE)
    for role, (chosen, default) in said.items():
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
    """Return ``wanted`` with the digest that stands beside it, where one does."""
    beside = Wanted(
        name=wanted.name + MD5,
        urls=tuple(_beside(url, MD5) for url in wanted.urls),
        kind=Kind.TEXT,
        most_bytes=MOST_MD5_BYTES,
        # Where it may well not be there, nobody waits for it.
        attempts=None if inquiry.recipe.core.iso is None else 1,
    )
    try:
        # Not as an optional file, for which the first mirror's word would be enough: a release
        # that has moved is in a later place.
        fetched = inquiry.downloads.fetch(beside)
    except MissingFileError:
        fetched = None
    if fetched is None:
        return wanted
    digest = parse_md5(inquiry.downloads.load(fetched), source=fetched.url)
    return evolve(wanted, md5=digest)


def _beside(url: str, ending: str) -> str:
    """Return the address of what stands beside a file: before a query, where there is one."""
    if not is_url(url):
        return url + ending
    bare, mark, query = url.partition("?")
    return bare + ending + mark + query

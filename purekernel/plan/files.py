"""Plan single files: the base ISO, tarballs, overlays from the network."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from purekernel.errors import (
    DownloadError,
    FormatError,
    LockError,
    MissingFileError,
    OfflineError,
)
from purekernel.fetch.model import Download
from purekernel.fetch.urls import is_url, last_component, tell_apart
from purekernel.formats.detect import FileKind
from purekernel.formats.tinycore import parse_md5
from purekernel.input import Input
from purekernel.plan.locked import pinned
from purekernel.plan.plan import (
    BASE,
    PlanContext,
    PlannedFile,
)
from purekernel.recipe.conventions import Conventions
from purekernel.recipe.overlays import overlay_role
from purekernel.repos.tinycore import MD5

MOST_MD5_BYTES = 4096


def plan_file(context: PlanContext, file: PlannedFile) -> PlannedFile:
    """Return the file with the lock file's pin applied, if there is one.

    Raises:
        LockError: the lock file binds, and pins no file or another file.
    """
    requested, download = tell_apart(file.requested), file.download
    locked = None if context.lock is None else context.lock.files.get(file.role)
    expected = download.sha256
    if locked is not None and expected is not None and expected != locked.pin.sha256:
        if context.bound_by_lock:
            raise LockError(
                f"the lock file: wrong SHA-256 for {file.role}: must be {expected} as in "
                f"{download.sha256_place or context.recipe.source}, got {locked.pin.sha256}",
                hint="correct the digest in the recipe, or run 'purekernel lock'",
            )
        locked = None
    if locked is not None and locked.requested == requested:
        download = pinned(download, locked.pin, context.place)
    elif context.bound_by_lock:
        got = f"{locked.requested}" if locked is not None else "none"
        raise LockError(
            f"the lock file: no pin for {file.role}: must be {requested} as in "
            f"{download.place or context.recipe.source}, got {got}",
            hint="run 'purekernel lock' to pin it",
        )
    return PlannedFile(role=file.role, requested=requested, download=download)


def plan_base(context: PlanContext) -> tuple[PlannedFile, str]:
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
    core = context.recipe.core
    urls: tuple[str, ...]
    if core.iso is not None:
        requested, urls = core.iso, (context.place(core.iso),)
    else:
        urls = context.release.iso_urls(context.mirrors)
        # A path without the mirror: a change of the mirror must not void the pin.
        requested = context.release.iso_places()[0]
    mirror = core.place("version") or context.recipe.mirrors.place("tinycore")
    download = Download(
        name=last_component(urls[0]),
        urls=urls,
        kind=FileKind.ISO,
        sha256=core.iso_sha256,
        place=mirror if core.iso is None else core.place("iso"),
        sha256_place=core.place("iso_sha256"),
    )
    planned = plan_file(context, PlannedFile(role=BASE, requested=requested, download=download))
    if planned.download.sha256 is not None or (core.iso is not None and not is_url(core.iso)):
        return planned, ""
    try:
        return evolve(planned, download=_with_md5(context, planned.download)), ""
    except OfflineError:
        raise
    except (DownloadError, FormatError) as error:
        if core.iso is None:
            raise
        return planned, f"{download.name} is not checked against an MD5: {error.message}"


def overlay_files(context: PlanContext) -> Iterator[PlannedFile]:
    """Yield the overlays to download."""
    for overlay in context.recipe.overlays:
        if overlay.url is not None:
            download = Download(
                name=last_component(overlay.url),
                urls=(overlay.url,),
                sha256=overlay.sha256,
                place=overlay.place("url"),
                sha256_place=overlay.place("sha256"),
            )
            yield PlannedFile(
                role=overlay_role(overlay.url), requested=overlay.url, download=download
            )


def further_files(context: PlanContext, conventions: Conventions) -> Iterator[PlannedFile]:
    """Yield the files that the image's conventions need besides extensions and gems."""
    for role, file in conventions.files(context.recipe).items():
        download = Download(
            name=last_component(file.requested),
            urls=(context.place(file.requested),),
            kind=FileKind.GZIP,
            sha256=file.sha256,
            place=file.place,
            sha256_place=file.sha256_place,
        )
        yield PlannedFile(role=role, requested=file.requested, download=download)


def _with_md5(context: PlanContext, download: Download) -> Download:
    """Return ``download`` with the MD5 from the file beside it, if there is one."""
    beside = Download(
        name=download.name + MD5,
        urls=tuple(_beside(url, MD5) for url in download.urls),
        kind=FileKind.TEXT,
        most_bytes=MOST_MD5_BYTES,
        # The file is often missing beside the user's own ISO: do not retry.
        attempts=None if context.recipe.core.iso is None else 1,
    )
    try:
        # Not as an optional file: for those, "not found" on the first mirror ends the search. A
        # release that has moved is at a later URL.
        fetched = context.downloads.fetch(beside)
    except MissingFileError:
        fetched = None
    if fetched is None:
        return download
    digest = parse_md5(Input(context.downloads.load(fetched), name=fetched.url))
    return evolve(download, md5=digest)


def _beside(url: str, ending: str) -> str:
    """Return the URL of a companion file: ``ending`` goes before a query, if there is one."""
    if not is_url(url):
        return url + ending
    bare, mark, query = url.partition("?")
    return bare + ending + mark + query

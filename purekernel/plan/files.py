"""Plan single files: tarballs, overlays from the network, and what a file has beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attrs import evolve

from purekernel.errors import LockError, MissingFileError
from purekernel.fetch.model import Download
from purekernel.fetch.urls import is_url, last_component, tell_apart
from purekernel.formats.address import MAX_COLONS, SEPARATOR
from purekernel.formats.detect import FileKind
from purekernel.formats.tinycore import parse_md5
from purekernel.host.addresses import split_address
from purekernel.host.read import exists
from purekernel.input import Input
from purekernel.plan.locked import pinned
from purekernel.plan.plan import PlanContext, PlannedFile
from purekernel.recipe.additions import OverlayChoice
from purekernel.recipe.conventions import Conventions
from purekernel.recipe.iso_files import IsoFile, iso_file_role
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
    return evolve(file, requested=requested, download=download)


def files_by_url(context: PlanContext) -> Iterator[PlannedFile]:
    """Yield the overlays and the files of the ISO to download."""
    choices: Sequence[tuple[OverlayChoice | IsoFile, Callable[[str], str]]] = [
        *((overlay, overlay_role) for overlay in context.recipe.overlays),
        *((file, iso_file_role) for file in context.recipe.iso_files),
    ]
    for choice, role in choices:
        if choice.url is not None:
            download = Download(
                name=last_component(choice.url),
                urls=(choice.url,),
                sha256=choice.sha256,
                place=choice.place("url"),
                sha256_place=choice.place("sha256"),
            )
            yield PlannedFile(role=role(choice.url), requested=choice.url, download=download)


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


def split_place(context: PlanContext, wanted: str | None) -> tuple[str, str | None]:
    """Return the file of a place, and the address inside it; ``None`` for the file itself.

    The longest name of a file that exists wins. A URL is a file.
    """
    if wanted is None or is_url(wanted) or wanted.count(SEPARATOR) > MAX_COLONS:
        return wanted or "", None
    for file, inner in split_address(wanted):
        if exists(context.recipe.folder / file):
            return file, inner
    return wanted, None  # the download says that the file is missing


def with_md5(context: PlanContext, download: Download, attempts: int | None) -> Download:
    """Return ``download`` with the MD5 from the file beside it, if there is one.

    Args:
        context: fetches the MD5.
        download: the file.
        attempts: how often to try; ``None`` for the usual number.

    Raises:
        DownloadError: the server does not answer.
        FormatError: the MD5 file is damaged.
    """
    beside = Download(
        name=download.name + MD5,
        urls=tuple(_beside(url, MD5) for url in download.urls),
        kind=FileKind.TEXT,
        most_bytes=MOST_MD5_BYTES,
        # The file is often missing beside the user's own: do not retry.
        attempts=attempts,
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

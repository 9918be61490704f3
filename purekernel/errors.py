"""Define every exception that a public function of purekernel raises on purpose.

A message says what is wrong with which thing; a hint says what the user can do.
The command line prints each as a line of its own, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

# How a message begins that says where in a file the fault is: "purekernel.toml, line 12",
# "gem.list, lines 3 to 5", "core.gz, byte 40", perhaps with a key after it.
_POSITION = re.compile(
    r"(?P<file>.+?), (?:(?:line|lines) (?P<line>[0-9]{1,18})|byte (?P<offset>[0-9]{1,18}))\b.*"
)


# The longest chain in a message. Real chains have up to ten names. In a hostile index each of
# thousands of names may have a chain of thousands.
MAX_CHAIN = 20
_FIRST_IN_CHAIN = 10

# How many files a message about a host names.
MAX_FILES_NAMED = 5


def extend_chain(chain: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return ``chain`` with ``name`` at its end; leave out names in the middle of a long one.

    A chain shows how a name in a list leads to a name that it depends on, directly or not.
    """
    if len(chain) < MAX_CHAIN:
        return (*chain, name)
    return (*chain[:_FIRST_IN_CHAIN], "…", *chain[_FIRST_IN_CHAIN + 2 :], name)


def make_chain(names: Iterable[str]) -> tuple[str, ...]:
    """Return the chain of ``names``, from the name in a list on; see :func:`extend_chain`."""
    chain: tuple[str, ...] = ()
    for name in names:
        chain = extend_chain(chain, name)
    return chain


class Location(NamedTuple):
    """Where an error is.

    Attributes:
        file: the file; the path inside it, if it is an archive, follows after a colon.
        line: the number of the line, from 1.
        offset: the position in the unpacked bytes, in bytes.
    """

    file: str
    line: int | None = None
    offset: int | None = None


class PurekernelError(Exception):
    """The base of all errors that the user can act on.

    Attributes:
        message: what is wrong, in one line without a trailing full stop.
        hint: what to do, in one line; never empty.
        context: where the error occurred, outermost first, such as
            ``["bundle.tar.gz", "dependencies/ssh-setup-files.tar.gz"]``.
        code: the kind of error as a word for programs, such as ``missing-path``.
        file: the file that is at fault, if the message does not begin with a position in it.
    """

    default_hint = "run again with --verbose to see the step that failed"

    def __init__(self, message: str, *, hint: str = "", file: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.context: list[str] = []
        self.file = None if file is None else str(file)

    def within(self, place: str) -> Self:
        """Add ``place`` to the front of the context unless it is empty; return the same error."""
        if place:
            self.context.insert(0, place)
        return self

    @property
    def code(self) -> str:
        """Return the name of the class in lower case, with hyphens and without ``Error``."""
        name = type(self).__name__.removesuffix("Error")
        return re.sub(r"(?<=.)([A-Z])", r"-\1", name).lower()

    @property
    def location(self) -> Location | None:
        """Return where the error is; ``None`` if that is not known."""
        location: Location | None = None
        for place in (*self.context, *self._position()):
            match = _POSITION.fullmatch(place)
            if location is not None and location.line is not None:
                # A line does not contain the next place, but refers to it.
                if match is None:
                    break
                location = None
            outer = "" if location is None else f"{location.file}:"
            line, offset = (match["line"], match["offset"]) if match else (None, None)
            location = Location(
                file=outer + (match["file"] if match else place),
                line=None if line is None else int(line),
                offset=None if offset is None else int(offset),
            )
        return location

    def _position(self) -> list[str]:
        """Return the file, or the position at which the message begins, if it does."""
        if self.file is not None:
            return [self.file]
        head = self.message.partition(": ")[0]
        return [head] if _POSITION.fullmatch(head) else []

    def __str__(self) -> str:
        return ": ".join([*self.context, self.message])


class CombinedError(PurekernelError):
    """Report several errors at once, so that the user can fix all of them before the next run.

    Attributes:
        errors: each with its own message and hint; never empty, never nested.
    """

    def __init__(self, errors: Iterable[PurekernelError]) -> None:
        flat = _join_outages(split_errors(errors))
        super().__init__("; ".join(map(str, flat)), hint=flat[0].hint)
        self.errors: tuple[PurekernelError, ...] = tuple(flat)

    def within(self, place: str) -> Self:
        """Add ``place`` to the front of each context, and return the same error."""
        for error in self.errors:
            error.within(place)
        return self

    def __str__(self) -> str:
        return "; ".join(map(str, self.errors))


def split_errors(errors: Iterable[PurekernelError]) -> list[PurekernelError]:
    """Return ``errors`` with those in each :class:`CombinedError` in its place."""
    split: list[PurekernelError] = []
    for error in errors:
        split += error.errors if isinstance(error, CombinedError) else [error]
    return split


def _join_outages(errors: Iterable[PurekernelError]) -> list[PurekernelError]:
    """Return the errors; for those with the same silent hosts, one that names all files."""
    found: list[PurekernelError] = []
    places: dict[object, int] = {}
    for error in errors:
        if not isinstance(error, DownloadError) or error.outage is None:
            found.append(error)
            continue
        at = places.setdefault(error.outage.hosts, len(found))
        if at == len(found):
            found.append(error)
        else:
            first = found[at]
            found[at] = first.joined_with(error) if isinstance(first, DownloadError) else error
    return found


def raise_all(errors: Iterable[PurekernelError]) -> None:
    """Raise the only error, or a :class:`CombinedError` of several; do nothing without errors.

    Errors about files that the same hosts did not give become one.
    """
    collected = _join_outages(split_errors(errors))
    if len(collected) == 1:
        raise collected[0]
    if collected:
        raise CombinedError(collected)


@contextmanager
def inside(place: str) -> Iterator[None]:
    """Add ``place`` to the context of every :class:`PurekernelError` that the block raises."""
    try:
        yield
    except PurekernelError as error:
        raise error.within(place) from None


class UsageError(PurekernelError, ValueError):
    """Refuse invalid or contradictory options or arguments (exit status 2)."""

    default_hint = "see 'purekernel build --help'"


class InputError(PurekernelError):
    """Refuse an input that is missing, unreadable or of the wrong kind."""

    default_hint = "check the path and its permissions"


class OutputError(PurekernelError):
    """Report that an output cannot be written; the previous output is unchanged."""

    default_hint = "check the folder, its permissions and the free space"


class FormatError(PurekernelError, ValueError):
    """Refuse bytes that violate their format.

    Attributes:
        source: the file, or the member of a file, that is being read.
        offset: the position of the fault in the unpacked bytes of ``source``, in bytes;
            ``None`` where the format has no useful position.
        expected: what the format requires there.
        got: what is there instead.
    """

    default_hint = "the file is damaged or of another format: download or create it again"

    def __init__(
        self,
        *,
        source: str,
        offset: int | None = None,
        expected: str,
        got: str,
        hint: str = "",
    ) -> None:
        self._place = source if offset is None else f"{source}, byte {offset}"
        super().__init__(f"{self._place}: expected {expected}, got {got}", hint=hint)
        self.source = source
        self.offset = offset
        self.expected = expected
        self.got = got

    def _position(self) -> list[str]:
        return [self._place]


class UnsupportedError(FormatError):
    """Refuse a file of a kind, or with a feature, that purekernel does not support.

    The file may be valid: nothing in it violates its format.
    """

    default_hint = "the file may be valid: convert it, or use another one"


class LimitError(FormatError):
    """Refuse input that exceeds a limit, which guards against hostile or damaged files."""

    default_hint = "if you trust the file, raise the limit with --max-unpacked"


class TreeError(PurekernelError):
    """Refuse an operation that would break an image tree."""

    default_hint = "compare what the overlay and the base have at that path"


class PathError(TreeError, ValueError):
    """Refuse a path that is invalid in an image."""

    default_hint = "create the archive again with relative names without .."


class MissingPathError(TreeError, LookupError):
    """Report that a path is not in the tree."""


class ConflictError(TreeError):
    """Refuse two entries that cannot share a path, such as a file and a folder."""


class LinkLoopError(TreeError):
    """Refuse symbolic links that form a loop."""

    default_hint = "correct the symbolic link that points back to an earlier one"


class UnrepresentableError(TreeError, ValueError):
    """Report that the output format cannot represent something in the tree."""

    default_hint = "change that file, or leave it out"


class BundleError(PurekernelError):
    """Refuse a bundle that lacks a part, or whose parts contradict each other."""

    default_hint = "check that the file is a bundle, or create it again with 'purekernel bundle'"


class BootMenuError(PurekernelError, ValueError):
    """Refuse a change that cannot be made in the image's boot menu."""

    default_hint = "check boot/isolinux/isolinux.cfg in the base image"


class BootLossError(PurekernelError):
    """Refuse to drop a boot method of the base, or to leave a boot menu unchanged."""

    default_hint = (
        "add --drop-boot (drop-boot = true in a recipe) to build without it, or use another base"
    )


class FindingError(PurekernelError):
    """Report a finding that stops a strict build: something in the image will not work."""

    default_hint = "correct it, or build without --strict"


class VerificationError(PurekernelError):
    """Report that an image is not intact: a digest, a list or a boot structure does not hold."""

    default_hint = "get the image again, or build it again"


class UndecidedError(PurekernelError):
    """Report that something is missing to tell whether an image is what its recipe makes."""

    default_hint = "give what is missing, and run the same command again"


class Outage(NamedTuple):
    """Hosts that did not answer, and the files that are missing because of it.

    Attributes:
        files: the names of the files.
        hosts: each host that was asked, such as ``https://mirror.example``, and what happened.
    """

    files: tuple[str, ...]
    hosts: tuple[tuple[str, str], ...]


class DownloadError(PurekernelError):
    """Report that a file cannot be fetched from any of its sources.

    Attributes:
        is_network: whether the cause is a temporary failure of the network or of a server, so
            that the same command may succeed later (exit status 3).
        outage: the hosts, if the cause is that they do not answer; every other file that is only
            on them fails, too.
    """

    default_hint = (
        "check the address and the network, or add another mirror (under [mirrors] in a recipe)"
    )

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        is_network: bool = False,
        outage: Outage | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.is_network = is_network
        self.outage = outage

    def joined_with(self, other: DownloadError) -> DownloadError:
        """Return one error for both, which have the same hosts in their :attr:`outage`."""
        if self.outage is None or other.outage is None:
            return self
        files = tuple(dict.fromkeys((*self.outage.files, *other.outage.files)))
        if files == self.outage.files:
            return self
        shown = ", ".join(files[:MAX_FILES_NAMED])
        more = ", …" if len(files) > MAX_FILES_NAMED else ""
        reasons = "; ".join(f"{host}: {reason}" for host, reason in self.outage.hosts)
        joined = DownloadError(
            f"{len(files)} files cannot be fetched: {reasons} ({shown}{more})",
            hint=self.hint,
            is_network=self.is_network or other.is_network,
            outage=Outage(files, self.outage.hosts),
        )
        if self.context == other.context:
            joined.context = self.context
        return joined

    @property
    def code(self) -> str:
        """Return ``network`` for a temporary failure, else as for other errors."""
        return "network" if self.is_network else super().code


class MissingFileError(DownloadError, LookupError):
    """Report that a file is missing from all of its sources."""

    default_hint = "check the name, or add another mirror (under [mirrors] in a recipe)"


class ChecksumError(DownloadError, ValueError):
    """Refuse a file whose size or digest differs from the expected one."""

    default_hint = (
        "correct the digest, use another source, or run 'purekernel lock --update' if the new "
        "file is the right one"
    )


class OfflineError(DownloadError):
    """Report that a file is missing from the store, and that --offline forbids fetching it."""

    default_hint = "run once without --offline"


class StoreError(PurekernelError):
    """Report that the store of downloads cannot be used."""

    default_hint = "set another folder with --cache-dir or PUREKERNEL_CACHE"


class RecipeError(PurekernelError, ValueError):
    """Refuse a recipe, list or configuration file; the message names file and line."""

    default_hint = "run 'purekernel init' for a recipe that explains all keys"


class LockError(PurekernelError):
    """Report that the lock file is damaged or does not match the recipe."""

    default_hint = "run 'purekernel lock' to write it again"


class DependencyError(PurekernelError, LookupError):
    """Refuse names that no mirror has, or dependencies that cannot be satisfied.

    Attributes:
        missing: for a name that no mirror has: the name, and what leads to it, as in the message.
    """

    default_hint = "correct the name, or leave it out with skip"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.missing = ""

    @classmethod
    def of_missing(
        cls,
        name: str,
        *,
        place: str | None = None,
        chain: Sequence[str] = (),
        reason: str = "",
        hint: str = "",
    ) -> Self:
        """Return the error for a name that no mirror has, of an extension, a package or a gem.

        Args:
            name: the name.
            place: file and line where the first name of the chain is listed, if known.
            chain: the names that lead to it, from the listed one on; shorter than two if the name
                itself is listed.
            reason: why none of the things of that name will do; empty if there are none.
            hint: what to do.
        """
        needed = f", which is needed: {' → '.join(chain)}" if len(chain) > 1 else ""
        prefix = f"{place}: " if place else ""
        why = f": {reason}" if reason else ""
        error = cls(f"{prefix}no mirror has {name}{needed}{why}", hint=hint)
        error.missing = name + needed
        return error


class NotFoundError(PurekernelError, LookupError):
    """Report that a search found nothing, or cannot find anything."""

    default_hint = "search for something else, or ask another mirror with --mirror"


class ProjectError(PurekernelError):
    """Refuse a Razor-Microkernel project that lacks a part."""

    default_hint = "set --project to the top folder of a Razor-Microkernel checkout"


class ClusterError(PurekernelError):
    """Report that a cluster cannot be used."""

    default_hint = "check the cluster, or build without --executor"


class EncodingError(PurekernelError):
    """Report that an encoder, local or on a cluster, returned data that differs from its input."""

    default_hint = (
        "run 'purekernel cache clear' and build again without --executor; if that fails too, "
        "check this machine's memory"
    )


class LibraryError(PurekernelError):
    """Report that a required Python package is missing, too old or a different one."""

    default_hint = "install purekernel again in a new virtual environment"


class ProgramError(PurekernelError):
    """Report that another program is missing, cannot be started, or failed.

    Attributes:
        status: its exit status, which the command passes on; ``None`` if it did not run.
    """

    default_hint = "check that the program is installed and can be executed"

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ModuleLoopError(TreeError):
    """Report that kernel modules depend on each other in a loop, so that none can be loaded."""

    default_hint = "leave one of them out, or use one that was built without the other"

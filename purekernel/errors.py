"""The error tree: every exception that a public function of purekernel raises on purpose.

A message says what is wrong with which thing; a hint says what the user can do.
The command line prints the two as two lines and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class PurekernelError(Exception):
    """Report something that the user can act on.

    Attributes:
        message: what is wrong, one line, no trailing full stop.
        hint: what to do about it, one line; never empty by the time a user sees it.
        context: where it happened, outermost first, such as
            ``["bundle.tar.gz", "dependencies/ssh-setup-files.tar.gz"]``.
    """

    default_hint = "run again with --verbose to see the step that failed"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.context: list[str] = []

    def within(self, place: str) -> PurekernelError:
        """Say that the error happened inside ``place``, and return the same error."""
        self.context.insert(0, place)
        return self

    def __str__(self) -> str:
        return ": ".join([*self.context, self.message])


class CombinedError(PurekernelError):
    """Report at once all that is wrong, so that nobody mends one thing a run.

    Attributes:
        errors: each with a message and a hint of its own; never empty, never nested.
    """

    def __init__(self, errors: Iterable[PurekernelError]) -> None:
        flat: list[PurekernelError] = []
        for error in errors:
            flat += error.errors if isinstance(error, CombinedError) else [error]
        super().__init__("; ".join(map(str, flat)), hint=flat[0].hint)
        self.errors: tuple[PurekernelError, ...] = tuple(flat)

    def within(self, place: str) -> CombinedError:
        """Say of each that it happened inside ``place``, and return the same error."""
        for error in self.errors:
            error.within(place)
        return self

    def __str__(self) -> str:
        return "; ".join(map(str, self.errors))


def raise_all(errors: Iterable[PurekernelError]) -> None:
    """Raise what is in ``errors``: nothing, the one, or all of them together."""
    found = list(errors)
    if len(found) == 1:
        raise found[0]
    if found:
        raise CombinedError(found)


@contextmanager
def inside(place: str) -> Iterator[None]:
    """Say of every error of ours that it happened inside ``place``."""
    try:
        yield
    except PurekernelError as error:
        raise error.within(place) from None


class UsageError(PurekernelError, ValueError):
    """Refuse options or arguments that make no sense together (exit status 2)."""

    default_hint = "see 'purekernel build --help'"


class InputError(PurekernelError):
    """Refuse an input that is missing, unreadable, or not what it should be."""

    default_hint = "check the path and its permissions"


class OutputError(PurekernelError):
    """Say that an output could not be written; what stood there before still stands."""

    default_hint = "check the folder, its permissions and the free space"


class FormatError(PurekernelError, ValueError):
    """Refuse bytes that do not follow their format.

    Attributes:
        source: the file, or the member of a file, that was being read.
        offset: where in the unpacked bytes of ``source`` the reader stood, in bytes;
            ``None`` where the format has no useful position.
        expected: what the format demands there.
        got: what was found instead.
    """

    default_hint = "the file is damaged or not of this kind: fetch or make it again"

    def __init__(
        self,
        *,
        source: str,
        offset: int | None = None,
        expected: str,
        got: str,
        hint: str = "",
    ) -> None:
        place = source if offset is None else f"{source}, byte {offset}"
        super().__init__(f"{place}: expected {expected}, got {got}", hint=hint)
        self.source = source
        self.offset = offset
        self.expected = expected
        self.got = got


class LimitError(FormatError):
    """Refuse input that goes over a bound set against hostile or broken files."""

    default_hint = "if the file is sound, raise the bound with --max-unpacked"


class TreeError(PurekernelError):
    """Refuse an operation that would break an image tree."""

    default_hint = "look at what the overlay and the base hold at that path"


class PathError(TreeError, ValueError):
    """Refuse a path that no image may hold."""

    default_hint = "make the archive again with plain relative names"


class MissingPathError(TreeError, LookupError):
    """Say that a path is not in the tree."""


class ConflictError(TreeError):
    """Refuse two things that cannot stand at one path."""


class LinkLoopError(TreeError):
    """Refuse a chain of symbolic links that never ends."""

    default_hint = "one of the symbolic links on the way points back at another: correct it"


class UnrepresentableError(TreeError, ValueError):
    """Say that a tree holds something that the format being written cannot express."""

    default_hint = "change or leave out that file"


class BundleError(PurekernelError):
    """Refuse a bundle that lacks a part, or whose parts contradict one another."""

    default_hint = "make the bundle again with build-bundle-file.sh, or check that it is one"


class BootMenuError(PurekernelError, ValueError):
    """Refuse a change that the image's boot menu has no place for."""

    default_hint = "look at boot/isolinux/isolinux.cfg in the base image"


class BootLossError(PurekernelError):
    """Refuse to drop a way in which the base boots, or to leave a boot menu unchanged."""

    default_hint = (
        "add --drop-boot (drop-boot = true in a recipe) to build without it, or use another base"
    )


class DownloadError(PurekernelError):
    """Report that a file cannot be fetched from any of its sources.

    Attributes:
        is_network: whether the network or a server failed in a way that may pass, so that the
            same command may succeed later (exit status 3).
    """

    default_hint = (
        "check the address and the network, or name another mirror (under [mirrors] in a recipe)"
    )

    def __init__(self, message: str, *, hint: str = "", is_network: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.is_network = is_network


class MissingFileError(DownloadError, LookupError):
    """Say that none of a file's sources has it."""

    default_hint = "check the name, or name another mirror (under [mirrors] in a recipe)"


class ChecksumError(DownloadError, ValueError):
    """Refuse bytes that are not those which were promised."""

    default_hint = (
        "the place has another file than was meant: correct the digest, name another place, or "
        "lock it anew"
    )


class OfflineError(DownloadError):
    """Say that a file is not in the store and may not be fetched."""

    default_hint = "run once without --offline"


class StoreError(PurekernelError):
    """Say that the store of downloads cannot be used."""

    default_hint = "choose another folder with --cache-dir, or PUREKERNEL_CACHE"


class RecipeError(PurekernelError, ValueError):
    """Refuse a recipe, list or configuration file; the message names file and line."""

    default_hint = "see 'purekernel init' for a recipe with all keys explained"


class LockError(PurekernelError):
    """Say that the lock file does not fit the recipe, or is damaged."""

    default_hint = "run 'purekernel lock' to make it anew"


class DependencyError(PurekernelError, LookupError):
    """Refuse names that no mirror has, or that need each other in a way that cannot be."""

    default_hint = "correct the name, or leave it out with skip"


class ProjectError(PurekernelError):
    """Refuse a Razor-Microkernel project that lacks a part."""

    default_hint = "name the top folder of a Razor-Microkernel checkout with --project"


class ClusterError(PurekernelError):
    """Say that a cluster cannot do what it was asked to do."""

    default_hint = "see to the cluster, or build without --executor"


class EncodingError(PurekernelError):
    """Say that an encoder, here or on a cluster, returned something else than its input."""

    default_hint = (
        "build again without --executor, after 'purekernel cache clear'; if that fails as well, "
        "check this machine's memory"
    )


class LibraryError(PurekernelError):
    """Say that a Python package that purekernel needs is missing, too old, or another one."""

    default_hint = "install purekernel again in an environment of its own"


class ModuleLoopError(TreeError):
    """Say that kernel modules need one another in a circle, so that none can be loaded."""

    default_hint = "leave one of them out, or bring one that was built without the other"

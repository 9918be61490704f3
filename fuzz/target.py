"""Define what a fuzz target is, and how it calls the readers under test.

A target is a plain function of bytes, so that inputs are replayed without atheris. It calls readers
through :func:`attempt`, which lets only errors of ours pass.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, ParamSpec, TypeVar

import purekernel
from purekernel.errors import PurekernelError
from purekernel.input import Input, Limits
from purekernel.records import frozen
from purekernel.tree import Tree

P = ParamSpec("P")
T = TypeVar("T")

Mutate = Callable[[bytes], bytes]
"""Returns changed bytes; the fuzzer's own mutation, which knows nothing of formats."""

Mutator = Callable[[bytes, Mutate, Random], bytes]
"""Returns changed bytes that still pass the checksums and compression of a format."""

# Far more than any seed needs, and little enough that an input is read in milliseconds.
LIMITS = Limits(unpacked_bytes=1 << 20, members=2000, depth=64)

# Some readers turn every exception of a library into an error of ours. These are never the way a
# library reports damage to our code: when one of our own lines raises one, it is a bug.
BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    MemoryError,
    NameError,
    NotImplementedError,
    RecursionError,
    TypeError,
)

PACKAGE = Path(purekernel.__file__).parent


class FindingError(Exception):
    """Report an input for which a reader does what none may do."""


@frozen(kw_only=True)
class Plant:
    """Where to plant a bug, to show that a target reaches its reader.

    Attributes:
        path: the module, as a path in the package.
        before: how the line begins before which the bug goes, without indentation. One line of the
            module begins so, and no seed executes it.
    """

    path: str
    before: str


@frozen(kw_only=True)
class Target:
    """A fuzz target.

    Attributes:
        name: the name, with underscores.
        run: reads its argument; raises an exception for a finding.
        plants: where bugs are planted, one for each reader that is a module of its own.
        mutate: changes inputs so that they get past checksums; ``None`` for plain bytes.
    """

    name: str
    run: Callable[[bytes], None]
    plants: tuple[Plant, ...]
    mutate: Mutator | None = None


TARGETS: dict[str, Target] = {}

Observer = Callable[[Callable[..., Any]], None]
observers: list[Observer] = []
"""Called with each reader that accepted an input; tests use them."""


def target(
    *plants: Plant, mutate: Mutator | None = None
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Register a function as the target of its name."""

    def register(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        name = run.__name__
        TARGETS[name] = Target(name=name, run=run, plants=plants, mutate=mutate)
        return run

    return register


def given(data: bytes, name: str = "input") -> Input:
    """Return ``data`` as an input with the limits of fuzzing."""
    return Input(data, name=name, limits=LIMITS)


def attempt(read: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Return the result of a reader; ``None`` if it refuses its input as readers must.

    Raises:
        FindingError: the error is malformed, or hides a bug.
    """
    try:
        result = read(*args, **kwargs)
    except PurekernelError as error:
        check_error(error)
        return None
    for observe in observers:
        observe(read)
    return result


def check_error(error: PurekernelError) -> None:
    """Require a message and a hint of one line each, and no bug behind the error.

    Raises:
        FindingError: the error has neither, or hides a bug.
    """
    for text in (str(error), error.hint):
        if not text.strip() or "\n" in text or "\r" in text:
            raise FindingError(f"the text of an error is empty or has line ends: {text!r}")
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, BUGS) and not isinstance(cause, PurekernelError):
            frame = traceback.extract_tb(cause.__traceback__)[-1]
            if Path(frame.filename).is_relative_to(PACKAGE):
                raise FindingError(
                    f"{error!r} hides {cause!r} of {frame.filename}:{frame.lineno}"
                ) from cause
        cause = cause.__cause__ or cause.__context__


def require_equal(what: str, found: object, expected: object) -> None:
    """Raise FindingError unless a value that was written and read again is the same."""
    if found != expected:
        raise FindingError(f"{what}: written and read again, {expected!r:.2000} is {found!r:.2000}")


def require_same_tree(what: str, found: Tree, expected: Tree, *, has_links: bool = True) -> None:
    """Raise FindingError, with the paths that differ, unless both trees are the same.

    Args:
        what: the format.
        found: the tree that was written and read again.
        expected: the tree that was read first.
        has_links: whether the format keeps which names are hard links of each other.
    """
    one, other = ({path: repr(node) for path, node in tree.walk()} for tree in (found, expected))
    if one == other and (found == expected or not has_links):
        return
    paths = [path for path in {**other, **one} if one.get(path) != other.get(path)]
    shown = "; ".join(f"{path!r}: {other.get(path)} is {one.get(path)}" for path in paths[:3])
    raise FindingError(f"{what}: written and read again, {shown or 'hard links differ'}")

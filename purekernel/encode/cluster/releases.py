"""Compare the releases of all machines that encode one image, so that its bytes are the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field

from purekernel.encode.libraries import load_deflate, load_zopfli
from purekernel.records import frozen
from purekernel.version import __version__

Releases = Mapping[str, str]


def releases() -> dict[str, str]:
    """Return this machine's releases of purekernel and its encoder libraries, by name.

    Raises:
        LibraryError: a library is missing, or another package replaced it.
    """
    return {
        "purekernel": __version__,
        "deflate": load_deflate().version,
        "zopfli": load_zopfli().version,
    }


@frozen(kw_only=True)
class Answer:
    """The result of a call, and the releases that made it.

    Attributes:
        releases: the releases on the machine that ran the call.
        value: the return value; ``None`` if the releases differ from the required ones.
    """

    releases: Releases
    value: Any = field(repr=False)


@frozen(kw_only=True)
class Call:
    """A call for another machine, which runs only if that machine has the same releases.

    A machine may join a cluster at any time, so each call checks them.

    Attributes:
        releases: the required releases.
        function: the function to call. It, the arguments and its result must be picklable.
        arguments: positional arguments.
        keywords: keyword arguments.
    """

    releases: Releases
    function: Callable[..., Any] = field(repr=False)
    arguments: tuple[Any, ...] = field(repr=False)
    keywords: Mapping[str, Any] = field(repr=False)

    def __call__(self) -> Answer:
        """Run the call, if this machine has the required releases."""
        here = releases()
        if here != self.releases:
            return Answer(releases=here, value=None)
        return Answer(releases=here, value=self.function(*self.arguments, **self.keywords))


def differences(here: Releases, there: Mapping[str, Releases | str]) -> str:
    """Describe which machines have other releases than ``here``; empty if all have the same.

    Args:
        here: the releases of this machine.
        there: the releases of each other machine by its name, or a text why they are unknown.
    """
    machines_by_difference: dict[str, list[str]] = {}
    for name, releases_there in there.items():
        if isinstance(releases_there, str):
            difference = releases_there
        else:
            difference = ", ".join(
                f"{package} must be {release}, got {releases_there.get(package, 'none')}"
                for package, release in here.items()
                if releases_there.get(package) != release
            )
        if difference:
            machines_by_difference.setdefault(difference, []).append(name)
    return "; ".join(
        f"{', '.join(names)} ({difference})" for difference, names in machines_by_difference.items()
    )

"""What must be the same on all machines that work at one image, so that its bytes are the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from purekernel.encode.libraries import load_deflate, load_zopfli
from purekernel.version import __version__

Releases = Mapping[str, str]


def releases() -> dict[str, str]:
    """Return the releases that this machine has of what encodes, by name.

    Raises:
        LibraryError: one of them is missing, or another package took its place.
    """
    return {
        "purekernel": __version__,
        "deflate": load_deflate().version,
        "zopfli": load_zopfli().version,
    }


@frozen(kw_only=True)
class Answer:
    """What a call gave, and what it was made with.

    Attributes:
        releases: those of the machine that made it.
        value: what the call returned; ``None`` where the releases are not those asked for.
    """

    releases: Releases
    value: Any = field(repr=False)


@frozen(kw_only=True)
class Call:
    """A call for another machine, which makes it only if it has the right releases.

    A machine may join a cluster at any time, so each call looks for itself.

    Attributes:
        releases: the right ones.
        function: is called there; it, the arguments and what it returns can be pickled.
        arguments: by position.
        keywords: by name.
    """

    releases: Releases
    function: Callable[..., Any] = field(repr=False)
    arguments: tuple[Any, ...] = field(repr=False)
    keywords: Mapping[str, Any] = field(repr=False)

    def __call__(self) -> Answer:
        """Make the call."""
        here = releases()
        if here != self.releases:
            return Answer(releases=here, value=None)
        return Answer(releases=here, value=self.function(*self.arguments, **self.keywords))


def differences(here: Releases, there: Mapping[str, Releases | str]) -> str:
    """Return who has other releases than ``here``, in words; nothing if nobody has.

    Args:
        here: this machine's.
        there: each other machine's by its name, or in words why they are not known.
    """
    found: dict[str, list[str]] = {}
    for name, releases_there in there.items():
        if isinstance(releases_there, str):
            words = releases_there
        else:
            words = ", ".join(
                f"{what} {releases_there.get(what, '?')} for {release}"
                for what, release in here.items()
                if releases_there.get(what) != release
            )
        if words:
            found.setdefault(words, []).append(name)
    return "; ".join(f"{', '.join(names)} ({words})" for words, names in found.items())

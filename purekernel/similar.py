"""Find the name that a user may have meant."""

from __future__ import annotations

from collections.abc import Iterable

from purekernel.libraries import load_library

# Comparing takes a time that grows with the square of the length, and with the number of names.
# A mirror of Tiny Core has about 4,000 extensions.
MAX_CHARACTERS = 200
MAX_NAMES = 20_000


def find_similar(
    wanted: str, known: Iterable[str], *, most: int = 1, closeness: float = 0.6
) -> list[str]:
    """Return the names in ``known`` that are most similar to ``wanted``, the best first.

    Args:
        wanted: the name that was given. For a name that is too long, nothing is found.
        known: the valid names; those that are too long, or too many, are not compared.
        most: the maximum number of names to return.
        closeness: the lowest similarity that counts, from 0 to 1.
    """
    if len(wanted) > MAX_CHARACTERS:
        return []
    compared: list[str] = []
    for name in known:
        if len(compared) == MAX_NAMES:
            break
        if len(name) <= MAX_CHARACTERS:
            compared.append(name)
    matches: list[str] = load_library("difflib").get_close_matches(
        wanted, compared, n=most, cutoff=closeness
    )
    return matches

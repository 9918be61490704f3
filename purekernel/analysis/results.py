"""Define the result of a check that something in an image is intact."""

from __future__ import annotations

from enum import Enum
from typing import Self

from purekernel.errors import FormatError, PurekernelError
from purekernel.records import frozen


class Result(Enum):
    """What a check found."""

    OK = "ok"
    """What is checked is there, and holds."""
    FAILED = "failed"
    """It does not hold, or something that it needs is missing."""
    ABSENT = "not there"
    """The image has nothing to check."""


@frozen
class Check:
    """One check of an image.

    Attributes:
        kind: what is checked, such as ``gpt``; docs/verify.md has a row for each.
        place: the file or entry that it is about, an address in the image; empty for the image.
        result: what it found.
        detail: a few words: what holds, or what must be there and what is.
    """

    kind: str
    place: str
    result: Result
    detail: str

    @classmethod
    def of_error(cls, kind: str, place: str, error: PurekernelError) -> Self:
        """Return the failed check of something that could not be read."""
        detail = str(error)
        if isinstance(error, FormatError):
            at = "" if error.offset is None else f"byte {error.offset}: "
            detail = f"{at}expected {error.expected}, got {error.got}"
        return cls(kind, place, Result.FAILED, detail)

    def json(self) -> dict[str, object]:
        """Return the JSON of the check."""
        return {
            "kind": self.kind, "place": self.place, "result": self.result.value,
            "detail": self.detail,
        }  # fmt: skip

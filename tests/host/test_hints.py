from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from purekernel.errors import OutputError, StoreError
from purekernel.host.hints import hint_for, reason, storing, writing

ELSEWHERE = "choose another folder with -d"


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, f"free some space, or {ELSEWHERE}"),
        (errno.EDQUOT, f"free some of your quota, or {ELSEWHERE}"),
        (errno.EFBIG, f"raise the limit on file sizes, or {ELSEWHERE}"),
        (errno.EROFS, f"mount the file system read-write, or {ELSEWHERE}"),
        (errno.EACCES, f"change the permissions of the folder, or {ELSEWHERE}"),
        (errno.EPERM, f"change the permissions of the folder, or {ELSEWHERE}"),
        (errno.ENOTDIR, f"move the file on this path away, or {ELSEWHERE}"),
        (errno.ELOOP, f"delete the link on this path, or {ELSEWHERE}"),
        (errno.ESTALE, f"check which other users may write there, or {ELSEWHERE}"),
        (errno.EIO, ELSEWHERE),
        (errno.EEXIST, "add -f"),
    ],
)
def test_hint_names_remedy_and_other_location(number: int, hint: str) -> None:
    error = OSError(number, os.strerror(number))
    assert hint_for(error, elsewhere=ELSEWHERE, instead={errno.EEXIST: "add -f"}) == hint


def test_hint_for_error_without_number_is_other_location() -> None:
    assert hint_for(OSError("from a library"), elsewhere=ELSEWHERE) == ELSEWHERE


def test_reason_is_text_of_host_or_library() -> None:
    assert reason(OSError(errno.EIO, "Input/output error", "name")) == "Input/output error"
    assert reason(OSError("from a library")) == "from a library"


def test_writing_converts_os_errors_only() -> None:
    with (
        pytest.raises(OutputError) as caught,
        writing(Path("out"), elsewhere=ELSEWHERE),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value) == "out cannot be written: No space left on device"
    assert caught.value.hint == f"free some space, or {ELSEWHERE}"
    with pytest.raises(ValueError, match="another"), writing(Path("out"), elsewhere=ELSEWHERE):
        raise ValueError("another")


def test_storing_names_store_and_its_option() -> None:
    with pytest.raises(StoreError) as caught, storing(Path("store")):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    assert str(caught.value) == (
        "the store of downloads, store, cannot be written: Disk quota exceeded"
    )
    assert caught.value.hint == (
        "free some of your quota, or set another folder with --cache-dir or PUREKERNEL_CACHE"
    )


@pytest.mark.parametrize(
    ("number", "winerror", "words", "hint"),
    [
        (errno.EACCES, 32, "another program has it open", "close the program that uses the file"),
        (errno.EACCES, 33, "another program has it open", "close the program that uses the file"),
        (errno.EACCES, 5, "said", "change the permissions of the folder"),
        (errno.EINVAL, 1314, "said", "turn on Windows' developer mode"),
        (errno.EBUSY, None, "said", "close the program that uses the file"),
        (errno.ETXTBSY, None, "said", "close the program that uses the file"),
    ],
)
def test_use_by_another_program_and_missing_privilege_have_hints(
    number: int, winerror: int | None, words: str, hint: str
) -> None:
    error = OSError(number, "said")
    error.winerror = winerror  # type: ignore[attr-defined]
    assert reason(error) == words
    assert hint_for(error, elsewhere=ELSEWHERE) == f"{hint}, or {ELSEWHERE}"

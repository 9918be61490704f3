from __future__ import annotations

import os
from pathlib import Path

import pytest

from purekernel.errors import InputError
from purekernel.sources.files import load_file


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    assert load_file(tmp_path / "f") == b"content"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "no", "does not exist"), (tmp_path, "is a folder, not a file")):
        with pytest.raises(InputError) as caught:
            load_file(path)
        assert str(caught.value) == f"{path} {words}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no fifos")
def test_what_may_never_end_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(InputError, match="is neither a file nor a folder"):
            load_file(path)

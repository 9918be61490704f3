"""Let each call to the host fail once while inputs are fetched, locked and bundled."""

from __future__ import annotations

import os

import pytest

from purekernel.host import staging
from purekernel.plan import lock
from tests.faults.checks import LINUX, check_every_fault, found_by_faults

pytestmark = [pytest.mark.faults, LINUX]


@pytest.mark.parametrize("name", ["fetch", "fetch again", "lock updates", "bundle replaces one"])
def test_gathering_survives_the_failure_of_each_call(name: str) -> None:
    check_every_fault(name)


def test_ignored_lock_file_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the check itself, with a fault that a release had."""
    monkeypatch.setattr(lock, "exists", os.path.lexists)
    found = found_by_faults("build by lock file", functions=("lstat",), paths=("tiny.lock",))
    assert "status 0, and other outputs" in "".join(found)


def test_temporary_file_that_stays_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "delete", lambda _path, folder=None: None)
    found = found_by_faults("lock updates", functions=("fsync",))
    assert "neither the old nor the new" in "".join(found)


def test_open_file_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    leaked = []
    real = staging.make_read_only

    def leaking(path: object) -> None:
        leaked.append(os.dup(0))
        real(path)  # type: ignore[arg-type]

    monkeypatch.setattr("purekernel.fetch.store.make_read_only", leaking)
    found = found_by_faults("fetch", functions=("listdir",))
    for descriptor in leaked:
        os.close(descriptor)
    assert "a file is still open" in "".join(found)

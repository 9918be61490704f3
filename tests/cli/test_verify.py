"""Test the command verify."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel.cli import main
from purekernel.plan.lock import Lock, Pin, build_lock
from purekernel.repos.tinycore.extension import Extension
from tests.analysis.images import pack, tree_of

EXTENSION = pack(tree_of({"usr/local/bin/hello": b"#!/bin/sh\n"}))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    iso = make_core_iso(beside_boot={b"cde/optional/a.tcz": EXTENSION})
    (tmp_path / "x.iso").write_bytes(iso)
    return tmp_path


def lock_of(sha256: str) -> bytes:
    pin = Pin(name="a.tcz", url="a.tcz", size_bytes=1, sha256=sha256, md5="0" * 32)
    return build_lock(Lock(core="4.x/x86", extensions={"a.tcz": Extension(name="a.tcz", file=pin)}))


def test_intact_image_is_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "x.iso"]) == 0
    out, err = capsys.readouterr()
    assert "ok         boot-catalog     its checksum holds; 1 entry\n" in out
    assert err == ""


def test_lock_file_that_holds_is_a_success(folder: Path) -> None:
    (folder / "x.lock").write_bytes(lock_of(hashlib.sha256(EXTENSION).hexdigest()))
    assert main(["verify", "x.iso", "--lock", "x.lock"]) == 0


def test_file_that_the_lock_pins_otherwise_is_a_failure(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "x.lock").write_bytes(lock_of("0" * 64))
    assert main(["verify", "x.iso", "--lock", "x.lock"]) == 1
    out, err = capsys.readouterr()
    assert f"failed     lock             cde/optional/a.tcz: SHA-256 must be {'0' * 64}" in out
    assert err == ("purekernel: x.iso: 1 check failed\n  get the image again, or build it again\n")


def test_part_that_cannot_be_read_is_a_failure_after_the_checks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "x.iso").write_bytes(make_core_iso(core=b"\x1f\x8b\x08 no deflate data"))
    assert main(["verify", "x.iso", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["failed"] == 0
    assert document["error"]["file"] == "x.iso:boot/core.gz"
    assert {"boot-catalog", "boot-info-table"} <= {check["kind"] for check in document["checks"]}


def test_missing_lock_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "x.iso", "--lock", "gone.lock"]) == 1
    assert "gone.lock does not exist" in capsys.readouterr().err

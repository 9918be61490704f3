from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.formats.iso.names import iso_names, joliet_names
from tests.strategies import names


def iso(*raw: bytes, folders: bool = False) -> list[bytes]:
    identifiers = iso_names(dict.fromkeys(raw, folders))
    return [identifiers[name] for name in raw]


def joliet(*raw: bytes) -> list[str]:
    identifiers = joliet_names(raw)
    return [identifiers[name].decode("utf-16-be") for name in raw]


def test_names_that_isolinux_reads_are_unchanged() -> None:
    assert iso(b"isolinux.cfg", b"vmlinuz", b"core.gz") == [
        b"ISOLINUX.CFG;1",
        b"VMLINUZ.;1",
        b"CORE.GZ;1",
    ]
    assert iso(b"isolinux", folders=True) == [b"ISOLINUX"]


def test_other_characters_become_underscores() -> None:
    assert iso(b"iso-metadata.yaml", b".config", b"a.tar.gz", b"\xff") == [
        b"ISO_METADATA.YAML;1",
        b"_CONFIG.;1",
        b"A_TAR.GZ;1",
        b"_.;1",
    ]
    assert iso(b"2.0", folders=True) == [b"2_0"]


def test_names_are_truncated_to_31_characters() -> None:
    assert iso(b"a" * 26 + b".tcz") == [b"A" * 26 + b".TCZ;1"]
    assert iso(b"a" * 40 + b".tcz") == [b"A" * 27 + b".TCZ;1"]
    assert iso(b"a." + b"e" * 40) == [b"A." + b"E" * 8 + b";1"]
    assert iso(b"d" * 40, folders=True) == [b"D" * 31]


def test_colliding_names_are_numbered_and_unchanged_names_take_precedence() -> None:
    assert iso(b"b+", b"b-", b"b_") == [b"B_000.;1", b"B_001.;1", b"B_.;1"]
    assert iso(b"a" * 40 + b".x", b"a" * 41 + b".x") == [
        b"A" * 29 + b".X;1",
        b"A" * 26 + b"000.X;1",
    ]
    assert iso_names({b"rr_moved": True}, taken=[b"RR_MOVED"]) == {b"rr_moved": b"RR_MOVED000"}


def test_joliet_names_change_only_unsupported_characters_and_length() -> None:
    assert joliet(b"README.txt", "café".encode(), b"caf\xe9", b"a:b*c") == [
        "README.txt",
        "café",
        "café000",
        "a_b_c",
    ]
    assert joliet("💾.img".encode(), b"\x01") == ["_.img", "_"]
    assert joliet(b"x" * 80 + b".tar.gz", b"y" * 80) == ["x" * 61 + ".gz", "y" * 64]


FOLDERS = st.dictionaries(names(), st.booleans(), max_size=40)
FILE = re.compile(rb"[A-Z0-9_]+\.[A-Z0-9_]*;1")
FOLDER = re.compile(rb"[A-Z0-9_]{1,31}")


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(FOLDERS)
def test_iso_names_are_unique_and_follow_the_standard(entries: dict[bytes, bool]) -> None:
    identifiers = iso_names(entries)
    assert identifiers.keys() == entries.keys()
    assert len(set(identifiers.values())) == len(identifiers)
    for raw, identifier in identifiers.items():
        assert (FOLDER if entries[raw] else FILE).fullmatch(identifier)
        assert len(identifier) <= 33
    assert identifiers == iso_names(dict(reversed(entries.items())))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(FOLDERS)
def test_joliet_names_are_unique_and_short(entries: dict[bytes, bool]) -> None:
    identifiers = joliet_names(entries)
    assert len(set(identifiers.values())) == len(identifiers) == len(entries)
    assert all(0 < len(name) <= 128 for name in identifiers.values())
    assert identifiers == joliet_names(list(reversed(entries)))

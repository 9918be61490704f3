from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.formats.iso.names import iso_names, joliet_names
from tests.strategies import names


def iso(*raw: bytes, folders: bool = False) -> list[bytes]:
    found = iso_names(dict.fromkeys(raw, folders))
    return [found[name] for name in raw]


def joliet(*raw: bytes) -> list[str]:
    found = joliet_names(raw)
    return [found[name].decode("utf-16-be") for name in raw]


def test_what_isolinux_looks_for_keeps_its_name() -> None:
    assert iso(b"isolinux.cfg", b"vmlinuz", b"core.gz") == [
        b"ISOLINUX.CFG;1",
        b"VMLINUZ.;1",
        b"CORE.GZ;1",
    ]
    assert iso(b"isolinux", folders=True) == [b"ISOLINUX"]


def test_foreign_characters_become_underscores() -> None:
    assert iso(b"iso-metadata.yaml", b".config", b"a.tar.gz", b"\xff") == [
        b"ISO_METADATA.YAML;1",
        b"_CONFIG.;1",
        b"A_TAR.GZ;1",
        b"_.;1",
    ]
    assert iso(b"2.0", folders=True) == [b"2_0"]


def test_thirty_one_characters_are_kept_and_no_more() -> None:
    assert iso(b"a" * 26 + b".tcz") == [b"A" * 26 + b".TCZ;1"]
    assert iso(b"a" * 40 + b".tcz") == [b"A" * 27 + b".TCZ;1"]
    assert iso(b"a." + b"e" * 40) == [b"A." + b"E" * 8 + b";1"]
    assert iso(b"d" * 40, folders=True) == [b"D" * 31]


def test_equal_names_are_counted_up_and_exact_ones_win() -> None:
    assert iso(b"b+", b"b-", b"b_") == [b"B_000.;1", b"B_001.;1", b"B_.;1"]
    assert iso(b"a" * 40 + b".x", b"a" * 41 + b".x") == [
        b"A" * 29 + b".X;1",
        b"A" * 26 + b"000.X;1",
    ]
    assert iso_names({b"rr_moved": True}, taken=[b"RR_MOVED"]) == {b"rr_moved": b"RR_MOVED000"}


def test_joliet_keeps_what_it_can() -> None:
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


@settings(max_examples=150, deadline=None)
@given(FOLDERS)
def test_iso_names_are_unique_and_follow_the_standard(entries: dict[bytes, bool]) -> None:
    found = iso_names(entries)
    assert found.keys() == entries.keys()
    assert len(set(found.values())) == len(found)
    for raw, identifier in found.items():
        assert (FOLDER if entries[raw] else FILE).fullmatch(identifier)
        assert len(identifier) <= 33
    assert found == iso_names(dict(reversed(entries.items())))


@settings(max_examples=150, deadline=None)
@given(FOLDERS)
def test_joliet_names_are_unique_and_short(entries: dict[bytes, bool]) -> None:
    found = joliet_names(entries)
    assert len(set(found.values())) == len(found) == len(entries)
    assert all(0 < len(name) <= 128 for name in found.values())
    assert found == joliet_names(list(reversed(entries)))

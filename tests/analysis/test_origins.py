"""The origins of files: compact, written and read as JSON, and safe to read from any image."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.analysis.origins import (
    MAX_BYTES,
    MAX_SOURCES,
    MAX_VALUES,
    Origin,
    OriginKind,
    OriginMap,
    Origins,
    parse_origins,
)
from purekernel.errors import FormatError, LimitError, UnsupportedError
from purekernel.input import Input, Limits

BASE = Origin(OriginKind.BASE, "Core-4.4.iso")
BASH = Origin(OriginKind.EXTENSION, "bash.tcz")
LSHW = Origin(OriginKind.PACKAGE, "lshw", "02.19")
EDIT = Origin(OriginKind.EDIT, "[[edit]] 1")

ROOT = {
    b"": BASE,
    b"bin": BASE,
    b"bin/sh": BASE,
    b"etc": BASE,
    b"etc/passwd": EDIT,
    b"opt": BASH,
    b"opt/bash": BASH,
    b"opt/bash/\xff": BASH,
    b"opt/lshw": LSHW,
}
ORIGINS = Origins(root=OriginMap.of_paths(ROOT), disc=OriginMap.of_paths({b"": BASE}))


def parse(document: Any, limits: Limits | None = None) -> Origins:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    file = Input(data, name="origins.json")
    return parse_origins(file if limits is None else Input(data, name="o", limits=limits))


def changed(**values: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ORIGINS.to_json())
    return {**document, **values}


def test_every_path_has_its_origin_and_only_differences_are_kept() -> None:
    assert {path: ORIGINS.root.find(path) for path in ROOT} == ROOT
    assert list(ORIGINS.root.marks) == [b"", b"etc/passwd", b"opt", b"opt/lshw"]


def test_path_that_is_not_there_has_the_origin_of_its_folder() -> None:
    assert ORIGINS.root.find(b"opt/bash/doc/new") == BASH
    assert ORIGINS.tce.find(b"optional/bash.tcz") is None


def test_sources_come_by_kind_and_name() -> None:
    assert ORIGINS.sources() == [BASE, BASH, LSHW, EDIT]
    assert [str(each) for each in ORIGINS.sources()] == [
        "base Core-4.4.iso", "extension bash.tcz", "package lshw 02.19", "edit [[edit]] 1",
    ]  # fmt: skip


def test_json_has_a_list_of_paths_for_each_source() -> None:
    assert json.loads(ORIGINS.to_json()) == {
        "version": 1,
        "sources": [
            {"kind": "base", "name": "Core-4.4.iso"},
            {"kind": "extension", "name": "bash.tcz"},
            {"kind": "package", "name": "lshw", "version": "02.19"},
            {"kind": "edit", "name": "[[edit]] 1"},
        ],
        "root": [[""], ["opt"], ["opt/lshw"], ["etc/passwd"]],
        "disc": [[""], [], [], []],
        "tce": [[], [], [], []],
    }


def test_order_of_paths_does_not_change_the_json() -> None:
    backwards = Origins(root=OriginMap.of_paths(dict(reversed(ROOT.items()))), disc=ORIGINS.disc)
    assert backwards.to_json() == ORIGINS.to_json()


names = st.binary(min_size=1, max_size=3).filter(
    lambda name: not set(name) & set(b"/\0") and name not in (b".", b"..")
)
origins = st.builds(Origin, st.sampled_from(OriginKind), st.text(max_size=3), st.text(max_size=2))


@given(st.dictionaries(st.lists(names, max_size=3).map(b"/".join), origins))
def test_any_origins_are_the_same_after_writing_and_reading(paths: dict[bytes, Origin]) -> None:
    full = {b"": BASE}
    for path, origin in paths.items():
        parts = path.split(b"/")
        for end in range(1, len(parts)):
            full.setdefault(b"/".join(parts[:end]), origin)
        full[path] = origin
    written = Origins(root=OriginMap.of_paths(full), tce=OriginMap.of_paths(full))
    read = parse_origins(Input(written.to_json(), name="origins.json"))
    assert read == written
    assert {path: read.root.find(path) for path in full} == full


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b'{"version": 1' + b"0" * 5000 + b"}", "not JSON"),
        ([], "without a version"),
        ({}, "without a version"),
        (changed(version=True), "without a version"),
        (changed(sources=None), "a list 'sources'"),
        (changed(sources=[{"kind": "base"}]), "a kind and a name"),
        (changed(sources=[{"kind": "base", "name": "x", "version": 3}]), "a kind and a name"),
        (changed(sources=["base"]), "a kind and a name"),
        (changed(sources=[{"kind": "moon", "name": "x"}]), "another kind"),
        (changed(sources=[{"kind": "base", "name": "x"}] * 2), "each source once"),
        (changed(root={}), "a list 'root'"),
        (changed(tce=[[]]), "for each of 4 sources: must be"),
        (changed(root=[[""], ["a"], ["a"], []]), "each path in root once"),
        (changed(root=[["a"], [], [], []]), "an origin of the top folder"),
        (changed(root=[[""], 3, [], []]), "paths in an image"),
        (changed(root=[["", 3], [], [], []]), "paths in an image"),
        (changed(root=[["", "/etc"], [], [], []]), "paths in an image"),
        (changed(root=[["", "a/../b"], [], [], []]), "paths in an image"),
        (changed(root=[["", "a//b"], [], [], []]), "paths in an image"),
        (changed(root=[["", "\ud800"], [], [], []]), "paths in an image"),
        (changed(root=[["", "a\0"], [], [], []]), "paths in an image"),
    ],
)
def test_damaged_json_is_refused(document: Any, words: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(document)
    assert words.partition(": must be")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_later_version_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="another version"):
        parse(changed(version=2))


def test_limits_are_kept() -> None:
    with pytest.raises(LimitError, match="at most 3 members"):
        parse(changed(), Limits(members=3))
    with pytest.raises(LimitError, match=f"at most {MAX_SOURCES} sources"):
        parse(changed(sources=[0] * (MAX_SOURCES + 1)))
    with pytest.raises(LimitError, match=f"at most {MAX_VALUES} values"):
        parse(b"[" * (MAX_VALUES + 1))
    with pytest.raises(LimitError, match=f"at most {MAX_BYTES} bytes"):
        parse(bytes(MAX_BYTES + 1))

from __future__ import annotations

import gzip

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fixtures.core_iso import make_core_iso
from purekernel.fetch.inspection import WEB_PAGE, Inspection, head_bytes, is_web_page, misfit
from purekernel.fetch.wanted import Cause, Fault, Kind, Wanted
from purekernel.formats.tar import build_tar
from purekernel.tree import Tree
from tests.fetch.fetching import md5, sha256

PAGES = [
    b"<!DOCTYPE html>",
    b'<!doctype HTML PUBLIC "-//W3C//DTD HTML 4.01//EN">',
    b"<html>",
    b"<HTML lang=en>",
    b"\xef\xbb\xbf<html>",
    b"\r\n\t <html\n>",
    b"<?xml version='1.0'?>\n<!DOCTYPE html>",
    b"<!-- a portal --><!-- of ours -->\n<head>",
    b"<meta http-equiv=refresh>",
    b"<script>",
    b"<title/>",
    b"<body",
]

OTHERS = [
    b"",
    b"<",
    b"<htmlx>",
    b"html",
    b"x<html>",
    b"<?xml version='1.0'?><svg>",
    b"<!-- " + b"x" * 2000 + b"--><html>",
    b"<!-- never ended <html>",
    b"#!/bin/sh\n# <html>\n",
]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("kind", list(Kind))
def test_a_page_is_no_file_of_any_kind(page: bytes, kind: Kind) -> None:
    assert misfit(page, kind) == misfit(page + b" ..." * 100, kind) == WEB_PAGE


@pytest.mark.parametrize("head", OTHERS)
def test_what_only_looks_like_a_page_is_none(head: bytes) -> None:
    assert not is_web_page(head)
    assert misfit(head, Kind.ANY) is None
    assert misfit(head, Kind.TEXT) is None


def test_each_kind_is_told_by_its_first_bytes() -> None:
    samples = {
        Kind.GZIP: gzip.compress(b""),
        Kind.SQUASHFS: b"hsqs",
        Kind.ISO: make_core_iso(),
        Kind.TAR: build_tar(Tree()) or b"",
    }
    samples[Kind.TAR] = bytes(257) + b"ustar"
    for kind, content in samples.items():
        assert misfit(content[: head_bytes(kind)], kind) is None
        assert misfit(content[:3], kind) is not None or kind is Kind.GZIP
        for other in samples.keys() - {kind}:
            assert misfit(content[: head_bytes(other)], other) is not None


@given(st.binary(max_size=1500), st.sampled_from(Kind))
@example(b"<!--" * 300, Kind.ANY)
@example(b"<?xml " * 200, Kind.TEXT)
@example(b" " * 1024 + b"<html>", Kind.ANY)
def test_any_bytes_fit_or_do_not(head: bytes, kind: Kind) -> None:
    found = misfit(head, kind)
    assert found is None or found.isprintable()


@given(st.binary(max_size=3000), st.integers(1, 999), st.sampled_from(Kind))
@example(b"x" * 2000 + b"\0", 7, Kind.TEXT)
def test_a_file_is_judged_alike_in_whatever_pieces_it_comes(
    content: bytes, step: int, kind: Kind
) -> None:
    def verdict(step: int) -> tuple[int, str, str, str]:
        inspection = Inspection(kind)
        for start in range(0, len(content), step):
            inspection.feed(content[start : start + step])
        try:
            inspection.check_kind()
        except Fault as fault:
            said = fault.reason
        else:
            said = "fits"
        return inspection.size_bytes, inspection.sha256, inspection.md5, said

    assert verdict(step) == verdict(max(1, len(content)))
    assert verdict(step)[:3] == (len(content), sha256(content), md5(content))


@pytest.mark.parametrize(
    ("fields", "words", "cause"),
    [
        ({"size_bytes": 3}, "it has 4 bytes, not 3", Cause.CONTENT),
        ({"size_bytes": 5}, "it has 4 bytes, not 5", Cause.PASSING),
        ({"most_bytes": 3}, "it is larger than 3 bytes", Cause.LASTING),
        ({"sha256": "AB" * 32}, f"its SHA-256 is {sha256(b'text')}, not {'ab' * 32}",
         Cause.CONTENT),
        ({"md5": "AB" * 16}, f"its MD5 is {md5(b'text')}, not {'ab' * 16}", Cause.CONTENT),
        ({"kind": Kind.TAR},
         "it is not a tar archive: at byte 257 it has nothing in place of 75 73 74 61 72",
         Cause.PASSING),
    ],
)  # fmt: skip
def test_what_is_not_as_it_was_promised_is_told(
    fields: dict[str, object], words: str, cause: Cause
) -> None:
    wanted = Wanted(name="x", urls=(), **fields)  # type: ignore[arg-type]
    inspection = Inspection(wanted.kind)
    inspection.feed(b"text")
    with pytest.raises(Fault) as caught:
        inspection.check(wanted)
    assert (caught.value.reason, caught.value.cause) == (words, cause)
    # A size that was promised is the bound, whatever else is.
    Inspection().check(Wanted(name="x", urls=(), size_bytes=0, most_bytes=0))

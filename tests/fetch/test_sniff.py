from __future__ import annotations

import gzip
import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fixtures.core_iso import make_core_iso
from purekernel.fetch.inspection import WEB_PAGE, Inspection, head_bytes, is_web_page, misfit
from purekernel.fetch.model import Cause, Download, Fault
from purekernel.formats.detect import FileKind
from purekernel.formats.tar import build_tar
from purekernel.tree import Tree
from tests.fetch.fetching import md5, sha256

# The kinds of files that are downloaded; None accepts every kind.
KINDS = (
    None,
    FileKind.TEXT,
    FileKind.GZIP,
    FileKind.SQUASHFS,
    FileKind.ISO,
    FileKind.TAR,
)

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
@pytest.mark.parametrize("kind", KINDS)
def test_web_page_is_refused_for_every_kind(page: bytes, kind: FileKind | None) -> None:
    assert misfit(page, kind) == misfit(page + b" ..." * 100, kind) == WEB_PAGE


@pytest.mark.parametrize("head", OTHERS)
def test_content_similar_to_web_page_is_accepted(head: bytes) -> None:
    assert not is_web_page(head)
    assert misfit(head, None) is None
    assert misfit(head, FileKind.TEXT) is None


def test_each_kind_is_detected_by_magic() -> None:
    samples = {
        FileKind.GZIP: gzip.compress(b""),
        FileKind.SQUASHFS: b"hsqs",
        FileKind.ISO: make_core_iso(),
        FileKind.TAR: build_tar(Tree()) or b"",
    }
    samples[FileKind.TAR] = bytes(257) + b"ustar"
    for kind, content in samples.items():
        assert misfit(content[: head_bytes(kind)], kind) is None
        assert misfit(content[:3], kind) is not None or kind is FileKind.GZIP
        for other in samples.keys() - {kind}:
            assert misfit(content[: head_bytes(other)], other) is not None


@given(st.binary(max_size=1500), st.sampled_from(KINDS))
@example(b"<!--" * 300, None)
@example(b"<?xml " * 200, FileKind.TEXT)
@example(b" " * 1024 + b"<html>", None)
def test_misfit_is_none_or_printable(head: bytes, kind: FileKind | None) -> None:
    found = misfit(head, kind)
    assert found is None or found.isprintable()


@given(st.binary(max_size=3000), st.integers(1, 999), st.sampled_from(KINDS))
@example(b"x" * 2000 + b"\0", 7, FileKind.TEXT)
def test_inspection_does_not_depend_on_piece_sizes(
    content: bytes, step: int, kind: FileKind | None
) -> None:
    def verdict(step: int) -> tuple[int, str, str, str]:
        inspection = Inspection(Download(name="x", urls=(), kind=kind))
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
        ({"size_bytes": 3}, "size must be 3 bytes, got 4", Cause.CONTENT),
        ({"size_bytes": 5}, "size must be 5 bytes, got 4", Cause.PASSING),
        ({"most_bytes": 3}, "larger than 3 bytes", Cause.LASTING),
        ({"sha256": "AB" * 32}, f"SHA-256 must be {'ab' * 32}, got {sha256(b'text')}",
         Cause.CONTENT),
        ({"sha512": "AB" * 64},
         f"SHA-512 must be {'ab' * 64}, got {hashlib.sha512(b'text').hexdigest()}", Cause.CONTENT),
        ({"md5": "AB" * 16}, f"MD5 must be {'ab' * 16}, got {md5(b'text')}", Cause.CONTENT),
        ({"kind": FileKind.TAR},
         "not a tar archive: must have 75 73 74 61 72 at byte 257, got nothing",
         Cause.PASSING),
    ],
)  # fmt: skip
def test_wrong_size_digest_or_kind_is_reported(
    fields: dict[str, object], words: str, cause: Cause
) -> None:
    wanted = Download(name="x", urls=(), **fields)  # type: ignore[arg-type]
    inspection = Inspection(wanted)
    inspection.feed(b"text")
    with pytest.raises(Fault) as caught:
        inspection.check(wanted)
    assert (caught.value.reason, caught.value.cause) == (words, cause)
    # The expected size overrides the maximum size.
    Inspection().check(Download(name="x", urls=(), size_bytes=0, most_bytes=0))

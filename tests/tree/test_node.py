"""Test nodes, and files that load their content on access."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from purekernel.errors import FormatError
from purekernel.tree import File, LazyContent, Metadata, describe, file_type

PLAIN = Metadata(mode=0o644)


class Loader:
    """A loader that counts how often it is called."""

    def __init__(self, content: bytes = b"content") -> None:
        self.content = content
        self.loaded = 0

    def __call__(self) -> bytes:
        self.loaded += 1
        return self.content

    def make_file(self, metadata: Metadata = PLAIN) -> File:
        return File(metadata=metadata, content=LazyContent(len(self.content), load=self))


def test_evolve_metadata_of_plain_file_returns_equal_file() -> None:
    node = File(metadata=PLAIN, content=b"x")
    changed = evolve(node, metadata=Metadata(mode=0o600, xattrs=((b"user.a", b"b"),)))
    assert changed == File(metadata=Metadata(mode=0o600, xattrs=((b"user.a", b"b"),)), content=b"x")


def test_evolve_metadata_of_lazy_file_loads_on_access() -> None:
    loader = Loader()
    node = loader.make_file()
    assert (file_type(node), describe(node)) == (stat.S_IFREG, "a file")
    changed = evolve(
        evolve(node, metadata=Metadata(mode=0o600)), metadata=Metadata(mode=0o700, uid=5)
    )
    assert (changed.metadata.mode, changed.metadata.uid) == (0o700, 5)
    assert (file_type(changed), describe(changed)) == (stat.S_IFREG, "a file")
    assert loader.loaded == 0
    assert isinstance(changed, File)
    assert changed.content == b"content"
    assert loader.loaded == 1
    assert changed != node


def test_evolve_content_of_lazy_file_does_not_load() -> None:
    loader = Loader()
    assert evolve(loader.make_file(), content=b"new") == File(metadata=PLAIN, content=b"new")
    assert loader.loaded == 0


def test_size_and_repr_of_lazy_file_do_not_load() -> None:
    loader = Loader()
    node = loader.make_file()
    assert node.size_bytes == len(b"content")
    assert repr(node) == f"File(metadata={PLAIN!r}, content=<7 bytes>)"
    assert repr(node) == repr(File(metadata=PLAIN, content=b"content"))
    assert loader.loaded == 0


def test_last_content_is_loaded_once() -> None:
    loader, other = Loader(), Loader(b"other")
    node = loader.make_file()
    assert node.content is node.content
    assert evolve(node, metadata=Metadata(mode=0o600)).content is node.content
    assert loader.loaded == 1
    assert other.make_file().content == b"other"
    assert node.content == b"content"
    assert (loader.loaded, other.loaded) == (2, 1)


def test_lazy_files_are_equal_if_metadata_and_content_are() -> None:
    node = Loader().make_file()
    for content in (b"content", bytearray(b"content"), memoryview(b"content")):
        assert node == File(metadata=PLAIN, content=content)
        assert File(metadata=PLAIN, content=content) == node
        assert node != File(metadata=PLAIN, content=content[1:])
        assert File(metadata=PLAIN, content=content[1:]) != node
    assert node == Loader().make_file()
    assert node != Loader(b"another").make_file()
    assert node != Loader().make_file(Metadata(mode=0o600))
    assert LazyContent(1, load=Loader()) != "text"


def test_lazy_file_with_the_same_loader_is_equal_without_loading() -> None:
    loader = Loader()
    node = loader.make_file()
    assert evolve(node, metadata=Metadata(mode=0o644)) == node
    assert loader.loaded == 0


def test_error_of_loader_propagates_on_each_access() -> None:
    def fail() -> bytes:
        raise FormatError(source="image", expected="a block", got="its end")

    node = File(metadata=PLAIN, content=LazyContent(1, load=fail))
    for _ in range(2):
        with pytest.raises(FormatError, match="image: expected a block, got its end"):
            node.content  # noqa: B018


def test_lazy_files_are_loaded_by_several_threads() -> None:
    nodes = [Loader(b"%d" % number).make_file() for number in range(16)]
    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(lambda node: node.content, nodes * 50))
    assert contents == [b"%d" % number for number in range(16)] * 50

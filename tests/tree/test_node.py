"""Test nodes, and files that load their content on access."""

from __future__ import annotations

import stat

from purekernel.tree import File, Metadata, describe, file_type, with_metadata


class Loading(File):
    """A file that counts how often it is loaded."""

    __slots__ = ("loaded",)

    loaded: int

    def __init__(self) -> None:
        super().__init__(metadata=Metadata(mode=0o644))
        object.__setattr__(self, "loaded", 0)

    @property
    def content(self) -> bytes:
        object.__setattr__(self, "loaded", self.loaded + 1)
        return b"content"

    @content.setter
    def content(self, _content: bytes) -> None:
        pass


def test_with_metadata_on_plain_file_returns_equal_file() -> None:
    node = File(metadata=Metadata(mode=0o644), content=b"x")
    changed = with_metadata(node, Metadata(mode=0o600, xattrs=((b"user.a", b"b"),)))
    assert changed == File(metadata=Metadata(mode=0o600, xattrs=((b"user.a", b"b"),)), content=b"x")


def test_with_metadata_on_lazy_file_loads_on_access() -> None:
    node = Loading()
    assert (file_type(node), describe(node)) == (stat.S_IFREG, "a file")
    changed = with_metadata(with_metadata(node, Metadata(mode=0o600)), Metadata(mode=0o700, uid=5))
    assert (changed.metadata.mode, changed.metadata.uid) == (0o700, 5)
    assert (file_type(changed), describe(changed)) == (stat.S_IFREG, "a file")
    assert node.loaded == 0
    assert isinstance(changed, File)
    assert changed.content == b"content"
    assert node.loaded == 1
    assert changed != node

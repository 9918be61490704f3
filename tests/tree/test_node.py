"""Nodes, and files that load their content when it is asked for."""

from __future__ import annotations

import stat

from purekernel.tree import File, Metadata, describe, file_type, with_metadata


class Loading(File):
    """Counts how often it is loaded."""

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


def test_a_plain_file_with_other_metadata_is_equal_to_such_a_file() -> None:
    node = File(metadata=Metadata(mode=0o644), content=b"x")
    dressed = with_metadata(node, Metadata(mode=0o600, xattrs=((b"user.a", b"b"),)))
    assert dressed == File(metadata=Metadata(mode=0o600, xattrs=((b"user.a", b"b"),)), content=b"x")


def test_a_loading_file_with_other_metadata_loads_when_asked() -> None:
    node = Loading()
    assert (file_type(node), describe(node)) == (stat.S_IFREG, "a file")
    dressed = with_metadata(with_metadata(node, Metadata(mode=0o600)), Metadata(mode=0o700, uid=5))
    assert (dressed.metadata.mode, dressed.metadata.uid) == (0o700, 5)
    assert (file_type(dressed), describe(dressed)) == (stat.S_IFREG, "a file")
    assert node.loaded == 0
    assert isinstance(dressed, File)
    assert dressed.content == b"content"
    assert node.loaded == 1
    assert dressed != node

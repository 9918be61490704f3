"""Hold a file system image in memory: paths, inodes, and the rules for merging two trees."""

from purekernel.input import Buffer
from purekernel.tree.edit import (
    clamp_times,
    content_bytes,
    date_all,
    date_implied,
    difference,
    files_with_attributes,
    newest_time,
    put_file,
    subtree,
)
from purekernel.tree.merge import Layer, Stated, merge
from purekernel.tree.node import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    LazyContent,
    Metadata,
    Node,
    Socket,
    Symlink,
    Xattrs,
    describe,
    file_type,
)
from purekernel.tree.path import ROOT, display, parse_path, with_example
from purekernel.tree.resolve import Found, look_up, resolve
from purekernel.tree.tree import Pass, Tree

__all__ = [
    "ROOT",
    "Buffer",
    "Device",
    "DeviceKind",
    "Directory",
    "Fifo",
    "File",
    "Found",
    "Layer",
    "LazyContent",
    "Metadata",
    "Node",
    "Pass",
    "Socket",
    "Stated",
    "Symlink",
    "Tree",
    "Xattrs",
    "clamp_times",
    "content_bytes",
    "date_all",
    "date_implied",
    "describe",
    "difference",
    "display",
    "file_type",
    "files_with_attributes",
    "look_up",
    "merge",
    "newest_time",
    "parse_path",
    "put_file",
    "resolve",
    "subtree",
    "with_example",
]

"""Check whether the firmware that kernel modules ask for is there.

Source: fw_path in drivers/base/firmware_loader/main.c of Linux; MODULE_FIRMWARE in
include/linux/module.h; lib/udev/firmware.sh of Tiny Core.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

from purekernel.analysis.findings import Finding, shown
from purekernel.analysis.modules import SUFFIXES, read_module, release_folder
from purekernel.analysis.system import OwnedFiles, View
from purekernel.rootfs.patterns import is_wild, parse_pattern
from purekernel.tree import display
from purekernel.tree.path import join, name

# Where the kernel and Tiny Core look, each also in folders "updates" and of the release.
_FOLDERS = (b"lib/firmware", b"usr/local/lib/firmware", b"usr/lib/firmware")
_COMPRESSED = (b"", b".xz", b".zst", b".gz")

# An entry of the section .modinfo. (A pattern that begins with text is searched ten times as fast.)
_ASKED = re.compile(rb"firmware=([^\0]{1,255})\0")

# What another key, such as "my_firmware=", has in front of the word.
_OF_A_NAME = frozenset(string.ascii_letters.encode() + string.digits.encode() + b"_")


def check_firmware(part: OwnedFiles, release: str | None) -> Iterator[Finding]:
    """Yield a finding for each missing firmware file that modules ask for.

    If several modules ask for it, the finding is about the first. A module may ask for firmware of
    devices that the machine does not have, and for versions of which it needs one.

    Args:
        part: the files to check.
        release: the release of the image's kernel; modules for others are ignored.
    """
    asked: dict[bytes, bytes] = {}
    for path, node in part.files.items():
        if not path.endswith(SUFFIXES):
            continue
        folder = release_folder(path)
        if folder is None or (release is not None and name(folder) != release.encode()):
            continue
        content = read_module(path, node) or b""
        for match in _ASKED.finditer(content):
            if match.start() == 0 or content[match.start() - 1] not in _OF_A_NAME:
                asked.setdefault(match[1], path)
    for firmware, path in asked.items():
        if _is_there(firmware, part.view, release):
            continue
        shown_name = display(firmware)[1:-1]
        yield Finding(
            code="PK604",
            owner=part.owner,
            path=path,
            message=f"{shown(path)} asks for the firmware {shown_name}, which is missing",
            remedy="add the extension with that firmware, if a machine has such a device",
            subject=shown_name,
        )


def _is_there(firmware: bytes, view: View, release: str | None) -> bool:
    if is_wild(firmware):  # "ath10k/*/board.bin"
        pattern = parse_pattern(b"**/" + firmware)
        return any(
            pattern.matches(path)
            for tree in view.trees
            for folder in _FOLDERS
            if folder in tree
            for path, _node in tree.walk(folder)
        )
    subfolders = [b"", b"updates/"]
    if release is not None:
        subfolders += [f"{release}/".encode(), f"updates/{release}/".encode()]
    return any(
        view.file(join(folder, subfolder + firmware + ending)) is not None
        for folder in _FOLDERS
        for subfolder in subfolders
        for ending in _COMPRESSED
    )

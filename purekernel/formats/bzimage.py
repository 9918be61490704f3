"""What a Linux kernel image for x86 says of itself.

Source: Documentation/arch/x86/boot.rst of Linux, "The Real-Mode Kernel Header".
"""

from __future__ import annotations

import struct

from purekernel.tree import Buffer

_MAGIC_OFFSET, _MAGIC = 0x202, b"HdrS"
_VERSION_POINTER_OFFSET = 0x20E
# The pointer counts from the end of the boot sector.
_POINTER_BASE = 0x200
# "6.1.0-13-amd64 (debian-kernel@…) #1 SMP …": the kernel itself keeps it far shorter.
_MOST_BYTES = 512


def kernel_release(kernel: Buffer) -> str | None:
    """Return the release that a bzImage was built as, such as ``3.0.3-tinycore``.

    Returns:
        ``None`` where it is no bzImage or says none.
    """
    view = memoryview(kernel)
    if len(view) < _VERSION_POINTER_OFFSET + 2:
        return None
    if bytes(view[_MAGIC_OFFSET : _MAGIC_OFFSET + 4]) != _MAGIC:
        return None
    (pointer,) = struct.unpack_from("<H", view, _VERSION_POINTER_OFFSET)
    if not pointer:
        return None
    start = pointer + _POINTER_BASE
    text, nul, _rest = bytes(view[start : start + _MOST_BYTES]).partition(b"\0")
    release = text.split(b" ")[0]
    if not nul or not release or not release.isascii() or b"/" in release:
        return None
    return release.decode("ascii")

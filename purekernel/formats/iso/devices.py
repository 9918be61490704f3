"""Device numbers, as Rock Ridge's PN entry has them: a high and a low half.

The standard leaves open what the halves are. mkisofs writes major and minor; xorriso a
Linux ``dev_t`` into the low half alone. Linux takes a low half of more than a byte beside
an empty high half for the latter.

Source: RRIP 1.12, 4.1.2; fs/isofs/rock.c of the Linux kernel; gnu_dev_makedev(3).
"""

from __future__ import annotations

MAX_HALF = 0xFFFFFFFF

# What a dev_t of 16 bits, the oldest kind and a part of all later ones, has room for; the
# major has 12 bits in Linux.
MAX_MINOR = 0xFF
MAX_MAJOR = 0xFFF


def fits(major: int, minor: int) -> bool:
    """Say whether Linux would read a device back as what it was."""
    if not (0 <= major <= MAX_HALF and 0 <= minor <= MAX_HALF):
        return False
    return major > 0 or minor <= MAX_MINOR


def split_device(major: int, minor: int) -> tuple[int, int]:
    """Return the halves to write: those that all readers agree on, where there are any."""
    if major <= MAX_MAJOR and minor <= MAX_MINOR:
        return 0, major << 8 | minor
    return major, minor


def join_device(high: int, low: int) -> tuple[int, int]:
    """Return major and minor of what was read."""
    if high or low <= MAX_MINOR:
        return high, low
    return low >> 8 & MAX_MAJOR, low & 0xFF | low >> 12 & 0xFFF00

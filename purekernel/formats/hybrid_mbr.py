"""Make the boot code in the MBR of a hybrid ISO, which starts isolinux.bin from a disk.

The code is assembled from hybrid_mbr.S.

Source: core/isolinux.asm of Syslinux 3.72 to 6.04, for what isolinux.bin expects.
"""

from __future__ import annotations

import base64
import struct

from purekernel.input import Buffer

# Where isolinux.bin has its entry for disks since version 3.72, and what is there.
_SIGNATURE_AT = 64
_SIGNATURE = b"\xfb\xc0\x78\x70"

# Where the code names the first sector of isolinux.bin; the MBR of isohybrid has it there, too.
_SECTOR_AT = 432

# Code for an MBR that boots nothing: "int $0x18" lets the BIOS try the next disk.
NEXT_DISK = b"\xcd\x18\xf4\xeb\xfd"

# hybrid_mbr.S, assembled.
_CODE = base64.b85decode(
    "`ere}j?laSe2&;=P-"
    "ajDS5l6^{JsEuzW@fg00Hx*>LmsM0Q<BE%@cD4x&HvR{tvdsKv09>KT)(nyQ)=+7V>+|6LJZI;Q@jBRjPCXG09Oez>dI"
    "Xp|A(L0DQRw0O%b6a(re$fX4#j^k#uRKz#eacyM)Z`n>FW>O_110KEhNW?*J9(q>X-"
    "PzF<K0csG5=72uzdjNC<v_k77W)HUx?t5nU@j{8wW--"
    "!c54S$>duI3dh}MY3z~lx9;kW?;iWc&F%@d7e5N2U>5N2R8z={^~d(9JOVNG?U`NO^m2kQgADF^5l0KQ-"
    "c=nw!gz|9uT81(D?v<|xm0L>7rgur$5!&GQxAYyNCbRcADb88@DVQy}3bRc47AaZ44WG)Q~0BLh?Y-"
    "w(FcrIdTZXjuMAZ=-"
    "Lb7^j8Aa8OYWMOS#XJup{Z*CxTXk{Q`Z*O!UWNCA2E)5C*P;zB+b0A?LYh`&LbZ;PZa(N(hXk{R7Wq5QTWNCA2E)5C"
).ljust(_SECTOR_AT, b"\0")


def starts_from_disk(isolinux: Buffer) -> bool:
    """Return whether ``isolinux.bin`` can be started from a disk."""
    return bytes(isolinux[_SIGNATURE_AT : _SIGNATURE_AT + 4]) == _SIGNATURE


def build_hybrid_code(sector: int) -> bytes:
    """Return the code of an MBR that starts isolinux.bin.

    Args:
        sector: the first sector of isolinux.bin on the disk, of 512 bytes.
    """
    return _CODE + struct.pack("<I", sector)


def is_hybrid_code(code: Buffer) -> bool:
    """Return whether the code of an MBR is that of :func:`build_hybrid_code`, for any sector."""
    return bytes(code[:_SECTOR_AT]) == _CODE

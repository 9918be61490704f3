"""Who signed a text, told by OpenPGP.

pysequoia is asked, which comes with ``purekernel[signatures]``; it is imported here and nowhere
else, when a keyring was given.

Source: RFC 9580, 7, "Cleartext Signature Framework".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from purekernel.errors import ChecksumError, FormatError, UsageError
from purekernel.tree import Buffer

if TYPE_CHECKING:
    from pysequoia import Cert

# Debian's with all keys that it ever had has 130 KB.
MOST_KEYRING_BYTES = 16 << 20


@frozen(kw_only=True)
class Keyring:
    """Keys whose word counts.

    Attributes:
        source: where they came from, for messages.
    """

    source: str
    _keys: list[Cert] = field(repr=lambda keys: f"<{len(keys)} keys>", eq=False)

    def verified_text(self, data: Buffer, *, source: str) -> bytes:
        """Return the text of a signed file: what was signed, and nothing around it.

        Raises:
            ChecksumError: no signature on it is valid and by one of the keys.
        """
        from pysequoia import verify  # noqa: PLC0415  # only those need it who gave a keyring

        try:
            verified = verify(bytes=bytes(data), store=lambda _ids: self._keys)
        except Exception as error:  # noqa: BLE001  # it raises what it likes, and it is hostile input
            raise ChecksumError(
                f"{source} has no valid signature by a key in {self.source}: {_reason(error)}",
                hint="name the keyring of that archive, or another mirror of it",
            ) from None
        if verified.bytes is None or not verified.valid_sigs:
            raise ChecksumError(
                f"{source} has no valid signature by a key in {self.source}",
                hint="name the keyring of that archive, or another mirror of it",
            )
        return bytes(verified.bytes)


def parse_keyring(data: Buffer, *, source: str) -> Keyring:
    """Return the keys in a keyring, armoured or not, as gpg exports it.

    Raises:
        UsageError: pysequoia is not installed, without which no signature can be checked.
        FormatError: there are no keys in it.
    """
    try:
        from pysequoia import Cert  # noqa: PLC0415  # as above
    except ImportError:
        raise UsageError(
            f"signatures cannot be checked against {source}: pysequoia is not installed",
            hint="pip install 'purekernel[signatures]', or leave out the keyring",
        ) from None
    if len(data) > MOST_KEYRING_BYTES:
        raise FormatError(
            source=source, expected=f"at most {MOST_KEYRING_BYTES} bytes", got=f"{len(data)}"
        )
    try:
        keys = Cert.split_bytes(bytes(data))
    except Exception as error:  # noqa: BLE001  # as above
        raise FormatError(
            source=source, expected="a keyring of OpenPGP keys", got=_reason(error)
        ) from None
    if not keys:
        raise FormatError(source=source, expected="a keyring of OpenPGP keys", got="none")
    return Keyring(source=source, keys=keys)


def _reason(error: Exception) -> str:
    """Return the first line of what it says: a backtrace follows."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__

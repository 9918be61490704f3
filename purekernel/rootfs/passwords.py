"""Hash passwords, in the form that an image's own log-in understands.

Source: crypt(5) of libxcrypt for the forms; shadow(5) for where they stand.
"""

from __future__ import annotations

import hashlib
import re
from enum import Enum
from itertools import chain

from attrs import frozen

from purekernel.errors import TreeError, UsageError
from purekernel.tree import Buffer, File, Tree, display, resolve
from purekernel.tree.path import name

# The 64 characters of crypt(5), in no order that matters here.
SALT_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# What busybox's log-in reads of a line, bb_ask() having 128 bytes with the closing NUL:
# whoever has a longer password is refused at the console. (musl's crypt() takes 256 bytes,
# libxcrypt's 511.)
MAX_PASSWORD_BYTES = 127

# SHA-512-crypt runs SHA-512 5000 times over one or two blocks; each of these runs it twice.
# So a guess is no quicker checked against a derived salt than against the hash beside it.
SALT_ITERATIONS = 20_000

# Where a file system keeps log-in: Core's in the first, newer distributions' in the second.
LOGINS = (b"bin/login", b"usr/bin/login")

LIBRARY_FOLDERS = (b"lib", b"lib64", b"usr/lib", b"usr/lib64", b"usr/local/lib")

ELF_MAGIC = b"\x7fELF"

# SHA-512-crypt writes "rounds=N$" before a salt where N is not 5000, so that glibc from 2.7
# on, libxcrypt, musl, and busybox with crypt() of its own hold this text; MD5-crypt and DES
# have no rounds to speak of.
_SHA512_MARK = re.compile(rb"rounds=")

# Names as a program's dynamic string table holds them, a NUL on either side. libpam leaves
# the work to pam_unix.so, and that to libcrypt; musl's C library has crypt() in itself.
_NEEDED_CRYPT = re.compile(rb"\0(libcrypt\.so(?:\.[0-9]+)*)\0")
_NEEDED_PAM = re.compile(rb"\0libpam\.so(?:\.[0-9]+)*\0")
_NEEDED_MUSL = re.compile(rb"\0(libc\.musl-[0-9A-Za-z_]+\.so\.1|libc\.so)\0")
_ANY_CRYPT = re.compile(rb"libcrypt\.so(?:\.[0-9]+)*")

_SALT = r"[!-#%-9;-~]"  # printable, and neither '$' nor ':'
_DIGEST = r"[./0-9A-Za-z]"
_HASHES = re.compile(
    rf"\$1\${_SALT}{{1,8}}\${_DIGEST}{{22}}"
    rf"|\$5\$(?:rounds=[1-9][0-9]{{3,8}}\$)?{_SALT}{{1,16}}\${_DIGEST}{{43}}"
    rf"|\$6\$(?:rounds=[1-9][0-9]{{3,8}}\$)?{_SALT}{{1,16}}\${_DIGEST}{{86}}"
    rf"|\$2[aby]\$[0-3][0-9]\${_DIGEST}{{53}}"
    rf"|\$y\${_DIGEST}{{1,60}}\${_DIGEST}{{1,86}}\${_DIGEST}{{43}}"
)


class Scheme(Enum):
    """A form of hash, by what it begins with."""

    SHA512 = "$6$"
    MD5 = "$1$"

    @property
    def salt_length(self) -> int:
        """The most characters that its salt may have."""
        return 16 if self is Scheme.SHA512 else 8


@frozen(kw_only=True)
class Choice:
    """Which scheme an image's log-in takes, and why we think so."""

    scheme: Scheme
    reason: str


def hash_password(password: str, *, scheme: Scheme, salt: str) -> str:
    """Return what stands for ``password`` in ``etc/shadow``.

    Args:
        password: any text without NUL and line ends; UTF-8 is what log-in gets to see.
        scheme: with its usual rounds: 5000 of SHA-512-crypt, 1000 of MD5-crypt.
        salt: of the scheme's full length, from :data:`SALT_ALPHABET`; see
            :func:`derive_salt`.

    Raises:
        UsageError: the password is empty or none that anybody could give to log-in, or the
            salt is not of that form.

    Source: crypt(5); U. Drepper, "Unix crypt using SHA-256 and SHA-512".
    """
    secret = _secret(password)
    if len(salt) != scheme.salt_length or not set(salt) <= set(SALT_ALPHABET):
        raise UsageError(
            f"the salt {salt!r} is not one of {scheme.salt_length} letters, digits, '.' and '/'",
            hint="leave it to be derived, or give a whole hash",
        )
    # 70 ms, and most builds set no password. The library has no types.
    from passlib.hash import md5_crypt, sha512_crypt  # type: ignore[import-untyped]  # noqa: PLC0415

    if scheme is Scheme.SHA512:
        return str(sha512_crypt.using(salt=salt, rounds=5000).hash(secret))
    return str(md5_crypt.using(salt=salt).hash(secret))


def derive_salt(password: str, *, scheme: Scheme, user: str, image: str) -> str:
    """Return the salt that the same arguments always give, of the scheme's full length.

    One password has another salt for another user or another image. What this costs stands
    in ``docs/decisions/0006-derived-salts.md``.

    Raises:
        UsageError: as :func:`hash_password` does of the password.

    Source: RFC 8018, section 5.2 (PBKDF2).
    """
    context = "".join(f"{len(part)}:{part}," for part in (scheme.value, user, image))
    derived = hashlib.pbkdf2_hmac(
        "sha512",
        _secret(password),
        b"purekernel salt " + context.encode("utf-8", "surrogatepass"),
        SALT_ITERATIONS,
        dklen=scheme.salt_length,
    )
    # 64 divides 256: every character is as likely as any other.
    return "".join(SALT_ALPHABET[byte % len(SALT_ALPHABET)] for byte in derived)


def valid_hash(text: str) -> bool:
    """Say whether ``text`` is a whole hash that may stand in ``etc/shadow``.

    MD5, SHA-256, SHA-512, bcrypt and yescrypt are known; whether the image's log-in knows
    them too is for its builder to know. Hashes by DES are not taken: 13 characters are
    sooner a password that somebody forgot to hash.

    Source: crypt(5) of libxcrypt.
    """
    return _HASHES.fullmatch(text) is not None


def accepted_scheme(tree: Tree) -> Scheme:
    """Return the best scheme that the log-in of the root file system ``tree`` takes."""
    return choose_scheme(tree).scheme


def choose_scheme(tree: Tree) -> Choice:
    """Return the best scheme that the log-in of ``tree`` takes, and why we think so.

    Judged from the files alone: whether the code that checks passwords knows SHA-512. That
    code is log-in itself, where it needs no library for it (busybox with its own), or else
    its libcrypt, or musl's C library. MD5 is understood by all, and the answer in doubt.
    """
    program, path = _find_login(tree)
    if program is None:
        return Choice(scheme=Scheme.MD5, reason="the image has no bin/login")
    content = program.content
    if bytes(content[: len(ELF_MAGIC)]) != ELF_MAGIC:
        return Choice(scheme=Scheme.MD5, reason=f"{display(path)} is no ELF program")
    if _knows_sha512(content):
        return Choice(scheme=Scheme.SHA512, reason=f"{display(path)} has SHA-512 in itself")
    wanted = _library_names(content)
    if wanted is None:
        return Choice(scheme=Scheme.MD5, reason=f"{display(path)} has no SHA-512")
    return _choose_by_libraries(_find_libraries(tree, wanted), path)


def _choose_by_libraries(libraries: list[tuple[bytes, File]], program: bytes) -> Choice:
    """Choose what all of ``libraries`` know: which of them is used the loader decides."""
    if not libraries:
        return Choice(
            scheme=Scheme.MD5, reason=f"the library that {display(program)} needs is not there"
        )
    for path, library in libraries:
        if not _knows_sha512(library.content):
            return Choice(scheme=Scheme.MD5, reason=f"{display(path)} has no SHA-512")
    return Choice(scheme=Scheme.SHA512, reason=f"{display(libraries[0][0])} has SHA-512")


def _secret(password: str) -> bytes:
    """Return the bytes that log-in will get, and keep them out of every message."""
    if not password:
        raise UsageError(
            "an empty password lets anybody in", hint="give a password, or lock the account"
        )
    try:
        secret = password.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "the password is not valid Unicode text", hint="check how it was encoded"
        ) from None
    if re.search(rb"[\0\r\n]", secret):
        raise UsageError(
            "the password holds a NUL or the end of a line, which log-in never gets to see",
            hint="give it without",
        )
    if len(secret) > MAX_PASSWORD_BYTES:
        raise UsageError(
            f"the password has {len(secret)} bytes, log-in takes {MAX_PASSWORD_BYTES}",
            hint="give a shorter one",
        )
    return secret


def _find_login(tree: Tree) -> tuple[File | None, bytes]:
    for path in LOGINS:
        found = _file_at(tree, path)
        if found is not None:
            return found
    return None, b""


def _file_at(tree: Tree, path: bytes) -> tuple[File, bytes] | None:
    """Return the file that ``path`` leads to, and where it stands."""
    try:
        place = resolve(tree, path)
    except TreeError:
        return None
    node = tree.get(place)
    return (node, place) if isinstance(node, File) else None


def _library_names(program: Buffer) -> re.Pattern[bytes] | None:
    """Return what the library is called that checks passwords for ``program``, if one does."""
    crypt = _NEEDED_CRYPT.search(program)
    if crypt is not None:
        return re.compile(re.escape(crypt[1]))
    if _NEEDED_PAM.search(program) is not None:
        return _ANY_CRYPT
    musl = _NEEDED_MUSL.search(program)
    return None if musl is None else re.compile(re.escape(musl[1]))


def _find_libraries(tree: Tree, names: re.Pattern[bytes]) -> list[tuple[bytes, File]]:
    """Return the files that libraries of these names are, links followed, each once."""
    found: dict[int, tuple[bytes, File]] = {}
    folders = [folder for folder in LIBRARY_FOLDERS if folder in tree]
    for path, _node in chain.from_iterable(map(tree.walk, folders)):
        if names.fullmatch(name(path)):
            library, place = _file_at(tree, path) or (None, b"")
            if library is not None:
                found.setdefault(tree.inode(place), (place, library))
    return list(found.values())


def _knows_sha512(code: Buffer) -> bool:
    return _SHA512_MARK.search(code) is not None

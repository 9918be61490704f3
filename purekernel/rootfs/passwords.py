"""Hash passwords in a scheme that an image's own log-in supports.

Source: crypt(5) of libxcrypt for the schemes; shadow(5) for the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from enum import Enum
from itertools import chain

from purekernel.errors import TreeError, UsageError
from purekernel.formats.detect import FileKind, detect
from purekernel.libraries import load_library
from purekernel.records import frozen
from purekernel.tree import Buffer, File, Tree, display, resolve
from purekernel.tree.path import name

# The 64 characters of crypt(5); their order does not matter here.
SALT_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# The longest line that busybox's log-in reads: the buffer of bb_ask() has 128 bytes with the final
# NUL. Longer passwords fail at the console. (musl's crypt() accepts 256 bytes, libxcrypt's 511.)
MAX_PASSWORD_BYTES = 127

# SHA-512-crypt runs SHA-512 5000 times over one or two blocks; each of these iterations runs it
# twice. So checking a guess against a derived salt is no faster than against the hash.
SALT_ITERATIONS = 20_000

# The paths of log-in: in Core, and in newer distributions.
LOGINS = (b"bin/login", b"usr/bin/login")

LIBRARY_FOLDERS = (b"lib", b"lib64", b"usr/lib", b"usr/lib64", b"usr/local/lib")


# SHA-512-crypt writes "rounds=N$" before the salt if N is not 5000. So glibc since 2.7, libxcrypt,
# musl, and busybox with its own crypt() contain this text. MD5-crypt and DES have no such text.
_SHA512_MARK = re.compile(rb"rounds=")

# Names in a program's dynamic string table, with a NUL on either side. libpam calls pam_unix.so,
# which calls libcrypt; musl's C library contains crypt().
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

# Other schemes take too long to check, or need a library of their own.
_QUICK_HASHES = {
    "md5_crypt": re.compile(rf"\$1\${_SALT}{{1,8}}\${_DIGEST}{{22}}"),
    "sha256_crypt": re.compile(
        rf"\$5\$(?:rounds=[1-9][0-9]{{3}}\$)?{_SALT}{{1,16}}\${_DIGEST}{{43}}"
    ),
    "sha512_crypt": re.compile(
        rf"\$6\$(?:rounds=[1-9][0-9]{{3}}\$)?{_SALT}{{1,16}}\${_DIGEST}{{86}}"
    ),
    "des_crypt": re.compile(rf"{_DIGEST}{{13}}"),
}


class Scheme(Enum):
    """A hash scheme, by its prefix."""

    SHA512 = "$6$"
    MD5 = "$1$"

    @property
    def salt_length(self) -> int:
        """The length of a salt in characters."""
        return 16 if self is Scheme.SHA512 else 8


@frozen(kw_only=True)
class HashChoice:
    """The scheme that an image's log-in supports, and the reason for the choice."""

    scheme: Scheme
    reason: str


def hash_password(password: str, *, scheme: Scheme, salt: str) -> str:
    """Return the hash of ``password`` for ``etc/shadow``.

    Args:
        password: text without NUL and line endings, hashed as UTF-8.
        scheme: the scheme, with its default rounds: 5000 for SHA-512-crypt, 1000 for MD5-crypt.
        salt: characters of :data:`SALT_ALPHABET`, of the scheme's full length; see
            :func:`derive_salt`.

    Raises:
        UsageError: the password is empty or cannot be entered at log-in, or the salt is invalid.

    Source: crypt(5); U. Drepper, "Unix crypt using SHA-256 and SHA-512".
    """
    secret = _secret(password)
    if len(salt) != scheme.salt_length or not set(salt) <= set(SALT_ALPHABET):
        raise UsageError(
            f"the salt must be {scheme.salt_length} letters, digits, '.' and '/', got {salt!r}",
            hint="remove it, so that it is derived, or give a whole hash",
        )
    # The import takes 70 ms, and most builds set no password.
    hashes = load_library("passlib.hash", package="libpass")
    if scheme is Scheme.SHA512:
        return str(hashes.sha512_crypt.using(salt=salt, rounds=5000).hash(secret))
    return str(hashes.md5_crypt.using(salt=salt).hash(secret))


def derive_salt(password: str, *, scheme: Scheme, user: str, image: str) -> str:
    """Derive a salt of the scheme's full length; equal arguments give equal salts.

    The salt of a password depends on the user and the image.
    ``docs/decisions/0006-derived-salts.md`` describes the risks.

    Raises:
        UsageError: the password is invalid, as for :func:`hash_password`.

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
    # 64 divides 256, so all characters are equally likely.
    return "".join(SALT_ALPHABET[byte % len(SALT_ALPHABET)] for byte in derived)


def valid_hash(text: str) -> bool:
    """Say whether ``text`` is a complete hash for ``etc/shadow``.

    Supports MD5, SHA-256, SHA-512, bcrypt and yescrypt. The caller must know whether the image's
    log-in supports the scheme. DES hashes are refused: 13 characters are more likely a password
    that was not hashed.

    Source: crypt(5) of libxcrypt.
    """
    return _HASHES.fullmatch(text) is not None


def is_hash_of(text: str, passwords: Iterable[str]) -> bool:
    """Say whether a hash of ``etc/shadow`` is that of one of some passwords.

    A guess takes at most 15 ms. Hashes of schemes that take longer are never a match: bcrypt,
    yescrypt, and SHA-crypt with 10,000 rounds or more.

    Source: crypt(5).
    """
    for scheme, form in _QUICK_HASHES.items():
        if form.fullmatch(text):
            hashes = load_library("passlib.hash", package="libpass")
            try:
                return any(getattr(hashes, scheme).verify(each, text) for each in passwords)
            except ValueError:  # of a salt, or of bits that the scheme does not use
                return False
    return False


def accepted_scheme(tree: Tree) -> Scheme:
    """Return the best scheme that the log-in of the root file system ``tree`` supports."""
    return choose_scheme(tree).scheme


def choose_scheme(tree: Tree) -> HashChoice:
    """Return the best scheme that the log-in of ``tree`` supports, and the reason.

    SHA-512 is chosen if the code that checks passwords contains it. That code is log-in itself if
    it needs no library (busybox with its own crypt()), or else its libcrypt or musl's C library.
    Otherwise MD5 is chosen, because every log-in supports it.
    """
    program, path = _find_login(tree)
    if program is None:
        return HashChoice(scheme=Scheme.MD5, reason="the image has no bin/login")
    content = program.content
    if detect(content) is not FileKind.ELF:
        return HashChoice(scheme=Scheme.MD5, reason=f"{display(path)} is not an ELF program")
    if _knows_sha512(content):
        return HashChoice(scheme=Scheme.SHA512, reason=f"{display(path)} contains SHA-512")
    wanted = _library_names(content)
    if wanted is None:
        return HashChoice(scheme=Scheme.MD5, reason=f"{display(path)} has no SHA-512")
    return _choose_by_libraries(_find_libraries(tree, wanted), path)


def _choose_by_libraries(libraries: list[tuple[bytes, File]], program: bytes) -> HashChoice:
    """Choose a scheme that all ``libraries`` support: the loader may use any of them."""
    if not libraries:
        return HashChoice(
            scheme=Scheme.MD5, reason=f"the library that {display(program)} needs is missing"
        )
    for path, library in libraries:
        if not _knows_sha512(library.content):
            return HashChoice(scheme=Scheme.MD5, reason=f"{display(path)} has no SHA-512")
    return HashChoice(scheme=Scheme.SHA512, reason=f"{display(libraries[0][0])} has SHA-512")


def _secret(password: str) -> bytes:
    """Return the bytes that log-in reads; never put them in a message."""
    if not password:
        raise UsageError(
            "the password must not be empty", hint="give a password, or lock the account"
        )
    try:
        secret = password.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "the password must be valid Unicode text", hint="check its encoding"
        ) from None
    if re.search(rb"[\0\r\n]", secret):
        raise UsageError(
            "the password must not contain NUL or line endings, which log-in cannot read",
            hint="remove them",
        )
    if len(secret) > MAX_PASSWORD_BYTES:
        raise UsageError(
            f"the password must have at most {MAX_PASSWORD_BYTES} bytes, got {len(secret)}",
            hint="give a shorter password",
        )
    return secret


def _find_login(tree: Tree) -> tuple[File | None, bytes]:
    for path in LOGINS:
        found = _file_at(tree, path)
        if found is not None:
            return found
    return None, b""


def _file_at(tree: Tree, path: bytes) -> tuple[File, bytes] | None:
    """Return the file at ``path``, links followed, and its real path."""
    try:
        real_path = resolve(tree, path)
    except TreeError:
        return None
    node = tree.get(real_path)
    return (node, real_path) if isinstance(node, File) else None


def _library_names(program: Buffer) -> re.Pattern[bytes] | None:
    """Return a pattern for the library that checks passwords for ``program``, or ``None``."""
    crypt = _NEEDED_CRYPT.search(program)
    if crypt is not None:
        return re.compile(re.escape(crypt[1]))
    if _NEEDED_PAM.search(program) is not None:
        return _ANY_CRYPT
    musl = _NEEDED_MUSL.search(program)
    return None if musl is None else re.compile(re.escape(musl[1]))


def _find_libraries(tree: Tree, names: re.Pattern[bytes]) -> list[tuple[bytes, File]]:
    """Return the unique library files with these names, links followed."""
    found: dict[int, tuple[bytes, File]] = {}
    folders = [folder for folder in LIBRARY_FOLDERS if folder in tree]
    for path, _node in chain.from_iterable(map(tree.walk, folders)):
        if names.fullmatch(name(path)):
            library, real_path = _file_at(tree, path) or (None, b"")
            if library is not None:
                found.setdefault(tree.inode(real_path), (real_path, library))
    return list(found.values())


def _knows_sha512(code: Buffer) -> bool:
    return _SHA512_MARK.search(code) is not None

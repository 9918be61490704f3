from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import UsageError
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.iso import parse_iso
from purekernel.input import Input
from purekernel.rootfs.passwords import (
    MAX_PASSWORD_BYTES,
    SALT_ALPHABET,
    Scheme,
    accepted_scheme,
    choose_scheme,
    derive_salt,
    hash_password,
    valid_hash,
)
from purekernel.tree import File, Metadata, Symlink, Tree
from tests.oracles import require, run, skip_or_fail
from tests.processes import environment
from tests.shared import core_iso

EXECUTABLE = Metadata(mode=0o755)
ELF = b"\x7fELF\x01\x01\x01"

PASSWORDS = st.text(
    st.characters(exclude_characters="\0\r\n", exclude_categories=("Cs",)),
    min_size=1,
    max_size=40,
).filter(lambda text: len(text.encode()) <= MAX_PASSWORD_BYTES)


def salts(scheme: Scheme) -> st.SearchStrategy[str]:
    length = scheme.salt_length
    return st.text(st.sampled_from(SALT_ALPHABET), min_size=length, max_size=length)


Files = dict[bytes, bytes | str]


def make_tree(files: Files) -> Tree:
    """Make a tree from files by path; a string is the target of a link."""
    made = Tree()
    for path, content in files.items():
        made.add_parents(path)
        if isinstance(content, str):
            made.add(path, Symlink(metadata=Metadata(mode=0o777), target=content.encode()))
        else:
            made.add(path, File(metadata=EXECUTABLE, content=content))
    return made


# Hashing


def test_published_hashes_are_reproduced() -> None:
    """Check published vectors of SHA-crypt with 5000 rounds and a full salt, and of MD5-crypt."""
    assert hash_password("This is just a test", scheme=Scheme.SHA512, salt="toolongsaltstrin") == (
        "$6$toolongsaltstrin$lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxd"
        "Ycz/e1JSbq3y6JMxxl8audkUEm0"
    )
    assert hash_password("password", scheme=Scheme.MD5, salt="xxxxxxxx") == (
        "$1$xxxxxxxx$UYCIxa628.9qXjpQCjM4a."
    )


@pytest.mark.oracle
@settings(max_examples=150)
@given(st.data(), PASSWORDS, st.sampled_from(Scheme))
def test_openssl_gives_the_same_hashes(data: st.DataObject, password: str, scheme: Scheme) -> None:
    salt = data.draw(salts(scheme))
    option = "-6" if scheme is Scheme.SHA512 else "-1"
    theirs = run(
        require("openssl"), "passwd", option, "-salt", salt, "-stdin", "-noverify",
        stdin=password.encode() + b"\n",
    )  # fmt: skip
    assert hash_password(password, scheme=scheme, salt=salt) == theirs.decode().strip()


@pytest.mark.oracle
@settings(max_examples=6)
@given(
    st.lists(
        st.sampled_from(Scheme).flatmap(
            lambda scheme: st.tuples(PASSWORDS, st.just(scheme), salts(scheme))
        ),
        min_size=50,
        max_size=50,
    )
)
def test_c_library_gives_the_same_hashes(drawn: list[tuple[str, Scheme, str]]) -> None:
    """Call crypt() of the C library through Perl, with pairs of arguments in hexadecimal."""
    script = (
        'while (<STDIN>) { my ($p, $s) = map { pack "H*", $_ } split; print crypt($p, $s), "\\n" }'
    )
    lines, ours = [], []
    for password, scheme, salt in drawn:
        ours.append(hash_password(password, scheme=scheme, salt=salt))
        setting = f"{scheme.value}{salt}"
        lines.append(f"{password.encode().hex()} {setting.encode().hex()}\n")
    theirs = run(require("perl"), "-e", script, stdin="".join(lines).encode())
    assert theirs.decode().splitlines() == ours


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("", "the password must not be empty"),
        ("a\0b", "the password must not contain NUL or line endings, which log-in cannot read"),
        ("a\nb", "the password must not contain NUL or line endings, which log-in cannot read"),
        ("a\r", "the password must not contain NUL or line endings, which log-in cannot read"),
        ("\ud800", "the password must be valid Unicode text"),
        ("é" * 64, "the password must have at most 127 bytes, got 128"),
    ],
)
def test_invalid_password_is_refused(password: str, message: str) -> None:
    for make in (
        lambda: hash_password(password, scheme=Scheme.MD5, salt="a" * 8),
        lambda: derive_salt(password, scheme=Scheme.MD5, user="tc", image="x"),
    ):
        with pytest.raises(UsageError) as caught:
            make()
        assert caught.value.message == message
        assert not password or password not in caught.value.hint


@pytest.mark.parametrize("salt", ["", "a" * 7, "a" * 9, "aaaaaaa$", "aaaaaaaé"])
def test_invalid_salt_is_refused(salt: str) -> None:
    with pytest.raises(UsageError) as caught:
        hash_password("secret", scheme=Scheme.MD5, salt=salt)
    assert caught.value.message == (
        f"the salt must be 8 letters, digits, '.' and '/', got {salt!r}"
    )


def test_password_with_a_colon_is_accepted() -> None:
    made = hash_password("a:b c\t", scheme=Scheme.SHA512, salt="a" * 16)
    assert valid_hash(made)
    assert ":" not in made


# Salts


def test_derived_salts_are_pinned() -> None:
    """Another salt would change the image."""
    assert derive_salt("test1234", scheme=Scheme.SHA512, user="tc", image="rz_mk_dev-image") == (
        "HHWNxFmRnQb1NQn1"
    )
    assert derive_salt("test1234", scheme=Scheme.MD5, user="tc", image="rz_mk_dev-image") == (
        "4ElSH1xp"
    )


@pytest.mark.slow
def test_salt_depends_on_all_arguments() -> None:
    salts = {
        derive_salt(password, scheme=Scheme.SHA512, user=user, image=image)
        for password in ("secret", "secret1")
        for user, image in (("tc", "1a"), ("tc1", "a"), ("root", "a"), ("tc", "\ud800"), ("tc", ""))
    }
    assert len(salts) == 10


@pytest.mark.slow
@settings(max_examples=10)
@given(PASSWORDS, st.text(max_size=10), st.sampled_from(Scheme))
def test_salt_has_full_length_and_valid_characters(
    password: str, context: str, scheme: Scheme
) -> None:
    salt = derive_salt(password, scheme=scheme, user=context, image=context)
    assert len(salt) == scheme.salt_length
    assert set(salt) <= set(SALT_ALPHABET)
    assert valid_hash(hash_password(password, scheme=scheme, salt=salt))


# Hashes from other programs

MD5 = "$1$xxxxxxxx$UYCIxa628.9qXjpQCjM4a."
SHA256 = "$5$saltstring$" + "a" * 43
SHA512 = "$6$saltstring$" + "a" * 86


@pytest.mark.parametrize(
    "text",
    [
        MD5,
        SHA256,
        SHA512,
        "$1$x$UYCIxa628.9qXjpQCjM4a.",
        "$6$rounds=1000$a$" + "b" * 86,
        "$5$rounds=999999999$a$" + "b" * 43,
        "$2b$12$" + "a" * 53,
        "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
    ],
)
def test_complete_hash_is_valid(text: str) -> None:
    assert valid_hash(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "!",
        "!" + MD5,
        "secret",
        "abcdefghijklm",  # DES, or a password of 13 letters
        MD5[:-1],
        MD5 + "a",
        MD5 + "\n",
        MD5.replace("xxxxxxxx", "xxxxxxxxx"),
        MD5.replace("xxxxxxxx", "xxx:xxxx"),
        MD5.replace("xxxxxxxx", "xxx xxxx"),
        SHA512[:-1],
        SHA512.replace("$6$", "$7$"),
        "$6$rounds=999$a$" + "b" * 86,
        "$6$rounds=01000$a$" + "b" * 86,
        "$6$" + "é" + "$" + "b" * 86,
    ],
)
def test_other_text_is_not_a_valid_hash(text: str) -> None:
    assert not valid_hash(text)


@pytest.mark.oracle
def test_hashes_of_openssl_are_valid() -> None:
    openssl = require("openssl")
    for option in ("-1", "-5", "-6"):
        made = run(openssl, "passwd", option, "-stdin", stdin=b"secret\n").decode().strip()
        assert valid_hash(made)


# Choice of the scheme


@pytest.mark.parametrize(
    ("given", "scheme", "reason"),
    [
        ({}, Scheme.MD5, "the image has no bin/login"),
        ({b"bin/login": "/nowhere"}, Scheme.MD5, "the image has no bin/login"),
        ({b"bin/login": "login"}, Scheme.MD5, "the image has no bin/login"),
        ({b"bin/login": b"#!/bin/sh\n"}, Scheme.MD5, "'bin/login' is not an ELF program"),
        ({b"bin/login": ELF}, Scheme.MD5, "'bin/login' has no SHA-512"),
        ({b"bin/login": b""}, Scheme.MD5, "'bin/login' is not an ELF program"),
        (
            {b"bin/login": "busybox", b"bin/busybox": ELF + b"rounds=%u$\0"},
            Scheme.SHA512,
            "'bin/busybox' contains SHA-512",
        ),
        (
            {b"usr/bin/login": ELF + b"\0libcrypt.so.1\0"},
            Scheme.MD5,
            "the library that 'usr/bin/login' needs is missing",
        ),
        (
            {
                b"bin/login": ELF + b"\0libcrypt.so.1\0libc.so.6\0",
                b"lib/libcrypt.so.1": "libcrypt-2.13.so",
                b"lib/libcrypt-2.13.so": ELF + b"rounds=\0",
            },
            Scheme.SHA512,
            "'lib/libcrypt-2.13.so' has SHA-512",
        ),
        (
            {
                b"bin/login": ELF + b"\0libcrypt.so.1\0",
                b"lib/libcrypt.so.1": ELF + b"$1$\0",
                b"usr/lib/libcrypt.so.2": ELF + b"rounds=\0",
            },
            Scheme.MD5,
            "'lib/libcrypt.so.1' has no SHA-512",
        ),
        (  # it is unknown which of the two is used
            {
                b"bin/login": ELF + b"\0libcrypt.so.1\0",
                b"lib/libcrypt.so.1": ELF + b"rounds=\0",
                b"usr/local/lib/libcrypt.so.1": ELF + b"$1$\0",
            },
            Scheme.MD5,
            "'usr/local/lib/libcrypt.so.1' has no SHA-512",
        ),
        (
            {
                b"bin/login": ELF + b"\0libpam.so.0\0",
                b"usr/lib/x86_64-linux-gnu/libcrypt.so.1": ELF + b"rounds=\0",
            },
            Scheme.SHA512,
            "'usr/lib/x86_64-linux-gnu/libcrypt.so.1' has SHA-512",
        ),
        (
            {
                b"bin/login": ELF + b"\0libc.musl-x86_64.so.1\0",
                b"lib/libc.musl-x86_64.so.1": "ld-musl-x86_64.so.1",
                b"lib/ld-musl-x86_64.so.1": ELF + b"$6$rounds=1234$\0",
            },
            Scheme.SHA512,
            "'lib/ld-musl-x86_64.so.1' has SHA-512",
        ),
        (  # as built by Debian
            {b"bin/login": ELF + b"\0libc.so\0", b"lib/libc.so": ELF},
            Scheme.MD5,
            "'lib/libc.so' has no SHA-512",
        ),
        (
            {b"bin/login": ELF + b"\0libcrypt.so.1\0", b"lib/libcrypt.so.1": "/away"},
            Scheme.MD5,
            "the library that 'bin/login' needs is missing",
        ),
    ],
)
def test_scheme_depends_on_the_code_that_checks_passwords(
    given: Files, scheme: Scheme, reason: str
) -> None:
    found = choose_scheme(make_tree(given))
    assert (found.scheme, found.reason) == (scheme, reason)
    assert accepted_scheme(make_tree(given)) is scheme


@pytest.mark.slow
def test_library_with_many_names_is_read_once() -> None:
    files: Files = {b"bin/login": ELF + b"\0libcrypt.so.1\0", b"lib/real": ELF + bytes(1 << 20)}
    files |= {b"lib/%d/libcrypt.so.1" % number: "/lib/real" for number in range(2000)}
    assert choose_scheme(make_tree(files)).reason == "'lib/real' has no SHA-512"


@pytest.mark.slow
def test_core_supports_sha512_through_libcrypt() -> None:
    iso = parse_iso(Input(core_iso().read_bytes(), name="Core-current.iso")).tree
    core = iso[b"boot/core.gz"]
    assert isinstance(core, File)
    found = choose_scheme(parse_cpio(Input(gzip.decompress(core.content), name="core.gz")))
    assert found.scheme is Scheme.SHA512
    assert found.reason == "'lib/libcrypt-2.13.so' has SHA-512"


@pytest.mark.oracle
def test_scheme_of_host_programs_is_detected() -> None:
    """Debian's busybox has its own crypt(); Debian's login uses PAM and libcrypt."""
    busybox = Path(require("busybox")).read_bytes()
    assert accepted_scheme(make_tree({b"bin/login": busybox})) is Scheme.SHA512
    login = Path(require("login")).read_bytes()
    libraries = [
        path
        for folder in ("/lib", "/usr/lib")
        for path in sorted(Path(folder).glob("*-linux-gnu/libcrypt.so.1"))
    ]
    if not libraries:
        skip_or_fail("this host has no libcrypt.so.1")
    with_library = make_tree({b"bin/login": login, b"lib/libcrypt.so.1": libraries[0].read_bytes()})
    assert accepted_scheme(with_library) is Scheme.SHA512
    assert choose_scheme(make_tree({b"bin/login": login})).reason == (
        "the library that 'bin/login' needs is missing"
    )


def test_passlib_is_imported_lazily() -> None:
    script = (
        "import sys, purekernel.rootfs.passwords\n"
        "assert not [name for name in sys.modules if name.startswith('passlib')]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=environment())

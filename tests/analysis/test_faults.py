"""Plant each fault in a clean image: it is found once, with its path, and gone with the fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from purekernel.analysis.check import check_image
from purekernel.analysis.findings import BUILD, IMAGE, Finding
from purekernel.analysis.secrets import MOST_GUESSED_ACCOUNTS
from purekernel.analysis.system import Subject
from purekernel.rootfs.passwords import Scheme, hash_password
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    File,
    Metadata,
    Symlink,
    Tree,
    with_metadata,
)
from tests.analysis.images import core, pack, program, put, tree_of

PASSWD = "root:x:0:0:root:/root:/bin/sh\ntc:x:1001:50:Linux User,,,:/home/tc:/bin/sh\n"
SHADOW = "root:*:13525:0:99999:7:::\ntc:!:13646:0:99999:7:::\n"
CONSOLE = Device(metadata=Metadata(mode=0o600), kind=DeviceKind.CHARACTER, major=5, minor=1)
RELEASE = "4.4.302"


def clean() -> Tree:
    """Return a root file system without a finding, with all that a check looks at."""
    root = core()
    put(root, "init", b"#!/bin/sh\n")
    root.add_parents(b"dev/console")
    root.add(b"dev/console", CONSOLE)
    for path, text in (("etc/passwd", PASSWD), ("etc/shadow", SHADOW)):
        put(root, path, text.encode(), mode=0o640)
    folder(root, "usr/local/tce.installed", 0, 50, 0o775)
    folder(root, "home/tc", 1001, 50, 0o755)
    folder(root, "tmp", 0, 0, 0o1777)
    put(root, "home/tc/.profile", b"")
    own(root, "home/tc/.profile", 1001, 50)
    put(root, "etc/mtab", b"->/proc/mounts")
    put(root, "lib/firmware/there.bin", b"1", mode=0o644)
    return root


def folder(root: Tree, path: str, uid: int, gid: int, mode: int) -> None:
    root.add_parents(path.encode())
    root.add(path.encode(), Directory(metadata=Metadata(mode=mode, uid=uid, gid=gid)))


def own(root: Tree, path: str, uid: int, gid: int) -> None:
    node = root[path.encode()]
    metadata = Metadata(mode=node.metadata.mode, uid=uid, gid=gid)
    root.replace(path.encode(), with_metadata(node, metadata))


def account(root: Tree, line: str, hashed: str) -> None:
    for path, text in ((b"etc/passwd", PASSWD + line), (b"etc/shadow", SHADOW + hashed)):
        node = root[path]
        assert isinstance(node, File)
        root.replace(path, File(metadata=node.metadata, content=text.encode()))


def user(name: str, password: str) -> Callable[[Tree], None]:
    return lambda root: account(
        root, f"{name}:x:1002:50::/tmp:/bin/sh\n", f"{name}:{password}:1:0:9:7:::\n"
    )


def add(path: str, content: bytes, mode: int = 0o755) -> Callable[[Tree], None]:
    return lambda root: put(root, path, content, mode=mode)


def remove(path: bytes) -> Callable[[Tree], None]:
    return lambda root: root.remove(path)


def silence(root: Tree) -> None:
    put(root, "tmp/builtin/optional/x.tcz", pack(tree_of({"usr/local/bin/x": b"#!/bin/sh\n"})))
    put(root, "tmp/builtin/onboot.lst", b"x.tcz\n")
    put(root, "usr/local/tce.installed/x", b"")
    own(root, "usr/local/tce.installed/x", 1001, 50)


def owned_by_root(root: Tree) -> None:
    put(root, "usr/local/tce.installed/y", b"#!/bin/sh\n")


def no_longer_tc(root: Tree) -> None:
    own(root, "home/tc/.profile", 500, 500)


MODULE = b"\x7fELF" + bytes(60) + b"\0firmware=gone.bin\0firmware=there.bin\0vermagic=4.4.302 \0"
KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\n"
WELL_KNOWN = hash_password("toor", scheme=Scheme.MD5, salt="saltsalt")
UNKNOWN = hash_password("V8#kd0-slq", scheme=Scheme.MD5, salt="saltsalt")

FAULTS: dict[str, tuple[Callable[[Tree], None], bytes, str]] = {
    "PK501": (add("etc/alternative", b"->../usr/bin/gone"), b"etc/alternative", "/usr/bin/gone"),
    "PK502": (add("usr/local/bin/x", b"#!/bin/sh\n", 0o644), b"usr/local/bin/x", ""),
    "PK503": (owned_by_root, b"usr/local/tce.installed/y", "0:0"),
    "PK504": (no_longer_tc, b"home/tc/.profile", "500:500"),
    "PK505": (silence, b"usr/local/tce.installed/x", "x.tcz"),
    "PK602": (remove(b"init"), b"init", ""),
    "PK603": (remove(b"dev/console"), b"dev/console", ""),
    "PK604": (
        add(f"lib/modules/{RELEASE}/kernel/x.ko", MODULE, 0o644),
        f"lib/modules/{RELEASE}/kernel/x.ko".encode(),
        "gone.bin",
    ),
    "PK701": (user("guest", ""), b"etc/shadow", "guest"),
    "PK702": (user("guest", WELL_KNOWN), b"etc/shadow", "guest"),
    "PK703": (add("usr/local/etc/ssh/ssh_host_rsa_key", KEY, 0o600),
              b"usr/local/etc/ssh/ssh_host_rsa_key", ""),
    "PK704": (add("usr/bin/su", program(b"libc.so.6"), 0o4755), b"usr/bin/su", ""),
    "PK705": (add("etc/site.conf", b"", 0o666), b"etc/site.conf", ""),
}  # fmt: skip


def check(root: Tree, **more: object) -> tuple[Finding, ...]:
    return check_image(Subject(root=root, **more))  # type: ignore[arg-type]


def test_clean_image_has_no_finding() -> None:
    assert check(clean()) == ()


@pytest.mark.parametrize("code", FAULTS)
def test_planted_fault_is_found_once_with_its_path(code: str) -> None:
    plant, path, subject = FAULTS[code]
    root = clean()
    plant(root)
    (finding,) = check(root)
    assert (finding.code, finding.path, finding.subject) == (code, path, subject)
    assert finding.message
    assert finding.remedy


@pytest.mark.parametrize("code", FAULTS)
def test_fault_of_the_base_is_no_finding_of_a_build(code: str) -> None:
    plant, _path, _subject = FAULTS[code]
    root = clean()
    plant(root)
    assert check(root.copy(), stock_root=root) == ()


@pytest.mark.parametrize("code", FAULTS)
def test_fault_that_a_build_adds_is_found(code: str) -> None:
    plant, path, _subject = FAULTS[code]
    root = clean()
    plant(root)
    (finding,) = check(root, stock_root=clean())
    assert (finding.code, finding.path) == (code, path)
    assert finding.owner in (BUILD, IMAGE)


# Links.


@pytest.mark.parametrize(
    "target",
    [b"/proc/mounts", b"/dev/lp0", b"/tmp/x", b"../run/x", b"busybox", b"/bin/../bin/sh", b"."],
)
def test_link_to_what_is_there_or_comes_is_no_finding(target: bytes) -> None:
    root = clean()
    put(root, "bin/link", b"->" + target)
    assert check(root) == ()


def test_of_a_chain_of_links_the_last_is_found() -> None:
    root = clean()
    for path, target in (("etc/a", b"b"), ("etc/b", b"c"), ("etc/c", b"gone")):
        put(root, path, b"->" + target)
    assert [(each.code, each.path) for each in check(root)] == [("PK501", b"etc/c")]


def test_loop_of_links_is_found_once() -> None:
    root = clean()
    put(root, "etc/b", b"->c")
    put(root, "etc/c", b"->b")
    (finding,) = check(root)
    assert (finding.path, finding.message) == (b"etc/b", "'/etc/b' leads to itself")


def test_link_through_a_file_or_a_missing_folder_is_found() -> None:
    root = clean()
    put(root, "etc/a", b"->passwd/x")
    put(root, "etc/b", b"->gone/x")
    assert [each.path for each in check(root)] == [b"etc/a", b"etc/b"]


def test_link_to_an_extension_that_is_loaded_later_is_no_finding() -> None:
    root = clean()
    put(root, "usr/bin/x", b"->/usr/local/bin/x")
    assert [each.code for each in check(root)] == ["PK501"]
    extension = pack(tree_of({"usr/local/bin/x": b"#!/bin/sh\n"}))
    put(root, "tmp/tinycorelinux/4.x/x86/tcz/x.tcz", extension)
    assert check(root) == ()


def test_link_that_a_start_script_makes_good_is_no_finding() -> None:
    root = clean()
    put(root, "etc/x.conf", b"->/usr/local/etc/x.conf")
    put(root, "etc/init.d/x", b"#!/bin/sh\ncp /x /usr/local/etc/x.conf\n")
    assert check(root) == ()


def test_link_of_the_base_whose_target_a_build_deletes_is_found() -> None:
    stock = clean()
    put(stock, "etc/data", b"x", mode=0o644)
    put(stock, "etc/link", b"->data")
    root = stock.copy()
    root.remove(b"etc/data")
    (finding,) = check(root, stock_root=stock)
    assert (finding.code, finding.path, finding.owner) == ("PK501", b"etc/link", BUILD)


# Modes and owners.


@pytest.mark.parametrize(
    ("path", "mode", "codes"),
    [
        ("usr/local/share/x", 0o644, []),
        ("opt/x.sh", 0o644, ["PK502"]),
        ("usr/lib/x", 0o4644, ["PK502"]),
        ("usr/share/x", 0o4644, []),
        ("usr/share/x", 0o2755, []),
        ("usr/share/x", 0o4711, ["PK704"]),
        ("usr/share/x", 0o6757, ["PK704", "PK705"]),
    ],
)
def test_bits_of_a_mode(path: str, mode: int, codes: list[str]) -> None:
    root = clean()
    put(root, path, b"#!/bin/sh\n", mode=mode)
    assert [each.code for each in check(root)] == codes


def test_folder_for_any_user_must_be_sticky() -> None:
    root = clean()
    folder(root, "var/drop", 0, 0, 0o777)
    folder(root, "var/spool", 0, 0, 0o1777)
    (finding,) = check(root)
    assert (finding.code, finding.path) == ("PK705", b"var/drop")
    assert finding.remedy == "clear the bit 0002 of its mode, or set the sticky bit"


def test_mode_that_a_build_sets_on_a_file_of_the_base_is_found() -> None:
    stock = clean()
    root = stock.copy()
    node = root[b"bin/busybox"]
    root.replace(b"bin/busybox", with_metadata(node, Metadata(mode=0o4755)))
    (finding,) = check(root, stock_root=stock)
    assert (finding.code, finding.path) == ("PK704", b"bin/busybox")


def test_folder_of_start_scripts_that_tc_cannot_write_is_found() -> None:
    root = clean()
    own(root, "usr/local/tce.installed", 0, 0)
    assert [(each.code, each.path) for each in check(root)] == [
        ("PK503", b"usr/local/tce.installed")
    ]


def test_owners_in_an_extension_are_its_own() -> None:
    root = clean()
    tree = tree_of({"usr/local/tce.installed/x": b"#!/bin/sh\n", "usr/local/bin/x": b"x"})
    put(root, "tmp/builtin/optional/x.tcz", pack(tree))
    put(root, "tmp/builtin/onboot.lst", b"x.tcz\n")
    assert check(root) == ()


def test_merged_extension_is_not_silenced() -> None:
    root = clean()
    silence(root)
    put(root, "usr/local/bin/x", b"#!/bin/sh\n")
    assert check(root) == ()


# The boot.


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ((), ["PK602"]),
        (("rdinit=/sbin/start",), []),
        (("rdinit=/sbin/gone",), ["PK602"]),
        (("root=/dev/sda1",), []),
        (("root=/dev/ram0",), ["PK602"]),
    ],
)
def test_words_of_the_kernel_name_the_first_program(
    words: tuple[str, ...], codes: list[str]
) -> None:
    root = clean()
    root.remove(b"init")
    put(root, "sbin/start", b"#!/bin/sh\n")
    assert [each.code for each in check(root, words=words)] == codes


def test_init_without_the_run_bit_is_found() -> None:
    root = clean()
    root.remove(b"init")
    put(root, "init", b"exec /sbin/init\n", mode=0o644)
    (finding,) = check(root)
    assert finding.message == (
        "'/init', the first program that the kernel starts, cannot be run (mode 0644)"
    )


@pytest.mark.parametrize(
    "node",
    [
        File(metadata=Metadata(mode=0o600), content=b""),
        Device(metadata=Metadata(mode=0o600), kind=DeviceKind.CHARACTER, major=1, minor=3),
        Device(metadata=Metadata(mode=0o600), kind=DeviceKind.BLOCK, major=5, minor=1),
        Symlink(metadata=Metadata(mode=0o777), target=b"gone"),
    ],
)
def test_console_must_be_its_device(node: File | Device | Symlink) -> None:
    root = clean()
    root.remove(b"dev/console")
    root.add(b"dev/console", node)
    assert [each.code for each in check(root)] == ["PK603"]


def test_empty_tree_has_no_finding() -> None:
    assert check(Tree()) == ()


@pytest.mark.parametrize(
    "place",
    [
        "lib/firmware/gone.bin",
        "lib/firmware/gone.bin.xz",
        f"lib/firmware/updates/{RELEASE}/gone.bin",
        "usr/local/lib/firmware/gone.bin",
    ],
)
def test_firmware_is_found_where_the_kernel_looks(place: str) -> None:
    root = clean()
    put(root, f"lib/modules/{RELEASE}/x.ko", MODULE, mode=0o644)
    put(root, place, b"1", mode=0o644)
    assert check(root) == ()


def test_firmware_that_two_modules_ask_for_is_one_finding() -> None:
    root = clean()
    for name in ("a", "b"):
        put(root, f"lib/modules/{RELEASE}/{name}.ko", MODULE, mode=0o644)
    assert [each.path for each in check(root)] == [f"lib/modules/{RELEASE}/a.ko".encode()]


def test_pattern_of_firmware_needs_one_file() -> None:
    module = MODULE.replace(b"gone.bin", b"x/*/a.bin")
    root = clean()
    put(root, f"lib/modules/{RELEASE}/x.ko", module, mode=0o644)
    assert [each.subject for each in check(root)] == ["x/*/a.bin"]
    put(root, "lib/firmware/x/hw1/a.bin", b"1", mode=0o644)
    assert check(root) == ()


# Accounts and keys.


@pytest.mark.parametrize(
    ("password", "codes"),
    [
        (UNKNOWN, []),
        ("*", []),
        ("!", []),
        ("$2b$12$" + "a" * 53, []),
        (hash_password("guest", scheme=Scheme.SHA512, salt="saltsaltsaltsalt"), ["PK702"]),
        ("ab" + "x" * 20, []),
        ("", ["PK701"]),
    ],
)
def test_password_of_an_account(password: str, codes: list[str]) -> None:
    root = clean()
    user("guest", password)(root)
    assert [each.code for each in check(root)] == codes


def test_password_in_passwd_is_checked_and_no_shell_is_no_account() -> None:
    root = clean()
    account(root, "a::1:1::/:/bin/sh\nb:x:2:1::/:/bin/false\n", "b::1:0:9:7:::\n")
    assert [(each.code, each.path, each.subject) for each in check(root)] == [
        ("PK701", b"etc/passwd", "a")
    ]


def test_message_does_not_have_the_password() -> None:
    root = clean()
    user("guest", WELL_KNOWN)(root)
    (finding,) = check(root)
    assert finding.message == "'guest' in '/etc/shadow' has a well-known password"
    assert "toor" not in finding.remedy


def test_number_of_accounts_to_guess_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def guess(text: str, _passwords: object) -> bool:
        tried.append(text)
        return False

    monkeypatch.setattr("purekernel.analysis.secrets.is_hash_of", guess)
    root = clean()
    names = [f"u{number}" for number in range(20)]
    account(
        root,
        "".join(f"{name}:x:1002:50::/tmp:/bin/sh\n" for name in names),
        "".join(f"{name}:{UNKNOWN}:1:0:9:7:::\n" for name in names),
    )
    assert check(root) == ()
    assert len(tried) == MOST_GUESSED_ACCOUNTS


@pytest.mark.parametrize(
    ("path", "codes"),
    [
        ("etc/ssh/ssh_host_key", ["PK703"]),
        ("etc/dropbear/dropbear_ed25519_host_key", ["PK703"]),
        ("etc/ssh/ssh_host_rsa_key.pub", []),
        ("etc/ssh/ssh_host_keys.txt", []),
    ],
)
def test_name_tells_a_host_key(path: str, codes: list[str]) -> None:
    root = clean()
    put(root, path, KEY, mode=0o600)
    assert [each.code for each in check(root)] == codes

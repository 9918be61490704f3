"""Programs and libraries that cannot be loaded, and all that is no finding."""

from __future__ import annotations

import struct

import pytest

from fixtures.kernel import make_kernel
from purekernel.analysis.check import check_image
from purekernel.analysis.findings import Severity
from purekernel.formats.elf.layout import EM_386, EM_ARM, EM_X86_64, ET_EXEC
from purekernel.input import Input
from purekernel.tree import Tree
from tests.analysis.images import (
    LIBC,
    LOADER,
    brief,
    core,
    image,
    library,
    pack,
    program,
    put,
    tree_of,
)
from tests.elves import make_library


def found(*arguments: object, **more: object) -> list[tuple[str, str, str, str]]:
    return brief(check_image(image(*arguments, **more)))  # type: ignore[arg-type]


# PK103


def test_program_that_needs_a_newer_glibc_is_found() -> None:
    """The only finding, of the newest version, although older ones are missing too."""
    htop = program(
        b"libm.so.6",
        b"libc.so.6",
        needed_versions={
            b"libm.so.6": [b"GLIBC_2.0"],
            b"libc.so.6": [b"GLIBC_2.0", b"GLIBC_2.28", b"GLIBC_2.9", b"GLIBC_2.14"],
        },
    )
    stock = core()
    put(stock, "lib/libm.so.6", library(b"libm.so.6", versions=[b"GLIBC_2.0", b"GLIBC_2.4"]))
    (finding,) = check_image(
        image(builtin={"htop.tcz": tree_of({"usr/local/bin/htop": htop})}, stock=stock)
    )
    assert finding.code == "PK103"
    assert finding.severity is Severity.ERROR
    assert finding.owner.name == "htop.tcz"
    assert finding.path == b"usr/local/bin/htop"
    assert finding.subject == "GLIBC_2.28"
    assert finding.message == (
        "'/usr/local/bin/htop' needs GLIBC_2.28, and '/lib/libc.so.6' has none newer than "
        "GLIBC_2.13"
    )
    assert finding.remedy == "use an extension for this release of Tiny Core, or a newer base"


def test_version_of_another_glibc_library_is_compared_with_libc() -> None:
    stock = core()
    put(stock, "lib/libm.so.6", library(b"libm.so.6", versions=[b"GLIBC_2.0", b"GLIBC_2.4"]))
    vim = program(b"libm.so.6", b"libc.so.6", needed_versions={b"libm.so.6": [b"GLIBC_2.29"]})
    (finding,) = check_image(image({"usr/local/bin/vim": vim}, stock=stock))
    assert finding.message.endswith("'/lib/libc.so.6' has none newer than GLIBC_2.13")


def test_version_of_another_library_names_that_library() -> None:
    files = {
        "usr/local/lib/libssl.so.1": library(b"libssl.so.1", versions=[b"OPENSSL_1_1_0"]),
        "usr/local/bin/curl": program(
            b"libssl.so.1", needed_versions={b"libssl.so.1": [b"OPENSSL_1_1_1"]}
        ),
        "usr/local/bin/uuidd": program(
            b"libssl.so.1", needed_versions={b"libssl.so.1": [b"SSL_PRIVATE"]}
        ),
    }
    curl, uuidd = check_image(image(files))
    assert curl.message.endswith("'/usr/local/lib/libssl.so.1' has none newer than OPENSSL_1_1_0")
    assert curl.remedy == "use extensions of one release of Tiny Core, with a newer libssl.so.1"
    assert uuidd.message.endswith("and '/usr/local/lib/libssl.so.1' does not have it")


def test_weak_version_and_library_without_versions_are_no_finding() -> None:
    files = {
        "lib/libold.so.1": library(b"libold.so.1"),
        "bin/a": program(b"libold.so.1", needed_versions={b"libold.so.1": [b"OLD_1"]}),
        "bin/b": program(
            b"libc.so.6", needed_versions={b"libc.so.6": [b"GLIBC_2.40"]}, weak=[b"GLIBC_2.40"]
        ),
    }
    assert found(files) == []


# PK102


def test_missing_library_is_found_for_a_program_and_a_library() -> None:
    files = {
        "usr/local/bin/a": program(b"libx.so.1", b"libc.so.6"),
        "usr/local/lib/liby.so.1": library(b"liby.so.1", b"libx.so.1"),
    }
    assert found(files) == [
        ("PK102", "this build", "usr/local/bin/a", "libx.so.1"),
        ("PK102", "this build", "usr/local/lib/liby.so.1", "libx.so.1"),
    ]


@pytest.mark.parametrize(
    ("folder", "options"),
    [
        ("lib", {}),
        ("usr/lib", {}),
        ("usr/local/lib", {}),
        ("opt/x/lib", {"rpath": b"/opt/x/lib"}),
        ("opt/x/lib", {"runpath": b"/nowhere:$ORIGIN/../lib"}),
        ("opt/x/lib", {"runpath": b"${ORIGIN}/../$LIB"}),
        ("opt/x/bin", {"rpath": b"$ORIGIN"}),
    ],
)
def test_library_in_a_searched_folder_is_present(folder: str, options: dict[str, bytes]) -> None:
    files = {
        f"{folder}/libx.so.1": library(b"libx.so.1"),
        "opt/x/bin/a": program(b"libx.so.1", **options),
    }
    assert found(files) == []


def test_runpath_replaces_rpath() -> None:
    files = {
        "opt/a/libx.so.1": library(b"libx.so.1"),
        "bin/a": program(b"libx.so.1", rpath=b"/opt/a", runpath=b"/opt/b"),
    }
    assert found(files) == [("PK106", "this build", "bin/a", "libx.so.1")]


def test_library_is_present_by_a_path_and_by_its_soname() -> None:
    files = {
        # ldconfig makes the link libx.so.1.
        "usr/local/lib/libx.so.1.2": library(b"libx.so.1"),
        "bin/a": program(b"libx.so.1", b"/opt/liby.so"),
        "opt/liby.so": library(b"liby.so"),
    }
    assert found(files) == []


def test_library_in_a_folder_that_is_not_searched_is_a_note_for_programs_only() -> None:
    files = {
        "opt/deep/libx.so.1": library(b"libx.so.1"),
        "opt/deep/plugin.so": library(b"plugin.so", b"libx.so.1"),
        "usr/local/bin/a": program(b"libx.so.1"),
    }
    (finding,) = check_image(image(files))
    assert (finding.code, finding.severity) == ("PK106", Severity.NOTE)
    assert finding.path == b"usr/local/bin/a"


def test_library_for_another_machine_does_not_satisfy_a_program() -> None:
    files = {
        "usr/local/lib/libx.so.1": make_library(b"libx.so.1", machine=EM_X86_64),
        "usr/lib/libx.so.1": library(b"libx.so.1"),
        "bin/a": program(b"libx.so.1"),
    }
    assert found(files) == [("PK101", "this build", "usr/local/lib/libx.so.1", "x86_64")]


def test_library_of_a_loaded_extension_is_present_and_of_the_mirror_is_not() -> None:
    lib = tree_of({"usr/local/lib/libx.so.1": library(b"libx.so.1")})
    user = tree_of({"usr/local/bin/a": program(b"libx.so.1")})
    assert found(builtin={"user.tcz": user, "lib.tcz": lib}) == []
    assert found(builtin={"user.tcz": user}, mirror={"lib.tcz": lib}) == [
        ("PK102", "user.tcz", "usr/local/bin/a", "libx.so.1")
    ]


def test_extension_of_the_mirror_sees_its_dependencies_only() -> None:
    lib = tree_of({"usr/local/lib/libx.so.1": library(b"libx.so.1", b"liby.so.1")})
    other = tree_of({"usr/local/lib/liby.so.1": library(b"liby.so.1")})
    user = tree_of({"usr/local/bin/a": program(b"libx.so.1")})
    mirror = {"user.tcz": user, "lib.tcz": lib, "other.tcz": other}
    needs = {"user.tcz": ("lib.tcz",), "lib.tcz": ("other.tcz", "user.tcz")}
    assert found(mirror=mirror, needs=needs) == []
    assert found(mirror=mirror, needs={"lib.tcz": ("other.tcz",)}) == [
        ("PK102", "user.tcz", "usr/local/bin/a", "libx.so.1")
    ]


def test_builtin_loads_what_it_depends_on() -> None:
    lib = tree_of({"usr/local/lib/libx.so.1": library(b"libx.so.1")})
    user = tree_of({"usr/local/bin/a": program(b"libx.so.1")})
    subject = image(builtin={"user.tcz": user, "lib.tcz": lib}, needs={"user.tcz": ("lib.tcz",)})
    put(subject.root, "tmp/builtin/onboot.lst", b"user.tcz\n")
    assert check_image(subject) == ()


def test_extension_that_is_already_installed_is_not_loaded() -> None:
    lib = tree_of({"usr/local/lib/libx.so.1": library(b"libx.so.1")})
    user = tree_of({"usr/local/bin/a": program(b"libx.so.1")})
    subject = image(
        {"usr/local/tce.installed/lib": b""}, builtin={"user.tcz": user, "lib.tcz": lib}
    )
    codes = [each.code for each in check_image(subject)]
    assert "PK102" in codes
    assert {code for code in codes if code < "PK5"} == {"PK102"}


def test_extensions_on_the_disc_are_loaded_and_those_of_the_base_are_not_checked() -> None:
    lib = pack(tree_of({"usr/local/lib/libx.so.1": library(b"libx.so.1", b"libnone.so.1")}))
    user = pack(tree_of({"usr/local/bin/a": program(b"libx.so.1", b"libzzz.so.1")}))
    stock = tree_of({"cde/optional/lib.tcz": lib, "cde/onboot.lst": b"lib.tcz\n"})
    disc = stock.copy()
    put(disc, "cde/optional/user.tcz", user)
    put(disc, "cde/onboot.lst", b"lib.tcz\nuser.tcz\n")
    assert brief(check_image(image(disc=disc, stock_disc=stock))) == [
        ("PK102", "user.tcz", "usr/local/bin/a", "libzzz.so.1")
    ]


def test_extensions_of_a_partition_are_loaded_and_checked() -> None:
    user = pack(tree_of({"usr/local/bin/a": program(b"libx.so.1", b"libzzz.so.1")}))
    lib = pack(tree_of({"usr/local/lib/libx.so.1": library(b"libx.so.1")}))
    files = {"optional/user.tcz": user, "optional/lib.tcz": lib}
    loaded = tree_of({**files, "onboot.lst": b"lib.tcz\nuser.tcz\n"})
    assert [row[3] for row in found(tce=loaded)] == ["libzzz.so.1"]
    assert [row[3] for row in found(tce=tree_of(files))] == ["libx.so.1", "libzzz.so.1"]


# PK101


@pytest.mark.parametrize(
    ("machine", "bits", "name"),
    [(EM_X86_64, 64, "x86_64"), (EM_ARM, 32, "ARM"), (99, 32, "machine 99 of 32 bits")],
)
def test_program_for_another_machine_is_found(machine: int, bits: int, name: str) -> None:
    content = make_library(
        None, b"libc.so.6", machine=machine, bits=bits, kind=ET_EXEC, interpreter=b"/lib/ld.so"
    )
    (finding,) = check_image(image(builtin={"x.tcz": tree_of({"usr/local/bin/x": content})}))
    assert brief((finding,)) == [("PK101", "x.tcz", "usr/local/bin/x", name)]
    assert finding.message == f"'/usr/local/bin/x' is for {name}, and the image is for x86"
    assert finding.remedy == "use one that is built for x86"


def static(machine: int, bits: int) -> bytes:
    """Return a program without a loader and a dynamic section."""
    data = make_library(None, machine=machine, bits=bits, kind=ET_EXEC)
    at = 56 if bits == 64 else 44
    return data[:at] + struct.pack("<H", 1) + data[at + 2 :]


def wide_core() -> Tree:
    libc = make_library(b"libc.so.6", machine=EM_X86_64)
    busybox = make_library(
        None, b"libc.so.6", machine=EM_X86_64, kind=ET_EXEC,
        interpreter=b"/lib/ld-linux-x86-64.so.2",
    )  # fmt: skip
    return tree_of(
        {
            "lib/ld-linux-x86-64.so.2": make_library(b"ld-linux-x86-64.so.2", machine=EM_X86_64),
            "lib/libc.so.6": libc,
            "bin/busybox": busybox,
        }
    )


def test_x86_program_on_x86_64_needs_its_loader_unless_it_is_static() -> None:
    plain = program(b"libc.so.6")
    assert found({"bin/a": static(EM_386, 32)}, stock=wide_core()) == []
    assert found({"bin/a": plain}, stock=wide_core()) == [("PK101", "this build", "bin/a", "x86")]
    compat = {"lib/ld-linux.so.2": library(b"ld-linux.so.2"), "usr/lib/libc.so.6": LIBC}
    assert found({"bin/a": plain, **compat}, stock=wide_core()) == []


def test_static_x86_64_program_on_x86_needs_a_64_bit_kernel() -> None:
    files = {"bin/a": static(EM_X86_64, 64)}
    assert found(files) == [("PK101", "this build", "bin/a", "x86_64")]
    kernel = bytearray(make_kernel().ljust(0x300, b"\0"))
    struct.pack_into("<H", kernel, 0x206, 0x020F)
    struct.pack_into("<H", kernel, 0x236, 1)
    assert found(files, kernel=Input(bytes(kernel), name="vmlinuz64")) == []


@pytest.mark.parametrize(
    "path",
    ["lib/firmware/card.elf", "usr/local/lib/firmware/x/fw", "boot/memtest", "usr/x/menu.c32"],
)
def test_what_linux_does_not_load_is_not_checked(path: str) -> None:
    assert found({path: static(EM_ARM, 32)}) == []


def test_file_that_is_not_executable_is_not_checked() -> None:
    subject = image()
    put(subject.root, "usr/share/x", static(EM_ARM, 32), mode=0o644)
    assert check_image(subject) == ()


# PK104


def test_missing_loader_is_found() -> None:
    content = make_library(
        None, b"libc.so.6", machine=EM_X86_64, kind=ET_EXEC,
        interpreter=b"/lib64/ld-linux-x86-64.so.2",
    )  # fmt: skip
    (finding,) = check_image(image({"opt/x": content}, stock=wide_core()))
    assert brief((finding,)) == [("PK104", "this build", "opt/x", "/lib64/ld-linux-x86-64.so.2")]
    linked = {"lib64": b"->lib", "opt/x": content}
    assert found(linked, stock=wide_core()) == []


def test_program_of_another_c_library_is_checked_for_its_loader_only() -> None:
    musl = program(b"libc.musl-x86.so.1", b"libz.so.1", interpreter=b"/lib/ld-musl-i386.so.1")
    loader = {"lib/ld-musl-i386.so.1": library(b"ld-musl-i386.so.1")}
    assert found({"bin/a": musl, **loader}) == []
    assert [code for code, *_rest in found({"bin/a": musl})] == ["PK104"]


# PK105, PK110


def test_damaged_program_is_a_warning() -> None:
    (finding,) = check_image(image({"bin/a": program(b"libc.so.6")[:70]}))
    assert (finding.code, finding.severity) == ("PK105", Severity.WARNING)
    assert finding.message == (
        "'/bin/a' is damaged: expected 3 program headers, got the end of the file"
    )


def test_damaged_extension_is_found_and_others_are_checked() -> None:
    subject = image(builtin={"user.tcz": tree_of({"bin/a": program(b"libx.so.1")})})
    put(subject.root, "tmp/builtin/optional/bad.tcz", b"hsqs" + bytes(200))
    findings = check_image(subject)
    assert [each.code for each in findings] == ["PK102", "PK110"]
    assert findings[1].owner.name == "bad.tcz"
    assert findings[1].path == b"tmp/builtin/optional/bad.tcz"


def test_damaged_contents_are_a_finding_and_do_not_end_the_checks() -> None:
    words = b"#!/bin/sh\n" + b"".join(b"%d\n" % number for number in range(900))
    damaged = bytearray(
        pack(
            tree_of(
                {
                    "usr/local/bin/x": words,
                    "usr/local/tce.installed/bad": words[::-1],
                    "usr/local/lib/modules/3.0/a.ko": words[:1500],
                }
            )
        )
    )
    damaged[100:400] = bytes(300)
    subject = image({"opt/bootlocal.sh": b"#!/bin/sh\nmodprobe zram\n"})
    put(subject.root, "tmp/builtin/optional/bad.tcz", bytes(damaged))
    findings = check_image(subject)
    assert {(each.code, each.owner.name) for each in findings} == {("PK105", "bad.tcz")}
    assert b"usr/local/bin/x" in [each.path for each in findings]


# What is checked


def test_files_of_the_base_are_not_checked_and_changed_ones_are() -> None:
    stock = core()
    put(stock, "usr/bin/old", program(b"libnone.so.1"))
    assert found(stock=stock) == []
    assert found({"usr/bin/old": program(b"libnone.so.2")}, stock=stock) == [
        ("PK102", "this build", "usr/bin/old", "libnone.so.2")
    ]


def test_file_that_the_root_has_already_is_not_checked_in_an_extension() -> None:
    extension = tree_of({"bin/busybox": program(b"libnone.so.1")})
    assert found(builtin={"busybox.tcz": extension}) == []


def test_root_without_programs_is_not_compared() -> None:
    rows = found({"bin/a": static(EM_ARM, 32)}, stock=Tree())
    assert [row for row in rows if row[0] < "PK5"] == []


def test_loader_of_a_program_is_found_through_links() -> None:
    stock = core()
    stock.remove(b"lib/ld-linux.so.2")
    put(stock, "lib/ld-2.13.so", library(b"ld-linux.so.2"))
    put(stock, "lib/ld-linux.so.2", b"->ld-2.13.so")
    assert found({"bin/a": program(b"libc.so.6", interpreter=LOADER)}, stock=stock) == []

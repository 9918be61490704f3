from __future__ import annotations

import hashlib

import pytest

from purekernel.errors import FormatError, LimitError, PathError
from purekernel.formats.tinycore import parse_dependencies, parse_md5
from purekernel.input import Input, Limits
from purekernel.plan.conversion import build_companions, convert_package
from purekernel.tree import File, newest_time
from tests import debian
from tests.debs import MTIME, control, deb, entry

CONTENT = b"hsqs" + bytes(5000)


def test_package_becomes_extension_with_companion_files() -> None:
    text = control(
        "tool",
        "1:2.0-1",
        fields={
            "Homepage": "https://example.org/tool",
            "Section": "utils",
            "Description": "a tool\n It does\tthings.\n .\n And more.",
        },
    )
    made, notes = convert_package(
        deb(text, scripts={"postinst": b"#!/bin/sh\n", "prerm": b"#!/bin/sh\n"}),
        source="tool.deb",
        needs=("pci-utils.tcz", "libtool.tcz"),
        import_script=b"echo imported\n",
    )
    assert made.name == "tool.tcz"
    assert notes == ()
    script = made.file[b"usr/local/tce.installed/tool"]
    assert isinstance(script, File)
    assert bytes(script.content) == (
        b"#!/bin/sh\n/usr/local/postinst/tool configure 2>/dev/null\necho imported\n"
    )
    assert newest_time(made.file) == MTIME
    beside = build_companions(made, CONTENT)
    assert list(beside) == [".md5.txt", ".dep", ".info", ".list"]
    digest = hashlib.md5(CONTENT).hexdigest()
    assert beside[".md5.txt"] == f"{digest}  tool.tcz\n".encode()
    assert parse_md5(Input(beside[".md5.txt"], name="x")) == digest
    assert parse_dependencies(Input(beside[".dep"], name="x")) == ("pci-utils.tcz", "libtool.tcz")
    assert beside[".list"] == (
        b"usr/bin/tool\nusr/local/postinst/tool\nusr/local/tce.installed/tool\n"
    )
    assert beside[".info"].decode() == (
        "Title:          tool.tcz\n"
        "Description:    a tool\n"
        "Version:        1:2.0-1\n"
        "Author:         see Original-site\n"
        "Original-site:  https://example.org/tool\n"
        "Copying-policy: see usr/share/doc/tool/copyright in the package\n"
        "Size:           5K\n"
        "Extension_by:   purekernel, of tool_2.0-1_i386.deb\n"
        "Tags:           utils\n"
        "Comments:       It does things.\n"
        "\n"
        "                And more.\n"
    )


def test_extension_without_dependencies_has_no_dep_file() -> None:
    made, _notes = convert_package(deb(), source="tool.deb")
    assert ".dep" not in build_companions(made, CONTENT)


def test_extension_name_option_is_used() -> None:
    made, notes = convert_package(
        deb(scripts={"postinst": b"#!/bin/bash\n"}), source="tool.deb", name="other.tcz"
    )
    assert b"usr/local/tce.installed/other" in made.file
    assert notes == ("other.tcz: the package's postinst runs /bin/bash, which Core does not have",)


def test_invalid_packages_are_refused() -> None:
    with pytest.raises(FormatError, match=r"tool\.deb, byte 0: expected an ar archive"):
        convert_package(b"no package", source="tool.deb")
    with pytest.raises(PathError, match=r"tool\.deb: data\.tar\.xz, byte 0: .* '\.\.'"):
        convert_package(deb(data=[entry("/../etc/passwd", b"")]), source="tool.deb")
    with pytest.raises(LimitError, match="at most 10 bytes"):
        convert_package(deb(), source="tool.deb", limits=Limits(unpacked_bytes=10))


def test_unusual_archives_in_a_package_are_in_the_notes() -> None:
    data = deb(data=[entry("/opt/a", b"old"), entry("./opt/a", b"new")])
    extension, notes = convert_package(data + b"junk", source="tool.deb")
    assert extension.file.read("opt/a") == b"new"
    assert notes == (
        f"tool.deb: ignored 4 bytes after data.tar.xz, at byte {len(data)}",
        (
            "tool.deb: data.tar.xz: 1 member replaces an earlier one of the same name: "
            "'opt/a' at byte 1024 replaces the one at byte 0"
        ),
        "tool.deb: data.tar.xz: removed the leading '/' from 1 name: '/opt/a'",
    )


@pytest.mark.oracle
def test_conversion_is_reproducible() -> None:
    data = debian.package("man-db").read_bytes()
    first, second = (convert_package(data, source=name)[0] for name in ("a.deb", "b.deb"))
    assert first.file == second.file
    assert build_companions(first, CONTENT) == build_companions(second, CONTENT)
    assert [node for _path, node in first.file.walk()] == [
        node for _path, node in second.file.walk()
    ]


def test_scripts_and_triggers_that_do_not_run_are_reported() -> None:
    scripts = {
        "preinst": b"#!/bin/sh\n",
        "config": b"#!/bin/sh\n",
        "triggers": b"interest /usr/lib/x\nactivate-noawait ldconfig\nactivate update-icons\n",
    }
    _made, notes = convert_package(deb(scripts=scripts), source="tool.deb")
    assert notes == (
        "tool.tcz: the package's preinst and config do not run",
        "tool.tcz: the package's triggers do not run: update-icons",
    )


def test_control_files_without_a_use_in_core_are_not_reported() -> None:
    scripts = {
        "postrm": b"#!/bin/sh\n", "prerm": b"#!/bin/sh\n", "conffiles": b"/etc/x\n",
        "md5sums": b"", "shlibs": b"", "symbols": b"", "templates": b"",
        "triggers": b"# made by dh\nactivate-noawait ldconfig\n",
    }  # fmt: skip
    _made, notes = convert_package(deb(scripts=scripts), source="tool.deb")
    assert notes == ()

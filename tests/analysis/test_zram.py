"""A kernel without built-in zram, which the boot waits for."""

from __future__ import annotations

import struct

import pytest

from purekernel.analysis.check import check_image
from purekernel.analysis.findings import Severity
from purekernel.analysis.zram import has_zram
from purekernel.formats.bzimage import kernel_release
from purekernel.formats.core_iso import parse_base
from purekernel.input import Input
from tests.analysis.images import core, image, put, tree_of
from tests.bzimages import make_bzimage, make_payload
from tests.shared import core_iso, modern

WAITS = b"""#!/bin/sh
if [ -n "$NOZSWAP" ]; then
	echo skipped
else
	while [ ! -e /dev/zram0 ]; do usleep 50000; done
	mkswap /dev/zram0
fi
"""
LOADS = WAITS.replace(b"\twhile", b"\tmodprobe -q zram\n\twhile")
BUILT_IN = b"text\0zram.num_devices\0text"
MODULE = "lib/modules/6.1.0-mine/kernel/drivers/block/zram/zram.ko"


def kernel(content: bytes = b"", release: str = "6.1.0-mine") -> Input:
    data = bytearray(make_bzimage(make_payload(content.ljust(500), "gzip")))
    struct.pack_into("<H", data, 0x20E, 0x300)
    text = f"{release} (me@here) #1\0".encode()
    data[0x500 : 0x500 + len(text)] = text
    return Input(bytes(data), name="vmlinuz")


def codes(
    found: Input, files: dict[str, bytes] | None = None, *, script: bytes = WAITS, menu: bytes = b""
) -> list[str]:
    stock = core()
    put(stock, "etc/init.d/tc-config", script)
    disc = tree_of({"boot/isolinux/isolinux.cfg": menu})
    return [each.code for each in check_image(image(files, stock=stock, disc=disc, kernel=found))]


def test_kernel_without_zram_is_found() -> None:
    stock = core()
    put(stock, "etc/init.d/tc-config", WAITS)
    (finding,) = check_image(image(stock=stock, kernel=kernel()))
    assert (finding.code, finding.severity) == ("PK401", Severity.ERROR)
    assert finding.message == (
        "'/etc/init.d/tc-config' waits for /dev/zram0 for ever, because the kernel 6.1.0-mine has "
        "no built-in zram"
    )
    assert "add nozswap" in finding.remedy


def test_built_in_zram_is_told_by_the_kernel_and_by_its_list() -> None:
    listed = "lib/modules/6.1.0-mine/modules.builtin"
    assert codes(kernel(BUILT_IN)) == []
    assert codes(kernel(), {listed: b"kernel/drivers/block/zram/zram.ko\n"}) == []
    assert codes(kernel(BUILT_IN), {listed: b"kernel/drivers/block/loop.ko\n"}) == ["PK401"]


def test_module_helps_only_a_script_that_loads_it() -> None:
    files = {MODULE: b"x"}
    assert codes(kernel(), files) == ["PK401"]
    assert codes(kernel(), files, script=LOADS) == []
    assert codes(kernel(), script=LOADS) == ["PK401"]
    in_a_loop = b"for m in loop zram; do modprobe -q $m; done\n" + WAITS
    assert codes(kernel(), files, script=in_a_loop) == []
    assert codes(kernel(), {**files, "init": b"#!/bin/sh\nmodprobe zram\n"}) == []
    assert codes(kernel(), files, script=b"# modprobe zram\n" + WAITS) == ["PK401"]


def test_unknown_kernel_is_a_note() -> None:
    assert codes(kernel(b"a path: drivers/zram/x.c")) == ["PK402"]
    assert codes(Input(kernel().data[:0x600], name="x")) == ["PK402"]


@pytest.mark.parametrize(
    ("menu", "expected"),
    [
        (b"LABEL a\n\tAPPEND initrd=/boot/core.gz quiet nozswap cde\n", []),
        (b"menuentry x {\n  linux /boot/vmlinuz quiet nozswap\n}\n", []),
        (b"append initrd=/boot/core.gz quiet\nsay type nozswap to skip it\n", ["PK401"]),
        (b"append nozswapping\n", ["PK401"]),
    ],
)
def test_nozswap_in_a_menu_ends_the_wait(menu: bytes, expected: list[str]) -> None:
    assert codes(kernel(), menu=menu) == expected


def test_nozswap_in_the_words_of_a_base_without_menu_ends_the_wait() -> None:
    stock = core()
    put(stock, "etc/init.d/tc-config", WAITS)
    assert check_image(image(stock=stock, kernel=kernel(), words=("quiet", "nozswap"))) == ()
    assert check_image(image(stock=stock, kernel=kernel(), words=("quiet",))) != ()


def test_system_that_does_not_wait_has_no_finding() -> None:
    assert codes(kernel(), script=b"#!/bin/sh\n# while [ ! -e /dev/zram0 ]\n") == []


@pytest.mark.slow
def test_real_kernels_are_told_apart() -> None:
    """Linux 3.16.6 of Tiny Core has zram built in, 3.0.3 as a module, Debian's 6.1 likewise."""
    data = (modern() / "roots/6.4.1/vmlinuz64").read_bytes()
    assert has_zram(Input(data, name="vmlinuz64"), tree_of({}), kernel_release(data)) is True
    for path, without_modules in (
        (core_iso(), None),
        (modern() / "TinyCorePure64-look.iso", False),
    ):
        base = parse_base(Input(path.read_bytes(), name=path.name))
        content = bytes(base.kernel.content)
        file, release = Input(content, name="vmlinuz"), kernel_release(content)
        assert has_zram(file, base.root, release) is False
        assert has_zram(file, tree_of({}), release) is without_modules

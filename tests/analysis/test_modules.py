"""Kernel modules for another kernel."""

from __future__ import annotations

import gzip

from fixtures.kernel import RELEASE, make_kernel
from purekernel.analysis.check import check_image
from purekernel.input import Input
from tests.analysis.images import brief, image, tree_of
from tests.kernel_modules import make_module

KERNEL = Input(make_kernel(), name="vmlinuz")
FOLDER = "usr/local/lib/modules"


def module(release: str) -> bytes:
    return make_module([f"license=GPL\0vermagic={release} mod_unload 486"])


def test_folder_of_another_release_is_one_finding() -> None:
    tree = tree_of(
        {
            f"{FOLDER}/5.15.10-tinycore/kernel/net/{name}.ko.gz": gzip.compress(b"x")
            for name in ("a", "b", "c")
        }
    )
    (finding,) = check_image(image(builtin={"wireless.tcz": tree}, kernel=KERNEL))
    assert brief((finding,)) == [
        ("PK201", "wireless.tcz", f"{FOLDER}/5.15.10-tinycore", "5.15.10-tinycore")
    ]
    assert finding.message == (
        f"'/{FOLDER}/5.15.10-tinycore' has 3 modules for kernel 5.15.10-tinycore, and the "
        f"image's kernel is {RELEASE}"
    )


def test_modules_for_the_kernel_are_no_finding() -> None:
    files = {
        f"{FOLDER}/{RELEASE}/kernel/a.ko.gz": gzip.compress(module(RELEASE)),
        f"lib/modules/{RELEASE}/kernel/b.ko": module(RELEASE),
        "usr/share/doc/x.ko": b"x",
        f"{FOLDER}/x.ko": b"x",
    }
    assert check_image(image(files, kernel=KERNEL)) == ()


def test_module_that_was_built_for_another_kernel_is_found() -> None:
    files = {
        f"{FOLDER}/{RELEASE}/kernel/a.ko.gz": gzip.compress(module("6.6.8-tinycore64")),
        f"{FOLDER}/{RELEASE}/kernel/b.ko.gz": gzip.compress(module("6.6.8-tinycore64")),
    }
    (finding,) = check_image(image(files, kernel=KERNEL))
    assert brief((finding,)) == [
        ("PK202", "this build", f"{FOLDER}/{RELEASE}/kernel/a.ko.gz", "6.6.8-tinycore64")
    ]
    assert finding.message.endswith(
        f"was built for kernel 6.6.8-tinycore64, and the image's kernel is {RELEASE}"
    )


def test_damaged_module_and_module_without_vermagic_are_no_finding() -> None:
    for content in (gzip.compress(module("1.0"))[:40], make_module(), b""):
        files = {f"{FOLDER}/{RELEASE}/a.ko.gz": content}
        assert check_image(image(files, kernel=KERNEL)) == ()


def test_release_is_that_of_the_only_folder_if_the_kernel_does_not_say() -> None:
    files = {f"{FOLDER}/2.0/a.ko": b"x", "lib/modules/1.0/a.ko": module("1.0")}
    assert [each.subject for each in check_image(image(files))] == ["2.0"]
    assert check_image(image({f"{FOLDER}/2.0/a.ko": b"x"})) == ()

from __future__ import annotations

from fixtures.bundle import make_bundle
from purekernel.build.boot_menu import BootChanges
from purekernel.build.bundle import parse_bundle
from purekernel.build.image import Options, build_image
from purekernel.build.pxe import build_pxe_files


def test_a_servers_folder_has_both_menus_and_what_they_name() -> None:
    bundle = parse_bundle(make_bundle(), source="b")
    options = Options(version="1.0", boot=BootChanges(append="console=ttyS0"))
    image = build_image(bundle, options=options)
    files = build_pxe_files(image)
    assert list(files) == ["boot/vmlinuz", "boot/core.gz", "pxelinux.cfg/default", "boot.ipxe"]
    assert files["boot/core.gz"] == image.core
    words = "loglevel=3 console=ttyS0"
    assert bytes(files["pxelinux.cfg/default"]).decode() == (
        "# rz_mk_dev-image.1.0\n"
        "default microkernel\n"
        "prompt 0\n"
        "\n"
        "label microkernel\n"
        "\tkernel boot/vmlinuz\n"
        f"\tappend initrd=boot/core.gz {words}\n"
    )
    assert bytes(files["boot.ipxe"]).decode() == (
        "#!ipxe\n"
        "# rz_mk_dev-image.1.0\n"
        f"kernel boot/vmlinuz initrd=core.gz {words}\n"
        "initrd boot/core.gz\n"
        "boot\n"
    )

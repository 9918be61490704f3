"""Test [system], [groups], authorized keys and the serial port in whole builds."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel import Image, build, load_recipe, sample_bundle
from purekernel.cli import main
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.model import Recipe
from tests.formats.test_public_key import LINE
from tests.rootfs.test_accounts import GROUP, PASSWD, SHADOW
from tests.rootfs.test_inittab import CORE
from tests.rootfs.test_system import BOOTLOCAL, BOOTSYNC
from tests.workshop import Workshop, two_lines

RECIPE = """\
timestamp = 1700000000
[core]
iso = '{iso}'
[[overlay]]
path = 'site'
[accounts.tc]
password = 'test1234'
groups = ['backup']
authorized-keys = ['{line}']
[groups.backup]
[system]
hostname = 'web1'
services = ['crond']
[boot]
serial = 'ttyS0,9600'
"""
SITE = {
    "etc/passwd": PASSWD,
    "etc/shadow": SHADOW,
    "etc/group": GROUP,
    "etc/inittab": CORE,
    "etc/hostname": b"box\n",
    "opt/bootsync.sh": BOOTSYNC,
    "opt/bootlocal.sh": BOOTLOCAL,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    workshop = Workshop(tmp_path, monkeypatch)
    here = tmp_path / "here"
    for path, content in SITE.items():
        file = here / "site" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    monkeypatch.chdir(here)
    iso = workshop.mirror / "4.x" / "x86" / "release" / "Core-current.iso"
    Path("purekernel.toml").write_text(RECIPE.format(iso=iso, line=LINE))
    return here


def make(folder: Path, *changes: tuple[str, str], flavour: str = "dev") -> Image:
    recipe = folder / "purekernel.toml"
    text = recipe.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    recipe.write_text(f"flavour = '{flavour}'\n{text}")
    return build(load_recipe(recipe))


def lines(image: Image, path: str) -> list[str]:
    return image.root.read(path).decode().splitlines()


GETTY = "ttyS0::respawn:/sbin/getty -L 9600 ttyS0 vt100"


def test_recipe_sets_up_the_system_of_its_image(folder: Path) -> None:
    image = make(folder)
    assert lines(image, "etc/hostname") == ["web1"]
    assert "/usr/bin/sethostname web1" in lines(image, "opt/bootsync.sh")
    assert lines(image, "etc/group")[-1] == "backup:x:1000:tc"
    assert lines(image, "home/tc/.ssh/authorized_keys") == [LINE]
    assert image.root[b"home/tc/.ssh"].metadata.uid == 1001
    assert lines(image, "opt/bootlocal.sh")[-1] == "/usr/local/etc/init.d/crond start"
    assert GETTY in lines(image, "etc/inittab")
    menu = image.iso.read("boot/isolinux/isolinux.cfg").decode()
    assert menu.count(" console=tty0 console=ttyS0,9600\n") == menu.count("append ")
    (note,) = image.notes
    assert "purekernel.toml, line 14, services under [system]: service 'crond' is" in note
    assert max(node.metadata.mtime for _path, node in image.root.walk()) <= 1_700_000_000


@pytest.mark.slow
def test_consoles_of_the_base_are_replaced_and_the_last_is_the_port(folder: Path) -> None:
    make(folder, ("serial = 'ttyS0,9600'", "append = 'x=1'\nserial = 'ttyS0'"))
    once = build(load_recipe(folder / "purekernel.toml"))
    (folder / "again.iso").write_bytes(once.iso_bytes())
    recipe = (folder / "purekernel.toml").read_text()
    iso = next(line for line in recipe.splitlines() if line.startswith("iso = "))
    recipe = recipe.replace(iso, "iso = 'again.iso'").replace("'ttyS0'", "'ttyS0,1200'")
    (folder / "purekernel.toml").write_text(recipe)
    menu = build(load_recipe(folder / "purekernel.toml")).iso.read("boot/isolinux/isolinux.cfg")
    assert menu.count(b" x=1 console=tty0 console=ttyS0,1200\n") == menu.count(b"append ")
    assert menu.count(b"console=") == 2 * menu.count(b"append ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flavour", "password", "getty"),
    [
        ("prod", "*", GETTY),
        ("debug", "$1$", GETTY.replace("-L", "-L -nl /sbin/autologin-ttyS0")),
    ],
)
def test_flavour_decides_how_users_log_in(
    folder: Path, flavour: str, password: str, getty: str
) -> None:
    changes = [("password = 'test1234'\n", "")] if flavour == "prod" else []
    image = make(folder, *changes, flavour=flavour)
    assert getty in lines(image, "etc/inittab")
    (entry,) = (line for line in lines(image, "etc/shadow") if line.startswith("tc:"))
    assert entry.split(":")[1].startswith(password)
    assert lines(image, "home/tc/.ssh/authorized_keys") == [LINE]


@pytest.mark.slow
def test_faults_of_all_keys_are_reported_in_one_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder)
    site = folder / "site"
    (site / "opt" / "bootsync.sh").write_text("#!/bin/sh\nsethostname $(cat /mac)\n")
    recipe = (folder / "purekernel.toml").read_text()
    recipe = recipe.replace("['backup']", "['backupp']").replace(
        "hostname =", "timezone = 'Europe/Viena'\nhostname ="
    )
    (folder / "purekernel.toml").write_text(recipe)
    capsys.readouterr()
    assert main(["build", "-q"]) == 1
    messages = [message for message, _hint in two_lines(capsys.readouterr().err)]
    assert messages == [
        (
            "purekernel.toml, line 9, groups under [accounts.tc]: group 'backupp': not found in "
            "the image"
        ),
        (
            "purekernel.toml, line 14, hostname under [system]: 'opt/bootsync.sh', line 2: must "
            "set a plain host name, so that another can replace it, got 'sethostname $(cat /mac)'"
        ),
        (
            "purekernel.toml, line 13, timezone under [system]: the image has no time zone "
            "'Europe/Viena': neither it nor a builtin extension has it in 'usr/share/zoneinfo' and "
            "'usr/local/share/zoneinfo'"
        ),
    ]


@pytest.mark.slow
def test_image_of_a_bundle_gets_a_serial_login() -> None:
    changes = Recipe(boot=BootChanges(serial="ttyS1,57600"))
    image = build(sample_bundle(changes=changes))
    assert "ttyS1::respawn:/sbin/getty -L 57600 ttyS1 vt100" in lines(image, "etc/inittab")
    menu = image.iso.read("boot/isolinux/isolinux.cfg")
    assert b"console=tty0 console=ttyS1,57600" in menu


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--serial", "ttyS9,abc"],
            (
                'the serial port must be a serial port and its speed, such as "ttyS0,115200", got '
                "'ttyS9,abc'"
            ),
        ),
        (
            ["--serial", "ttyS0,9600", "--boot-append", "console=ttyS1"],
            (
                "console=ttyS1 among the kernel parameters contradicts the serial port, which sets "
                "console=tty0 and console=ttyS0,9600"
            ),
        ),
    ],
)
def test_wrong_options_are_errors(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    for source in ([], ["--sample"]):
        assert main(["build", "-q", *source, *options]) == 2
        ((shown, _hint),) = two_lines(capsys.readouterr().err)
        assert shown == message
    assert folder.is_dir()

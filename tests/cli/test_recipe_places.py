"""Test that errors caused by a key of a recipe name file, line and key, at every stage."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from purekernel.cli import main
from tests.workshop import ISO, Workshop, two_lines

ZEROS = "0" * 64


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path, monkeypatch)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("TC_PASSWORD", raising=False)
    Path("text").write_text("neither a folder nor an archive")
    with tarfile.open("site.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("etc/site"))
    return made


def errors(workshop: Workshop, capsys: pytest.CaptureFixture[str], more: str) -> list[str]:
    """Return the messages of a build from a recipe with local mirrors and the text ``more``."""
    recipe = (
        "timestamp = 1700000000\n"
        "[mirrors]\n"
        f"tinycore = ['{workshop.mirror}']\n"
        f"gems = ['{workshop.top / 'gems'}']\n"
        "\n" + more.replace("MIRROR", str(workshop.mirror))
    )
    Path("purekernel.toml").write_text(recipe, encoding="utf-8")
    capsys.readouterr()
    assert main(["build", "-q"]) in (1, 2)
    return [message for message, _hint in two_lines(capsys.readouterr().err)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "place", "words"),
    [
        # Errors while planning
        ("[[overlay]]\npath = 'gone'", "path under [[overlay]]", "overlay not found: gone"),
        ("[core]\niso = 'gone.iso'", "iso under [core]", "gone.iso not found: tried gone.iso"),
        ("[core]\nversion = '9.x'", "version under [core]", "Core-current.iso"),
        (
            "[extensions]\nbuiltin = ['gone']",
            "builtin under [extensions]",
            "no mirror has gone.tcz",
        ),
        ("[extensions]\nmirror = ['gone']", "mirror under [extensions]", "no mirror has gone.tcz"),
        ("[extensions]\nmerged = ['gone']", "merged under [extensions]", "no mirror has gone.tcz"),
        (
            "[[cut]]\nextension = 'gone'\nfiles = ['a']",
            "extension under [[cut]]",
            "no mirror has gone.tcz",
        ),
        ("[gems]\nwanted = ['gone']", "wanted under [gems]", "no mirror has the gem gone"),
        ("[razor]\nproject = 'gone'", "project under [razor]", "project not found: gone"),
        ("[razor]\nproject = 'text'", "project under [razor]", "text"),
        (
            f"[razor]\nproject-sha256 = '{ZEROS}'\nproject = 'site.tar'",
            "project-sha256 under [razor]",
            "site.tar",
        ),
        ("[[file]]\nsource = 'gone'\npath = 'a'", "source under [[file]]", "file not found: gone"),
        (
            "[[edit]]\nregex = '('\npaths = ['a']\nreplace = ''",
            "regex under [[edit]]",
            "a '(' without its ')'",
        ),
        # Errors while fetching
        (
            f"[core]\niso-sha256 = '{ZEROS}'\niso = 'MIRROR/{ISO}'",
            "iso-sha256 under [core]",
            "Core-current.iso failed verification",
        ),
        (
            "[[overlay]]\nurl = 'file:///gone.tar'",
            "url under [[overlay]]",
            "gone.tar not found",
        ),
        # Errors while composing
        (
            f"[[overlay]]\nsha256 = '{ZEROS}'\npath = 'site.tar'",
            "sha256 under [[overlay]]",
            "site.tar",
        ),
        ("[[overlay]]\npath = 'text'", "path under [[overlay]]", "text"),
        (
            "[accounts.tc]\npassword-env = 'TC_PASSWORD'",
            "password-env under [accounts.tc]",
            "the password of 'tc' is missing",
        ),
        ("[accounts.anna]\nuid = 1001", "uid under [accounts.anna]", "the uid 1001 already"),
        ("[accounts.tc]\nhome = '/etc/passwd'", "home under [accounts.tc]", "cannot create"),
        # Errors while making the image
        ("[[remove]]\npaths = ['gone']", "paths under [[remove]]", "the image has no 'gone'"),
        (
            "[[edit]]\nset = ['a=b']\npaths = ['bin/busybox']",
            "set under [[edit]]",
            "bin/busybox: a file to edit must be text, got an ELF file",
        ),
        ("[boot]\ndefault = 'gone'", "default under [boot]", "label not found"),
        (
            "[iso]\nvolume-id = 'EURO'".replace("EURO", "\u20ac" * 11),
            "volume-id under [iso]",
            "the ISO's volume id must be at most 32 bytes, got 33",
        ),
        # Errors while writing
        ("[output]\nfolder = 'text'", "folder under [output]", "text"),
    ],
)  # fmt: skip
def test_error_after_reading_names_file_line_and_key(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], more: str, place: str, words: str
) -> None:
    (message,) = errors(workshop, capsys, more)
    assert message.startswith(f"purekernel.toml, line 7, {place}: ")
    assert words in message
    assert message.count("purekernel.toml") == 1


def test_invalid_account_names_its_table(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    (message,) = errors(workshop, capsys, "[accounts.anna]\ncomment = 'Anna'\n")
    assert (
        message == "purekernel.toml, line 6, [accounts.anna]: user 'anna': not found in the image"
    )


def test_password_in_production_image_names_its_key(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("purekernel.toml").write_text(
        f"flavour = 'prod'\n[mirrors]\ntinycore = ['{workshop.mirror}']\n"
        "[accounts.tc]\npassword = 'hemlig'\n[accounts.anna]\nuid = 1\npassword-env = 'A'\n"
    )
    assert main(["build", "-q"]) == 2
    assert [message for message, _hint in two_lines(capsys.readouterr().err)] == [
        f"purekernel.toml, line {line}, {key} under [accounts.{name}]: account {name!r} has a "
        "password: a production image must have none"
        for line, key, name in ((5, "password", "tc"), (8, "password-env", "anna"))
    ]


@pytest.mark.parametrize(
    ("mirrors", "more", "key", "words"),
    [
        ("tinycore = ['gone']", "", "tinycore", "Core-current.iso not found"),
        ("tinycore = ['MIRROR']\ngems = ['gone']", "[gems]\nwanted = ['a']", "gems", "gone"),
        (
            "tinycore = ['MIRROR']\ndebian-packages = ['gone/Packages']",
            "[extensions]\nbuiltin = ['a.deb']",
            "debian-packages",
            "Packages",
        ),
        (
            "tinycore = ['MIRROR']\ndebian-packages = ['gone/Packages']",
            "[debian]\nkeyring = 'gone.gpg'\n[extensions]\nbuiltin = ['a.deb']",
            "keyring",
            "gone.gpg does not exist",
        ),
    ],
)
def test_invalid_mirror_or_keyring_names_its_key(
    workshop: Workshop,
    capsys: pytest.CaptureFixture[str],
    *,
    mirrors: str,
    more: str,
    key: str,
    words: str,
) -> None:
    text = f"[mirrors]\n{mirrors}\n{more}\n".replace("MIRROR", str(workshop.mirror))
    Path("purekernel.toml").write_text(text, encoding="utf-8")
    assert main(["build", "-q"]) == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    (line,) = (
        number
        for number, row in enumerate(text.splitlines(), start=1)
        if row.startswith(f"{key} = ")
    )
    table = "[debian]" if key == "keyring" else "[mirrors]"
    assert message.startswith(f"purekernel.toml, line {line}, {key} under {table}: ")
    assert words in message


def test_lock_for_other_inputs_names_the_keys(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    start = f"[mirrors]\ntinycore = ['{workshop.mirror}']\n[core]\n"
    recipe = Path("purekernel.toml")
    recipe.write_text(f"{start}iso = '{workshop.mirror / ISO}'\n")
    assert main(["lock", "-q"]) == 0
    for key, words in (
        ("version = '5.x'", "wrong Core: must be 5.x/x86 as in {}, version under [core], got "),
        ("iso = 'gone.iso'", "no pin for base: must be gone.iso as in {}, iso under [core], got "),
    ):
        recipe.write_text(f"{start}{key}\n", encoding="utf-8")
        capsys.readouterr()
        assert main(["build", "-q"]) == 1
        ((message, _hint),) = two_lines(capsys.readouterr().err)
        assert words.format("purekernel.toml, line 4") in message


def test_value_of_the_command_line_names_no_key_of_the_recipe(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Path("purekernel.toml")
    recipe.write_text(f"[mirrors]\ntinycore = ['{workshop.mirror}']\n[boot]\ndefault = 'core'\n")
    assert main(["build", "-q", "--boot-default", "gone", "--volume-id", "v"]) == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert message.startswith("'boot/isolinux/isolinux.cfg': label not found")

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.gem import make_gem
from fixtures.gem_server import lay_out_server
from fixtures.repository import TCZ, make_extension, make_repository
from purekernel.cli import main
from purekernel.encode.releases import installed_releases
from purekernel.plan import planner
from purekernel.plan.lock import Lock, parse_lock
from purekernel.plan.plan import PlanContext
from purekernel.plan.planner import Planner
from tests.cli.test_packages import INDEX, Archive
from tests.workshop import NEEDS, Workshop, core_iso, notes, two_lines

RECIPE = """\
name = "locked"
flavour = "dev"

[core]
iso = "mirror/4.x/x86/release/Core-current.iso"

[mirrors]
tinycore = ["mirror"]
gems = ["gems"]

[extensions]
builtin = ["bash.tcz", "openssh.tcz"]
mirror = ["nano.tcz"]

[gems]
wanted = ["sample_tool >= 1.2"]

[razor]
project = "project"
rubygems = "rubygems-1.8.24.tgz"
open-vm-tools = "mk-open-vm-tools.tar.gz"
"""


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "purekernel.toml").write_text(RECIPE)
    return made


def load(workshop: Workshop) -> Lock:
    return parse_lock((workshop.top / "purekernel.lock").read_bytes(), source="lock")


def newer_bash(workshop: Workshop, needs: tuple[str, ...] = ("ncurses.tcz",)) -> None:
    repository = {**NEEDS, "bash.tcz": needs}
    contents = {"bash.tcz": make_extension("a newer bash", 168)}
    workshop.write_mirror(make_repository(repository, contents=contents))


@pytest.mark.slow
def test_lock_pins_every_input_and_dependency(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock"]) == 0
    assert capsys.readouterr().out == "purekernel.lock written: 33 files\n"
    lock = load(workshop)
    assert lock.core == "4.x/x86"
    assert set(lock.files) == {"base", "rubygems", "open-vm-tools"}
    assert lock.files["base"].requested == "mirror/4.x/x86/release/Core-current.iso"
    # The path is relative to the folder of the recipe, so that the lock is valid elsewhere.
    assert lock.files["base"].pin.url == "mirror/4.x/x86/release/Core-current.iso"
    assert set(lock.extensions) == {name for name in NEEDS if name != "util-linux.tcz"}
    assert lock.extensions["bash.tcz"].dependencies == ("readline.tcz",)
    assert set(lock.extensions["bash.tcz"].companions) == {".dep", ".info", ".list", ".md5.txt"}
    assert set(lock.extensions["openssl.tcz"].companions) == {".info", ".list", ".md5.txt"}
    assert [(gem.name, gem.version, gem.needs) for gem in lock.gems] == [
        ("sample_lib", "2.1", ()),
        ("sample_tool", "1.3", ("sample_lib ~> 2.0",)),
    ]
    for pin in lock.pins().values():
        assert pin.size_bytes > 0
    assert str(workshop.top) not in (workshop.top / "purekernel.lock").read_text()


@pytest.mark.slow
def test_one_lock_is_valid_for_every_flavour(workshop: Workshop) -> None:
    assert main(["lock", "-q", "-p"]) == 0
    assert "openssh.tcz" in load(workshop).extensions
    for option in ("-p", "-d", "-r"):
        assert main(["bundle", "-q", option, "--iso-version", "1", "--offline"]) == 0


@pytest.mark.slow
def test_pinned_file_is_used_despite_a_newer_one(workshop: Workshop) -> None:
    assert main(["lock", "-q"]) == 0
    command = ["build", "-q", "--iso-version", "1", "-o"]
    assert main([*command, "first"]) == 0
    newer_bash(workshop)
    assert main([*command, "second"]) == 0
    name = "rz_mk_dev-image.1.iso"
    first = (workshop.top / "first" / name).read_bytes()
    assert (workshop.top / "second" / name).read_bytes() == first
    assert main([*command, "third", "--no-lock"]) == 0
    assert (workshop.top / "third" / name).read_bytes() != first


@pytest.mark.slow
def test_changed_pinned_file_that_is_not_cached_is_refused(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock", "-q"]) == 0
    newer_bash(workshop, needs=("readline.tcz",))
    assert main(["build", "-q", "--iso-version", "1", "--cache-dir", "empty"]) == 1
    errors = two_lines(capsys.readouterr().err)
    assert {message.split()[0] for message, _hint in errors} == {"bash.tcz", "bash.tcz.md5.txt"}
    assert all("lock" in hint for _message, hint in errors)
    assert not list(workshop.top.glob("*.iso"))


@pytest.mark.slow
def test_update_prints_the_changes(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lock", "-q"]) == 0
    newer_bash(workshop)
    assert main(["lock"]) == 0
    assert capsys.readouterr().out == "purekernel.lock up to date: 33 files\n"
    assert main(["lock", "--check"]) == 0
    capsys.readouterr()
    assert main(["lock", "--update"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "~ bash.tcz depends on readline.tcz → ncurses.tcz",
        "~ bash.tcz",
        "~ bash.tcz.dep",
        "~ bash.tcz.md5.txt",
        "- readline.tcz",
        "- readline.tcz.dep",
        "- readline.tcz.info",
        "- readline.tcz.list",
        "- readline.tcz.md5.txt",
        "purekernel.lock written: 28 files",
    ]
    assert lines[1].startswith("~ bash.tcz  136 → 168 bytes  sha256:")


@pytest.mark.slow
def test_update_of_one_name_keeps_the_others(workshop: Workshop) -> None:
    assert main(["lock", "-q"]) == 0
    before = load(workshop)
    lay_out_server(
        workshop.top / "gems",
        [make_gem("sample_tool", "1.4"), make_gem("sample_lib", "2.1")],
        compact=False,
    )
    repository = {**NEEDS, "bash.tcz": [], "nano.tcz": []}
    contents = {name: make_extension("newer", 168) for name in ("bash.tcz", "nano.tcz")}
    workshop.write_mirror(make_repository(repository, contents=contents))
    assert main(["lock", "-q", "--update", "nano.tcz"]) == 0
    after = load(workshop)
    assert after.extensions["nano.tcz"].file.size_bytes == 168
    assert after.extensions["bash.tcz"] == before.extensions["bash.tcz"]
    assert after.gems == before.gems
    assert main(["lock", "-q", "--update", "sample_tool"]) == 0
    after = load(workshop)
    assert [(gem.name, gem.version) for gem in after.gems] == [("sample_tool", "1.4")]
    assert after.extensions["bash.tcz"] == before.extensions["bash.tcz"]


@pytest.mark.slow
def test_lock_follows_additions_and_removals_in_the_recipe(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock", "-q"]) == 0
    before = load(workshop)
    newer_bash(workshop)
    changed = RECIPE.replace('mirror = ["nano.tcz"]', 'mirror = ["util-linux.tcz"]')
    (workshop.top / "purekernel.toml").write_text(changed)
    assert main(["build", "-q", "--iso-version", "1"]) == 1
    assert two_lines(capsys.readouterr().err) == [
        ("the lock file does not pin util-linux.tcz", "run 'purekernel lock' to pin it")
    ]
    assert main(["lock", "-q"]) == 0
    after = load(workshop)
    assert "nano.tcz" not in after.extensions
    assert "util-linux.tcz" in after.extensions
    assert after.extensions["bash.tcz"] == before.extensions["bash.tcz"]
    assert main(["build", "-q", "--iso-version", "1"]) == 0


@pytest.mark.slow
def test_changed_url_in_the_recipe_drops_its_pin(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock", "-q"]) == 0
    (workshop.top / "other.tgz").write_bytes((workshop.top / "rubygems-1.8.24.tgz").read_bytes())
    changed = RECIPE.replace("rubygems-1.8.24.tgz", "other.tgz")
    (workshop.top / "purekernel.toml").write_text(changed)
    assert main(["build", "-q", "--iso-version", "1"]) == 1
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert message == (
        "the lock file: no pin for rubygems: must be other.tgz as in purekernel.toml, "
        "line 20, rubygems under [razor], got rubygems-1.8.24.tgz"
    )
    assert hint == "run 'purekernel lock' to pin it"


@pytest.mark.slow
def test_lock_for_another_core_is_refused(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock", "-q"]) == 0
    changed = RECIPE.replace("[core]", '[core]\nversion = "5.x"')
    (workshop.top / "purekernel.toml").write_text(changed)
    assert main(["build", "-q"]) == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert message == (
        "the lock file: wrong Core: must be 5.x/x86 as in purekernel.toml, line 5, version under "
        "[core], got 4.x/x86"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["bash.tcz"], "NAME can only be used with --update"),
        (["--update", "zsh.tcz", "gone"], "not found in the lock file: zsh.tcz, gone"),
    ],
)
def test_unknown_names_are_refused(
    options: list[str],
    message: str,
    workshop: Workshop,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["lock", "-q"]) == 0
    assert main(["lock", *options]) == 2
    assert two_lines(capsys.readouterr().err)[0][0] == message


def test_damaged_lock_is_reported(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    (workshop.top / "purekernel.lock").write_text("version = 1\ncore = 3\n")
    assert main(["build", "-q"]) == 1
    assert two_lines(capsys.readouterr().err) == [
        (
            (
                "purekernel.lock: invalid 'core': must be a series and an architecture, such as "
                "4.x/x86, got 3"
            ),
            "restore the file, or delete it and run 'purekernel lock'",
        )
    ]


@pytest.mark.slow
def test_check_reports_an_outdated_lock(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock", "--check"]) == 1
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert message == "purekernel.lock is missing"
    assert hint == "run 'purekernel lock'"
    assert not (workshop.top / "purekernel.lock").exists()


@pytest.mark.slow
def test_offline_build_without_lock_uses_the_cache(workshop: Workshop) -> None:
    assert main(["fetch", "-q"]) == 0
    command = ["build", "-q", "--iso-version", "1", "-o"]
    assert main([*command, "first"]) == 0
    assert main([*command, "second", "--offline"]) == 0
    name = "rz_mk_dev-image.1.iso"
    first = (workshop.top / "first" / name).read_bytes()
    assert (workshop.top / "second" / name).read_bytes() == first


@pytest.mark.slow
def test_lock_file_option_names_another_file(workshop: Workshop) -> None:
    assert main(["lock", "-q", "--lock-file", "deep/other.lock"]) == 0
    assert (workshop.top / "deep" / "other.lock").is_file()
    assert main(["fetch", "-q", "--offline", "--lock-file", "deep/other.lock"]) == 0
    assert not (workshop.top / "purekernel.lock").exists()
    assert (workshop.mirror / TCZ).is_dir()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a recipe of one extension, with its lock file; return the recipe's path."""
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Core.iso").write_bytes(core_iso())
    for path, content in make_repository({"bash.tcz": [], "nano.tcz": []}).items():
        (tmp_path / "mirror" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror" / path).write_bytes(content)
    recipe = tmp_path / "purekernel.toml"
    write_small(recipe, "bash.tcz")
    assert main(["lock", "-q"]) == 0
    return recipe


def write_small(recipe: Path, *names: str) -> None:
    text = '[core]\niso = "Core.iso"\n[mirrors]\ntinycore = ["mirror"]\n[extensions]\n'
    recipe.write_text(f"{text}builtin = {list(names)}\n")


def error_of(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    (error,) = two_lines(capsys.readouterr().err)
    return error


def test_locked_accepts_a_lock_file_that_fits(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--locked"]) == 0
    assert main(["build", "--locked", "--dry-run"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize(("flavour", "plans"), [("dev", [False]), ("prod", [False, True])])
def test_locked_plans_other_flavours_only_for_a_production_image(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, flavour: str, plans: list[bool]
) -> None:
    (workshop.top / "purekernel.toml").write_text(RECIPE.replace('"dev"', f'"{flavour}"'))
    assert main(["lock"]) == 0
    planned = []

    class CountingPlanner(Planner):
        def __init__(self, context: PlanContext) -> None:
            planned.append(context.all_flavours)
            super().__init__(context)

    monkeypatch.setattr(planner, "Planner", CountingPlanner)
    assert main(["build", "--locked", "--dry-run", "--iso-version", "1"]) == 0
    assert planned == plans


@pytest.mark.parametrize("command", ["fetch", "build", "bundle"])
def test_locked_without_a_lock_file_is_an_error(
    command: str, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small.with_suffix(".lock").unlink()
    assert main([command, "--locked"]) == 1
    assert error_of(capsys) == (
        "purekernel.lock not found: --locked needs a lock file",
        "make it with 'purekernel lock', or leave out --locked",
    )


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (
            ["bash", "nano"],
            "the lock file does not pin nano.tcz",
            "run 'purekernel lock' to pin it",
        ),
        (
            [],
            (
                "purekernel.lock does not fit purekernel.toml: it pins bash.tcz, which the recipe "
                "does not need"
            ),
            "run 'purekernel lock', or leave out --locked",
        ),
    ],
)
def test_locked_refuses_a_lock_file_of_another_recipe(
    names: list[str], message: str, hint: str, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small(small, *names)
    assert main(["fetch", "--locked"]) == 1
    assert error_of(capsys) == (message, hint)


def test_locked_and_no_lock_exclude_each_other(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--locked", "--no-lock"]) == 2
    assert error_of(capsys)[0] == "--locked and --no-lock exclude each other"


def test_other_releases_than_in_the_lock_file_are_noted(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = small.with_suffix(".lock")
    text = lock.read_text()
    own = installed_releases()
    assert parse_lock(text.encode(), source="lock").releases == own
    changed = text.replace(f'zopfli = "{own["zopfli"]}"', 'zopfli = "0.0.1"\nother = "9"')
    assert changed != text
    lock.write_text(changed)
    note = (
        "the lock file was made with other releases, so the bytes may differ: "
        f"other 9 there, none here; zopfli 0.0.1 there, {own['zopfli']} here"
    )
    assert main(["fetch", "-q"]) == 0
    assert notes(capsys.readouterr().err) == [note]
    # The inputs are the same, so the lock file is up to date.
    assert main(["lock", "-q", "--check"]) == 0
    assert notes(capsys.readouterr().err) == [note]
    assert lock.read_text() == changed
    assert main(["lock"]) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "~ made with other 9 → none",
        f"~ made with zopfli 0.0.1 → {own['zopfli']}",
    ]
    assert lock.read_text() == text


def test_json_has_the_releases(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["fetch", "--json"], ["lock", "--json"]):
        assert main(command) == 0
        assert json.loads(capsys.readouterr().out)["releases"] == installed_releases()


# Checksums in recipes


WRONG = "0" * 64


def with_checksums(workshop: Workshop, digest: Callable[[bytes], str]) -> str:
    """Return the recipe with a checksum for each role; all files are on this host."""
    top = workshop.top

    def of(path: Path) -> str:
        return digest(path.read_bytes())

    (deb,) = (top / "debian" / "pool").glob("lshw*.deb")
    (gem,) = (top / "gems").rglob("sample_tool-1.3.gem")
    iso = workshop.mirror / "4.x/x86/release/Core-current.iso"
    tables = {
        "bash.tcz": of(workshop.mirror / TCZ / "bash.tcz"),
        "lshw.deb": of(deb),
        "sample_tool-1.3.gem": of(gem),
    }
    text = RECIPE.replace("[core]\n", f'[core]\niso-sha256 = "{of(iso)}"\n')
    text = text.replace('"bash.tcz", ', '"bash.tcz", "lshw.deb", ')
    text = text.replace("[mirrors]\n", f'[mirrors]\ndebian-packages = ["debian/{INDEX}"]\n')
    text += f'rubygems-sha256 = "{of(top / "rubygems-1.8.24.tgz")}"\n'
    text += f'open-vm-tools-sha256 = "{of(top / "mk-open-vm-tools.tar.gz")}"\n'
    for name, value in tables.items():
        text += f'[[checksum]]\nfile = "{name}"\nsha256 = "{value}"\n'
    (top / "purekernel.toml").write_text(text)
    return text


@pytest.fixture
def debian(workshop: Workshop) -> None:
    Archive(workshop.top / "debian").add("lshw", "02.16-1")


@pytest.mark.slow
@pytest.mark.usefixtures("debian")
def test_right_checksum_of_each_role_is_accepted(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    with_checksums(workshop, lambda content: hashlib.sha256(content).hexdigest().upper())
    assert main(["fetch", "-q"]) == 0
    assert "checksum" not in capsys.readouterr().err
    assert main(["lock", "-q"]) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("debian")
@pytest.mark.parametrize(
    "role", ["base", "rubygems", "open-vm-tools", "bash", "lshw", "sample_tool"]
)
@pytest.mark.parametrize("stored", [False, True])
def test_wrong_checksum_of_each_role_names_file_line_and_key(
    stored: bool, role: str, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    text = with_checksums(workshop, lambda content: hashlib.sha256(content).hexdigest())
    if stored:
        assert main(["fetch", "-q"]) == 0
    lines = text.splitlines()
    keys = {"base": "iso-sha256", "rubygems": "rubygems-sha256", "open-vm-tools": "open-vm-tools-s"}
    start = next(
        number
        for number, line in enumerate(lines)
        if line.startswith(keys.get(role, f'file = "{role}'))
    ) + (role not in keys)
    lines[start] = lines[start].partition(" = ")[0] + f' = "{WRONG}"'
    (workshop.top / "purekernel.toml").write_text("\n".join(lines))
    capsys.readouterr()
    assert main(["fetch", "-q"]) == 1
    error, _hint = error_of(capsys)
    key = lines[start].partition(" = ")[0]
    assert error.startswith(f"purekernel.toml, line {start + 1}, {key} under [")
    assert WRONG in error


@pytest.mark.parametrize("names", [["nano.tcz"], ["bash.tcz", "bash.tcz"]])
def test_checksum_without_a_file_is_noted_and_a_second_one_refused(
    names: list[str], small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = parse_lock(small.with_suffix(".lock").read_bytes(), source="lock")
    digest = lock.extensions["bash.tcz"].file.sha256
    tables = [f'[[checksum]]\nfile = "{name}"\nsha256 = "{digest}"\n' for name in names]
    small.write_text(small.read_text() + "".join(tables))
    status = main(["fetch", "-q", "--no-lock"])
    if names == ["nano.tcz"]:
        assert status == 0
        (note,) = notes(capsys.readouterr().err)
        assert note == (
            "purekernel.toml, line 8, file under [[checksum]]: the checksum of nano.tcz is not "
            "used, because the image has no such file"
        )
    else:
        assert status == 1
        assert error_of(capsys) == (
            "purekernel.toml, line 11, file under [[checksum]]: bash.tcz has a checksum already",
            "delete one of the two",
        )


def test_checksum_that_contradicts_the_lock_file_is_refused(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small.write_text(small.read_text() + f'[[checksum]]\nfile = "bash.tcz"\nsha256 = "{WRONG}"\n')
    assert main(["fetch", "-q"]) == 1
    error, hint = error_of(capsys)
    place = "purekernel.toml, line 9, sha256 under [[checksum]]"
    assert error.startswith(f"{place}: bash.tcz: wrong SHA-256: must be {WRONG}, got ")
    assert error.endswith("in the lock file")
    assert "purekernel lock --update" in hint

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from pathlib import Path

import pytest

from fixtures.compress import gzip
from fixtures.repository import TCZ, make_extension, make_repository
from fixtures.scripts import Generation
from purekernel.cli import main
from purekernel.formats.gem.index import INDEX_LIMITS, parse_gem_index, unpack_gem_index
from purekernel.formats.tar import build_tar
from purekernel.host.overlay_folder import load_folder
from purekernel.input import Input
from purekernel.plan.conversion import pack_extension
from purekernel.repos.tinycore import Extension
from purekernel.tree import ROOT, File, Metadata, Symlink, Tree
from tests.fetch.server import Server
from tests.workshop import NEEDS, Workshop, core_iso, inner, notes, text, two_lines

SIDES = ("", ".dep", ".info", ".list", ".md5.txt")


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(tmp_path, monkeypatch)


def extension(name: str, *sides: str) -> set[str]:
    return {f"{name}.tcz{side}" for side in sides}


@pytest.mark.slow
def test_bundle_of_2013_has_the_files_of_the_original(workshop: Workshop) -> None:
    tree = workshop.bundle()
    assert {entry.decode() for entry in tree.entries(b"")} == {
        "COPYING", "Core-current.iso", "LICENSE", "add_version_to_mk_fs.rb",
        "build_initial_directories.sh", "build_iso_yaml.rb", "dependencies", "gitversion.sh",
        "mk-build-lib.sh", "rebuild_iso.sh",
    }  # fmt: skip
    assert {entry.decode() for entry in tree.entries(b"dependencies")} == {
        "mk-open-vm-tools.tar.gz", "razor-microkernel-overlay.tar.gz", "ssh-setup-files.tar.gz",
    }  # fmt: skip
    assert text(tree, "gitversion.sh") == "ISO_VERSION='0.9.0.1'\n"
    assert "ISO_NAME=rz_mk_dev-image." in text(tree, "rebuild_iso.sh")
    assert tree[b"rebuild_iso.sh"].metadata.mode == 0o755
    overlay = inner(tree)
    assert {entry.decode() for entry in overlay.entries(b"")} == {
        "etc", "opt", "root", "tmp", "usr",
    }  # fmt: skip
    assert {entry.decode() for entry in overlay.entries(b"tmp/builtin/optional")} == (
        extension("bash", "", ".dep", ".md5.txt")
        | extension("openssh", "", ".dep", ".md5.txt")
        | extension("readline", "", ".dep", ".md5.txt")
        | extension("ncurses", "", ".md5.txt")
        | extension("openssl", "", ".md5.txt")
    )
    assert text(overlay, "tmp/builtin/onboot.lst") == "bash.tcz\nopenssh.tcz\n"
    assert {entry.decode() for entry in overlay.entries(b"tmp/tinycorelinux/4.x/x86/tcz")} == (
        extension("nano", *SIDES) | extension("ncurses", "", ".info", ".list", ".md5.txt")
    )
    # The file has the same bytes as on the mirror, including the blank line.
    dep = workshop.mirror / TCZ / "readline.tcz.dep"
    assert text(overlay, "tmp/builtin/optional/readline.tcz.dep") == dep.read_text()
    gems = {entry.decode() for entry in overlay.entries(b"tmp/gem-mirror/gems")}
    assert gems == {
        "gem.list", "sample_gem-1.0.gem", "sample_lib-2.1.gem", "sample_tool-1.3.gem",
    }  # fmt: skip
    specs = overlay[b"tmp/gem-mirror/specs.4.8.gz"]
    assert isinstance(specs, File)
    listed = parse_gem_index(unpack_gem_index(Input(specs.content, name="x")))
    assert [(one.name, str(one.version)) for one in listed] == [
        ("sample_gem", "1.0"), ("sample_lib", "2.1"), ("sample_tool", "1.3"),
    ]  # fmt: skip
    assert INDEX_LIMITS.unpacked_bytes > 0
    for path in (
        "etc/init.d/dhcp.sh", "usr/share/udhcpc/dhcp_mk_config.script", "opt/bootlocal.sh",
        "usr/local/bin/rz_mk_init.rb", "usr/local/bin/rz_mk_web_server.rb",
        "usr/local/lib/ruby/1.8/razor_microkernel/sample.rb", "root/.gemrc",
        "tmp/tinycorelinux/kmod-install-list.yaml",
        "tmp/tinycorelinux/tce-install-list.yaml", "tmp/first_checkin.yaml", "etc/passwd",
    ):  # fmt: skip
        assert text(overlay, path)
    assert b"opt/rubygems-1.8.24.tgz" in overlay
    assert overlay[b"opt/bootsync.sh"].metadata.mode == 0o755
    assert "INFO" in text(overlay, "tmp/mk_conf.yaml")
    link = overlay[b"usr/sbin/dmidecode"]
    assert isinstance(link, Symlink)
    assert link.target == b"/usr/local/sbin/dmidecode"
    for found in (tree, overlay):
        assert {(node.metadata.uid, node.metadata.gid) for _path, node in found.walk()} <= {
            (0, 0), (0, 50),
        }  # fmt: skip


@pytest.mark.slow
def test_bundle_of_2012_has_the_files_of_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(tmp_path, monkeypatch, generation="2012", gems=["sample_gem"])
    tree = workshop.bundle()
    assert b"gitversion.sh" not in tree
    assert b"COPYING" not in tree
    assert b"dependencies/mcollective-setup-files.tar.gz" in tree
    overlay = inner(tree)
    assert b"root" not in overlay
    assert {entry.decode() for entry in overlay.entries(b"opt/gems")} == {
        "gem.list", "sample_gem-1.0.gem",
    }  # fmt: skip
    place = "usr/local/tce.installed/mcollective-2.0.0"
    for path in (
        "bin/mcollectived", "plugins/mcollective/agent/configuration.rb",
        "plugins/mcollective/agent/facteragent.rb",
    ):  # fmt: skip
        assert text(overlay, f"{place}/{path}")
    for link, target in (
        (b"usr/local/mcollective", f"/{place}"),
        (b"usr/local/bin/mcollectived", "/usr/local/mcollective/bin/mcollectived"),
    ):
        node = overlay[link]
        assert isinstance(node, Symlink)
        assert node.target.decode() == target
    # The scripts of 2012 set a password only if it is given.
    assert "tc:$1$" in text(overlay, "etc/shadow")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flavour", "option"), [("dev", None), ("prod", "-p"), ("debug", "--build-debug-image")]
)
def test_each_flavour_has_its_files(flavour: str, option: str | None, workshop: Workshop) -> None:
    tree = workshop.bundle(*([option] if option else []), flavour=flavour)
    overlay = inner(tree)
    prod, debug = flavour == "prod", flavour == "debug"
    assert f"ISO_NAME=rz_mk_{flavour}-image." in text(tree, "rebuild_iso.sh")
    assert (b"dependencies/ssh-setup-files.tar.gz" in tree) is not prod
    names = {entry.decode() for entry in overlay.entries(b"tmp/builtin/optional")}
    assert ("openssh.tcz" in names) is not prod
    # Dependencies of openssh alone are removed with it; those shared with bash stay.
    assert ("openssl.tcz" in names) is not prod
    assert "ncurses.tcz" in names
    onboot = "bash.tcz\n" if prod else "bash.tcz\nopenssh.tcz\n"
    assert text(overlay, "tmp/builtin/onboot.lst") == onboot
    autologin = "-nl /sbin/autologin " if debug else ""
    assert f"tty1::respawn:/sbin/getty {autologin}38400 tty1\n" in text(overlay, "etc/inittab")
    assert ("DEBUG" in text(overlay, "tmp/mk_conf.yaml")) is debug
    shadow = text(overlay, "etc/shadow")
    assert ("tc:*:" in shadow) is prod
    # The login program of the sample does not support SHA-512.
    assert ("tc:$1$" in shadow) is not prod
    assert overlay[b"etc/shadow"].metadata.mode == 0o640


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["2012", "2013"])
@pytest.mark.parametrize("option", [None, "-p", "-d"])
def test_image_built_from_a_bundle_has_the_same_bytes(
    generation: str, option: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(tmp_path, monkeypatch, generation=generation)  # type: ignore[arg-type]
    site = tmp_path / "site"
    (site / "etc").mkdir(parents=True)
    (site / "etc" / "motd").write_text("hello\n")
    (site / "usr" / "local" / "etc" / "ssh").mkdir(parents=True)
    (site / "usr" / "local" / "etc" / "ssh" / "sshd_config").write_text("# the site's\n")
    flavour = {None: "dev", "-p": "prod", "-d": "debug"}[option]
    options = ["--overlay", str(site), *([option] if option else [])]
    workshop.bundle(*options, flavour=flavour)
    bundle = workshop.out / f"razor-microkernel-bundle-{flavour}.tar.gz"
    version = ["--iso-version", "0.9.0.1"]
    assert main(["build", str(bundle), *version, "-q", "-o", str(tmp_path / "two")]) == 0
    assert workshop.run("build", *version, *options, "-q", "-o", tmp_path / "one") == 0
    name = f"rz_mk_{flavour}-image.0.9.0.1.iso"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.slow
def test_network_and_cache_give_the_same_bytes(workshop: Workshop) -> None:
    workshop.bundle()
    path = workshop.out / "razor-microkernel-bundle-dev.tar.gz"
    first = path.read_bytes()
    workshop.bundle("--offline")
    assert path.read_bytes() == first
    workshop.bundle("--cache-dir", workshop.top / "other")
    assert path.read_bytes() == first
    workshop.bundle("-r")
    assert path.read_bytes() == first


def test_dry_run_prints_the_plan_and_writes_nothing(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert workshop.run("bundle", "--dry-run", "-o", workshop.out) == 0
    out = capsys.readouterr().out
    assert not workshop.out.exists()
    for words in (
        "the command line (dev): ", "loaded at boot", "openssl.tcz  0.1 kB  (dependency)",
        "in the image's mirror", "gems", "sample_lib-2.1.gem", "(open-vm-tools)", "md5:",
        f"{workshop.out / 'razor-microkernel-bundle-dev.tar.gz'}",
        f"Core-current.iso  {len(core_iso()) / 1e3:.1f} kB", "sample_gem-1.0.gem  10.2 kB",
        "beside it: .md5.txt .dep\n", "beside it: .md5.txt .dep .info .list\n",
    ):  # fmt: skip
        assert words in out, words


@pytest.mark.parametrize("command", ["bundle", "build"])
def test_dry_run_with_json_prints_the_plan(
    command: str, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--dry-run", "--json", "--iso-version", "1.0", "-o", workshop.out)
    assert workshop.run(command, *options) == 0
    plan = json.loads(capsys.readouterr().out)
    (bash,) = [one for one in plan["inputs"] if one["name"] == "bash.tcz"]
    assert bash == {
        "name": "bash.tcz",
        "urls": [str(workshop.mirror / TCZ / "bash.tcz")],
        "bytes": 136,
        "sha256": None,
        "md5": hashlib.md5(make_extension("bash.tcz")).hexdigest(),
        "optional": False,
    }
    assert plan["onboot"] == ["bash.tcz", "openssh.tcz"]
    written, *sums = plan["writes"]
    assert written.startswith(str(workshop.out))
    assert sums == [str(workshop.out / "SHA256SUMS")] * (command == "build")
    assert not workshop.out.exists()


def test_dry_run_of_an_image_names_its_outputs(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--iso-version", "0.9.0.1", "--emit", "iso,pxe", "-o", workshop.out)
    assert workshop.run("build", "--dry-run", *options) == 0
    last = capsys.readouterr().out.splitlines()[-4:]
    assert last == [
        "└── writes",
        f"    ├── {workshop.out / 'rz_mk_dev-image.0.9.0.1.iso'}",
        f"    ├── {workshop.out / 'rz_mk_dev-image.0.9.0.1.pxe'}",
        f"    └── {workshop.out / 'SHA256SUMS'}",
    ]
    assert not workshop.out.exists()


@pytest.mark.slow
def test_json_names_every_input(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("--iso-version", "1", "--json", "-o", workshop.out)
    assert workshop.run("bundle", *command) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["flavour"] == "dev"
    assert summary["generation"] == "2013"
    assert summary["onboot"] == ["bash.tcz", "openssh.tcz"]
    inputs = {one["name"]: one for one in summary["inputs"]}
    assert inputs["bash.tcz"]["bytes"] == 136
    assert len(inputs["Core-current.iso"]["sha256"]) == 64


# Wrong combinations


def test_production_with_debug_is_refused(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert workshop.run("bundle", "-p", "-d") == 2
    assert two_lines(capsys.readouterr().err) == [
        (
            "--build-prod-image and --build-debug-image cannot be used together",
            "leave out one of the two",
        )
    ]


def test_production_image_of_2012_refuses_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop = Workshop(tmp_path, monkeypatch, generation="2012", gems=[])
    assert workshop.run("bundle", "-p", "-t", "secret", "-o", workshop.out) == 2
    error = capsys.readouterr().err
    assert two_lines(error) == [
        (
            "the command line: account 'tc' has a password: a production image must have none",
            "remove the password, or build a development image",
        )
    ]
    assert "secret" not in error
    assert not workshop.out.exists()


@pytest.mark.slow
def test_production_image_of_2013_ignores_a_password(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = workshop.bundle("-p", "-t", "secret", flavour="prod")
    assert "tc:*:" in text(inner(tree), "etc/shadow")
    assert notes(capsys.readouterr().err) == [
        "a production image allows no login with a password: the password of tc is ignored"
    ]


def test_both_unreadable_lists_are_reported(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert workshop.run("bundle", "-b", "gone.lst", "-m", workshop.project) == 1
    errors = two_lines(capsys.readouterr().err)
    assert [message for message, _hint in errors] == [
        "--builtin-list: gone.lst does not exist",
        f"--mirror-list: {workshop.project} is a folder, not a file",
    ]
    assert {hint for _message, hint in errors} == {"give a file with one extension per line"}


def test_missing_recipe_and_project_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bundle"]) == 2
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert message == (
        "nothing to build: the current folder has no purekernel.toml, and is not a "
        "Razor-Microkernel project"
    )
    assert "purekernel init" in hint


def test_recipe_without_a_project_is_refused(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = workshop.top / "purekernel.toml"
    recipe.write_text('name = "x"\n')
    assert workshop.run("bundle", "--recipe", recipe) == 2
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert message.endswith(
        "purekernel.toml: the Razor-Microkernel project is missing: a bundle needs one"
    )
    assert hint == "name it with --project, or build an image with 'purekernel build'"


# Lists and dependencies


@pytest.mark.slow
def test_lists_of_the_command_line_replace_those_of_the_project(workshop: Workshop) -> None:
    builtin = workshop.top / "mine.lst"
    builtin.write_text("nano\n# nothing else\n")
    mirrored = workshop.top / "other.lst"
    mirrored.write_text("openssl.tcz\n")
    # The original's options accept a stray "=" before the value.
    overlay = inner(workshop.bundle(f"-b={builtin}", f"-m={mirrored}"))
    assert text(overlay, "tmp/builtin/onboot.lst") == "nano.tcz\n"
    names = {entry.decode() for entry in overlay.entries(b"tmp/tinycorelinux/4.x/x86/tcz")}
    assert names == extension("openssl", "", ".info", ".list", ".md5.txt")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no fifos")
def test_lists_are_read_from_pipes(workshop: Workshop) -> None:
    fifo = workshop.top / "builtin.fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_text, args=("nano.tcz\n",))
    writer.start()
    try:
        overlay = inner(workshop.bundle("-b", fifo, "-m", "/dev/null"))
    finally:
        writer.join()
    assert text(overlay, "tmp/builtin/onboot.lst") == "nano.tcz\n"
    assert overlay.entries(b"tmp/tinycorelinux/4.x/x86/tcz") == []


@pytest.mark.slow
def test_no_dependencies_option_fetches_listed_extensions_only(workshop: Workshop) -> None:
    overlay = inner(workshop.bundle("--no-deps"))
    names = {entry.decode() for entry in overlay.entries(b"tmp/builtin/optional")}
    assert names == extension("bash", "", ".dep", ".md5.txt") | extension(
        "openssh", "", ".dep", ".md5.txt"
    )


def test_all_missing_extensions_are_reported_with_their_chains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs = {**NEEDS, "readline.tcz": ["gone.tcz"]}
    workshop = Workshop(
        tmp_path,
        monkeypatch,
        needs=needs,
        builtins=["bash.tcz", "typo.tcz", "lshw.deb"],
        gems=["sample_gem", "no_such_gem"],
    )
    assert workshop.run("bundle", "-o", workshop.out) == 1
    place = "additional-build-files/builtin-extensions.lst"
    assert [message for message, _hint in two_lines(capsys.readouterr().err)] == [
        (f"{place}, line 3: lshw.deb is a Debian package: no packages index is configured"),
        f"{place}, line 2: no mirror has typo.tcz",
        (
            f"{place}, line 1: no mirror has gone.tcz, which is needed: "
            "bash.tcz → readline.tcz → gone.tcz"
        ),
        "opt/gems/gem.list, line 2: no mirror has the gem no_such_gem",
    ]
    assert not workshop.out.exists()


@pytest.mark.slow
def test_skipped_extension_is_removed_from_dependencies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs = {**NEEDS, "readline.tcz": ["gone.tcz", "ncurses.tcz"]}
    workshop = Workshop(tmp_path, monkeypatch, needs=needs, builtins=["bash.tcz", "lshw.deb"])
    overlay = inner(workshop.bundle("--skip", "gone", "--skip", "lshw.deb"))
    # Core 4's tce-load skips an extension when an extension named in its .dep is missing.
    assert text(overlay, "tmp/builtin/optional/readline.tcz.dep") == "ncurses.tcz\n"
    assert "skipped as requested: gone.tcz" in notes(capsys.readouterr().err)


@pytest.mark.slow
def test_dep_file_that_core_would_misread_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(tmp_path, monkeypatch, builtins=["bash.tcz"])
    dep = workshop.mirror / TCZ / "readline.tcz.dep"
    dep.write_bytes(b"\xef\xbb\xbf# needs\r\n" + dep.read_bytes().replace(b"\n", b"\r\n"))
    overlay = inner(workshop.bundle())
    assert text(overlay, "tmp/builtin/optional/readline.tcz.dep") == "ncurses.tcz\n"


@pytest.mark.slow
def test_dependency_cycles_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs = {"a.tcz": ["b.tcz"], "b.tcz": ["a.tcz", "ncurses.tcz"], "ncurses.tcz": []}
    workshop = Workshop(tmp_path, monkeypatch, needs=needs, builtins=["a.tcz"], mirrored=[])
    overlay = inner(workshop.bundle())
    # Core 4's tce-load would loop forever.
    assert text(overlay, "tmp/builtin/optional/b.tcz.dep") == "ncurses.tcz\n"
    assert text(overlay, "tmp/builtin/optional/a.tcz.dep") == "b.tcz\n"
    assert "b.tcz and a.tcz depend on each other" in notes(capsys.readouterr().err)


@pytest.mark.slow
def test_production_refuses_extensions_that_depend_on_openssh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs = {**NEEDS, "tunnel.tcz": ["openssh.tcz"]}
    workshop = Workshop(tmp_path, monkeypatch, needs=needs, builtins=["openssh.tcz", "tunnel.tcz"])
    assert workshop.run("bundle", "-p") == 1
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert message.endswith(
        "line 2: tunnel.tcz depends on openssh.tcz: a production image must not have it"
    )
    assert hint.startswith("remove tunnel.tcz, or skip the dependency with --skip openssh.tcz")
    workshop.bundle("-p", "--skip", "openssh.tcz", flavour="prod")
    # An extension in the image's mirror could also be loaded.
    capsys.readouterr()
    for name, line in (("b.lst", "bash"), ("m.lst", "tunnel")):
        (workshop.top / name).write_text(line + "\n")
    lists = ("-b", workshop.top / "b.lst", "-m", workshop.top / "m.lst")
    assert workshop.run("bundle", "-p", *lists) == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert message.endswith(
        "m.lst, line 1: tunnel.tcz depends on openssh.tcz: a production image must not have it"
    )


@pytest.mark.slow
def test_kernel_in_a_name_is_replaced_by_the_release_of_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = "3.0.3-purekernel"
    needs = {f"scsi-{release}.tcz": [], "wifi.tcz": ["scsi-KERNEL.tcz"], "scsi-9.tcz": []}
    workshop = Workshop(
        tmp_path, monkeypatch, needs=needs, builtins=["scsi-KERNEL.tcz", "wifi.tcz"], mirrored=[]
    )
    overlay = inner(workshop.bundle())
    assert text(overlay, "tmp/builtin/onboot.lst") == f"scsi-{release}.tcz\nwifi.tcz\n"
    # The booted system replaces KERNEL itself.
    assert text(overlay, "tmp/builtin/optional/wifi.tcz.dep") == "scsi-KERNEL.tcz\n"
    overlay = inner(workshop.bundle("--kernel", "9"))
    assert text(overlay, "tmp/builtin/onboot.lst") == "scsi-9.tcz\nwifi.tcz\n"


# Checksums and indexes of the mirror


@pytest.mark.slow
@pytest.mark.parametrize("indexes", [True, False])
def test_wrong_md5_is_refused(
    indexes: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workshop = Workshop(tmp_path, monkeypatch, indexes=indexes)
    workshop.write_mirror({f"{TCZ}/bash.tcz": make_extension("another", 152)})
    assert workshop.run("bundle", "-o", workshop.out) == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert message.startswith("bash.tcz")
    assert "MD5" in message
    assert not workshop.out.exists()


@pytest.mark.slow
def test_outdated_index_is_ignored(workshop: Workshop) -> None:
    newer = make_repository(
        {**NEEDS, "bash.tcz": ["ncurses.tcz"], "zsh.tcz": []},
        contents={"bash.tcz": make_extension("a newer bash", 168)},
        indexes=False,
    )
    workshop.write_mirror(newer)
    overlay = inner(workshop.bundle())
    assert text(overlay, "tmp/builtin/optional/bash.tcz.dep") == "ncurses.tcz\n"
    assert b"tmp/builtin/optional/readline.tcz" not in overlay
    node = overlay[b"tmp/builtin/optional/bash.tcz"]
    assert isinstance(node, File)
    assert bytes(node.content) == make_extension("a newer bash", 168)


@pytest.mark.slow
def test_extension_missing_from_the_index_is_found(workshop: Workshop) -> None:
    workshop.write_mirror(make_repository({"zsh.tcz": []}, indexes=False))
    builtin = workshop.top / "mine.lst"
    builtin.write_text("zsh.tcz\n")
    overlay = inner(workshop.bundle("-b", builtin))
    assert b"tmp/builtin/optional/zsh.tcz" in overlay


# Location of the project


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["2012", "2013"])
def test_project_is_read_from_a_tarball_or_url(
    generation: Generation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workshop = Workshop(tmp_path, monkeypatch, generation=generation)
    version = ("--iso-version", "0.9.0.1", "--timestamp", "1400000000")
    name = "razor-microkernel-bundle-dev.tar.gz"
    assert workshop.run("bundle", *version, "-q", "-o", "folder") == 0
    release = Tree()
    for path, node in load_folder(workshop.project, mtime=1_400_000_000).tree.walk():
        if path != ROOT:
            release.add_parents(b"Razor-Microkernel-0.9/" + path)
            release.add(b"Razor-Microkernel-0.9/" + path, node)
    tarball = gzip(build_tar(release))
    monkeypatch.chdir(tmp_path)
    Path("project.tar.gz").write_bytes(tarball)
    url = server.put("/project.tar.gz", tarball)
    for place in ("project.tar.gz", url, Path("project.tar.gz").absolute().as_uri()):
        options = ("--project", place, *version, "-q", "-o", "packed")
        assert workshop.run("bundle", *options) == 0
        assert (tmp_path / "packed" / name).read_bytes() == (
            workshop.project / "folder" / name
        ).read_bytes()
        # A second build succeeds without the server.
        assert workshop.run("bundle", *options, "--offline") == 0
    assert workshop.run("bundle", "--project", f"{server.url}/gone.tar.gz") == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert f"{server.url}/gone.tar.gz" in message
    assert workshop.run("bundle", "--project", "nowhere") == 1
    assert workshop.run("bundle", "--project", str(workshop.mirror)) == 1
    assert "Razor-Microkernel" in two_lines(capsys.readouterr().err)[-1][0]


# Passwords


@pytest.mark.slow
def test_documented_password_is_accepted_by_images_of_2013(workshop: Workshop) -> None:
    from passlib.hash import md5_crypt  # noqa: PLC0415

    shadow = text(inner(workshop.bundle()), "etc/shadow")
    hashed = next(line for line in shadow.splitlines() if line.startswith("tc:")).split(":")[1]
    assert md5_crypt.verify("test1234", hashed)


@pytest.mark.slow
def test_password_is_read_from_standard_input(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from passlib.hash import md5_crypt  # noqa: PLC0415

    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\nnot read\n"))
    shadow = text(inner(workshop.bundle("-t", "-")), "etc/shadow")
    hashed = next(line for line in shadow.splitlines() if line.startswith("tc:")).split(":")[1]
    assert md5_crypt.verify("correct horse", hashed)


def test_empty_standard_input_is_refused_as_password(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert workshop.run("bundle", "--tc-passwd", "-") == 2
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert message == "the password on stdin is empty"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "note"),
    [
        (["-t=x"], "the password begins with '=': write it directly after -t, without '='"),
        (
            ["-tc-passwd=x"],
            "the password begins with 'c-passwd=': did you mean --tc-passwd, with two dashes?",
        ),
    ],
)
def test_likely_typos_are_noted(
    options: list[str], note: str, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop.bundle(*options)
    assert note in notes(capsys.readouterr().err)


@pytest.mark.slow
def test_missing_parts_of_a_bundle_are_noted(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    (workshop.project / "additional-build-files" / "ssh-setup-files.tar.gz").unlink()
    assert workshop.run("bundle", "-q", "-o", workshop.out) == 0
    ssh, version = notes(capsys.readouterr().err)
    assert ssh.startswith("additional-build-files/ssh-setup-files.tar.gz not found in the project")
    assert version.startswith("the image's version is missing")
    assert b"gitversion.sh" not in workshop.load()
    assert workshop.run("bundle", "-q", "-p", "-o", workshop.out) == 0
    assert len(notes(capsys.readouterr().err)) == 1


@pytest.mark.slow
def test_source_of_the_password_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop = Workshop(tmp_path, monkeypatch, generation="2012")
    config = workshop.top / "bundle.cfg"
    assert workshop.run("bundle", "-p", "-t", "x") == 2
    assert (
        "the command line: account 'tc' has a password" in two_lines(capsys.readouterr().err)[0][0]
    )
    monkeypatch.setenv("MK_BUNDLE_TC_PASSWD", "x")
    assert workshop.run("bundle", "-p") == 2
    assert (
        "the environment: account 'tc' has a password" in two_lines(capsys.readouterr().err)[0][0]
    )
    config.write_text("MK_BUNDLE_TC_PASSWD=y\n" + config.read_text())
    assert workshop.run("bundle", "-p") == 2
    assert (
        f"{config}, line 1: account 'tc' has a password" in two_lines(capsys.readouterr().err)[0][0]
    )


@pytest.mark.slow
def test_host_keys_are_noted_and_can_be_excluded(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    from fixtures.compress import gzip  # noqa: PLC0415
    from fixtures.overlay import make_ssh_setup  # noqa: PLC0415
    from purekernel.formats.tar import build_tar  # noqa: PLC0415
    from purekernel.tree import Metadata  # noqa: PLC0415

    tree = make_ssh_setup((1000, 1000))
    key = b"usr/local/etc/ssh/ssh_host_rsa_key"
    tree.add(key, File(metadata=Metadata(mode=0o600), content=b"secret"))
    tarball = workshop.project / "additional-build-files" / "ssh-setup-files.tar.gz"
    tarball.write_bytes(gzip(build_tar(tree)))
    made = workshop.bundle()
    assert key in inner(made, "ssh-setup-files")
    (note,) = notes(capsys.readouterr().err)
    assert note.startswith(
        "the project contains SSH host keys, and all images made from it share them"
    )
    recipe = workshop.top / "purekernel.toml"
    recipe.write_text('[razor]\nproject = "project"\nssh-host-keys = false\n')
    made = workshop.bundle("--recipe", recipe)
    assert notes(capsys.readouterr().err) == []
    assert key not in inner(made, "ssh-setup-files")
    assert b"usr/local/etc/ssh/sshd_config" in inner(made, "ssh-setup-files")


@pytest.mark.slow
def test_tarballs_of_a_project_count_towards_one_limit(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = Tree()
    tree.add(b"zeros", File(metadata=Metadata(mode=0o644), content=bytes(20 << 20)))
    (workshop.top / "mk-open-vm-tools.tar.gz").write_bytes(gzip(build_tar(tree)))
    command = ("--iso-version", "0.9.0.1", "--effort", "fast", "-q", "-o", workshop.out)
    assert workshop.run("build", *command, "--max-unpacked", "16M") == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert message.startswith("dependencies/mk-open-vm-tools.tar.gz, byte 0: expected at most ")
    (workshop.top / "zeros.tgz").write_bytes(gzip(build_tar(tree)))
    overlay = ("--overlay", workshop.top / "zeros.tgz")
    assert workshop.run("build", *command, *overlay, "--max-unpacked", "32M") == 1
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert "expected at most 33554432 bytes unpacked from all inputs together" in message
    assert "--max-unpacked" in hint


@pytest.mark.slow
@pytest.mark.parametrize("command", ["lock", "fetch"])
def test_limit_holds_for_commands_that_only_read_the_base(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    base = ("-b", workshop.project / "list")
    (workshop.project / "list").write_text("alsa-KERNEL.tcz\n")
    assert workshop.run(command, *base, "--max-unpacked", "1K") == 1
    assert "expected at most 1024 bytes unpacked" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rubygems-1.8.24.tgz", "mk-open-vm-tools.tar.gz"])
def test_damaged_tarball_is_no_file_of_a_bundle(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workshop = Workshop(tmp_path, monkeypatch)
    content = (workshop.top / name).read_bytes()
    (workshop.top / name).write_bytes(content[:-20])
    status = workshop.run("bundle", "--iso-version", "0.9.0.1", "-q", "-o", workshop.out)
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert status == 1
    assert f"{name}, byte {len(content) - 20}: expected the rest of a deflate stream" in message
    assert hint
    assert not list(workshop.out.glob("*.tar.gz"))


@pytest.mark.slow
def test_damaged_gem_is_no_file_of_a_bundle_of_2012(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop = Workshop(tmp_path, monkeypatch, generation="2012", gems=["sample_gem"])
    (gem,) = workshop.top.glob("gems/**/sample_gem-1.0.gem")
    gem.write_bytes(gem.read_bytes()[:2000])
    status = workshop.run("bundle", "--iso-version", "0.9.0.1", "-q", "-o", workshop.out)
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert status == 1
    assert message.startswith("sample_gem-1.0.gem")


@pytest.mark.slow
def test_truncated_extension_is_no_file_of_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop = Workshop(tmp_path, monkeypatch, indexes=False)
    path = workshop.mirror / TCZ / "nano.tcz"
    path.write_bytes(path.read_bytes()[:-8])
    (path.parent / "nano.tcz.md5.txt").unlink()
    status = workshop.run("bundle", "--iso-version", "0.9.0.1", "-q", "-o", workshop.out)
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert status == 1
    assert message == "nano.tcz, byte 40: expected 136 bytes, as the image states, got 128"


def test_extended_attributes_of_a_merged_extension_are_reported(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = Tree()
    path = b"usr/local/bin/ping"
    metadata = Metadata(mode=0o755, xattrs=((b"security.capability", b"1"),))
    tree.add_parents(path)
    tree.add(path, File(metadata=metadata, content=b"x"))
    content = bytes(pack_extension(Extension(name="ping.tcz", file=tree), jobs=1).file)
    workshop.write_mirror(make_repository({"ping.tcz": []}, contents={"ping.tcz": content}))
    recipe = workshop.top / "purekernel.toml"
    recipe.write_text('[extensions]\nbuiltin = []\nmirror = []\nmerged = ["ping.tcz"]\n')
    made = workshop.bundle("--recipe", recipe, "--project", workshop.project)
    assert path in inner(made)
    (note,) = notes(capsys.readouterr().err)
    assert note == (
        "the bundle cannot hold the extended attributes of 1 file: security.capability of "
        "'usr/local/bin/ping'"
    )

"""Test Debian packages in lists: from an archive to the image, and in the lock file."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

from purekernel.cli import main
from purekernel.formats.squashfs import parse_squashfs
from purekernel.input import Input
from purekernel.plan.lock import build_lock, parse_lock
from purekernel.tree import File, Tree
from tests.debs import control, deb, entry, listed
from tests.fetch.server import Server
from tests.workshop import Workshop, inner, notes, text, two_lines

INDEX = "dists/wheezy/main/binary-i386/Packages.gz"
LIST = "additional-build-files/builtin-extensions.lst"


class Archive:
    """Provide a Debian archive in a folder."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.text = b""

    def add(self, name: str, version: str = "1.0-1", **fields: str) -> Path:
        architecture = fields.pop("architecture", "i386")
        script = {"postinst": b"#!/bin/sh\necho %s\n" % name.encode()}
        silent = fields.pop("silent", "")
        said = {key.replace("_", "-"): value for key, value in fields.items()}
        words = control(name, version, architecture, said)
        content = deb(
            words,
            data=[entry(f"./usr/bin/{name}", f"{name} {version}\n".encode(), mode=0o755)],
            # The Core of the fixtures does not run start scripts.
            scripts={} if silent else script,
        )
        path = f"pool/{name}_{version}_{architecture}.deb"
        place = self.top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        self.text += listed(words, content, path) + b"\n"
        self.publish()
        return place

    def publish(self) -> None:
        index = self.top / INDEX
        index.parent.mkdir(parents=True, exist_ok=True)
        data = gzip.compress(self.text, mtime=0)
        index.write_bytes(data)
        line = f" {hashlib.sha256(data).hexdigest()} {len(data)} {INDEX.partition('wheezy/')[2]}\n"
        (self.top / "dists/wheezy/InRelease").write_text(f"Codename: wheezy\nSHA256:\n{line}")

    @property
    def index(self) -> Path:
        return self.top / INDEX


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = Archive(tmp_path / "debian")
    made.add("lshw", "02.16-1", Depends="libc6 (>= 2.7), libpci3 | pciutils")
    made.add("lshw", "02.15-1")
    made.add("libpci3", Depends="libc6 (>= 2.3), data")
    made.add("data", architecture="all")
    return made


def shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *builtins: str, mirrored: tuple[str, ...] = ()
) -> Workshop:
    return Workshop(tmp_path, monkeypatch, builtins=builtins, mirrored=mirrored)


def squashed(tree: Tree, path: str) -> Tree:
    node = tree[path.encode()]
    assert isinstance(node, File)
    return parse_squashfs(Input(node.content, name=path))


@pytest.mark.slow
def test_packages_of_lists_become_builtin_and_mirrored_extensions(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workshop = shop(
        tmp_path, monkeypatch, "bash.tcz", "lshw.deb", mirrored=("nano.tcz", "lshw.deb")
    )
    overlay = inner(workshop.bundle("--dpkg-list", archive.index))
    assert text(overlay, "tmp/builtin/onboot.lst") == "bash.tcz\nlshw.tcz\n"
    optional = {one.decode() for one in overlay.entries(b"tmp/builtin/optional")}
    assert {one for one in optional if one.startswith("lshw")} == {"lshw.tcz", "lshw.tcz.md5.txt"}
    mirrored = {one.decode() for one in overlay.entries(b"tmp/tinycorelinux/4.x/x86/tcz")}
    assert {one for one in mirrored if one.startswith("lshw")} == {
        "lshw.tcz", "lshw.tcz.info", "lshw.tcz.list", "lshw.tcz.md5.txt",
    }  # fmt: skip
    tree = squashed(overlay, "tmp/builtin/optional/lshw.tcz")
    assert text(tree, "usr/bin/lshw") == "lshw 02.16-1\n"
    assert text(tree, "usr/local/postinst/lshw") == "#!/bin/sh\necho lshw\n"
    assert text(tree, "usr/local/tce.installed/lshw") == (
        "#!/bin/sh\n/usr/local/postinst/lshw configure 2>/dev/null\n"
    )
    told = notes(capsys.readouterr().err)
    assert (
        "assumed to be in the image already, as Debian's packages depend on it: libc6 (>= 2.7)"
    ) in told
    assert "lshw.tcz: missing dependency of its package: libpci3 | pciutils" in told
    assert any(note.startswith("the signature of ") and "not checked" in note for note in told)


@pytest.mark.slow
def test_actions_of_a_postinst_are_noted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = deb(scripts={"postinst": b"#!/usr/bin/perl\n"})
    server.put("/debian/tool.deb", package)
    url = server.put("/debian/Packages", listed(control(), package, "tool.deb"))
    workshop = shop(tmp_path, monkeypatch, "tool.deb")
    workshop.bundle("--dpkg-list", url)
    assert (
        "tool.tcz: the package's postinst runs /usr/bin/perl, which Core does not have"
    ) in notes(capsys.readouterr().err)


@pytest.mark.slow
def test_dependencies_of_packages_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Archive
) -> None:
    workshop = shop(tmp_path, monkeypatch, "lshw_02.16-1_i386.deb")
    overlay = inner(workshop.bundle("--dpkg-list", archive.index, "--dpkg-follow"))
    assert text(overlay, "tmp/builtin/onboot.lst") == "lshw.tcz\n"
    folder = "tmp/builtin/optional"
    assert text(overlay, f"{folder}/lshw.tcz.dep") == "libpci3.tcz\n"
    assert text(overlay, f"{folder}/libpci3.tcz.dep") == "data.tcz\n"
    assert text(squashed(overlay, f"{folder}/data.tcz"), "usr/bin/data") == "data 1.0-1\n"


@pytest.mark.slow
def test_import_scripts_of_the_mirror_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Archive
) -> None:
    workshop = shop(tmp_path, monkeypatch, "lshw=02.15-1.deb")
    workshop.write_mirror({"4.x/importscripts/lshw.deb2tcz": b"echo imported\n"})
    overlay = inner(workshop.bundle("--dpkg-list", archive.index))
    tree = squashed(overlay, "tmp/builtin/optional/lshw.tcz")
    assert text(tree, "usr/bin/lshw") == "lshw 02.15-1\n"
    assert text(tree, "usr/local/tce.installed/lshw") == (
        "#!/bin/sh\n/usr/local/postinst/lshw configure 2>/dev/null\necho imported\n"
    )
    assert b"tmp/builtin/optional/lshw.tcz.deb2tcz" not in overlay


def test_all_errors_of_packages_are_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workshop = shop(
        tmp_path, monkeypatch, "nowhere.deb", "lshw=9.deb", "typo.tcz", "bash.deb", "bash.tcz"
    )
    assert workshop.run("bundle", "-o", workshop.out, "--dpkg-list", archive.index) == 1
    assert [message for message, _hint in two_lines(capsys.readouterr().err)] == [
        f"{LIST}, line 1: no mirror has nowhere.deb: no packages index has nowhere",
        (
            f"{LIST}, line 2: no mirror has lshw=9.deb: no match for i386; available: lshw "
            "02.16-1 (i386), lshw 02.15-1 (i386)"
        ),
        f"{LIST}, line 4: bash.deb becomes bash.tcz, which is listed as well",
        f"{LIST}, line 3: no mirror has typo.tcz",
    ]
    assert not workshop.out.exists()


@pytest.mark.slow
def test_skipped_package_is_not_requested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Archive
) -> None:
    workshop = shop(tmp_path, monkeypatch, "bash.tcz", "nowhere=1.deb", "lshw.deb")
    overlay = inner(
        workshop.bundle(
            "--dpkg-list", archive.index, "--dpkg-follow",
            "--skip", "nowhere.deb", "--skip", "libpci3.deb",
        )
    )  # fmt: skip
    assert text(overlay, "tmp/builtin/onboot.lst") == "bash.tcz\nlshw.tcz\n"
    assert b"tmp/builtin/optional/libpci3.tcz" not in overlay
    assert b"tmp/builtin/optional/lshw.tcz.dep" not in overlay or (
        text(overlay, "tmp/builtin/optional/lshw.tcz.dep") == ""
    )


def test_package_with_wrong_digest_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = deb()
    server.put("/debian/tool.deb", package[:-1] + b"x")
    server.put("/debian/Packages", listed(control(), package, "tool.deb"))
    workshop = shop(tmp_path, monkeypatch, "tool.deb")
    status = workshop.run(
        "bundle", "-o", workshop.out, "--dpkg-list", f"{server.url}/debian/Packages"
    )
    assert status == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert message.startswith("tool_1.0-1_i386.deb failed verification")
    assert not workshop.out.exists()


@pytest.mark.slow
def test_damaged_package_is_reported_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = deb(data=[entry("../etc/passwd", b"")])
    server.put("/debian/tool.deb", package)
    server.put("/debian/Packages", listed(control(), package, "tool.deb"))
    workshop = shop(tmp_path, monkeypatch, "tool.deb")
    url = f"{server.url}/debian/Packages"
    assert workshop.run("bundle", "-o", workshop.out, "--dpkg-list", url) == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert (
        "tool_1.0-1_i386.deb: data.tar.xz, byte 0: the name '../etc/passwd' contains '..'"
        in message
    )
    assert not workshop.out.exists()


RECIPE = """\
name = "packaged"

[core]
iso = "mirror/4.x/x86/release/Core-current.iso"

[mirrors]
tinycore = ["mirror"]
debian-packages = ["debian/dists/wheezy/main/binary-i386/Packages.gz"]

[extensions]
builtin = ["bash.tcz", "lshw.deb"]

[[need]]
package = "libpci3"
extensions = ["nano.tcz"]

[debian]
follow = true
"""


def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str = RECIPE) -> Workshop:
    made = Workshop(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("purekernel.toml").write_text(words)
    return made


def dry_run(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["build", "--dry-run", "--json", *options]) == 0, capsys.readouterr().err
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


def names(plan: dict[str, object]) -> list[str]:
    inputs = plan["inputs"]
    assert isinstance(inputs, list)
    return [one["name"] for one in inputs]


def test_recipe_maps_dependencies_of_packages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe(tmp_path, monkeypatch)
    plan = dry_run(capsys)
    assert plan["onboot"] == ["bash.tcz", "lshw.tcz"]
    found = names(plan)
    assert "lshw_02.16-1_i386.deb" in found
    assert "nano.tcz" in found
    assert not [one for one in found if one.startswith(("libpci3", "data"))]


@pytest.mark.slow
def test_lock_pins_packages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workshop = recipe(
        tmp_path, monkeypatch, RECIPE.replace('extensions = ["nano.tcz"]', "extensions = []")
    )
    workshop.write_mirror({"4.x/importscripts/lshw.deb2tcz": b"echo imported\n"})
    assert main(["lock", "-q"]) == 0
    data = Path("purekernel.lock").read_bytes()
    lock = parse_lock(data, source="lock")
    assert build_lock(lock) == data
    (pinned,) = lock.packages.values()
    assert (pinned.extension, pinned.package, pinned.version) == ("lshw.tcz", "lshw", "02.16-1")
    assert (pinned.architecture, pinned.provides) == ("i386", "")
    assert pinned.depends == "libc6 (>= 2.7), libpci3 | pciutils"
    package = archive.top / "pool/lshw_02.16-1_i386.deb"
    assert pinned.pin.sha256 == hashlib.sha256(package.read_bytes()).hexdigest()
    assert pinned.pin.url == "debian/pool/lshw_02.16-1_i386.deb"
    assert pinned.script is not None
    assert pinned.script.name == "lshw.deb2tcz"

    # With the lock, no index is read, and newer packages are ignored.
    archive.add("lshw", "03-1")
    assert "lshw_02.16-1_i386.deb" in names(dry_run(capsys))
    archive.index.unlink()
    assert names(dry_run(capsys, "--offline")) == names(dry_run(capsys))
    archive.publish()

    # Pinned packages stay; --update looks for newer ones.
    assert main(["lock", "--check"]) == 0
    capsys.readouterr()
    assert main(["lock", "--update", "lshw.deb"]) == 0
    assert "~ lshw.deb" in capsys.readouterr().out
    assert "lshw_03-1_i386.deb" in names(dry_run(capsys))


@pytest.mark.slow
def test_package_missing_from_the_lock_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe(tmp_path, monkeypatch)
    assert main(["lock", "-q"]) == 0
    # The recipe now follows a dependency that the lock lacks.
    words = RECIPE.replace('extensions = ["nano.tcz"]', "extensions = []").replace(
        'package = "libpci3"', 'package = "other"'
    )
    Path("purekernel.toml").write_text(words)
    assert main(["build", "--dry-run"]) == 1
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert message == (
        "the lock file does not pin libpci3 | pciutils, which is needed: lshw → libpci3 | pciutils"
    )
    assert hint == "run 'purekernel lock' to pin them"
    assert main(["lock", "-q"]) == 0
    lock = parse_lock(Path("purekernel.lock").read_bytes(), source="lock")
    assert list(lock.packages) == ["data.tcz", "libpci3.tcz", "lshw.tcz"]
    assert "data_1.0-1_all.deb" in names(dry_run(capsys, "--offline"))

    # A file that differs from its pin is refused.
    package = archive.top / "pool/data_1.0-1_all.deb"
    package.write_bytes(package.read_bytes()[:-1] + b"x")
    assert main(["fetch", "-q", "--cache-dir", "other-cache"]) == 1
    assert any(
        "data_1.0-1_all.deb failed verification" in message
        for message, _ in two_lines(capsys.readouterr().err)
    )


@pytest.mark.slow
def test_packages_are_merged_and_files_cut_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Archive
) -> None:
    archive.add("quiet", silent="yes")
    words = RECIPE.replace('builtin = ["bash.tcz", "lshw.deb"]', 'merged = ["quiet.deb"]')
    words += '\n[[cut]]\nextension = "lshw.deb"\nfiles = ["usr/bin/lshw"]\n'
    recipe(tmp_path, monkeypatch, words)
    assert main(["build", "-q", "-o", "out", "--emit", "core"]) == 0
    from purekernel.formats.cpio import parse_cpio  # noqa: PLC0415  # only here

    (core,) = Path("out").glob("*core.gz")
    tree = parse_cpio(Input(gzip.decompress(core.read_bytes()), name="core"))
    assert text(tree, "usr/bin/quiet") == "quiet 1.0-1\n"
    assert text(tree, "usr/bin/lshw") == "lshw 02.16-1\n"
    assert b"usr/local/postinst/lshw" not in tree
    # The lock pins both packages. Dependencies of a package that files are cut from are ignored.
    assert main(["lock", "-q"]) == 0
    assert main(["fetch", "-q", "--offline"]) == 0


def test_dependency_that_names_a_package_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe(tmp_path, monkeypatch, RECIPE.replace("nano.tcz", "nano.deb"))
    assert main(["build", "--dry-run"]) == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert message == (
        "purekernel.toml, line 15, extensions under [[need]]: nano.deb replaces libpci3: must be "
        "an extension, got a package"
    )


@pytest.mark.slow
def test_keyring_without_a_matching_signature_is_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pysequoia import Tsk  # noqa: PLC0415  # only here

    recipe(tmp_path, monkeypatch)
    key = Tsk.generate(user_id="Archive")
    Path("keys.gpg").write_bytes(bytes(key.extract_certificate()))
    assert main(["build", "--dry-run", "--dpkg-keyring", "keys.gpg"]) == 1
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert "has no valid signature by a key in" in message
    assert main(["build", "--dry-run", "--dpkg-keyring", "absent.gpg"]) == 1
    assert "absent.gpg does not exist" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('extension = "lshw.tcz"', 'extension = "../lshw.tcz"'),
            "invalid name: got '../lshw.tcz'",
        ),
        (('extension = "lshw.tcz"', 'extension = "lshw.deb"'), "invalid name: got 'lshw.deb'"),
        (('name = "lshw_02.16-1_i386.deb"', 'name = "x/y.deb"'), "invalid name: got 'x/y.deb'"),
        (
            ('name = "lshw_02.16-1_i386.deb"', 'name = "other_02.16-1_i386.deb"'),
            "the lock file: damaged: wrong file name of ",
        ),
        (('version = "02.16-1"', 'version = "a b"'), "the lock file: damaged: lshw.tcz: "),
        (
            ('depends = "libc6 (>= 2.7), libpci3 | pciutils"', 'depends = "a b c"'),
            "the lock file: damaged: lshw.tcz: ",
        ),
    ],
)
@pytest.mark.usefixtures("archive")
def test_damaged_lock_is_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    message: str,
) -> None:
    old, new = change
    recipe(tmp_path, monkeypatch)
    assert main(["lock", "-q"]) == 0
    lock = Path("purekernel.lock").read_text()
    assert old in lock
    Path("purekernel.lock").write_text(lock.replace(old, new))
    assert main(["build", "--dry-run"]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_expired_archive_is_an_error_unless_it_is_allowed_or_locked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: Archive,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workshop = shop(tmp_path, monkeypatch, "bash.tcz", "data.deb")
    release = archive.top / "dists/wheezy/InRelease"
    release.write_text(f"Valid-Until: Sat, 07 Dec 2013 08:41:03 UTC\n{release.read_text()}")
    options = ("-q", "--dpkg-list", str(archive.index))
    for command in ("fetch", "lock", "bundle"):
        assert workshop.run(command, *options) == 1
        ((message, hint),) = two_lines(capsys.readouterr().err)
        shown = message.replace("/", os.sep)  # settings of these tests have slashes on Windows
        assert shown == f"{release} expired on 2013-12-07: the mirror may hide newer packages"
        assert "--dpkg-allow-expired" in hint
    assert workshop.run("lock", *options, "--dpkg-allow-expired") == 0
    expired = f"{release} expired on 2013-12-07: its packages may be out of date"
    assert expired in [note.replace("/", os.sep) for note in notes(capsys.readouterr().err)]
    assert workshop.run("fetch", *options) == 0
    assert "expired" not in capsys.readouterr().err

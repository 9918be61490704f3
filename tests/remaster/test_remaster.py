"""Test images of recipes without a Razor project."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from fixtures.planting import Planting
from fixtures.repository import make_repository
from purekernel import Flavour, Image
from purekernel.errors import CombinedError, MissingFileError, RecipeError, UsageError
from purekernel.formats.iso import build_iso, parse_iso
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.recipe.request import Request
from purekernel.tree import File, Tree
from tests.builds import Encoding, make_image
from tests.oracles import require, run
from tests.workshop import ISO, Workshop

BASE = """\
name = "my-core"
[core]
iso = "mirror/4.x/x86/release/Core-current.iso"
[mirrors]
tinycore = ["mirror"]
gems = ["gems"]
"""


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return made


def make(
    workshop: Workshop, recipe: str = "", *, encoding: Encoding | None = None, **environment: str
) -> Image:
    path = workshop.top / "purekernel.toml"
    path.write_text(BASE + recipe, encoding="utf-8")
    return make_image(
        request=Request(recipe=path),
        cache_dir=workshop.top / "cache",
        environment=environment,
        encoding=encoding,
    )


def content(tree: Tree, path: str) -> str:
    node = tree[path.encode()]
    assert isinstance(node, File)
    return bytes(node.content).decode()


def test_recipe_with_only_a_base_keeps_the_base(workshop: Workshop) -> None:
    image = make(workshop, encoding=Encoding(nested=False))
    assert (image.name, image.version, image.flavour, image.generation) == (
        "my-core", None, None, None,
    )  # fmt: skip
    base = make_core_tree()
    for path, node in base.walk():
        if not path.endswith(b"kernel.tclocal"):
            assert image.root[path] == node, path
    # Files that depmod and ldconfig add, because Core lacks them.
    added = {path for path, _node in image.root.walk()} - {path for path, _node in base.walk()}
    modules = b"lib/modules/3.0.3-purekernel/modules"
    assert added == {
        modules + b".alias",
        modules + b".dep",
        modules + b".symbols",
        b"etc/ld.so.cache",
        b"usr/lib/libsample.so.1",
    }
    assert b"iso-metadata.yaml" not in image.iso
    # Only a Microkernel shortens the timeout; a remaster keeps the timeout of its base.
    assert "timeout 300" in content(image.iso, "boot/isolinux/isolinux.cfg")
    assert image.volume.volume_id == "my-core"
    assert image.volume.application_id == ""


@pytest.mark.slow
def test_files_outside_boot_are_kept_unless_keep_files_is_false(workshop: Workshop) -> None:
    workshop.write_mirror({ISO: make_core_iso(beside_boot={b"cde/onboot.lst": b"x.tcz\n"})})
    assert b"cde/onboot.lst" in make(workshop).iso
    assert b"cde/onboot.lst" not in make(workshop, "[iso]\nkeep-files = false\n").iso


EDITION = """name = "my-tc"
[core]
version = "17.x"
edition = "TinyCorePure64"
[mirrors]
tinycore = ["mirror"]
"""


@pytest.mark.slow
def test_edition_is_found_in_the_release_folder_and_its_cde_is_kept(workshop: Workshop) -> None:
    iso = make_core_iso(
        beside_boot={b"cde/onboot.lst": b"x.tcz\n", b"cde/optional/x.tcz": b"an extension"}
    )
    path = "17.x/x86_64/release/TinyCorePure64-current.iso"
    md5 = f"{hashlib.md5(iso).hexdigest()}  TinyCorePure64-current.iso\n"  # as mirrors do
    workshop.write_mirror({path: iso, f"{path}.md5.txt": md5.encode()})
    recipe = workshop.top / "purekernel.toml"
    recipe.write_text(EDITION, encoding="utf-8")
    image = make_image(request=Request(recipe=recipe), cache_dir=workshop.top / "cache")
    assert content(image.iso, "cde/onboot.lst") == "x.tcz\n"
    assert content(image.iso, "cde/optional/x.tcz") == "an extension"
    (note,) = image.notes
    assert note == (
        "TinyCorePure64-current.iso: no entry of the boot menu has the word cde, so Core does not "
        'load the extensions in cde/; "--boot-append cde" adds it'
    )
    recipe.write_text(EDITION + '[boot]\nappend = "cde"\n', encoding="utf-8")
    image = make_image(request=Request(recipe=recipe), cache_dir=workshop.top / "cache")
    assert image.notes == ()


def test_edition_that_contradicts_its_architecture_is_reported_with_other_errors(
    workshop: Workshop,
) -> None:
    recipe = workshop.top / "purekernel.toml"
    wrong = 'arch = "x86"\n[extensions]\nbuiltin = ["nopenope"]\n[mirrors]'
    recipe.write_text(EDITION.replace("[mirrors]", wrong).replace("17.x", "4.x"), encoding="utf-8")
    with pytest.raises(CombinedError) as caught:
        make_image(request=Request(recipe=recipe), cache_dir=workshop.top / "cache")
    edition, extension = (
        str(error).replace(str(workshop.top), "") for error in caught.value.errors
    )
    assert edition.endswith(
        "purekernel.toml, line 4, edition under [core]: the edition for x86 must be Core, TinyCore "
        "or CorePlus, got 'TinyCorePure64'"
    )
    assert extension.endswith("line 7, builtin under [extensions]: no mirror has nopenope.tcz")


def test_missing_edition_names_the_files_that_the_mirror_was_asked_for(workshop: Workshop) -> None:
    recipe = workshop.top / "purekernel.toml"
    recipe.write_text(EDITION.replace("17.x", "17.0"), encoding="utf-8")
    with pytest.raises(MissingFileError) as caught:
        make_image(request=Request(recipe=recipe), cache_dir=workshop.top / "cache")
    message = str(caught.value).replace("\\", "/")
    assert "TinyCorePure64-17.0.iso not found: tried " in message
    assert "17.x/x86_64/release/TinyCorePure64-17.0.iso" in message
    assert "17.x/x86_64/archive/17.0/TinyCorePure64-17.0.iso" in message


@pytest.mark.slow
def test_all_recipe_settings_are_applied(workshop: Workshop) -> None:
    site = workshop.top / "site"
    (site / "home" / "ann").mkdir(parents=True)
    (site / "home" / "ann" / ".note").write_text("hers\n")
    image = make(
        workshop,
        """
[extensions]
builtin = ["bash", "nano.tcz"]
mirror = ["openssl.tcz"]
[gems]
wanted = ["sample_tool >= 1.2"]
[[overlay]]
path = "site"
[accounts.tc]
password = "open sesame"
[accounts.ann]
uid = 1002
comment = "Ann"
[boot]
append = "quiet"
timeout = 5
default = "quiet"
autologin = false
[iso]
volume-id = "MINE"
publisher = "me"
""",
    )
    root = image.root
    assert content(root, "tmp/builtin/onboot.lst") == "bash.tcz\nnano.tcz\n"
    assert b"tmp/builtin/optional/readline.tcz" in root
    assert b"tmp/tinycorelinux/4.x/x86/tcz/openssl.tcz.list" in root
    assert b"tmp/gem-mirror/gems/sample_lib-2.1.gem" in root
    assert content(root, "tmp/gem-mirror/gems/gem.list") == "sample_tool >= 1.2\n"
    assert b"root/.gemrc" not in root
    assert "tc:$1$" in content(root, "etc/shadow")
    assert "ann:x:1002:50:Ann:/home/ann:/bin/sh\n" in content(root, "etc/passwd")
    for path in (b"home/ann", b"home/ann/.note"):
        assert (root[path].metadata.uid, root[path].metadata.gid) == (1002, 50)
    assert "tty1::respawn:/sbin/getty 38400 tty1\n" in content(root, "etc/inittab")
    menu = content(image.iso, "boot/isolinux/isolinux.cfg")
    assert "timeout 5\n" in menu
    assert "default quiet\n" in menu
    assert menu.count(" quiet\n") >= 2
    assert (image.volume.volume_id, image.volume.publisher_id) == ("MINE", "me")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flavour", "shadow", "autologin"),
    [("dev", "tc:*:", True), ("prod", "tc:*:", False), ("debug", "tc:*:", True)],
)
def test_flavour_sets_shadow_and_autologin(
    flavour: str, shadow: str, autologin: bool, workshop: Workshop
) -> None:
    image = make(workshop, '[extensions]\nbuiltin = ["openssh.tcz", "nano.tcz"]\n', X="")
    recipe = (workshop.top / "purekernel.toml").read_text()
    (workshop.top / "purekernel.toml").write_text(f'flavour = "{flavour}"\n{recipe}')
    image = make_image(request=Request(), cache_dir=workshop.top / "cache")
    assert image.flavour is Flavour(flavour)
    assert (b"tmp/builtin/optional/openssh.tcz" in image.root) is (flavour != "prod")
    assert shadow in content(image.root, "etc/shadow")
    assert ("-nl /sbin/autologin" in content(image.root, "etc/inittab")) is autologin


@pytest.mark.slow
def test_production_image_locks_user_without_password(workshop: Workshop) -> None:
    root = make_core_tree()
    shadow = Planting()
    shadow.file(b"etc/shadow", "root:*:1:0:99999:7:::\ntc::1:0:99999:7:::\n", 0o640)
    root.replace(b"etc/shadow", shadow.tree[b"etc/shadow"])
    workshop.write_mirror({ISO: make_core_iso(root=root)})
    assert "tc::1:" in content(make(workshop).root, "etc/shadow")
    request = Request(build_prod_image=True)
    for more in ("", '[accounts.tc]\ncomment = "x"\n'):
        make(workshop, more)
        image = make_image(request=request, cache_dir=workshop.top / "cache")
        assert "tc:*:1:" in content(image.root, "etc/shadow")


def test_production_image_refuses_passwords(workshop: Workshop) -> None:
    make(
        workshop, '[accounts.tc]\npassword = "x"\n[accounts.root]\nlocked = false\npassword = "y"\n'
    )
    with pytest.raises(CombinedError) as caught:
        make_image(request=Request(build_prod_image=True))
    assert [str(error) for error in caught.value.errors] == [
        f"purekernel.toml, line {line}, password under [accounts.{name}]: account {name!r} has a "
        "password: a production image must have none"
        for line, name in ((8, "tc"), (11, "root"))
    ]
    with pytest.raises(UsageError):
        raise caught.value.errors[0]


def test_password_is_read_from_the_environment(workshop: Workshop) -> None:
    recipe = '[accounts.tc]\npassword-env = "SECRET"\n'
    image = make(workshop, recipe, SECRET="open sesame")
    assert "tc:$1$" in content(image.root, "etc/shadow")
    with pytest.raises(RecipeError) as caught:
        make(workshop, recipe)
    assert str(caught.value) == (
        f"{workshop.top / 'purekernel.toml'}, line 8, password-env under [accounts.tc]: "
        "the password of 'tc' is missing: the environment variable SECRET is not set"
    )


@pytest.mark.slow
def test_equal_passwords_get_different_hashes(workshop: Workshop) -> None:
    def shadow(recipe: str) -> list[str]:
        lines = content(make(workshop, recipe).root, "etc/shadow").splitlines()
        return [line.split(":")[1] for line in lines if line.startswith(("root:", "tc:"))]

    recipe = '[accounts.tc]\npassword = "x"\n[accounts.root]\npassword = "x"\n'
    first = shadow(recipe)
    assert first == shadow(recipe)
    assert len(set(first)) == 2


def test_flat_gem_layout_puts_gems_in_one_folder(workshop: Workshop) -> None:
    image = make(workshop, '[gems]\nwanted = ["sample_gem"]\nlayout = "flat"\n')
    assert b"opt/gems/sample_gem-1.0.gem" in image.root
    assert content(image.root, "opt/gems/gem.list") == "sample_gem\n"
    assert b"tmp/gem-mirror" not in image.root


def test_command_line_overlays_are_applied_last(workshop: Workshop) -> None:
    for name in ("one", "two"):
        (workshop.top / name / "etc").mkdir(parents=True)
        (workshop.top / name / "etc" / "motd").write_bytes(f"{name}\n".encode())
    make(workshop, '[[overlay]]\npath = "one"\n')
    image = make_image(request=Request(), overlays=["two"], boot_timeout=7, iso_version="2")
    assert content(image.root, "etc/motd") == "two\n"
    assert "timeout 7\n" in content(image.iso, "boot/isolinux/isolinux.cfg")
    assert image.name == "my-core-2"


@pytest.mark.slow
def test_timestamp_dates_all_generated_files(workshop: Workshop) -> None:
    image = make(workshop, '[extensions]\nbuiltin = ["nano"]\n')
    made = image.root[b"tmp/builtin/onboot.lst"].metadata.mtime
    assert made == image.timestamp == 1_372_636_800
    image = make_image(request=Request(), timestamp=1_000_000_000)
    assert max(node.metadata.mtime for _path, node in image.root.walk()) == 1_000_000_000
    (workshop.top / "purekernel.toml").write_text("timestamp = 999\n" + BASE)
    assert make_image(request=Request()).timestamp == 999


def test_written_iso_is_read_back(workshop: Workshop) -> None:
    image = make(workshop, '[extensions]\nbuiltin = ["nano"]\n')
    data = build_iso(image.iso, fields=image.volume, boot=image.boot, timestamp=image.timestamp)
    assert parse_iso(Input(data, name="x")).boot == image.boot


def pack(folder: Path, files: dict[str, str]) -> bytes:
    """Make an extension with mksquashfs."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        (folder / path).chmod(0o755)
    made = folder.with_suffix(".tcz")
    command = (require("mksquashfs"), folder, made, "-b", "4096", "-all-root", "-noappend")
    run(*command, "-quiet", "-no-progress")
    return made.read_bytes()


@pytest.mark.oracle
def test_extensions_are_merged_and_cut(workshop: Workshop) -> None:
    """Use real squashfs images made by mksquashfs."""
    contents = {
        "tool.tcz": pack(
            workshop.top / "tool",
            {
                "usr/local/bin/tool": "#!/bin/sh\n",
                "usr/local/bin/other": "#!/bin/sh\n",
                "usr/local/tce.installed/tool": "#!/bin/sh\ntrue\n",
                "etc/hostname": "not over the base's\n",
            },
        ),
        "lib.tcz": pack(workshop.top / "lib", {"usr/local/lib/lib.txt": "x"}),
    }
    needs = {"tool.tcz": ["lib.tcz"], "lib.tcz": [], "nano.tcz": ["tool.tcz"]}
    workshop.write_mirror(make_repository(needs, contents=contents))
    root = make_core_tree()
    setup = Planting()
    setup.file(b"usr/bin/tce-setup", "for F in `cat /tmp/setup.lst`; do $F; done\n", 0o755)
    root.add(b"usr/bin/tce-setup", setup.tree[b"usr/bin/tce-setup"])
    workshop.write_mirror({ISO: make_core_iso(root=root)})
    image = make(
        workshop,
        """
[extensions]
merged = ["tool.tcz"]
builtin = ["nano.tcz"]
[[cut]]
extension = "tool.tcz"
files = ["usr/local/bin/oth*"]
""",
    )
    assert content(image.root, "usr/local/bin/tool") == "#!/bin/sh\n"
    assert content(image.root, "usr/local/bin/other") == "#!/bin/sh\n"
    assert content(image.root, "etc/hostname") == "box\n"
    assert content(image.root, "tmp/setup.lst") == "/usr/local/tce.installed/tool\n"
    assert (image.root[b"tmp/setup.lst"].metadata.uid) == 1001
    assert b"usr/local/tce.installed/lib" in image.root
    # An unpacked extension is not also loaded.
    names = image.root.entries(b"tmp/builtin/optional")
    assert names == [b"nano.tcz", b"nano.tcz.dep", b"nano.tcz.md5.txt"]


@pytest.mark.slow
def test_archive_applied_twice_uses_the_settings_of_each_overlay(workshop: Workshop) -> None:
    planting = Planting()
    planting.file(b"etc/owned", "x\n", owner=(1001, 50))
    (workshop.top / "site.tar").write_bytes(build_tar(planting.tree))
    once = '[[overlay]]\npath = "site.tar"\n'
    kept = once + "keep-owners = true\n"
    for recipe, uid in ((once + kept, 1001), (kept + once, 0)):
        assert make(workshop, recipe).root[b"etc/owned"].metadata.uid == uid

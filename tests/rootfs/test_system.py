from __future__ import annotations

import pytest

from purekernel.encode.encoders import Effort
from purekernel.encode.squashfs import SquashfsCompression, make_codec
from purekernel.errors import ConflictError, UsageError
from purekernel.formats.squashfs import Options, build_squashfs
from purekernel.formats.timezone import build_tzif, parse_timezone
from purekernel.rootfs.system import set_hostname, set_motd, set_timezone
from purekernel.threads import running_executor
from purekernel.tree import File, Metadata, Symlink, Tree, put_file

NOW = 1_500_000_000
VIENNA = "CET-1CEST,M3.5.0,M10.5.0/3"
# That of Core 4.4 to 17.0.
BOOTSYNC = b"""#!/bin/sh
# put other system startup commands here, the boot process will wait until they complete.
# Use bootlocal.sh for system startup commands that can run in the background\x20
# and therefore not slow down the boot process.
/usr/bin/sethostname box
/opt/bootlocal.sh &
"""
BOOTLOCAL = b"#!/bin/sh\n# put other system startup commands here\n"


def make_tree(**files: bytes) -> Tree:
    """Return a root file system with files of Core; a name has ``__`` for a slash."""
    tree = Tree()
    contents = {
        "opt__bootsync.sh": BOOTSYNC,
        "opt__bootlocal.sh": BOOTLOCAL,
        "etc__hostname": b"box\n",
        "etc__hosts": b"127.0.0.1\tbox\tlocalhost localhost.local\n",
        **{name.replace("_sh", ".sh"): content for name, content in files.items()},
    }
    for name, content in contents.items():
        is_script = content.startswith(b"#!")
        metadata = Metadata(mode=0o755 if is_script else 0o664, gid=50, mtime=1)
        put_file(tree, name.replace("__", "/").encode(), content, metadata=metadata)
    return tree


def pack_extension(tree: Tree) -> bytes:
    codec = make_codec(SquashfsCompression.GZIP, Effort.FAST, Options().block_bytes)
    with running_executor(jobs=1) as executor:
        return build_squashfs(tree, codec=codec, executor=executor)


def text(tree: Tree, path: str) -> str:
    return tree.read(path).decode()


def test_host_name_is_in_all_three_files() -> None:
    tree = make_tree()
    changed = set_hostname(tree, "web-1", mtime=NOW)
    assert text(changed, "etc/hostname") == "web-1\n"
    assert text(changed, "etc/hosts") == "127.0.0.1\tweb-1\tlocalhost localhost.local\n"
    assert changed.read("opt/bootsync.sh") == BOOTSYNC.replace(b" box", b" web-1")
    assert changed[b"etc/hostname"].metadata == Metadata(mode=0o664, gid=50, mtime=NOW)
    assert set_hostname(changed, "web-1", mtime=NOW + 1) == changed
    assert text(tree, "etc/hostname") == "box\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sethostname", "sethostname new"),
        ("  sethostname 'old.example'  # mine", "  sethostname new  # mine"),
        ("# sethostname old", "# sethostname old"),
        ("echo sethostname old", "echo sethostname old"),
    ],
)
def test_literal_host_name_of_a_script_is_replaced(line: str, expected: str) -> None:
    script = f"#!/bin/sh\n{line}\nexit 0\n"
    changed = set_hostname(make_tree(opt__bootsync_sh=script.encode()), "new", mtime=NOW)
    assert text(changed, "opt/bootsync.sh") == f"#!/bin/sh\n{expected}\nexit 0\n"


@pytest.mark.parametrize("name", ["$(cat /mac)", "box && reboot", '"$NAME"'])
def test_computed_host_name_is_an_error(name: str) -> None:
    script = f"#!/bin/sh\nsethostname {name}\n"
    with pytest.raises(ConflictError, match=r"'opt/bootsync\.sh', line 2: must set a plain host"):
        set_hostname(make_tree(opt__bootsync_sh=script.encode()), "new", mtime=NOW)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("::1 box\n", "127.0.0.1\tnew\tlocalhost\n::1 box\n"),
        ("127.0.0.1 localhost\n", "127.0.0.1\tnew localhost\n"),
        ("127.0.0.1 localhost new\n", "127.0.0.1 localhost new\n"),
    ],
)
def test_hosts_without_the_old_name_get_the_new_one(before: str, after: str) -> None:
    changed = set_hostname(make_tree(etc__hosts=before.encode()), "new", mtime=NOW)
    assert text(changed, "etc/hosts") == after


def test_tree_without_scripts_gets_a_host_name() -> None:
    tree = Tree()
    assert text(set_hostname(tree, "new", mtime=NOW), "etc/hostname") == "new\n"


def test_motd_keeps_quotes_and_backslashes_and_ends_with_a_newline() -> None:
    shown = 'It\'s "$(reboot)"\n\t`x` \\ ☃'
    changed = set_motd(make_tree(), shown, mtime=NOW)
    assert text(changed, "etc/motd") == shown + "\n"
    assert set_motd(changed, shown + "\n", mtime=NOW) == changed


def test_motd_that_is_a_link_is_written_through() -> None:
    tree = make_tree(etc__real=b"old\n")
    tree.add(b"etc/motd", Symlink(metadata=Metadata(mode=0o777), target=b"real"))
    assert text(set_motd(tree, "new", mtime=NOW), "etc/real") == "new\n"


def test_time_zone_is_set_for_shells_and_for_the_c_library() -> None:
    changed = set_timezone(make_tree(), VIENNA, mtime=NOW)
    assert text(changed, "etc/sysconfig/timezone") == f"TZ={VIENNA}\n"
    assert changed.read("etc/localtime") == build_tzif(parse_timezone(VIENNA))


def test_rule_with_signs_of_the_shell_is_quoted() -> None:
    changed = set_timezone(make_tree(), "<+0545>-5:45", mtime=NOW)
    assert text(changed, "etc/sysconfig/timezone") == "TZ='<+0545>-5:45'\n"


def zone_file() -> bytes:
    return build_tzif(parse_timezone(VIENNA))


def test_zone_of_the_image_is_copied_and_the_database_is_not_changed() -> None:
    tree = make_tree()
    path = b"usr/share/zoneinfo/Europe/Vienna"
    put_file(tree, path, zone_file(), metadata=Metadata(mode=0o644))
    link = Symlink(metadata=Metadata(mode=0o777), target=b"/" + path)
    tree.add(b"etc/localtime", link)
    changed = set_timezone(tree, "Europe/Vienna", mtime=NOW)
    assert isinstance(changed[b"etc/localtime"], File)
    assert changed.read("etc/localtime") == zone_file()
    assert text(changed, "etc/sysconfig/timezone") == f"TZ={VIENNA}\n"


def test_zone_of_a_builtin_extension_is_copied() -> None:
    extension = Tree()
    path = b"usr/local/share/zoneinfo/Europe/Vienna"
    put_file(extension, path, zone_file(), metadata=Metadata(mode=0o644))
    tree = make_tree()
    folder, metadata = b"tmp/builtin/optional/", Metadata(mode=0o644)
    put_file(tree, folder + b"a.tcz", b"damaged", metadata=metadata)
    put_file(tree, folder + b"tzdata.tcz", pack_extension(extension), metadata=metadata)
    changed = set_timezone(tree, "Europe/Vienna", mtime=NOW)
    assert changed.read("etc/localtime") == zone_file()


@pytest.mark.parametrize("zone", ["Europe/Vienna", "Japan"])
def test_zone_that_the_image_lacks_is_an_error_with_both_remedies(zone: str) -> None:
    with pytest.raises(UsageError) as caught:
        set_timezone(make_tree(), zone, mtime=NOW)
    assert str(caught.value) == (
        f"the image has no time zone '{zone}': neither it nor a builtin extension has it in "
        "'usr/share/zoneinfo' and 'usr/local/share/zoneinfo'"
    )
    assert "tzdata.tcz" in caught.value.hint


def test_folder_in_the_place_of_a_file_is_an_error() -> None:
    tree = make_tree(etc__motd__x=b"")
    with pytest.raises(ConflictError):
        set_motd(tree, "x", mtime=NOW)

"""Test that GRUB's configuration files are read as far as plain text goes, and changed in place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.formats.grub import GrubFile, parse_grub_config
from purekernel.formats.grub_script import parse_grub_script, quote_word
from purekernel.formats.menu_edit import EntryEdit, Part, splice
from tests import shared
from tests.oracles import require, run

MENU = b"""\
# comment with linux /boot/x
set default="0"
set timeout=5

menuentry "Tiny Core" --id tc {
  linux /boot/vmlinuz64 loglevel=3 cde  # more
  initrd /boot/core.gz
}
submenu 'More' {
  menuentry 'Core, no cde' {
    linux ($root)/boot/vmlinuz64 loglevel=3 -- x
    initrd (loop)/boot/core.gz /boot/more.gz
  }
}
menuentry "Memory" { linux16 /boot/memtest }
menuentry "DOS" { linux16 /boot/memdisk iso; initrd16 /dos.img }
menuentry "Disk" { chainloader (hd0)+1 }
"""


def edit_all(file: GrubFile, edit: EntryEdit) -> bytes:
    """Return the file with a change of all entries."""
    splices = [each for at in range(len(file.found)) for each in file.edit_entry(at, edit)]
    return splice(file.script.data, splices)


def append(data: bytes, *words: bytes) -> bytes:
    return edit_all(parse_grub_config(data), EntryEdit(add=words))


def kernels(data: bytes) -> list[bytes]:
    return [each.kernel for each in parse_grub_config(data).found if each.kernel is not None]


def reasons(data: bytes) -> list[tuple[int, str]]:
    return [(each.line, each.reason) for each in parse_grub_config(data).unclear]


def test_entries_that_boot_linux_are_found_and_no_others() -> None:
    file = parse_grub_config(MENU)
    assert [each.title for each in file.found if each.kernel] == [b"Tiny Core", b"Core, no cde"]
    first = file.found[0]
    assert first.names == (b"tc", b"Tiny Core")
    assert first.kernel == b"/boot/vmlinuz64"
    assert first.initrds == (b"/boot/core.gz",)
    assert first.words == (b"loglevel=3", b"cde")
    assert (file.timeout, file.default, file.unclear) == (50, 0, ())


def test_words_are_appended_to_linux_entries_alone_and_before_the_end_of_parameters() -> None:
    assert append(MENU, b"quiet", b'x="a b"') == MENU.replace(
        b"loglevel=3 cde ", b"loglevel=3 cde quiet 'x=a b' "
    ).replace(b"loglevel=3 --", b"loglevel=3 quiet 'x=a b' --")


def test_dropped_words_go_with_the_blanks_before_them() -> None:
    edit = EntryEdit(drop=lambda word: word == b"loglevel=3")
    assert edit_all(parse_grub_config(MENU), edit) == MENU.replace(b" loglevel=3", b"")


def test_initrds_keep_their_spelling_and_get_a_new_one() -> None:
    edit = EntryEdit(initrds=lambda paths: [*paths, b"/boot/a b.gz"])
    changed = edit_all(parse_grub_config(MENU), edit)
    assert changed.count(b"'/boot/a b.gz'") == 3
    assert b"initrd (loop)/boot/core.gz /boot/more.gz '/boot/a b.gz'\n" in changed


def test_timeout_is_changed_wherever_the_script_may_set_it() -> None:
    menu = b"""if [ "${recordfail}" = 1 ]; then
  set timeout="-1"
else
  timeout=5
fi
menuentry a { set timeout=7; }
"""
    file = parse_grub_config(menu)
    changed = splice(menu, file.edit_timeout(25, insert=True))
    assert changed == menu.replace(b'"-1"', b'"3"').replace(b"timeout=5", b"timeout=3")


def test_timeout_of_0_waits_for_the_user_and_is_inserted() -> None:
    menu = b"menuentry a {\r\n}\r\n"
    file = parse_grub_config(menu)
    assert splice(menu, file.edit_timeout(0, insert=True)) == b"set timeout=-1\r\n" + menu
    assert file.edit_timeout(0, insert=False) == []


def test_default_is_named_by_id_then_title_then_number() -> None:
    menu = b"""menuentry "One" --id one { true; }
menuentry "Two > 1" { true; }
submenu "More" {
  menuentry "2nd" { true; }
  menuentry "Same" { true; }
  menuentry "Same" { true; }
}
if true; then
  menuentry "3rd" { true; }
fi
"""
    file = parse_grub_config(menu)
    names = [file.name_entry(index) for index in range(len(file.entries))]
    assert names == [b"one", b"1", b"More", b"More>0", b"More>1", b"More>2", None]
    for index, name in enumerate(names):
        if name is not None:
            changed = splice(menu, file.edit_default(name, insert=True))
            assert parse_grub_config(changed).default == index


def test_default_that_the_user_at_the_machine_chose_stays() -> None:
    menu = b'set default="0"\nif [ "$x" ]; then set default="${saved_entry}"; fi\n'
    file = parse_grub_config(menu)
    changed = splice(menu, file.edit_default(b"tc", insert=True))
    assert changed == menu.replace(b'"0"', b'"tc"')


@pytest.mark.parametrize(
    ("line", "kernel"),
    [
        (b"linux /vmlinuz", b"/vmlinuz"),
        (b"linuxefi '/a b/vmlinuz'", b"/a b/vmlinuz"),
        (b'linux "/boot/vm"linuz', b"/boot/vmlinuz"),
        (rb"linux /boot/vm\linuz", b"/boot/vmlinuz"),
        (b"linux \\\n  /vmlinuz", b"/vmlinuz"),
        (b"k=/vmlinuz; linux $k", b"/vmlinuz"),
        (b"l=linux; if x; then l=linuxefi; fi; ${l} /vmlinuz", b"/vmlinuz"),
        (b"linux /vmlinuz-$version", b"/vmlinuz-$version"),
        (b"linux ($root)/vmlinuz", b"($root)/vmlinuz"),
        (b"for i in a b; do linux /vmlinuz; done", b"/vmlinuz"),
    ],
)
def test_kernel_is_found_and_its_words_change(line: bytes, kernel: bytes) -> None:
    menu = b"menuentry x {\n" + line + b"\n}\n"
    assert kernels(menu) == [kernel]
    assert reasons(menu) == []
    assert append(menu, b"word").count(b" word") == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"linux $kernel", "the name of the kernel is a variable"),
        (b"linux /boot/$kernel", "the name of the kernel is a variable"),
        (b"k=/vmlinuz; k=/memdisk; linux $k", "the name of the kernel is a variable"),
        (b"$command /vmlinuz", "the name of the command is a variable"),
        (b"c=linux; c=chainloader; $c /vmlinuz", "the name of the command is a variable"),
        (b"linux /vmlinuz; initrd $initrd", "the name of an initrd is a variable"),
        (b"eval linux /vmlinuz", "eval runs a command that is made while GRUB runs"),
        (
            b"configfile $file",
            "the file that it reads is not known, or not on the boot medium",
        ),
        (
            b"source (memdisk)/grub.cfg",
            "the file that it reads is not known, or not on the boot medium",
        ),
    ],
)
def test_what_only_grub_knows_is_said_with_its_line(line: bytes, reason: str) -> None:
    assert reasons(b"# one\nmenuentry x {\n" + line + b"\n}\n") == [(3, reason)]


@pytest.mark.parametrize(
    "menu",
    [
        b"a\nmenuentry 'x {\n",
        b'a\n"x',
        b"a\nb | c\n",
        b"a\n}\n",
        b"a\nif true; then b\n",
        b"a\nfi\n",
        b"a\n$ b\n",
        b"a\nfunction {\n",
        b"a\n" + b"b {\n" * 100,
    ],
)
def test_script_that_grub_refuses_is_read_to_there(menu: bytes) -> None:
    file = parse_grub_config(menu)
    assert file.script.commands[0].name == b"a"
    (unclear,) = file.unclear
    assert unclear.reason == "GRUB would refuse what follows"
    assert unclear.concerns == Part.LINUX | Part.INITRDS | Part.TIMEOUT | Part.DEFAULT
    assert unclear.line > 1


def test_files_that_it_reads_are_followed_as_far_as_their_names_are_known() -> None:
    menu = b"""source /boot/a.cfg
configfile ($root)/EFI/b.cfg
configfile (cd0)/c.cfg
. $prefix/d.cfg
normal
"""
    followed = parse_grub_config(menu).followed
    assert [(each.path, each.is_whole, each.is_part) for each in followed] == [
        (b"/boot/a.cfg", True, True),
        (b"/EFI/b.cfg", False, False),
        (b"/c.cfg", True, False),
        (b"/d.cfg", False, True),
    ]


@given(st.binary(max_size=60))
def test_any_bytes_without_a_change_come_back(data: bytes) -> None:
    file = parse_grub_config(data)
    assert edit_all(file, EntryEdit()) == data
    assert file.unclear is not None


WORDS = st.text(st.characters(codec="utf-8", exclude_characters='\r\n\0"'), min_size=1)


@given(WORDS.map(str.encode))
def test_any_word_is_one_word_after_quoting(word: bytes) -> None:
    script = parse_grub_script(b"echo " + quote_word(word) + b"\n")
    assert [each.text for each in script.commands[0].words] == [b"echo", word]


@given(st.lists(WORDS.map(str.encode), min_size=1, max_size=3))
def test_any_words_are_found_where_they_were_appended(words: list[bytes]) -> None:
    changed = append(b"menuentry a {\n linux /k x\n}\n", *words)
    assert parse_grub_config(changed).found[0].words == (b"x", *words)


def grub_menus() -> list[Path]:
    folder = shared.modern()
    found = [*folder.glob("menus/**/grub*.cfg*"), *folder.glob("bootfiles/**/grub.cfg")]
    assert len(found) > 15
    return sorted(found)


@pytest.mark.slow
def test_real_menus_come_back_and_get_a_word_in_each_linux_entry() -> None:
    count = 0
    for path in grub_menus():
        data = path.read_bytes()
        file = parse_grub_config(data)
        assert file.unclear == (), path
        assert edit_all(file, EntryEdit()) == data
        changed = parse_grub_config(edit_all(file, EntryEdit(add=(b"word",))))
        for before, after in zip(file.found, changed.found, strict=True):
            if before.kernel is not None:
                count += 1
                added = [word for word in after.words if word not in before.words]
                assert added == [b"word"]
    assert count > 20


@pytest.mark.oracle
def test_changed_real_menus_are_valid_for_grub(tmp_path: Path) -> None:
    checker = require("grub-script-check")
    for path in grub_menus():
        file = parse_grub_config(path.read_bytes())
        edit = EntryEdit(add=(b"a'b", b"$x", b"c d"), initrds=lambda paths: [*paths, b"/x y.gz"])
        splices = [*file.edit_timeout(70, insert=True), *file.edit_default(b"a b", insert=True)]
        splices += [each for at in range(len(file.found)) for each in file.edit_entry(at, edit)]
        changed = tmp_path / "grub.cfg"
        changed.write_bytes(splice(file.script.data, splices))
        run(checker, changed)

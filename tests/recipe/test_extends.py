"""Test recipes that extend others: which files are joined, how, and what errors name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import CombinedError, InputError, PurekernelError, RecipeError
from purekernel.formats.toml import TomlDocument
from purekernel.recipe.additions import OverlayChoice
from purekernel.recipe.check import MAX_ERRORS
from purekernel.recipe.join import join, rebase
from purekernel.recipe.kinds import CHECKED_FILE, EXTENSION_NAME, Array, Kind, TextOrFalse
from purekernel.recipe.model import Recipe
from purekernel.recipe.parents import MAX_DEPTH, MAX_FILES, RecipeFile
from purekernel.recipe.read import load_recipe, parse_recipe
from purekernel.recipe.schema import tables
from purekernel.recipe.show import render
from tests.recipe.schemas import SCHEMA, accepted

FOLDER = Path("some", "where")


def reader(files: dict[str, str]) -> Callable[[Path], bytes]:
    def read(path: Path) -> bytes:
        name = path.relative_to(FOLDER).as_posix()
        if name not in files:
            raise InputError(f"{name} does not exist")
        return files[name].encode()

    return read


def parse(text: str, files: dict[str, str]) -> Recipe:
    return parse_recipe(text.encode(), source="p.toml", folder=FOLDER, read=reader(files))


def wrong(text: str, files: dict[str, str]) -> list[tuple[str, str]]:
    """Return the messages and hints of the errors, with slashes in paths."""
    with pytest.raises(PurekernelError) as caught:
        parse(text, files)
    error = caught.value
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    return [(str(each).replace("\\", "/").replace("some/where/", ""), each.hint) for each in errors]


def messages(text: str, files: dict[str, str]) -> list[str]:
    return [message for message, _hint in wrong(text, files)]


def names(recipe: Recipe, key: str = "builtin") -> list[str]:
    return [each.name for each in getattr(recipe.extensions, key) or ()]


# How values are joined.


def test_last_value_of_a_key_counts() -> None:
    recipe = parse(
        'extends = ["a.toml", "b.toml"]\nversion = "3"',
        {"a.toml": 'name = "a"\nversion = "1"\nflavour = "dev"', "b.toml": 'name = "b"'},
    )
    assert (recipe.name, recipe.version, recipe.flavour) == ("b", "3", recipe.flavour)
    assert recipe.flavour is not None
    assert recipe.flavour.value == "dev"


def test_tables_are_joined_key_by_key() -> None:
    recipe = parse(
        'extends = ["a.toml"]\n[core]\narch = "x86_64"\n[accounts.tc]\nlocked = true\n'
        "[accounts.anna]\nuid = 7\n",
        {"a.toml": '[core]\nversion = "17.x"\narch = "x86"\n[accounts.anna]\nhome = "/h"'},
    )
    assert (recipe.core.version, recipe.core.arch) == ("17.x", "x86_64")
    accounts = {account.name: account for account in recipe.accounts}
    assert (accounts["anna"].uid, accounts["anna"].home) == (7, "/h")
    assert accounts["tc"].locked


def test_arrays_are_continued_with_lists_before_arrays() -> None:
    recipe = parse(
        'extends = ["a.toml"]\n[extensions]\nbuiltin = ["d"]\nbuiltin-list = "c.lst"',
        {
            "a.toml": '[extensions]\nbuiltin = ["b"]\nbuiltin-list = "a.lst"',
            "a.lst": "a\n",
            "c.lst": "c\nb\n",
        },
    )
    assert names(recipe) == ["a.tcz", "b.tcz", "c.tcz", "d.tcz"]


def test_repeated_tables_are_continued_and_keep_their_lists() -> None:
    recipe = parse(
        'extends = ["a.toml"]\n[[cut]]\nextension = "y"\nlist = "y.lst"\n[[overlay]]\npath = "q"',
        {
            "a.toml": '[[cut]]\nextension = "x"\nlist = "x.lst"\n[[overlay]]\npath = "p"',
            "x.lst": "of/x\n",
            "y.lst": "of/y\n",
        },
    )
    assert [(cut.extension.name, cut.files[0].name) for cut in recipe.cuts] == [
        ("x.tcz", "of/x"),
        ("y.tcz", "of/y"),
    ]
    assert recipe.cuts[1].files[0].place == "y.lst, line 1"
    assert [overlay.path for overlay in recipe.overlays] == ["p", "q"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('password-env = "X"', (None, "X", False)),
        ("locked = true", (None, None, True)),
        ("locked = false", ("old", None, False)),
        ("uid = 5", ("old", None, False)),
    ],
)
def test_form_of_password_replaces_the_inherited_form(
    given: str, expected: tuple[str | None, str | None, bool]
) -> None:
    recipe = parse(
        f'extends = ["a.toml"]\n[accounts.tc]\n{given}',
        {"a.toml": '[accounts.tc]\npassword = "old"'},
    )
    (account,) = recipe.accounts
    assert (account.password, account.password_env, account.locked) == expected


def test_digest_does_not_apply_to_another_file() -> None:
    digest = "0" * 64
    files = {"a.toml": f'[core]\niso = "a.iso"\niso-sha256 = "{digest}"'}
    assert parse('extends = ["a.toml"]', files).core.iso_sha256 == digest
    replaced = parse('extends = ["a.toml"]\n[core]\niso = "b.iso"', files)
    assert (replaced.core.iso, replaced.core.iso_sha256) == ("b.iso", None)
    text = f'extends = ["a.toml"]\n[core]\niso-sha256 = "{"1" * 64}"'
    assert parse(text, files).core.iso_sha256 == "1" * 64


def test_repeated_table_in_a_table_is_continued_and_discarded() -> None:
    files = {"sub/a.toml": '[[iso.file]]\npath = "a"\nsource = "x"\n[iso]\nsystem = "S"\n'}
    text = 'extends = ["sub/a.toml"]\n{}[[iso.file]]\npath = "b"\ntext = "B"\n'
    recipe = parse(text.format(""), files)
    assert [(file.path, file.source, file.text) for file in recipe.iso_files] == [
        ("a", "sub/x", None),
        ("b", None, "B"),
    ]
    place = recipe.iso_files[0].place("path").replace("\\", "/")
    assert place == "some/where/sub/a.toml, line 2, path under [[iso.file]]"
    assert recipe.iso.system == "S"
    recipe = parse(text.format('discard = ["iso.file"]\n'), files)
    assert [file.path for file in recipe.iso_files] == ["b"]
    assert recipe.iso.system == "S"


def test_one_form_of_base_replaces_another_and_initrds_are_continued() -> None:
    digest = "0" * 64
    files = {
        "sub/a.toml": '[core]\nkernel = "vmlinuz64"\ninitrd = ["rootfs64.gz", "./own.gz"]\n'
        f'initrd-sha256 = ["{digest}", "{digest}"]',
        "sub/b.toml": '[core]\niso = "b.iso"',
    }
    core = parse('extends = ["sub/a.toml", "sub/b.toml"]', files).core
    assert (core.iso, core.initrd, core.kernel) == ("sub/b.iso", (), "vmlinuz64")
    core = parse('extends = ["sub/b.toml", "sub/a.toml"]', files).core
    # A name without a slash can be that of a file on a mirror.
    assert (core.iso, core.initrd) == (None, ("rootfs64.gz", "sub/./own.gz"))
    text = f'extends = ["sub/a.toml"]\n[core]\ninitrd = ["x/y.gz"]\ninitrd-sha256 = ["{digest}"]'
    core = parse(text, files).core
    assert core.initrd == ("rootfs64.gz", "sub/./own.gz", "x/y.gz")
    assert len(core.initrd_sha256) == 3


def test_discarded_keys_are_not_inherited() -> None:
    base = (
        '[mirrors]\ntinycore = ["m"]\n[core]\niso = "x.iso"\n[extensions]\nbuiltin = ["a"]\n'
        'builtin-list = "l"\n[[overlay]]\npath = "o"\n[accounts.anna]\nuid = 1'
    )
    recipe = parse(
        'extends = ["a.toml"]\n'
        'discard = ["mirrors", "core.iso", "extensions.builtin", "overlay", "accounts.anna"]\n'
        '[extensions]\nbuiltin = ["b"]\n[[overlay]]\npath = "p"',
        {"a.toml": base, "l": "listed"},
    )
    assert recipe.mirrors.tinycore == ()
    assert recipe.core.iso is None
    assert names(recipe) == ["b.tcz"]
    assert [overlay.path for overlay in recipe.overlays] == ["p"]
    assert recipe.accounts == ()


def test_paths_of_a_parent_start_at_its_folder() -> None:
    recipe = parse(
        'extends = ["sub/a.toml"]\n[mirrors]\ntinycore = ["m"]',
        {
            "sub/a.toml": 'extends = ["../other/b.toml"]\n[mirrors]\n'
            'tinycore = ["m", "https://x.example/m", "/m"]\n'
            '[extensions]\nmirror-list = "l.lst"\n[razor]\nproject = "../p"\nrubygems = false\n'
            '[output]\nfolder = "out"',
            "other/b.toml": '[[overlay]]\npath = "site"\n[[cut]]\nextension = "x"\nlist = "c.lst"',
            "sub/l.lst": "fuse",
            "other/c.lst": "bin/x",
        },
    )
    assert recipe.mirrors.tinycore == ("sub/m", "https://x.example/m", "/m", "m")
    assert names(recipe, "mirror") == ["fuse.tcz"]
    assert [overlay.path for overlay in recipe.overlays] == ["other/site"]
    assert recipe.razor is not None
    assert (recipe.razor.project, recipe.razor.rubygems) == ("sub/../p", "")
    assert recipe.output.folder == "sub/out"


def test_each_key_that_is_a_path_on_the_host_says_so() -> None:
    """A key that takes a path, but is not moved with its file, would name another file."""

    def moves(kind: Kind) -> bool:
        if isinstance(kind, Array):
            return moves(kind.item)
        return kind.is_host_path or (isinstance(kind, TextOrFalse) and kind.text.is_host_path)

    not_moved = {
        ("[[cut]]", "files"), ("[accounts.tc]", "home"), ("[accounts.tc]", "shell"),
        ("[[overlay]]", "url"), ("[[iso.file]]", "path"), ("[[iso.file]]", "url"),
        ("[findings]", "ignore"), ("[oci]", "working-dir"), ("[oci]", "volumes"),
        ("[[boot.efi.file]]", "path"),
    }  # fmt: skip
    for table in tables():
        for key in table.keys.values():
            kind = key.kind.item if isinstance(key.kind, Array) else key.kind
            if "path" in kind.words or "URL" in kind.words:
                inside = (table.label, key.name) in not_moved or key.name == "extends"
                inside |= "in the image" in kind.words
                assert moves(key.kind) != inside, f"{key.name} in {table.label}"


# Which files are joined.


def test_file_that_two_others_extend_is_joined_once_and_before_both() -> None:
    recipe = parse(
        'extends = ["a.toml", "b.toml"]\n[[overlay]]\npath = "r"',
        {
            "a.toml": 'extends = ["g.toml"]\nname = "a"\n[[overlay]]\npath = "a"',
            "b.toml": 'extends = ["g.toml"]\n[[overlay]]\npath = "b"',
            "g.toml": 'name = "g"\n[[overlay]]\npath = "g"',
        },
    )
    assert [overlay.path for overlay in recipe.overlays] == ["g", "a", "b", "r"]
    assert recipe.name == "a"


def test_file_named_twice_in_other_words_is_joined_once() -> None:
    recipe = parse('extends = ["a.toml", "./sub/../a.toml"]', {"a.toml": '[[overlay]]\npath = "a"'})
    assert [overlay.path for overlay in recipe.overlays] == ["a"]


def test_cycle_is_reported_with_its_chain() -> None:
    files = {"a.toml": 'name = "x"\nextends = ["b.toml"]', "b.toml": 'extends = ["a.toml"]'}
    assert wrong('extends = ["a.toml"]', files) == [
        (
            "b.toml, line 1, extends: a.toml extends itself: a.toml → b.toml → a.toml",
            "delete one of the files of this chain from 'extends'",
        )
    ]
    assert messages('extends = ["p.toml"]', {}) == [
        "p.toml, line 1, extends: p.toml extends itself: p.toml → p.toml"
    ]


def chain_of(count: int) -> dict[str, str]:
    """Return ``count`` files, each of which extends the next."""
    files = {f"{at}.toml": f'extends = ["{at + 1}.toml"]' for at in range(1, count)}
    return {**files, f"{count}.toml": 'name = "last"'}


def test_eight_files_deep_is_joined_and_nine_are_refused() -> None:
    assert parse('extends = ["1.toml"]', chain_of(MAX_DEPTH)).name == "last"
    (message,) = messages('extends = ["1.toml"]', chain_of(MAX_DEPTH + 1))
    assert message.startswith("8.toml, line 1, extends: must be at most 8 files deep, got p.toml")
    assert message.endswith("7.toml → 8.toml → 9.toml")


def test_too_many_files_are_refused() -> None:
    files = {f"{at}.toml": "" for at in range(MAX_FILES + 1)}
    given = ", ".join(f'"{name}"' for name in files)
    assert messages(f"extends = [{given}]", files) == [
        "p.toml, line 1, extends: a recipe must extend at most 64 files"
    ]


def test_thousands_of_wrong_names_give_some_errors() -> None:
    missing = ", ".join(f'"{at}.toml"' for at in range(1000))
    errors = messages(f"extends = [{missing}]", {})
    assert len(errors) == MAX_FILES + 1
    assert errors[0] == "p.toml, line 1, extends: 0.toml does not exist"
    assert errors[-1].endswith("must extend at most 64 files")
    unknown = ", ".join(f'"core.k{at}"' for at in range(1000))
    assert len(messages(f"discard = [{unknown}]", {})) == MAX_ERRORS


def test_files_elsewhere_need_a_digest(tmp_path: Path) -> None:
    common = tmp_path / "common"
    common.mkdir()
    (common / "base.toml").write_text('[[overlay]]\npath = "site"\n')
    folder = tmp_path / "image"
    folder.mkdir()
    recipe = folder / "purekernel.toml"
    recipe.write_text('extends = ["../common/base.toml"]\n')
    with pytest.raises(RecipeError) as caught:
        load_recipe(folder)
    assert str(caught.value) == (
        f"{recipe}, line 1, extends: {folder / '../common/base.toml'} is outside the folder of the "
        "recipe, so it must have a sha256"
    )
    digest = hashlib.sha256((common / "base.toml").read_bytes()).hexdigest()
    given = f'{{ path = "../common/base.toml", sha256 = "{digest.upper()}" }}'
    recipe.write_text(f"extends = [{given}]\n")
    assert load_recipe(folder).overlays == (OverlayChoice(path="../common/site"),)
    (common / "base.toml").write_text("name = 'changed'\n")
    with pytest.raises(RecipeError, match=f"failed verification: SHA-256 must be {digest}, got "):
        load_recipe(folder)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_link_to_a_file_elsewhere_needs_a_digest(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("")
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "base.toml").symlink_to(tmp_path / "base.toml")
    (folder / "purekernel.toml").write_text('extends = ["base.toml"]\n')
    with pytest.raises(RecipeError, match="must have a sha256"):
        load_recipe(folder)


def test_url_is_refused_without_its_password() -> None:
    assert wrong('extends = ["https://u:p@x.example/a.toml"]', {}) == [
        (
            'p.toml, line 1, extends: must be a file, got "https://x.example/a.toml"',
            "download it, and give its path: a recipe is read without the network",
        )
    ]


# What errors name.


def test_all_errors_of_all_files_are_reported_in_one_run() -> None:
    files = {
        "a.toml": 'nme = "x"\n[core]\nversion = 4.4\n[extensions]\nmirror-list = "bad.lst"',
        "bad.lst": "fine\na b\n",
        "b.toml": "name = \n",
    }
    text = (
        'extends = ["a.toml", "b.toml", "missing.toml", 7]\ndiscard = ["iso"]\n'
        "[boot]\ntimeout = true\n"
    )
    assert messages(text, files) == [
        "b.toml, line 1: the value is missing or invalid",
        "p.toml, line 1, extends: missing.toml does not exist",
        "a.toml, line 1: unknown key 'nme' in the recipe; did you mean 'name'?",
        "a.toml, line 3: 'version' must be text, got 4.4",
        f"p.toml, line 1: item 4 of 'extends' must be {CHECKED_FILE.words}, got 7",
        "p.toml, line 4: 'timeout' must be a whole number, got true",
        "p.toml, line 2, discard: no file that this one extends gives 'iso'",
        f"bad.lst, line 2: expected {EXTENSION_NAME.words}, got 'a b'",
    ]


def test_key_may_come_from_another_file_but_must_come_from_one() -> None:
    text = 'extends = ["a.toml"]\n[razor]\nssh-host-keys = false'
    assert parse(text, {"a.toml": '[razor]\nproject = "p"'}).razor is not None
    assert messages(text, {"a.toml": "[razor]\nrubygems = false"}) == [
        "p.toml, line 2: [razor] must have 'project'"
    ]


def test_table_that_is_repeated_must_be_complete_in_its_file() -> None:
    text = 'extends = ["a.toml"]\n[[overlay]]\npath = "x"'
    assert messages(text, {"a.toml": "\n[[overlay]]\nkeep-owners = true"}) == [
        "a.toml, line 2: [[overlay]] must have 'path' or 'url'"
    ]


def test_values_of_a_parent_know_their_place() -> None:
    recipe = parse(
        'extends = ["sub/a.toml"]\n[boot]\ntimeout = 5',
        {
            "sub/a.toml": '[boot]\ndefault = "x"\n[extensions]\nbuiltin = [\n  "bash",\n]\n'
            'mirror-list = "m.lst"',
            "sub/m.lst": "\nfuse\n",
        },
    )
    source = str(FOLDER / "sub" / "a.toml")
    assert recipe.boot.place("default") == f"{source}, line 2, default under [boot]"
    assert recipe.boot.place("timeout") == "p.toml, line 3, timeout under [boot]"
    assert recipe.boot.place() == "p.toml, line 2, [boot]"
    assert recipe.extensions.builtin is not None
    place = f"{source}, line 5, builtin under [extensions]"
    assert recipe.extensions.builtin[0].place == place
    assert recipe.extensions.mirror is not None
    assert recipe.extensions.mirror[0].place.startswith("sub/m.lst, line 2")


def test_misspelt_discarded_key_gets_the_nearest() -> None:
    files = {"a.toml": '[mirrors]\ntinycore = ["m"]'}
    (message,) = messages('extends = ["a.toml"]\ndiscard = ["mirrors.tinycor"]', files)
    assert message.endswith("gives 'mirrors.tinycor'; did you mean 'mirrors.tinycore'?")
    assert messages('discard = ["mirrors.tinycore"]', {}) == [
        "p.toml, line 1, discard: no file that this one extends gives 'mirrors.tinycore'"
    ]


# Properties of joining.


def joined(*values: dict[str, Any]) -> TomlDocument:
    """Return the joined document of files with these values."""
    files = [
        rebase(RecipeFile(document=TomlDocument(source=f"{at}.toml", values=each, lines={})))
        for at, each in enumerate(values)
    ]
    document, _lists = join([(file, {}) for file in files], [])
    return document


def without_lists(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a recipe that stands alone: no lists in tables that are joined."""
    tables_of = {table.name: table for table in tables()}
    listing = {key.list_key.name for t in tables() for key in t.keys.values() if key.list_key}
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if name in ("extends", "discard"):
            continue
        is_table = name in tables_of and isinstance(value, dict)
        kept[name] = (
            {key: item for key, item in value.items() if key not in listing} if is_table else value
        )
    return kept


ACCEPTED = {
    key: accepted(schema)
    for key, schema in SCHEMA["properties"].items()
    if key not in ("extends", "discard")
}


@pytest.mark.slow
@settings(max_examples=30)
@given(st.data())
def test_joining_any_recipes_is_associative_has_an_identity_and_is_shown_exactly(
    data: st.DataObject,
) -> None:
    # Drawing all tables at once exceeds the limits of hypothesis. With few, files share some.
    keys = data.draw(st.lists(st.sampled_from(list(ACCEPTED)), unique=True, max_size=2))
    recipes = st.fixed_dictionaries({}, optional={key: ACCEPTED[key] for key in keys})
    first, second, third = (without_lists(data.draw(recipes)) for _ in range(3))
    assert joined(first).values == first
    assert joined({}, first).values == first
    assert joined(first, {}).values == first
    both = joined(first, second)
    assert joined(both.values, third).values == joined(first, second, third).values
    shown = render(both, ("0.toml", "1.toml"), secrets=True)
    assert read(shown.text) == read(tomli_w.dumps(both.values))


def read(text: str) -> Recipe:
    return parse_recipe(
        text.encode(), source="1.toml", folder=FOLDER, read=lambda _path: b"listed\n"
    )


@given(st.permutations(["a", "b", "c"]))
def test_files_are_joined_in_the_order_in_which_they_are_named(order: list[str]) -> None:
    files = {f"{name}.toml": f'name = "{name}"\n[[overlay]]\npath = "{name}"' for name in order}
    named = ", ".join(f'"{name}.toml"' for name in order)
    recipe = parse(f"extends = [{named}]", files)
    assert recipe.name == order[-1]
    assert [overlay.path for overlay in recipe.overlays] == order

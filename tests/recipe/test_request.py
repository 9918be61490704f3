from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.errors import CombinedError, InputError, PurekernelError, UsageError
from purekernel.recipe.accounts import Account
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.model import Recipe
from purekernel.recipe.request import Request, ask_about, join_request

RECIPE = """\
version = "recipe"
flavour = "dev"
[core]
iso = "recipe.iso"
[mirrors]
extensions = ["http://recipe.example/tcz"]
gems = ["http://recipe.example/gems"]
[extensions]
builtin = ["recipe.tcz"]
skip = ["one.tcz"]
[accounts.tc]
password = "of the recipe"
[razor]
project = "project"
rubygems = "recipe.tgz"
open-vm-tools = false
"""

SETTINGS = """\
MK_BUNDLE_BUILTIN_LIST=file.lst
MK_BUNDLE_TC_PASSWD=of the file
MK_BUNDLE_TYPE=debug
MK_BUNDLE_TCL_MIRROR_URI=http://file.example/tcz
MK_BUNDLE_TCL_ISO_URL=http://file.example/file.iso
MK_BUNDLE_RUBY_GEMS_URL=http://file.example/file.tgz
MK_BUNDLE_GEM_SERVER_URI=http://file.example/gems
MK_BUNDLE_RE_USE_PREV_DL=yes
"""

ENVIRONMENT = {
    "MK_BUNDLE_BUILTIN_LIST": "outer.lst",
    "MK_BUNDLE_MIRROR_LIST": "outer.lst",
    "MK_BUNDLE_TC_PASSWD": "of the environment",
    "MK_BUNDLE_TYPE": "prod",
    "MK_BUNDLE_TCL_MIRROR_URI": "http://outer.example/tcz",
    "MK_BUNDLE_TCL_ISO_URL": "http://outer.example/outer.iso",
    "MK_BUNDLE_RUBY_GEMS_URL": "http://outer.example/outer.tgz",
    "MK_BUNDLE_OPEN_VM_TOOLS_URL": "http://outer.example/tools.tgz",
    "MK_BUNDLE_GEM_SERVER_URI": "http://outer.example/gems",
    "MK_BUNDLE_NO_SUCH": "x",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iso-build-files").mkdir()
    for name in ("line", "file", "outer"):
        (tmp_path / f"{name}.lst").write_text(f"{name}\n")
    (tmp_path / "bundle.cfg").write_text(SETTINGS)
    return tmp_path


def summary(recipe: Recipe) -> dict[str, object]:
    return {
        "version": recipe.version,
        "flavour": recipe.flavour,
        "iso": recipe.core.iso,
        "mirror": recipe.mirrors.extensions,
        "gems": recipe.mirrors.gems,
        "builtin": [entry.name for entry in recipe.extensions.builtin or ()],
        "password": [account.password for account in recipe.accounts],
        "rubygems": recipe.razor.rubygems if recipe.razor else "none",
        "tools": recipe.razor.open_vm_tools if recipe.razor else "none",
        "reuse": recipe.downloads.reuse,
    }


FROM_ENVIRONMENT = {
    "version": None,
    "flavour": Flavour.PROD,
    "iso": "http://outer.example/outer.iso",
    "mirror": ("http://outer.example/tcz",),
    "gems": ("http://outer.example/gems",),
    "builtin": ["outer.tcz"],
    "password": ["of the environment"],
    "rubygems": "http://outer.example/outer.tgz",
    "tools": "http://outer.example/tools.tgz",
    "reuse": False,
}
FROM_RECIPE = {
    "version": "recipe",
    "flavour": Flavour.DEV,
    "iso": "recipe.iso",
    "mirror": ("http://recipe.example/tcz",),
    "gems": ("http://recipe.example/gems",),
    "builtin": ["recipe.tcz"],
    "password": ["of the recipe"],
    "rubygems": "recipe.tgz",
    "tools": "",
    "reuse": False,
}
FROM_FILE = {
    **FROM_RECIPE,
    "flavour": Flavour.DEBUG,
    "iso": "http://file.example/file.iso",
    "mirror": ("http://file.example/tcz",),
    "gems": ("http://file.example/gems",),
    "builtin": ["file.tcz"],
    "password": ["of the file"],
    "rubygems": "http://file.example/file.tgz",
    "reuse": True,
}
FROM_LINE = {
    **FROM_FILE,
    "version": "line",
    "flavour": Flavour.PROD,
    "builtin": ["line.tcz"],
    "password": ["of the line"],
}


def test_command_line_overrides_file_overrides_recipe_overrides_environment(folder: Path) -> None:
    assert summary(join_request(Request(), ENVIRONMENT)) == FROM_ENVIRONMENT
    (folder / "purekernel.toml").write_text(RECIPE)
    assert summary(join_request(Request(), ENVIRONMENT)) == FROM_RECIPE
    config = Path("bundle.cfg")
    assert summary(join_request(Request(config=config), ENVIRONMENT)) == FROM_FILE
    line = Request(
        config=config,
        build_prod_image=True,
        builtin_list=Path("line.lst"),
        tc_passwd="of the line",
        iso_version="line",
    )
    assert summary(join_request(line, ENVIRONMENT)) == FROM_LINE


def test_empty_request_sets_no_defaults() -> None:
    recipe = join_request(Request(), {})
    assert recipe.razor is not None
    assert recipe.razor.project == "."
    assert recipe.extensions.builtin is None
    assert recipe.path is None
    assert recipe.warnings == ()


def test_unknown_setting_in_environment_is_a_warning() -> None:
    recipe = join_request(Request(), ENVIRONMENT)
    assert recipe.warnings == ("the environment: ignored unknown setting 'MK_BUNDLE_NO_SUCH'",)


def test_overridden_list_is_not_required() -> None:
    environment = {"MK_BUNDLE_BUILTIN_LIST": "gone.lst"}
    assert join_request(Request(builtin_list=Path("line.lst")), environment)
    with pytest.raises(InputError) as caught:
        join_request(Request(), environment)
    assert str(caught.value) == "the environment: gone.lst does not exist"


def test_all_errors_are_reported_together(folder: Path) -> None:
    (folder / "purekernel.toml").write_text('vresion = "1"\n')
    (folder / "bad.cfg").write_text("MK_BUNDLE_TYP=dev\n")
    request = Request(config=Path("bad.cfg"), mirror_list=Path("gone.lst"), skip=("a b",))
    with pytest.raises(CombinedError) as caught:
        join_request(request, {})
    assert [str(error) for error in caught.value.errors] == [
        "purekernel.toml, line 1: unknown key 'vresion' in the recipe; did you mean 'version'?",
        "bad.cfg, line 1: unknown setting 'MK_BUNDLE_TYP'; did you mean MK_BUNDLE_TYPE?",
        "--skip: expected the name of an extension: letters, digits and _ . + ~ -, got 'a b'",
        "--mirror-list: gone.lst does not exist",
    ]


def test_option_paths_are_relative_to_the_current_folder(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "purekernel.toml").write_text(RECIPE)
    recipe = join_request(Request(recipe=Path("other")), {})
    assert recipe.path == Path("other/purekernel.toml")
    assert recipe.folder == Path("other")
    # A path on the command line is relative to the current folder; one in a recipe, to the
    # recipe's.
    recipe = join_request(Request(recipe=Path("other"), project="mine"), {})
    assert recipe.razor is not None
    assert recipe.razor.project == str(folder / "mine")
    recipe = join_request(Request(project="http://x.example/p.tgz"), {})
    assert recipe.razor is not None
    assert recipe.razor.project == "http://x.example/p.tgz"


def test_skip_and_no_deps_add_to_the_recipe(folder: Path) -> None:
    (folder / "purekernel.toml").write_text(RECIPE)
    recipe = join_request(Request(skip=("two", "three.deb"), no_deps=True), {})
    assert recipe.extensions.skip == {"one.tcz", "two.tcz", "three.deb"}
    assert recipe.extensions.dependencies is False


@pytest.mark.parametrize(
    ("account", "outer", "expected"),
    [
        ("locked = true", "x", Account(name="tc", locked=True)),
        ('shell = "/bin/sh"', "x", Account(name="tc", password="x", shell="/bin/sh")),
        ('password-env = "A"', "x", Account(name="tc", password_env="A")),
    ],
)
def test_password_of_environment_does_not_override_recipe(
    account: str, outer: str, expected: Account, folder: Path
) -> None:
    (folder / "purekernel.toml").write_text(f"[accounts.tc]\n{account}\n")
    recipe = join_request(Request(), {"MK_BUNDLE_TC_PASSWD": outer})
    assert recipe.accounts == (expected,)
    recipe = join_request(Request(tc_passwd="line"), {})
    (joined,) = recipe.accounts
    assert (joined.password, joined.password_env, joined.locked) == ("line", None, False)


def test_password_is_not_in_repr(folder: Path) -> None:
    recipe = join_request(Request(tc_passwd="hidden"), {})
    assert "hidden" not in repr(recipe)
    assert "hidden" not in repr(Request(tc_passwd="hidden"))


def test_production_and_debug_together_are_an_error() -> None:
    with pytest.raises(UsageError, match="cannot be used together"):
        join_request(Request(build_prod_image=True, build_debug_image=True), {})


def test_mirror_query_works_without_recipe(folder: Path) -> None:
    recipe = ask_about(None, {})
    assert recipe.mirrors.tinycore == ()
    (folder / "purekernel.toml").write_text(RECIPE)
    assert ask_about(None, {}).mirrors.extensions == ("http://recipe.example/tcz",)
    recipe = ask_about(None, {}, mirrors=("mirror", "http://x.example"), core="15.x", arch="x86_64")
    assert recipe.mirrors.tinycore == (str(folder / "mirror"), "http://x.example")
    assert recipe.mirrors.extensions == ()
    assert (recipe.core.version, recipe.core.arch) == ("15.x", "x86_64")
    with pytest.raises(PurekernelError):
        ask_about(Path("gone.toml"), {})


def test_mirror_query_uses_the_same_settings_as_a_build(folder: Path) -> None:
    environment = {"MK_BUNDLE_TCL_MIRROR_URI": "http://outer.example", "MK_BUNDLE_X": "1"}
    recipe = ask_about(None, environment)
    assert recipe.mirrors.extensions == ("http://outer.example",)
    assert len(recipe.warnings) == 1
    assert "MK_BUNDLE_X" in recipe.warnings[0]
    (folder / "purekernel.toml").write_text(RECIPE)
    assert ask_about(None, environment).mirrors.extensions == ("http://recipe.example/tcz",)
    config = folder / "settings"
    config.write_text("MK_BUNDLE_TCL_MIRROR_URI=http://file.example\n")
    recipe = ask_about(None, environment, config=config)
    assert recipe.mirrors.extensions == ("http://file.example",)
    assert ask_about(None, environment, config=config, mirrors=("m",)).mirrors.extensions == ()
    with pytest.raises(CombinedError) as caught:
        ask_about(Path("gone.toml"), environment, config=folder / "gone", kernel_release="a b")
    assert len(caught.value.errors) == 3

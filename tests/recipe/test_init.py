from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from purekernel.errors import OutputError, ProjectError, PurekernelError, UsageError
from purekernel.recipe.init import init_recipe
from purekernel.recipe.read import load_recipe


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder that has a project beside it; return its path."""
    project = tmp_path / "Razor-Microkernel"
    for name in (
        "additional-build-files/builtin-extensions.lst",
        "additional-build-files/mirror-extensions.lst",
        "additional-build-files/util-linux-exec.lst",
        "opt/gems/gem.list",
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(f"{Path(name).stem}\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("minimal", [True, False])
def test_written_recipe_loads(here: Path, minimal: bool) -> None:
    output = init_recipe(Path("purekernel.toml"), minimal=minimal)
    assert output.path == Path("purekernel.toml")
    assert load_recipe(here / "purekernel.toml").name == "my-core"
    assert [path.name for path in here.iterdir()] == ["purekernel.toml"]


@pytest.mark.parametrize("minimal", [True, False])
@pytest.mark.parametrize("path", ["purekernel.toml", "new/deep/other.toml"])
def test_project_path_is_relative_to_the_recipe(here: Path, path: str, minimal: bool) -> None:
    init_recipe(Path(path), project=Path("../Razor-Microkernel"), minimal=minimal)
    recipe = load_recipe(Path(path))
    assert recipe.razor is not None
    assert "\\" not in recipe.razor.project
    assert (recipe.folder / recipe.razor.project).samefile("../Razor-Microkernel")
    builtin = recipe.extensions.builtin
    assert builtin is not None
    assert [entry.name for entry in builtin] == ["builtin-extensions.tcz"]


def test_absolute_project_path_stays_absolute(here: Path) -> None:
    init_recipe(Path("p.toml"), project=here.parent / "Razor-Microkernel")
    recipe = load_recipe(Path("p.toml"))
    assert recipe.razor is not None
    assert recipe.razor.project == (here.parent / "Razor-Microkernel").as_posix()


def test_existing_file_is_kept_without_force(here: Path) -> None:
    path = Path("purekernel.toml")
    path.write_text("# mine\n")
    with pytest.raises(OutputError) as caught:
        init_recipe(path)
    assert str(caught.value) == "purekernel.toml already exists"
    assert caught.value.hint == "give --force to replace it, or choose another name"
    assert path.read_text() == "# mine\n"
    init_recipe(path, force=True)
    assert load_recipe(path).name == "my-core"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few users create links")
def test_dangling_symlink_counts_as_existing(here: Path) -> None:
    Path("purekernel.toml").symlink_to("gone")
    with pytest.raises(OutputError, match=r"^purekernel\.toml already exists$"):
        init_recipe(Path("purekernel.toml"))


@pytest.mark.parametrize("force", [True, False])
def test_folder_is_not_replaced_even_with_force(here: Path, force: bool) -> None:
    Path("purekernel.toml").mkdir()
    with pytest.raises(OutputError) as caught:
        init_recipe(Path("purekernel.toml"), force=force)
    assert "--output-dir" not in caught.value.hint
    assert Path("purekernel.toml").is_dir()


def test_file_in_place_of_parent_folder_is_an_error(here: Path) -> None:
    Path("x").write_text("")
    with pytest.raises(OutputError) as caught:
        init_recipe(Path("x/purekernel.toml"))
    assert str(caught.value).startswith(f"{Path('x/purekernel.toml')} cannot be written: ")
    assert caught.value.hint == "choose another folder or file"


def test_folder_that_is_not_a_project_is_an_error_and_writes_nothing(here: Path) -> None:
    (here / "empty").mkdir()
    with pytest.raises(ProjectError, match=r"^nowhere is not a folder$"):
        init_recipe(Path("purekernel.toml"), project=Path("nowhere"))
    with pytest.raises(ProjectError, match=r"^empty is not a Razor-Microkernel project: "):
        init_recipe(Path("purekernel.toml"), project=Path("empty"))
    assert [path.name for path in here.iterdir()] == ["empty"]


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems reject these names")
def test_project_path_that_toml_cannot_hold_is_an_error(here: Path) -> None:
    for name, error in ((b"raz\xffor", UsageError), (b"raz\nor", PurekernelError)):
        project = Path(os.fsdecode(name))
        project.mkdir()
        (project / "rz_mk_init.rb").write_text("")
        with pytest.raises(error):
            init_recipe(Path("purekernel.toml"), project=project)
        assert not Path("purekernel.toml").exists()


@pytest.mark.parametrize("name", ['it\'s a "project"', "pr\u00f6jekt #1", "tab = [x]"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows rejects quotes in names")
def test_project_path_with_special_characters_is_kept(here: Path, name: str) -> None:
    Path(name).mkdir()
    (Path(name) / "rz_mk_init.rb").write_text("")
    init_recipe(Path("purekernel.toml"), project=Path(name))
    recipe = load_recipe(Path("purekernel.toml"))
    assert recipe.razor is not None
    assert recipe.razor.project == name

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.cli import main
from purekernel.recipe.read import load_recipe


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "path", "recipe"),
    [
        ([], "purekernel.toml", ""),
        (["."], "purekernel.toml", ""),
        (["new"], "new/purekernel.toml", " --recipe new"),
        (["new/my.toml"], "new/my.toml", f" --recipe {Path('new/my.toml')}"),
        (["--minimal"], "purekernel.toml", ""),
    ],
)
def test_recipe_is_written_and_its_path_printed(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], path: str, recipe: str
) -> None:
    assert main(["init", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == (f"{Path(path)} written\n  edit it, then run 'purekernel build{recipe}'\n")
    assert load_recipe(here / path).name == "my-core"


def test_recipe_of_a_project_names_it(here: Path) -> None:
    (here / "razor").mkdir()
    (here / "razor" / "rz_mk_init.rb").write_text("")
    assert main(["init", "--from-razor", "razor", "--minimal", "x"]) == 0
    recipe = load_recipe(here / "x" / "purekernel.toml")
    assert recipe.razor is not None
    assert recipe.razor.project == "../razor"


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (
            ["there.toml"],
            1,
            "there.toml already exists\n  give --force to replace it, or choose another name",
        ),
        (
            ["--from-razor", "nowhere"],
            1,
            ("nowhere is not a folder\n  name the top folder of a Razor-Microkernel checkout"),
        ),
        (["--minimum"], 2, "No such option"),
    ],
)
def test_failure_is_reported(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    error: str,
) -> None:
    (here / "there.toml").write_text("# mine\n")
    assert main(["init", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"purekernel: {error}")
    assert (here / "there.toml").read_text() == "# mine\n"
    assert [path.name for path in here.iterdir()] == ["there.toml"]


def test_force_replaces_the_recipe(here: Path) -> None:
    (here / "purekernel.toml").write_text("# mine\n")
    assert main(["init", "--force"]) == 0
    assert load_recipe(here / "purekernel.toml").name == "my-core"


def test_project_on_another_drive_is_written_with_its_full_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: str, _start: str) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "razor").mkdir()
    (tmp_path / "razor/rz_mk_init.rb").write_text("")
    monkeypatch.setattr("os.path.relpath", refuse)
    assert main(["init", "--from-razor", "razor", "--minimal", "x"]) == 0
    text = (tmp_path / "x/purekernel.toml").read_text(encoding="utf-8")
    assert f'project = "{(tmp_path / "razor").resolve().as_posix()}"' in text

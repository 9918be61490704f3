from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path

import pytest

from purekernel.errors import InputError
from purekernel.fetch.git import _resolve as resolve
from purekernel.fetch.git import describe_checkout
from tests.oracles import require, run

COMMIT, OTHER, TAG = "c" * 40, "d" * 40, "ab" + "e" * 38


def checkout(folder: Path, **files: str) -> Path:
    git = folder / ".git"
    for name, content in {"HEAD": "ref: refs/heads/main\n", **files}.items():
        path = git.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_folder_without_checkout_is_none(tmp_path: Path) -> None:
    assert describe_checkout(tmp_path) is None
    assert describe_checkout(tmp_path / "missing") is None
    (tmp_path / ".git").write_text("not a link\n")
    assert describe_checkout(tmp_path) is None


def test_untagged_commit_is_abbreviated(tmp_path: Path) -> None:
    assert describe_checkout(checkout(tmp_path, refs__heads__main=COMMIT + "\n")) == "ccccccc"


def test_detached_head_is_a_commit(tmp_path: Path) -> None:
    assert describe_checkout(checkout(tmp_path, HEAD=COMMIT + "\n")) == "ccccccc"


def test_missing_or_invalid_head_is_none(tmp_path: Path) -> None:
    assert describe_checkout(checkout(tmp_path)) is None
    assert describe_checkout(checkout(tmp_path, HEAD="ref: HEAD\n")) is None
    assert describe_checkout(checkout(tmp_path, HEAD="ref: ../../etc/passwd\n")) is None
    assert describe_checkout(checkout(tmp_path, HEAD="\x00\xff garbage")) is None


def test_head_with_absolute_path_is_none(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(COMMIT)
    assert describe_checkout(checkout(tmp_path, HEAD=f"ref: {tmp_path}/elsewhere\n")) is None


@pytest.mark.parametrize("name", ["refs/heads/a:b", "refs/heads/nul", "refs/heads/a\\b", "refs//a"])
def test_windows_stream_or_device_reference_is_refused(tmp_path: Path, name: str) -> None:
    packed = {"HEAD": f"ref: {name}", name: COMMIT}
    (tmp_path / "HEAD").write_text(packed["HEAD"])
    assert resolve(tmp_path, tmp_path, "HEAD", packed, windows=True) is None
    assert resolve(tmp_path, tmp_path, "HEAD", packed, windows=False) == COMMIT


def test_loose_and_packed_tags_are_found(tmp_path: Path) -> None:
    head = {"HEAD": COMMIT}
    loose = checkout(tmp_path / "loose", **head, **{"refs__tags__v1.0": COMMIT + "\n"})
    assert describe_checkout(loose) == "v1.0"
    packed = checkout(
        tmp_path / "packed",
        **head,
        **{
            "packed-refs": "# pack-refs with: peeled fully-peeled sorted\n"
            f"{OTHER} refs/tags/v0.9\n{TAG} refs/tags/v1.1\n^{COMMIT}\n{COMMIT} refs/tags/a\n"
        },
    )
    assert describe_checkout(packed) == "v1.1"
    annotated = checkout(tmp_path / "annotated", **head, refs__tags__v2=TAG + "\n")
    place = annotated / ".git" / "objects" / TAG[:2] / TAG[2:]
    place.parent.mkdir(parents=True)
    body = f"object {COMMIT}\ntype commit\ntag v2\n".encode()
    place.write_bytes(zlib.compress(b"tag %d\0" % len(body) + body))
    assert describe_checkout(annotated) == "v2"
    place.write_bytes(b"damaged")
    assert describe_checkout(annotated) == "ccccccc"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="paths of Windows have 260 characters")
def test_tag_at_1500_levels_is_found(tmp_path: Path) -> None:
    folder = checkout(tmp_path, HEAD=COMMIT, **{"refs__tags__v1.0": COMMIT + "\n"})
    deep = str(folder / ".git/refs/tags")
    for _level in range(1500):
        deep += "/d"
        os.mkdir(deep)  # noqa: PTH102  # as a string, because pathlib is slow for deep paths
    assert describe_checkout(folder) == "v1.0"
    os.removedirs(deep)  # pytest's own way is recursive


@pytest.mark.oracle
def test_result_matches_git_describe(tmp_path: Path) -> None:
    git = require("git")
    place = tmp_path / "made"
    place.mkdir()

    def call(*words: str, cwd: Path = place) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        return run(git, *who, *words, cwd=cwd).decode().strip()

    def described(folder: Path = place) -> str:
        return call("describe", "--tags", "--always", "--abbrev=7", cwd=folder)

    call("init", "-q")
    call("commit", "-q", "--allow-empty", "-m", "first")
    assert describe_checkout(place) == described()
    call("tag", "-a", "-m", "one", "v1.0")
    assert describe_checkout(place) == described() == "v1.0"
    call("clone", "-q", str(place), str(tmp_path / "clone"), cwd=tmp_path)
    assert describe_checkout(tmp_path / "clone") == described(tmp_path / "clone") == "v1.0"
    call("gc", "-q")
    assert describe_checkout(place) == "v1.0"
    call("worktree", "add", "-q", str(tmp_path / "tree"), "HEAD")
    assert describe_checkout(tmp_path / "tree") == described(tmp_path / "tree") == "v1.0"


@pytest.mark.parametrize("name", ["HEAD", "refs/tags", "refs/tags/v1.0", "packed-refs"])
def test_unreadable_part_of_a_repository_is_an_error_and_not_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files = {"HEAD": COMMIT, "refs__tags__v1.0": COMMIT, "packed-refs": ""}
    folder = checkout(tmp_path, **files)
    assert describe_checkout(folder) == "v1.0"

    def failing(real):
        def call(path, *arguments, **named):
            if str(path) == str(folder / ".git" / name):
                raise OSError(errno.EIO, "Input/output error")
            return real(path, *arguments, **named)

        return call

    for function in ("open", "scandir", "listdir"):
        monkeypatch.setattr(os, function, failing(getattr(os, function)))
    with pytest.raises(InputError, match="cannot be read: Input/output error"):
        describe_checkout(folder)

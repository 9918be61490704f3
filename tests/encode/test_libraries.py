"""Test that the deflate libraries are checked before use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import deflate
import pytest
import zopfli

from purekernel.encode.encoders import Libdeflate, Zopfli
from purekernel.encode.libraries import load_deflate, load_zopfli
from purekernel.errors import LibraryError
from tests.processes import purekernel

ROOT = Path(__file__).parents[2]

# zopflipy leaves this behind if it is installed after zopfli: its own __init__ beside zopfli's
# zlib. Its compress() takes fewer arguments.
ZOPFLIPY = "def compress(data, numiterations=15, x=0): return b''\n"
OTHER = "the Python module {0} must come from a recent package {0}, got another one: "


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    for load in (load_deflate, load_zopfli):
        load.cache_clear()
    yield
    for load in (load_deflate, load_zopfli):
        load.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], Path]:
    """Install modules that hide the installed ones."""

    def put(files: dict[str, str]) -> Path:
        for name in list(sys.modules):
            if name.partition(".")[0] in {"deflate", "zopfli"}:
                monkeypatch.delitem(sys.modules, name)
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        return tmp_path

    return put


def test_installed_libraries_are_loaded() -> None:
    assert load_deflate().version == deflate.__version__
    assert load_zopfli().version == zopfli.__version__


BAD_ZOPFLI = {
    "other arguments": (
        {"zopfli/__init__.py": "__version__ = '1.14'\n", "zopfli/zlib.py": ZOPFLIPY},
        "TypeError: compress() got an unexpected keyword argument 'blocksplitting'",
    ),
    "no release": (
        {"zopfli/__init__.py": "", "zopfli/zlib.py": ZOPFLIPY},
        "AttributeError: module 'zopfli' has no attribute '__version__'",
    ),
    "no zlib": (
        {"zopfli/__init__.py": "__version__ = '1'\n"},
        "ModuleNotFoundError: No module named 'zopfli.zlib'",
    ),
    "other results": (
        {
            "zopfli/__init__.py": "__version__ = '1'\n",
            "zopfli/zlib.py": "import zlib\ndef compress(*_, **__): return zlib.compress(b'?')\n",
        },
        "it does not compress",
    ),
}


@pytest.mark.parametrize(("files", "why"), BAD_ZOPFLI.values(), ids=BAD_ZOPFLI)
def test_another_zopfli_is_reported(
    files: dict[str, str], why: str, install: Callable[[dict[str, str]], Path]
) -> None:
    folder = install(files)
    for use in (lambda: Zopfli().name, lambda: Zopfli().encode(b"x")):
        with pytest.raises(LibraryError) as caught:
            use()
        why_here = why.format(folder / "zopfli" / "__init__.py")
        assert str(caught.value) == OTHER.format("zopfli") + why_here
        assert caught.value.hint == (
            "pip uninstall zopflipy && pip install --force-reinstall zopfli"
        )


BAD_DEFLATE = {
    "no release": ("", "AttributeError: module 'deflate' has no attribute '__version__'"),
    "no function": (
        "__version__ = '0.1'\n",
        "AttributeError: module 'deflate' has no attribute 'deflate_compress'",
    ),
    "other results": (
        "__version__ = '0.1'\ndef deflate_compress(data, level): return b'?'\n",
        "error: Error -3 while decompressing data: invalid block type",
    ),
    "fails": ("raise ValueError('two\\nlines')\n", "ValueError: two lines"),
}


@pytest.mark.parametrize(("text", "why"), BAD_DEFLATE.values(), ids=BAD_DEFLATE)
def test_another_deflate_is_reported(
    text: str, why: str, install: Callable[[dict[str, str]], Path]
) -> None:
    install({"deflate.py": text})
    with pytest.raises(LibraryError) as caught:
        Libdeflate().encode(b"x")
    assert str(caught.value) == OTHER.format("deflate") + why
    assert caught.value.hint == "pip install --force-reinstall deflate"


@pytest.mark.parametrize("name", ["deflate", "zopfli"])
def test_missing_library_is_reported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LibraryError) as caught:
        {"deflate": load_deflate, "zopfli": load_zopfli}[name]()
    assert str(caught.value) == f"the Python package {name} is not installed"
    assert caught.value.hint == f"pip install {name}"


@pytest.mark.slow
def test_build_with_another_zopfli_fails_with_two_lines(
    install: Callable[[dict[str, str]], Path], tmp_path: Path
) -> None:
    folder = install(BAD_ZOPFLI["other arguments"][0])
    script = (
        f"import sys\nsys.path.insert(0, {str(folder)!r})\n"
        "from purekernel.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    options = ["build", "--sample", "--quiet", "--effort", "max"]
    done = purekernel(*options, "--cache-dir", tmp_path / "cache", cwd=tmp_path, script=script)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"purekernel: {OTHER.format('zopfli')}{BAD_ZOPFLI['other arguments'][1]}",
        "  pip uninstall zopflipy && pip install --force-reinstall zopfli",
    ]
    assert not list(tmp_path.glob("*.iso"))

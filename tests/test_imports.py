"""Test imports: load_library() for libraries, and the functions that contain imports."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "purekernel"

# Each module that load_library() imports, and the only module that uses it.
LIBRARIES = {
    "backports.zstd": "formats/zstd.py",
    "compression.zstd": "formats/zstd.py",
    "cyclonedx.model": "remaster/outputs/sbom.py",
    "cyclonedx.model.bom": "remaster/outputs/sbom.py",
    "cyclonedx.model.component": "remaster/outputs/sbom.py",
    "cyclonedx.model.license": "remaster/outputs/sbom.py",
    "cyclonedx.model.tool": "remaster/outputs/sbom.py",
    "cyclonedx.output.json": "remaster/outputs/sbom.py",
    "cyclonedx.spdx": "remaster/outputs/sbom.py",
    "deflate": "encode/libraries.py",
    "difflib": "similar.py",
    "lz4.block": "formats/lz4.py",
    "lz4.frame": "formats/lz4.py",
    "packageurl": "remaster/outputs/sbom.py",
    "passlib.hash": "rootfs/passwords.py",
    "pysequoia": "formats/debian/release.py",
    "zopfli": "encode/libraries.py",
}

# The functions that contain imports, by reason. All other imports are at the top of a module. That
# a module is slow to import is not a reason: make it faster, or load it through lazy_names().
COMMANDS = "called for one command, and the others start faster"
SELDOM = "a library that takes 5 ms or more to import, and that few runs need"
FORMATS = "for a format or a kind of file that few images have"

FUNCTIONS = {
    COMMANDS: {
        "__main__.py": "main",
        "cli/build.py": "build_command",
        "cli/build_image.py": "_show_plan _source",
        "cli/bundle.py": "bundle_command",
        "cli/cache.py": "_open",
        "cli/cat.py": "cat_command",
        "cli/deps.py": "deps_command",
        "cli/diff.py": "diff_command",
        "cli/fetch.py": "fetch_command",
        "cli/info.py": "info_command",
        "cli/init.py": "init_command",
        "cli/inspect.py": "inspect_command",
        "cli/lint.py": "lint_command",
        "cli/lock.py": "lock_command",
        "cli/ls.py": "ls_command",
        "cli/parameters.py": "Size.convert",
        "cli/printer.py": "_render_json",
        "cli/rebuild.py": "rebuild_command",
        "cli/report.py": "report_command",
        "cli/run.py": "run_command",
        "cli/schema.py": "schema_command",
        "cli/search.py": "search_command",
        "cli/show.py": "show_command",
        "cli/terminal.py": "choose_progress",
        "cli/tool/advdef.py": "advdef_command",
        "cli/tool/deb2tcz.py": "deb2tcz_command",
        "cli/tool/depmod.py": "depmod_command",
        "cli/tool/gzip.py": "gzip_command",
        "cli/tool/ldconfig.py": "ldconfig_command",
        "cli/tool/mksquashfs.py": "mksquashfs_command",
        "cli/tool/modinfo.py": "modinfo_command",
        "cli/tool/recompress.py": "recompress_command",
        "cli/tool/unsquashfs.py": "unsquashfs_command",
        "cli/verify.py": "verify_command",
    },
    SELDOM: {
        "encode/cluster/executors.py": "open_executor",
        "encode/releases.py": "installed_releases",
        "fetch/finder.py": "Finder._connect",
        "fetch/headers.py": "parse_retry_after",
        "fetch/store.py": "taking_turns",
        "host/cache_folder.py": "_remove_unused default_folder",
    },
    FORMATS: {
        "analysis/packages.py": "_deb _gem",
        "formats/efi_loader.py": "_open_memdisk",
        "plan/bases.py": "read_base",
        "plan/efi.py": "open_part",
        "plan/extensions.py": "plan_extensions",
        "plan/fetch_plan.py": "Gathered._converted Gathered._packed",
        "plan/lock.py": "_lock",
        "plan/planner.py": "Planner._plan",
        "razor/microkernel.py": "_dump",
    },
}

# The maximum total of import statements in these functions.
MOST_IN_FUNCTIONS = 60


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_bytes())


def imports_in_functions(
    node: ast.AST, names: tuple[str, ...] = (), *, inside: bool = False
) -> Iterator[str]:
    """Yield the qualified name of the enclosing function for each import statement in one.

    Imports under ``if TYPE_CHECKING`` are skipped, because they are not executed.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import | ast.ImportFrom) and inside:
            yield ".".join(names)
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            is_inside = inside or not isinstance(child, ast.ClassDef)
            yield from imports_in_functions(child, (*names, child.name), inside=is_inside)
        else:
            yield from imports_in_functions(child, names, inside=inside)


@pytest.mark.slow
def test_each_loaded_library_has_one_user() -> None:
    users = {
        (node.args[0].value, source)
        for source, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "load_library"
        and isinstance(node.args[0], ast.Constant)
    }
    assert users == set(LIBRARIES.items())


@pytest.mark.slow
def test_imports_in_functions_are_listed() -> None:
    listed = {
        (source, function)
        for files in FUNCTIONS.values()
        for source, functions in files.items()
        for function in functions.split()
    }
    found = {
        (source, function) for source, tree in sources() for function in imports_in_functions(tree)
    }
    assert found - listed == set(), "move these imports to the top of the module"
    assert listed - found == set(), "remove these from FUNCTIONS"


@pytest.mark.slow
def test_few_imports_are_in_functions() -> None:
    counts = Counter[str]()
    for source, tree in sources():
        counts[source] += len(list(imports_in_functions(tree)))
    assert 0 < sum(counts.values()) <= MOST_IN_FUNCTIONS
    assert counts["cli/__init__.py"] == 0


# Functions of os that start programs or processes.
STARTS = re.compile(r"(system|popen|fork\w*|posix_spawn\w*|spawn\w*|exec[lv]\w*|startfile)")


def test_one_module_starts_programs() -> None:
    starters = {"subprocess", "multiprocessing", "pty", "_posixsubprocess"}
    users = {
        source
        for source, tree in sources()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and starters & {each.name for each in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module in starters)
        or (
            isinstance(node, ast.Attribute)
            and STARTS.fullmatch(node.attr)
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
        )
    }
    assert users == {"tools/run.py"}


def test_imports_in_functions_are_found() -> None:
    tree = ast.parse(
        "import a\n"
        "if TYPE_CHECKING:\n    import b\n"
        "class C:\n    import c\n    def method(self):\n        if self:\n            import d\n"
        "def outer():\n    def inner():\n        from e import f\n    return lambda: inner\n"
    )
    assert list(imports_in_functions(tree)) == ["C.method", "outer.inner"]

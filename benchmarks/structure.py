"""Print the size and shape of the package: a column for each checkout.

Run with ``python -m benchmarks.structure [CHECKOUT]...``; without arguments, this checkout.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from purekernel.records import frozen

ROOT = Path(__file__).parents[1]
PACKAGE = "purekernel"

# Shorter modules are counted: each is an import and a file to open for little.
SHORT_LINES = 60

_NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


@frozen(kw_only=True)
class Module:
    """A module of the package.

    Attributes:
        tree: its syntax tree.
        code_lines: without blank lines, comments and docstrings.
    """

    tree: ast.Module
    code_lines: int


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("checkouts", metavar="CHECKOUT", type=Path, nargs="*", default=[ROOT])
    checkouts: list[Path] = parser.parse_args().checkouts
    columns = [measure(read_modules(checkout)) for checkout in checkouts]
    print("| what |" + "".join(f" {checkout.resolve().name} |" for checkout in checkouts))
    print("|---|" + "---|" * len(checkouts))
    for what in columns[0]:
        print(f"| {what} |" + "".join(f" {column[what]:,} |" for column in columns))


def read_modules(checkout: Path) -> dict[str, Module]:
    """Return the modules of the package in a checkout, by their dotted names."""
    modules = {}
    for path in sorted((checkout / PACKAGE).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        parts = path.relative_to(checkout).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(text)
        modules[name] = Module(tree=tree, code_lines=_count_code(text, tree))
    return modules


def measure(modules: Mapping[str, Module]) -> dict[str, int]:
    """Return the figures, each under its description."""
    importers: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    local_imports = 0
    for name, module in modules.items():
        importers.update({imported for imported in _imports(module, modules) if imported != name})
        classes.update(
            node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)
        )
        local_imports += _count_local_imports(module.tree)
    return {
        "modules": len(modules),
        "lines of code": sum(module.code_lines for module in modules.values()),
        "lines of code per module": sum(module.code_lines for module in modules.values())
        // len(modules),
        "imports inside functions": local_imports,
        "classes": sum(classes.values()),
        "class names with several meanings": sum(count > 1 for count in classes.values()),
        "modules with one importer": sum(importers[name] == 1 for name in modules),
        f"modules under {SHORT_LINES} lines of code": sum(
            module.code_lines < SHORT_LINES for module in modules.values()
        ),
    }


def _count_code(text: str, tree: ast.Module) -> int:
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                docstrings.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - docstrings)


def _imports(module: Module, modules: Mapping[str, Module]) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _count_local_imports(tree: ast.Module) -> int:
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    # A function inside another is walked with both: each statement counts once.
    found = {
        id(node)
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    return len(found)


if __name__ == "__main__":
    main()

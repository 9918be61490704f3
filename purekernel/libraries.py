"""Load libraries on first use, and report one that is missing or not the expected one.

Optional libraries, and those that few runs need and that take long to import, are loaded here and
not by an import statement. ``tests/test_imports.py`` lists them, with the module that uses each.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from purekernel.errors import LibraryError


def load_library(
    module: str,
    *,
    package: str | None = None,
    check: Callable[[Any], Any] = lambda module: module,
    hint: str | None = None,
) -> Any:
    """Import a module of another package, and return the result of ``check`` for it.

    Args:
        module: such as ``lz4.block``.
        package: the name to install it by; by default the first part of ``module``.
        check: takes the module and returns what the caller uses of it. If the module is not the
            expected one, the function may raise anything; the text of a ``LibraryError`` is
            reported without its type.
        hint: what to do if another package installed the module.

    Raises:
        LibraryError: the package is missing, or the import or the check failed.
    """
    package = package or module.partition(".")[0]
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise LibraryError(
                f"the Python package {package} is not installed", hint=f"pip install {package}"
            ) from None
        raise _unusable(module, package, error, hint) from None
    except Exception as error:  # noqa: BLE001  # another package may raise anything
        raise _unusable(module, package, error, hint) from None
    try:
        return check(found)
    except Exception as error:  # noqa: BLE001  # as above
        raise _unusable(module, package, error, hint) from None


def _unusable(module: str, package: str, error: Exception, hint: str | None) -> LibraryError:
    what = str(error) if isinstance(error, LibraryError) else f"{type(error).__name__}: {error}"
    return LibraryError(
        f"the Python module {module} must come from a recent package {package}, got another one: "
        f"{' '.join(what.split())}",
        hint=hint or f"pip install --force-reinstall {package}",
    )

"""Import on first use: libraries that few runs need, and packages of purekernel.

Optional libraries, and those that few runs need and that take long to import, are loaded here and
not by an import statement. ``tests/test_imports.py`` lists them, with the module that uses each.
A library that is missing or not the expected one is reported.
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
    extra: str | None = None,
    check: Callable[[Any], Any] = lambda module: module,
    hint: str | None = None,
) -> Any:
    """Import a module of another package, and return the result of ``check`` for it.

    Args:
        module: such as ``lz4.block``.
        package: the name to install it by; by default the first part of ``module``.
        extra: the extra of purekernel that installs it, if it is optional.
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
                f"the Python package {package} is not installed",
                hint=f"pip install 'purekernel[{extra}]'" if extra else f"pip install {package}",
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


def lazy_names(package: str, modules: dict[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package whose modules are imported on first use (PEP 562).

    ``from PACKAGE import NAME`` imports the module of the name. To delay that, a user imports the
    package, and writes ``package.NAME`` where it uses the name.

    Args:
        package: the name of the package.
        modules: for each module of the package, the names that it defines, separated by blanks.
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get

"""Groups of commands whose modules are imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is looked up.

    Importing all commands takes longer than most of them run.

    Args:
        package: the package that holds the modules. The module of ``tool`` is ``PACKAGE.tool``, and
            the command in it is ``tool_command``.
        names: the names of the commands.
    """

    def __init__(
        self, *arguments: Any, package: str, names: tuple[str, ...], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._package = package
        self._names = names

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the alphabet."""
        return sorted({*self._names, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, or ``None``."""
        if cmd_name not in self._names:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"{self._package}.{cmd_name}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

"""Commands with long options behind a single dash, as mksquashfs and unsquashfs have them."""

from __future__ import annotations

import difflib
from typing import Any

import click


class SingleDashCommand(click.Command):
    """A command of which an unknown option is never taken for several short ones.

    Attributes:
        rest_option: an option that takes all words behind it, such as ``-e``; they are given to the
            command as its parameter of the name that the option has.
    """

    def __init__(self, *arguments: Any, rest_option: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.rest_option = rest_option

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Look through the words before click does."""
        known = {
            name: param
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            for name in (*param.opts, *param.secondary_opts)
        }
        words: list[str] = []
        pending = list(args)
        while pending:
            word = pending.pop(0)
            words.append(word)
            if word == "--":
                words += pending
                break
            name = word.partition("=")[0] if word.startswith("--") else word
            if not word.startswith("-") or word == "-":
                continue
            option = known.get(name)
            if option is None:
                close = difflib.get_close_matches(word, known)
                raise click.NoSuchOption(word, possibilities=close or None, ctx=ctx)
            if name == self.rest_option:
                # Each as a value of its own.
                words.pop()
                for value in pending:
                    words += [name, value]
                break
            if name == word and not (option.is_flag or option.count):
                words += pending[: option.nargs]
                del pending[: option.nargs]
        return super().parse_args(ctx, words)

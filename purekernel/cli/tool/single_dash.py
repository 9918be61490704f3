"""Define commands whose long options start with a single dash, as those of mksquashfs do."""

from __future__ import annotations

from typing import Any

import click

from purekernel.similar import find_similar


class SingleDashCommand(click.Command):
    """A command that never splits an unknown option into several short ones.

    Attributes:
        rest_option: an option that takes all arguments after it, such as ``-e``; each becomes a
            value of that option.
    """

    def __init__(self, *arguments: Any, rest_option: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.rest_option = rest_option

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Check the options, and split the values of ``rest_option``, before click parses them."""
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
                close = find_similar(word, known, most=3)
                raise click.NoSuchOption(word, possibilities=close or None, ctx=ctx)
            if name == self.rest_option:
                # Each argument becomes a value of the option.
                words.pop()
                for value in pending:
                    words += [name, value]
                break
            if name == word and not (option.is_flag or option.count):
                words += pending[: option.nargs]
                del pending[: option.nargs]
        return super().parse_args(ctx, words)

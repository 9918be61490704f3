"""Run ``purekernel deps``: show what extensions depend on."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from purekernel.cli.gathering import store_options, take_context
from purekernel.cli.parameters import Place


@click.command("deps", short_help="Show what extensions depend on.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--mirror",
    "mirrors",
    metavar="PLACE",
    multiple=True,
    help="A mirror of Tiny Core: a URL or folder that holds 4.x/x86/tcz. Repeatable.  "
    "[default: the recipe's]",
)
@click.option(
    "--core", metavar="VERSION", help="The version of Core.  [default: the recipe's, or 4.x]"
)
@click.option("--arch", metavar="ARCH", help="x86 or x86_64.  [default: the recipe's, or x86]")
@click.option("--kernel", metavar="RELEASE", help="The release to replace KERNEL in names with.")
@click.option(
    "--recipe",
    type=Place(),
    help="The recipe whose mirrors to ask.  [default: purekernel.toml here, if it exists]",
)
@store_options
@click.option("--dot", is_flag=True, help="Print the graph for Graphviz.")
def deps_command(
    *,
    names: tuple[str, ...],
    mirrors: tuple[str, ...],
    core: str | None,
    arch: str | None,
    kernel: str | None,
    recipe: Path | None,
    dot: bool,
    **options: Any,
) -> None:
    """Draw the tree of dependencies of each NAME, with sizes.

    An extension that is drawn already is marked "shared", one that the mirror does not have
    "missing", and one that depends on itself "loop". Exit status 1 if any is missing.

    \b
    Examples:
      purekernel deps vim
      purekernel deps parted nano --dot | dot -Tsvg > deps.svg
    """  # noqa: D301  # click keeps the line breaks after a backspace
    # These imports are too slow for --help.
    from purekernel.cli.drawing import draw, draw_graph, graph_as_dot, guides  # noqa: PLC0415
    from purekernel.cli.terminal import choose_progress, megabytes, say, say_warning  # noqa: PLC0415
    from purekernel.plan.extensions import find_dependencies  # noqa: PLC0415
    from purekernel.plan.fetch_plan import open_plan_context  # noqa: PLC0415
    from purekernel.recipe.request import COMMAND_LINE, ask_about  # noqa: PLC0415
    from purekernel.repos.tinycore import refuse_missing  # noqa: PLC0415

    options["no_lock"] = True  # deps shows what the mirrors have now
    asked = ask_about(recipe, mirrors=mirrors, core=core, arch=arch, kernel=kernel)
    with closing(choose_progress(quiet=False, verbose=False, json=False)) as progress:
        context = take_context(options, progress)
        with open_plan_context(asked, context) as plan_context, progress.step("asking"):
            found = find_dependencies(plan_context, names, source=COMMAND_LINE)
    graph, sizes = found.graph, found.sizes
    for note in found.notes:
        say_warning(note)
    if dot:
        say("\n".join(graph_as_dot(graph, sizes)))
    else:
        for tree in draw_graph(graph, graph.roots, sizes):
            say("\n".join(draw(tree, guides())))
        total = f", {megabytes(sum(sizes.values()))}" if sizes else ""
        noun = "extension" if len(graph.extensions) == 1 else "extensions"
        say(f"{len(graph.extensions)} {noun}{total}")
    refuse_missing(
        graph,
        looked_in=found.searched,
        hint="correct the name, or ask another mirror with --mirror",
    )

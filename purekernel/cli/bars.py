"""Show progress on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn
from rich.progress import Task as Row
from rich.text import Text

from purekernel.cli.terminal import StepTimer, printable

# A bar of this width is shown on terminals that have room for it beside the words.
_BAR_COLUMNS, _LEAST_COLUMNS = 20, 100

# Words are left out where less than this is left for them.
_LEAST_WORDS = 4

# The spinner and the blank after it; what separates the parts of a line.
_SPINNER_COLUMNS, _GAP = 2, "  "


class Bars(StepTimer):
    """Show the current step on a terminal with what is counted in it; clear it at the end."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        # stdout may be a pipe, and its data must not go to the terminal.
        self._progress = Progress(
            SpinnerColumn(),
            _StepColumn(self, console),
            console=console,
            transient=True,
            redirect_stdout=False,
        )
        self._progress.add_task("", total=None)
        self._progress.start()

    def started(self, words: str) -> None:
        """Show the step at once: the next refresh may be after its end."""
        super().started(words)
        self._progress.refresh()

    def close(self) -> None:
        """Clear the line."""
        self._progress.stop()


class _StepColumn(ProgressColumn):
    """Renders a step: its words, a bar if there is room, and its numbers."""

    max_refresh = None

    def __init__(self, steps: StepTimer, console: Console) -> None:
        super().__init__()
        self._steps = steps
        self._console = console

    def render(self, task: Row) -> Text:  # noqa: ARG002
        """Return one line that fits the terminal; the numbers are cut last."""
        room = self._console.width - _SPINNER_COLUMNS
        amounts = Text(self._steps.amounts(), style="cyan", no_wrap=True)
        amounts.truncate(room, overflow="ellipsis")
        bar = self._bar() if self._console.width >= _LEAST_COLUMNS else Text()
        # Not as markup: a file name may look like it.
        words = Text(printable(self._steps.words or "starting"))
        parts = [part for part in (bar, amounts) if part]
        left = room - sum(part.cell_len + len(_GAP) for part in parts)
        if left < _LEAST_WORDS:
            words = Text()
        words.truncate(left, overflow="ellipsis")
        line = Text(_GAP).join([part for part in (words, *parts) if part])
        line.no_wrap = True
        return line

    def _bar(self) -> Text:
        for counter in reversed(self._steps.counters):  # bytes, in preference to files
            if counter.total and counter.done > 0:
                done = min(counter.done * _BAR_COLUMNS // counter.total, _BAR_COLUMNS)
                full, empty = "#-" if self._console.options.ascii_only else "━─"
                return Text.assemble(
                    (full * done, "bar.complete"), (empty * (_BAR_COLUMNS - done), "bar.back")
                )
        return Text()


def open_bars() -> Bars | None:
    """Return the progress for the terminal that stderr is; ``None`` if it cannot be controlled."""
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal and not console.is_dumb_terminal else None

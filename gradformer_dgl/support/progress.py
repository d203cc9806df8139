"""Progress on stderr: bars on a terminal, lines of plain text elsewhere."""

import logging
import sys
from types import TracebackType
from typing import Any, Literal

_logger = logging.getLogger("gradformer_dgl")


class Progress:
    """Progress of a piece of work and of the tasks in it; silent unless it is to be shown.

    ``keep`` says when bars stay on the terminal: ``"done"`` removes them after an error. With ``anywhere``
    there is a bar also where stderr is no terminal, such as in a notebook; without a ``name`` only the tasks
    have bars. ``lines`` are those of text for each task where stderr is no terminal.
    """

    def __init__(
        self,
        name: str = "",
        shown: bool = False,
        keep: Literal["always", "done", "never"] = "always",
        anywhere: bool = False,
        lines: int = 0,
    ) -> None:
        self._shown, self._keep, self._lines = shown, keep, lines
        self._done, self._total = 0, 0
        self._bars = _bars(transient=keep == "never") if shown and (anywhere or sys.stderr.isatty()) else None
        self._whole = self._bars.add_task(name, total=None, text="") if self._bars and name else None
        self._tasks: dict[str, Any] = {}

    def plan(self, total: int | None, done: int = 0) -> None:
        """Start the bar of the whole work, with so many of its items done; None is an unknown total."""
        self._total, self._done = total or 0, done
        if self._bars is not None:
            if self._whole is not None:
                self._bars.update(self._whole, total=total, completed=done)
            # Not before, as there can be one display at a time and preparations may have their own.
            self._bars.start()
        if done:
            self._say(f"{done} of {total} are done")

    def advance(self, items: int) -> None:
        """Count items of the whole work as done."""
        self._done += items
        if self._bars is not None and self._whole is not None:
            self._bars.update(self._whole, completed=self._done)

    def add(self, title: str, steps: int) -> None:
        """Add the bar of a task that waits."""
        if self._bars is not None:
            self._tasks[title] = self._bars.add_task(title, total=steps, text="", start=False)

    def epoch(self, title: str, epoch: int, epochs: int, text: str) -> None:
        """Show that a task has finished an epoch, with its scores."""
        if self._bars is not None:
            if title not in self._tasks:
                self.add(title, epochs)
            self._bars.start_task(self._tasks[title])
            self._bars.update(self._tasks[title], completed=epoch, text=text)
        elif self._shown and epoch * self._lines % epochs < self._lines:
            _logger.info("%s  epoch %d/%d  %s", title, epoch, epochs, text)

    def finished(self, title: str, text: str) -> None:
        """Count a task as done, and say its outcome in place of its bar."""
        if self._bars is not None and title in self._tasks:
            self._bars.remove_task(self._tasks.pop(title))
        self.advance(1)
        self._say(f"[{self._done}/{self._total}] {title}: {text}")

    def _say(self, line: str) -> None:
        if self._bars is not None:
            self._bars.console.print(line, markup=False, highlight=False)
        elif self._shown:
            _logger.info("%s", line)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is None:
            return
        if error is not None and self._keep == "done":
            # In a log not even an empty line stays.
            self._bars.live.transient = True
            self._bars.console.quiet = not self._bars.console.is_interactive
        self._bars.stop()


def _bars(transient: bool) -> Any:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(20),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[text]}"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=transient,
    )

"""Progress of many trainings on stderr."""

import logging
import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining

from gradformer_dgl.experiments import progress

log = logging.getLogger("gradformer_dgl")


class TaskProgress(progress.Progress):
    """On a terminal a bar over all, one for each that is under way, and a line for each that is finished.

    Elsewhere there are the lines alone.

    Parameters
    ----------
    name : str
        What there are many of.
    shown : bool
        Whether to show anything.
    """

    def __init__(self, name: str, shown: bool = True) -> None:
        self._shown, self._done, self._total = shown, 0, 0
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[scores]}"),
            TimeElapsedColumn(),
            Remaining(),
            console=Console(stderr=True),
            disable=not (shown and sys.stderr.isatty()),
        )
        self._all = self._bars.add_task(name, total=None, scores="")
        self._running: dict[str, TaskID] = {}

    def plan(self, total: int, done: int) -> None:
        """There are so many things to do, and so many of them are finished."""
        self._total, self._done = total, done
        self._bars.update(self._all, total=total, completed=done)
        # Not earlier: preprocessing may have had a bar of its own, and there can be one display at a time.
        self._bars.start()
        if done:
            self._say(f"{done} of {total} are done")

    def epoch(self, title: str, epoch: int, epochs: int, text: str) -> None:
        """One of them has done an epoch, with these scores."""
        if title not in self._running:
            self._running[title] = self._bars.add_task(title, total=epochs, scores="")
        self._bars.update(self._running[title], completed=epoch, scores=text)

    def finished(self, title: str, text: str) -> None:
        """One of them is finished, with this outcome."""
        if title in self._running:
            self._bars.remove_task(self._running.pop(title))
        self._done += 1
        self._bars.update(self._all, completed=self._done)
        self._say(f"[{self._done}/{self._total}] {title}: {text}")

    def _say(self, line: str) -> None:
        if not self._bars.disable:
            self._bars.console.print(line, markup=False, highlight=False)
        elif self._shown:
            log.info("%s", line)

    def __enter__(self) -> "TaskProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

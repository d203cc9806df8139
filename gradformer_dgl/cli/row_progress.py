"""Progress of predictions on stderr."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class RowProgress:
    """A bar over the rows of an input, on a terminal alone; gone when all are done.

    Parameters
    ----------
    total : int
        Number of rows.
    shown : bool
        Whether to show anything.
    """

    def __init__(self, total: int, shown: bool = True) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not (shown and sys.stderr.isatty()),
            transient=True,
        )
        self._task = self._bar.add_task("predictions", total=total)

    def advance(self, rows: int) -> None:
        """So many more rows are done."""
        self._bar.advance(self._task, rows)

    def __enter__(self) -> "RowProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

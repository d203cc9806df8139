"""Progress of training on stderr."""

import logging
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

log = logging.getLogger("gradformer_dgl")
LINES_PER_RUN = 10


class EpochProgress:
    """A bar per seed on a terminal, and some lines of plain text elsewhere.

    Parameters
    ----------
    seeds : sequence of int
        The seeds that are trained.
    epochs : int
        Epochs of each.
    shown : bool
        Whether to show anything.
    """

    def __init__(self, seeds: Sequence[int], epochs: int, shown: bool = True) -> None:
        self._epochs, self._shown = epochs, shown
        self._terminal = shown and sys.stderr.isatty()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[score]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._terminal,
        )
        self._tasks = {
            seed: self._progress.add_task(f"seed {seed}", total=epochs, score="", start=False)
            for seed in seeds
        }

    def advance(self, seed: int, record: dict[str, Any]) -> None:
        """Show the record of an epoch that has just ended."""
        score = next(name for name in record if name.startswith("val_") and name != "val_loss")
        text = f"loss {record['train_loss']:.4f}  {score.replace('_', ' ', 1)} {record[score]:.4g}"
        if self._terminal:
            self._progress.start_task(self._tasks[seed])
            self._progress.update(self._tasks[seed], completed=record["epoch"], score=text)
        elif self._shown and (record["epoch"] * LINES_PER_RUN) % self._epochs < LINES_PER_RUN:
            log.info("seed %d  epoch %d/%d  %s", seed, record["epoch"], self._epochs, text)

    def __enter__(self) -> "EpochProgress":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

"""Curves of a run for TensorBoard."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradformer_dgl.support.errors import RunError

EVENTS = "events.out.tfevents.*"


class EventWriter:
    """Write the records of epochs as TensorBoard scalars into the folder of a seed.

    Event files of an interrupted run are replaced, for they may hold epochs that are trained again.
    """

    def __init__(self, folder: Path, records: Sequence[dict[str, Any]] = ()) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        try:
            folder.mkdir(parents=True, exist_ok=True)
            earlier = list(folder.glob(EVENTS))
            for file in earlier:
                file.unlink()
            # A TensorBoard that is looking on forgets what it has read of them.
            self._writer = SummaryWriter(folder, purge_step=1 if earlier else None)
        except OSError as error:
            raise RunError(f"{folder} cannot be written: {error.strerror}") from None
        for record in records:
            self.write(record)

    def write(self, record: dict[str, Any]) -> None:
        """Write one epoch's record; lists become one curve per element."""
        for name, value in record.items():
            if name == "epoch":
                continue
            for index, number in enumerate(value if isinstance(value, list) else [value]):
                tag = f"{name}/{index}" if isinstance(value, list) else name.replace("_", "/", 1)
                self._writer.add_scalar(tag, number, record["epoch"])

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._writer.close()

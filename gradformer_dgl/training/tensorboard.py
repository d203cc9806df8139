"""Curves of a run for TensorBoard."""

from pathlib import Path
from types import TracebackType
from typing import Any

from gradformer_dgl.errors import RunError


class EventWriter:
    """Write the records of epochs as TensorBoard scalars into the folder of a seed.

    Parameters
    ----------
    folder : Path
        Where the event file goes.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = SummaryWriter(folder)
        except OSError as error:
            raise RunError(f"{folder} cannot be written: {error.strerror}") from None

    def write(self, record: dict[str, Any]) -> None:
        """Write one epoch's record; lists become one curve per element."""
        for name, value in record.items():
            if name == "epoch":
                continue
            for index, number in enumerate(value if isinstance(value, list) else [value]):
                tag = f"{name}/{index}" if isinstance(value, list) else name.replace("_", "/", 1)
                self._writer.add_scalar(tag, number, record["epoch"])

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

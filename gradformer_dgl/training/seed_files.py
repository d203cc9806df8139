"""What one seed leaves in its folder: metrics as JSON lines, a checkpoint, the best weights."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.checkpoint import remove_drafts, save_tensors, write_whole

WEIGHTS, CHECKPOINT, METRICS = "weights.safetensors", "checkpoint.safetensors", "metrics.jsonl"


class SeedFiles:
    """Writes the files of one seed.

    Parameters
    ----------
    folder : Path
        Where they go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, records: list[dict[str, Any]]) -> None:
        """Make the folder and write the records of the epochs that are done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_drafts(self.folder)
        write_whole(self.folder / METRICS, "".join(json.dumps(record) + "\n" for record in records))

    def add(self, record: dict[str, Any]) -> None:
        """Add the record of an epoch."""
        try:
            with (self.folder / METRICS).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
        except OSError as error:
            raise RunError(f"{self.folder / METRICS} cannot be written: {error.strerror}") from None

    def save(self, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Save tensors and facts under a name, whole or not at all."""
        save_tensors(self.folder / name, tensors, facts)


class NoFiles(SeedFiles):
    """Writes nothing: of several processes that train together one alone keeps the files."""

    def begin(self, records: list[dict[str, Any]]) -> None:
        """Write nothing."""

    def add(self, record: dict[str, Any]) -> None:
        """Write nothing."""

    def save(self, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Write nothing."""

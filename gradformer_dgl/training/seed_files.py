"""Files of one seed: metrics as JSON lines, a checkpoint, the best weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gradformer_dgl.support.atomic_write import remove_drafts, write_whole
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.support.json_text import json_text, with_nan
from gradformer_dgl.training.tensor_files import save_tensors

WEIGHTS, CHECKPOINT, METRICS = "weights.safetensors", "checkpoint.safetensors", "metrics.jsonl"


class SeedFiles:
    """Write the files of one seed into its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, records: list[dict[str, Any]]) -> None:
        """Make the folder and write the records of the epochs that are done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_drafts(self.folder)
        write_whole(self.folder / METRICS, "".join(json_text(record) + "\n" for record in records))

    def add(self, record: dict[str, Any]) -> None:
        """Add the record of an epoch."""
        try:
            with (self.folder / METRICS).open("a", encoding="utf-8") as stream:
                stream.write(json_text(record) + "\n")
        except OSError as error:
            raise RunError(f"{self.folder / METRICS} cannot be written: {error.strerror}") from None

    def save(self, name: str, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        """Save tensors and metadata under a name, whole or not at all."""
        save_tensors(self.folder / name, tensors, metadata)


class NoFiles(SeedFiles):
    """Write nothing: of several processes that train together only one keeps the files."""

    def begin(self, records: list[dict[str, Any]]) -> None:
        """Write nothing."""

    def add(self, record: dict[str, Any]) -> None:
        """Write nothing."""

    def save(self, name: str, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        """Write nothing."""


def read_records(seed_folder: Path) -> list[dict[str, Any]]:
    """Read the records of the epochs of one seed; RunError where they are missing, broken or empty."""
    file = seed_folder / METRICS
    try:
        records = [with_nan(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RunError(f"{file} is broken: {error}") from None
    if not records:
        raise RunError(f"{file} is empty: no epoch is done")
    if not all(isinstance(record, dict) and _is_whole(record) for record in records):
        raise RunError(f"{file} is broken: a line is no record of an epoch")
    return records


def _is_whole(record: dict[str, Any]) -> bool:
    return bool(score_name(record)) and record.keys() >= {"epoch", "lr", "train_loss", "val_loss"}


def score_name(record: Mapping[str, Any]) -> str:
    """Return the name of the score in the record of an epoch, empty where there is none."""
    names = (name for name in record if name.startswith("val_") and name != "val_loss")
    return next(names, "").removeprefix("val_")

"""Read the metrics of a seed, one JSON object for each epoch."""

import json
from pathlib import Path
from typing import Any

from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.seed_files import METRICS


def read_records(seed_folder: Path) -> list[dict[str, Any]]:
    """Read the epochs of one seed from its metrics file.

    Raises
    ------
    RunError
        Where the file is missing or broken, or no epoch is done.
    """
    try:
        lines = (seed_folder / METRICS).read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        whole = all(isinstance(record, dict) and _is_whole(record) for record in records)
    except OSError as error:
        raise RunError(f"{seed_folder / METRICS} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RunError(f"{seed_folder / METRICS} is broken: {error}") from None
    if not records or not whole:
        reason = "is broken: a line is no record of an epoch" if records else "is empty: no epoch is done"
        raise RunError(f"{seed_folder / METRICS} {reason}")
    return records


def _is_whole(record: dict[str, Any]) -> bool:
    scores = [name for name in record if name.startswith("val_") and name != "val_loss"]
    return bool(scores) and record.keys() >= {"epoch", "lr", "train_loss", "val_loss"}

"""The pictures that training leaves in a run folder, made of its metrics."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.config import RunConfig
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


def training_figure(seed_folders: Sequence[Path], file: Path) -> None:
    """Draw the training of every seed; the folders are named ``seed-N``."""
    from gradformer_dgl.plots.curves import curves_figure
    from gradformer_dgl.plots.style import write_picture

    write_picture(curves_figure(_by_seed(seed_folders)), file)


def decay_figure(folder: Path, seed_folders: Sequence[Path], config: RunConfig) -> None:
    """Draw the decay that each head learned, beside the one that it started from.

    A model without a decay that is learned leaves no picture, not even that of an earlier run in the folder.
    """
    from gradformer_dgl.plots import decay
    from gradformer_dgl.plots.style import write_picture

    file = folder / "decay.png"
    learned = {
        seed: records[-1]["tau"] for seed, records in _by_seed(seed_folders).items() if "tau" in records[-1]
    }
    if not learned:
        file.unlink(missing_ok=True)
        return
    write_picture(decay.decay_figure(config, learned), file)


def _by_seed(seed_folders: Sequence[Path]) -> dict[int, list[dict[str, Any]]]:
    return {int(folder.name.removeprefix("seed-")): read_records(folder) for folder in seed_folders}

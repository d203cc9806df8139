"""Checkpoint of a training: what it resumes from after an interruption."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradformer_dgl.support.errors import RunError
from gradformer_dgl.support.json_text import with_nan
from gradformer_dgl.training.seed_files import CHECKPOINT
from gradformer_dgl.training.tensor_files import load_tensors

if TYPE_CHECKING:
    from gradformer_dgl.training.loop import Trainer

OF_A_WEIGHT = {"step", "exp_avg", "exp_avg_sq"}
"""State of Adam and AdamW for each weight."""


def save_checkpoint(trainer: "Trainer") -> None:
    """Write all that the next epoch depends on into the folder of the seed."""
    tensors = {f"network.{name}": tensor for name, tensor in trainer.network.state_dict().items()}
    tensors |= {f"scored.{name}": tensor.clone() for name, tensor in trainer.scored.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in trainer.best.weights.items()}
    for index, state in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    metadata = {
        "seed": trainer.seed,
        "config": trainer.config.as_dict(),
        "records": trainer.records,
        "best": trainer.best.found,
        "seconds": trainer.seconds,
    }
    trainer.files.save(CHECKPOINT, tensors, metadata)


def load_checkpoint(trainer: "Trainer") -> None:
    """Restore the trainer from the checkpoint in its folder, where there is one; RunError if it is broken."""
    file = trainer.folder / CHECKPOINT
    checkpoint = trainer.ranks.from_first(lambda: load_tensors(file) if file.is_file() else None)
    if checkpoint is None:
        return
    tensors, metadata = checkpoint
    if metadata.get("seed") != trainer.seed or not trainer.config.matches(metadata.get("config")):
        raise RunError(f"{trainer.folder} holds a run with other settings: choose another --out")
    try:
        _restore(trainer, tensors, metadata)
    except (RunError, LookupError, TypeError, ValueError) as error:
        reason = error if isinstance(error, RunError) else f"{type(error).__name__} {error}"
        raise RunError(f"{file} is broken ({reason}): train the run again, with --overwrite") from None


def _restore(trainer: "Trainer", tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "scored": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    records, best = with_nan(metadata["records"]), with_nan(metadata["best"])
    seconds = float(metadata["seconds"])
    if [record["epoch"] for record in records] != list(range(1, len(records) + 1)):
        raise ValueError("its epochs have gaps")
    if best:
        # They are needed at the end of the training, which is late to find that they do not fit.
        trainer.scored.load(parts["best"])
        float(best["val"]), float(best["val_loss"]), int(best["epoch"])
    trainer.network.load(parts["network"])
    trainer.scored.load(parts["scored"])
    trainer.optimizer.load_state_dict(_optimizer_state(trainer.optimizer, parts["optimizer"]))
    trainer.best.found = best
    trainer.best.weights = {name: tensor.to(trainer.device) for name, tensor in parts["best"].items()}
    trainer.records, trainer.seconds = records, seconds


def _optimizer_state(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the optimiser's state with saved tensors, each of the shape of its weight."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state = optimizer.state_dict()
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        index = int(number)
        expected = torch.Size() if key == "step" else weights[index].shape
        if key not in OF_A_WEIGHT or index < 0 or tensor.shape != expected:
            raise ValueError(f"optimizer.{name} of shape {tuple(tensor.shape)}")
        state["state"].setdefault(index, {})[key] = tensor
    for index, saved in state["state"].items():
        if saved.keys() != OF_A_WEIGHT:
            raise ValueError(f"optimizer.{index} lacks a tensor")
    return state

"""What a training goes on from after an interruption."""

from typing import TYPE_CHECKING

from torch import Tensor

from gradformer_dgl.errors import RunError
from gradformer_dgl.training.checkpoint import load_tensors
from gradformer_dgl.training.seed_files import CHECKPOINT

if TYPE_CHECKING:
    from gradformer_dgl.training.loop import Trainer


def save_checkpoint(trainer: "Trainer") -> None:
    """Write all that the next epoch depends on."""
    tensors = {f"network.{name}": tensor for name, tensor in trainer.network.state_dict().items()}
    tensors |= {f"scored.{name}": tensor.clone() for name, tensor in trainer.scored.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in trainer.best_weights.items()}
    for index, state in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    facts = {
        "seed": trainer.seed,
        "config": trainer.config.as_dict(),
        "records": trainer.records,
        "best": trainer.best,
        "seconds": trainer.seconds,
    }
    trainer.files.save(CHECKPOINT, tensors, facts)


def load_checkpoint(trainer: "Trainer") -> None:
    """Go back to where `save_checkpoint` was called, if it was.

    Raises
    ------
    RunError
        Where the checkpoint is of other settings or another seed.
    """
    file = trainer.folder / CHECKPOINT
    checkpoint = trainer.ranks.from_first(lambda: load_tensors(file) if file.is_file() else None)
    if checkpoint is None:
        return
    tensors, facts = checkpoint
    if facts.get("seed") != trainer.seed or not trainer.config.matches(facts.get("config")):
        raise RunError(f"{trainer.folder} holds a run with other settings: choose another --out")
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "scored": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    trainer.network.load(parts["network"])
    trainer.scored.load(parts["scored"])
    state = trainer.optimizer.state_dict()
    for name, tensor in parts["optimizer"].items():
        index, _, key = name.partition(".")
        state["state"].setdefault(int(index), {})[key] = tensor
    trainer.optimizer.load_state_dict(state)
    trainer.best_weights = {name: tensor.to(trainer.device) for name, tensor in parts["best"].items()}
    trainer.records, trainer.best, trainer.seconds = facts["records"], facts["best"], facts["seconds"]

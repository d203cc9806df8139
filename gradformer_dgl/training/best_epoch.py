"""Best epoch of a training by its validation scores, and early stopping."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.objectives import Objective


class BestEpoch:
    """Keep the weights of the epoch that is the best on the validation data.

    ``found`` has the number of the best epoch so far (``"epoch"``, from 1), its score ``"val"`` and its
    ``"val_loss"``, and is empty before the first epoch; ``weights`` are those of that epoch.
    """

    def __init__(self, config: RunConfig, objective: Objective) -> None:
        self._config, self._objective = config, objective
        self.found: dict[str, Any] = {}
        self.weights: dict[str, Tensor] = {}

    @property
    def first(self) -> int:
        """Number of the first epoch, from 0, that can be the best of a whole training."""
        return int(self._config.epochs * self._config.monitor_from + 1e-6)

    def update(self, epoch: int, score: float, loss: float, network: nn.Module) -> None:
        """Compare an epoch, counted from 0, with the best so far, and keep its weights if it is better."""
        if self._is_better(epoch, score, loss):
            self.found = {"epoch": epoch + 1, "val": score, "val_loss": loss}
            self.weights = {name: torch.clone(tensor) for name, tensor in network.state_dict().items()}

    def is_over(self, done: int) -> bool:
        """Return whether so many epochs are all, or none has been better for the patience of the settings."""
        patience = self._config.patience
        since = max(self.found.get("epoch", done), self.first)
        return done >= self._config.epochs or bool(patience and done - since >= patience)

    def _is_better(self, epoch: int, score: float, loss: float) -> bool:
        if not self.found or epoch == self.first:
            return True
        # A score that validation graphs of one class do not give cannot tell epochs apart.
        if self._config.monitor == "loss" or math.isnan(score):
            return loss < self.found["val_loss"]
        if self._objective.better(score, self.found["val"]):
            return True
        # Of equal scores, frequent with few validation graphs, the one with the lower loss is better.
        return score == self.found["val"] and loss < self.found["val_loss"]

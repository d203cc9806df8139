"""Best epoch of a training by its validation scores, and early stopping."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.objectives import Objective


class BestEpoch:
    """Keep the weights of the epoch that is the best on the validation data.

    Epochs without a score, NaN, are behind those with one, and compared by the validation loss. ``found`` has
    the number of the best epoch so far (``"epoch"``, from 1), its score ``"val"`` and its ``"val_loss"``, and
    is empty before the first epoch; ``weights`` are those of that epoch.
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

    @property
    def selected_by(self) -> str:
        """Selector of the best epoch, ``"metric"`` or ``"loss"``; RunError where neither is a number."""
        of_metric, _, loss = self._rank(self.found["val"], self.found["val_loss"])
        if not of_metric and math.isinf(loss):
            what = "loss" if self._by_loss else f"{self._objective.name} or loss"
            raise RunError(
                f"no epoch has a validation {what} that is a number, so that none can be the best: look for "
                "validation data without labels, and lower --lr"
            )
        return "metric" if of_metric else "loss"

    @property
    def _by_loss(self) -> bool:
        return bool(self._config.monitor == "loss")

    def _is_better(self, epoch: int, score: float, loss: float) -> bool:
        if not self.found or epoch == self.first:
            return True
        return self._rank(score, loss) > self._rank(self.found["val"], self.found["val_loss"])

    def _rank(self, score: float, loss: float) -> tuple[bool, float, float]:
        """Return what is the larger the better an epoch is; of equal scores the lower loss is better.

        Equal scores are frequent with few validation graphs. Without a loss the outputs are no numbers, and
        a score of them says nothing.
        """
        of_metric = not (self._by_loss or math.isnan(score) or math.isnan(loss))
        sign = 1 if self._objective.higher_is_better else -1
        return of_metric, sign * score if of_metric else 0.0, -loss if math.isfinite(loss) else -math.inf

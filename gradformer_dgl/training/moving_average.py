"""Exponential moving average of the weights of a network."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


class MovingAverage(Generic[Module]):
    """Average the weights, and the running statistics, of a network while it is trained.

    ``network`` is a copy with the averaged weights; ``decay`` is the weight of the average at every step.
    """

    def __init__(self, network: Module, decay: float) -> None:
        self.network, self._decay = copy.deepcopy(network), decay
        kept, present = ([*one.state_dict().values()] for one in (self.network, network))
        self._averages = [tensor for tensor in kept if tensor.is_floating_point()]
        self._weights = [tensor for tensor in present if tensor.is_floating_point()]
        counts = zip(kept, present, strict=True)
        self._counts = [pair for pair in counts if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights after an optimiser step, counted from 0.

        The first steps count for more, so that the initial weights are soon forgotten.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        for kept, present in self._counts:
            kept.copy_(present)

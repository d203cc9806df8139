"""Exponential moving average of the weights of a network."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


class MovingAverage(Generic[Module]):
    """Average the weights, and the running statistics, of a network while it is trained.

    Parameters
    ----------
    network : nn.Module
        The network that is trained.
    decay : float
        Weight of the average at every step, in (0, 1).

    Attributes
    ----------
    network : nn.Module
        A copy with the averaged weights.

    Examples
    --------
    >>> trained = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.ones_(trained.weight)
    >>> average = MovingAverage(trained, decay=0.75)
    >>> _ = nn.init.zeros_(trained.weight)
    >>> average.update(step=100)
    >>> average.network.weight.item()
    0.75
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

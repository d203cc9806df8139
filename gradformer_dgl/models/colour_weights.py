"""Weights for the colours of nodes: a linear model beside the network, or an embedding of its nodes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from gradformer_dgl.support.errors import ConfigError, GraphError


class ColourWeights(nn.Module):
    """What the colours of a node add to its outputs or channels: weights for each known colour.

    For outputs, summed over the nodes of a graph, this is a linear model of how often each rooted
    neighbourhood occurs, the features of the Weisfeiler-Leman subtree kernel, which tells apart what sums of
    channels merge. For channels it is an embedding: the network sees which neighbourhood a node stands in.
    All weights begin at 0, and a colour that is not known adds nothing.

    Parameters
    ----------
    known : sequence of Tensor
        For every round of refinement the colours that have weights: int64 hashes in ascending order, from
        :func:`gradformer_dgl.data.colours.common_colours`.
    out_size : int
        Outputs, or channels.
    drop : float
        Chance that a node's colour of a round is left out in training.

    Notes
    -----
    Shervashidze et al., "Weisfeiler-Lehman Graph Kernels", JMLR 12 (2011), section 3.2.

    Examples
    --------
    >>> weights = ColourWeights([torch.tensor([3, 8]), torch.tensor([5])], out_size=4)
    >>> weights(torch.tensor([[8, 5], [7, 9]])).shape, weights.encoding
    (torch.Size([2, 4]), 'wl:2')
    """

    known: Int64[Tensor, " colours"]
    rounds: Int64[Tensor, " rounds"]

    def __init__(self, known: Sequence[Int64[Tensor, " _"]], out_size: int, drop: float = 0.0) -> None:
        super().__init__()
        if not 0 <= drop < 1:
            raise ConfigError(f"colour_drop must be at least 0 and below 1, but is {drop}")
        self.sizes = [len(colours) for colours in known]
        self.drop = drop
        self.register_buffer("known", torch.cat(list(known)))
        # So that saved weights tell which colours are of which round.
        self.register_buffer("rounds", torch.tensor(self.sizes, dtype=torch.int64))
        self.weight = nn.Parameter(torch.zeros(sum(self.sizes), out_size))

    @staticmethod
    def known_in(tensors: Mapping[str, Tensor], prefix: str) -> list[Int64[Tensor, " _"]] | None:
        """Return the known colours of each round in saved weights, or None where they have no colours.

        Parameters
        ----------
        tensors : mapping of str to Tensor
            The weights of a model by name.
        prefix : str
            What the names of this module's weights begin with, such as ``"colour_head."``.

        Raises
        ------
        GraphError
            If the weights do not tell which colours are of which round.
        """
        known, rounds = tensors.get(f"{prefix}known"), tensors.get(f"{prefix}rounds")
        if known is None:
            return None
        if rounds is None or int(rounds.sum()) != len(known):
            raise GraphError("the saved weights do not tell which colours are of which round")
        return list(known.split(rounds.tolist()))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        # Files of older versions lack it.
        state_dict.setdefault(f"{prefix}rounds", self.rounds)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @property
    def encoding(self) -> str:
        """Name of the colours among the encodings of a batch."""
        return f"wl:{len(self.sizes)}"

    def forward(self, colours: Int64[Tensor, "nodes rounds"]) -> Float[Tensor, "nodes out"]:
        """Return what the colours of each node add.

        Raises
        ------
        GraphError
            If there is another number of rounds than expected.
        """
        if colours.ndim != 2 or colours.shape[1] != len(self.sizes):
            raise GraphError(
                f"colours must have the shape (nodes, {len(self.sizes)}), but have {tuple(colours.shape)}"
            )
        places, found, start = [], [], 0
        for column, known in zip(colours.T.contiguous(), self.known.split(self.sizes), strict=True):
            if not len(known):
                continue
            place = torch.searchsorted(known, column).clamp_(max=len(known) - 1)
            places.append(place + start)
            found.append(known[place] == column)
            start += len(known)
        if not places:
            return self.weight.new_zeros(len(colours), self.weight.shape[1])
        share = torch.stack(found, 1).to(self.weight.dtype)
        share = functional.dropout(share, self.drop, self.training)
        return functional.embedding_bag(
            torch.stack(places, 1), self.weight, mode="sum", per_sample_weights=share
        )

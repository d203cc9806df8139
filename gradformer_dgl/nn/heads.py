"""Heads: from the channels of a graph or node to its outputs."""

from torch import nn


def linear_head(feat_size: int, out_size: int) -> nn.Module:
    """Return one linear layer, (rows, feat_size) to (rows, out_size).

    Examples
    --------
    >>> linear_head(5, 3)
    Linear(in_features=5, out_features=3, bias=True)
    """
    return nn.Linear(feat_size, out_size)


def mlp_head(feat_size: int, out_size: int) -> nn.Module:
    """Return three linear layers with ReLU between them, (rows, feat_size) to (rows, out_size).

    Examples
    --------
    >>> mlp_head(8, 3)[2]
    Linear(in_features=4, out_features=2, bias=True)
    """
    return nn.Sequential(
        nn.Linear(feat_size, feat_size // 2),
        nn.ReLU(),
        nn.Linear(feat_size // 2, feat_size // 4),
        nn.ReLU(),
        nn.Linear(feat_size // 4, out_size),
    )

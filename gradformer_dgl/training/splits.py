"""Which graphs are for training, validation and testing."""

import torch
from jaxtyping import Int64
from torch import Tensor

from gradformer_dgl.errors import DataError

SPLITS = ("train", "val", "test")


def random_split(
    num_graphs: int, seed: int, val_share: float = 0.1, test_share: float = 0.1
) -> dict[str, Int64[Tensor, "_"]]:
    """Cut a data set at random: the same seed gives the same split on every machine.

    Parameters
    ----------
    num_graphs : int
        Graphs in the data set.
    seed : int
        Seed of the permutation.
    val_share, test_share : float
        Shares of the graphs. Training and validation are rounded down to whole graphs, testing gets the rest;
        each has at least one graph.

    Returns
    -------
    dict of str to Tensor
        Graph numbers of ``"train"``, ``"val"`` and ``"test"``.

    Raises
    ------
    DataError
        With fewer than three graphs.

    Examples
    --------
    >>> from gradformer_dgl.training.splits import random_split
    >>> {name: len(part) for name, part in random_split(188, seed=0).items()}
    {'train': 150, 'val': 18, 'test': 20}
    """
    # Without the small addition 0.8 * 4110 and its like fall just below the whole number that is meant.
    train = int(num_graphs * (1 - val_share - test_share) + 1e-6)
    val = max(1, int(num_graphs * val_share + 1e-6))
    test = num_graphs - train - val
    if min(train, test) < 1:
        raise DataError(f"{num_graphs} graphs cannot be split into training, validation and test data")
    order = torch.randperm(num_graphs, generator=torch.Generator().manual_seed(seed))
    return dict(zip(SPLITS, order.split([train, val, test]), strict=True))

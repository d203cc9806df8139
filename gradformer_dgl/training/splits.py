"""Which graphs are for training, validation and testing."""

import torch
from jaxtyping import Int64
from torch import Tensor

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.support.errors import DataError
from gradformer_dgl.training.config import RunConfig

SPLITS = ("train", "val", "test")


def split_of(dataset: GraphDataset, config: RunConfig, seed: int) -> dict[str, Int64[Tensor, "_"]]:
    """Return the data set's own split, or the random one of a seed, with the share of it to train on.

    Numbers of graphs, or of nodes where the data set splits these.
    """
    own = dataset.node_splits if dataset.splits_nodes else dataset.splits
    if own is not None:
        split = dict(own)
    else:
        items = dataset.labelled
        parts = random_split(len(items), seed, config.val_share, config.test_share)
        split = {name: items[part] for name, part in parts.items()}
    return split | {"train": first_share(split["train"], config.train_share, seed)}


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
        each has at least one graph, which training gives where testing would have none.

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
    if num_graphs < len(SPLITS):
        raise DataError(f"{num_graphs} graphs cannot be split into training, validation and test data")
    # Without the small addition 0.8 * 4110 and its like fall just below the whole number that is meant.
    val = min(max(1, int(num_graphs * val_share + 1e-6)), num_graphs - 2)
    train = min(max(1, int(num_graphs * (1 - val_share - test_share) + 1e-6)), num_graphs - val - 1)
    test = num_graphs - train - val
    order = torch.randperm(num_graphs, generator=torch.Generator().manual_seed(seed))
    return dict(zip(SPLITS, order.split([train, val, test]), strict=True))


def first_share(indices: Int64[Tensor, " _"], share: float, seed: int) -> Int64[Tensor, " _"]:
    """Return a share of some graphs, drawn at random: those of a smaller share are among those of a larger.

    Classes are drawn as they come.

    Parameters
    ----------
    indices : Tensor
        Graph numbers.
    share : float
        Above 0, rounded down to whole graphs, but at least one; 1 returns the graphs as they are.
    seed : int
        Seed of the permutation whose beginning is returned.

    Examples
    --------
    >>> from gradformer_dgl.training.splits import first_share
    >>> graphs = torch.arange(100, 200)
    >>> few, more = (first_share(graphs, share, seed=0) for share in (0.05, 0.1))
    >>> len(few), len(more), torch.equal(few, more[:5])
    (5, 10, True)
    """
    if share == 1:
        return indices
    order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))
    return indices[order[: max(1, int(len(indices) * share + 1e-6))]]

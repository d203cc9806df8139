"""Stratified cross-validation."""

import torch
from jaxtyping import Int64
from torch import Tensor

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.support.errors import ConfigError


def stratified_folds(labels: Int64[Tensor, "graphs"], folds: int, seed: int) -> list[Int64[Tensor, "_"]]:
    """Cut graphs into folds at random, each class in all of them alike.

    Sizes of the folds differ by at most one, and so do the numbers of graphs of any class in them.

    Parameters
    ----------
    labels : Tensor
        Class of each graph.
    folds : int
        How many, 3 or more: training, validation and testing need one each.
    seed : int
        Seed of the permutation.

    Returns
    -------
    list of Tensor
        Graph numbers of each fold, ascending.

    Raises
    ------
    ConfigError
        With fewer than 3 folds, or fewer graphs than folds.

    Examples
    --------
    >>> import torch
    >>> from gradformer_dgl.training.folds import stratified_folds
    >>> labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1])
    >>> [labels[fold].tolist() for fold in stratified_folds(labels, 3, seed=0)]
    [[0, 0, 1], [0, 0, 1], [0, 0, 1]]
    """
    if folds < 3:
        raise ConfigError(f"{folds} folds leave none for training, validation or testing: take 3 or more")
    if len(labels) < folds:
        raise ConfigError(f"{len(labels)} graphs cannot be cut into {folds} folds")
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    # Dealt out like cards, class by class: a class begins in the fold after that where the last one ended.
    dealt = shuffled[torch.argsort(labels[shuffled], stable=True)]
    return [dealt[start::folds].sort().values for start in range(folds)]


def fold_split(dataset: GraphDataset, folds: int, fold: int, seed: int) -> dict[str, Int64[Tensor, "_"]]:
    """Return the split of one fold: it is the test data, the next fold the validation data.

    Raises
    ------
    ConfigError
        Where the task is not to classify graphs, or the data set comes with a fixed split.

    Examples
    --------
    >>> from gradformer_dgl.data import GraphDataset, PackedGraphs
    >>> from gradformer_dgl.training.folds import fold_split
    >>> import dgl, torch
    >>> graph = dgl.graph(([0, 1], [1, 0]))
    >>> graph.ndata["feat"] = torch.ones(2, 1)
    >>> packed = PackedGraphs.from_graphs([graph] * 6, labels=[0, 0, 0, 1, 1, 1])
    >>> data = GraphDataset("six", packed, "multiclass", "graph", 2, "linear", 1)
    >>> {name: len(part) for name, part in fold_split(data, 3, fold=0, seed=0).items()}
    {'train': 2, 'val': 2, 'test': 2}
    """
    if dataset.splits is not None or dataset.task != "multiclass" or dataset.level != "graph":
        raise ConfigError(
            f"folds are for the classification of graphs without a fixed split, which {dataset.name} is not"
        )
    assert dataset.graphs.labels is not None
    parts = stratified_folds(dataset.graphs.labels.long().reshape(-1), folds, seed)
    following = (fold + 1) % folds
    rest = [part for number, part in enumerate(parts) if number not in (fold, following)]
    return {"train": torch.cat(rest), "val": parts[following], "test": parts[fold]}

"""Splits and folds: the graphs, or nodes, for training, validation and testing.

A split must depend on data and seed alone, since it is computed again when saved weights are scored.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.support.errors import ConfigError, DataError
from gradformer_dgl.support.registry import is_code
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.registry import SPLITS

PARTS = ("train", "val", "test")
Split = dict[str, Int64[Tensor, "_"]]


def _own_split(dataset: GraphDataset) -> Split | None:
    return dataset.node_splits if dataset.splits_nodes else dataset.splits


def given_split(dataset: GraphDataset, seed: int) -> Split:
    """Return the split that the data set comes with."""
    own = _own_split(dataset)
    if own is None:
        raise ConfigError(f"{dataset.name} comes without a split: choose --split random")
    return dict(own)


def seeded_split(dataset: GraphDataset, seed: int, val_fraction: float, test_fraction: float) -> Split:
    """Return the random split of a seed, of the graphs or nodes that have a label."""
    items = dataset.labelled
    parts = random_split(len(items), seed, val_fraction, test_fraction)
    return {name: items[part] for name, part in parts.items()}


def auto_split(dataset: GraphDataset, seed: int, val_fraction: float, test_fraction: float) -> Split:
    """Return the split that the data set comes with, else the random one of a seed."""
    own = _own_split(dataset)
    return seeded_split(dataset, seed, val_fraction, test_fraction) if own is None else dict(own)


def seeded_fold(dataset: GraphDataset, seed: int, folds: int) -> Split:
    """Return the split of fold ``seed % folds``, in the folds that ``seed // folds`` draws."""
    return fold_split(dataset, folds, fold=seed % folds, seed=seed // folds)


def split_of(dataset: GraphDataset, config: RunConfig, seed: int) -> Split:
    """Return the split of a seed by the settings, with the fraction of the training part that is used.

    These are numbers of graphs, or of nodes where the data set splits these.
    """
    dataset.check_classes()
    name = getattr(config, "split", "auto")
    function, arguments = SPLITS.load(name), SPLITS.arguments(name, config)
    split: Split = function(dataset, seed, **arguments)
    if is_code(name):
        split, again = (_checked(one, name, dataset) for one in (split, function(dataset, seed, **arguments)))
        if not all(torch.equal(split[part], again[part]) for part in PARTS):
            raise ConfigError(f"the split {name} differs when it is called again: draw by the seed alone")
    return split | {"train": first_fraction(split["train"], config.train_fraction, seed)}


def with_split(dataset: GraphDataset, split: Split) -> GraphDataset:
    """Return the data set with a split of its own, which the setting ``auto`` takes."""
    if dataset.splits_nodes:
        return dataclasses.replace(dataset, node_splits=split)
    return dataclasses.replace(dataset, splits=split)


def _checked(found: Any, name: str, dataset: GraphDataset) -> Split:
    """Return the split that a user's function gave, or refuse it."""
    if not isinstance(found, Mapping) or set(found) != set(PARTS):
        raise ConfigError(f"the split {name} must return a dict of {', '.join(PARTS)}")
    count = dataset.graphs.num_nodes if dataset.splits_nodes else len(dataset)
    split: Split = {}
    for part in PARTS:
        indices = torch.as_tensor(found[part])
        if not indices.numel():
            raise ConfigError(f"the split {name} leaves nothing for {part}")
        if indices.ndim != 1 or indices.is_floating_point() or indices.dtype == torch.bool:
            raise ConfigError(f"the split {name} must return whole numbers, but {part} is something else")
        if int(indices.min()) < 0 or int(indices.max()) >= count:
            raise ConfigError(f"the split {name} has a number in {part} that is not one of 0 to {count - 1}")
        split[part] = indices.long()
    together = torch.cat(list(split.values())).sort().values
    repeated = together[1:][together.diff() == 0]
    if len(repeated):
        raise ConfigError(f"the split {name} has number {int(repeated[0])} twice")
    missing = ~torch.isin(together, dataset.labelled)
    if missing.any():
        raise ConfigError(f"the split {name} has number {int(together[missing][0])}, which has no label")
    return split


def random_split(num_graphs: int, seed: int, val_fraction: float = 0.1, test_fraction: float = 0.1) -> Split:
    """Split graphs at random: the same seed gives the same split on every machine.

    Training and validation are rounded down to whole graphs, testing gets the rest; each has at least one
    graph, taken from training where testing would have none.
    """
    if num_graphs < len(PARTS):
        raise DataError(f"{num_graphs} graphs cannot be split into training, validation and test data")
    # Without the small addition 0.8 * 4110 and its like fall just below the whole number that is meant.
    val = min(max(1, int(num_graphs * val_fraction + 1e-6)), num_graphs - 2)
    train = min(max(1, int(num_graphs * (1 - val_fraction - test_fraction) + 1e-6)), num_graphs - val - 1)
    test = num_graphs - train - val
    order = torch.randperm(num_graphs, generator=torch.Generator().manual_seed(seed))
    return dict(zip(PARTS, order.split([train, val, test]), strict=True))


def first_fraction(indices: Int64[Tensor, " _"], fraction: float, seed: int) -> Int64[Tensor, " _"]:
    """Draw a fraction of graph numbers, (graphs,), at random; a smaller fraction is part of a larger one.

    Classes are drawn as they come. It is rounded down to whole graphs, but to at least one.
    """
    if fraction == 1:
        return indices
    order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))
    return indices[order[: max(1, int(len(indices) * fraction + 1e-6))]]


def stratified_folds(labels: Int64[Tensor, "graphs"], folds: int, seed: int) -> list[Int64[Tensor, "_"]]:
    """Cut graphs at random into folds of graph numbers, ascending, by their classes, int64 of (graphs,).

    Sizes of the folds differ by at most one, and so do the numbers of graphs of any class in them.
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
    """Return the split of one fold: it is the test data, the next fold the validation data."""
    if dataset.splits is not None or dataset.task != "multiclass" or dataset.level != "graph":
        raise ConfigError(
            f"folds are for the classification of graphs without a fixed split, which {dataset.name} is not"
        )
    assert dataset.graphs.labels is not None
    parts = stratified_folds(dataset.graphs.labels.long().reshape(-1), folds, seed)
    following = (fold + 1) % folds
    rest = [part for number, part in enumerate(parts) if number not in (fold, following)]
    return {"train": torch.cat(rest), "val": parts[following], "test": parts[fold]}

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradformer_dgl.data import load_dataset
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.splits import fold_split, stratified_folds


@given(st.lists(st.integers(0, 4), min_size=11, max_size=60), st.integers(3, 11), st.integers(0, 2**31))
def test_folds_are_a_partition_with_the_classes_spread_evenly(labels, folds, seed):
    classes = torch.tensor(labels)
    parts = stratified_folds(classes, folds, seed)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(labels)))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    for label in set(labels):
        counts = [int((classes[part] == label).sum()) for part in parts]
        assert max(counts) - min(counts) <= 1


def test_a_seed_gives_the_same_folds_and_another_seed_others():
    labels = torch.arange(50) % 2
    first, again, other = (stratified_folds(labels, 10, seed) for seed in (3, 3, 4))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_every_graph_is_tested_and_validated_once(shapes_root):
    dataset = load_dataset("SHAPES", shapes_root)
    splits = [fold_split(dataset, 7, fold, seed=5) for fold in range(7)]
    for part in ("test", "val"):
        together = torch.cat([split[part] for split in splits])
        assert sorted(together.tolist()) == list(range(97))
    for number, split in enumerate(splits):
        assert torch.equal(split["val"], splits[(number + 1) % 7]["test"])
        assert sorted(torch.cat(list(split.values())).tolist()) == list(range(97))


def test_what_cannot_be_cut_into_folds(shapes_root):
    dataset = load_dataset("SHAPES", shapes_root)
    fixed = {"train": torch.arange(90), "val": torch.arange(90, 93), "test": torch.arange(93, 97)}
    for other in (
        dataclasses.replace(dataset, splits=fixed),
        dataclasses.replace(dataset, task="regression"),
        dataclasses.replace(dataset, level="node"),
    ):
        with pytest.raises(
            ConfigError, match="classification of graphs without a fixed split, which SHAPES is"
        ):
            fold_split(other, 10, 0, 0)
    with pytest.raises(ConfigError, match="2 folds leave none"):
        stratified_folds(torch.arange(5), 2, 0)
    with pytest.raises(ConfigError, match="5 graphs cannot be cut into 6 folds"):
        stratified_folds(torch.arange(5), 6, 0)

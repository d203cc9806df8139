import dataclasses
import itertools

import pytest
import torch

from gradformer_dgl.support.errors import ConfigError, DataError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.evaluate import evaluate_runs
from gradformer_dgl.training.runs import train_run
from gradformer_dgl.training.splits import first_fraction, fold_split, random_split, split_of
from gradformer_dgl.training.trained_run import open_run


@pytest.mark.parametrize(
    ("num_graphs", "sizes"), [(4110, (3288, 411, 411)), (188, (150, 18, 20)), (3, (1, 1, 1))]
)
def test_every_graph_is_in_one_part(num_graphs, sizes):
    parts = random_split(num_graphs, seed=3) if num_graphs > 3 else random_split(3, 3, 0.33, 0.33)
    assert tuple(len(parts[name]) for name in ("train", "val", "test")) == sizes
    assert sorted(torch.cat(list(parts.values())).tolist()) == list(range(num_graphs))


def test_the_seed_decides():
    one, again, other = random_split(97, 5), random_split(97, 5), random_split(97, 6)
    assert torch.equal(one["train"], again["train"])
    assert not torch.equal(one["train"], other["train"])


def test_global_random_state_is_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    random_split(97, 5)
    assert torch.rand(1) == expected


def test_too_few_graphs():
    with pytest.raises(DataError, match="2 graphs cannot be split"):
        random_split(2, 0)


@pytest.mark.parametrize(
    ("num_graphs", "sizes"),
    [
        (3, (1, 1, 1)),
        (4, (2, 1, 1)),
        (5, (3, 1, 1)),
        (6, (4, 1, 1)),
        (7, (5, 1, 1)),
        (8, (6, 1, 1)),
        (9, (7, 1, 1)),
    ],
)
def test_of_few_graphs_every_part_has_one(num_graphs, sizes):
    parts = random_split(num_graphs, seed=3)
    assert tuple(len(parts[name]) for name in ("train", "val", "test")) == sizes
    assert sorted(torch.cat(list(parts.values())).tolist()) == list(range(num_graphs))


@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.2, 0.2), (0.05, 0.3), (0.33, 0.33)])
def test_larger_sets_are_split_as_ever(shares):
    for num_graphs in (*range(10, 300), 1113, 4110, 41127):
        train = int(num_graphs * (1 - sum(shares)) + 1e-6)
        val = max(1, int(num_graphs * shares[0] + 1e-6))
        order = torch.randperm(num_graphs, generator=torch.Generator().manual_seed(7)).tolist()
        parts = {name: part.tolist() for name, part in random_split(num_graphs, 7, *shares).items()}
        assert parts == {
            "train": order[:train],
            "val": order[train : train + val],
            "test": order[train + val :],
        }


@pytest.mark.parametrize("shares", [(0.01, 0.01), (0.95, 0.04), (0.04, 0.95), (0.5, 0.499)])
def test_no_share_leaves_a_part_empty(shares):
    for num_graphs in range(3, 30):
        parts = random_split(num_graphs, 0, *shares)
        assert min(map(len, parts.values())) >= 1
        assert sorted(torch.cat(list(parts.values())).tolist()) == list(range(num_graphs))


def test_a_smaller_share_is_part_of_a_larger_one():
    train = random_split(4110, 3)["train"]
    shares = [first_fraction(train, share, 3) for share in (1e-6, 0.05, 0.1, 0.5, 1)]
    assert [len(part) for part in shares] == [1, 164, 328, 1644, 3288]
    for few, more in itertools.pairwise(shares[:-1]):
        assert torch.equal(few, more[: len(few)])
    assert set(shares[-2].tolist()) < set(train.tolist())
    assert len(set(shares[-2].tolist())) == 1644
    assert shares[-1] is train


def test_a_share_of_a_fixed_split_is_drawn_by_the_seed():
    train = torch.arange(1000)
    one, again, other = (first_fraction(train, 0.1, seed) for seed in (5, 5, 6))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    # From all over, as fixed splits are often sorted.
    assert 300 < one.float().mean() < 700


def split_with(dataset, seed=0, **settings):
    return {name: part.tolist() for name, part in split_of(dataset, RunConfig(**settings), seed).items()}


def test_the_splits_that_come_with_the_package(shapes):
    random = {name: part.tolist() for name, part in random_split(97, 5).items()}
    assert split_with(shapes, 5) == split_with(shapes, 5, split="random") == random
    with pytest.raises(ConfigError, match="SHAPES comes without a split: choose --split random"):
        split_of(shapes, RunConfig(split="given"), 0)
    own = {"train": torch.arange(77), "val": torch.arange(77, 86), "test": torch.arange(86, 97)}
    fixed = dataclasses.replace(shapes, splits=own)
    given = {name: part.tolist() for name, part in own.items()}
    assert split_with(fixed, 5) == split_with(fixed, 5, split="given") == given
    assert split_with(fixed, 5, split="random") == random


def test_seeds_are_folds(shapes):
    splits = [split_with(shapes, seed, split="folds") for seed in range(20)]
    for first in (0, 10):
        tested = [graph for split in splits[first : first + 10] for graph in split["test"]]
        assert sorted(tested) == list(range(97))
    assert splits[3] != splits[13]
    expected = fold_split(shapes, 10, fold=3, seed=1)
    assert splits[13] == {name: part.tolist() for name, part in expected.items()}


OWN = """
import torch

def by_size(dataset, seed):
    order = dataset.graphs.node_counts.argsort(stable=True)
    return {"train": order[:70], "val": order[70:80], "test": order[80:].tolist()}

def parts(**changed):
    return {"train": [0, 1, 2], "val": [3, 4], "test": [5]} | changed

def wild(dataset, seed):
    return dict(zip(("train", "val", "test"), torch.randperm(97).split([80, 8, 9])))

def a_list(dataset, seed): return [[0], [1], [2]]
def without_test(dataset, seed): return {"train": [0], "val": [1]}
def nothing(dataset, seed): return parts(val=[])
def beyond(dataset, seed): return parts(test=[97])
def negative(dataset, seed): return parts(test=[-1])
def overlapping(dataset, seed): return parts(test=[5, 1])
def repeated(dataset, seed): return parts(train=[0, 1, 1])
def fractions(dataset, seed): return parts(train=[0.5, 1.0])
def mask(dataset, seed): return parts(train=torch.ones(97, dtype=torch.bool))
"""


@pytest.fixture
def own(own_module):
    return own_module("own_splits", OWN)


def test_a_split_of_a_users_own(own, request_for, shapes, tmp_path):
    result = train_run(request_for(epochs=1, split=f"{own}:by_size", seeds=(0, 1)))
    split = open_run(tmp_path / "run", trust=True).split(0)
    counts = shapes.graphs.node_counts
    assert int(counts[split["train"]].max()) <= int(counts[split["test"]].min())
    assert evaluate_runs(open_run(tmp_path / "run", trust=True))["mean"] == result["mean"]


def test_a_split_of_a_users_own_on_the_command_line(own, command, shapes_root, shapes_cache, tmp_path):
    options = ["--data-root", shapes_root, "--cache-dir", shapes_cache.parent, "--epochs", 1]
    options += ["--feat-size", 16, "--num-layers", 1, "--encoding", "none", "--device", "cpu"]
    done = command("train", "SHAPES", *options, "--out", tmp_path / "run", "--split", f"{own}:by_size")
    assert done.status == 0, done.err
    assert len(open_run(tmp_path / "run", trust=True).split(0)["test"]) == 17


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a_list", "must return a dict of train, val, test"),
        ("without_test", "must return a dict of train, val, test"),
        ("nothing", "leaves nothing for val"),
        ("beyond", "has a number in test that is not one of 0 to 96"),
        ("negative", "has a number in test that is not one of 0 to 96"),
        ("overlapping", "has number 1 twice"),
        ("repeated", "has number 1 twice"),
        ("fractions", "must return whole numbers, but train is something else"),
        ("mask", "must return whole numbers, but train is something else"),
        ("wild", "differs when it is called again: draw by the seed alone"),
        ("missing", "has no 'missing'"),
    ],
)
def test_what_is_no_split(own, shapes, name, fault):
    with pytest.raises(ConfigError, match=fault):
        split_of(shapes, RunConfig(split=f"{own}:{name}"), 0)


def test_graphs_without_a_label_are_in_no_part(own, relabelled):
    labels = torch.arange(97.0)[:, None].masked_fill(torch.arange(97)[:, None] == 42, torch.nan)
    with pytest.raises(ConfigError, match="has number 42, which has no label"):
        split_of(relabelled(labels, "regression", "graph", 1), RunConfig(split=f"{own}:by_size"), 0)

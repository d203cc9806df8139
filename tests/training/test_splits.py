import itertools

import pytest
import torch

from gradformer_dgl.support.errors import DataError
from gradformer_dgl.training.splits import first_fraction, random_split


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

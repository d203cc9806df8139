import pytest
import torch

from gradformer_dgl.errors import DataError
from gradformer_dgl.training.splits import random_split


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

import pickle

import pytest
import torch
from batches import random_distances, random_graph

from gradformer_dgl import ExponentialDecay, GraphBatch, PairDistances
from gradformer_dgl.support.errors import GraphError


def test_pad_and_back():
    distances = random_distances([3, 0, 7, 1])
    padded = distances.pad(-1)
    assert padded.shape == (4, 7, 7)
    assert padded.dtype == torch.int64
    assert (padded[0, 3:] == -1).all()
    assert (padded[1] == -1).all()
    whole = distances[2].long()
    assert torch.equal(padded[2], whole.masked_fill(whole == 255, -1))
    back = PairDistances.from_padded(padded, distances.node_counts)
    assert torch.equal(back.values, distances.values)
    assert distances.pad(510, size=11).shape == (4, 11, 11)
    assert int(distances.pad(510).max()) == 510


def test_long_distances_take_uint16():
    padded = torch.full((1, 2, 2), 255)
    distances = PairDistances.from_padded(padded, torch.tensor([2]))
    assert distances.values.dtype == torch.uint16
    assert distances.longest == 255
    assert distances.num_distances == 256
    assert PairDistances.from_padded(padded - 1, torch.tensor([2])).values.dtype == torch.uint8


def test_offsets_and_longest():
    distances = random_distances([3, 0, 7])
    assert distances.offsets.tolist() == [0, 9, 9, 58]
    assert distances.longest == 11
    assert distances.num_distances == 255
    nothing = PairDistances(torch.full((4,), 255, dtype=torch.uint8), torch.tensor([2]))
    assert nothing.longest == -1
    with pytest.raises(IndexError, match="graph 3 of 3"):
        distances[3]


@pytest.mark.parametrize(("dtype", "unreachable"), [(torch.uint8, 255), (torch.uint16, 65535)])
def test_the_longest_distance_is_found_block_by_block(monkeypatch, dtype, unreachable):
    monkeypatch.setattr("gradformer_dgl.pairs.distances.BLOCK_PAIRS", 7)
    for place in (0, 6, 7, 24):
        values = torch.full((25,), unreachable, dtype=torch.int32)
        values[3] = 2
        values[place] = unreachable - 1
        assert PairDistances(values.to(dtype), torch.tensor([5])).longest == unreachable - 1
    assert PairDistances(torch.full((25,), unreachable).to(dtype), torch.tensor([5])).longest == -1


def test_pickle_leaves_the_plans_behind():
    distances = random_distances([3, 5])
    distances.plans["x"] = lambda: None
    again = pickle.loads(pickle.dumps(distances))
    assert torch.equal(again.values, distances.values)
    assert not again.plans


@pytest.mark.parametrize(
    ("values", "counts", "message"),
    [
        (torch.zeros(4), [2], "must be uint8 or uint16, but are torch.float32"),
        (torch.zeros(2, 2, dtype=torch.uint8), [2], r"shape \(pairs,\), but have \(2, 2\)"),
        (torch.zeros(4, dtype=torch.uint8), [[2]], r"shape \(graphs,\), but has \(1, 1\)"),
        (torch.zeros(4, dtype=torch.uint8), [2.0], "must be integers"),
        (torch.zeros(4, dtype=torch.uint8), [-2], "must not be negative, but holds -2"),
        (torch.zeros(5, dtype=torch.uint8), [2, 2], "2 graphs .* have 8 pairs of nodes, but 5 distances"),
    ],
)
def test_errors(values, counts, message):
    with pytest.raises(GraphError, match=message):
        PairDistances(values, torch.tensor(counts))


def test_a_bound_below_a_distance_is_refused():
    with pytest.raises(GraphError, match="longest is given as 3, but a distance is 11"):
        PairDistances(random_distances([7]).values, torch.tensor([7]), longest=3)


@pytest.mark.parametrize(
    ("padded", "counts", "message"),
    [
        (torch.zeros(1, 2, 2), [2], "must be integers, but are torch.float32"),
        (
            torch.zeros(2, 2, 2).long(),
            [2],
            r"of 1 graphs must have the shape \(1, N, N\), but have \(2, 2, 2\)",
        ),
        (torch.zeros(1, 2, 3).long(), [2], r"but have \(1, 2, 3\)"),
        (torch.zeros(1, 2, 2).long(), [3], r"largest graph has 3 nodes, .* \(1, 2, 2\)"),
        (torch.full((1, 2, 2), -2), [2], "or -1 if unreachable, but one is -2"),
        (torch.full((1, 2, 2), 65535), [2], "between 0 and 65534.* one is 65535"),
    ],
)
def test_errors_of_padded_distances(padded, counts, message):
    with pytest.raises(GraphError, match=message):
        PairDistances.from_padded(padded, torch.tensor(counts))


def test_padding_too_small():
    with pytest.raises(GraphError, match="cannot pad to 2 nodes: the largest graph has 3"):
        random_distances([3]).pad(size=2)


def test_batch_moves_every_part():
    sizes = [3, 5]
    graph = random_graph(sizes)
    batch = GraphBatch(
        graph,
        random_distances(sizes),
        torch.rand(8, 2),
        encodings={"rwse:2": torch.rand(8, 2)},
        labels=torch.ones(2),
    )
    moved = batch.to("cpu")
    assert moved.num_graphs == 2
    assert moved.edge_features is None
    assert torch.equal(moved.encodings["rwse:2"], batch.encodings["rwse:2"])
    assert moved.distances.sizes == sizes
    assert GraphBatch(graph).node_counts.tolist() == sizes


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_a_matrix_of_a_cache_may_stand_for_a_padded_one(dtype):
    most = torch.iinfo(dtype).max
    matrix = torch.tensor([[0, 3, most], [3, 0, most], [most, most, 0]], dtype=torch.int32).to(dtype)
    distances = PairDistances.from_padded(matrix[None], torch.tensor([3]))
    assert distances.pad(-1)[0].tolist() == [[0, 3, -1], [3, 0, -1], [-1, -1, 0]]
    decay = ExponentialDecay(2, gamma=0.9)
    assert torch.equal(decay(matrix[None]), decay(distances.pad(-1)))


def test_distances_that_share_values_are_told_apart():
    values = torch.arange(25, dtype=torch.uint8)
    one, other = (PairDistances(values, torch.tensor(counts)) for counts in ([3, 4], [4, 3]))
    assert PairDistances.of(values, other.node_counts) is other
    assert PairDistances.of(values, one.node_counts).sizes == [3, 4]

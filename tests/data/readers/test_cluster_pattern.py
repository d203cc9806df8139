import numpy as np
import pytest
import torch

from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.readers.cluster_pattern import read_cluster, read_pattern


def parts(dataset):
    """Return (adjacency, features, labels) of every graph."""
    found = []
    for number in range(len(dataset)):
        batch = dataset.graphs.batch([number])
        adjacency = np.zeros((batch.graph.num_nodes(),) * 2, int)
        src, dst = batch.graph.edges()
        np.add.at(adjacency, (src.numpy(), dst.numpy()), 1)
        found.append((adjacency, batch.node_features.numpy(), batch.labels.numpy()))
    return found


@pytest.fixture(scope="module")
def cluster():
    return read_cluster(graphs=(80, 10, 10), seed=3)


@pytest.fixture(scope="module")
def pattern():
    return read_pattern(graphs=(200, 100, 100), seed=3)


def test_edges_go_both_ways_and_never_to_themselves(cluster, pattern):
    for adjacency, _, _ in parts(cluster) + parts(pattern):
        assert np.array_equal(adjacency, adjacency.T)
        assert adjacency.max() == 1
        assert not adjacency.diagonal().any()


def test_a_cluster_has_six_communities_with_one_marked_node_each(cluster):
    for _, features, labels in parts(cluster):
        counts = np.bincount(labels)
        assert len(counts) == 6
        assert counts.min() >= 5
        assert counts.max() <= 34
        marked = np.flatnonzero(features)
        assert sorted(features[marked]) == [1, 2, 3, 4, 5, 6]
        np.testing.assert_array_equal(features[marked] - 1, labels[marked])


def test_chances_of_edges_in_a_cluster(cluster):
    within = across = within_pairs = across_pairs = 0
    for adjacency, _, labels in parts(cluster):
        same = labels[:, None] == labels
        within, across = within + adjacency[same].sum(), across + adjacency[~same].sum()
        within_pairs, across_pairs = within_pairs + same.sum() - len(labels), across_pairs + (~same).sum()
    assert within / within_pairs == pytest.approx(0.55, abs=0.01)
    assert across / across_pairs == pytest.approx(0.25, abs=0.005)


def test_chances_of_edges_around_a_pattern(pattern):
    joined = pairs = base = base_pairs = 0
    for adjacency, _, labels in parts(pattern):
        inside = labels == 1
        joined, pairs = joined + adjacency[inside][:, ~inside].sum(), pairs + inside.sum() * (~inside).sum()
        base += adjacency[~inside][:, ~inside].sum()
        base_pairs += (~inside).sum() * ((~inside).sum() - 1)
    assert joined / pairs == pytest.approx(0.5, abs=0.01)
    # Five communities of like sizes: somewhat more than a fifth of the pairs lie within one.
    assert 0.35 + 0.2 * 0.15 < base / base_pairs < 0.35 + 0.35 * 0.15


def test_a_pattern_is_the_same_wherever_it_is(pattern):
    found = parts(pattern)
    for number in (0, 17, 99):
        # Graphs 100 apart have one pattern, in every part of the data.
        seen = set()
        for adjacency, features, labels in found[number::100]:
            inside = np.flatnonzero(labels == 1)
            degrees = adjacency[np.ix_(inside, inside)].sum(1)
            seen.add(tuple(sorted(zip(degrees.tolist(), features[inside].tolist(), strict=True))))
        assert len(seen) == 1
    sizes = [int((labels == 1).sum()) for _, _, labels in found[:100]]
    assert min(sizes) >= 5
    assert max(sizes) <= 34
    assert len(set(sizes)) > 15


@pytest.mark.parametrize("read", [read_cluster, read_pattern])
def test_the_seed_says_which_graphs(read):
    one, again, other = (read(graphs=(4, 1, 1), seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one.graphs.src, again.graphs.src)
    assert torch.equal(one.graphs.node_features, again.graphs.node_features)
    assert not torch.equal(one.graphs.node_counts, other.graphs.node_counts)
    assert [len(part) for part in one.splits.values()] == [4, 1, 1]


def test_nodes_are_in_no_order(cluster):
    for _, _, labels in parts(cluster):
        assert (np.diff(labels) != 0).mean() > 0.5


def test_by_name():
    dataset = load_dataset("cluster", graphs=(3, 1, 1))
    assert (dataset.name, dataset.task, dataset.level, len(dataset)) == ("CLUSTER", "multiclass", "node", 5)

import pickle
from functools import partial

import dgl
import networkx as nx
import numpy as np
import pytest
import torch
from dgl.dataloading import GraphDataLoader
from torch.utils.data import DataLoader

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data import CachedGraphDataset, PackedGraphs, collate
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.support.errors import CacheError, GraphError

SIZES = (5, 2, 1, 11, 3)


def items() -> list[tuple[dgl.DGLGraph, torch.Tensor]]:
    built = []
    for size in SIZES:
        graph = dgl.from_networkx(nx.path_graph(size))
        graph.ndata["feat"] = torch.arange(size * 2.0).view(size, 2)
        graph.edata["kind"] = torch.arange(graph.num_edges())
        built.append((graph, torch.tensor(size)))
    return built


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> DistanceCache:
    path = tmp_path_factory.mktemp("cached") / "paths.h5"
    return preprocess_graphs(items(), path, n_jobs=1, encodings=("rwse:3",))


def test_items_are_those_of_data_set_and_cache(cache: DistanceCache) -> None:
    dataset = CachedGraphDataset(items(), cache)
    assert len(dataset) == 5
    graph, distances, encodings, label = dataset[3]
    positions = np.arange(11)
    assert graph.num_nodes() == 11
    assert distances.tolist() == np.abs(positions[:, None] - positions).tolist()
    assert encodings["rwse:3"].shape == (11, 3)
    assert label.item() == 11
    assert dataset[-1][1].shape == (3, 3)
    with pytest.raises(IndexError, match="graph 5 of 5"):
        dataset[5]


def test_a_collated_batch_equals_a_packed_one(cache: DistanceCache) -> None:
    dataset = CachedGraphDataset(items(), cache)
    order = [3, 0, 2]
    one = partial(collate, edge_features="kind")([dataset[number] for number in order])
    packed = PackedGraphs.from_graphs(items(), edge_features="kind").with_cache(cache)
    other = packed.batch(order)
    for name in ("node_features", "edge_features", "labels", "node_counts"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    assert torch.equal(one.distances.values, other.distances.values)
    assert torch.equal(one.encodings["rwse:3"], other.encodings["rwse:3"])
    assert torch.equal(torch.stack(one.graph.edges()), torch.stack(other.graph.edges()))
    assert torch.equal(one.graph.batch_num_edges(), other.graph.batch_num_edges())


# On a machine of one core torch finds two workers too many.
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(("context", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers_give_the_same_batches(cache: DistanceCache, context: str, workers: int) -> None:
    dataset = CachedGraphDataset(items(), cache)
    # Opened before the workers start: they must not share the handle.
    alone = list(DataLoader(dataset, batch_size=2, collate_fn=collate))
    loader = DataLoader(
        dataset, batch_size=2, collate_fn=collate, num_workers=workers, multiprocessing_context=context
    )
    together = list(loader)
    assert len(together) == len(alone) == 3
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.distances.values, other.distances.values)
        assert torch.equal(one.node_features, other.node_features)
        assert torch.equal(one.graph.batch_num_nodes(), other.graph.batch_num_nodes())


def test_the_loader_of_dgl_takes_it(cache: DistanceCache) -> None:
    loader = GraphDataLoader(CachedGraphDataset(items(), cache), batch_size=2, collate_fn=collate)
    batches = list(loader)
    assert [batch.num_graphs for batch in batches] == [2, 2, 1]
    assert torch.cat([batch.labels for batch in batches]).tolist() == list(SIZES)


def test_it_can_be_pickled(cache: DistanceCache) -> None:
    dataset = CachedGraphDataset(items(), cache)
    dataset[0]
    copy, function = pickle.loads(pickle.dumps((dataset, partial(collate, node_features=None))))
    assert torch.equal(copy[3][1], dataset[3][1])
    assert function([copy[0]]).node_features is None


def test_graphs_without_labels(cache: DistanceCache) -> None:
    graphs = [graph for graph, _ in items()]
    dataset = CachedGraphDataset(graphs, cache)
    assert collate([dataset[0], dataset[1]]).labels is None
    for graph in graphs:
        graph.ndata["label"] = torch.arange(graph.num_nodes())
    batch = collate([CachedGraphDataset(graphs, cache)[number] for number in (1, 4)])
    assert batch.labels.tolist() == [0, 1, 0, 1, 2]


def test_wide_distances_are_collated() -> None:
    graph = dgl.graph(([0], [1]))
    distances = torch.tensor([[0, 300], [300, 0]], dtype=torch.int32).to(torch.uint16)
    batch = collate([(graph, distances, {}, 0)] * 2)
    assert batch.distances.values.dtype == torch.uint16
    assert batch.distances.values.to(torch.int32).tolist() == [0, 300, 300, 0] * 2


def test_wide_and_narrow_distances_are_collated_in_any_order() -> None:
    graph = dgl.graph(([0], [1]))
    narrow = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8)
    wide = torch.tensor([[0, 300], [65535, 0]], dtype=torch.int32).to(torch.uint16)
    for order in ((narrow, wide), (wide, narrow)):
        found = collate([(graph, distances, {}, 0) for distances in order]).distances.pad(-1).tolist()
        expected = {narrow: [[0, -1], [-1, 0]], wide: [[0, 300], [-1, 0]]}
        assert found == [expected[distances] for distances in order]


def test_graphs_with_other_encodings_are_refused() -> None:
    graph, distances = dgl.graph(([0], [1])), torch.zeros(2, 2, dtype=torch.uint8)
    for other in ({}, {"rwse:3": torch.zeros(2, 4)}, {"lappe:3": torch.zeros(2, 3)}):
        items = [(graph, distances, encodings, 0) for encodings in ({"rwse:3": torch.zeros(2, 3)}, other)]
        with pytest.raises(GraphError, match="must have the same encodings, but have "):
            collate(items)


def test_a_cache_of_another_length_is_refused(cache: DistanceCache) -> None:
    with pytest.raises(CacheError, match="is of 5 graphs, but the data set has 4; preprocess this data set"):
        CachedGraphDataset(items()[:4], cache)


def test_a_cache_of_other_graphs_is_refused_unless_told_not_to_look(cache: DistanceCache) -> None:
    other = items()
    other[2], other[4] = other[4], other[2]
    with pytest.raises(CacheError, match="graph 2"):
        CachedGraphDataset(other, cache)
    assert len(CachedGraphDataset(other, cache, verify=False)) == 5


def test_items_that_do_not_fit_are_refused(cache: DistanceCache) -> None:
    dataset = CachedGraphDataset(items(), cache)
    with pytest.raises(GraphError, match="the list is empty"):
        collate([])
    graph, distances, encodings, _ = dataset[0]
    with pytest.raises(GraphError, match="1 of 2 graphs have no label"):
        collate([(graph, distances, encodings, None), dataset[1]])
    bare = dgl.graph(([0], [1]))
    with pytest.raises(GraphError, match="cannot be one batch"):
        collate([dataset[0], (bare, torch.zeros(2, 2, dtype=torch.uint8), encodings, 1)])

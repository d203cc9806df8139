import random
from pathlib import Path

import dgl
import networkx as nx
import numpy as np
import pytest
import torch

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data import PackedGraphs, load_dataset
from gradformer_dgl.graphs.structures import as_structures
from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.support.errors import CacheError, DataError, GraphError

SIZES = (5, 0, 1, 11, 3, 2, 7)


def random_graphs(seed: int = 3) -> list[dgl.DGLGraph]:
    random.seed(seed)
    graphs = []
    for size in SIZES:
        graph = nx.gnp_random_graph(size, 0.4, seed=seed)
        both = [*graph.edges, *((v, u) for u, v in graph.edges)]
        random.shuffle(both)
        src, dst = np.array(both, dtype=np.int64).reshape(-1, 2).T
        built = dgl.graph((src, dst), num_nodes=size)
        built.ndata["feat"] = torch.randn(size, 3)
        built.edata["feat"] = torch.randint(0, 5, (len(src),))
        graphs.append(built)
    return graphs


def labels() -> torch.Tensor:
    return torch.arange(len(SIZES)) * 10


ORDERS = [[3], [1], [2, 1, 2], [6, 5, 4, 3, 2, 1, 0], [-1, 0], [], list(range(len(SIZES)))]


@pytest.mark.parametrize("order", ORDERS)
def test_a_batch_equals_the_one_dgl_makes(order: list[int]) -> None:
    graphs = random_graphs()
    batch = PackedGraphs.from_graphs(graphs, labels()).batch(order)
    if not order:
        assert batch.num_graphs == batch.graph.num_nodes() == batch.graph.num_edges() == 0
        return
    expected = dgl.batch([graphs[number] for number in order])
    assert batch.graph.batch_size == len(order)
    assert torch.equal(batch.graph.batch_num_nodes(), expected.batch_num_nodes())
    assert torch.equal(batch.graph.batch_num_edges(), expected.batch_num_edges())
    for given, wanted in zip(batch.graph.edges(order="eid"), expected.edges(order="eid"), strict=True):
        assert torch.equal(given, wanted)
    assert torch.equal(batch.node_features, expected.ndata["feat"])
    assert torch.equal(batch.edge_features, expected.edata["feat"])
    assert torch.equal(batch.labels, labels()[order])
    assert batch.distances is None
    assert batch.encodings == {}


def test_a_slice_is_the_same_as_its_numbers() -> None:
    packed = PackedGraphs.from_graphs(random_graphs(), labels())
    one, other = packed.batch(slice(1, 6, 2)), packed.batch(torch.tensor([1, 3, 5]))
    assert torch.equal(one.node_features, other.node_features)
    assert one.labels.tolist() == [10, 30, 50]


@pytest.mark.parametrize(("numbers", "wrong"), [([0, 7], 7), ([-8], -8)])
def test_a_graph_that_does_not_exist_is_an_index_error(numbers: list[int], wrong: int) -> None:
    with pytest.raises(IndexError, match=f"graph {wrong} of 7"):
        PackedGraphs.from_graphs(random_graphs()).batch(numbers)


@pytest.mark.parametrize(
    "indices",
    [torch.ones(7, dtype=torch.bool), torch.tensor([0.0, 1.0]), torch.tensor([[0, 1]]), torch.tensor(3)],
)
def test_indices_that_are_no_graph_numbers_are_refused(indices: torch.Tensor) -> None:
    with pytest.raises(GraphError, match=r"indices must be graph numbers of shape \(graphs,\), but are"):
        PackedGraphs.from_graphs(random_graphs()).batch(indices)


def test_distances_and_encodings_of_the_cache_come_with_the_batch(tmp_path: Path) -> None:
    graphs = random_graphs()
    packed = PackedGraphs.from_graphs(graphs, labels())
    cache = preprocess_graphs(packed, tmp_path / "cache.h5", n_jobs=1, encodings=("rwse:4",))
    attached = packed.with_cache(cache)
    order = [3, 1, 6, 3]
    batch = attached.batch(order)
    assert packed.distances is None
    for place, number in enumerate(order):
        lengths = dict(nx.all_pairs_shortest_path_length(nx.Graph(dgl.to_networkx(graphs[number]))))
        size = SIZES[number]
        expected = [[lengths[i].get(j, 255) for j in range(size)] for i in range(size)]
        assert batch.distances[place].tolist() == expected
    wanted = np.concatenate([cache.encoding("rwse:4", number) for number in order])
    assert np.array_equal(batch.encodings["rwse:4"].numpy(), wanted)


@pytest.mark.parametrize(("unit", "dtype"), [(0.25, torch.uint8), (0.01, torch.uint16)])
def test_other_distances_come_in_steps_of_a_unit(tmp_path: Path, unit: float, dtype: torch.dtype) -> None:
    graphs = [dgl.from_networkx(nx.cycle_graph(6)), dgl.from_networkx(nx.empty_graph(2))]
    graphs.append(dgl.from_networkx(nx.path_graph(5)))
    packed = PackedGraphs.from_graphs(graphs)
    cache = preprocess_graphs(packed, tmp_path / "cache.h5", n_jobs=1, extra_distances=("resistance",))
    attached = packed.with_cache(cache, distance="resistance", unit=unit)
    assert attached.distances is not None
    assert attached.distances.values.dtype == dtype
    unreachable = 255 if dtype == torch.uint8 else 65535
    assert attached.distances[1].tolist() == [[0, unreachable], [unreachable, 0]]
    for number, graph in ((0, nx.cycle_graph(6)), (2, nx.path_graph(5))):
        expected = [
            [round(nx.resistance_distance(graph, i, j) / unit) if i != j else 0 for j in graph] for i in graph
        ]
        assert attached.distances[number].tolist() == expected
    with pytest.raises(GraphError, match="a distance is 400000 steps of 1e-05: take a larger unit"):
        packed.with_cache(cache, distance="resistance", unit=1e-5)
    with pytest.raises(CacheError, match="has no distances commute"):
        packed.with_cache(cache, distance="commute")


def test_wide_distances_are_cut_too() -> None:
    packed = PackedGraphs.from_graphs(random_graphs())
    pairs = sum(size * size for size in SIZES)
    values = torch.arange(pairs, dtype=torch.int32).add(60000).to(torch.uint16)
    packed.distances = PairDistances(values, packed.node_counts)
    batch = packed.batch([4, 0])
    start = sum(size * size for size in SIZES[:4])
    expected = [*range(60000 + start, 60000 + start + 9), *range(60000, 60025)]
    assert batch.distances.values.to(torch.int32).tolist() == expected


def test_the_cache_of_other_graphs_is_refused(tmp_path: Path) -> None:
    graphs = random_graphs()
    cache = preprocess_graphs(PackedGraphs.from_graphs(graphs), tmp_path / "cache.h5", n_jobs=1)
    graphs[3] = dgl.graph(([0, 1], [1, 2]), num_nodes=SIZES[3])
    other = PackedGraphs.from_graphs(graphs, node_features=None, edge_features=None)
    with pytest.raises(CacheError, match="graph 3") as caught:
        other.with_cache(DistanceCache(cache.path))
    assert "\n" not in str(caught.value)
    with pytest.raises(CacheError):
        PackedGraphs.from_graphs(random_graphs()[:5]).with_cache(cache)


def test_one_zero_columns_become_floats_in_a_batch() -> None:
    packed = PackedGraphs.from_graphs(random_graphs(), node_features=None, edge_features=None)
    packed.node_features = torch.rand(packed.num_nodes, 13) > 0.5
    batch = packed.batch([3, 2])
    assert batch.node_features.dtype == torch.float32
    assert torch.equal(batch.node_features, packed.node_features[[*range(6, 17), 5]].float())
    assert batch.edge_features is None


def test_node_labels_are_cut_like_nodes() -> None:
    graphs = random_graphs()
    for graph in graphs:
        graph.ndata["label"] = torch.randint(0, 3, (graph.num_nodes(),))
    packed = PackedGraphs.from_graphs(graphs)
    assert packed.label_level == "node"
    expected = torch.cat([graphs[3].ndata["label"], graphs[0].ndata["label"]])
    assert torch.equal(packed.batch([3, 0]).labels, expected)


def test_a_dgl_data_set_of_graphs_and_labels_is_packed() -> None:
    packed = PackedGraphs.from_graphs(list(zip(random_graphs(), range(len(SIZES)), strict=True)))
    assert packed.labels.tolist() == list(range(len(SIZES)))
    assert packed.label_level == "graph"


def test_structures_hold_the_same_edges() -> None:
    graphs = random_graphs()
    structures = PackedGraphs.from_graphs(graphs).structures()
    src = torch.cat([graph.edges()[0] for graph in graphs])
    assert structures.node_counts.tolist() == list(SIZES)
    assert structures.src.tolist() == src.tolist()


def test_moving_keeps_everything() -> None:
    packed = PackedGraphs.from_graphs(random_graphs(), labels())
    moved = packed.to("cpu")
    assert torch.equal(moved.batch([3]).node_features, packed.batch([3]).node_features)
    assert len(moved) == len(packed)


def test_nan_in_a_feature_names_the_graph() -> None:
    graphs = random_graphs()
    graphs[3].ndata["feat"][4, 1] = float("nan")
    with pytest.raises(DataError, match="a feature of node 4 of graph 3 is NaN or infinite"):
        PackedGraphs.from_graphs(graphs)
    graphs = random_graphs()
    for graph in graphs:
        graph.edata["feat"] = torch.rand(graph.num_edges())
    graphs[6].edata["feat"][2] = float("inf")
    with pytest.raises(DataError, match="a feature of edge 2 of graph 6 is NaN or infinite"):
        PackedGraphs.from_graphs(graphs)


def test_a_part_has_the_features_of_its_graphs_alone() -> None:
    packed = PackedGraphs.from_graphs(random_graphs(), labels())
    part = packed.part(3, 5)
    expected = packed.batch(slice(3, 5))
    assert (part.node_counts.tolist(), part.labels) == ([11, 3], None)
    assert torch.equal(part.batch([0, 1]).graph.edges()[1], expected.graph.edges()[1])
    assert torch.equal(part.node_features, expected.node_features)
    assert torch.equal(part.edge_features, expected.edge_features)


def two_graphs() -> dict[str, torch.Tensor]:
    return {
        "node_counts": torch.tensor([2, 3]),
        "edge_counts": torch.tensor([1, 2]),
        "src": torch.tensor([0, 0, 2], dtype=torch.int32),
        "dst": torch.tensor([1, 1, 1], dtype=torch.int32),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"src": torch.tensor([0, 0, 3], dtype=torch.int32)}, "edge 1 of graph 1"),
        ({"edge_counts": torch.tensor([1, 1])}, "add up to 2"),
        (
            {"node_features": torch.zeros(7, 2)},
            "node_features must have 5 rows, one for each, but has 7 rows",
        ),
        ({"edge_features": torch.zeros(5)}, "edge_features must have 3 rows"),
        ({"labels": torch.zeros(5)}, "labels must have 2 rows"),
        ({"encodings": {"rwse:2": torch.zeros(2, 2)}}, "the encoding rwse:2 must have 5 rows"),
        (
            {"distances": PairDistances(torch.zeros(4, dtype=torch.uint8), torch.tensor([2]))},
            "the distances are of graphs with other node counts",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    PackedGraphs(**two_graphs())
    with pytest.raises(GraphError, match=message):
        PackedGraphs(**{**two_graphs(), **change})


def test_graphs_without_edges_out_of_arrays() -> None:
    none = torch.from_numpy(np.empty((0, 2), np.int32)[:, 0])
    features = torch.from_numpy(np.empty((0, 3), np.int64))
    counts = torch.tensor([2, 1])
    packed = PackedGraphs(counts, torch.zeros_like(counts), none, none, edge_features=features)
    assert packed.src.view(torch.uint8).shape == (0,)
    assert packed.batch([1, 0]).edge_features.shape == (0, 3)


def test_graphs_in_a_dict_have_no_order() -> None:
    graphs = {"a": dgl.graph(([0], [1])), "b": dgl.graph(([0, 1], [1, 2]))}
    with pytest.raises(GraphError, match=r"expected graphs .* got dict: give its values\(\)"):
        as_structures(graphs)
    assert as_structures(graphs.values()).node_counts.tolist() == [2, 3]


def test_graphs_that_cannot_be_packed_are_refused() -> None:
    with pytest.raises(GraphError, match="the list is empty"):
        PackedGraphs.from_graphs([])
    with pytest.raises(GraphError, match="item 0 is a Graph, not a DGLGraph"):
        PackedGraphs.from_graphs([nx.path_graph(3)])
    graphs = random_graphs()
    bare = dgl.graph(([0], [1]))
    with pytest.raises(GraphError, match="cannot be one data set"):
        PackedGraphs.from_graphs([graphs[0], bare])
    with pytest.raises(GraphError, match="cannot be one data set"):
        PackedGraphs.from_graphs([graphs[0], graphs[3].int()], node_features=None, edge_features=None)
    assert len(PackedGraphs.from_graphs([graphs[0], bare], node_features=None, edge_features=None)) == 2
    with pytest.raises(GraphError, match="1 of 2 graphs have a label"):
        PackedGraphs.from_graphs([(graphs[0], 1), graphs[3]])
    with pytest.raises(GraphError, match="have no ndata\\['x'\\]"):
        PackedGraphs.from_graphs(graphs, node_features="x")


def test_real_batches_equal_those_of_dgl(data_root: Path) -> None:
    graphs = load_dataset("MUTAG", data_root).graphs
    ends = graphs.edge_counts.cumsum(0)
    parts = [
        dgl.graph(
            (graphs.src[end - count : end].long(), graphs.dst[end - count : end].long()), num_nodes=nodes
        )
        for nodes, count, end in zip(
            graphs.node_counts.tolist(), graphs.edge_counts.tolist(), ends.tolist(), strict=True
        )
    ]
    order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(0))[:127]
    batch, expected = graphs.batch(order), dgl.batch([parts[number] for number in order.tolist()])
    assert torch.equal(torch.stack(batch.graph.edges()), torch.stack(expected.edges()))
    assert torch.equal(batch.graph.batch_num_nodes(), expected.batch_num_nodes())


def test_narrow_features_become_what_encoders_take() -> None:
    packed = PackedGraphs.from_graphs([dgl.graph(([0], [1])), dgl.graph(([0], [1]))])
    for stored, expected in ((torch.uint8, torch.int64), (torch.bool, torch.float32), (torch.int64,) * 2):
        packed.node_features = torch.tensor([[0, 1], [1, 1], [1, 0], [0, 0]]).to(stored)
        taken = packed.batch([1]).node_features
        assert (taken.dtype, taken.tolist()) == (expected, [[1, 0], [0, 0]])

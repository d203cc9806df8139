import networkx as nx
import numpy as np
import pytest
from scipy import sparse

from gradformer_dgl.graphs.structures import as_structures
from gradformer_dgl.preprocess import GraphStructures
from gradformer_dgl.support.errors import GraphError


def dgl_graphs(count, seed=0):
    import dgl

    rng = np.random.default_rng(seed)
    for _ in range(count):
        num_nodes = int(rng.integers(0, 11))
        src, dst = rng.integers(0, max(num_nodes, 1), (2, 2 * num_nodes))
        yield dgl.graph((src, dst), num_nodes=num_nodes), (src, dst, num_nodes)


def assert_same(left, right):
    for name in ("node_counts", "edge_counts", "src", "dst"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_dgl_graphs_joined_equal_edge_lists(monkeypatch):
    monkeypatch.setattr("gradformer_dgl.graphs.structures.BATCH_SIZE", 7)
    pairs = list(dgl_graphs(23))
    expected = GraphStructures.from_graphs([triple for _, triple in pairs])
    assert_same(GraphStructures.from_graphs([graph for graph, _ in pairs]), expected)
    assert_same(GraphStructures.from_graphs([(graph, 1) for graph, _ in pairs]), expected)
    assert_same(GraphStructures.from_graphs(graph for graph, _ in pairs), expected)


def test_dgl_graphs_of_mixed_id_types_and_formats():
    pairs = list(dgl_graphs(5, seed=1))
    graphs = [graph.int() if index % 2 else graph.formats("csr") for index, (graph, _) in enumerate(pairs)]
    found = GraphStructures.from_graphs(graphs)
    expected = GraphStructures.from_graphs([triple for _, triple in pairs])
    assert found.edge_counts.tolist() == expected.edge_counts.tolist()
    assert sorted(zip(found.src, found.dst, strict=True)) == sorted(
        zip(expected.src, expected.dst, strict=True)
    )


def test_without_the_private_functions_of_dgl(monkeypatch):
    import dgl.heterograph_index

    pairs = list(dgl_graphs(5, seed=2))
    monkeypatch.delattr(dgl.heterograph_index, "disjoint_union")
    assert_same(
        GraphStructures.from_graphs([graph for graph, _ in pairs]),
        GraphStructures.from_graphs([triple for _, triple in pairs]),
    )


def test_heterograph_is_refused_with_the_way_out():
    import dgl

    graph = dgl.heterograph({("a", "to", "b"): ([0], [0]), ("b", "back", "a"): ([0], [0])})
    with pytest.raises(
        GraphError, match=r"graph 0 has 2 node types and 2 edge types: convert it with dgl\.to_homogeneous"
    ):
        GraphStructures.from_graphs([graph])


def test_a_single_dgl_graph_is_no_list_of_graphs():
    graph, _ = next(dgl_graphs(1))
    with pytest.raises(GraphError, match=r"got a single one: give \[graph\]"):
        GraphStructures.from_graphs(graph)


def test_mixed_kinds_and_slices():
    graphs = [nx.path_graph(3), sparse.eye_array(2).tocsr(), ([0], [4], 5)]
    structures = GraphStructures.from_graphs(graphs)
    assert structures.node_counts.tolist() == [3, 2, 5]
    assert structures.num_pairs == 38
    last = structures.slice(2, 3)
    assert (last.src.tolist(), last.dst.tolist(), len(last)) == ([0], [4], 1)
    assert_same(GraphStructures.concatenate([structures.slice(0, 1), structures.slice(1, 3)]), structures)


def test_as_structures_asks_packed_data_sets():
    class Packed:
        def structures(self):
            return GraphStructures([1], [0], [], [])

    assert len(as_structures(Packed())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([2], [1, 0], [0], [1]), "1 node counts but 2 edge counts"),
        (([2], [2], [0], [1]), "the edge counts add up to 2, but src has 1 and dst 1 entries"),
        (([-1], [0], [], []), "node_counts of graph 0 is -1"),
        (([2], [1], [0.5], [1]), "src must hold integers, got float64"),
        (([2], [1], [[0]], [1]), r"src must have one dimension, got shape \(1, 1\)"),
        (
            ([2, 2], [1, 2], [0, 1, 2], [1, 0, 0]),
            "edge 1 of graph 1 goes from node 2 to node 0, but the graph has 2 nodes",
        ),
        (([2], [1], [0], [-1]), "edge 0 of graph 0 goes from node 0 to node -1"),
    ],
)
def test_bad_arrays(arguments, message):
    with pytest.raises(GraphError, match=message):
        GraphStructures(*arguments)


@pytest.mark.parametrize(
    ("graphs", "message"),
    [
        ([object()], "item 0 is no graph: expected a DGLGraph, .* got object"),
        ([([], [], 1), 3], "item 1 is no graph"),
        (
            [sparse.csr_array(np.ones((2, 3)))],
            r"graph 0 is a matrix of shape \(2, 3\): an adjacency matrix is square",
        ),
        ([([0], [0, 1], 2)], "graph 0 has 1 sources but 2 destinations"),
        ([([], [], -1)], "graph 0 has -1 nodes"),
        ([([0.5], [1.0], 2)], "graph 0 has node ids of type float64"),
        (7, "expected graphs .* got int"),
        (nx.path_graph(3), r"expected graphs .* got a single one: give \[graph\]"),
        (sparse.eye_array(2).tocsr(), "got a single one"),
        (([0], [1], 2), "got a single one"),
    ],
)
def test_bad_graphs(graphs, message):
    with pytest.raises(GraphError, match=message):
        GraphStructures.from_graphs(graphs)

import networkx as nx
import numpy as np
import pytest
from scipy import sparse

from gradformer_dgl.graphs import simple_graphs as simple_graphs_module
from gradformer_dgl.graphs.fingerprints import weight_fingerprints
from gradformer_dgl.preprocess import GraphStructures
from gradformer_dgl.preprocess import weighted as weighted_module
from gradformer_dgl.preprocess.extra_distances import EXTRA_DISTANCES, extra_distances
from gradformer_dgl.support.errors import ConfigError, GraphError


def random_structures(seed, sizes, densities=(0, 0.7, 1, 3)):
    """With self loops, parallel edges, and a fifth of the weights 0."""
    rng = np.random.default_rng(seed)
    graphs = []
    for num_nodes in sizes:
        src, dst = rng.integers(0, max(num_nodes, 1), (2, int(rng.choice(densities) * num_nodes)))
        weights = rng.integers(0, 5, len(src)) * rng.choice([0.25, 0.1])
        graphs.append((src, dst, num_nodes, weights))
    return GraphStructures.from_graphs(graphs, edge_weight="weight")


def networkx_graphs(structures, directed):
    for index in range(len(structures)):
        part = structures.slice(index, index + 1)
        graph = nx.empty_graph(int(part.node_counts[0]), nx.DiGraph if directed else nx.Graph)
        for u, v, weight in zip(part.src.tolist(), part.dst.tolist(), part.weights.tolist(), strict=True):
            if u != v and weight <= graph.get_edge_data(u, v, {"weight": np.inf})["weight"]:
                graph.add_edge(u, v, weight=weight)
        yield graph


def lengths_by_networkx(structures, directed):
    parts = [np.empty(0)]
    for graph in networkx_graphs(structures, directed):
        matrix = np.full((len(graph), len(graph)), np.inf)
        for source, lengths in nx.all_pairs_dijkstra_path_length(graph):
            matrix[source, list(lengths)] = list(lengths.values())
        parts.append(matrix.ravel())
    return np.concatenate(parts)


def resistances_by_networkx(structures):
    parts = [np.empty(0)]
    for graph in networkx_graphs(structures, directed=False):
        matrix = np.full((len(graph), len(graph)), np.inf)
        for component in nx.connected_components(graph):
            resistances = nx.resistance_distance(graph.subgraph(component))
            for source, row in resistances.items():
                matrix[source, list(row)] = list(row.values())
        parts.append(matrix.ravel())
    return np.concatenate(parts)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("most_dense_nodes", [96, 0])
def test_weighted_equals_networkx(directed, most_dense_nodes, monkeypatch):
    monkeypatch.setattr(weighted_module, "MOST_DENSE_NODES", most_dense_nodes)
    monkeypatch.setattr(weighted_module, "BLOCK_PAIRS", 500)
    monkeypatch.setattr(simple_graphs_module, "MOST_STACKED", 1000)
    structures = random_structures(seed=3, sizes=[0, 1, 2, 17, 17, 17, 3, 31, 17, 0, 60])
    found = extra_distances(structures, "weighted", directed)
    assert found.dtype == np.float32
    expected = lengths_by_networkx(structures, directed)
    assert np.isinf(expected).any()
    assert (expected == 0).sum() > structures.node_counts.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_larger_graphs_equal_networkx():
    structures = random_structures(seed=4, sizes=[131, 97, 20], densities=[2])
    found = extra_distances(structures, "weighted")
    np.testing.assert_allclose(found, lengths_by_networkx(structures, directed=False), rtol=1e-6)


def test_resistance_equals_networkx(monkeypatch):
    monkeypatch.setattr(simple_graphs_module, "MOST_STACKED", 1000)
    structures = random_structures(seed=5, sizes=[0, 1, 2, 13, 13, 13, 13, 29, 3, 3, 0])
    found = extra_distances(structures, "resistance")
    assert found.dtype == np.float32
    expected = resistances_by_networkx(structures)
    assert np.isinf(expected).any()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_resistance_of_a_long_path_is_the_number_of_hops():
    path = GraphStructures.from_graphs([nx.path_graph(700)])
    found = extra_distances(path, "resistance").reshape(700, 700)
    np.testing.assert_allclose(found, np.abs(np.subtract.outer(np.arange(700), np.arange(700))), rtol=1e-5)
    np.testing.assert_array_equal(found, found.T)
    assert not found.diagonal().any()


@pytest.mark.parametrize("name", ["weighted", "resistance"])
def test_result_does_not_depend_on_the_graphs_beside_it(name):
    structures = random_structures(seed=6, sizes=[7, 23, 7, 7, 23, 100])
    alone = [extra_distances(structures.slice(i, i + 1), name) for i in range(len(structures))]
    np.testing.assert_array_equal(extra_distances(structures, name), np.concatenate(alone))


@pytest.mark.parametrize("name", sorted(EXTRA_DISTANCES))
def test_no_graphs(name):
    assert extra_distances(GraphStructures([], [], [], [], []), name).shape == (0,)


def test_an_edge_of_weight_zero_is_an_edge():
    graph = nx.Graph()
    graph.add_weighted_edges_from([(0, 1, 0.0), (1, 2, 3.0)])
    structures = GraphStructures.from_graphs([graph], edge_weight="weight")
    assert extra_distances(structures, "weighted").tolist() == [0, 0, 3, 0, 0, 3, 3, 3, 0]
    matrix = sparse.csr_array(np.array([[0, 0.5, 0], [0, 0, 2.5], [0, 0, 0]]))
    structures = GraphStructures.from_graphs([matrix], edge_weight="weight")
    assert extra_distances(structures, "weighted", directed=True).tolist()[:3] == [0, 0.5, 3]


@pytest.mark.parametrize("weight", [-0.5, np.nan, np.inf])
def test_bad_weight_names_graph_and_edge(weight):
    structures = GraphStructures([2, 3], [1, 2], [0, 0, 1], [1, 1, 2], [1, 1, weight])
    with pytest.raises(
        GraphError, match=f"edge 1 of graph 11 has weight {weight}: .* finite and not negative"
    ):
        extra_distances(structures, "weighted", first_graph=10)


@pytest.mark.parametrize("weight", [2e38, 1e308])
def test_weights_beyond_float32(weight):
    structures = GraphStructures([2, 3], [1, 2], [0, 0, 1], [1, 1, 2], [1, weight, weight])
    with pytest.raises(GraphError, match="the edge weights of graph 1 add up to more than"):
        extra_distances(structures, "weighted")


def test_weights_are_needed():
    structures = GraphStructures([2], [1], [0], [1])
    for compute in (lambda: extra_distances(structures, "weighted"), lambda: weight_fingerprints(structures)):
        with pytest.raises(ConfigError, match="need edge weights, and these graphs have none: name the"):
            compute()
    assert extra_distances(structures, "resistance").tolist() == [0, 1, 1, 0]


def test_resistance_of_directed_graphs_is_refused():
    with pytest.raises(ConfigError, match="the resistance distance is one of undirected graphs"):
        extra_distances(GraphStructures([2], [1], [0], [1]), "resistance", directed=True)


def test_unknown_distance():
    with pytest.raises(ConfigError, match="no extra distance 'commute': there are resistance, weighted"):
        extra_distances(GraphStructures([], [], [], []), "commute")


@pytest.mark.parametrize("directed", [False, True])
def test_fingerprints_depend_on_edges_and_their_weights_only(directed):
    rng = np.random.default_rng(8)
    num_nodes = 23
    src, dst = rng.integers(0, num_nodes, (2, 60))
    loop = src == dst
    weights = rng.random(60)
    order = rng.permutation(60)
    other = weights.copy()
    other[(~loop).argmax()] /= 2
    same = [
        (src, dst, num_nodes, weights),
        (src[order], dst[order], num_nodes, weights[order]),
        (np.r_[src, src], np.r_[dst, dst], num_nodes, np.r_[weights + 1, weights]),
        (src[~loop], dst[~loop], num_nodes, weights[~loop]),
    ]
    others = [
        (src, dst, num_nodes, other),
        (src, dst, num_nodes + 1, weights),
        (src[1:], dst[1:], num_nodes, weights[1:]),
        (src, dst, num_nodes, weights[order]),
        ([], [], num_nodes, []),
    ]
    turned = (dst, src, num_nodes, weights)
    structures = GraphStructures.from_graphs([*same, *others, turned], edge_weight="weight")
    prints = weight_fingerprints(structures, directed)
    assert prints.dtype == np.uint64
    assert len(set(prints[:4].tolist())) == 1
    assert len(set(prints[:-1].tolist())) == 1 + len(others)
    assert (prints[-1] == prints[0]) == (not directed)
    alone = [weight_fingerprints(structures.slice(i, i + 1), directed).item() for i in range(len(structures))]
    assert prints.tolist() == alone


def test_zero_of_either_sign_is_one_weight():
    edges = ([2, 2], [1, 1], [0, 0], [1, 1])
    one, other = weight_fingerprints(GraphStructures(*edges, [0.0, -0.0]))
    assert one == other

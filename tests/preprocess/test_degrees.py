import networkx as nx
import numpy as np
import pytest

from gradformer_dgl.preprocess import GraphStructures
from gradformer_dgl.preprocess.encodings import parse_encodings
from gradformer_dgl.support.errors import ConfigError


@pytest.mark.parametrize("directed", [False, True])
def test_equals_networkx(directed):
    rng = np.random.default_rng(17)
    graphs = []
    for num_nodes in [0, 1, 2, 7, 64, 65, 97, 31, 0]:
        graphs.append((*rng.integers(0, max(num_nodes, 1), (2, 3 * num_nodes)), num_nodes))
    expected = []
    for src, dst, num_nodes in graphs:
        graph = nx.empty_graph(num_nodes, nx.DiGraph)
        graph.add_edges_from((u, v) for u, v in zip(src.tolist(), dst.tolist(), strict=True) if u != v)
        if not directed:
            graph = graph.to_undirected().to_directed()
        expected += [(graph.in_degree(node), graph.out_degree(node)) for node in range(num_nodes)]
    (encoding,) = parse_encodings("degree")
    found = encoding(GraphStructures.from_graphs(graphs), directed)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_dense_graph_of_many_words():
    (encoding,) = parse_encodings("degree:2")
    structures = GraphStructures.from_graphs([nx.complete_graph(131), nx.star_graph(300)])
    expected = np.r_[np.full(131, 130), 300, np.ones(300)]
    np.testing.assert_array_equal(encoding(structures, False), np.stack([expected, expected], axis=1))


def test_both_names_are_one_encoding():
    assert [encoding.name for encoding in parse_encodings(["degree", "rwse:3", "degree:2"])] == [
        "degree:2",
        "rwse:3",
    ]


@pytest.mark.parametrize("name", ["degree:", "degree:1", "degree:3", "degree:20", "degree:x", "degree:02"])
def test_other_widths_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name!r} has 2 columns always: write degree or degree:2"):
        parse_encodings([name])


def test_unknown_kind_lists_it():
    with pytest.raises(ConfigError, match=r"lappe:k, rwse:k \(k columns, as in rwse:20\), degree"):
        parse_encodings(["degrees"])

from collections import Counter
from itertools import chain, combinations

import dgl
import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.data.wl_labels import common_labels, with_wl_labels, wl_labels


@st.composite
def labelled_graphs(draw):
    """Some simple graphs with categories of nodes and edges, as networkx graphs."""
    made = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, 7))
        directed = draw(st.booleans())
        graph = nx.DiGraph() if directed else nx.Graph()
        graph.add_nodes_from((node, {"feat": draw(st.integers(0, 1))}) for node in range(size))
        pairs = [(u, v) for u in range(size) for v in range(size) if (u != v if directed else u < v)]
        for u, v in draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []:
            graph.add_edge(u, v, feat=draw(st.integers(0, 1)))
        made.append(graph.to_directed())
    return made


def packed(graphs):
    built = []
    for graph in graphs:
        edges = torch.tensor(list(graph.edges), dtype=torch.int64).reshape(-1, 2)
        one = dgl.graph((edges[:, 0], edges[:, 1]), num_nodes=len(graph))
        one.ndata["feat"] = torch.tensor([graph.nodes[node]["feat"] for node in graph])
        one.edata["feat"] = torch.tensor(
            [graph.edges[u, v]["feat"] for u, v in graph.edges], dtype=torch.int64
        )
        built.append(one)
    return PackedGraphs.from_graphs(built)


def classes(values):
    """Number the values in the order in which they first occur."""
    seen = {}
    return [seen.setdefault(value, len(seen)) for value in values]


def refined(graph, rounds):
    """Colours of a networkx graph as nested tuples, round by round."""
    labels = {node: graph.nodes[node]["feat"] for node in graph}
    for _ in range(rounds):
        labels = {
            node: (
                labels[node],
                tuple(
                    sorted((repr(labels[u]), graph.edges[u, node]["feat"]) for u in graph.predecessors(node))
                ),
            )
            for node in graph
        }
        yield [labels[node] for node in graph]


@given(labelled_graphs())
@settings(max_examples=150, deadline=None)
def test_nodes_of_one_label_have_the_same_tree_of_walks(graphs):
    labels = wl_labels(packed(graphs), 3)
    rounds = zip(*(refined(graph, 3) for graph in graphs), strict=True)
    for step, parts in enumerate(rounds):
        assert classes(labels[:, step].tolist()) == classes(chain(*parts))


@given(labelled_graphs())
@settings(max_examples=50, deadline=None)
def test_counted_labels_that_graphs_share_are_as_many_as_an_assignment_matches(graphs):
    labels, counted = wl_labels(packed(graphs), 3), wl_labels(packed(graphs), 3, counted=True)
    sizes = [len(graph) for graph in graphs]
    for step in range(3):
        plain = [Counter(part.tolist()) for part in labels[:, step].split(sizes)]
        told = [set(part.tolist()) for part in counted[:, step].split(sizes)]
        assert [len(part) for part in told] == sizes
        for first, second in combinations(range(len(graphs)), 2):
            assert len(told[first] & told[second]) == (plain[first] & plain[second]).total()


def test_a_tree_of_walks_is_what_networkx_hashes():
    graph = nx.gnm_random_graph(40, 55, seed=3)
    nx.set_node_attributes(graph, {node: node % 3 for node in graph}, "feat")
    nx.set_edge_attributes(graph, {(u, v): (u * v) % 2 for u, v in graph.edges}, "feat")
    found = nx.weisfeiler_lehman_subgraph_hashes(
        graph, edge_attr="feat", node_attr="feat", iterations=3, digest_size=16
    )
    labels = wl_labels(packed([graph.to_directed()]), 3)
    for step in range(3):
        assert classes(labels[:, step].tolist()) == classes(found[node][step] for node in graph)


def test_measured_features_are_no_part_of_a_label():
    ring = dgl.graph(([0, 1, 2], [1, 2, 0]))
    ring.ndata["feat"] = torch.rand(3, 2)
    assert len(wl_labels(PackedGraphs.from_graphs([ring]), 2)[:, 1].unique()) == 1


def test_parallel_edges_and_loops_count():
    graphs = [dgl.graph(([0], [1])), dgl.graph(([0, 0], [1, 1])), dgl.graph(([0, 1], [1, 1]))]
    assert len(wl_labels(PackedGraphs.from_graphs(graphs), 2)[[1, 3, 5], 1].unique()) == 3


def test_labels_become_an_encoding():
    graphs = PackedGraphs.from_graphs([dgl.graph(([0, 1], [1, 0]))])
    for counted, different in ((False, 1), (True, 2)):
        encodings = with_wl_labels(graphs, 1, counted).encodings
        assert len(encodings["wl:1"].unique()) == different
    assert graphs.encodings == {}


def test_no_nodes():
    graphs = [dgl.graph(([], [])), dgl.graph(([], []), num_nodes=1)]
    assert wl_labels(PackedGraphs.from_graphs(graphs), 2).shape == (1, 2)


@pytest.mark.parametrize("min_graphs", [1, 2, 3])
def test_labels_are_counted_once_for_each_chosen_graph(min_graphs):
    generator = torch.Generator().manual_seed(min_graphs)
    counts = torch.tensor([5, 0, 1, 8, 3])
    labels = torch.randint(4, (17, 2), generator=generator)
    chosen = torch.tensor([4, 0, 3])
    graphs = [part.T.tolist() for part in labels.split(counts.tolist())]
    for step, common in enumerate(common_labels(labels, counts, chosen, min_graphs)):
        expected = [
            label
            for label in range(4)
            if sum(label in graphs[number][step] for number in chosen.tolist()) >= min_graphs
        ]
        assert common.tolist() == expected

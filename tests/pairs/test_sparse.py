import itertools
import pickle

import dgl
import networkx as nx
import numpy as np
import pytest
import torch
from sparse_graphs import KINDS, hops

import gradformer_dgl
from gradformer_dgl import Gradformer, GraphBatch, SparsePairDistances
from gradformer_dgl.cache.neighborhood import Neighborhood
from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.graphs.edge_list import EdgeList
from gradformer_dgl.pairs.sparse_memory import estimate_pairs, pairs_of_hubs, require_memory
from gradformer_dgl.preprocess import GraphStructures, preprocess_graphs
from gradformer_dgl.support.errors import ConfigError, GraphError
from gradformer_dgl.training.step_memory import _Live, step_bytes


def rows_of(sparse):
    """Return {other node: distance} of every node, nodes counted in their graphs."""
    ends = sparse.indptr.tolist()
    pairs = list(zip(sparse.indices.tolist(), sparse.distances.tolist(), strict=True))
    return [dict(pairs[first:last]) for first, last in itertools.pairwise(ends)]


def expected_rows(found, limit):
    """Return what :func:`rows_of` should, by a matrix of hops."""
    return [{j: int(hop) for j, hop in enumerate(row) if hop <= limit} for row in found]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1, 3])
def test_search_finds_the_pairs_that_scipy_finds(kind, limit):
    graph = KINDS[kind]()
    sparse = SparsePairDistances.from_graph(graph, limit, directed=graph.is_directed())
    assert rows_of(sparse) == expected_rows(hops(graph), limit)
    assert (sparse.sizes, sparse.max_distance, sparse.num_distances) == ([len(graph)], limit, limit + 1)


def test_lists_of_graphs_are_no_graph():
    """The first of them alone would be taken for an item of a data set."""
    for given in (
        [nx.path_graph(3), nx.path_graph(4)],
        [([0], [1], 2), ([0], [1], 2)],
        (nx.path_graph(3), 1),
    ):
        with pytest.raises(GraphError, match="are those of one graph, or of a batch"):
            SparsePairDistances.from_graph(given, 2)


def three_graphs():
    return [nx.grid_2d_graph(3, 4), nx.empty_graph(0), nx.path_graph(5)]


def test_batches_of_dgl_edge_lists_and_structures_are_searched_graph_by_graph():
    batched = dgl.batch([dgl.from_networkx(graph) for graph in three_graphs()])
    counts = batched.batch_num_nodes(), batched.batch_num_edges()
    edges = EdgeList(*batched.edges(), batched.num_nodes(), *counts)
    expected = [row for graph in three_graphs() if len(graph) for row in expected_rows(hops(graph), 2)]
    for given in (batched, edges, GraphStructures.from_graphs(three_graphs())):
        sparse = SparsePairDistances.from_graph(given, 2)
        assert sparse.sizes == [12, 0, 5]
        assert rows_of(sparse) == expected


@pytest.mark.parametrize(("layout", "limit"), [("sparse", 3), ("sparse", 2), ("dense", 2), ("dense", None)])
def test_caches_of_both_layouts_give_the_same_pairs(tmp_path, layout, limit):
    graphs = [nx.grid_2d_graph(5, 7), nx.path_graph(11)]
    cut = 3 if layout == "sparse" else None
    cache = preprocess_graphs(graphs, tmp_path / "two.h5", n_jobs=1, max_distance=cut, layout=layout)
    sparse = SparsePairDistances.from_cache(cache, limit)
    expected = [row for graph in graphs for row in expected_rows(hops(graph), limit or 99)]
    assert rows_of(sparse) == expected
    # Without a cut-off no pair with a path is farther than the pairs there are.
    assert sparse.max_distance == (limit or 11)
    with pytest.raises(ConfigError, match="has the pairs within 3 hops, not those within 4"):
        SparsePairDistances.from_cache(
            preprocess_graphs(graphs, tmp_path / "x.h5", n_jobs=1, max_distance=3), 4
        )


def test_batching_selecting_and_pickling_keep_the_rows():
    parts = [SparsePairDistances.from_graph(graph, 2) for graph in three_graphs()]
    batch = SparsePairDistances.batch(parts)
    assert rows_of(batch) == [row for part in parts for row in rows_of(part)]
    chosen = batch.select(torch.tensor([2, 1, 0, 2]))
    assert chosen.sizes == [5, 0, 12, 5]
    assert chosen.pairs_per_graph == [19, 0, parts[0].num_pairs, 19]
    assert rows_of(chosen) == [row for number in (2, 0, 2) for row in rows_of(parts[number])]
    assert rows_of(pickle.loads(pickle.dumps(batch))) == rows_of(batch)
    assert batch.to("cpu") is batch
    with pytest.raises(GraphError, match="no sparse pairs to concatenate"):
        SparsePairDistances.batch([])
    with pytest.raises(GraphError, match=r"one cut-off, but these have \[1, 2\]"):
        SparsePairDistances.batch([parts[0], SparsePairDistances.from_graph(three_graphs()[0], 1)])


def parts_of_a_pair(**changed):
    parts = {
        "indptr": torch.tensor([0, 2, 4]),
        "indices": torch.tensor([0, 1, 0, 1], dtype=torch.int32),
        "distances": torch.tensor([0, 1, 1, 0], dtype=torch.uint8),
        "node_counts": torch.tensor([2]),
        "max_distance": 1,
    }
    return parts | changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"indices": torch.tensor([0, 1, 0, 1])}, "indices must be torch.int32"),
        ({"indptr": torch.tensor([0, 4])}, "2 nodes need indptr of length 3, but it has 2"),
        ({"indptr": torch.tensor([0, 2, 3])}, "do not fit indptr, which goes from 0 to 3"),
        ({"indptr": torch.tensor([0, 3, 4])}, "node 0 has 3 sparse pairs, which cannot be"),
        ({"indptr": torch.tensor([0, 5, 4])}, "node 0 has 5 sparse pairs"),
        (
            {"indices": torch.tensor([0, 2, 0, 1], dtype=torch.int32)},
            "an id is beyond the nodes of its graph",
        ),
        ({"indices": torch.tensor([0, 1, 1, 1], dtype=torch.int32)}, "node 1 has its pair with node 1 twice"),
        ({"distances": torch.tensor([0, 2, 1, 0], dtype=torch.uint8)}, "is 1, but a distance is 2"),
        ({"node_counts": torch.tensor([3, -1])}, "must not be negative, but holds -1"),
        ({"distances": torch.zeros(4, dtype=torch.uint8, device="meta")}, "must lie on one device"),
        (
            {"distances": torch.tensor([0, 1, 0, 1], dtype=torch.uint8)},
            "node 1 has no pair with itself at the distance 0",
        ),
        (
            {
                "indptr": torch.tensor([0, 2, 3]),
                "indices": torch.tensor([0, 1, 0], dtype=torch.int32),
                "distances": torch.tensor([0, 1, 1], dtype=torch.uint8),
            },
            "node 1 has no pair with itself at the distance 0",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused(changed, message):
    assert rows_of(SparsePairDistances(**parts_of_a_pair())) == [{0: 0, 1: 1}, {0: 1, 1: 0}]
    with pytest.raises(GraphError, match=message):
        SparsePairDistances(**parts_of_a_pair(**changed))


def test_pairs_may_come_in_any_order():
    turned = torch.tensor([1, 0, 0, 1], dtype=torch.int32)
    sparse = SparsePairDistances(
        **parts_of_a_pair(indices=turned, distances=torch.tensor([1, 0, 1, 0], dtype=torch.uint8))
    )
    assert rows_of(sparse) == [{1: 1, 0: 0}, {0: 1, 1: 0}]


@pytest.mark.parametrize("limit", [0, 255, True])
def test_cutoffs_that_make_no_sense_are_refused(limit):
    with pytest.raises(ConfigError, match="the cut-off must be"):
        SparsePairDistances.from_graph(nx.path_graph(3), limit)


def test_neighborhoods_are_whole_and_within_the_cutoff():
    far = np.array([[0, 300], [300, 0]], np.uint16)
    with pytest.raises(GraphError, match="a distance is 300, but sparse pairs are at most 254 hops apart"):
        SparsePairDistances.from_neighborhoods([Neighborhood.from_rows(far)])
    assert rows_of(SparsePairDistances.from_neighborhoods([Neighborhood.from_rows(far)], 9)) == [
        {0: 0},
        {1: 0},
    ]
    with pytest.raises(GraphError, match="has 1 of 2 rows"):
        SparsePairDistances.from_neighborhoods([Neighborhood.from_rows(far[:1])])


def test_estimates_of_a_sample_come_close_to_the_pairs_there_are():
    graph = nx.barabasi_albert_graph(4001, 3, seed=5)
    structures = GraphStructures.from_graphs([graph])
    counts = [SparsePairDistances.from_graph(structures, limit).num_pairs for limit in (1, 2, 3)]
    whole = estimate_pairs(structures, 3, sample=4001)
    assert [whole.pairs(limit) for limit in (1, 2, 3)] == pytest.approx(counts)
    some = estimate_pairs(structures, 3)
    assert [some.pairs(limit) for limit in (1, 2, 3)] == pytest.approx(counts, rel=0.35)


def test_pairs_that_do_not_fit_into_memory_are_refused_with_the_cutoff_that_would(monkeypatch):
    structures = GraphStructures.from_graphs([nx.barabasi_albert_graph(2003, 3, seed=5)])
    monkeypatch.setattr("gradformer_dgl.pairs.sparse_memory.SMALL", 2000)
    require_memory(structures, 3, memory=2**40)
    found = estimate_pairs(structures, 3)
    message = (
        r"graph 0 of 2,003 nodes has about [\d,]+ pairs within 3 hops, which take 0.0 GiB; .* "
        r"max_distance=2 would take 0.0 GiB "
        r"\(of the pairs, the neighbourhood of node \d+ adds [\d.]+ %, of node \d+ .* %\)"
    )
    with pytest.raises(GraphError, match=message):
        require_memory(structures, 3, memory=int(found.num_bytes(2)) + 1)
    with pytest.raises(GraphError, match="no cut-off fits"):
        require_memory(structures, 3, memory=1)
    memory = int(found.num_bytes(2) + 2003 * 1e6) + 1
    require_memory(structures, 2, memory=memory, node_bytes=1e6)
    both = r"pairs within 3 hops, which take 0.0 GiB, and a training step another 1.9 GiB; .* max_distance=2"
    with pytest.raises(GraphError, match=both):
        require_memory(structures, 3, memory=memory, node_bytes=1e6)
    with pytest.raises(GraphError, match="no cut-off fits"):
        SparsePairDistances.from_graph(structures, 3, node_bytes=1e15)


@pytest.mark.parametrize("directed", [False, True])
def test_hubs_make_the_pairs_that_go_through_them(directed):
    graph = nx.gnp_random_graph(60, 0.05, seed=4, directed=True)
    graph.add_edges_from([(7, other) for other in range(30)] + [(other, 7) for other in range(20, 50)])
    found = pairs_of_hubs(GraphStructures.from_graphs([graph]), directed, most=4)
    ways = graph if directed else graph.to_undirected()
    inward = ways.predecessors if directed else ways.neighbors
    made = {node: len({*ways.neighbors(node), node}) * len({*inward(node), node}) for node in ways}
    assert next(iter(found)) == 7
    assert found == {node: made[node] for node in found}
    sparse = SparsePairDistances.from_graph(graph, 2, directed=directed)
    assert found[7] <= sparse.num_pairs


def test_a_hub_whose_neighbours_a_sample_misses_is_counted():
    nodes, neighbours = 50_000, 400
    star = GraphStructures([nodes], [neighbours], [0] * neighbours, range(1, neighbours + 1))
    pairs = SparsePairDistances.from_graph(star, 2).num_pairs
    assert estimate_pairs(star, 2, sample=4).pairs(2) == pytest.approx(pairs, rel=0.4)
    assert estimate_pairs(star, 1, sample=4).pairs(1) < 2 * nodes


def test_small_graphs_are_refused_where_their_pairs_would_not_fit():
    star = nx.star_graph(799)
    paths = [nx.path_graph(90 + number) for number in range(80)]
    hub_last = GraphStructures.from_graphs([*paths, star])
    # All of the pairs of the star are within two hops.
    with pytest.raises(GraphError, match=r"graph 80 of 800 nodes .* max_distance=1 would take"):
        require_memory(hub_last, 2, memory=13 * 800**2 - 1)
    require_memory(hub_last, 2, memory=13 * (800**2 + sum(5 * len(path) for path in paths)))
    many = GraphStructures.from_graphs(paths)
    pairs = 13 * SparsePairDistances.from_graph(many, 2).num_pairs
    require_memory(many, 2, memory=int(1.05 * pairs))
    with pytest.raises(GraphError, match=r"48 of 80 graphs have about [\d,]+ pairs .* take fewer graphs"):
        require_memory(many, 2, memory=int(0.95 * pairs))


def test_graphs_that_fit_one_by_one_are_refused_together(monkeypatch):
    structures = GraphStructures.from_graphs(
        [nx.barabasi_albert_graph(1009, 3, seed=seed) for seed in (1, 2)]
    )
    monkeypatch.setattr("gradformer_dgl.pairs.sparse_memory.SMALL", 1000)
    sizes = [estimate_pairs(structures.slice(graph, graph + 1), 2).num_bytes(2) for graph in (0, 1)]
    require_memory(structures, 2, memory=int(sum(sizes)) + 1)
    with pytest.raises(GraphError, match=r"graph 1 of .* beside 0.0 GiB of the graphs before it; .*=1 would"):
        require_memory(structures, 2, memory=int(sum(sizes)) - 1)


@pytest.mark.parametrize("options", [{"feat_size": 32}, {"feat_size": 8, "message_passing": "gcn"}], ids=str)
def test_a_step_takes_about_what_its_activations_do(options):
    def batch_of(side):
        graph = dgl.from_networkx(nx.grid_2d_graph(side, side))
        sparse = SparsePairDistances.from_graph(graph, 2)
        return GraphBatch(graph, sparse, node_features=torch.randn(side * side, 3))

    measured = {}
    for layers in (2, 4):
        model = Gradformer(2, num_layers=layers, num_heads=1, node_size=3, readout=None, **options).eval()
        small, large = (step_bytes(model, batch_of(side)) for side in (17, 41))
        assert small == pytest.approx(large, rel=0.1)
        assert not model.training
        assert all(part.grad is None for part in model.parameters())
        measured[layers] = large
        # Each layer keeps its query, key, value and output, inputs of three norms, and more.
        assert large > 4 * options["feat_size"] * 8 * layers
    assert measured[4] == pytest.approx(2 * measured[2], rel=0.15)


def test_tensors_that_are_gone_take_no_memory():
    live = _Live()
    with live:
        first = torch.zeros(1000)
        second = first[:10].view(2, 5) + first[0]
        first = first.add_(1) + 1
        del first
        third = torch.ones(500)
    assert live.peak == 4 * (1000 + 10 + 1000)
    assert live.now == 4 * (second.numel() + third.numel())


def test_batches_of_packed_graphs_have_the_pairs_of_their_graphs(tmp_path):
    graphs = [dgl.from_networkx(graph) for graph in three_graphs()]
    packed = PackedGraphs.from_graphs(graphs)
    options = {"n_jobs": 1, "max_distance": 2, "layout": "sparse"}
    attached = packed.with_cache(preprocess_graphs(graphs, tmp_path / "three.h5", **options))
    for chosen in ([2, 0], [1], [0, 1, 2]):
        expected = [row for number in chosen for row in expected_rows(hops(three_graphs()[number]), 2)]
        batch = attached.batch(chosen)
        assert rows_of(batch.distances) == expected
        assert batch.distances.num_nodes == batch.graph.num_nodes()
    assert attached.num_bytes == packed.num_bytes + attached.distances.nbytes


def test_the_old_name_is_an_alias():
    assert gradformer_dgl.NearPairs is SparsePairDistances

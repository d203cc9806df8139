import hypothesis.strategies as st
import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy import sparse
from scipy.sparse import csgraph

from gradformer_dgl.graphs.fingerprints import structure_fingerprints
from gradformer_dgl.preprocess import GraphStructures, bfs_queue_kernels, shortest_path_distances
from gradformer_dgl.preprocess.shortest_paths import (
    DistanceOverflowError,
    checked_max_distance,
    packed_distances,
)
from gradformer_dgl.support.errors import ConfigError, GraphError


def by_networkx(graph, max_distance=None):
    place = {node: index for index, node in enumerate(graph)}
    result = np.full((len(place), len(place)), 255, dtype=np.uint8)
    for source, lengths in nx.all_pairs_shortest_path_length(graph, cutoff=max_distance):
        for target, length in lengths.items():
            result[place[source], place[target]] = length
    return result


def by_scipy(src, dst, num_nodes, directed, unreachable):
    # SciPy before 1.15 searches matrices with indices of 32 bits only.
    src, dst = np.asarray(src, np.int32), np.asarray(dst, np.int32)
    matrix = sparse.csr_array((np.ones(len(src)), (src, dst)), shape=(num_nodes, num_nodes))
    result = csgraph.shortest_path(matrix, directed=directed, unweighted=True)
    return np.where(np.isinf(result), unreachable, result).astype(np.int64)


def random_graphs(count, seed):
    """Sparse and dense, small and beyond one word, with self loops and parallel edges."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        num_nodes = int(rng.choice([0, 1, 2, 3, 7, 13, 31, 32, 33, 61, 64, 65, 97]))
        num_edges = int(rng.choice([0, 0.5, 1, 2, 5]) * num_nodes)
        src, dst = rng.integers(0, max(num_nodes, 1), (2, num_edges))
        yield src, dst, num_nodes


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("max_distance", [None, 2])
def test_equals_networkx_on_random_graphs(directed, max_distance):
    graphs = list(random_graphs(500, seed=3 + directed))
    distances, _, histogram = packed_distances(
        GraphStructures.from_graphs(graphs), np.uint8, directed, max_distance
    )
    expected = []
    for src, dst, num_nodes in graphs:
        graph = nx.DiGraph() if directed else nx.Graph()
        graph.add_nodes_from(range(num_nodes))
        graph.add_edges_from(zip(src, dst, strict=True))
        expected.append(by_networkx(graph, max_distance).ravel())
    expected = np.concatenate(expected)
    np.testing.assert_array_equal(distances, expected)
    np.testing.assert_array_equal(histogram, np.bincount(expected, minlength=256)[: len(histogram)])


@st.composite
def edge_lists(draw):
    num_nodes = draw(st.integers(1, 71))
    node = st.integers(0, num_nodes - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=3 * num_nodes))
    return [edge[0] for edge in edges], [edge[1] for edge in edges], num_nodes


@settings(max_examples=150, deadline=None)
@given(edge_lists(), st.booleans(), st.none() | st.integers(1, 5))
def test_equals_scipy_on_any_edge_list(graph, directed, max_distance):
    found = shortest_path_distances(graph, max_distance, directed).numpy().astype(np.int64)
    expected = by_scipy(*graph, directed, 255)
    if max_distance is not None:
        expected[(expected > max_distance) & (expected < 255)] = 255
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("edges", [499, 997, 50021])
def test_equals_scipy_on_500_nodes(directed, edges):
    src, dst = np.random.default_rng(edges).integers(0, 500, (2, edges))
    found = shortest_path_distances((src, dst, 500), directed=directed).numpy()
    np.testing.assert_array_equal(found, by_scipy(src, dst, 500, directed, 255))


def test_equals_the_published_distances(golden):
    structures = GraphStructures(
        golden["graphs/num_nodes"], golden["graphs/num_edges"], golden["graphs/src"], golden["graphs/dst"]
    )
    for index in range(5):
        part = structures.slice(index, index + 1)
        num_nodes = int(part.node_counts[0])
        found = shortest_path_distances((part.src, part.dst, num_nodes), directed=True).numpy()
        expected = golden[f"apsp/dist_{index}"]
        np.testing.assert_array_equal(found, np.where(expected == 510, 255, expected))


def test_long_path_needs_16_bits(golden):
    distances = shortest_path_distances((range(514), range(1, 515), 515))
    assert distances.dtype == torch.uint16
    np.testing.assert_array_equal(np.minimum(distances[0].numpy(), 510), golden["apsp/longpath_row0"])


@pytest.mark.parametrize(
    ("num_nodes", "dtype"), [(255, torch.uint8), (256, torch.uint16), (300, torch.uint16)]
)
def test_type_is_the_smallest_that_leaves_its_maximum_for_unreachable(num_nodes, dtype):
    distances = shortest_path_distances((range(num_nodes - 1), range(1, num_nodes), num_nodes + 1))
    assert distances.dtype == dtype
    expected = np.abs(np.subtract.outer(np.arange(num_nodes), np.arange(num_nodes)))
    np.testing.assert_array_equal(distances.numpy()[:num_nodes, :num_nodes], expected)
    assert (distances.numpy()[-1, :-1] == np.iinfo(distances.numpy().dtype).max).all()


def test_small_graphs_beside_a_long_path_in_16_bits():
    graphs = [([0, 1], [1, 2], 4), (range(299), range(1, 300), 300), ([], [], 2), ([0], [1], 63)]
    distances, _, _ = packed_distances(GraphStructures.from_graphs(graphs), np.uint16)
    expected = [by_scipy(list(src), list(dst), size, False, 65535).ravel() for src, dst, size in graphs]
    np.testing.assert_array_equal(distances, np.concatenate(expected))


def test_cut_off_keeps_a_long_path_in_8_bits():
    distances = shortest_path_distances((range(299), range(1, 300), 300), max_distance=254)
    assert distances.dtype == torch.uint8
    assert distances[0, 254] == 254
    assert distances[0, 255] == 255


def test_too_long_for_the_asked_type_names_the_graph():
    path = (range(299), range(1, 300), 300)
    structures = GraphStructures.from_graphs([([], [], 1), path])
    with pytest.raises(DistanceOverflowError, match="graph 1 has a shortest path longer than 254 hops"):
        packed_distances(structures, np.uint8)


def in_blocks(structures, dtype, step, **options):
    """All rows in blocks, with the fingerprint that each block gives, and the sum of the histograms."""
    num_nodes = int(structures.node_counts[0])
    rows, prints, total = [], set(), np.zeros(1 << 16, np.int64)
    for start in range(0, num_nodes, step):
        block = (start, min(start + step, num_nodes))
        distances, fingerprint, histogram = packed_distances(structures, dtype, rows=block, **options)
        rows.append(distances.reshape(-1, num_nodes))
        prints.add(fingerprint.item())
        total[: len(histogram)] += histogram
    return np.concatenate(rows), prints, total


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("max_distance", [None, 3])
@pytest.mark.parametrize(("num_nodes", "step"), [(3, 1), (61, 61), (64, 17), (323, 67), (701, 257)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blocks_of_rows_equal_scipy(num_nodes, step, dtype, directed, max_distance):
    src, dst = np.random.default_rng(num_nodes).integers(0, num_nodes, (2, 2 * num_nodes))
    structures = GraphStructures([num_nodes], [len(src)], src, dst)
    unreachable = np.iinfo(dtype).max
    expected = by_scipy(src, dst, num_nodes, directed, unreachable)
    if max_distance is not None:
        expected[expected > max_distance] = unreachable
    found, prints, histogram = in_blocks(
        structures, dtype, step, directed=directed, max_distance=max_distance
    )
    np.testing.assert_array_equal(found, expected)
    assert prints == set(structure_fingerprints(structures, directed).tolist())
    np.testing.assert_array_equal(histogram[:255], np.bincount(expected.ravel(), minlength=255)[:255])


def test_rows_of_a_long_path_in_16_bits():
    path = GraphStructures.from_graphs([(range(699), range(1, 700), 700)])
    found, _, _ = in_blocks(path, np.uint16, 300)
    np.testing.assert_array_equal(found, np.abs(np.subtract.outer(np.arange(700), np.arange(700))))
    # In a path of 509 nodes the middle one reaches all others within 254 hops, its neighbour does not.
    path = GraphStructures.from_graphs([(range(508), range(1, 509), 509)])
    assert packed_distances(path, np.uint8, rows=(254, 255))[0].max() == 254
    with pytest.raises(DistanceOverflowError, match="graph 7 has a shortest path longer than 254 hops"):
        packed_distances(path, np.uint8, first_graph=7, rows=(255, 256))


def grid(height, width):
    number = np.arange(height * width).reshape(height, width)
    src = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
    return src, np.concatenate([number[:, 1:].ravel(), number[1:].ravel()]), height * width


def long_graphs():
    """Paths, strips, rings, a comb, a path from a clique: with the nodes in order, and in disorder."""
    rng = np.random.default_rng(17)
    path = np.arange(310)
    ring = (path[:67], (path[:67] + 1) % 67, 67)
    apart = (np.r_[ring[0], ring[0] + 67], np.r_[ring[1], ring[1] + 67], 137)
    comb = (np.r_[path[:88], path[:89]], np.r_[path[1:89], path[:89] + 89], 178)
    clique = np.triu(np.ones((11, 11)), 1).nonzero()
    lollipop = (np.r_[clique[0], path[10:300]], np.r_[clique[1], path[11:301]], 301)
    strips = [grid(1, 71), grid(1, 311), grid(2, 131), grid(3, 101)]
    for src, dst, num_nodes in [*strips, ring, apart, comb, lollipop]:
        order = rng.permutation(num_nodes)
        turned = rng.random(len(src)) < 0.03
        yield src, dst, num_nodes
        yield order[np.where(turned, dst, src)], order[np.where(turned, src, dst)], num_nodes


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("max_distance", [None, 41])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_long_graphs_equal_scipy(directed, max_distance, dtype):
    unreachable = np.iinfo(dtype).max
    for number, (src, dst, num_nodes) in enumerate(long_graphs()):
        structures = GraphStructures.from_graphs([(src, dst, num_nodes)])
        expected = by_scipy(src, dst, num_nodes, directed, 1 << 20)
        if max_distance is not None:
            expected[expected > max_distance] = 1 << 20
        for rows in (None, (0, 0), (13, 64), (1, num_nodes)):
            wanted = expected if rows is None else expected[slice(*rows)]
            finite = wanted[wanted < 1 << 20]
            if max(finite, default=0) >= unreachable:
                with pytest.raises(DistanceOverflowError, match=f"graph {number} has a shortest path longer"):
                    packed_distances(structures, dtype, directed, max_distance, number, rows)
                continue
            found, _, histogram = packed_distances(structures, dtype, directed, max_distance, rows=rows)
            np.testing.assert_array_equal(found, np.minimum(wanted, unreachable).ravel())
            np.testing.assert_array_equal(histogram, np.bincount(finite, minlength=1))


def test_rows_that_follow_from_others_are_no_neighbours():
    src, dst, num_nodes = grid(5, 13)
    offsets = np.r_[0, np.cumsum(np.bincount(dst, minlength=num_nodes))]
    tails = src[np.argsort(dst, kind="stable")].astype(np.int32)
    by_tail, heads = bfs_queue_kernels.reversed_edges(num_nodes, offsets, tails)
    states = np.empty(num_nodes, np.int8)
    bfs_queue_kernels.choose_derived(3, 61, by_tail, heads, states)
    derived = np.flatnonzero(states[3:61] == bfs_queue_kernels.DERIVED) + 3
    assert len(derived) > 20
    for node in derived:
        neighbors = dst[src == node]
        assert sorted(heads[by_tail[node] : by_tail[node + 1]]) == sorted(neighbors)
        assert ((neighbors >= 3) & (neighbors < 61)).all()
        assert not np.isin(neighbors, derived).any()


def test_no_such_rows():
    one = GraphStructures([3], [0], [], [])
    assert packed_distances(one, np.uint8, rows=(3, 3))[0].shape == (0,)
    for rows in [(0, 4), (-1, 2), (2, 1)]:
        with pytest.raises(ConfigError, match=r"no rows .* in a graph of 3 nodes"):
            packed_distances(one, np.uint8, rows=rows)
    with pytest.raises(ConfigError, match=r"rows can be taken of one graph, got 2: pass slice\(i, i \+ 1\)"):
        packed_distances(GraphStructures([3, 3], [0, 0], [], []), np.uint8, rows=(0, 1))


def test_no_nodes_one_node_no_edges():
    assert shortest_path_distances(([], [], 0)).shape == (0, 0)
    assert shortest_path_distances(([], [], 1)).tolist() == [[0]]
    assert shortest_path_distances(([], [], 2)).tolist() == [[0, 255], [255, 0]]


def test_self_loops_and_parallel_edges_make_no_difference():
    plain = shortest_path_distances(([0, 1], [1, 2], 3))
    assert torch.equal(shortest_path_distances(([0, 0, 0, 1, 1, 2], [0, 1, 1, 2, 1, 2], 3)), plain)


def test_all_kinds_of_graphs_agree():
    import dgl

    src, dst = [0, 1, 2, 4], [1, 2, 3, 1]
    expected = shortest_path_distances((src, dst, 6), directed=True)
    assert torch.equal(shortest_path_distances(dgl.graph((src, dst), num_nodes=6), directed=True), expected)
    matrix = sparse.coo_array((np.ones(4), (src, dst)), shape=(6, 6))
    assert torch.equal(shortest_path_distances(matrix, directed=True), expected)
    labelled = nx.DiGraph()
    labelled.add_nodes_from("fedcba")
    labelled.add_edges_from([("fedcba"[u], "fedcba"[v]) for u, v in zip(src, dst, strict=True)])
    assert torch.equal(shortest_path_distances(labelled, directed=True), expected)
    tensors = (torch.tensor(src), torch.tensor(dst), 6)
    assert torch.equal(shortest_path_distances(tensors, directed=True), expected)


def test_undirected_networkx_graph_stays_undirected():
    distances = shortest_path_distances(nx.path_graph(3), directed=True)
    assert distances.tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]


def test_cut_off_beyond_any_path():
    distances = shortest_path_distances(([0, 1], [1, 2], 3), max_distance=10**20)
    assert distances.tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]


@pytest.mark.parametrize("max_distance", [0, -1, 1.5, True])
def test_bad_cut_off(max_distance):
    with pytest.raises(ConfigError, match="max_distance must be a positive number of hops or None, got"):
        checked_max_distance(max_distance)


@pytest.mark.parametrize("num_nodes", [11, 67, 211])
def test_fingerprint_depends_on_structure_only(num_nodes):
    rng = np.random.default_rng(num_nodes)
    src, dst = rng.integers(0, num_nodes, (2, 5 * num_nodes))
    order = rng.permutation(len(src))
    ends = np.sort([src, dst], axis=0)
    loop_free = ends[:, (src != dst).argmax()]
    other = (ends != loop_free[:, None]).any(axis=0)
    same = [
        (src, dst, num_nodes),
        (src[order], dst[order], num_nodes),
        (np.r_[src, dst, 0], np.r_[dst, src, 0], num_nodes),
    ]
    others = [
        (src, dst, num_nodes + 1),
        (np.r_[src, 0], np.r_[dst, num_nodes], num_nodes + 1),
        (src[other], dst[other], num_nodes),
    ]
    prints = structure_fingerprints(GraphStructures.from_graphs(same + others))
    assert prints[0] == prints[1] == prints[2]
    assert len(set(prints.tolist())) == 4
    forward, backward = structure_fingerprints(
        GraphStructures.from_graphs([(src, dst, num_nodes), (dst, src, num_nodes)]), directed=True
    )
    assert forward != backward


def test_bad_graph_is_refused():
    with pytest.raises(
        GraphError, match="edge 1 of graph 0 goes from node 1 to node 2, but the graph has 2 nodes"
    ):
        shortest_path_distances(([0, 1], [1, 2], 2))

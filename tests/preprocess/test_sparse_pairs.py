import gc
import threading

import networkx as nx
import numpy as np
import pytest

from gradformer_dgl.graphs.fingerprints import structure_fingerprints
from gradformer_dgl.preprocess import GraphStructures
from gradformer_dgl.preprocess import sparse_pairs_kernels as kernels
from gradformer_dgl.preprocess.shortest_paths import (
    DistanceOverflowError,
    packed_distances,
)
from gradformer_dgl.preprocess.sparse_pairs import packed_sparse_pairs
from gradformer_dgl.support.errors import ConfigError


def random_structures(seed, sizes, densities=(0, 0.5, 1, 2, 5)):
    rng = np.random.default_rng(seed)
    graphs = []
    for num_nodes in sizes:
        num_edges = int(rng.choice(densities) * num_nodes)
        graphs.append((*rng.integers(0, max(num_nodes, 1), (2, num_edges)), num_nodes))
    return GraphStructures.from_graphs(graphs)


def by_networkx(structures, directed, max_distance):
    counts, nodes, distances = [], [], []
    for index in range(len(structures)):
        part = structures.slice(index, index + 1)
        graph = nx.empty_graph(int(part.node_counts[0]), nx.DiGraph if directed else nx.Graph)
        graph.add_edges_from(zip(part.src.tolist(), part.dst.tolist(), strict=True))
        for source in graph:
            lengths = nx.single_source_shortest_path_length(graph, source, cutoff=max_distance)
            counts.append(len(lengths))
            nodes += sorted(lengths)
            distances += [lengths[node] for node in sorted(lengths)]
    return counts, nodes, distances


def by_matrices(structures, dtype, directed, max_distance):
    """The dense kernel's distances, those out of reach left out."""
    values, prints, histogram = packed_distances(structures, dtype, directed, max_distance)
    near = values < np.iinfo(dtype).max
    columns = [np.tile(np.arange(count), count) for count in structures.node_counts]
    sizes = np.repeat(structures.node_counts, structures.node_counts)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    counts = np.bincount(rows[near], minlength=len(sizes))
    return counts, np.concatenate(columns)[near], values[near], prints, histogram


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("max_distance", [1, 3, None])
@pytest.mark.parametrize("most_matrix_nodes", [1024, 40, 0])
def test_equals_networkx_and_the_matrices(directed, max_distance, most_matrix_nodes, monkeypatch):
    structures = random_structures(seed=5, sizes=[0, 1, 2, 13, 31, 64, 65, 5, 0, 97, 61] * 3)
    if most_matrix_nodes < 1024:
        # What is compiled has the constant in it.
        monkeypatch.setattr(kernels, "MOST_MATRIX_NODES", most_matrix_nodes)
        monkeypatch.setattr(kernels, "sparse_pairs", kernels.sparse_pairs.py_func)
    found = packed_sparse_pairs(structures, np.uint8, directed, max_distance)
    for array, expected in zip(found, by_networkx(structures, directed, max_distance), strict=False):
        np.testing.assert_array_equal(array, expected)
    for array, expected in zip(found, by_matrices(structures, np.uint8, directed, max_distance), strict=True):
        np.testing.assert_array_equal(array, expected)
    assert [array.dtype for array in found[:3]] == [np.int32, np.int32, np.uint8]


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_large_graphs_and_blocks_of_their_rows(directed, dtype):
    structures = random_structures(seed=7, sizes=[2003, 29, 1123], densities=[1.5])
    expected = by_networkx(structures, directed, 3)
    found = packed_sparse_pairs(structures, dtype, directed, 3)
    for array, wanted in zip(found, expected, strict=False):
        np.testing.assert_array_equal(array, wanted)
    large = structures.slice(0, 1)
    blocks = [
        packed_sparse_pairs(large, dtype, directed, 3, rows=(start, min(start + 777, 2003)))
        for start in range(0, 2003, 777)
    ]
    near = int(found[0][:2003].sum())
    for place, whole in enumerate((found[0][:2003], found[1][:near], found[2][:near])):
        np.testing.assert_array_equal(np.concatenate([block[place] for block in blocks]), whole)
    expected_print = structure_fingerprints(large, directed)
    assert {block[3].item() for block in blocks} == set(expected_print.tolist())
    np.testing.assert_array_equal(
        sum(np.pad(block[4], (0, 4 - len(block[4]))) for block in blocks),
        np.bincount(found[2][:near], minlength=4),
    )


def test_dense_graph_outgrows_the_first_guess():
    complete = GraphStructures.from_graphs([nx.complete_graph(1500)])
    found = packed_sparse_pairs(complete, np.uint8, max_distance=2, rows=(7, 9))
    counts, nodes, distances, _, histogram = found
    assert counts.tolist() == [1500, 1500]
    np.testing.assert_array_equal(nodes, np.tile(np.arange(1500), 2))
    np.testing.assert_array_equal(distances, (np.arange(1500) != [[7], [8]]).ravel())
    assert histogram.tolist() == [2, 2998]


@pytest.mark.parametrize("num_nodes", [256, 1300])
def test_too_long_for_the_asked_type_names_the_graph(num_nodes):
    path = (range(num_nodes - 1), range(1, num_nodes), num_nodes)
    structures = GraphStructures.from_graphs([([], [], 1), path])
    message = "graph 4 has a shortest path longer than 254 hops: pass max_distance=254 or less"
    with pytest.raises(DistanceOverflowError, match=message):
        packed_sparse_pairs(structures, np.uint8, first_graph=3)
    with pytest.raises(DistanceOverflowError, match=message):
        packed_sparse_pairs(structures.slice(1, 2), np.uint8, first_graph=4, rows=(0, 1))
    assert packed_sparse_pairs(structures, np.uint8, max_distance=254)[2].max() == 254
    counts, _, distances, _, _ = packed_sparse_pairs(structures.slice(1, 2), np.uint16, rows=(0, 1))
    assert counts.tolist() == [num_nodes]
    np.testing.assert_array_equal(distances, np.arange(num_nodes))


def test_blocks_of_other_graphs_and_directions_in_turn():
    one, other = (random_structures(size, [size], densities=[2]) for size in (1200, 1300))
    for structures, directed in [(one, False), (other, False), (other, True), (one, True), (one, False)]:
        expected = packed_sparse_pairs(structures, np.uint8, directed, 2)[1]
        rows = (0, int(structures.node_counts[0]))
        found = packed_sparse_pairs(structures, np.uint8, directed, 2, rows=rows)[1]
        np.testing.assert_array_equal(found, expected)


def test_graph_is_not_kept_longer_than_its_structures():
    from gradformer_dgl.preprocess.sparse_pairs import _LAST_GRAPH

    structures = random_structures(seed=3, sizes=[1100], densities=[2])
    packed_sparse_pairs(structures, np.uint8, max_distance=1, rows=(0, 1))
    assert _LAST_GRAPH._edges is not None
    del structures
    gc.collect()
    assert _LAST_GRAPH._edges is None


def test_threads_share_a_graph():
    structures = random_structures(seed=13, sizes=[2000], densities=[2])
    whole = packed_sparse_pairs(structures, np.uint8, max_distance=3)
    found = {}

    def search(start):
        found[start] = packed_sparse_pairs(structures, np.uint8, max_distance=3, rows=(start, start + 250))

    threads = [threading.Thread(target=search, args=(start,)) for start in range(0, 2000, 250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place in range(3):
        parts = [found[start][place] for start in sorted(found)]
        np.testing.assert_array_equal(np.concatenate(parts), whole[place])


def test_no_such_rows():
    structures = random_structures(seed=1, sizes=[5, 5])
    with pytest.raises(ConfigError, match="rows can be taken of one graph, got 2"):
        packed_sparse_pairs(structures, np.uint8, rows=(0, 5))
    with pytest.raises(ConfigError, match="no rows 0 to 6 in a graph of 5 nodes"):
        packed_sparse_pairs(structures.slice(0, 1), np.uint8, rows=(0, 6))

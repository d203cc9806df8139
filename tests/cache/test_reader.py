import shutil
import time

import h5py
import hypothesis.strategies as st
import networkx as nx
import numpy as np
import pytest
from files import replace_array
from hypothesis import given, settings

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data import load_dataset
from gradformer_dgl.preprocess import GraphStructures, preprocess_graphs
from gradformer_dgl.preprocess.random_walks import return_probabilities
from gradformer_dgl.preprocess.shortest_paths import packed_distances
from gradformer_dgl.support.errors import CacheError


@pytest.fixture(scope="session")
def cache_file(structures, tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "random.h5"
    preprocess_graphs(structures, path, n_jobs=1, encodings=("rwse:5", "lappe:3"))
    return path


@pytest.fixture
def copy(cache_file, tmp_path):
    return shutil.copy(cache_file, tmp_path / "copy.h5")


def test_holds_what_was_computed(cache_file, structures):
    cache = DistanceCache(cache_file)
    expected, _, histogram = packed_distances(structures, np.uint8)
    assert len(cache) == 211
    assert cache.dtype == np.uint8
    assert cache.encodings == ("lappe:3", "rwse:5")
    assert (cache.directed, cache.max_distance) == (False, None)
    assert cache.longest_distance == len(histogram) - 1
    np.testing.assert_array_equal(cache.node_counts, structures.node_counts)
    np.testing.assert_array_equal(cache.read(), expected)
    np.testing.assert_array_equal(cache.histogram(), histogram)
    np.testing.assert_array_equal(cache.encoding("rwse:5"), return_probabilities(structures, 5))
    cache.verify()
    cache.verify(structures)


def test_single_graphs_and_ranges(cache_file, structures):
    cache = DistanceCache(cache_file)
    flat, walks = cache.read(), cache.encoding("rwse:5")
    pairs = np.cumsum(np.square(structures.node_counts))
    nodes = np.cumsum(structures.node_counts)
    for index in [0, 3, 101, 210, -1, -211, np.int64(7)]:
        graph = index % 211
        size = int(structures.node_counts[graph])
        np.testing.assert_array_equal(cache[index].ravel(), flat[pairs[graph] - size**2 : pairs[graph]])
        assert cache[index].shape == (size, size)
        np.testing.assert_array_equal(
            cache.encoding("rwse:5", index), walks[nodes[graph] - size : nodes[graph]]
        )
    np.testing.assert_array_equal(cache.read(17, 101), flat[pairs[16] : pairs[100]])
    assert cache.read(5, 5).shape == (0,)


def test_results_are_the_readers_own(cache_file):
    cache = DistanceCache(cache_file)
    graph = int(cache.node_counts.argmax())
    cache[graph][:] = 7
    assert cache[graph][0, 0] == 0


def test_any_hdf5_reader_reads_it(cache_file, structures):
    expected, prints, _ = packed_distances(structures, np.uint8)
    with h5py.File(cache_file) as file:
        assert file.attrs["encoding-type"] == "gradformer-dgl-distances"
        assert (file.attrs["encoding-version"], file.attrs["distance"]) == (2, "shortest_path")
        assert (file.attrs["unreachable"], file.attrs["num_graphs"], file.attrs["max_distance"]) == (
            255,
            211,
            -1,
        )
        assert file["node_counts"].dtype == np.int32
        assert file["distances"].fletcher32
        np.testing.assert_array_equal(file["distances"][:], expected)
        np.testing.assert_array_equal(file["fingerprints"][:], prints)


def test_repacked_by_another_tool(copy, structures):
    expected = DistanceCache(copy).read()
    replace_array(copy, "distances", expected, chunks=(997,), compression="lzf", fletcher32=True)
    replace_array(copy, "fingerprints", DistanceCache(copy).fingerprints())
    cache = DistanceCache(copy)
    np.testing.assert_array_equal(cache.read(), expected)
    np.testing.assert_array_equal(cache[-1].ravel(), expected[len(expected) - cache[-1].size :])
    cache.verify()
    cache.verify(structures)


def test_the_file_does_not_hold_the_time(structures, cache_file, tmp_path):
    options = {"encodings": ("rwse:5", "lappe:3")}
    # HDF5 counts seconds.
    time.sleep(max(0, cache_file.stat().st_mtime + 1.1 - time.time()))
    again = preprocess_graphs(structures, tmp_path / "again.h5", n_jobs=1, **options)
    assert again.path.read_bytes() == cache_file.read_bytes()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), min_size=1, max_size=40), st.booleans())
def test_round_trip(tmp_path_factory, sizes, directed):
    rng = np.random.default_rng(len(sizes))
    graphs = [(*rng.integers(0, max(n, 1), (2, m if n else 0)), n) for n, m in sizes]
    structures = GraphStructures.from_graphs(graphs)
    path = tmp_path_factory.mktemp("round") / "x.h5"
    cache = preprocess_graphs(
        structures, path, n_jobs=1, directed=directed, encodings=("rwse:3",), max_distance=4
    )
    np.testing.assert_array_equal(cache.read(), packed_distances(structures, np.uint8, directed, 4)[0])
    np.testing.assert_array_equal(cache.encoding("rwse:3"), return_probabilities(structures, 3, directed))
    assert (cache.directed, cache.max_distance) == (directed, 4)
    cache.verify()
    cache.verify(graphs)


@pytest.mark.parametrize(("name", "most"), [("NCI1", 1_900_000), ("ZINC12k", 2_200_000)])
def test_files_are_small(data_root, tmp_path, name, most):
    if not (data_root / name).is_dir():
        pytest.skip(f"no {name} in {data_root}")
    path = preprocess_graphs(load_dataset(name, data_root).graphs, tmp_path / "x.h5", n_jobs=1).path
    assert path.stat().st_size <= most


def test_info(cache_file, structures):
    info = DistanceCache(cache_file).info()
    flat = packed_distances(structures, np.uint8)[0]
    assert info["graphs"] == 211
    assert info["pairs"] == len(flat)
    assert info["bytes"] == cache_file.stat().st_size
    assert info["encodings"] == {"lappe:3": 3, "rwse:5": 5}
    assert info["histogram"] == np.bincount(flat[flat < 255]).tolist()
    assert info["unreachable"] == pytest.approx((flat == 255).mean())
    assert info["created_by"].startswith("gradformer-dgl ")


def test_other_edge_weights_are_refused(tmp_path):
    rng = np.random.default_rng(7)
    graphs = [nx.gnm_random_graph(9, 14, seed=seed) for seed in range(5)]
    for graph in graphs:
        nx.set_edge_attributes(graph, {edge: float(rng.integers(1, 9)) for edge in graph.edges}, "weight")
    cache = preprocess_graphs(graphs, tmp_path / "x.h5", n_jobs=1, extra_distances=("weighted", "resistance"))
    weighted = GraphStructures.from_graphs(graphs, edge_weight="weight")
    cache.verify(weighted)
    # Who does not use the weights need not have them.
    cache.verify(graphs)
    assert cache.weighted
    for number, graph in enumerate(graphs):
        expected = nx.floyd_warshall_numpy(graph)
        np.testing.assert_allclose(cache.extra_distance("weighted", number), expected)
    u, v = next(iter(graphs[3].edges))
    graphs[3].edges[u, v]["weight"] += 1
    with pytest.raises(CacheError, match="the edge weights of graph 3 differ"):
        cache.verify(GraphStructures.from_graphs(graphs, edge_weight="weight"))
    plain = preprocess_graphs(graphs, tmp_path / "plain.h5", n_jobs=1)
    with pytest.raises(CacheError, match="knows no edge weights"):
        plain.weight_fingerprints()


def test_no_such_graph_or_encoding(cache_file):
    cache = DistanceCache(cache_file)
    with pytest.raises(IndexError, match="graph 211 of a cache of 211 graphs"):
        cache[211]
    with pytest.raises(IndexError, match="graphs 5 to 212 of a cache of 211"):
        cache.read(5, 212)
    message = r"has no encoding rwse:20 \(it has lappe:3, rwse:5\): .* with `--encodings rwse:20`"
    with pytest.raises(CacheError, match=message):
        cache.encoding("rwse:20", 0)
    np.testing.assert_array_equal(cache.encoding("rwse"), cache.encoding("rwse:5"))


def test_a_name_that_could_be_two(tmp_path):
    cache = preprocess_graphs([([0], [1], 2)], tmp_path / "two.h5", n_jobs=1, encodings=("rwse:2", "rwse:3"))
    with pytest.raises(CacheError, match=r"no encoding rwse \(it has rwse:2, rwse:3\): say which"):
        cache.encoding("rwse")


def test_other_data_is_refused(cache_file, structures):
    cache = DistanceCache(cache_file)
    with pytest.raises(CacheError, match="holds 211 graphs, the data set 210: preprocess this data set"):
        cache.verify(structures.slice(0, 210))
    graphs = [structures.slice(index, index + 1) for index in range(211)]
    graphs[137] = GraphStructures([2], [1], [0], [1])
    with pytest.raises(CacheError, match="belongs to other data: graph 137 differs"):
        cache.verify(GraphStructures.concatenate(graphs))

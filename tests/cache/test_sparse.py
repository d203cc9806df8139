import dgl
import numpy as np
import pytest
import torch
from files import break_chunk, hops, random_graphs, write_cache

from gradformer_dgl.cache import DistanceCache, reader
from gradformer_dgl.cache.neighborhood import Neighborhood
from gradformer_dgl.support.errors import CacheError

SIZES = (0, 5, 31, 0, 1, 71, 2, 230, 0)
LAYOUTS = ("dense", "sparse")


def as_matrix(near: Neighborhood) -> np.ndarray:
    rows = len(near.indptr) - 1
    matrix = np.full((rows, near.num_nodes), np.inf)
    matrix[np.repeat(np.arange(rows), np.diff(near.indptr)), near.indices] = near.distances
    return matrix


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("directed", "max_distance", "dtype"), [(False, 3, np.uint8), (True, 9, np.uint16)])
def test_neighborhoods_are_the_pairs_within_the_cutoff(tmp_path, layout, directed, max_distance, dtype):
    matrices = [hops(graph, directed, max_distance) for graph in random_graphs(SIZES)]
    options = {"directed": directed, "max_distance": max_distance, "dtype": dtype}
    cache = DistanceCache(write_cache(tmp_path / "x.h5", matrices, layout=layout, **options))
    cache.verify()
    assert (cache.layout, cache.dtype, cache.directed, cache.max_distance) == (
        layout,
        dtype,
        directed,
        max_distance,
    )
    for graph in [7, 2, 0, -1, 5, 7, 1, 4]:
        matrix = matrices[graph]
        near = cache.neighborhood(graph)
        assert (near.indptr.dtype, near.indices.dtype, near.distances.dtype) == (np.int64, np.int32, dtype)
        np.testing.assert_array_equal(as_matrix(near), matrix)
        # Every pair once and in order, as its number in the matrix tells.
        rows = np.repeat(np.arange(len(matrix)), np.diff(near.indptr))
        assert (np.diff(rows * len(matrix) + near.indices) > 0).all()
        for start, stop in [(0, 0), (len(matrix) // 3, len(matrix) // 2), (len(matrix) // 2, None)]:
            part = cache.neighborhood(graph, start, stop)
            assert part.indptr[0] == 0
            np.testing.assert_array_equal(as_matrix(part), matrix[start:stop])
    for start, stop in [(-1, 2), (2, 1), (0, 6)]:
        with pytest.raises(IndexError, match=f"rows {start} to {stop} of a graph of 5 nodes"):
            cache.neighborhood(1, start, stop)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dgl_takes_a_neighborhood_as_it_is(tmp_path, layout):
    matrix = hops(random_graphs([71])[0], True, 3)
    path = write_cache(tmp_path / "x.h5", [matrix], layout=layout, directed=True, max_distance=3)
    near = DistanceCache(path).neighborhood(0)
    graph = dgl.graph(("csr", (near.indptr, near.indices, [])))
    src, dst = (ends.numpy() for ends in graph.edges())
    assert graph.num_nodes() == 71
    np.testing.assert_array_equal(matrix[src, dst], near.distances)
    assert graph.num_edges() == np.isfinite(matrix).sum()


def test_a_range_of_rows_reads_no_others(tmp_path):
    chain = np.abs(np.subtract.outer(np.arange(1601), np.arange(1601))).astype(float)
    matrices = [np.zeros((1, 1)), np.where(chain > 9, np.inf, chain)]
    path = write_cache(tmp_path / "chain.h5", matrices, layout="sparse", max_distance=9)
    first_bad = DistanceCache(path)._array("near_nodes").layout.chunk_rows * 3
    break_chunk(path, "near_nodes", 3)
    cache = DistanceCache(path)
    row = first_bad // 19
    assert as_matrix(cache.neighborhood(1, 0, row - 7)).shape == (row - 7, 1601)
    np.testing.assert_array_equal(as_matrix(cache.neighborhood(1, 1500, 1600)), matrices[1][1500:1600])
    with pytest.raises(CacheError, match="near_nodes of graphs 1 to 1: checksum differs; preprocess again"):
        cache.neighborhood(1, row + 7, row + 8)
    with pytest.raises(CacheError, match="near_nodes of graphs 1 to 1"):
        cache.verify()


def test_a_sparse_cache_has_no_matrices(tmp_path):
    path = write_cache(tmp_path / "x.h5", [np.zeros((1, 1))] * 2, layout="sparse", max_distance=3)
    cache = DistanceCache(path)
    message = "is sparse, pairs farther apart than 3 are not in it: use neighborhood"
    for ask in (
        lambda: cache[0],
        cache.read,
        lambda: cache.rows(1, 0, 1),
        lambda: cache.as_graphormer_bias(0),
    ):
        with pytest.raises(CacheError, match=message):
            ask()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"near_counts": [2, 2, 1, 3, 3, 2]}, "near_counts add up to 13, near_nodes has 14 rows"),
        ({"near_counts": [2, 2, 1, -1, 7, 3]}, "near_counts of graph 2: a count does not fit a graph of 3"),
        ({"near_counts": [2, 2, 1, 7, 1, 1]}, "near_counts of graph 2: a count does not fit a graph of 3"),
        ({"near_counts": [4, 1, 1, 3, 3, 2]}, "near_counts of graph 0: they do not fit its nodes"),
        ({"near_counts": [1, -3, 1, 3, 3, 3]}, "near_counts of graph 0: they do not fit its nodes"),
        ({"near_nodes": [0, 1, 0, 1, 0, *[0, 1, 2] * 2, 0, 1, 3]}, "near_nodes of graph 2: an id is beyond"),
        ({"near_nodes": [0, 1, 0, 1, 0, *[0, 1, 2] * 2, -1, 1, 2]}, "near_nodes of graph 2: an id is beyond"),
    ],
)
def test_near_pairs_that_cannot_be(tmp_path, changed, message):
    matrices = [np.ones((2, 2)), np.ones((1, 1)), np.ones((3, 3))]
    changed = {name: np.array(values) for name, values in changed.items()}
    path = write_cache(tmp_path / "x.h5", matrices, layout="sparse", max_distance=1, **changed)
    cache = DistanceCache(path)
    with pytest.raises(CacheError, match=f"is broken: {message}"):
        cache.neighborhood(2)


def test_headers_of_near_pairs_that_cannot_be(tmp_path):
    three = [np.zeros((3, 3))]
    path = write_cache(tmp_path / "a.h5", three, layout="sparse", max_distance=None)
    with pytest.raises(CacheError, match="it has a sparse layout without a cut-off"):
        DistanceCache(path)
    path = write_cache(
        tmp_path / "b.h5",
        three,
        layout="sparse",
        max_distance=1,
        near_nodes=np.zeros(10),
        near_distances=np.zeros(10),
    )
    with pytest.raises(CacheError, match="near_nodes has 10 rows, the graphs have 9 pairs"):
        DistanceCache(path)


def test_rows_of_a_matrix_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    matrices = [hops(graph) for graph in random_graphs([2, 101])]
    extra = np.concatenate([matrix.ravel() for matrix in matrices])
    path = write_cache(tmp_path / "x.h5", matrices, extra_distances={"weighted": extra})
    cache = DistanceCache(path)
    monkeypatch.setattr(reader, "machine_memory", lambda: 5000)
    for start, stop in [(0, 49), (49, 98), (98, 101)]:
        found = cache.rows(1, start, stop)
        np.testing.assert_array_equal(np.where(found == 255, np.inf, found), matrices[1][start:stop])
    message = (
        r"rows 0 to 101 of distances of graph 1 \(101 nodes\) take 0\.0 GiB, this machine has 0\.0 GiB of "
        r"memory: read fewer rows at a time with rows\(1, start, stop\)"
    )
    with pytest.raises(CacheError, match=message):
        cache[1]
    with pytest.raises(CacheError, match="read fewer rows at a time"):
        cache.neighborhood(1)
    with pytest.raises(CacheError, match=r"graphs 0 to 2 take .*: read fewer graphs at a time"):
        cache.read()
    with pytest.raises(CacheError, match=r"rows 0 to 101 of extra_distances/weighted of graph 1"):
        cache.extra_distance("weighted", 1)
    assert cache[0].shape == (2, 2)


def test_extra_distances(tmp_path):
    matrices = [hops(graph) for graph in random_graphs(SIZES)]
    rng = np.random.default_rng(2)
    extra = {
        name: np.concatenate([(matrix * rng.random(matrix.shape)).ravel() for matrix in matrices]).astype(
            "f4"
        )
        for name in ("weighted", "resistance")
    }
    cache = DistanceCache(write_cache(tmp_path / "x.h5", matrices, extra_distances=extra))
    cache.verify()
    assert cache.extra_distances == ("resistance", "weighted")
    assert not cache.weighted
    first = 0
    for graph, size in enumerate(SIZES):
        for name, flat in extra.items():
            np.testing.assert_array_equal(
                cache.extra_distance(name, graph), flat[first : first + size**2].reshape(size, size)
            )
        first += size**2
    plain = DistanceCache(write_cache(tmp_path / "plain.h5", matrices))
    message = r"has no distances resistance \(it has none .*\): .* with `--extra-distances resistance`"
    with pytest.raises(CacheError, match=message):
        plain.extra_distance("resistance", 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_diameters(tmp_path, layout):
    matrices = [hops(graph, max_distance=7) for graph in random_graphs((*SIZES, 400, 0), degree=1.1)]
    cache = DistanceCache(write_cache(tmp_path / "x.h5", matrices, layout=layout, max_distance=7))
    expected = [matrix[np.isfinite(matrix)].max(initial=0) for matrix in matrices]
    np.testing.assert_array_equal(cache.diameters(), expected)


def test_graphormer_takes_its_inputs_from_a_cache(tmp_path):
    graphs = [dgl.graph((src, dst), num_nodes=size) for src, dst, size in random_graphs([7, 19, 5], seed=3)]
    graphs = [dgl.to_bidirected(dgl.remove_self_loop(graph)) for graph in graphs]
    triples = [(*(ends.numpy() for ends in graph.edges()), graph.num_nodes()) for graph in graphs]
    degrees = [np.stack([graph.in_degrees(), graph.out_degrees()], axis=1) for graph in graphs]
    path = write_cache(
        tmp_path / "x.h5",
        [hops(triple) for triple in triples],
        encodings={"degree:2": np.concatenate(degrees)},
    )

    cache = DistanceCache(path)
    distances = torch.full((3, 19, 19), -1)
    in_and_out = torch.zeros((2, 3, 19), dtype=torch.int64)
    for graph, size in enumerate(cache.node_counts):
        distances[graph, :size, :size] = torch.from_numpy(cache.as_graphormer_bias(graph))
        in_and_out[:, graph, :size] = torch.from_numpy(cache.encoding("degree:2", graph)).T
    spatial = dgl.nn.SpatialEncoder(max_dist=5, num_heads=4)
    degree = dgl.nn.DegreeEncoder(max_degree=9, embedding_dim=8)
    bias, centrality = spatial(distances), degree(in_and_out)

    assert bias.shape == (3, 19, 19, 4)
    for number, graph in enumerate(graphs):
        size = graph.num_nodes()
        alone = spatial(dgl.shortest_dist(graph, root=None, return_paths=False)[None])[0]
        assert torch.equal(bias[number, :size, :size], alone)
        degrees_alone = torch.stack([graph.in_degrees()[None], graph.out_degrees()[None]])
        assert torch.equal(centrality[number, :size], degree(degrees_alone)[0])

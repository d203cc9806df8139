"""A reader written from the specification alone reads what the package writes."""

import numpy as np
import pytest
from pages import DOCS, blocks
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data import load_dataset
from gradformer_dgl.preprocess import preprocess_graphs


@pytest.fixture(scope="module")
def reader():
    """The names that the reader on the page of the format defines."""
    first = next(block for block in blocks(DOCS / "cache_format.md") if "def distance_matrices" in block.text)
    assert "gradformer" not in first.text.replace("gradformer-dgl-distances", "")
    names: dict = {}
    exec(first.text, names)
    return names


def graphs_of(structures, numbers):
    """Return edges (src, dst) and node count of some graphs."""
    ends = np.cumsum(structures.edge_counts)
    for graph in numbers:
        part = slice(ends[graph] - structures.edge_counts[graph], ends[graph])
        yield structures.src[part], structures.dst[part], int(structures.node_counts[graph])


def hops(src, dst, size):
    # SciPy before 1.15 searches matrices with indices of 32 bits only.
    src, dst = src.astype(np.int32), dst.astype(np.int32)
    matrix = csr_array((np.ones(len(src)), (src, dst)), shape=(size, size))
    found = shortest_path(matrix, directed=False, unweighted=True)
    return np.where(np.isinf(found), -1, found).astype(np.int64)


@pytest.fixture(scope="module", params=["NCI1", "NCI-TPSA"])
def structures(request):
    """The graphs of a whole data set."""
    root = request.getfixturevalue("data_root") if request.param == "NCI1" else None
    return load_dataset(request.param, root).graphs.structures()


def test_the_reader_finds_the_distances(reader, structures, tmp_path):
    cache = preprocess_graphs(structures, tmp_path / "whole.h5", n_jobs=1)
    matrices = list(reader["distance_matrices"](cache.path))
    assert len(matrices) == len(structures)
    numbers = range(0, len(structures), 13)
    for number, (src, dst, size) in zip(numbers, graphs_of(structures, numbers), strict=True):
        np.testing.assert_array_equal(matrices[number], hops(src, dst, size))
    ours = np.concatenate([matrix.ravel() for matrix in matrices])
    np.testing.assert_array_equal(np.where(ours < 0, 255, ours), cache.read())
    histogram = np.bincount(ours[ours >= 0])
    np.testing.assert_array_equal(histogram, cache.histogram())


def test_the_reader_finds_near_pairs(reader, structures, tmp_path):
    path = tmp_path / "near.h5"
    structures = structures.slice(0, 1000)
    preprocess_graphs(structures, path, n_jobs=1, layout="sparse", max_distance=3)
    numbers = range(0, len(structures), 29)
    matrices = list(reader["distance_matrices"](path))
    assert len(matrices) == 1000
    for number, (src, dst, size) in zip(numbers, graphs_of(structures, numbers), strict=True):
        whole = hops(src, dst, size)
        np.testing.assert_array_equal(matrices[number], np.where(whole > 3, -1, whole))


def test_the_fingerprints_are_those_of_the_specification(reader, structures, tmp_path):
    cache = preprocess_graphs(structures.slice(0, 60), tmp_path / "few.h5", n_jobs=1)
    found = [
        reader["fingerprint"](size, zip(src.tolist(), dst.tolist(), strict=True))
        for src, dst, size in graphs_of(structures, range(60))
    ]
    assert found == DistanceCache(cache.path).fingerprints().tolist()


@pytest.mark.parametrize("directed", [False, True])
def test_directed_graphs_and_long_paths(reader, tmp_path, directed):
    length = 300
    chain = (list(range(length - 1)), list(range(1, length)), length)
    graphs = [chain, ([0, 0, 1], [0, 1, 0], 3), ([], [], 0)]
    path = tmp_path / "long.h5"
    preprocess_graphs(graphs, path, directed=directed)
    first, second, third = reader["distance_matrices"](path)
    steps = np.arange(length) - np.arange(length)[:, None]
    np.testing.assert_array_equal(first, np.where(steps < 0, -1, steps) if directed else abs(steps))
    assert second.tolist() == [[0, 1, -1], [1, 0, -1], [-1, -1, 0]]
    assert third.shape == (0, 0)
    _, attributes = reader["open_checked"](path)
    assert (attributes["directed"], attributes["unreachable"]) == (directed, 65535)
    edges = list(zip(*chain[:2], strict=True))
    prints = DistanceCache(path).fingerprints()
    assert prints[0] == reader["fingerprint"](length, edges, directed)
    assert prints[1] == reader["fingerprint"](3, [(0, 0), (0, 1), (1, 0)], directed)


def test_the_reader_notices_changed_attributes(reader, tmp_path):
    import h5py

    preprocess_graphs([([0], [1], 2)], tmp_path / "two.h5")
    with h5py.File(tmp_path / "two.h5", "r+") as file:
        file.attrs["num_graphs"] = 2
    with pytest.raises(AssertionError):
        reader["open_checked"](tmp_path / "two.h5")

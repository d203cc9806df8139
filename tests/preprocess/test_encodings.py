import networkx as nx
import numpy as np
import pytest

from gradformer_dgl.preprocess import GraphStructures
from gradformer_dgl.preprocess import laplacian as laplacian_module
from gradformer_dgl.preprocess.encodings import parse_encodings
from gradformer_dgl.preprocess.laplacian import laplacian_eigenvectors
from gradformer_dgl.preprocess.random_walks import return_probabilities
from gradformer_dgl.support.errors import ConfigError


def random_structures(seed, count=29):
    rng = np.random.default_rng(seed)
    graphs = []
    for _ in range(count):
        num_nodes = int(rng.choice([0, 1, 2, 5, 13, 13, 13, 29, 67, 131]))
        src, dst = rng.integers(0, max(num_nodes, 1), (2, int(rng.choice([0, 1, 3, 7]) * num_nodes)))
        graphs.append((src, dst, num_nodes))
    return GraphStructures.from_graphs(graphs)


def adjacency_matrices(structures, directed):
    for index in range(len(structures)):
        part = structures.slice(index, index + 1)
        matrix = np.zeros((int(part.node_counts[0]),) * 2)
        matrix[part.src, part.dst] = 1
        if not directed:
            matrix[part.dst, part.src] = 1
        np.fill_diagonal(matrix, 0)
        yield matrix


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("columns", [1, 2, 7, 20])
def test_return_probabilities_equal_dense_powers(columns, directed):
    structures = random_structures(columns)
    expected = []
    for matrix in adjacency_matrices(structures, directed):
        transition = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
        powers = [np.linalg.matrix_power(transition, step + 1) for step in range(columns)]
        expected.append(np.stack([power.diagonal() for power in powers], axis=1))
    found = return_probabilities(structures, columns, directed)
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-6, atol=1e-9)


def test_published_encodings(golden):
    structures = GraphStructures(
        golden["graphs/num_nodes"], golden["graphs/num_edges"], golden["graphs/src"], golden["graphs/dst"]
    )
    expected = np.concatenate([golden[f"pe/rwpe6_{index}"] for index in range(5)])
    np.testing.assert_allclose(return_probabilities(structures, 6, True), expected, atol=1e-6)
    found = laplacian_eigenvectors(structures.slice(0, 1), 3)
    np.testing.assert_allclose(np.abs(found), np.abs(golden["pe/lap3_0"]), atol=1e-6)


def assert_lowest_eigenvectors(matrix, vectors, columns):
    """Orthonormal eigenvectors with the eigenvalues 1 .. k, whatever the basis of a repeated one."""
    size = len(matrix)
    scale = 1 / np.sqrt(np.maximum(1, matrix.sum(1)))
    laplacian = np.eye(size) - scale[:, None] * matrix * scale
    there = max(0, min(columns, size - 1))
    assert not vectors[:, there:].any()
    vectors = vectors[:, :there].astype(np.float64)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(there), atol=1e-5)
    values = np.linalg.eigvalsh(laplacian)[1 : there + 1]
    np.testing.assert_allclose(laplacian @ vectors, vectors * values, atol=1e-5)


@pytest.mark.parametrize("dense", [True, False])
def test_laplacian_eigenvectors(dense, monkeypatch):
    if not dense:
        monkeypatch.setattr(laplacian_module, "MOST_DENSE_NODES", 10)
    structures = random_structures(seed=5)
    found = laplacian_eigenvectors(structures, 3)
    start = 0
    for matrix in adjacency_matrices(structures, directed=False):
        assert_lowest_eigenvectors(matrix, found[start : start + len(matrix)], 3)
        start += len(matrix)
    assert start == len(found)


def test_signs_are_fixed_and_runs_repeat(monkeypatch):
    structures = GraphStructures.from_graphs([nx.cycle_graph(7), nx.path_graph(11), nx.grid_2d_graph(5, 13)])
    found = laplacian_eigenvectors(structures, 4)
    np.testing.assert_array_equal(found, laplacian_eigenvectors(structures, 4))
    for part in np.split(found, np.cumsum(structures.node_counts)[:-1]):
        assert (part.max(axis=0) >= np.abs(part).max(axis=0) * (1 - 1e-5)).all()
    monkeypatch.setattr(laplacian_module, "MOST_STACKED", 1)
    np.testing.assert_array_equal(found, laplacian_eigenvectors(structures, 4))


def test_encodings_of_a_name_are_computed_once():
    assert [encoding.name for encoding in parse_encodings(["rwse:5", "lappe:3", "rwse:5"])] == [
        "rwse:5",
        "lappe:3",
    ]
    assert [encoding.name for encoding in parse_encodings("rwse:5")] == ["rwse:5"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rwpe:5", "no encoding 'rwpe:5': there are lappe:k, rwse:k"),
        ("rwse", "encoding 'rwse' needs its number of columns, 1 to 1024, as in rwse:20"),
        ("rwse:0", "needs its number of columns"),
        ("lappe:-1", "needs its number of columns"),
        ("lappe:9999", "needs its number of columns"),
    ],
)
def test_unknown_encodings(name, message):
    with pytest.raises(ConfigError, match=message):
        parse_encodings([name])

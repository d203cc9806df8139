"""CLUSTER and PATTERN: stochastic block models, generated from their published recipe with a seed.

The published sets were made without a seed. These are of the same distribution, not the same graphs.
"""

from pathlib import Path

import numpy as np
import torch

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.data.readers.cluster_pattern_kernel import count_edges, fill_edges

LOWEST, HIGHEST = 5, 34
"""Nodes in a community, or in a pattern, drawn uniformly from these and all between."""
_PATTERNS = 100


def read_cluster(
    name: str = "CLUSTER",
    data_root: str | Path | None = None,
    *,
    seed: int = 0,
    graphs: tuple[int, int, int] = (10_000, 1_000, 1_000),
) -> GraphDataset:
    """Generate CLUSTER: find the community of every node, of six, from one marked node in each.

    Six communities of 5 to 34 nodes; an edge with the probability 0.55 within, 0.25 across. Node feature: 0,
    but r + 1 at one node of community r.

    Parameters
    ----------
    name : str
        The name that the result has.
    data_root : str or Path, optional
        Not used; there so that all readers are called alike.
    seed : int
        Of the generator.
    graphs : tuple of int
        Number of graphs for training, validation and testing.

    Returns
    -------
    GraphDataset
        A node task with six classes.

    References
    ----------
    Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 24 (2023), section 3.1.

    Examples
    --------
    >>> data = read_cluster(graphs=(2, 1, 1))
    >>> len(data), data.level, data.out_size, data.graphs.labels.unique().tolist()
    (4, 'node', 6, [0, 1, 2, 3, 4, 5])
    """
    rng = np.random.default_rng(seed)
    communities, classes = 6, 6
    sizes = rng.integers(LOWEST, HIGHEST + 1, (sum(graphs), communities))
    node_counts = sizes.sum(1)
    labels = _shuffled(
        np.repeat(np.tile(np.arange(communities), len(sizes)), sizes.ravel()), node_counts, rng
    )
    # Sorted by graph and community, one node drawn out of each.
    owner = np.repeat(np.arange(len(sizes)), node_counts)
    sorted_nodes = np.lexsort((labels, owner))
    begins = np.cumsum(sizes.ravel()) - sizes.ravel()
    marked = sorted_nodes[begins + rng.integers(0, sizes.ravel())]
    features = np.zeros(len(labels), np.int64)
    features[marked] = np.tile(np.arange(communities), len(sizes)) + 1
    chances = np.full((communities, communities), 0.25)
    np.fill_diagonal(chances, 0.55)
    packed = _packed(node_counts, labels, np.full(len(labels), -1), np.arange(len(sizes)), chances, seed)
    return _dataset(name, packed, features, labels, communities + 1, classes, graphs)


def read_pattern(
    name: str = "PATTERN",
    data_root: str | Path | None = None,
    *,
    seed: int = 0,
    graphs: tuple[int, int, int] = (10_000, 2_000, 2_000),
) -> GraphDataset:
    """Generate PATTERN: find the nodes of a pattern that is hidden in a larger graph.

    Hundred patterns of 5 to 34 nodes, each in as many graphs as the others; an edge with the probability 0.5
    within a pattern, the same edges and features wherever it is. The rest of a graph: five communities, 0.5
    within, 0.35 across; 0.5 between them and the pattern. Node feature: 0, 1 or 2 at random.

    Parameters
    ----------
    name, data_root, seed, graphs
        See :func:`read_cluster`.

    Returns
    -------
    GraphDataset
        A node task with two classes: 1 for a node of the pattern.

    References
    ----------
    Dwivedi et al., "Benchmarking Graph Neural Networks", JMLR 24 (2023), section 3.1.

    Examples
    --------
    >>> data = read_pattern(graphs=(2, 1, 1))
    >>> len(data), data.level, data.out_size, data.graphs.node_features.unique().tolist()
    (4, 'node', 2, [0, 1, 2])
    """
    rng = np.random.default_rng(seed)
    bases, colours = 5, 3
    pattern_sizes = rng.integers(LOWEST, HIGHEST + 1, _PATTERNS)
    pattern_features = rng.integers(0, colours, (_PATTERNS, HIGHEST))
    pattern = np.concatenate([np.arange(count) % _PATTERNS for count in graphs])
    sizes = rng.integers(LOWEST, HIGHEST + 1, (len(pattern), bases + 1))
    sizes[:, bases] = pattern_sizes[pattern]
    node_counts = sizes.sum(1)
    # The place of a node in its community, which says who it is in a pattern.
    kinds = np.repeat(np.tile(np.arange(bases + 1), len(sizes)), sizes.ravel())
    places = np.arange(len(kinds)) - np.repeat(np.cumsum(sizes.ravel()) - sizes.ravel(), sizes.ravel())
    places = np.where(kinds == bases, places, -1)
    order = _shuffled(np.arange(len(kinds)), node_counts, rng)
    kinds, places = kinds[order], places[order]
    owner = np.repeat(pattern, node_counts)
    features = np.where(places >= 0, pattern_features[owner, places], rng.integers(0, colours, len(kinds)))
    chances = np.full((bases + 1, bases + 1), 0.35)
    np.fill_diagonal(chances, 0.5)
    chances[bases] = chances[:, bases] = 0.5
    packed = _packed(node_counts, kinds, places, pattern, chances, seed)
    return _dataset(name, packed, features, (kinds == bases).astype(np.int64), colours, 2, graphs)


def _shuffled(values: np.ndarray, node_counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle the nodes of each graph."""
    owner = np.repeat(np.arange(len(node_counts)), node_counts)
    return values[np.lexsort((rng.random(len(values)), owner))]


def _packed(
    node_counts: np.ndarray,
    kinds: np.ndarray,
    places: np.ndarray,
    pattern: np.ndarray,
    chances: np.ndarray,
    seed: int,
) -> PackedGraphs:
    """Draw the edges: both directions of each, sorted."""
    limits = np.round(chances * 2**32).astype(np.uint64)
    drawn = (node_counts, kinds, places, pattern, limits, seed)
    degrees = np.zeros(len(kinds), np.int64)
    count_edges(*drawn, degrees)
    begins = np.cumsum(degrees) - degrees
    src, dst = np.empty(degrees.sum(), np.int32), np.empty(degrees.sum(), np.int32)
    fill_edges(*drawn, begins, src, dst)
    nodes = np.cumsum(node_counts)
    totals = np.concatenate([[0], np.cumsum(degrees)])
    edge_counts = np.diff(totals[np.concatenate([[0], nodes])])
    return PackedGraphs(
        torch.from_numpy(node_counts),
        torch.from_numpy(edge_counts),
        torch.from_numpy(src),
        torch.from_numpy(dst),
    )


def _dataset(
    name: str,
    packed: PackedGraphs,
    features: np.ndarray,
    labels: np.ndarray,
    categories: int,
    classes: int,
    graphs: tuple[int, int, int],
) -> GraphDataset:
    packed.node_features, packed.labels = torch.from_numpy(features), torch.from_numpy(labels)
    packed.label_level = "node"
    parts = torch.arange(sum(graphs)).split(list(graphs))
    return GraphDataset(
        name=name,
        graphs=packed,
        task="multiclass",
        level="node",
        out_size=classes,
        output_names=tuple(str(number) for number in range(classes)),
        node_encoder="embedding",
        node_size=categories,
        splits=dict(zip(("train", "val", "test"), parts, strict=True)),
    )

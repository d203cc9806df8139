"""SBM-NODES: one stochastic block model of any size, whose nodes are to be classified."""

from pathlib import Path

import numpy as np
import torch

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.readers.node_classification import both_ways, node_dataset
from gradformer_dgl.preprocess.estimate import bytes_text
from gradformer_dgl.support.errors import DataError
from gradformer_dgl.support.memory import machine_memory

NAME = "SBM-NODES"
DEFAULT_NODES = 10_000
LEAST_NODES, MOST_NODES = 100, 100_000_000
EDGE_BYTES, CELL_BYTES = 100, 8
"""Memory per neighbour and per feature of a node: 6 to 50 % above measurements of a million nodes."""


def read_sbm_nodes(
    name: str = NAME,
    data_root: str | Path | None = None,
    *,
    seed: int = 0,
    communities: int = 10,
    degree: float = 6.0,
    mixing: float = 0.3,
    noise: float = 1.0,
) -> GraphDataset:
    """Generate one graph of communities: find the community of every node.

    Nodes have a random community and on average ``degree`` neighbours. Features are one column per community:
    1 in that of the node and 0 in the others, plus normal noise, so that neighbours are needed to find it. A
    tenth of the nodes is for training, a tenth for validation, the rest for testing.

    Parameters
    ----------
    name : str
        ``"SBM-NODES"``, of 10,000 nodes, or with the number of nodes at the end, as ``"SBM-NODES-250000"``.
    seed : int
        Seed of the generator.
    communities, degree, mixing, noise : int or float
        Number of classes, mean number of neighbours, fraction of edges whose ends are drawn regardless of
        communities, and standard deviation of the noise.

    Returns
    -------
    GraphDataset
        A node task on one graph, made in time and memory linear in its size.

    Raises
    ------
    DataError
        If the number of nodes is below 100 or beyond 100,000,000, or more than fits into memory.

    Notes
    -----
    Edges are drawn one by one, loops and repetitions left out: for large graphs the stochastic block model of
    Holland et al., "Stochastic blockmodels: first steps", Social Networks 5 (1983).

    Examples
    --------
    >>> data = read_sbm_nodes("SBM-NODES-1000")
    >>> len(data), data.graphs.num_nodes, data.out_size, len(data.node_splits["train"])
    (1, 1000, 10, 100)
    """
    size = name.rpartition("-")[2]
    nodes = int(size) if size.isdecimal() else DEFAULT_NODES
    name = f"{NAME}-{nodes}" if size.isdecimal() else name
    if not LEAST_NODES <= nodes <= MOST_NODES:
        raise DataError(f"{name}: the number of nodes is between {LEAST_NODES} and {MOST_NODES:,}")
    taken, memory = nodes * (EDGE_BYTES * degree + CELL_BYTES * communities), machine_memory()
    if taken > memory:
        raise DataError(
            f"{name} takes about {bytes_text(taken)} of memory to make, but this machine has "
            f"{bytes_text(memory)}: take fewer nodes"
        )
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, communities, nodes)
    src, dst = _edges(labels, communities, round(degree * nodes / 2), mixing, rng)
    features = rng.standard_normal((nodes, communities), dtype=np.float32) * np.float32(noise)
    features[np.arange(nodes), labels] += 1
    order = torch.from_numpy(rng.permutation(nodes))
    tenth = nodes // 10
    parts = order.split([tenth, tenth, nodes - 2 * tenth])
    splits = dict(zip(("train", "val", "test"), parts, strict=True))
    return node_dataset(name, src, dst, features, labels, communities, splits)


def _edges(
    labels: np.ndarray, communities: int, count: int, mixing: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw edges, both directions of each, sorted by source."""
    nodes = len(labels)
    one = rng.integers(0, nodes, count)
    members = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=communities)
    begins = np.cumsum(sizes) - sizes
    community = labels[one]
    within = members[begins[community] + rng.integers(0, sizes[community])]
    other = np.where(rng.random(count) < mixing, rng.integers(0, nodes, count), within)
    differ = one != other
    return both_ways(one[differ], other[differ], nodes)

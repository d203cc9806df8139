"""ogbn-arxiv: the subject of every paper of a citation graph, with the split of OGB by year."""

from pathlib import Path

import numpy as np

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.readers.node_classification import both_ways, node_dataset
from gradformer_dgl.data.readers.ogb_files import ogb_folder, read_split, read_table, split_paths
from gradformer_dgl.support.errors import DataError

_EDGES, _FEATURES, _LABELS = (f"raw/{name}.csv.gz" for name in ("edge", "node-feat", "node-label"))
CLASSES = 40


def read_arxiv(name: str = "ogbn-arxiv", data_root: str | Path | None = None) -> GraphDataset:
    """Read ogbn-arxiv: one graph of 169,343 papers, each with one of 40 subjects.

    Parameters
    ----------
    data_root : str or Path, optional
        The folder with ``ogbn_arxiv`` as the package ogb keeps it, which is downloaded where it is missing.
        Default: ``~/.cache/gradformer_dgl``.

    Returns
    -------
    GraphDataset
        A node task on one graph; papers of which one cites the other have one edge in each direction.
    """
    paths = (*split_paths("time").values(), _FEATURES, _LABELS, _EDGES)
    archive, variable = "nodeproppred/arxiv.zip", "GRADFORMER_DGL_ARXIV_URL"
    folder = ogb_folder(data_root, "ogbn_arxiv", archive, variable, *paths)
    features = read_table(folder / _FEATURES, np.float32)
    labels = read_table(folder / _LABELS, np.int64)[:, 0]
    edges = read_table(folder / _EDGES, np.int64)
    nodes = len(features)
    fits = len(labels) == nodes and edges.shape[1] == 2
    if not fits or not 0 <= edges.min(initial=0) <= edges.max(initial=0) < nodes:
        raise DataError(f"{folder}: edges and labels are not of its {nodes} nodes; get the data again")
    splits = read_split(folder, "time", nodes, "nodes")
    if not 0 <= labels.min() <= labels.max() < CLASSES:
        raise DataError(f"{folder}: a label is not among the {CLASSES} classes; get the data again")
    src, dst = both_ways(edges[:, 0], edges[:, 1], nodes)
    return node_dataset(name, src, dst, features, labels, CLASSES, splits)

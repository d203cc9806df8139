"""ogbn-arxiv: the subject of every paper of a citation graph, with the split of OGB by year.

Hu et al., "Open Graph Benchmark: datasets for machine learning on graphs", NeurIPS 2020.
"""

import os
import zlib
from pathlib import Path

import numpy as np
import torch

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.readers.download import default_folder, download_zip, unpack
from gradformer_dgl.data.readers.node_classification import both_ways, one_graph
from gradformer_dgl.support.errors import DataError

OGB_URL = "http://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip"
_EDGES, _FEATURES, _LABELS = (f"raw/{name}.csv.gz" for name in ("edge", "node-feat", "node-label"))
_SPLITS = {
    part: f"split/time/{name}.csv.gz"
    for part, name in (("train", "train"), ("val", "valid"), ("test", "test"))
}
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
    root = default_folder() if data_root is None else Path(data_root)
    folder = root / "ogbn_arxiv"
    if not (folder / _EDGES).is_file():
        _download(folder)
    features = _table(folder / _FEATURES, np.float32)
    labels = _table(folder / _LABELS, np.int64)[:, 0]
    edges = _table(folder / _EDGES, np.int64)
    splits = {part: torch.from_numpy(_table(folder / path, np.int64)[:, 0]) for part, path in _SPLITS.items()}
    nodes = len(features)
    numbers = torch.cat(list(splits.values())).sort().values
    fits = len(labels) == nodes and torch.equal(numbers, torch.arange(nodes))
    if not fits or edges.shape[1] != 2 or not 0 <= edges.min(initial=0) <= edges.max(initial=0) < nodes:
        raise DataError(
            f"{folder}: edges, labels and splits are not of its {nodes} nodes; get the data again"
        )
    if not 0 <= labels.min() <= labels.max() < CLASSES:
        raise DataError(f"{folder}: a label is not among the {CLASSES} classes; get the data again")
    src, dst = both_ways(edges[:, 0], edges[:, 1], nodes)
    return one_graph(name, src, dst, features, labels, CLASSES, splits)


def _table(file: Path, dtype: type) -> np.ndarray:
    try:
        return np.loadtxt(file, dtype=dtype, delimiter=",", ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{file} cannot be read ({' '.join(str(error).split())}); get it again") from error


def _download(folder: Path) -> None:
    url = os.environ.get("GRADFORMER_DGL_ARXIV_URL", OGB_URL)
    # The edges last: where they are, everything is.
    paths = (*_SPLITS.values(), _FEATURES, _LABELS, _EDGES)
    unpack(download_zip(url, folder / "arxiv.zip"), folder, paths)

"""Cora, Citeseer and Pubmed: the subject of every paper of a citation graph, with the split of Planetoid.

Yang et al., "Revisiting semi-supervised learning with graph embeddings", ICML 2016. The raw files are old
pickles, which :mod:`~gradformer_dgl.data.readers.planetoid_pickle` reads without running anything in them.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.readers.download import default_folder, download_zip, unpack
from gradformer_dgl.data.readers.node_classification import both_ways, node_dataset
from gradformer_dgl.data.readers.planetoid_pickle import MOST_CELLS, read_planetoid
from gradformer_dgl.support.errors import DataError, one_line

DGL_URL = "https://data.dgl.ai/dataset/{folder}.zip"
_FOLDERS = {"cora": "cora_v2", "citeseer": "citeseer", "pubmed": "pubmed"}
_OBJECTS = ("x", "y", "tx", "ty", "allx", "ally", "graph")
_VALIDATED = 500


def read_citation(name: str, data_root: str | Path | None = None) -> GraphDataset:
    """Read a citation graph: 20 papers of each class for training, 500 for validation, 1,000 for testing.

    Parameters
    ----------
    name : {"Cora", "Citeseer", "Pubmed"}
        Name of the graph.
    data_root : str or Path, optional
        The folder with ``cora_v2``, ``citeseer`` or ``pubmed`` (or with DGL's own folder, which ends with a
        hash), which is downloaded where it is missing. Default: ``~/.cache/gradformer_dgl``.

    Returns
    -------
    GraphDataset
        A node task on one graph, the same as of :class:`dgl.data.CoraGraphDataset` and its like: features
        are the words of a paper, each row divided by its sum.
    """
    root = default_folder() if data_root is None else Path(data_root)
    key = _FOLDERS[name.casefold()]
    files = {part: f"ind.{key}.{part}" for part in (*_OBJECTS, "test.index")}
    # DGL's own folders end with a hash of the address.
    folders = (root / key, *sorted(root.glob(f"{key}_*")))
    there = (folder for folder in folders if all((folder / file).is_file() for file in files.values()))
    folder = next(there, None)
    if folder is None:
        folder = root / key
        url = os.environ.get("GRADFORMER_DGL_CITATION_URL", DGL_URL).format(folder=key)
        unpack(download_zip(url, folder / f"{key}.zip"), folder, files.values())
    parts = {part: read_planetoid(folder / files[part]) for part in _OBJECTS}
    try:
        order = np.loadtxt(folder / files["test.index"], dtype=np.int64, ndmin=1)
        return _dataset(name, parts, order)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, OSError) as error:
        reason = one_line(error)
        raise DataError(f"{folder} does not hold {name} ({reason}); delete it and get it again") from error


def _dataset(name: str, parts: dict[str, Any], order: np.ndarray) -> GraphDataset:
    known = parts["allx"].toarray()
    first, last = int(order.min()), int(order.max())
    nodes = len(parts["graph"])
    if not 0 <= first <= last < nodes or nodes * known.shape[1] > MOST_CELLS:
        raise ValueError(f"its test papers are {first} to {last}, its graph has {nodes} papers")
    features = np.zeros((nodes, known.shape[1]), np.float32)
    classes = parts["ally"].shape[1]
    one_hot = np.zeros((nodes, classes), np.float32)
    features[:first], one_hot[:first] = known, parts["ally"]
    # Test papers come in an order of their own. Those of Citeseer that lack a line have no words.
    features[order], one_hot[order] = parts["tx"].toarray(), parts["ty"]
    sums = features.sum(1, keepdims=True)
    features = np.divide(features, sums, out=np.zeros_like(features), where=sums > 0)
    counts = [len(heads) for heads in parts["graph"].values()]
    tails = np.repeat(np.fromiter(parts["graph"].keys(), np.int64, len(counts)), counts)
    heads = np.array([head for heads in parts["graph"].values() for head in heads], np.int64)
    if min(tails.min(), heads.min(initial=0)) < 0 or max(tails.max(), heads.max(initial=0)) >= nodes:
        raise ValueError(f"a citation is not among its {nodes} papers")
    src, dst = both_ways(tails, heads, nodes)
    trained = len(parts["y"])
    splits = {
        "train": torch.arange(trained),
        "val": torch.arange(trained, trained + _VALIDATED),
        "test": torch.from_numpy(np.sort(order)),
    }
    return node_dataset(name, src, dst, features, one_hot.argmax(1), classes, splits)

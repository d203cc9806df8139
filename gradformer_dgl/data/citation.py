"""Cora, Citeseer and Pubmed: the subject of every paper of a citation graph, with the split of Planetoid.

Yang et al., "Revisiting semi-supervised learning with graph embeddings", ICML 2016. The raw files are old
pickles. They are read by a reader that makes numbers, lists, dictionaries and arrays and refuses everything
else, so that nothing in a file can be run.
"""

import collections
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.download import default_folder, download_zip, unpack
from gradformer_dgl.data.one_graph import one_graph
from gradformer_dgl.errors import DataError

DGL_URL = "https://data.dgl.ai/dataset/{folder}.zip"
_FOLDERS = {"cora": "cora_v2", "citeseer": "citeseer", "pubmed": "pubmed"}
_OBJECTS = ("x", "y", "tx", "ty", "allx", "ally", "graph")
_VALIDATED = 500


def read_citation(name: str, data_root: str | Path | None = None) -> GraphDataset:
    """Read a citation graph: 20 papers of each class for training, 500 for validation, 1,000 for testing.

    Parameters
    ----------
    name : {"Cora", "Citeseer", "Pubmed"}
        Which one.
    data_root : str or Path, optional
        The folder with ``cora_v2``, ``citeseer`` or ``pubmed`` (or with DGL's own folder, which ends with a
        hash), which is downloaded where it is missing. Default: ``~/.cache/gradformer_dgl``.

    Returns
    -------
    GraphDataset
        A node task on one graph, the same as of :class:`dgl.data.CoraGraphDataset` and its like: features
        are the words of a paper, each row divided by its sum.

    Raises
    ------
    DataError
        If the files are missing and cannot be downloaded, or are broken, or hold anything but numbers.
    """
    root = default_folder() if data_root is None else Path(data_root)
    key = _FOLDERS[name.casefold()]
    files = {part: f"ind.{key}.{part}" for part in (*_OBJECTS, "test.index")}
    # DGL's own folders end with a hash of the address.
    there = [
        folder
        for folder in (root / key, *sorted(root.glob(f"{key}_*")))
        if all((folder / file).is_file() for file in files.values())
    ]
    folder = there[0] if there else root / key
    if not there:
        url = os.environ.get("GRADFORMER_DGL_CITATION_URL", DGL_URL).format(folder=key)
        unpack(download_zip(url, folder / f"{key}.zip"), folder, files.values())
    parts = {part: _read(folder / files[part]) for part in _OBJECTS}
    try:
        order = np.loadtxt(folder / files["test.index"], dtype=np.int64, ndmin=1)
        return _dataset(name, parts, order)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{folder} does not hold {name} ({reason}); delete it and get it again") from error


def _dataset(name: str, parts: dict[str, Any], order: np.ndarray) -> GraphDataset:
    known = parts["allx"].dense()
    first, last = int(order.min()), int(order.max())
    nodes = max(last + 1, len(parts["graph"]))
    features = np.zeros((nodes, known.shape[1]), np.float32)
    classes = parts["ally"].shape[1]
    one_hot = np.zeros((nodes, classes), np.float32)
    features[:first], one_hot[:first] = known, parts["ally"]
    # Test papers come in an order of their own. Those of Citeseer that lack a line have no words.
    features[order], one_hot[order] = parts["tx"].dense(), parts["ty"]
    sums = features.sum(1, keepdims=True)
    features = np.divide(features, sums, out=np.zeros_like(features), where=sums > 0)
    counts = [len(heads) for heads in parts["graph"].values()]
    tails = np.repeat(np.fromiter(parts["graph"].keys(), np.int64, len(counts)), counts)
    heads = np.array([head for heads in parts["graph"].values() for head in heads], np.int64)
    both = np.unique(np.concatenate([tails * nodes + heads, heads * nodes + tails]))
    src, dst = np.divmod(both, nodes)
    trained = len(parts["y"])
    splits = {
        "train": torch.arange(trained),
        "val": torch.arange(trained, trained + _VALIDATED),
        "test": torch.from_numpy(np.sort(order)),
    }
    return one_graph(name, src, dst, features, one_hot.argmax(1), classes, splits)


class _Matrix:
    """The fields of a SciPy matrix in compressed rows."""

    def dense(self) -> np.ndarray:
        fields = vars(self)
        shape = fields["_shape"] if "_shape" in fields else fields["shape"]
        matrix = np.zeros(shape, np.float32)
        rows = np.repeat(np.arange(shape[0]), np.diff(fields["indptr"]))
        matrix[rows, fields["indices"]] = fields["data"]
        return matrix


def _new_matrix(kind: type, base: type, state: None) -> _Matrix:
    if kind is not _Matrix:
        raise pickle.UnpicklingError("an object of a kind that is not expected")
    return _Matrix()


def _bytes_of(text: str, encoding: str) -> bytes:
    return text.encode("latin1")


_ARRAY = np.zeros(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _ARRAY,
    ("collections", "defaultdict"): collections.defaultdict,
    ("__builtin__", "list"): list,
    ("builtins", "list"): list,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("scipy.sparse.csr", "csr_matrix"): _Matrix,
    ("scipy.sparse._csr", "csr_matrix"): _Matrix,
    ("copy_reg", "_reconstructor"): _new_matrix,
    ("copyreg", "_reconstructor"): _new_matrix,
    ("_codecs", "encode"): _bytes_of,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def _read(file: Path) -> Any:
    try:
        with file.open("rb") as opened:
            return _Reader(opened, encoding="latin1").load()
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file} cannot be read ({reason}); delete it and get it again") from error

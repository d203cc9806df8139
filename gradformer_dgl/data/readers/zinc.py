"""ZINC (12k): regression of the penalised logP of 12,000 molecules, with fixed splits.

Dwivedi et al., "Benchmarking graph neural networks", JMLR 24 (2023), section 3.1.
"""

import contextlib
import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.data.readers.download import default_folder
from gradformer_dgl.support.errors import DataError, GraphError, one_line

NUM_ATOM_TYPES = 28
# Bonds are 1 single, 2 double, 3 triple in all sources; 0 stays unused.
NUM_BOND_TYPES = 4
_FOLDERS = ("ZINC12k", "ZINC", "zinc")
_SPLITS = ("train", "val", "test")
_ARRAYS = ("num_nodes", "num_edges", "atom_type", "edges", "bond_type", "target")


def read_zinc(name: str = "ZINC", data_root: str | Path | None = None) -> GraphDataset:
    """Read ZINC (12k).

    Parameters
    ----------
    data_root : str or Path, optional
        The folder with ``ZINC12k/graphs.npz`` (or ``ZINC/graphs.npz``), or with the published files as
        :class:`dgl.data.ZINCDataset` keeps them, which it downloads where there are neither.
        Default: ``~/.cache/gradformer_dgl``.

    Returns
    -------
    GraphDataset
        Node features (nodes,) in 28 atom types, edge features (edges,) in 4 bond types, every bond in
        both directions, labels (graphs, 1) float32; splits train, val, test, one after the other.
    """
    root = default_folder() if data_root is None else Path(data_root)
    files = [file for folder in _FOLDERS if (file := root / folder / "graphs.npz").is_file()]
    graphs, sizes = _read_npz(files[0]) if files else _read_published(root)
    parts = torch.arange(sum(sizes)).split(sizes)
    return GraphDataset(
        name=name,
        graphs=graphs,
        task="regression",
        level="graph",
        out_size=1,
        node_encoder="embedding",
        node_size=NUM_ATOM_TYPES,
        edge_encoder="embedding",
        edge_size=NUM_BOND_TYPES,
        splits=dict(zip(_SPLITS, parts, strict=True)),
        output_names=("penalized_logp",),
    )


def _read_npz(file: Path) -> tuple[PackedGraphs, list[int]]:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {key: [archive[f"{split}_{key}"] for split in _SPLITS] for key in _ARRAYS}
    except KeyError as error:
        raise DataError(f"{file} has no array {error.args[0].split(' ')[0]}; get the data again") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} cannot be read ({one_line(error)}); get the data again") from error
    sizes = [len(targets) for targets in arrays["target"]]
    for split, size in zip(_SPLITS, sizes, strict=True):
        _check_csv(file.with_name(f"{split}.csv"), size)
    joined = {key: np.concatenate(parts) for key, parts in arrays.items()}
    _check_range(file, "atom_type", joined["atom_type"], NUM_ATOM_TYPES)
    _check_range(file, "bond_type", joined["bond_type"], NUM_BOND_TYPES)
    # A bond's two directions stand side by side, so the edges of a graph stay together.
    ends = joined["edges"].astype(np.int32)
    try:
        graphs = PackedGraphs(
            torch.from_numpy(joined["num_nodes"].astype(np.int64)),
            torch.from_numpy(2 * joined["num_edges"].astype(np.int64)),
            torch.from_numpy(ends.ravel()),
            torch.from_numpy(ends[:, ::-1].ravel()),
            node_features=torch.from_numpy(joined["atom_type"].astype(np.int64)),
            edge_features=torch.from_numpy(joined["bond_type"].astype(np.int64).repeat(2)),
            labels=torch.from_numpy(joined["target"].astype(np.float32)[:, None]),
        )
    except GraphError as error:
        raise DataError(f"{file}: {error}; get the data again") from error
    return graphs, sizes


def _check_csv(file: Path, expected: int) -> None:
    if not file.is_file():
        return
    with file.open(newline="", encoding="utf-8") as lines:
        rows = sum(1 for _ in csv.DictReader(lines))
    if rows != expected:
        raise DataError(
            f"{file} has {rows} molecules, but graphs.npz beside it has {expected}; get both again"
        )


def _check_range(file: Path, name: str, values: np.ndarray, size: int) -> None:
    if len(values) and not 0 <= values.min() <= values.max() < size:
        wrong = values.min() if values.min() < 0 else values.max()
        raise DataError(f"{file} has the {name} {wrong}, but there are {size}; get the data again")


def _read_published(root: Path) -> tuple[PackedGraphs, list[int]]:
    from dgl.data import ZINCDataset

    graphs: list[Any] = []
    targets: list[torch.Tensor] = []
    sizes = []
    for mode in ("train", "valid", "test"):
        try:
            # DGL prints its retries to stdout
            with contextlib.redirect_stdout(io.StringIO()):
                part = ZINCDataset(mode=mode, raw_dir=str(root))
        except Exception as error:
            reason = one_line(error) or type(error).__name__
            raise DataError(
                f"ZINC is not in {root} and cannot be downloaded ({reason}); put ZINC12k/graphs.npz there"
            ) from error
        items = [part[number] for number in range(len(part))]
        graphs.extend(graph for graph, _ in items)
        targets.extend(target.reshape(()) for _, target in items)
        sizes.append(len(items))
    packed = PackedGraphs.from_graphs(
        graphs, torch.stack(targets)[:, None], node_features="feat", edge_features="feat"
    )
    return packed, sizes

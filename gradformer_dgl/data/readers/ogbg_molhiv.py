"""ogbg-molhiv: which molecules inhibit the replication of HIV, with the scaffold split of OGB.

Hu et al., "Open Graph Benchmark: datasets for machine learning on graphs", NeurIPS 2020; the molecules are
those of MoleculeNet (Wu et al., Chemical Science 9, 2018).
"""

import dataclasses
import os
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.readers.download import default_folder, download_zip, unpack
from gradformer_dgl.data.readers.smiles_csv import read_smiles_csv
from gradformer_dgl.support.errors import DataError

OGB_URL = "http://snap.stanford.edu/ogb/data/graphproppred/csv_mol_download/hiv.zip"
_TARGET = "HIV_active"
_MOLECULES = "mapping/mol.csv.gz"
_SPLITS = {
    part: f"split/scaffold/{name}.csv.gz"
    for part, name in (("train", "train"), ("val", "valid"), ("test", "test"))
}


def read_molhiv(
    name: str = "ogbg-molhiv", data_root: str | Path | None = None, *, jobs: int = 1
) -> GraphDataset:
    """Read ogbg-molhiv: 41,127 molecules, 1,443 of them active.

    Parameters
    ----------
    data_root : str or Path, optional
        The folder with ``molhiv/molhiv.csv.gz`` or ``molhiv/molhiv.csv`` (columns ``smiles``,
        ``HIV_active`` and ``split``), or with ``ogbg_molhiv`` as the package ogb keeps it, which is
        downloaded where there is neither. Default: ``~/.cache/gradformer_dgl``.
    jobs : int
        Processes that read the molecules; -1 takes one per processor.

    Returns
    -------
    GraphDataset
        Task ``"binary"``, measured by ROC-AUC as by OGB's evaluator; OGB's features of atoms and bonds,
        computed by RDKit from the SMILES; splits train, val, test.
    """
    root = default_folder() if data_root is None else Path(data_root)
    for file in (root / "molhiv" / "molhiv.csv.gz", root / "molhiv" / "molhiv.csv"):
        if file.is_file():
            data = read_smiles_csv(
                file, target_columns=[_TARGET], split_column="split", task="binary", jobs=jobs
            )
            return dataclasses.replace(data, name=name)
    folder = root / "ogbg_molhiv"
    if not (folder / _MOLECULES).is_file():
        _download(folder)
    data = read_smiles_csv(folder / _MOLECULES, target_columns=[_TARGET], task="binary", jobs=jobs)
    splits = {part: _read_numbers(folder / path) for part, path in _SPLITS.items()}
    numbers = torch.cat(list(splits.values())).sort().values
    if not torch.equal(numbers, torch.arange(len(data))):
        raise DataError(f"{folder}: the splits are not of its {len(data)} molecules; get the data again")
    return dataclasses.replace(data, name=name, splits=splits)


def _read_numbers(file: Path) -> Int64[Tensor, " graphs"]:
    try:
        return torch.from_numpy(np.loadtxt(file, dtype=np.int64, ndmin=1))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{file} cannot be read ({' '.join(str(error).split())}); get it again") from error


def _download(folder: Path) -> None:
    url = os.environ.get("GRADFORMER_DGL_OGB_URL", OGB_URL)
    # The molecules last: where they are, everything is.
    unpack(download_zip(url, folder / "hiv.zip"), folder, (*_SPLITS.values(), _MOLECULES))

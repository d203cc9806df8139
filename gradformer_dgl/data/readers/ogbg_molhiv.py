"""ogbg-molhiv: molecules that inhibit the replication of HIV or not, with the scaffold split of OGB.

The molecules are those of MoleculeNet (Wu et al., Chemical Science 9, 2018).
"""

import dataclasses
import functools
from pathlib import Path

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.readers.download import default_folder
from gradformer_dgl.data.readers.ogb_files import ogb_folder, read_split, split_paths
from gradformer_dgl.data.readers.smiles_csv import read_smiles_csv

_TARGET = "HIV_active"
_MOLECULES = "mapping/mol.csv.gz"


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
    # RDKit's checks refuse seven molecules, which older versions of it, and so OGB, read.
    read = functools.partial(
        read_smiles_csv, target_columns=[_TARGET], task="binary", sanitize=False, jobs=jobs
    )
    root = default_folder() if data_root is None else Path(data_root)
    for file in (root / "molhiv" / "molhiv.csv.gz", root / "molhiv" / "molhiv.csv"):
        if file.is_file():
            data = read(file, split_column="split")
            return dataclasses.replace(data, name=name)
    paths = (*split_paths("scaffold").values(), _MOLECULES)
    archive, variable = "graphproppred/csv_mol_download/hiv.zip", "GRADFORMER_DGL_OGB_URL"
    folder = ogb_folder(data_root, "ogbg_molhiv", archive, variable, *paths)
    data = read(folder / _MOLECULES)
    splits = read_split(folder, "scaffold", len(data), "molecules")
    return dataclasses.replace(data, name=name, splits=splits)

"""NCI-TPSA: the molecules that come with RDKit, with their topological polar surface area.

The files come with RDKit (``Data/NCI``): 4,999 molecules of the National Cancer Institute, their
topological polar surface area (TPSA) computed with Ertl's program.
"""

import logging
from pathlib import Path

import numpy as np
import torch

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.readers.csv_table import some_lines
from gradformer_dgl.data.readers.molecule_features import BASIC
from gradformer_dgl.data.readers.molecule_graphs import molecule_dataset, pack_molecules
from gradformer_dgl.support.errors import DataError

_SMILES, _TARGETS = "first_5K.smi", "first_5k.tpsa.csv"
_logger = logging.getLogger("gradformer_dgl")


def read_nci_tpsa(
    name: str = "NCI-TPSA", data_root: str | Path | None = None, *, folder: str | Path | None = None
) -> GraphDataset:
    """Read the NCI molecules that RDKit ships; no network is needed.

    Parameters
    ----------
    folder : str or Path, optional
        The folder with the two files. Default: the one in the RDKit installation.

    Returns
    -------
    GraphDataset
        Regression of the TPSA: labels (graphs, 1), float32, in square ångströms. Molecules that RDKit
        cannot read (8) are left out, and logged with their line numbers.

    References
    ----------
    Ertl, Rohde, Selzer: "Fast calculation of molecular polar surface area as a sum of fragment-based
    contributions and its application to the prediction of drug transport properties", J. Med. Chem. 43
    (2000).
    """
    source = Path(folder) if folder is not None else _rdkit_folder()
    smiles = [line.split("\t")[0] for line in _lines(source / _SMILES)]
    targets = _read_targets(source / _TARGETS)
    if len(smiles) != len(targets):
        raise DataError(
            f"{source / _SMILES} has {len(smiles)} molecules, but {source / _TARGETS} has {len(targets)}; "
            "install RDKit again"
        )
    for row, (text, (other, _)) in enumerate(zip(smiles, targets, strict=True)):
        if text != other:
            raise DataError(
                f"{source / _TARGETS}, line {row + 2}: not the molecule of {_SMILES}, line {row + 1}; "
                "install RDKit again"
            )
    graphs, unreadable, _ = pack_molecules(smiles, BASIC)
    if unreadable:
        lines = some_lines([row + 1 for row in unreadable])
        _logger.warning("%s: RDKit cannot read %d molecules (%s): left out", _SMILES, len(unreadable), lines)
    values = np.delete([value for _, value in targets], unreadable)
    graphs.labels = torch.from_numpy(values.astype(np.float32))[:, None]
    return molecule_dataset(name, graphs, "basic", "regression", ["tpsa"])


def _rdkit_folder() -> Path:
    try:
        from rdkit import RDConfig
    except ImportError as error:
        raise DataError("the built-in molecules need RDKit: pip install gradformer-dgl[chem]") from error
    return Path(RDConfig.RDDataDir) / "NCI"


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read ({error}); install RDKit again: pip install rdkit") from error


def _read_targets(file: Path) -> list[tuple[str, float]]:
    rows = []
    for number, line in enumerate(_lines(file)[1:], start=2):
        smiles, _, value = line.rpartition(",")
        try:
            rows.append((smiles, float(value)))
        except ValueError:
            raise DataError(f"{file}, line {number}: {value!r} is no number; install RDKit again") from None
    return rows

"""Molecules in a CSV file of one's own: SMILES, targets, and perhaps a split."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.readers.csv_labels import (
    check_targets,
    infer_task,
    read_classes,
    read_numbers,
    read_splits,
)
from gradformer_dgl.data.readers.csv_table import (
    CsvTable,
    csv_stem,
    find_csv,
    read_columns,
    read_header,
    some_lines,
)
from gradformer_dgl.data.readers.molecule_features import OGB
from gradformer_dgl.data.readers.molecule_graphs import PackedMolecules, molecule_dataset, pack_molecules
from gradformer_dgl.support.errors import DataError

_logger = logging.getLogger("gradformer_dgl")


def read_smiles_csv(
    name: str | Path,
    data_root: str | Path | None = None,
    *,
    smiles_column: str | None = None,
    target_columns: Sequence[str] = (),
    split_column: str | None = None,
    task: str | None = None,
    sanitize: bool = True,
    jobs: int = 1,
) -> GraphDataset:
    r"""Read molecules and what is to be predicted of them.

    All molecules that RDKit can read are graphs of the data set, whatever the targets, so that one cache of
    distances serves all targets. A molecule without any label takes no part in training and testing.

    Parameters
    ----------
    name : str or Path
        The file, ``.csv`` or ``.csv.gz``, UTF-8, with a header line.
    data_root : str or Path, optional
        Where the file is looked for too.
    smiles_column : str, optional
        Default: ``smiles``, in upper or lower case.
    target_columns : sequence of str
        Columns to predict; a cell that pandas takes for a missing value, such as ``NA``, is a missing label.
        Without any the graphs have no labels, which is enough for their distances.
    split_column : str, optional
        Its cells are ``train``, ``val`` (``valid``, ``validation``) or ``test``. Default: random splits.
    task : {"regression", "binary", "multiclass", "multilabel"}, optional
        Default: see :func:`~gradformer_dgl.data.readers.csv_labels.infer_task`.
    sanitize : bool
        Whether to leave out the molecules that fail RDKit's checks, for example of valences. False keeps
        those that it can parse.
    jobs : int
        Processes that read; -1 takes one per processor.

    Returns
    -------
    GraphDataset
        With the features of atoms and bonds of the Open Graph Benchmark. Rows that cannot be read are left
        out, and logged with their line numbers.

    Raises
    ------
    DataError
        If the file is missing or broken, has no such columns, a label or split is wrong (the message names
        the line), a target has no label or one class, or RDKit is missing or cannot read any of the
        molecules.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "alcohols.csv")
    ...     _ = file.write_text("SMILES,boils\nCO,64.7\nCCO,78.2\nCCCO,\n")
    ...     data = read_smiles_csv(file, target_columns=["boils"])
    >>> data.name, data.task, data.graphs.labels.flatten().tolist(), data.labelled.tolist()
    ('alcohols', 'regression', [64.69999694824219, 78.19999694824219, nan], [0, 1])
    """
    file = find_csv(name, data_root)
    smiles = smiles_column or find_smiles_column(file)
    extra = [] if split_column is None else [split_column]
    table = read_columns(file, list(dict.fromkeys([smiles, *target_columns, *extra])))
    if task is None:
        task = infer_task(table, target_columns) if target_columns else "regression"
    # Before the molecules, which take the longest.
    numbers = None if task == "multiclass" else read_numbers(table, target_columns, task)
    if numbers is not None:
        check_targets(table, target_columns, numbers, task, "labels")
    molecules = pack_molecules(table.columns[smiles], OGB, accept_invalid=not sanitize, keep=True, jobs=jobs)
    rows = _readable_rows(table, smiles, molecules)
    labels, names = None, list(target_columns)
    if numbers is not None and target_columns:
        labels = numbers[rows]
        check_targets(table, target_columns, labels, task, "labels of molecules that RDKit can read")
    elif target_columns:
        labels, names = read_classes(table, target_columns, rows)
    molecules.graphs.labels = None if labels is None else torch.from_numpy(labels)
    data = molecule_dataset(csv_stem(file), molecules.graphs, "ogb", task, names, unsanitized=not sanitize)
    unlabelled = np.delete(rows, data.labelled.numpy())
    text = "{} molecules without a label ({}): not used in training"
    _log_rows(logging.INFO, text, table, unlabelled, len(rows))
    if split_column is None:
        return data
    return dataclasses.replace(data, splits=read_splits(table, split_column, rows, data.labelled))


def find_smiles_column(file: Path) -> str:
    """Return the name of the column called smiles, in upper or lower case; refuse none or several."""
    header = read_header(file)
    found = [name for name in header if name.casefold() == "smiles"]
    if len(found) != 1:
        several = f"{len(found)} columns" if found else "no column"
        raise DataError(f"{file} has {several} 'smiles'; choose --smiles-column from {', '.join(header)}")
    return found[0]


def _readable_rows(table: CsvTable, column: str, molecules: PackedMolecules) -> Int64[np.ndarray, " graphs"]:
    """Return the rows that became graphs, and log the others."""
    total, unreadable = len(table.lines), molecules.unreadable
    if len(unreadable) == total:
        raise DataError(
            f"{table.file}: RDKit cannot read any of the {total} molecules (line {table.lines[0]}: "
            f"{table.columns[column][0]!r}); choose the --smiles-column"
        )
    text = "RDKit cannot read {} molecules ({}): left out"
    _log_rows(logging.WARNING, text, table, unreadable, total)
    text = "{} molecules not valid for RDKit ({}): read without its checks"
    _log_rows(logging.INFO, text, table, molecules.unsanitized, total)
    return np.delete(np.arange(total), unreadable)


def _log_rows(level: int, text: str, table: CsvTable, rows: Sequence[int] | np.ndarray, total: int) -> None:
    """Log the number of rows out of a total, and their lines, where there are any."""
    if len(rows):
        lines = some_lines([table.lines[row] for row in rows])
        _logger.log(level, "%s: %s", table.file, text.format(f"{len(rows)} of {total}", lines))

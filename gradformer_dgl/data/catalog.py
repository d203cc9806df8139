"""The table of data sets, and the one function that loads them."""

import difflib
import importlib
import inspect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradformer_dgl.data.readers.tu_names import TU_NAMES
from gradformer_dgl.data.sources import is_csv, is_function
from gradformer_dgl.support.errors import DataError

if TYPE_CHECKING:
    from gradformer_dgl.data.dataset import GraphDataset


@dataclass(frozen=True)
class Entry:
    """One data set of the catalogue.

    Parameters
    ----------
    name : str
        As users write it (upper and lower case do not matter).
    description : str
        What it is, in a few words.
    graphs : int
        How many it has.
    task : str
        What is predicted, with the metric.
    reader : str
        ``"module:function"`` in ``gradformer_dgl.data.readers``, imported when it is needed; called with the
        name, the data folder and the options of :func:`load_dataset`.
    """

    name: str
    description: str
    graphs: int
    task: str
    reader: str


_TU_READER, _CITATION_READER = "tu:read_tu", "citation:read_citation"
_CATALOG = (
    Entry("NCI1", "compounds, active against lung cancer cells", 4110, "2 classes, accuracy", _TU_READER),
    Entry("PROTEINS", "proteins as graphs of secondary structures", 1113, "2 classes, accuracy", _TU_READER),
    Entry("MUTAG", "nitroaromatic compounds, mutagenic or not", 188, "2 classes, accuracy", _TU_READER),
    Entry("IMDB-BINARY", "ego networks of actors, by genre", 1000, "2 classes, accuracy", _TU_READER),
    Entry("COLLAB", "ego networks of scientists, by field", 5000, "3 classes, accuracy", _TU_READER),
    Entry(
        "CLUSTER",
        "communities from a marked node each (generated)",
        12000,
        "6 classes of nodes, accuracy",
        "sbm:read_cluster",
    ),
    Entry(
        "PATTERN",
        "a pattern hidden in communities (generated)",
        14000,
        "2 classes of nodes, accuracy",
        "sbm:read_pattern",
    ),
    Entry(
        "SBM-NODES",
        "one graph of communities, of any size: SBM-NODES-250000 (generated)",
        1,
        "10 classes of nodes, accuracy",
        "sbm_nodes:read_sbm_nodes",
    ),
    Entry("Cora", "one graph of 2,708 papers", 1, "7 classes of nodes, accuracy", _CITATION_READER),
    Entry("Citeseer", "one graph of 3,327 papers", 1, "6 classes of nodes, accuracy", _CITATION_READER),
    Entry("Pubmed", "one graph of 19,717 papers", 1, "3 classes of nodes, accuracy", _CITATION_READER),
    Entry(
        "ogbn-arxiv",
        "one graph of 169,343 papers that cite each other (OGB)",
        1,
        "40 classes of nodes, accuracy",
        "arxiv:read_arxiv",
    ),
    Entry("ZINC", "molecules, penalised logP (12,000 of ZINC)", 12000, "regression, MAE", "zinc:read_zinc"),
    Entry(
        "ogbg-molhiv",
        "molecules, active against HIV (OGB)",
        41127,
        "2 classes, ROC-AUC",
        "molhiv:read_molhiv",
    ),
    Entry(
        "NCI-TPSA",
        "molecules that come with RDKit, polar surface area",
        4991,
        "regression, MAE",
        "nci:read_nci",
    ),
)
# Generated in the size that stands at the end of the name.
SIZED = re.compile(r"(SBM-NODES)-(\d{1,18})", re.IGNORECASE)
_ALIASES = {"ZINC12k": "ZINC", "molhiv": "ogbg-molhiv", "arxiv": "ogbn-arxiv"}


def catalog() -> tuple[Entry, ...]:
    """Return the data sets with a description.

    Examples
    --------
    >>> [entry.name for entry in catalog()][:3]
    ['NCI1', 'PROTEINS', 'MUTAG']
    """
    return _CATALOG


def dataset_names() -> tuple[str, ...]:
    """Return the names of the catalogue; any other set of the TU collection is known by its own name.

    Returns
    -------
    tuple of str
        In the order of the catalogue.

    Examples
    --------
    >>> "ZINC" in dataset_names()
    True
    """
    return tuple(entry.name for entry in _CATALOG)


def load_dataset(name: str, data_root: str | Path | None = None, **options: Any) -> "GraphDataset":
    """Load a data set by name.

    Parameters
    ----------
    name : str
        One of :func:`dataset_names`, or any set of the TU collection; upper and lower case do not matter.
        Or a CSV file of molecules (:func:`~gradformer_dgl.data.readers.smiles_csv.read_smiles_csv`); or
        ``"module:function"`` (:func:`~gradformer_dgl.data.readers.from_python.read_from_python`).
    data_root : str or Path, optional
        Folder with the raw files (``DIR/NAME/NAME.zip`` or unpacked); what is missing is downloaded to
        it. Default: ``~/.cache/gradformer_dgl``.
    **options
        Passed to the reader, e.g. ``use_node_attributes=True`` to
        :func:`~gradformer_dgl.data.readers.tu.read_tu`, ``target_columns=["y"]`` for a CSV file. ``jobs`` is
        for readers that can use several processes; the others ignore it.

    Returns
    -------
    GraphDataset

    Raises
    ------
    DataError
        If there is no such data set (the message suggests names like it), it does not take one of the
        options, or its files are missing or broken.

    Examples
    --------
    >>> load_dataset("NCI-TSPA")
    Traceback (most recent call last):
    ...
    gradformer_dgl.support.errors.DataError: there is no data set 'NCI-TSPA'; did you mean NCI-TPSA?
    """
    root = None if data_root is None else Path(data_root)
    if is_csv(name):
        return _read("smiles_csv:read_smiles_csv", name, root, options)
    if is_function(name):
        return _read("from_python:read_from_python", name, root, options)
    known = {entry.name.casefold(): entry for entry in _CATALOG}
    known |= {alias.casefold(): known[target.casefold()] for alias, target in _ALIASES.items()}
    entry = known.get(name.casefold())
    if entry is not None:
        return _read(entry.reader, entry.name, root, options)
    sized = SIZED.fullmatch(name)
    if sized is not None:
        entry = known[sized[1].casefold()]
        return _read(entry.reader, f"{entry.name}-{int(sized[2])}", root, options)
    return _load_other(name, root, options)


def is_one_graph(name: str) -> bool:
    """Whether a data set of the catalogue is one graph, whose nodes are to be classified.

    Examples
    --------
    >>> is_one_graph("SBM-NODES-250000"), is_one_graph("ogbn-arxiv"), is_one_graph("NCI1")
    (True, True, False)
    """
    alone = {entry.name.casefold() for entry in _CATALOG if entry.graphs == 1}
    return name.casefold() in alone or SIZED.fullmatch(name) is not None


def _load_other(name: str, root: Path | None, options: dict[str, Any]) -> "GraphDataset":
    if max(len(part.encode()) for part in name.split("/")) > 255:
        # No file can have that name, and to look for it would fail.
        raise DataError(_unknown(f"{name[:60]}..."))
    listed = {tu_name.casefold(): tu_name for tu_name in TU_NAMES}.get(name.casefold())
    if listed is None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise DataError(_path_in_place_of_a_name(name) or _unknown(name))
    from gradformer_dgl.data.readers.download import NotFoundError, default_folder
    from gradformer_dgl.data.readers.tu_files import find_raw_files

    folder = default_folder() if root is None else root
    if listed is None and find_raw_files(name, folder) is None:
        if message := _path_in_place_of_a_name(name):
            raise DataError(message)
        if _close(name):
            raise DataError(_unknown(name))
    try:
        return _read(_TU_READER, listed or name, folder, options)
    except NotFoundError as error:
        raise DataError(_unknown(name)) from error


def _path_in_place_of_a_name(name: str) -> str:
    """Say how the files at a path are read; nothing where there are none."""
    path = Path(name)
    if name and path.is_dir():
        folder = path.resolve()
        root = os.path.relpath(folder.parent)
        return (
            f"{name!r} is a folder, not the name of a data set; one in the TU format is read by the name "
            f"{folder.name} with --data-root {root}"
        )
    if path.is_file():
        return (
            f"{name!r} is a file, but no CSV file (.csv, .csv.gz); "
            "graphs of other files are read by MODULE:FUNCTION, a Python function that returns them"
        )
    return ""


def _unknown(name: str) -> str:
    close = _close(name)
    if close:
        return f"there is no data set {name!r}; did you mean {' or '.join(close)}?"
    return (
        f"there is no data set {name!r}; choose one of {', '.join(dataset_names())}, "
        "or any of https://chrsmrrs.github.io/datasets"
    )


def _close(name: str) -> list[str]:
    spelled = {other.casefold(): other for other in (*TU_NAMES, *_ALIASES, *dataset_names())}
    return [spelled[match] for match in difflib.get_close_matches(name.casefold(), spelled, n=3, cutoff=0.75)]


def _read(path: str, name: str, root: Path | None, options: dict[str, Any]) -> "GraphDataset":
    module, function = path.split(":")
    reader: Callable[..., GraphDataset] = getattr(
        importlib.import_module(f"gradformer_dgl.data.readers.{module}"), function
    )
    taken = inspect.signature(reader).parameters
    options = {key: value for key, value in options.items() if key in taken or key != "jobs"}
    for key in options:
        if key not in taken:
            raise DataError(f"{name} takes no {key.replace('_', ' ')}: leave that option out")
    return reader(name, root, **options)

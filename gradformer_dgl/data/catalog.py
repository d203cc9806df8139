"""Catalogue of data sets, and the function that loads one by its name, file or Python function."""

import difflib
import inspect
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradformer_dgl.data.readers.registry import READERS, DatasetEntry
from gradformer_dgl.support.errors import DataError
from gradformer_dgl.support.registry import Part

if TYPE_CHECKING:
    from gradformer_dgl.data.dataset import GraphDataset


def catalog() -> tuple[DatasetEntry, ...]:
    """Return the data sets with a description."""
    return tuple(entry for part in READERS.values() for entry in _entries(part))


def _entries(part: Part) -> tuple[DatasetEntry, ...]:
    return part.traits.get("datasets", ())


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
    return tuple(entry.name for entry in catalog())


def known_names() -> tuple[str, ...]:
    """Return the names of the catalogue, then all others that a reader lists."""
    others = [name for part in READERS.values() for name in part.traits.get("names", ())]
    return tuple(dict.fromkeys((*dataset_names(), *others)))


def canonical_name(name: str) -> str:
    """Return a name as the catalogue spells it, or as it is where no reader lists it."""
    found = _spellings().get(name.casefold(), name)
    return _aliases().get(found, found)


def reader_for(name: str, reader: str | None = None) -> Part | None:
    """Return the reader that is named, else the one that takes a data set, file or ``"module:function"``.

    None where only a folder in the TU format could have the name.
    """
    if reader:
        return READERS.part(reader)
    canonical = canonical_name(name)
    for part in READERS.values():
        names = [*(entry.name for entry in _entries(part)), *part.traits.get("names", ())]
        if canonical in names or re.fullmatch(part.traits.get("pattern", "(?!)"), name, re.IGNORECASE):
            return part
    return None


def load_dataset(
    name: str, data_root: str | Path | None = None, *, reader: str | None = None, **options: Any
) -> "GraphDataset":
    """Load a data set by name.

    Parameters
    ----------
    name : str
        One of :func:`dataset_names`, or any set of the TU collection, in upper or lower case; a CSV file of
        molecules (:func:`~gradformer_dgl.data.readers.smiles_csv.read_smiles_csv`); ``"module:function"``
        (:func:`~gradformer_dgl.data.readers.python_function.read_python_function`); or what ``reader`` takes.
    data_root : str or Path, optional
        Folder with the raw files (``DIR/NAME/NAME.zip`` or unpacked); what is missing is downloaded to
        it. Default: ``~/.cache/gradformer_dgl``.
    reader : str, optional
        A reader of :data:`~gradformer_dgl.data.readers.registry.READERS`, or ``"module:function"``
        (:func:`~gradformer_dgl.data.readers.python_function.read_with_plugin`). Default: the one that takes
        the name.
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
    ConfigError
        If there is no such reader.

    Examples
    --------
    >>> load_dataset("NCI-TSPA")
    Traceback (most recent call last):
    ...
    gradformer_dgl.support.errors.DataError: there is no data set 'NCI-TSPA'; did you mean NCI-TPSA?
    """
    root = None if data_root is None else Path(data_root)
    part = reader_for(name, reader)
    if part is None:
        return _load_unlisted(name, root, options)
    return _read(part, canonical_name(name), root, options)


def _load_unlisted(name: str, root: Path | None, options: dict[str, Any]) -> "GraphDataset":
    """Read a data set in the TU format that no reader lists."""
    if max(len(part.encode()) for part in name.split("/")) > 255:
        # No file can have that name, and to look for it would fail.
        raise DataError(_unknown(f"{name[:60]}..."))
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise DataError(_path_in_place_of_a_name(name) or _unknown(name))
    from gradformer_dgl.data.readers.download import NotFoundError, default_folder
    from gradformer_dgl.data.readers.tu_files import find_raw_files

    folder = default_folder() if root is None else root
    if find_raw_files(name, folder) is None:
        if message := _path_in_place_of_a_name(name):
            raise DataError(message)
        if _similar_names(name):
            raise DataError(_unknown(name))
    try:
        return _read(READERS["tu"], name, folder, options)
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
            f"{name!r} is a file, but no CSV file (.csv, .csv.gz); graphs of other files are read by "
            "MODULE:FUNCTION, a Python function that returns them, or by --reader MODULE:FUNCTION"
        )
    return ""


def _unknown(name: str) -> str:
    similar = _similar_names(name)
    if similar:
        return f"there is no data set {name!r}; did you mean {' or '.join(similar)}?"
    return (
        f"there is no data set {name!r}; choose one of {', '.join(dataset_names())}, "
        "or any of https://chrsmrrs.github.io/datasets"
    )


def _similar_names(name: str) -> list[str]:
    spelled = _spellings()
    return [spelled[match] for match in difflib.get_close_matches(name.casefold(), spelled, n=3, cutoff=0.75)]


def _spellings() -> dict[str, str]:
    return {known.casefold(): known for known in (*known_names(), *_aliases())}


def _aliases() -> dict[str, str]:
    return {
        alias: name for part in READERS.values() for alias, name in part.traits.get("aliases", {}).items()
    }


def _read(part: Part, name: str, root: Path | None, options: dict[str, Any]) -> "GraphDataset":
    read = part.load()
    if part.name not in READERS:
        from gradformer_dgl.data.readers.python_function import read_with_plugin

        return read_with_plugin(part.name, name, root, **options)
    taken = inspect.signature(read).parameters
    options = {key: value for key, value in options.items() if key in taken or key != "jobs"}
    for key in options:
        if key not in taken:
            raise DataError(f"{name} takes no {key.replace('_', ' ')}: leave that option out")
    dataset: GraphDataset = read(name, root, **options)
    return dataset

"""Inputs of predictions: files and folders of molecules and graphs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dgl

from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.data.readers.csv_table import is_csv, read_columns
from gradformer_dgl.data.readers.molecule_features import TABLES
from gradformer_dgl.data.readers.molecule_graphs import pack_molecules
from gradformer_dgl.data.readers.smiles_csv import find_smiles_column
from gradformer_dgl.data.readers.tu import read_tu_graphs
from gradformer_dgl.prediction.dgl_files import read_dgl_graphs
from gradformer_dgl.prediction.fit import FeatureFit
from gradformer_dgl.prediction.graph_files import SUFFIXES, graph_files, pack_files
from gradformer_dgl.prediction.predictor import GRAPHS_AT_ONCE
from gradformer_dgl.support.errors import ConfigError, DataError

MOLECULES_AT_ONCE = 1000
KINDS = (
    "a CSV file of molecules (.csv, .csv.gz), a folder or zip in the TU format (NAME_A.txt, ...), a DGL file "
    f"(.bin), or graphs as {', '.join(SUFFIXES)}, one or a folder of them"
)


@dataclass(frozen=True)
class InputPart:
    """Some rows of an input, one after the other, each named by ``identifiers``.

    ``readable`` tells which rows became graphs (None: all); nodes without ``node_names`` are numbered.
    """

    graphs: PackedGraphs
    identifiers: list[tuple[str | int, ...]]
    readable: list[bool] | None = None
    node_names: list[str] | None = None


@dataclass
class Input:
    """Graphs from a file or folder, read part by part.

    ``columns`` names what identifies a row, ``total`` counts the rows, and ``unreadable`` has the lines of
    the rows so far that are no graphs.
    """

    path: Path
    columns: tuple[str, ...]
    total: int
    parts: Iterator[InputPart]
    unreadable: list[int] = field(default_factory=list)


def open_input(path: Path, fit: FeatureFit, smiles_column: str | None = None) -> Input:
    """Open an input of any kind, recognised by its name and content."""
    if not path.exists():
        raise DataError(f"no file or folder {path}")
    reader = _reader(path)
    if reader is not _csv and smiles_column is not None:
        raise ConfigError(f"{path} is no CSV file: leave out --smiles-column")
    return _csv(path, fit, smiles_column) if reader is _csv else reader(path, fit)


def _reader(path: Path) -> Callable[..., Input]:
    if path.is_file() and is_csv(path.name):
        return _csv
    if path.suffix.lower() == ".zip" or (path.is_dir() and _is_tu(path)):
        return _tu
    if path.is_file() and path.suffix.lower() == ".bin":
        return _bin
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        return _files
    raise DataError(f"{path} is of no known kind: give {KINDS}")


def _is_tu(folder: Path) -> bool:
    inner = (folder, folder / folder.name, folder / "raw")
    return any(any(place.glob("*_A.txt")) for place in inner) or (folder / f"{folder.name}.zip").is_file()


def _csv(path: Path, fit: FeatureFit, smiles_column: str | None) -> Input:
    source = fit.info.source
    features = TABLES.get(source.molecules or "")
    if features is None:
        raise DataError(
            f"{path} has molecules, but the features of {fit.info.name}, which the run was trained on, "
            "cannot be computed from SMILES: give graphs with these features"
        )
    column = smiles_column or find_smiles_column(path)
    table = read_columns(path, [column])
    smiles = table.columns[column]

    def parts() -> Iterator[InputPart]:
        for start in range(0, len(smiles), MOLECULES_AT_ONCE):
            texts = smiles[start : start + MOLECULES_AT_ONCE]
            molecules = pack_molecules(texts, features, accept_invalid=source.unsanitized)
            readable = [True] * len(texts)
            for row in molecules.unreadable:
                readable[row] = False
                rows.unreadable.append(table.lines[start + row])
            identifiers: list[tuple[str | int, ...]] = [(start + row, text) for row, text in enumerate(texts)]
            yield InputPart(fit.fitted(molecules.graphs), identifiers, readable)
        if len(rows.unreadable) == len(smiles):
            raise DataError(
                f"{path}: RDKit cannot read any of the {len(smiles)} molecules (line {table.lines[0]}: "
                f"{smiles[0]!r}); choose the --smiles-column"
            )

    rows = Input(path, ("row", column), len(smiles), parts())
    return rows


def _tu(path: Path, fit: FeatureFit) -> Input:
    info, source = fit.info, fit.info.source
    label_columns = sum(map(len, source.node_labels))
    edge_columns = sum(map(len, source.edge_labels))
    graphs = read_tu_graphs(
        path,
        source,
        use_node_attributes=info.node_kind == "number" and info.node_size > label_columns,
        use_edge_attributes=info.edge_kind == "number" and info.edge_size > edge_columns,
        with_edges=fit.uses_edges,
    )
    return _numbered(path, _fitted(path, fit, graphs))


def _bin(path: Path, fit: FeatureFit) -> Input:
    return _numbered(path, _fitted(path, fit, read_dgl_graphs(path)))


def _fitted(path: Path, fit: FeatureFit, graphs: PackedGraphs | list[dgl.DGLGraph]) -> PackedGraphs:
    try:
        return fit.packed(graphs)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _numbered(path: Path, graphs: PackedGraphs) -> Input:
    def parts() -> Iterator[InputPart]:
        for start in range(0, len(graphs), GRAPHS_AT_ONCE):
            stop = min(start + GRAPHS_AT_ONCE, len(graphs))
            yield InputPart(graphs.part(start, stop), [(number,) for number in range(start, stop)])

    return Input(path, ("graph",), len(graphs), parts())


def _files(path: Path, fit: FeatureFit) -> Input:
    files = graph_files(path)
    if not files:
        raise DataError(f"{path} has no graphs: give {KINDS}")

    def parts() -> Iterator[InputPart]:
        for start in range(0, len(files), GRAPHS_AT_ONCE):
            some = files[start : start + GRAPHS_AT_ONCE]
            graphs, node_names = pack_files(some, fit)
            yield InputPart(graphs, [(file.name,) for file in some], node_names=node_names)

    return Input(path, ("graph",), len(files), parts())

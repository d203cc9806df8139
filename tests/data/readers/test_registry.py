"""The registry of readers, and readers of a user's own."""

import inspect
import json
import sys
import textwrap
import types
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner

from gradformer_dgl.cli import options
from gradformer_dgl.cli.datasets import command as datasets_command
from gradformer_dgl.cli.preprocess import command as preprocess_command
from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.catalog import canonical_name, catalog, known_names, reader_for
from gradformer_dgl.data.options import DATA_OPTIONS, DataOptions
from gradformer_dgl.data.readers.registry import READERS, DatasetEntry
from gradformer_dgl.support.errors import ConfigError, DataError
from gradformer_dgl.support.registry import Part

NUMBERS = count()
READER = """
import dgl, torch

print("import")

def read_sizes(name, data_root=None, *, target_columns=(), scale=1):
    for folder in ("", data_root or ""):
        path = __import__("pathlib").Path(folder, name)
        if path.exists():
            break
    sizes = [int(word) * scale for word in path.read_text().split()]
    return [(dgl.graph((range(n - 1), range(1, n)), num_nodes=n), n % 2) for n in sizes]

def fails(name, data_root):
    raise KeyError(name)

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a module with readers, and a file for them; return the module's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"own_readers_{next(NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(READER))
    (tmp_path / "paths.sizes").write_text("3 4 6")
    return name


@pytest.mark.parametrize("part", READERS.values(), ids=list(READERS))
def test_a_reader_takes_the_options_that_the_registry_lists(part: Part) -> None:
    parameters = inspect.signature(part.load()).parameters
    assert {option.name for option in part.options} <= set(parameters)
    shared = {option.name for option in READERS.all_options()} & set(parameters)
    assert shared == {option.name for option in part.options}
    assert list(parameters)[:2] == ["name", "data_root"]


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("NCI1", "tu"),
        ("enzymes", "tu"),
        ("ARXIV", "ogbn-arxiv"),
        ("zinc12K", "zinc"),
        ("pubmed", "citation"),
        ("sbm-nodes", "sbm-nodes"),
        ("SBM-NODES-300", "sbm-nodes"),
        ("some/folder/mine.CSV.gz", "csv"),
        ("my_module.part:Class.method", "python"),
    ],
)
def test_a_name_has_its_reader(name: str, reader: str) -> None:
    found = reader_for(name)
    assert found is not None
    assert found.name == reader


def test_names_that_no_reader_lists() -> None:
    assert [reader_for(name) for name in ("TINY", "SBM-NODES-", "csv", "a b:c", "")] == [None] * 5
    assert [canonical_name(name) for name in ("nci1", "ENZYMES", "MolHIV", "x.csv")] == [
        "NCI1",
        "ENZYMES",
        "ogbg-molhiv",
        "x.csv",
    ]
    names = [entry.name for entry in catalog()]
    assert len(names) == len(set(names))
    assert set(names) < set(known_names())


def test_a_new_part_is_all_that_a_reader_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(READERS, "_parts", dict(READERS._parts))
    made = load_dataset("SBM-NODES-100")
    hexagons = types.ModuleType("hexagons")
    hexagons.read_hexagons = lambda name, data_root: made
    monkeypatch.setitem(sys.modules, "hexagons", hexagons)
    entry = DatasetEntry("Hexagons", "rings", 5, "2 classes, accuracy")
    READERS.add(Part("hexagons", "hexagons:read_hexagons", traits={"datasets": (entry,)}))
    assert load_dataset("HEXAGONS") is made
    assert "Hexagons" in CliRunner().invoke(datasets_command).stdout
    with pytest.raises(DataError, match="did you mean Hexagons"):
        load_dataset("Hexagon")
    with pytest.raises(DataError, match="Hexagons takes no target columns"):
        load_dataset("Hexagons", target_columns=["y"])


def test_a_reader_of_ones_own(module: str, tmp_path: Path) -> None:
    data = load_dataset("paths.sizes", reader=f"{module}:read_sizes", scale=2, jobs=3)
    assert (data.name, data.task, data.graphs.node_counts.tolist()) == ("paths", "multiclass", [6, 8, 12])
    assert data.node_encoder == "linear"
    binary = load_dataset("paths.sizes", reader=f"{module}:read_sizes", task="binary", target_columns=["y"])
    assert binary.graphs.labels.tolist() == [[1.0], [0.0], [0.0]]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "more.sizes").write_text("2")
    assert load_dataset("more.sizes", elsewhere, reader=f"{module}:read_sizes").name == "more"


@pytest.mark.parametrize(
    ("reader", "given", "error", "message"),
    [
        ("{}:fails", {}, DataError, r"own_readers_\d+:fails fails \(KeyError: 'paths.sizes'\); add --debug"),
        ("{}:number", {}, DataError, "has int, but no function, 'number'"),
        ("{}:read_sizes", {"split_column": "y"}, DataError, "read_sizes takes no split column: leave that"),
        ("{}:absent", {}, ConfigError, "has no 'absent'"),
        ("no_such_module:f", {}, ConfigError, "there is no module 'no_such_module'"),
        ("cvs", {}, ConfigError, "reader is one of tu, .*, not 'cvs'; did you mean 'csv'"),
    ],
)
def test_mistakes_with_a_reader(
    module: str, reader: str, given: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_dataset("paths.sizes", reader=reader.format(module), **given)


def test_the_command_line_takes_a_reader(module: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        preprocess_command,
        ["paths.sizes", "--reader", f"{module}:read_sizes", "--task", "binary", "--json"],
        obj={"quiet": True},
    )
    assert result.exit_code == 0, result.exc_info
    assert json.loads(result.stdout)["dataset"] == "paths"
    assert (tmp_path / "cache" / "paths.h5").is_file()

    def chosen(dataset: str, **given: str) -> options.ChosenData:
        return options.ChosenData(dataset, None, Path("cache"), DataOptions(**given))

    own = chosen("paths.sizes", reader=f"{module}:read_sizes")
    assert own.lasting_name("paths") == str(tmp_path / "paths.sizes")
    assert own.preset("paths") == "default"
    assert chosen("mutag").lasting_name("MUTAG") == "MUTAG"
    presets = [chosen(name).preset(name) for name in ("mine.csv", "SBM-NODES-300", "a:b", "NCI1", "TINY")]
    assert presets == ["molecules", "nodes", "default", "nci1", "default"]


def test_options_are_those_of_all_readers() -> None:
    assert DATA_OPTIONS[0].name == "reader"
    made = DataOptions(task="binary", target_columns=["y", "z"], smiles_column=None, split_column="")
    assert made.given() == {"target_columns": ["y", "z"], "task": "binary"}
    assert DataOptions.read(made.given()) == made
    kept = DataOptions(sanitize=False)
    assert (kept.given(), DataOptions.read(kept.given())) == ({"sanitize": False}, kept)
    assert DataOptions(sanitize=True) == DataOptions(sanitize=None) == DataOptions()
    assert hash(DataOptions()) == hash(DataOptions(target_columns=()))
    for wrong in ({"colour": "red"}, {"task": "clustering"}, {"reader": "none"}, {"target_columns": "y"}):
        with pytest.raises(ConfigError):
            DataOptions(**wrong)

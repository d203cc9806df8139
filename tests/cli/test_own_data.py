"""Data of one's own, through the commands: molecules in CSV files, and what Python functions make."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gradformer_dgl.cli import options
from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.training.config import load_preset

pytest.importorskip("rdkit", reason="RDKit is not installed")

QUICK = ("--epochs", "2", "--feat-size", "8", "--num-layers", "1", "--batch-size", "16", "--threads", "1")
NARROW = (*QUICK, "--encoding-feat-size", "4")
ALKANES = [("C" * n + end, n, end == "O") for n in range(1, 21) for end in ("", "O", "N", "F")]
MODULE = """
import dgl, torch

def make_dataset():
    graphs = []
    for size in list(range(4, 12)) * 8:
        ends = torch.arange(size), (torch.arange(size) + 1) % size
        graph = dgl.to_bidirected(dgl.graph(ends))
        graphs.append((graph, size % 2))
    return graphs
"""


@pytest.fixture
def mistake(command):
    """Return a function that runs a command, checks the manners of its failure and returns the message."""

    def run(*arguments) -> str:
        done = command(*arguments)
        assert (done.status, done.out) == (1, ""), done
        (line,) = done.err.splitlines()
        assert line.startswith("Error: ")
        return line

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with a CSV file and a Python module."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "SMILES", "length", "alcohol", "part", "kind"])
        for number, (smiles, length, alcohol) in enumerate(ALKANES):
            part = ("train", "train", "valid", "test")[number % 4]
            label = "" if number == 5 else length / 2
            writer.writerow([f"alkane, {number}", smiles, label, int(alcohol), part, "ab"[alcohol]])
        writer.writerow(["broken", "C(C", 1.5, 0, "train", "a"])
    (tmp_path / "rings_of_mine.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("rings_of_mine", None)


def test_preprocess_train_evaluate_and_resume_a_csv(command, folder, monkeypatch):
    done = command("preprocess", "mine.csv", "--jobs", "1")
    assert done.status == 0, done.err
    assert "cache/mine.h5: 80 graphs" in done.out
    assert "mine.csv: RDKit cannot read 1 of 81 molecules (line 82): left out" in done.err
    data = ("mine.csv", "--target-column", "length", "--split-column", "part")
    done = command("train", *data, *NARROW, "--runs", "2")
    assert done.status == 0, done.err
    assert done.err.count("line 82") == 1
    result = json.loads(done.out.splitlines()[-1])
    assert (result["dataset"], result["metric"], len(result["runs"])) == ("mine", "mae", 2)
    # The mean of the training rows, worked out from the file.
    with (folder / "mine.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["length"] and row["SMILES"] != "C(C"]
    train = [float(row["length"]) for row in rows if row["part"] == "train"]
    guess = sum(train) / len(train)
    errors = [abs(float(row["length"]) - guess) for row in rows if row["part"] == "test"]
    assert result["predicting_the_mean"] == pytest.approx(sum(errors) / len(errors))
    config = yaml.safe_load((folder / "runs" / "mine" / "config.yaml").read_text())
    assert config["dataset"] == str(folder / "mine.csv")
    assert config["data_options"] == {"target_columns": ["length"], "split_column": "part"}
    again = command("train", *data, *NARROW, "--runs", "2", "--resume")
    assert json.loads(again.out.splitlines()[-1])["mean"] == pytest.approx(result["mean"])
    other = command("train", "mine.csv", "--target-column", "length", *NARROW, "--runs", "2", "--resume")
    assert other.status == 1
    assert "holds a run with other settings" in other.err
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    scored = command("evaluate", folder / "runs" / "mine")
    assert scored.status == 0, scored.err
    assert json.loads(scored.out)["mean"] == pytest.approx(result["mean"])
    (folder / "mine.csv").rename(folder / "elsewhere" / "mine.csv")
    moved = command("evaluate", folder / "runs" / "mine", "--data-root", folder / "elsewhere")
    assert json.loads(moved.out) == json.loads(scored.out)


def test_molecules_that_fail_the_checks_are_kept_on_request(command, mistake, folder):
    with (folder / "mine.csv").open("a") as file:
        file.write("five bonds,CC(C)(C)(C)C,3,0,train,a\n")
    done = command("preprocess", "mine.csv", "--jobs", "1")
    assert "cache/mine.h5: 80 graphs" in done.out
    assert "RDKit cannot read 2 of 82 molecules (lines 82, 83): left out" in done.err
    done = command("preprocess", "mine.csv", "--jobs", "1", "--no-sanitize")
    assert "cache/mine.h5: 81 graphs" in done.out
    assert "RDKit cannot read 1 of 82 molecules (line 82): left out" in done.err
    train = ("-q", "train", "mine.csv", "--target-column", "alcohol", *NARROW)
    assert "mine.h5" in mistake(*train)
    assert command(*train, "--no-sanitize").status == 0
    config = yaml.safe_load((folder / "runs" / "mine" / "config.yaml").read_text())
    assert config["data_options"] == {"target_columns": ["alcohol"], "sanitize": False}
    assert config["data"]["source"] == {"molecules": "ogb", "unsanitized": True}
    assert command("-q", "evaluate", "runs/mine").status == 0
    done = command("predict", "runs/mine", "mine.csv", "-o", "out.csv")
    assert "RDKit cannot read 1 of 82 molecules (line 82): left empty" in done.err


def test_other_targets_use_the_same_cache(command, folder):
    assert command("preprocess", "mine.csv", "--jobs", "1").status == 0
    for target, metric in (("alcohol", "roc_auc"), ("kind", "accuracy")):
        done = command("-q", "train", "mine.csv", "--target-column", target, *NARROW)
        assert (done.status, done.err) == (0, "")
        assert json.loads(done.out.splitlines()[-1])["metric"] == metric
    assert (folder / "runs" / "mine-2").is_dir()


def rewrite(file: Path, column: str, change) -> None:
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0])
        writer.writeheader()
        writer.writerows(row | {column: change(row[column])} for row in rows)


@pytest.mark.parametrize(
    ("target", "change", "differs"),
    [
        ("kind", lambda cell: {"a": "chain", "b": "drink"}[cell], "output names"),
        ("length", lambda cell: cell and str(3 * float(cell)), "labels"),
    ],
)
def test_a_run_does_not_go_on_with_a_file_that_has_changed(command, mistake, folder, target, change, differs):
    assert command("preprocess", "mine.csv", "--jobs", "1").status == 0
    train = ("-q", "train", "mine.csv", "--target-column", target, *NARROW)
    assert command(*train).status == 0
    before = {file: file.read_bytes() for file in (folder / "runs").rglob("*") if file.is_file()}
    text = (folder / "mine.csv").read_text()
    rewrite(folder / "mine.csv", target, change)
    said = f"Error: runs/mine holds a run on data with other {differs}: "
    said += "give it its own data, or train another run"
    assert mistake(*train, "--runs", "2", "--resume") == said
    assert mistake("-q", "evaluate", "runs/mine") == said
    assert command("-q", "predict", "runs/mine", "mine.csv", "-o", "-").status in (0, 3)
    assert {file: file.read_bytes() for file in (folder / "runs").rglob("*") if file.is_file()} == before
    (folder / "mine.csv").write_text(text)
    assert command(*train, "--runs", "2", "--resume").status == 0


def test_searches_for_two_targets_are_not_mixed(command, mistake, folder):
    pytest.importorskip("optuna", reason="Optuna is not installed")
    small = ("--epochs", "1", "--feat-size", "8", "--num-layers", "1", "--encoding-feat-size", "4")
    search = ("-q", "tune", "mine.csv", *small, "--device", "cpu")
    done = command(*search, "--trials", "1", "--target-column", "alcohol")
    assert done.status == 0, done.err
    best = (folder / "runs" / "tune-mine" / "best.yaml").read_bytes()
    said = "Error: runs/tune-mine holds a search {}: choose another --out"
    for target, fault in (("length", "by another metric than mae"), ("kind", "with other settings")):
        assert mistake(*search, "--trials", "2", "--target-column", target) == said.format(fault)
    assert (folder / "runs" / "tune-mine" / "best.yaml").read_bytes() == best


def test_preprocess_and_train_what_a_function_makes(command, folder):
    name = "rings_of_mine:make_dataset"
    # As an installed command, whose search path lacks the folder.
    alone = [sys.executable, *(["-P"] if sys.version_info >= (3, 11) else [])]
    done = subprocess.run(
        [*alone, "-c", "from gradformer_dgl.cli import main; main()", "preprocess", name, "--jobs", "1"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert "cache/rings_of_mine.make_dataset.h5: 64 graphs" in done.stdout, done.stderr
    done = command("train", name, *QUICK, "--runs", "2", "--jobs", "2")
    assert done.status == 0, done.err
    result = json.loads(done.out.splitlines()[-1])
    assert (result["dataset"], result["metric"]) == ("rings_of_mine.make_dataset", "accuracy")
    scored = command("evaluate", "runs/rings_of_mine.make_dataset", "--trust")
    assert json.loads(scored.out)["mean"] == result["mean"]


def test_mistakes_in_what_is_said_about_a_csv(mistake, folder):
    train = ("-q", "train", "mine.csv")
    assert "mine.csv: choose what to predict, --target-column from name, SMILES, length" in mistake(*train)
    assert "no column 'y'; its columns are name, SMILES, length" in mistake(*train, "--target-column", "y")
    name, length = ("--target-column", "name"), ("--target-column", "length")
    message = mistake(*train, *name, "--task", "regression")
    assert "mine.csv, line 2: the label 'alkane, 0' in the column name is no finite number" in message
    assert "line 2: 'a' in the column kind is none of train" in mistake(
        *train, *length, "--split-column", "kind"
    )
    assert "do not tell the task (line 2 has" in mistake(*train, *length, *name)
    assert "RDKit cannot read any" in mistake("preprocess", "mine.csv", "--smiles-column", "name")
    assert "no column 'smiles'" in mistake("preprocess", "mine.csv", "--smiles-column", "smiles")
    assert "no file none.csv" in mistake("preprocess", "none.csv")
    assert "no file none.csv" in mistake("train", "none.csv")
    (folder / "empty.csv").write_text("")
    assert "empty.csv is empty" in mistake("preprocess", "empty.csv")
    (folder / "bad.csv").write_text("smiles\nC1CC\n")
    assert "RDKit cannot read any of the 1 molecules (line 2: 'C1CC')" in mistake("preprocess", "bad.csv")
    assert "mine.h5" in mistake(*train, "--target-column", "alcohol", "--cache-dir", "none")


def test_a_csv_that_has_changed_since(command, mistake, folder):
    assert command("preprocess", "mine.csv", "--jobs", "1").status == 0
    text = (folder / "mine.csv").read_text()
    (folder / "mine.csv").write_text(text.replace(",CCO,", ",CCCO,", 1))
    assert "graph 5 differs" in mistake("-q", "train", "mine.csv", "--target-column", "alcohol")


def test_mistakes_with_functions(mistake, folder):
    assert "there is no module 'ringz'" in mistake("preprocess", "ringz:make")
    assert "has no 'make'" in mistake("preprocess", "rings_of_mine:make")
    assert "takes no target columns" in mistake("train", "rings_of_mine:make_dataset", "--target-column", "y")
    assert "takes no smiles column" in mistake("train", "MUTAG", "--smiles-column", "y")


def test_an_unknown_task_is_wrong_usage(command, folder):
    done = command("train", "mine.csv", "--target-column", "alcohol", "--task", "ranking")
    assert done.status == 2


def test_each_data_set_has_a_preset_that_suits_it():
    def preset_of(dataset, found):
        return options.ChosenData(dataset, None, Path("cache"), DataOptions()).preset(found)

    assert preset_of("zinc.csv", "zinc") == "molecules"
    assert preset_of("rings_of_mine:make_dataset", "rings_of_mine.make_dataset") == "default"
    names = ("ogbg-molhiv", "IMDB-BINARY", "COLLAB", "AIDS")
    assert [preset_of(name, name) for name in names] == [*map(str.lower, names[:3]), "default"]
    published = load_preset("ogbg-molhiv")
    assert (published.gamma, published.hop, published.slope) == (0.7, 5.0, 0.2)
    assert (published.num_layers, published.feat_size, published.num_heads) == (10, 64, 4)
    assert (published.encoding, published.encoding_mode, published.encoding_feat_size) == (
        "rwse:16",
        "concat",
        16,
    )
    assert (published.message_passing, published.readout) == ("gatedgcn_gate", "mean")


def test_attributes_of_a_tu_set_beside_its_labels(command, mistake, raw, tmp_path):
    folder = raw / "SHAPES"
    graph_of = [int(line) for line in (folder / "SHAPES_graph_indicator.txt").read_text().split()]
    classes = [graph * 5 % 7 % 2 for graph in range(97)]
    # What the attributes tell alone: the class of a graph is the sign of its nodes.
    signs = [2 * classes[graph - 1] - 1 for graph in graph_of]
    (folder / "SHAPES_graph_labels.txt").write_text("".join(f"{label}\n" for label in classes))
    places = ("--data-root", raw, "--cache-dir", tmp_path / "cache")
    wanted = ("--tu-features", "all")
    assert command("preprocess", "SHAPES", *places, "--jobs", "1").status == 0
    assert "SHAPES has attributes neither of nodes nor" in mistake("train", "SHAPES", *places, *wanted)
    (folder / "SHAPES_node_attributes.txt").write_text("".join(f"{sign}.0, 0.5\n" for sign in signs))

    settings = (*QUICK, "--epochs", "10", "--lr", "1e-2")
    results = {}
    for name in ("labels", "all"):
        told = ("--tu-features", name, "--out", tmp_path / name)
        done = command("train", "SHAPES", *places, *settings, *told, "--json")
        assert done.status == 0, done.err
        results[name] = json.loads(done.out)["mean"]
    assert results["all"] == 100
    assert results["labels"] < 90
    table = tmp_path / "predictions.csv"
    done = command("predict", tmp_path / "all", folder, "-o", table)
    assert done.status == 0, done.err
    assert [row["class"] for row in csv.DictReader(table.read_text().splitlines())] == [
        str(label) for label in classes
    ]
    (folder / "SHAPES_node_attributes.txt").unlink()
    assert "has no SHAPES_node_attributes.txt" in mistake(
        "predict", tmp_path / "all", folder, "-o", tmp_path / "new.csv"
    )
    assert "takes no tu features" in mistake("train", "NCI-TPSA", *places, *wanted)

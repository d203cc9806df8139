"""Output for scripts: with `--json`, stdout is one line of JSON and nothing else."""

import csv
import json
import sys
from pathlib import Path

import click
import pytest

from gradformer_dgl.cli import _COMMANDS, group


@pytest.fixture
def facts(command):
    """Return a function that runs a command with --json and reads its line."""

    def ask(*arguments, status=0):
        done = command(*arguments, "--json")
        assert done.status == status, done.err
        assert done.out.count("\n") == 1
        return json.loads(done.out)

    return ask


@pytest.fixture
def trained(command, raw, cached, tmp_path):
    """Arguments for a run of two seeds, and its folder."""
    where = ("SHAPES", "--data-root", raw, "--cache-dir", cached.parent)
    small = ("--epochs", "1", "--feat-size", "8", "--num-layers", "1")
    done = command("train", *where, *small, "--runs", "2", "--out", tmp_path / "run", "--json")
    assert done.status == 0, done.err
    return done, tmp_path / "run"


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_takes_the_option(name):
    command = group.get_command(click.Context(group), name)
    assert [option.help for option in command.params if "--json" in option.opts]


def test_preprocess_says_what_info_says(command, facts, raw, tmp_path):
    line = facts("preprocess", "SHAPES", "--data-root", raw, "--cache-dir", tmp_path)
    assert line.pop("dataset") == "SHAPES"
    assert line == facts("info", tmp_path / "SHAPES.h5")
    assert line["graphs"] == 97


def test_what_a_function_prints_is_no_part_of_the_line(facts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "printing.py").write_text(
        "import dgl\nprint('import')\n\n"
        "def make():\n    print('call')\n    return [dgl.graph(([0], [1]))] * 3\n"
    )
    assert facts("preprocess", "printing:make", "--jobs", "1")["graphs"] == 3


def test_scores_are_one_line_and_people_read_them_on_stderr(command, trained):
    done, run = trained
    result = json.loads(done.out)
    assert result == json.loads((run / "result.json").read_text())
    said = f"test accuracy {result['mean']:.4g} ± {result['std']:.2g} %, 2 seeds"
    assert done.err.splitlines()[-1] == said
    plain, asked = command("evaluate", run), command("evaluate", run, "--json")
    assert plain.out == asked.out
    assert json.loads(asked.out)["mean"] == result["mean"]
    assert asked.err.splitlines()[-1] == said
    assert command("-q", "evaluate", run).err == ""


def test_plot_names_its_files(facts, trained):
    _, run = trained
    drawn = facts("plot", run, "--only", "curves,distances", "--format", "svg")
    assert drawn["run"] == str(run)
    assert sorted(map(Path, drawn["files"])) == sorted((run / "plots").iterdir())
    assert drawn["left_out"] == []


def test_predict_counts_its_rows(command, facts, trained, raw, tmp_path):
    _, run = trained
    table = tmp_path / "table.csv"
    assert facts("predict", run, raw / "SHAPES", "-o", table) == {
        "file": str(table),
        "rows": 97,
        "predicted": 97,
        "empty": 0,
    }
    assert len(list(csv.DictReader(table.read_text().splitlines()))) == 97
    done = command("predict", run, raw / "SHAPES", "-o", "-", "--json")
    assert (done.status, done.out) == (2, "")
    assert "give --out a file" in done.err


def test_predict_counts_the_empty_rows(command, facts, tmp_path):
    lines = ["smiles,y", *(f"{'C' * size},{size}.5" for size in range(1, 31))]
    (tmp_path / "chains.csv").write_text("\n".join(lines))
    (tmp_path / "new.csv").write_text("smiles\nCCO\nC1CC\nCO\n")
    cached = ("--cache-dir", tmp_path)
    assert command("preprocess", tmp_path / "chains.csv", *cached).status == 0
    small = ("--epochs", "1", "--num-layers", "1", "--target-column", "y")
    done = command("train", tmp_path / "chains.csv", *cached, *small, "--out", tmp_path / "run")
    result = json.loads(done.out)
    said = f"test mae {result['mean']:.4g}; predicting the mean: {result['predicting_the_mean']:.4g}"
    assert done.err.splitlines()[-1] == said
    counted = facts("predict", tmp_path / "run", tmp_path / "new.csv", "-o", tmp_path / "out.csv", status=3)
    assert (counted["rows"], counted["predicted"], counted["empty"]) == (3, 2, 1)


def test_reproduce_and_tune(command, facts, raw, tmp_path):
    folders = ("--data-root", raw, "--cache-dir", tmp_path / "cache")
    table = ("reproduce", "--datasets", "SHAPES", "--models", "gin", "--epochs", "1", "--runs", "1")
    line = facts(*table, *folders, "--out", tmp_path / "results", "--work", tmp_path / "work")
    assert line["table"] == "main"
    assert {Path(line[kind]) for kind in ("markdown", "csv")} == set((tmp_path / "results").glob("main.*"))

    small = ("--num-layers", "1", "--epochs", "1", "--trials", "1", "--out", tmp_path / "tune")
    done = command("tune", "SHAPES", *folders, *small, "--json")
    result = json.loads(done.out)
    assert (result["trials"], done.out.count("\n")) == (1, 1)
    assert done.err.splitlines()[-1].endswith(f", trial {result['trial']}: {tmp_path / 'tune' / 'best.yaml'}")

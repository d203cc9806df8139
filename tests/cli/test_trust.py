"""A run folder of a stranger runs no code that it names, unless the user trusts it."""

import sys
from pathlib import Path

import pytest
import yaml

from gradformer_dgl import Predictor
from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.support.registry import load_object
from gradformer_dgl.training.run_folder import read_spec
from gradformer_dgl.training.trained_run import open_run

QUICK = ("--epochs", "1", "--feat-size", "8", "--num-layers", "1", "--num-heads", "2", "--device", "cpu")
RESUME = ("--out", "run", "--resume")
IN_CONFIG = {
    "decay": "strangers_code:Part",
    "message_passing": "strangers_code:Part",
    "model": "strangers_code:Part",
    "readout": "strangers_code:part",
    "head": "strangers_code:part",
    "metric": "strangers_code:Part",
    "split": "strangers_code:part",
    "encoding": "strangers_code:part:3",
    "distance": "strangers_code:part",
}
OF_DATA = {"dataset": "strangers_code:part", "reader": "strangers_code:part"}


@pytest.fixture
def run(command, raw, cached, tmp_path, monkeypatch):
    """A run, and a module in the current folder that leaves a file where it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "strangers_code.py").write_text("open('imported', 'w').close()\n")
    data = ("SHAPES", "--data-root", raw, "--cache-dir", cached.parent)
    assert command("-q", "train", *data, *QUICK, "--out", "run").status == 0
    load_object.cache_clear()
    yield Path("run")
    load_object.cache_clear()
    sys.modules.pop("strangers_code", None)


def change(run, name, value):
    """Let the run name code at one place."""
    file = run / "config.yaml"
    settings = yaml.safe_load(file.read_text())
    if name == "dataset":
        settings["dataset"] = value
    elif name == "reader":
        settings["data_options"] = {"reader": value}
    else:
        settings["config"][name] = value
    file.write_text(yaml.safe_dump(settings))


def refused(done):
    assert (done.status, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert line.startswith("Error: run names Python code, strangers_code:")
    assert line.endswith("which is run only if you trust it: add --trust (in Python trust=True)")
    assert not Path("imported").exists()
    assert "strangers_code" not in sys.modules
    return True


@pytest.mark.parametrize("name", IN_CONFIG)
def test_settings_that_name_code(run, command, raw, name):
    change(run, name, IN_CONFIG[name])
    assert refused(command("evaluate", run, "--device", "cpu"))
    assert refused(command("plot", run, "--only", "curves", "--device", "cpu"))
    assert refused(command("predict", run, raw / "SHAPES", "-o", "out.csv", "--device", "cpu"))
    with pytest.raises(ConfigError, match="add --trust"):
        Predictor.from_run(run)
    with pytest.raises(ConfigError, match="add --trust"):
        open_run(run)
    resumed = command("train", "SHAPES", "--data-root", raw, "--cache-dir", ".", *QUICK, *RESUME)
    assert (resumed.status, resumed.err.count("\n")) == (1, 1)
    assert "other settings" in resumed.err
    assert not Path("imported").exists()
    if name != "distance":
        done = command("evaluate", run, "--trust", "--device", "cpu")
        assert done.status == 1
        assert Path("imported").exists() or name == "encoding"


@pytest.mark.parametrize("name", OF_DATA)
def test_data_that_names_code(run, command, raw, name):
    change(run, name, OF_DATA[name])
    assert refused(command("evaluate", run, "--device", "cpu"))
    assert refused(command("plot", run, "--device", "cpu"))
    # These need the cache and the weights alone.
    assert command("plot", run, "--only", "curves,distances", "--device", "cpu").status == 0
    assert command("predict", run, raw / "SHAPES", "-o", "out.csv", "--device", "cpu").status == 0
    resumed = command("train", "SHAPES", "--data-root", raw, "--cache-dir", ".", *QUICK, *RESUME)
    assert "other settings" in resumed.err
    assert not Path("imported").exists()
    done = command("evaluate", run, "--trust", "--device", "cpu")
    assert done.status == 1
    assert "has no 'part'" in done.err
    assert Path("imported").exists()


def test_data_of_an_older_version_is_read_and_names_code(run):
    change(run, "dataset", OF_DATA["dataset"])
    file = run / "config.yaml"
    settings = yaml.safe_load(file.read_text())
    del settings["data"]
    file.write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match="run names Python code, strangers_code:part, which"):
        Predictor.from_run(run, data_root="raw")
    assert not Path("imported").exists()


def test_a_csv_file_with_a_colon_in_a_column_is_no_code(run):
    file = run / "config.yaml"
    settings = yaml.safe_load(file.read_text())
    settings |= {"dataset": "a.csv", "data_options": {"target_columns": ["strangers_code:part"]}}
    file.write_text(yaml.safe_dump(settings))
    assert read_spec(run).data_options == DataOptions(target_columns=("strangers_code:part",))


def test_the_package_looks_for_its_own_parts_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    load_object.cache_clear()
    load_object("gradformer_dgl.nn.readout:sum_nodes")
    assert str(tmp_path) not in sys.path
    load_object("math:fsum")
    assert str(tmp_path) in sys.path

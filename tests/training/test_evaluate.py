"""Several runs scored together: the average by hand, and runs that do not fit together."""

import dataclasses
import json
import shutil
import statistics

import numpy as np
import pytest
import torch
import yaml

from gradformer_dgl.data import load_dataset
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.evaluate import average_outputs, evaluate_runs
from gradformer_dgl.training.runs import train_run
from gradformer_dgl.training.trained_run import open_run


@pytest.fixture
def train(request_for, tmp_path):
    """Return a function that trains a run on SHAPES and opens it."""

    def trained(name, dataset=None, **settings):
        train_run(request_for(folder=name, **settings), dataset=dataset)
        return open_run(tmp_path / name)

    return trained


def test_the_average_of_two_models_by_hand(train):
    seeds = (3, 4)
    runs = train("one", seeds=seeds, epochs=2), train("wl", seeds=seeds, epochs=4, model="wl", wl_rounds=2)
    result = evaluate_runs(*runs)
    assert [run["seed"] for run in result["runs"]] == [3, 4]
    expected = []
    for seed in seeds:
        outputs = [run.outputs(seed).outputs.double().numpy() for run in runs]
        chances = [np.exp(one) / np.exp(one).sum(1, keepdims=True) for one in outputs]
        dataset = runs[0].dataset
        truth = dataset.graphs.labels[runs[0].split(seed)["test"]].flatten().numpy()
        expected.append(100 * float(((chances[0] + chances[1]).argmax(1) == truth).mean()))
    assert [run["score"] for run in result["runs"]] == pytest.approx(expected)
    assert result["mean"] == pytest.approx(statistics.fmean(expected))
    assert result["std"] == pytest.approx(statistics.stdev(expected))
    assert [member["run"] for member in result["members"]] == [str(run.folder) for run in runs]
    for run, member in zip(runs, result["members"], strict=True):
        alone = evaluate_runs(run)
        assert "members" not in alone
        assert member == {"run": str(run.folder)} | {
            key: value for key, value in alone.items() if key not in ("dataset", "split")
        }


def test_a_run_with_itself_scores_as_it_does_alone(train):
    run = train("one", epochs=2)
    together = evaluate_runs(run, run, part="val")
    assert together["mean"] == evaluate_runs(run, part="val")["mean"]


def test_values_of_a_regression_are_averaged():
    values = torch.randn(3, 7, 2)
    assert torch.allclose(average_outputs(values, "regression"), values.double().mean(0))


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_averaged_logits_have_the_averaged_probabilities(task):
    logits = 3 * torch.randn(3, 11, 5, dtype=torch.float64)
    chances = logits.softmax(2) if task == "multiclass" else logits.sigmoid()
    found = average_outputs(logits, task)
    found = found.softmax(1) if task == "multiclass" else found.sigmoid()
    torch.testing.assert_close(found, chances.mean(0))


def test_very_sure_predictions_stay_apart():
    sure = torch.tensor([60.0, 70.0, -60.0, -70.0])[None, :, None].expand(2, 4, 1)
    torch.testing.assert_close(average_outputs(sure, "binary"), sure[0].double())


@pytest.fixture
def relabelled_root(shapes_root, tmp_path):
    """Raw data whose graphs have the other class each, and a cache of it."""
    root = tmp_path / "raw"
    shutil.copytree(shapes_root, root)
    file = root / "SHAPES" / "SHAPES_graph_labels.txt"
    file.write_text("".join(f"{-int(line)}\n" for line in file.read_text().splitlines()))
    preprocess_graphs(
        load_dataset("SHAPES", root).graphs, tmp_path / "other.h5", n_jobs=1, encodings=("rwse:5",)
    )
    return root


def test_runs_that_do_not_fit_together(train, request_for, relabelled_root, tmp_path):
    first = train("first", epochs=1)
    others = dataclasses.replace(
        request_for(epochs=1, folder="labels"),
        data_root=str(relabelled_root),
        cache=str(tmp_path / "other.h5"),
    )
    train_run(others)
    with pytest.raises(RunError, match=r"first and .*labels cannot be averaged: .* data has other labels$"):
        evaluate_runs(first, open_run(tmp_path / "labels"))
    with pytest.raises(RunError, match=r"cannot be averaged: the test graphs of seed 0 differ$"):
        evaluate_runs(first, train("larger", epochs=1, test_fraction=0.3))
    with pytest.raises(RunError, match=r"have no seed in common to pair$"):
        evaluate_runs(first, train("apart", epochs=1, seeds=(1,)))


def test_runs_of_other_tasks(train, tmp_path):
    first, second = train("first", epochs=1), train("second", epochs=1)
    second.dataset = dataclasses.replace(second.dataset, task="regression", out_size=1)
    second.data = {}
    fault = "their tasks are multiclass of graphs with 2 outputs and regression of graphs with 1 outputs$"
    with pytest.raises(RunError, match=fault):
        evaluate_runs(first, second)


def test_seeds_that_one_run_lacks_are_left_out(train, caplog):
    runs = train("both", epochs=1, seeds=(0, 1)), train("second", epochs=2, seeds=(1,))
    assert [run["seed"] for run in evaluate_runs(*runs)["runs"]] == [1]


def test_the_command_takes_several_runs(train, command, tmp_path):
    runs = train("one", epochs=1), train("two", epochs=2, model="gin")
    done = command("evaluate", *(run.folder for run in runs), "--device", "cpu")
    assert done.status == 0, done.err
    assert json.loads(done.out) == evaluate_runs(*runs)
    done = command("evaluate", runs[0].folder, tmp_path / "none")
    assert (done.status, done.out) == (1, "")
    assert "none is not a run folder" in done.err


def test_a_run_with_wl_labels_in_its_network_is_told_in_one_line(train, command, tmp_path):
    run = train("older", epochs=1)
    file = run.folder / "config.yaml"
    saved = yaml.safe_load(file.read_text())
    saved["config"] = {"epochs": 1, "wl_rounds": 3, "wl_use": "head"}
    file.write_text(yaml.safe_dump(saved))
    with pytest.raises(RunError, match=r"config\.yaml: the run has Weisfeiler-Leman labels in its network"):
        open_run(run.folder)
    saved["config"] |= {"wl_rounds": 0, "clip_norm": 0.5}
    file.write_text(yaml.safe_dump(saved))
    assert open_run(run.folder).config.gradient_clipping == 0.5

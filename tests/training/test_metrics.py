"""Metrics: values by hand, the choice by the setting, and one of a user's own."""

import json
import logging
import math
from pathlib import Path

import pytest
import torch
from rank_scenarios import made_dataset, trainer_of

from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.evaluate import evaluate_runs
from gradformer_dgl.training.metrics import load_metric
from gradformer_dgl.training.objectives import objective_for
from gradformer_dgl.training.registry import METRICS
from gradformer_dgl.training.runs import train_run
from gradformer_dgl.training.trained_run import open_run

OWN = """
from gradformer_dgl.training.metrics import Metric

class WorstClass(Metric):
    name, unit, tasks = "worst_class", "%", ("multiclass",)

    def __call__(self, outputs, targets):
        hits = (outputs.argmax(1) == targets).double()
        return min(hits[targets == label].mean() for label in targets.unique())

class Nameless(Metric):
    tasks = ("multiclass",)

def no_class():
    pass
"""


@pytest.fixture
def own(own_module):
    return own_module("own_metrics", OWN)


def by_hand(name, outputs, targets):
    """Compute a metric one item, or one pair of items, after the other."""
    if name == "macro_f1":
        scores = []
        for label in range(outputs.shape[1]):
            chosen, true = outputs.argmax(1) == label, targets == label
            both = int((chosen & true).sum())
            if chosen.any() or true.any():
                scores.append(2 * both / int(chosen.sum() + true.sum()))
        return 100 * sum(scores) / len(scores)
    if name == "rmse":
        errors = [
            (float(a) - float(b)) ** 2
            for a, b in zip(outputs.flatten(), targets.flatten(), strict=True)
            if not b.isnan()
        ]
        return (sum(errors) / len(errors)) ** 0.5
    columns = []
    for column, truth in zip(outputs.T, targets.T, strict=True):
        given = ~truth.isnan()
        ranked = [int(one) for one in truth[given][column[given].argsort(descending=True)]]
        precisions = [sum(ranked[: place + 1]) / (place + 1) for place, one in enumerate(ranked) if one]
        columns.append(sum(precisions) / len(precisions))
    return sum(columns) / len(columns)


@pytest.mark.parametrize(
    ("name", "task"),
    [("macro_f1", "multiclass"), ("average_precision", "multilabel"), ("rmse", "regression")],
)
def test_values_by_hand(name, task):
    generator = torch.Generator().manual_seed(7)
    outputs = torch.randn(53, 3, generator=generator)
    targets = torch.randint(2, (53,), generator=generator)
    if task != "multiclass":
        targets = (outputs + torch.randn(53, 3, generator=generator) > 0).float()
        targets[::5, 1] = torch.nan
    found = objective_for(task, metric=name).report(outputs, targets)
    assert found == pytest.approx(by_hand(name, outputs, targets), rel=1e-5)


def test_every_metric_of_the_registry_loads():
    for name, part in METRICS.items():
        if name == "auto":
            continue
        metric = part.load()
        assert metric.name == name
        assert [type(load_metric(name, task)) for task in metric.tasks] == [metric] * len(metric.tasks)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_usual_metrics_follow_the_chosen_one(weighted):
    objective = objective_for("multiclass", weighted, "macro_f1")
    assert objective.name == "macro_f1"
    assert set(objective.also) == {"accuracy", "class_averaged_accuracy"}
    assert objective.loss is objective_for("multiclass", weighted).loss


def test_the_setting_selects_the_epoch(tmp_path):
    trainer = trainer_of("missing targets", tmp_path, metric="rmse", epochs=3, ema_decay=0.0)
    result = trainer.run()
    scores = [record["val_rmse"] for record in trainer.records]
    assert result.val == min(scores)
    assert list(result.also) == ["mae"]
    usual = trainer_of("missing targets", tmp_path / "usual", epochs=3, ema_decay=0.0)
    usual.run()
    assert [one["val_loss"] for one in usual.records] == [one["val_loss"] for one in trainer.records]
    assert "val_mae" in usual.records[0]


def test_one_of_a_users_own(own, request_for, tmp_path):
    result = train_run(request_for(epochs=2, metric=f"{own}:WorstClass"))
    assert (result["metric"], result["unit"]) == ("worst_class", "%")
    assert set(result["also"]) == {"accuracy", "class_averaged_accuracy"}
    (run,) = result["runs"]
    # Of two classes, beside the mean of both.
    assert run["test"] <= run["also"]["class_averaged_accuracy"]
    lines = (tmp_path / "run" / "seed-0" / "metrics.jsonl").read_text().splitlines()
    assert all("val_worst_class" in json.loads(line) for line in lines)
    assert evaluate_runs(open_run(tmp_path / "run", trust=True))["mean"] == result["mean"]


def test_one_of_a_users_own_on_the_command_line(own, command, shapes_root, shapes_cache, tmp_path):
    options = ["--data-root", shapes_root, "--cache-dir", shapes_cache.parent, "--epochs", 1]
    options += ["--feat-size", 16, "--num-layers", 1, "--encoding", "none", "--device", "cpu"]
    done = command("train", "SHAPES", *options, "--out", tmp_path / "run", "--metric", f"{own}:WorstClass")
    assert done.status == 0, done.err
    assert json.loads(done.out)["metric"] == "worst_class"


@pytest.mark.parametrize(
    ("metric", "fault"),
    [
        ("rmse", "the metric rmse is for regression tasks, not for multiclass"),
        ("roc_auc", "the metric roc_auc is for binary and multilabel tasks, not for multiclass"),
        ("own_metrics:Nameless", "own_metrics:Nameless is no metric: derive a class with a name"),
        ("own_metrics:no_class", "own_metrics:no_class is no metric"),
        ("own_metrics:Missing", "the module own_metrics has no 'Missing'"),
        ("rsme", "metric is one of .*, not 'rsme'; did you mean 'rmse'"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_is_no_metric_of_the_task(metric, fault):
    with pytest.raises(ConfigError, match=fault):
        objective_for(made_dataset("multiclass", "graph").task, metric=metric)


def test_the_default_is_the_usual_one():
    assert RunConfig().metric == "auto"


OF_ONE_CLASS = """
from torch import nan, tensor
from gradformer_dgl.training.metrics import Metric

class Undefined(Metric):
    name, tasks = "undefined", ("multiclass",)

    def __call__(self, outputs, targets):
        return tensor(nan)
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_score_that_is_no_number_is_told_once(own_module, request_for, caplog, monkeypatch, jobs):
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    name = own_module("undefined_metric", OF_ONE_CLASS)
    request = request_for(seeds=(0, 1), metric=f"{name}:Undefined", epochs=2)
    with caplog.at_level(logging.WARNING, "gradformer_dgl"):
        result = train_run(request, jobs=jobs)
    (line,) = [record.getMessage() for record in caplog.records if "not a number" in record.getMessage()]
    assert "validation undefined is not a number in epoch 1: epochs without it are compared by the" in line
    folder = Path(request.folder)
    for run in result["runs"]:
        assert run["selected_by"] == "loss"
        lines = (folder / f"seed-{run['seed']}" / "metrics.jsonl").read_text().splitlines()
        losses = [json.loads(line)["val_loss"] for line in lines]
        assert run["best_epoch"] == 1 + losses.index(min(losses))
        assert [json.loads(line)["val_undefined"] for line in lines] == [None, None]
    assert json.loads((folder / "result.json").read_text())["runs"][0]["val"] is None


@pytest.mark.parametrize("name", ["accuracy", "class_averaged_accuracy", "macro_f1"])
def test_no_class_is_chosen_by_outputs_that_are_no_numbers(name):
    outputs = torch.tensor([[0.0, 1.0], [float("nan"), 1.0]])
    metric = load_metric(name, "multiclass")
    assert math.isnan(metric.report(outputs, torch.tensor([1, 0])))
    assert metric.report(outputs[:1], torch.tensor([1])) == 100

import copy
import csv
import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch
import yaml

from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.experiments import tune as tuning
from gradformer_dgl.experiments import tune_trials as trials
from gradformer_dgl.experiments.tune import tune
from gradformer_dgl.experiments.tune_space import Range
from gradformer_dgl.experiments.tune_study import TuneSpec
from gradformer_dgl.experiments.tune_trials import best_window, without_test_part
from gradformer_dgl.support.errors import ConfigError, RunError
from gradformer_dgl.support.progress import Progress
from gradformer_dgl.training.config import RunConfig, read_settings
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.splits import split_of

SPACE = {"lr": Range(1e-4, 1e-1, log=True), "feat_size": (8, 16), "num_layers": Range(1, 2)}


@pytest.fixture
def request_for(tmp_path, caches, shapes_root):
    """Return a function that describes a small search."""

    def make(trials=4, folder="tune", space=None, seeds=(0,), seed=0, **settings):
        base = {"feat_size": 16, "num_layers": 1, "num_heads": 2, "batch_size": 17, "epochs": 3, "lr": 5e-3}
        run = RunSpec(
            dataset="SHAPES",
            data_root=str(shapes_root),
            cache=str(caches / "SHAPES.h5"),
            folder=str(tmp_path / folder),
            config=RunConfig().updated(base | {"encoding": "rwse:20"} | settings),
            seeds=seeds,
        )
        return TuneSpec(run, SPACE if space is None else space, trials, seed)

    return make


@pytest.fixture
def raw(shapes_root):
    return load_dataset("SHAPES", shapes_root)


@pytest.fixture
def synthetic(monkeypatch):
    """Replace training by a curve that depends on the learning rate alone, and is best at 0.01."""

    def validate(task, report):
        level = 90 - 1000 * abs(task.run.config.lr - 0.01)
        scores = [level * epoch / task.run.config.epochs for epoch in range(1, task.run.config.epochs + 1)]
        for epoch, score in enumerate(scores, 1):
            report({"epoch": epoch, "val": score})
        return best_window(scores)

    monkeypatch.setattr(tuning, "validate", validate)


def trials_of(request):
    with (Path(request.run.folder) / "trials.csv").open() as stream:
        return list(csv.DictReader(stream))


def settings_of(trials):
    return [{name: trial[name] for name in SPACE} for trial in trials]


class Interrupting(Progress):
    def __init__(self, epochs):
        super().__init__()
        self.left = epochs

    def epoch(self, *_):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_the_best_settings_can_be_trained(request_for, raw):
    request = request_for(seeds=(0, 1))
    result = tune(request, raw)
    trials = trials_of(request)
    assert result["trials"] == len(trials) == 4
    best = max(trials, key=lambda trial: float(trial["val"]))
    assert result["best_val"] == float(best["val"])
    assert {name: str(value) for name, value in result["settings"].items()} == settings_of([best])[0]
    written = read_settings(Path(request.run.folder) / "best.yaml")
    assert RunConfig().updated(written) == request.run.config.updated(result["settings"])
    # The first trial is that of the settings themselves.
    assert settings_of(trials)[0] == {"lr": "0.005", "feat_size": "16", "num_layers": "1"}
    assert json.loads(json.dumps(result)) == result


def test_the_score_is_the_mean_over_epochs_and_splits(request_for, raw, monkeypatch):
    seen = {0: [], 1: []}
    run_epoch = Trainer.run_epoch

    def watched(self, epoch):
        record = run_epoch(self, epoch)
        seen[self.seed].append(record["val_accuracy"])
        return record

    monkeypatch.setattr(Trainer, "run_epoch", watched)
    result = tune(request_for(trials=1, seeds=(0, 1), epochs=7), raw)
    means = [(one + two) / 2 for one, two in zip(seen[0], seen[1], strict=True)]
    assert result["best_val"] == pytest.approx(max(sum(means[k : k + 5]) / 5 for k in range(3)))


def test_windows():
    assert best_window([1, 2]) == 1.5
    assert best_window([5, 0, 0, 0, 0, 1], higher_is_better=False) == 0.2


def test_the_test_part_is_never_touched(request_for, raw, monkeypatch):
    clean = request_for(folder="clean")
    tune(clean, raw)
    parts = []
    evaluate = Trainer.evaluate

    def watched(self, part):
        parts.append(part)
        assert len(self.split["test"]) == 0
        return evaluate(self, part)

    monkeypatch.setattr(Trainer, "evaluate", watched)
    monkeypatch.setattr(Trainer, "run", None)
    dataset = trials.open_once(clean.run)
    # A class that there is not: wherever such a label is looked at, the loss cannot be computed.
    labels = dataset.graphs.labels.clone()
    labels[split_of(dataset, clean.run.config, 0)["test"]] = 10**6
    poisoned = dataclasses.replace(dataset, graphs=dataclasses.replace(dataset.graphs, labels=labels))
    monkeypatch.setattr(trials, "open_once", lambda request: poisoned)
    request = request_for()
    tune(request, raw)
    assert parts == ["val"] * 4 * 3
    assert [trial["val"] for trial in trials_of(request)] == [trial["val"] for trial in trials_of(clean)]


def test_the_split_of_a_seed_without_its_test_part(request_for):
    dataset = trials.open_once(request_for().run)
    config = RunConfig(train_fraction=0.5)
    fixed = without_test_part(dataset, config, 3)
    whole = Trainer(dataset, request_for(train_fraction=0.5).run.config, 3, Path()).split
    kept = Trainer(fixed, request_for(train_fraction=0.5).run.config, 3, Path()).split
    assert torch.equal(kept["train"], whole["train"])
    assert torch.equal(kept["val"], whole["val"])
    assert len(kept["test"]) == 0 < len(whole["test"])


def test_a_search_goes_on(request_for, raw, epochs_trained):
    tune(request_for(trials=2), raw)
    first = trials_of(request_for())
    epochs_trained.clear()
    tune(request_for(trials=2), raw)
    assert epochs_trained == []
    result = tune(request_for(trials=5), raw)
    assert len(epochs_trained) == 3 * 3
    assert result["trials"] == 5
    assert trials_of(request_for())[:2] == first


def test_an_interrupted_trial_is_done_again(request_for, raw):
    tune(request_for(folder="whole"), raw)
    expected = trials_of(request_for(folder="whole"))
    with pytest.raises(KeyboardInterrupt):
        tune(request_for(), raw, progress=Interrupting(8))
    tune(request_for(), raw)
    trials = trials_of(request_for())
    assert [trial["state"] for trial in trials] == ["complete", "complete", "fail", "complete", "complete"]
    kept = [trial for trial in trials if trial["state"] == "complete"]
    assert settings_of(kept) == settings_of(expected)
    assert [trial["val"] for trial in kept] == [trial["val"] for trial in expected]


def test_another_seed_gives_other_trials(request_for, raw, synthetic):
    runs = [
        settings_of_run(tune, request_for, raw, folder, seed)
        for folder, seed in [("a", 0), ("b", 0), ("c", 1)]
    ]
    assert runs[0] == runs[1] != runs[2]


def settings_of_run(tune, request_for, raw, folder, seed):
    request = request_for(trials=12, folder=folder, seed=seed)
    tune(request, raw)
    return settings_of(trials_of(request))


def test_hopeless_trials_are_given_up(request_for, raw, synthetic):
    request = request_for(trials=25, epochs=20, space={"lr": Range(1e-3, 5e-2, log=True)})
    result = tune(request, raw)
    trials = trials_of(request)
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    assert len(pruned) == result["pruned"] > 3
    assert all(5 <= int(trial["epochs"]) < 20 for trial in pruned)
    assert all(trial["epochs"] == "20" for trial in trials if trial["state"] == "complete")
    assert result["settings"]["lr"] == pytest.approx(0.01, rel=0.3)
    assert max(float(trial["val"]) for trial in trials if trial["val"]) == result["best_val"]


def test_processes_do_all_trials(request_for, raw):
    request = request_for(trials=5)
    finished = []

    class Watching(Progress):
        def finished(self, title, text):
            finished.append(title)

    result = tune(request, raw, jobs=2, progress=Watching())
    assert sorted(finished) == [f"trial {number}" for number in range(5)]
    assert result["trials"] == 5
    assert {trial["state"] for trial in trials_of(request)} == {"complete"}


def test_a_diverging_trial_does_not_end_the_search(request_for, raw):
    request = request_for(trials=2, space={"weight_decay": (1e3,)}, lr=1e3, weight_decay=1e3)
    with pytest.raises(RunError, match=r"none of the 2 trials ended well: see .*trials\.csv"):
        tune(request, raw)
    trials = trials_of(request)
    assert [trial["state"] for trial in trials] == ["pruned", "pruned"]
    assert "the training loss of seed 0 is" in trials[0]["error"]


def test_another_search_is_not_continued(request_for, raw, synthetic):
    tune(request_for(trials=1), raw)
    for other in (
        request_for(trials=2, epochs=4),
        request_for(trials=2, seeds=(0, 1)),
        request_for(trials=2, seed=3),
        request_for(trials=2, space={"lr": (1e-3, 1e-2)}),
    ):
        with pytest.raises(RunError, match="holds a search with other settings: choose another --out"):
            tune(other, raw)


def with_data(request, **options):
    run = dataclasses.replace(request.run, data_options=DataOptions(**options))
    return dataclasses.replace(request, run=run)


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ({"target_columns": ("b",)}, {"target_columns": ("y",)}),
        ({"split_column": "part"}, {}),
        ({}, {"tu_features": "all"}),
        ({"node_features": "feat"}, {"node_features": "none"}),
    ],
)
def test_a_search_on_other_data_is_not_continued(request_for, raw, synthetic, options, others):
    tune(with_data(request_for(trials=1), **options), raw)
    before = trials_of(request_for())
    with pytest.raises(RunError, match="holds a search with other settings: choose another --out"):
        tune(with_data(request_for(trials=2), **others), raw)
    assert trials_of(request_for()) == before
    assert tune(with_data(request_for(trials=2), **options), raw)["trials"] == 2


def test_a_search_by_another_metric_is_not_continued(request_for, raw, synthetic):
    tune(request_for(trials=1), raw)
    before = trials_of(request_for())
    with pytest.raises(RunError, match="holds a search by another metric than mae: choose another --out"):
        tune(request_for(trials=2), dataclasses.replace(raw, task="regression"))
    assert trials_of(request_for()) == before


def test_a_search_on_data_that_has_changed_is_not_continued(request_for, raw, synthetic):
    tune(request_for(trials=1), raw)
    before = trials_of(request_for())
    graphs = copy.copy(raw.graphs)
    graphs.labels = graphs.labels.roll(1, 0)
    with pytest.raises(RunError, match="holds a search on data that has changed since: choose another"):
        tune(request_for(trials=2), dataclasses.replace(raw, graphs=graphs))
    assert trials_of(request_for()) == before
    assert tune(request_for(trials=2), raw)["trials"] == 2


def test_a_search_of_before_tells_no_options_of_its_data(request_for, raw, synthetic):
    tune(request_for(trials=1), raw)
    journal = Path(request_for().run.folder) / "study.jsonl"
    written = journal.read_text()
    assert written.count('"data_options":{},') == written.count('"data_options"') == 1
    journal.write_text(written.replace('"data_options":{},', ""))
    assert tune(request_for(trials=2), raw)["trials"] == 2
    # Which options it had cannot be told; its metric can.
    assert tune(with_data(request_for(trials=3), tu_features="all"), raw)["trials"] == 3
    with pytest.raises(RunError, match="holds a search by another metric than mae"):
        tune(request_for(trials=4), dataclasses.replace(raw, task="regression"))


def test_a_broken_journal(request_for, raw, synthetic):
    request = request_for(trials=2)
    tune(request, raw)
    journal = Path(request.run.folder) / "study.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "wor')
    assert tune(request_for(trials=3), raw)["trials"] == 3
    journal.write_bytes(b"no journal\n" + whole)
    with pytest.raises(RunError, match=r"study\.jsonl is broken"):
        tune(request, raw)


def test_without_optuna(request_for, raw, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"tune needs Optuna: pip install gradformer-dgl\[tune\]"):
        tune(request_for(), raw)


def test_regression_is_minimised(request_for, raw, monkeypatch):
    def validate(task, report):
        return 1 + abs(task.run.config.lr - 0.01)

    monkeypatch.setattr(tuning, "validate", validate)
    request = request_for(trials=6)
    result = tune(request, dataclasses.replace(raw, task="regression"))
    assert result["best_val"] == min(float(trial["val"]) for trial in trials_of(request))
    assert result["metric"] == "mae"
    assert yaml.safe_load((Path(request.run.folder) / "best.yaml").read_text())["lr"]

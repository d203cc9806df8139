import dataclasses
import json
from pathlib import Path

import pytest
import torch

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data import load_dataset
from gradformer_dgl.experiments import reproduction
from gradformer_dgl.experiments.caches import ensure_cache
from gradformer_dgl.experiments.experiment import experiments_of
from gradformer_dgl.experiments.records import load_record, record_file
from gradformer_dgl.experiments.reproduction import Folders, reproduce, trainings_of
from gradformer_dgl.experiments.table_files import write_table
from gradformer_dgl.experiments.tables import TABLES
from gradformer_dgl.support.errors import CacheError, RunError
from gradformer_dgl.support.lock import exclusive
from gradformer_dgl.support.progress import Progress
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.runs import train_run


class Interrupting(Progress):
    """Interrupts after a number of epochs."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.left = epochs

    def epoch(self, *_) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def scores_of(experiments, place):
    return [load_record(place.out, experiment).scores for experiment in experiments]


def test_results_are_those_of_a_run(shapes_experiments, place, tmp_path):
    (experiment,) = shapes_experiments(models=["gradformer"])
    reproduce([experiment], place, range(2))
    request = dataclasses.replace(place.spec(experiment, (0, 1)), folder=str(tmp_path / "run"), resume=False)
    expected = train_run(request)
    record = json.loads((place.out / "runs/SHAPES/published,epochs=2/gradformer.json").read_text())
    assert [run["test"] for run in record["runs"]] == [run["test"] for run in expected["runs"]]
    assert [run["best_epoch"] for run in record["runs"]] == [run["best_epoch"] for run in expected["runs"]]
    assert (record["metric"], record["unit"], record["higher_is_better"]) == ("accuracy", "%", True)
    assert record["config"] == experiment.config.as_dict()
    for run in record["runs"]:
        assert run["machine"]["torch"] == torch.__version__
        assert len(run["tau"]) == 4
    assert not list(place.out.rglob("*.safetensors"))
    assert len(list(place.work.rglob("weights.safetensors"))) == 2


def test_finished_trainings_are_not_repeated(shapes_experiments, place, epochs_trained):
    experiments = shapes_experiments()
    reproduce(experiments, place, range(2))
    assert sorted(epochs_trained) == [
        (model, seed, epoch) for model in ("gin", "gradformer") for seed in (0, 1) for epoch in (0, 1)
    ]
    before, scores = list(epochs_trained), scores_of(experiments, place)
    reproduce(experiments, place, range(2))
    # The full model of the ablation and the one with the preset's gamma are the same as the main table's.
    reproduce([shapes_experiments("ablation", ["gradformer"])[0]], place, range(2))
    reproduce([shapes_experiments("decay", ["gradformer"])[2]], place, range(2))
    assert epochs_trained == before
    reproduce(experiments, place, range(3))
    assert {seed for _, seed, _ in epochs_trained[len(before) :]} == {2}
    assert [found[:2] for found in scores_of(experiments, place)] == scores


def test_an_interrupted_training_goes_on_from_its_checkpoint(
    shapes_experiments, place, epochs_trained, tmp_path
):
    experiments = shapes_experiments(epochs=4)
    elsewhere = dataclasses.replace(place, out=tmp_path / "other", work=tmp_path / "otherwork")
    reproduce(experiments, elsewhere, range(2))
    expected = scores_of(experiments, elsewhere)
    epochs_trained.clear()
    with pytest.raises(KeyboardInterrupt):
        reproduce(experiments, place, range(2), progress=Interrupting(6))
    assert scores_of(experiments, place) == [expected[0][:1], []]
    assert epochs_trained == [("gradformer", 0, epoch) for epoch in range(4)] + [
        ("gradformer", 1, epoch) for epoch in range(2)
    ]
    epochs_trained.clear()
    reproduce(experiments, place, range(2))
    # The checkpoint is that of the first epoch.
    assert epochs_trained[:3] == [("gradformer", 1, epoch) for epoch in (1, 2, 3)]
    assert {model for model, _, _ in epochs_trained[3:]} == {"gin"}
    assert scores_of(experiments, place) == expected


def test_processes_give_the_same_scores(shapes_experiments, place, tmp_path):
    experiments = shapes_experiments()
    finished = []

    class Watching(Progress):
        def finished(self, title, text):
            finished.append(title)

    reproduce(experiments, place, range(2), jobs=2, progress=Watching())
    assert sorted(finished) == [
        f"SHAPES published,epochs=2 {model} seed {seed}" for model in ("gin", "gradformer") for seed in (0, 1)
    ]
    alone = dataclasses.replace(place, out=tmp_path / "alone", work=tmp_path / "alonework")
    reproduce(experiments, alone, range(2))
    assert scores_of(experiments, place) == scores_of(experiments, alone)


def test_settings_reach_the_training(shapes_experiments, place, monkeypatch):
    seen = []
    begin = Trainer.__init__

    def watched(self, *arguments):
        begin(self, *arguments)
        seen.append((self.config.num_layers, len(self.split["train"]), len(self.split["test"])))

    monkeypatch.setattr(Trainer, "__init__", watched)
    reproduce(shapes_experiments("depth", ["gradformer"], epochs=1), place, [0])
    assert [layers for layers, _, _ in seen] == [4, 8, 12, 16, 24]
    whole = seen[0][1]
    seen.clear()
    reproduce(shapes_experiments("low-resource", ["gin"], epochs=1), place, [0])
    assert [train for _, train, _ in seen] == pytest.approx(
        [whole * share for share in (0.05, 0.1, 0.25)], abs=1
    )
    assert len({test for _, _, test in seen}) == 1


def test_cross_validation_tests_every_graph_once_per_seed(shapes_experiments, place, monkeypatch):
    tested = []
    begin = Trainer.__init__

    def watched(self, *arguments):
        begin(self, *arguments)
        tested.extend((self.seed, graph) for graph in self.split["test"].tolist())

    monkeypatch.setattr(Trainer, "__init__", watched)
    (experiment,) = shapes_experiments(models=["gin"], epochs=1, folds=4)
    reproduce([experiment], place, range(2))
    assert sorted(tested) == [(seed, graph) for seed in (0, 1) for graph in range(97)]
    record = load_record(place.out, experiment)
    assert [(run["seed"], run["fold"]) for run in record.runs] == [(s, f) for s in (0, 1) for f in range(4)]
    tested.clear()
    reproduce([experiment], place, range(2))
    assert tested == []


def test_time_and_memory_are_measured_in_a_process_of_its_own(shapes_experiments, place):
    experiments = shapes_experiments("efficiency", ["gin"], epochs=3)
    reproduce(experiments, place, [0], measure=True)
    measured = load_record(place.out, experiments[0]).efficiency
    assert measured["epochs"] == 3
    assert measured["seconds_per_epoch"] > 0
    assert measured["peak_memory_bytes"] >= measured["memory_before_bytes"] > 50e6
    file = record_file(place.out, experiments[0])
    before = file.read_bytes()
    reproduce(experiments, place, [0], measure=True)
    assert file.read_bytes() == before


def test_what_is_not_cached_is_preprocessed(shapes_experiments, place, tmp_path, shapes_root):
    fresh = dataclasses.replace(place, cache_dir=tmp_path / "caches")
    reproduce(shapes_experiments(models=["gin"], epochs=1), fresh, [0])
    file = tmp_path / "caches" / "SHAPES.h5"
    assert DistanceCache(file).encodings == ("rwse:20",)
    dataset, stamp = load_dataset("SHAPES", shapes_root), file.stat().st_mtime_ns
    ensure_cache(dataset, file, ["rwse:20"])
    assert file.stat().st_mtime_ns == stamp
    ensure_cache(dataset, file, ["degree:2"])
    assert set(DistanceCache(file).encodings) == {"rwse:20", "degree:2"}


def test_a_process_that_dies_is_one_line(shapes_experiments, place, monkeypatch):
    monkeypatch.setattr(reproduction, "train", _die)
    with pytest.raises(RunError, match="a training process ended early, with status 3"):
        reproduce(shapes_experiments(), place, range(2), jobs=2)


def _die(task, report):
    import os

    os._exit(3)


def test_an_error_in_a_process_is_the_same_error(shapes_experiments, place, tmp_path):
    experiments = shapes_experiments()
    weights = place.spec(experiments[0], (0,)).seed_folder(0)
    weights.mkdir(parents=True)
    (weights / "checkpoint.safetensors").write_bytes(b"broken")
    with pytest.raises(RunError, match=r"checkpoint\.safetensors is broken"):
        reproduce(experiments, place, range(2), jobs=2)


def test_one_at_a_time(shapes_experiments, place):
    with exclusive(place.out), pytest.raises(CacheError, match="results is being written by process"):
        reproduce(shapes_experiments(), place, [0])


@pytest.mark.parametrize("linked", [False, True])
def test_results_and_work_in_one_folder(shapes_experiments, place, tmp_path, epochs_trained, linked):
    experiments = shapes_experiments()
    reproduce(experiments, place, range(2))
    expected = scores_of(experiments, place)
    one = tmp_path / "one"
    one.mkdir()
    if linked:
        (tmp_path / "link").symlink_to(one)
    place = dataclasses.replace(place, out=one, work=tmp_path / "link" if linked else one)
    reproduce(experiments, place, range(2))
    assert scores_of(experiments, place) == expected
    epochs_trained.clear()
    reproduce(experiments, place, range(2))
    assert epochs_trained == []
    assert write_table(TABLES["main"], experiments, one) == one / "main.md"
    with exclusive(place.work), pytest.raises(CacheError, match="is being written by process"):
        reproduce(experiments, place, range(2))


def test_results_that_cannot_be_used(shapes_experiments, place):
    (experiment,) = shapes_experiments(models=["gin"], epochs=1)
    reproduce([experiment], place, [0])
    file = record_file(place.out, experiment)
    text = file.read_text()
    file.write_text(text.replace('"lr": 0.001', '"lr": 0.002'))
    with pytest.raises(RunError, match="holds results of other settings"):
        load_record(place.out, experiment)
    file.write_text(text.replace('"best_epoch"', '"worst_epoch"'))
    with pytest.raises(RunError, match="a training there lacks one of best_epoch"):
        load_record(place.out, experiment)
    for broken in (text[:-9], "[]", '{"runs": 3}', text.replace('"runs": [', '"runs": [7, ')):
        file.write_text(broken)
        with pytest.raises(RunError, match="cannot be read as results") as caught:
            load_record(place.out, experiment)
        assert "\n" not in str(caught.value)


def test_trainings_on_a_gpu(shapes_experiments, place, monkeypatch):
    (experiment,) = shapes_experiments(models=["gin"])
    place = dataclasses.replace(place, device="cuda:1")
    memory, devices = iter([3000, 8000]), []

    def on_the_cpu(train):
        def wrapper(request, *arguments):
            devices.append(request.device)
            return train(dataclasses.replace(request, device="cpu"), *arguments)

        return wrapper

    def trainer(dataset, config, seed, folder, device):
        devices.append(device)
        return Trainer(dataset, config, seed, folder, "cpu")

    monkeypatch.setattr(reproduction, "train_seed", on_the_cpu(reproduction.train_seed))
    monkeypatch.setattr(reproduction, "Trainer", trainer)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Abacus of {device}")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: next(memory))
    reproduce([experiment], place, range(1))
    (run,) = load_record(place.out, experiment).runs
    assert run["machine"]["gpu"] == "Abacus of cuda:1"
    task = reproduction.Training(experiment, place.spec(experiment, (0,)), seed=0)
    measured = reproduction.measure_epochs(task, lambda record: True)
    assert (measured["memory_before_bytes"], measured["peak_memory_bytes"]) == (3000, 8000)
    assert measured["machine"]["gpu"] == "Abacus of cuda:1"
    assert devices == ["cuda:1", "cuda:1"]
    text = write_table(TABLES["main"], [experiment], place.out).read_text()
    assert "on one thread, and a GPU where one is named below." in text
    assert f"on Abacus of cuda:1 beside {run['machine']['cpu']} (cores" in text


def test_experiments_share_their_trainings():
    folders = Folders(Path("results"), Path("runs"), Path("cache"))
    decay = experiments_of(TABLES["decay"])
    assert len(decay) == 9
    assert len(trainings_of(decay, folders, seeds=range(10))) == 80

import dataclasses
import json
import shutil
import statistics

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradformer_dgl.data.wl_labels import wl_labels
from gradformer_dgl.plots.run_pictures import draw_run
from gradformer_dgl.prediction.predictor import Predictor
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.support.errors import CacheError, DataError, GradformerError, RunError
from gradformer_dgl.training import workers
from gradformer_dgl.training.evaluate import evaluate_runs
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.outputs import labels_of, predict
from gradformer_dgl.training.run_folder import free_folder
from gradformer_dgl.training.runs import train_run
from gradformer_dgl.training.seed_files import CHECKPOINT, WEIGHTS
from gradformer_dgl.training.splits import random_split
from gradformer_dgl.training.tensor_files import load_tensors, save_tensors
from gradformer_dgl.training.trained_run import open_run


def test_a_run_folder_holds_everything(request_for, tmp_path):
    request = request_for(seeds=(3, 4))
    seen = []
    result = train_run(request, on_epoch=lambda seed, record: seen.append((seed, record["epoch"])))
    draw_run(request)
    folder = tmp_path / "run"
    assert seen == [(3, 1), (3, 2), (3, 3), (4, 1), (4, 2), (4, 3)]
    assert json.loads((folder / "result.json").read_text()) == result
    scores = [run["test"] for run in result["runs"]]
    assert result["mean"] == statistics.fmean(scores)
    assert result["std"] == statistics.stdev(scores)
    for name in ("curve.png", "decay.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    for seed in (3, 4):
        files = {file.name.split(".")[0] for file in (folder / f"seed-{seed}").iterdir()}
        assert {"metrics", "checkpoint", "weights", "events"} <= files
    records = [json.loads(line) for line in (folder / "seed-3" / "metrics.jsonl").read_text().splitlines()]
    assert [len(record["tau"]) for record in records] == [2, 2, 2]
    events = EventAccumulator(str(folder / "seed-3")).Reload()
    assert [event.value for event in events.Scalars("val/accuracy")] == pytest.approx(
        [record["val_accuracy"] for record in records]
    )


def test_seeds_in_processes_give_the_same_scores(request_for):
    alone = train_run(request_for(seeds=(0, 1), folder="alone"))
    seen = []
    together = train_run(
        request_for(seeds=(0, 1), folder="together"), jobs=2, on_epoch=lambda seed, record: seen.append(seed)
    )
    assert sorted(seen) == [0, 0, 0, 1, 1, 1]
    assert [run["test"] for run in together["runs"]] == [run["test"] for run in alone["runs"]]


def test_an_error_in_a_process_is_the_same_error(request_for):
    request = request_for(seeds=(0, 1), encoding="lappe:3")
    with pytest.raises(RunError, match="holds no encoding lappe:3: run `gradformer-dgl preprocess SHAPES"):
        train_run(request, jobs=2)


@pytest.mark.parametrize("weighted", [False, True])
def test_evaluation_repeats_the_scores(request_for, tmp_path, weighted):
    result = train_run(request_for(seeds=(0, 1), class_weights=weighted))
    again = evaluate_runs(open_run(tmp_path / "run"))
    assert again["mean"] == result["mean"]
    assert [run["score"] for run in again["runs"]] == [run["test"] for run in result["runs"]]
    assert again["also"] == result["also"]
    assert [run["also"] for run in again["runs"]] == [run["also"] for run in result["runs"]]
    assert evaluate_runs(open_run(tmp_path / "run"), part="val")["mean"] == result["val_mean"]


def test_what_is_no_run_folder(request_for, tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder: it has no config\.yaml"):
        open_run(tmp_path)
    (tmp_path / "config.yaml").write_text("epochs: 3\n")
    with pytest.raises(RunError, match="is not the description of a run: 'dataset' is missing"):
        open_run(tmp_path)
    train_run(request_for(epochs=1))
    (tmp_path / "run" / "seed-0" / "weights.safetensors").unlink()
    with pytest.raises(RunError, match=r"no weights\.safetensors in .*: the run was not started"):
        evaluate_runs(open_run(tmp_path / "run"))


def test_weights_of_another_model(request_for, tmp_path):
    train_run(request_for(epochs=1))
    train_run(request_for(epochs=1, folder="other", feat_size=8))
    weights = tmp_path / "run" / "seed-0" / "weights.safetensors"
    weights.write_bytes((tmp_path / "other" / "seed-0" / "weights.safetensors").read_bytes())
    with pytest.raises(RunError, match="the saved weights do not fit the model of this run") as caught:
        evaluate_runs(open_run(tmp_path / "run"))
    assert "\n" not in str(caught.value)


def test_cache_of_other_data(request_for, tmp_path, shapes_root):
    request = request_for()
    other = tmp_path / "raw" / "SHAPES"
    other.mkdir(parents=True)
    for file in (shapes_root / "SHAPES").iterdir():
        (other / file.name).write_text(file.read_text())
    edges = (other / "SHAPES_A.txt").read_text().splitlines()
    (other / "SHAPES_A.txt").write_text("\n".join(edges[2:]) + "\n")
    request = type(request)(**{**vars(request), "data_root": str(tmp_path / "raw")})
    with pytest.raises(CacheError, match="graph 0"):
        request.open_dataset()


def test_parameters_are_counted(request_for, tmp_path):
    request = request_for()
    trainer = Trainer(request.open_dataset(), request.config, 0, tmp_path)
    expected = sum(p.numel() for p in trainer.network.model.parameters())
    assert trainer.parameters == expected > 1000
    assert isinstance(trainer.network.model.decay.tau, torch.nn.Parameter)


def test_wl_labels_are_known_again(request_for, tmp_path):
    request = request_for(epochs=2, model="wl", wl_rounds=3, wl_min_graphs=4)
    result = train_run(request)
    weights = load_tensors(request.seed_folder(0) / WEIGHTS)[0]
    known, weight = weights["model.known"], weights["model.weight"]
    assert len(known) == len(weight) > 3
    assert weight.any(1).all()
    labels = wl_labels(request.open_dataset().graphs, 3, counted=True)
    assert set(known.tolist()) <= set(labels.flatten().tolist())
    assert evaluate_runs(open_run(tmp_path / "run"))["mean"] == result["mean"]
    again = train_run(dataclasses.replace(request, folder=str(tmp_path / "again")))
    assert again["runs"][0]["val"] == result["runs"][0]["val"]


def test_the_first_step_of_wl_is_softmax_regression(request_for, tmp_path):
    settings = {"model": "wl", "wl_rounds": 2, "wl_min_graphs": 1, "wl_dropout": 0.0, "wl_counted": False}
    request = request_for(gradient_clipping=0.0, **settings)
    trainer = Trainer(request.open_dataset(), request.config, 0, tmp_path)
    part = trainer.split["train"]
    (batch,) = trainer.loader.each([part])
    trainer.train_step(0, part, batch)
    model, graphs = trainer.network.model, trainer.dataset.graphs
    labels, classes = wl_labels(graphs, 2), graphs.labels.flatten().long()
    owners = torch.arange(len(graphs)).repeat_interleave(graphs.node_counts)
    counts = torch.zeros(len(graphs), len(model.known))
    for place, known in enumerate(model.known):
        column = labels[:, int(place >= model.sizes[0])]
        counts[:, place] = torch.bincount(owners[column == known], minlength=len(graphs)).float()
    # At weights of 0 all classes are as likely.
    count = model.weight.shape[1]
    error = torch.full((len(part), count), 1 / count) - torch.eye(count)[classes[part]]
    torch.testing.assert_close(model.weight.grad, counts[part].T @ error / len(part))


def test_another_distance_in_place_of_hops(request_for, tmp_path):
    request = request_for(epochs=1, distance="resistance")
    with pytest.raises(RunError, match=r"no resistance distances: run .* --extra-distances resistance"):
        request.open_dataset()
    graphs = request.load_dataset().graphs
    options = {"encodings": ("rwse:5",), "extra_distances": ("resistance",)}
    cache = preprocess_graphs(graphs, tmp_path / "both.h5", n_jobs=1, **options)
    request = dataclasses.replace(request, cache=str(cache.path))
    result = train_run(request)
    assert evaluate_runs(open_run(tmp_path / "run"))["mean"] == result["mean"]
    trainer = Trainer(request.open_dataset(), request.config, 0, tmp_path / "again")
    assert trainer.network.model.decay.unit == 0.25
    steps = trainer.dataset.graphs.distances[0].numpy()
    np.testing.assert_allclose(0.25 * steps, cache.extra_distance("resistance", 0), atol=0.126)


def test_a_regression_is_compared_with_predicting_the_mean(request_for, relabelled):
    request = request_for(epochs=1)
    sizes = torch.arange(97.0)[:, None]
    dataset = relabelled(sizes, "regression", "graph", 1)
    result = train_run(request, dataset=dataset)
    split = random_split(97, 0)
    expected = (sizes[split["test"]] - sizes[split["train"]].mean()).abs().mean().item()
    assert result["predicting_the_mean"] == pytest.approx(expected)


def rename(tensors, facts, old, new):
    tensors[new] = tensors.pop(old)


BREAKS = {
    "best weights of another name": lambda tensors, facts: rename(
        tensors, facts, "best.model.head.bias", "best.model.head.bihs"
    ),
    "a part of another name": lambda tensors, facts: rename(
        tensors, facts, "network.model.head.bias", "netwosk.model.head.bias"
    ),
    "a moment of another shape": lambda tensors, facts: tensors.update(
        {"optimizer.0.exp_avg": tensors["optimizer.0.exp_avg"][1:]}
    ),
    "a moment of no weight": lambda tensors, facts: rename(
        tensors, facts, "optimizer.0.exp_avg", "optimizer.999.exp_avg"
    ),
    "a moment that is missing": lambda tensors, facts: tensors.pop("optimizer.0.exp_avg_sq"),
    "a scale that is no vector": lambda tensors, facts: tensors.update(
        {"scored.target_mean": torch.zeros(2, 1)}
    ),
    "an epoch that is missing": lambda tensors, facts: facts["records"].pop(0),
    "no best epoch": lambda tensors, facts: facts["best"].pop("epoch"),
    "no records": lambda tensors, facts: facts.pop("records"),
    "a word for seconds": lambda tensors, facts: facts.update({"seconds": "long"}),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_a_broken_checkpoint_is_told(request_for, kind):
    request = request_for(epochs=2)
    train_run(request)
    file = request.seed_folder(0) / CHECKPOINT
    tensors, facts = load_tensors(file)
    BREAKS[kind](tensors, facts)
    save_tensors(file, tensors, facts)
    broken = file.read_bytes()
    with pytest.raises(RunError, match=r"checkpoint\.safetensors is broken \(.*\): train the run again"):
        train_run(request_for(epochs=2, resume=True))
    assert file.read_bytes() == broken


def test_a_run_is_not_lost_to_another(request_for, tmp_path):
    train_run(request_for(epochs=1))
    before = (tmp_path / "run" / "result.json").read_bytes()
    with pytest.raises(RunError, match="holds a run: choose another --out, or --resume or --overwrite it"):
        train_run(request_for(epochs=1))
    with pytest.raises(RunError, match="holds a run with other settings"):
        train_run(request_for(epochs=2, resume=True))
    train_run(request_for(epochs=1, seeds=(0, 1), resume=True))
    before = (tmp_path / "run" / "result.json").read_bytes()
    with pytest.raises(RunError, match="holds the seeds 0, 1: --resume them with --seed 0 --runs 2"):
        train_run(request_for(epochs=1, seeds=(1, 2), resume=True))
    assert (tmp_path / "run" / "result.json").read_bytes() == before
    assert free_folder(tmp_path / "run") == tmp_path / "run-2"
    train_run(dataclasses.replace(request_for(epochs=2, seeds=(1,)), overwrite=True))
    assert [folder.name for folder in (tmp_path / "run").glob("seed-*")] == ["seed-1"]


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize(("jobs", "heads", "fault"), [(1, 3, "heads"), (2, 3, "heads"), (1, 2, "of a step")])
def test_a_run_that_fails_at_once_leaves_no_run(
    request_for, tmp_path, monkeypatch, jobs, heads, fault, foreign
):
    def failing(*_):
        raise RunError("of a step")

    folder = tmp_path / "run"
    if foreign:
        (folder / "seed-0").mkdir(parents=True)
        (folder / "seed-0" / "mine.txt").write_text("kept")
        (folder / "metrics.jsonl").write_text("kept")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", failing)
        with pytest.raises(GradformerError, match=fault):
            train_run(request_for(epochs=1, seeds=(0, 1), num_heads=heads), jobs)
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert left == ({"run/seed-0/mine.txt", "run/metrics.jsonl"} if foreign else set())
    assert folder.exists() == foreign
    train_run(request_for(epochs=1))
    assert (folder / "result.json").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_is_interrupted_at_once_leaves_no_run(request_for, tmp_path, monkeypatch, jobs):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((Trainer, "train_step") if jobs == 1 else (workers, "wait")), interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_run(request_for(epochs=1, seeds=(0, 1)), jobs)
    assert list(tmp_path.iterdir()) == []
    train_run(request_for(epochs=1))


def test_a_run_that_is_interrupted_later_is_kept(request_for, tmp_path):
    def interrupted(seed, record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(request_for(epochs=2), on_epoch=interrupted)
    assert len((tmp_path / "run" / "seed-0" / "metrics.jsonl").read_text().splitlines()) == 1
    with pytest.raises(KeyboardInterrupt):
        train_run(request_for(epochs=2, resume=True), on_epoch=interrupted)
    resumed = train_run(request_for(epochs=2, resume=True))
    assert resumed["runs"][0]["test"] == train_run(request_for(epochs=2, folder="whole"))["runs"][0]["test"]


def test_a_run_that_goes_on_is_never_withdrawn(request_for, tmp_path, monkeypatch):
    train_run(request_for(epochs=1))
    (tmp_path / "run" / "seed-0" / "metrics.jsonl").write_text("")
    (tmp_path / "run" / "seed-0" / CHECKPOINT).unlink()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_run(request_for(epochs=1, resume=True))
    assert (tmp_path / "run" / "config.yaml").exists()
    assert (tmp_path / "run" / "result.json").exists()


def test_a_run_that_fails_later_is_kept(request_for, tmp_path, monkeypatch):
    def failing(trainer, epoch, run_epoch=Trainer.run_epoch):
        if epoch == 1:
            raise RunError("of the second epoch")
        return run_epoch(trainer, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", failing)
        with pytest.raises(RunError, match="of the second epoch"):
            train_run(request_for(epochs=2))
    assert (tmp_path / "run" / "config.yaml").exists()
    resumed = train_run(request_for(epochs=2, resume=True))
    assert resumed["runs"][0]["test"] == train_run(request_for(epochs=2, folder="whole"))["runs"][0]["test"]


def with_graphs(dataset, **parts):
    return dataclasses.replace(dataset, graphs=dataclasses.replace(dataset.graphs, **parts))


def split_at(first, second):
    return dict(zip(("train", "val", "test"), torch.arange(97).tensor_split([first, second]), strict=True))


CHANGES = {
    "output names": lambda data: dataclasses.replace(data, output_names=("odd", "even")),
    "labels": lambda data: with_graphs(data, labels=1 - data.graphs.labels),
    "node features": lambda data: with_graphs(data, node_features=data.graphs.node_features.flip(1)),
    "edge features": lambda data: with_graphs(data, edge_features=data.graphs.edge_features.flip(0)),
    "graphs": lambda data: with_graphs(data, src=data.graphs.dst, dst=data.graphs.src),
    "splits": lambda data: dataclasses.replace(data, splits=split_at(78, 87)),
    "edge size, edge features": lambda data: dataclasses.replace(
        with_graphs(data, edge_features=data.graphs.edge_features[:, :1]), edge_size=1
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_run_does_not_go_on_with_other_data(request_for, shapes, tmp_path, kind):
    edges = torch.arange(2.0 * shapes.graphs.num_edges).reshape(-1, 2)
    data = dataclasses.replace(
        with_graphs(shapes, edge_features=edges), edge_encoder="linear", edge_size=2, splits=split_at(77, 86)
    )
    train_run(request_for(epochs=1), dataset=data)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(RunError, match=f"run holds a run on data with other {kind}: ") as caught:
        train_run(request_for(epochs=1, seeds=(0, 1), resume=True), dataset=CHANGES[kind](data))
    assert "\n" not in str(caught.value)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    train_run(request_for(epochs=1, seeds=(0, 1), resume=True), dataset=data)


def test_targets_in_another_unit_are_other_data(request_for, relabelled):
    sizes = torch.arange(97.0)[:, None].masked_fill(torch.arange(97)[:, None] % 5 == 0, torch.nan)
    train_run(request_for(epochs=1), dataset=relabelled(sizes, "regression", "graph", 1))
    with pytest.raises(RunError, match="holds a run on data with other labels: give it its own data"):
        train_run(
            request_for(epochs=1, resume=True), dataset=relabelled(1000 * sizes, "regression", "graph", 1)
        )
    train_run(request_for(epochs=1, resume=True), dataset=relabelled(sizes, "regression", "graph", 1))


@pytest.fixture
def relabelled_root(shapes_root, tmp_path):
    """Raw data whose graphs have the other class each."""
    shutil.copytree(shapes_root, tmp_path / "raw")
    file = tmp_path / "raw" / "SHAPES" / "SHAPES_graph_labels.txt"
    file.write_text("".join(f"{-int(line)}\n" for line in file.read_text().splitlines()))
    return str(tmp_path / "raw")


def test_other_data_is_not_evaluated(request_for, relabelled_root, tmp_path):
    request = request_for(epochs=1)
    result = train_run(request)
    with pytest.raises(RunError, match="run holds a run on data with other labels"):
        evaluate_runs(open_run(tmp_path / "run", relabelled_root))
    assert evaluate_runs(open_run(tmp_path / "run"))["mean"] == result["mean"]
    graphs = request.load_dataset().graphs
    predicted = [Predictor.from_run(tmp_path / "run", data_root=root) for root in (None, relabelled_root)]
    assert torch.equal(*(one.predict(graphs) for one in predicted))


def test_of_a_run_that_does_not_tell_its_data_any_will_do(request_for, relabelled_root, tmp_path):
    result = train_run(request_for(epochs=1))
    file = tmp_path / "run" / "config.yaml"
    described = yaml.safe_load(file.read_text())
    del described["data"], described["data_digests"]
    file.write_text(yaml.safe_dump(described))
    other = open_run(tmp_path / "run", relabelled_root)
    assert evaluate_runs(other)["mean"] == pytest.approx(100 - result["mean"])
    train_run(dataclasses.replace(other.spec, resume=True))
    # From now on it does.
    with pytest.raises(RunError, match="holds a run on data with other labels"):
        evaluate_runs(open_run(tmp_path / "run", request_for().data_root))


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("data_digests", "word", "'data_digests' is wrong"),
        ("data_digests", {}, "with other graphs, labels, node features: "),
        ("data_digests", {1: None}, "with other graphs, labels, node features: "),
        ("data", [1], "this is no description of training data"),
    ],
)
def test_broken_facts_of_the_data(request_for, tmp_path, key, value, fault):
    train_run(request_for(epochs=1))
    file = tmp_path / "run" / "config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {key: value}))
    broken = file.read_bytes()
    with pytest.raises(RunError, match=fault) as caught:
        train_run(request_for(epochs=1, resume=True))
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == broken


def test_data_that_cannot_be_read_replace_no_run(request_for, tmp_path):
    train_run(request_for(epochs=1))
    request = dataclasses.replace(request_for(epochs=1), overwrite=True, data_root=str(tmp_path / "none"))
    before = sorted((tmp_path / "run").rglob("*"))
    with pytest.raises(DataError):
        train_run(request)
    assert sorted((tmp_path / "run").rglob("*")) == before


def test_folders_that_are_not_a_run_are_left_alone(request_for, tmp_path):
    foreign = tmp_path / "run" / "seed-bank" / "mine.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("kept")
    earlier = tmp_path / "run" / "seed-7"
    earlier.mkdir()
    train_run(request_for(epochs=1))
    assert earlier.is_dir()
    train_run(dataclasses.replace(request_for(epochs=1, seeds=(1,)), overwrite=True))
    assert foreign.read_text() == "kept"
    assert {folder.name for folder in (tmp_path / "run").glob("seed-*")} == {"seed-1", "seed-bank"}


@pytest.mark.parametrize(("weighted", "name"), [(True, "plain_accuracy"), (False, "class_averaged_accuracy")])
def test_both_accuracies_are_reported(request_for, relabelled, shapes, tmp_path, weighted, name):
    labels = (torch.arange(shapes.graphs.num_nodes) % 5 == 0).long()
    dataset = relabelled(labels, "multiclass", "node", 2)
    request = request_for(seeds=(0, 1), class_weights=weighted)
    result = train_run(request, dataset=dataset)
    for run in result["runs"]:
        trainer = Trainer(dataset, request.config, run["seed"], tmp_path / "again")
        trainer.scored.load(load_tensors(request.seed_folder(run["seed"]) / "weights.safetensors")[0])
        indices = trainer.split["test"]
        chosen = predict(trainer.scored, trainer.loader, indices, 5).argmax(1)
        truth = labels_of(dataset, indices)
        plain = 100 * (chosen == truth).double().mean().item()
        by_class = [100 * (chosen[truth == label] == label).double().mean().item() for label in (0, 1)]
        expected = [statistics.fmean(by_class), plain]
        found = [run["test"], run["also"][name]]
        assert found == pytest.approx(expected if weighted else expected[::-1])
        assert plain != pytest.approx(expected[0])
    also = [run["also"][name] for run in result["runs"]]
    assert result["also"] == {name: {"mean": statistics.fmean(also), "std": statistics.stdev(also)}}

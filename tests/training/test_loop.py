import dataclasses
import json
import math
import re

import pytest
import torch

from gradformer_dgl.support.errors import ConfigError, RunError
from gradformer_dgl.training.batch_loader import batches
from gradformer_dgl.training.checkpoint import load_checkpoint, save_checkpoint
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.outputs import labels_of, predict
from gradformer_dgl.training.seed_files import WEIGHTS, read_records
from gradformer_dgl.training.splits import random_split

SMALL = {"feat_size": 16, "num_layers": 2, "num_heads": 2, "batch_size": 17, "lr": 5e-3, "warmup_epochs": 1}


def config_of(**settings):
    return RunConfig().updated(SMALL | {"epochs": 40, "attn_drop": 0.1} | settings)


def test_learns_rings_from_chains(shapes, tmp_path):
    result = Trainer(shapes, config_of(), 0, tmp_path).run()
    assert result.test == 100.0
    assert result.val == 100.0


def test_learns_a_regression_in_its_own_unit(shapes, relabelled, tmp_path):
    sizes = 1000.0 + 50.0 * shapes.graphs.node_counts.float()[:, None]
    dataset = relabelled(sizes, "regression", "graph", 1)
    trainer = Trainer(dataset, config_of(), 0, tmp_path)
    result = trainer.run()
    spread = (sizes - sizes.mean()).abs().mean().item()
    assert result.test < 0.2 * spread
    outputs = predict(trainer.network, trainer.loader, trainer.split["test"], 5)
    expected = (trainer.network.in_target_units(outputs) - sizes[trainer.split["test"]]).abs().mean().item()
    assert result.test == pytest.approx(expected, rel=1e-4)


def test_learns_labels_of_nodes(shapes, relabelled, tmp_path):
    degrees = torch.bincount(
        shapes.graphs.src.long()
        + torch.repeat_interleave(
            shapes.graphs.node_counts.cumsum(0) - shapes.graphs.node_counts, shapes.graphs.edge_counts
        ),
        minlength=shapes.graphs.num_nodes,
    )
    dataset = relabelled((degrees == 2).long(), "multiclass", "node", 2)
    result = Trainer(dataset, config_of(class_weights=True), 0, tmp_path).run()
    assert result.test > 95


def test_labels_of_nodes_follow_the_graphs(shapes, relabelled):
    numbers = torch.arange(shapes.graphs.num_nodes)
    dataset = relabelled(numbers, "multiclass", "node", 2)
    chosen = torch.tensor([5, 2])
    assert torch.equal(labels_of(dataset, chosen), shapes_nodes(dataset, chosen))


def shapes_nodes(dataset, chosen):
    return dataset.graphs.batch(chosen).labels


def test_the_seed_makes_a_run_repeatable(shapes, tmp_path):
    first = Trainer(shapes, config_of(epochs=3), 5, tmp_path / "a").run()
    torch.rand(11)
    second = Trainer(shapes, config_of(epochs=3), 5, tmp_path / "b").run()
    other = Trainer(shapes, config_of(epochs=3), 6, tmp_path / "c").run()
    lines = [
        [
            {key: value for key, value in json.loads(line).items() if key != "seconds"}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in "abc"
    ]
    assert lines[0] == lines[1] != lines[2]
    assert dataclasses.replace(first, seconds=0) == dataclasses.replace(second, seconds=0)
    assert other.seed == 6


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ema_decay": 0.9},
        {"model": "graphormer", "dropout": 0.1},
        {"model": "gatedgcn", "dropout": 0.1},
    ],
)
def test_an_interrupted_run_ends_like_an_uninterrupted_one(shapes, tmp_path, monkeypatch, settings):
    # Every epoch leaves a checkpoint.
    monkeypatch.setattr("gradformer_dgl.training.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    config = config_of(epochs=6, **settings)
    whole = Trainer(shapes, config, 1, tmp_path / "whole").run()

    class StopError(Exception):
        pass

    def stop(seed, record):
        if record["epoch"] == 3:
            raise StopError

    broken = Trainer(shapes, config, 1, tmp_path / "broken")
    with pytest.raises(StopError):
        broken.run(stop)
    again = Trainer(shapes, config, 1, tmp_path / "broken")
    load_checkpoint(again)
    resumed = again.run()
    assert len(again.records) == 6
    assert dataclasses.replace(resumed, seconds=0) == dataclasses.replace(whole, seconds=0)
    losses = [
        [
            json.loads(line)["train_loss"]
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "broken")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6


def test_resuming_with_other_settings_is_refused(shapes, tmp_path):
    Trainer(shapes, config_of(epochs=1), 1, tmp_path).run()
    with pytest.raises(RunError, match="holds a run with other settings: choose another --out"):
        load_checkpoint(Trainer(shapes, config_of(epochs=2), 1, tmp_path))


def test_the_weights_kept_are_those_of_the_best_epoch(shapes, tmp_path):
    trainer = Trainer(shapes, config_of(epochs=8, lr=0.03), 2, tmp_path)
    result = trainer.run()
    scores = [record["val_accuracy"] for record in trainer.records]
    assert result.val == max(scores) == trainer.evaluate("val")[1]
    tied = [record for record in trainer.records if record["val_accuracy"] == max(scores)]
    assert result.best_epoch == min(tied, key=lambda record: record["val_loss"])["epoch"]


@pytest.mark.parametrize(("monitor", "best"), [("metric", 3), ("loss", 2)])
def test_what_the_best_epoch_is_the_best_in(shapes, tmp_path, monitor, best):
    trainer = Trainer(shapes, config_of(epochs=3, monitor=monitor), 2, tmp_path)
    told = [(0.5, 80.0), (0.4, 70.0), (0.6, 90.0)]
    trainer.evaluate = lambda part: told[len(trainer.records)] if part == "val" else (0.0, 0.0)
    result = trainer.run()
    assert (result.best_epoch, result.val) == (best, told[best - 1][1])


NAN = math.nan


@pytest.mark.parametrize(
    ("monitor", "losses", "scores", "best", "selected_by"),
    [
        # Ranked by hand: a score is better than none, among those without the lower loss is.
        ("metric", [0.5, 0.4, 0.6], [NAN, NAN, NAN], 2, "loss"),
        ("metric", [0.1, 0.5, 0.6], [NAN, 70.0, 60.0], 2, "metric"),
        ("metric", [0.5, 0.1, 0.6], [70.0, NAN, 80.0], 3, "metric"),
        ("metric", [0.5, 0.4, 0.3], [70.0, NAN, NAN], 1, "metric"),
        ("metric", [NAN, 0.4, 0.6], [NAN, NAN, NAN], 2, "loss"),
        ("metric", [NAN, 0.4, 0.6], [90.0, NAN, NAN], 2, "loss"),
        ("metric", [math.inf, 0.4, 0.6], [90.0, 80.0, NAN], 1, "metric"),
        ("loss", [NAN, 0.4, 0.6], [90.0, 70.0, 80.0], 2, "loss"),
    ],
)
def test_without_a_score_the_loss_tells_the_best_epoch(
    shapes, tmp_path, monitor, losses, scores, best, selected_by
):
    trainer = Trainer(shapes, config_of(epochs=3, monitor=monitor), 2, tmp_path)
    told = list(zip(losses, scores, strict=True))
    trainer.evaluate = lambda part: told[len(trainer.records)]
    result = trainer.run()
    assert (result.best_epoch, result.selected_by) == (best, selected_by)
    lines = (tmp_path / "metrics.jsonl").read_text()
    assert not {"NaN", "Infinity"} & set(re.findall("[A-Z][a-zA-Z]+", lines))
    read = [record["val_accuracy"] for record in read_records(tmp_path)]
    assert read == pytest.approx(scores, nan_ok=True)


@pytest.mark.parametrize(("monitor", "what"), [("metric", "accuracy or loss"), ("loss", "loss")])
@pytest.mark.parametrize("loss", [NAN, math.inf])
def test_without_scores_and_losses_there_is_no_best_epoch(shapes, tmp_path, monitor, what, loss):
    trainer = Trainer(shapes, config_of(epochs=2, monitor=monitor), 2, tmp_path)
    trainer.evaluate = lambda part: (loss, NAN)
    with pytest.raises(RunError, match=f"no epoch has a validation {what} that is a number"):
        trainer.run()
    assert not (tmp_path / WEIGHTS).exists()


def test_a_training_without_scores_resumes(shapes, tmp_path):
    def evaluated(trainer, epochs):
        trainer.evaluate = lambda part: ([0.5, 0.4, 0.6][len(trainer.records)], NAN)
        for epoch in epochs:
            trainer.run_epoch(epoch)
        return trainer

    evaluated(Trainer(shapes, config_of(epochs=3), 2, tmp_path), [])
    first = evaluated(Trainer(shapes, config_of(epochs=3), 2, tmp_path), [0, 1])
    first.files.begin(first.records)
    save_checkpoint(first)
    again = Trainer(shapes, config_of(epochs=3), 2, tmp_path)
    load_checkpoint(again)
    assert math.isnan(again.records[1]["val_accuracy"])
    result = evaluated(again, []).run()
    assert (result.best_epoch, result.selected_by) == (2, "loss")


def test_validation_data_without_labels_has_no_score_and_no_loss(shapes, relabelled, tmp_path):
    parts = dict(zip(("train", "val", "test"), torch.arange(97).split([60, 17, 20]), strict=True))
    targets = (torch.arange(97) % 2)[:, None].float()
    targets[parts["val"]] = NAN
    dataset = dataclasses.replace(relabelled(targets, "binary", "graph", 1), splits=parts)
    trainer = Trainer(dataset, config_of(epochs=2), 0, tmp_path)
    with pytest.raises(RunError, match="no epoch has a validation roc_auc or loss"):
        trainer.run()
    record = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert (record["val_loss"], record["val_roc_auc"]) == (None, None)


def test_the_average_follows_the_weights(shapes, tmp_path):
    trainer = Trainer(shapes, config_of(ema_decay=0.75), 0, tmp_path)
    name = "model.head.weight"
    expected = trainer.network.state_dict()[name].clone()
    update = trainer.average.update

    def watched(step):
        nonlocal expected
        share = min(0.75, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * trainer.network.state_dict()[name]
        update(step)

    trainer.average.update = watched
    trainer.run_epoch(0)
    trainer.run_epoch(1)
    torch.testing.assert_close(trainer.scored.state_dict()[name], expected)
    assert not torch.equal(trainer.network.state_dict()[name], expected)


def test_the_average_leaves_training_alone(shapes, tmp_path):
    plain, averaged = (Trainer(shapes, config_of(ema_decay=decay), 0, tmp_path) for decay in (0.0, 0.9))
    assert [plain.train_epoch(epoch) for epoch in range(2)] == [
        averaged.train_epoch(epoch) for epoch in range(2)
    ]


def test_a_loss_that_is_not_finite_stops_the_run(shapes, tmp_path):
    trainer = Trainer(shapes, config_of(lr=1.0), 0, tmp_path)
    with torch.no_grad():
        next(trainer.network.parameters()).fill_(torch.inf)
    with pytest.raises(RunError, match="the training loss of seed 0 is nan in epoch 1: lower --lr"):
        trainer.run()


def test_distances_are_needed(shapes, tmp_path):
    bare = dataclasses.replace(shapes, graphs=dataclasses.replace(shapes.graphs, distances=None))
    with pytest.raises(ConfigError, match="SHAPES has no distances attached"):
        Trainer(bare, config_of(), 0, tmp_path)


@pytest.mark.parametrize(("items", "size"), [(9, 4), (8, 4), (1, 4), (5, 1), (2, 128)])
def test_batches_cover_everything_once(items, size):
    parts = list(batches(torch.arange(items), size))
    assert torch.cat(parts).tolist() == list(range(items))
    assert all(len(part) > 1 for part in parts) or min(items, size) == 1


def test_a_fixed_split_goes_before_a_random_one(shapes, tmp_path):
    split = random_split(len(shapes.graphs), 99, 0.2, 0.2)
    trainer = Trainer(dataclasses.replace(shapes, splits=split), config_of(), 0, tmp_path)
    assert torch.equal(trainer.split["test"], split["test"])


@pytest.mark.parametrize("fixed", [False, True])
def test_a_share_of_the_training_graphs_leaves_the_others_as_they_are(shapes, tmp_path, fixed):
    if fixed:
        shapes = dataclasses.replace(shapes, splits=random_split(len(shapes.graphs), 99, 0.2, 0.2))
    whole, some, few = (
        Trainer(shapes, config_of(train_fraction=share), 4, tmp_path).split for share in (1.0, 0.5, 0.1)
    )
    for part in ("val", "test"):
        assert torch.equal(whole[part], some[part])
        assert torch.equal(whole[part], few[part])
    assert len(some["train"]) == len(whole["train"]) // 2
    assert len(few["train"]) == len(whole["train"]) // 10
    assert torch.equal(few["train"], some["train"][: len(few["train"])])
    assert set(some["train"].tolist()) < set(whole["train"].tolist())


def test_training_sees_its_share_alone(shapes, tmp_path):
    trainer = Trainer(shapes, config_of(train_fraction=0.1, epochs=2), 4, tmp_path)
    seen = []
    cut = trainer.loader.batch
    trainer.loader.batch = lambda indices: (seen.append(indices), cut(indices))[1]
    trainer.train_epoch(0)
    assert sorted(torch.cat(seen).tolist()) == sorted(trainer.split["train"].tolist())
    assert trainer.steps_per_epoch == 1


def test_a_single_training_graph_serves(shapes, tmp_path):
    trainer = Trainer(shapes, config_of(train_fraction=1e-6, epochs=2), 4, tmp_path)
    assert len(trainer.split["train"]) == 1
    assert trainer.run().best_epoch in (1, 2)


def test_the_published_schedule_has_one_rate_for_an_epoch(shapes, tmp_path):
    trainer = Trainer(shapes, config_of(schedule="reference", epochs=4, warmup_epochs=2), 4, tmp_path)
    rates = []
    step = trainer.optimizer.step
    trainer.optimizer.step = lambda: (rates.append(trainer.optimizer.param_groups[0]["lr"]), step())
    for epoch in range(4):
        trainer.train_epoch(epoch)
    by_epoch = rates[:: trainer.steps_per_epoch]
    assert trainer.steps_per_epoch == 5
    assert rates == [rate for rate in by_epoch for _ in range(5)]
    assert by_epoch[:3] == pytest.approx([5e-9, 2.5e-3, 5e-3])
    assert 4.9e-3 < by_epoch[3] < 5e-3

"""The metric on the training data: of what the steps of an epoch computed."""

import contextlib
import math

import numpy as np
import pytest
import torch
from rank_scenarios import made_dataset, trainer_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradformer_dgl.plots.curves import curves_figure
from gradformer_dgl.plots.style import write_picture
from gradformer_dgl.training.checkpoint import load_checkpoint, save_checkpoint
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.seed_files import read_records
from gradformer_dgl.training.splits import random_split
from gradformer_dgl.training.tensorboard import EventWriter

DROPS = {"dropout": 0.2, "attn_drop": 0.2}


def watched_epoch(trainer):
    """Train an epoch; return its score, and outputs and labels of every call of the network."""
    seen = []
    trainer.network.register_forward_hook(
        lambda network, inputs, outputs: seen.append((outputs.detach().numpy(), inputs[0].labels.numpy()))
    )
    _, score = trainer.train_epoch(0)
    assert len(seen) == trainer.steps_per_epoch > 1
    outputs, labels = (np.concatenate(rows) for rows in zip(*seen, strict=True))
    return score, outputs, labels


def area(outputs, labels):
    """Share of the pairs of one item of each class that are in order."""
    given = ~np.isnan(labels)
    yes, no = (outputs[given & (labels == value)] for value in (1, 0))
    above = yes[:, None] - no[None]
    return ((above > 0) + 0.5 * (above == 0)).mean()


@pytest.mark.parametrize(
    ("name", "by_class"), [("classes", True), ("labels of nodes", True), ("graphormer", False)]
)
def test_classes(name, by_class, tmp_path):
    score, outputs, labels = watched_epoch(trainer_of(name, tmp_path, **DROPS))
    hits = outputs.argmax(1) == labels.reshape(-1)
    found = [hits[labels.reshape(-1) == label].mean() for label in np.unique(labels)]
    assert score == pytest.approx(100 * (np.mean(found) if by_class else hits.mean()))


def test_labels_of_which_some_are_missing(tmp_path):
    score, outputs, labels = watched_epoch(trainer_of("missing labels", tmp_path, **DROPS))
    assert np.isnan(labels).any()
    assert score == pytest.approx(np.mean([area(outputs[:, place], labels[:, place]) for place in (0, 1)]))


def test_yes_or_no(shapes, relabelled, tmp_path):
    labels = (shapes.graphs.labels == shapes.graphs.labels.max()).float()
    config = RunConfig(feat_size=16, num_layers=1, batch_size=20)
    trainer = Trainer(relabelled(labels, "binary", "graph", 1), config, 0, tmp_path)
    score, outputs, labels = watched_epoch(trainer)
    assert score == pytest.approx(area(outputs[:, 0], labels.reshape(-1)))


@pytest.mark.parametrize("standardize", [True, False])
def test_targets_in_their_own_unit(tmp_path, standardize):
    trainer = trainer_of("missing targets", tmp_path, standardize=standardize, **DROPS)
    score, outputs, targets = watched_epoch(trainer)
    if standardize:
        known = made_dataset("regression", "graph").graphs.labels[trainer.split["train"]].numpy()
        outputs = outputs * np.nanstd(known, axis=0) + np.nanmean(known, axis=0)
    assert score == pytest.approx(np.nanmean(np.abs(outputs - targets)), rel=1e-5)


def test_labels_of_one_class_give_no_area(shapes, relabelled, tmp_path):
    labels = torch.ones(len(shapes.graphs))
    labels[random_split(len(labels), seed=0)["val"]] = 0
    dataset = relabelled(labels, "binary", "graph", 1)
    trainer = Trainer(dataset, RunConfig(epochs=1, feat_size=16, num_layers=1), 0, tmp_path)
    trainer.run()
    assert math.isnan(read_records(tmp_path)[0]["train_roc_auc"])


def test_a_run_that_began_without_it_goes_on(shapes, tmp_path):
    config = RunConfig(epochs=3, feat_size=16, num_layers=1)
    whole = Trainer(shapes, config, 0, tmp_path / "whole")
    whole.run()
    older = Trainer(shapes, config, 0, tmp_path / "seed-0")
    older.files.begin([])
    del older.run_epoch(0)["train_accuracy"]
    save_checkpoint(older)
    resumed = Trainer(shapes, config, 0, tmp_path / "seed-0")
    load_checkpoint(resumed)
    resumed.run()
    records = read_records(tmp_path / "seed-0")
    assert "train_accuracy" not in records[0]
    for name, count in (("train_loss", 3), ("train_accuracy", 2)):
        assert [record[name] for record in records[-count:]] == [one[name] for one in whole.records[-count:]]
    write_picture(curves_figure({0: records}), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with contextlib.closing(EventWriter(tmp_path / "events", records)):
        pass
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [event.step for event in events.Scalars("train/accuracy")] == [2, 3]
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3]

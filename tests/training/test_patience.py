"""Training that ends early, and what it says of the time that it will take."""

import dataclasses
import json
import logging

import pytest

from gradformer_dgl.training import time_estimate
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.runs import train_run

SMALL = {"feat_size": 8, "num_layers": 1, "num_heads": 2, "batch_size": 17, "epochs": 9}


def trained(shapes, tmp_path, told, **settings):
    """Return a trainer that was told these losses and scores of its epochs, and its result."""
    trainer = Trainer(shapes, RunConfig().updated(SMALL | settings), 0, tmp_path)
    trainer.evaluate = lambda part: told[len(trainer.records)]
    return trainer, trainer.run()


@pytest.mark.parametrize(
    ("patience", "monitor", "epochs", "best"),
    [(0, "metric", 9, 7), (1, "metric", 2, 1), (3, "metric", 5, 2), (4, "metric", 9, 7), (2, "loss", 6, 4)],
)
def test_it_waits_so_many_epochs_for_a_better_one(shapes, tmp_path, patience, monitor, epochs, best):
    # The best by score so far: 1, 1 (as good, but with more loss), 3 (as good, with less), ...
    losses = [0.9, 0.8, 0.8, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9]
    scores = [50.0, 60.0, 60.0, 55.0, 55.0, 60.0, 70.0, 70.0, 60.0]
    if patience == 1:
        losses[1], scores[1] = 0.95, 50.0
    told = list(zip(losses, scores, strict=True))
    trainer, result = trained(shapes, tmp_path, told, patience=patience, monitor=monitor)
    assert (len(trainer.records), result.best_epoch) == (epochs, best)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == epochs


@pytest.mark.parametrize(
    ("monitor_from", "patience", "epochs", "best"),
    [(0.0, 0, 9, 2), (0.3, 0, 9, 4), (0.5, 0, 9, 7), (0.5, 2, 9, 7), (0.999, 0, 9, 9), (0.3, 2, 6, 4)],
)
def test_the_best_is_looked_for_among_the_later_epochs(
    shapes, tmp_path, monitor_from, patience, epochs, best
):
    scores = [50.0, 90.0, 50.0, 70.0, 60.0, 55.0, 65.0, 60.0, 60.0]
    told = [(0.5, score) for score in scores]
    settings = {"monitor_from": monitor_from, "patience": patience}
    trainer, result = trained(shapes, tmp_path, told, **settings)
    assert (len(trainer.records), result.best_epoch) == (epochs, best)
    assert trainer.best.found["val"] == scores[best - 1]


def test_a_run_that_ended_early_has_ended(request_for, tmp_path):
    request = request_for(epochs=30, patience=2, lr=0.1)
    result = train_run(request)
    file = tmp_path / "run" / "seed-0" / "metrics.jsonl"
    before = file.read_text()
    epochs = len(before.splitlines())
    assert epochs == result["runs"][0]["best_epoch"] + 2 < 30
    again = train_run(dataclasses.replace(request, resume=True))
    assert again["runs"] == result["runs"]
    assert file.read_text() == before
    assert json.loads(before.splitlines()[-1])["epoch"] == epochs


def test_the_first_steps_tell_how_long_it_takes(monkeypatch, caplog):
    times = iter([100.0, 101.5])
    monkeypatch.setattr(time_estimate.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(time_estimate, "peak_memory", lambda: 2 * 10**9)
    watch = time_estimate.TimeEstimate("seed 4", steps=1000, epochs=30)
    # That of the package has the handlers and the level of whatever command has run.
    monkeypatch.setattr(time_estimate, "_logger", logging.getLogger("of_this_test"))
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            watch.step()
    # Five steps in 1.5 s.
    assert [record.getMessage() for record in caplog.records] == [
        "seed 4: about 5 min for the training steps of an epoch, 2.5 h for those of 30 epochs; "
        "2 GB of memory at most so far"
    ]


def test_of_a_short_training_nothing_is_told(monkeypatch, caplog):
    times = iter([100.0, 101.5])
    monkeypatch.setattr(time_estimate.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(time_estimate, "_logger", logging.getLogger("of_this_test"))
    watch = time_estimate.TimeEstimate("seed 4", steps=10, epochs=3)
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            watch.step()
    assert not caplog.records

"""Trials of a search: settings trained and scored on validation graphs alone.

A trial is scored by the mean of its best :data:`WINDOW` consecutive epochs on the validation graphs, averaged
over the splits. A single epoch would be the maximum of many noisy numbers: one graph of 18 is 5 points of
accuracy, one of 411 a quarter of a point, and a search over many trials would favour the settings that swing
most. The mean of neighbouring epochs keeps what lasts for a while. It is looked for over all epochs and not
read off the end, since training keeps the weights of the best validation epoch, not the last.

With random splits the validation graphs of one seed are test graphs of another. What was found on the splits
of some seeds is therefore best reported with other seeds.
"""

import dataclasses
import statistics
from collections.abc import Sequence

import torch

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.experiments.tune_space import DEFAULT_SPACE
from gradformer_dgl.support.errors import RunError, one_line
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.objectives import objective_of
from gradformer_dgl.training.run_spec import RunSpec, open_once
from gradformer_dgl.training.splits import split_of, with_split
from gradformer_dgl.training.workers import Report

WINDOW = 5


@dataclasses.dataclass(frozen=True)
class TrialTask:
    """One trial: a run with the settings to be trained and validated."""

    number: int
    run: RunSpec

    @property
    def title(self) -> str:
        """Words for the trial."""
        return f"trial {self.number}"


def best_window(scores: Sequence[float], higher_is_better: bool = True) -> float:
    """Return the best mean of :data:`WINDOW` consecutive scores, or the mean of all where they are fewer."""
    means = [statistics.fmean(scores[end - WINDOW : end]) for end in range(WINDOW, len(scores) + 1)] or [
        statistics.fmean(scores)
    ]
    return max(means) if higher_is_better else min(means)


def without_test_part(dataset: GraphDataset, config: RunConfig, seed: int) -> GraphDataset:
    """Fix the split of a seed and leave its test graphs out: what is not there cannot be looked at."""
    # The share of the training graphs that is used is taken of a fixed split, too, by the training itself.
    split = split_of(dataset, config.updated({"train_fraction": 1.0}), seed)
    return with_split(dataset, split | {"test": torch.empty(0, dtype=torch.long)})


def validate(task: TrialTask, report: Report) -> float | str:
    """Train the settings of a trial on every split, epoch by epoch side by side; nothing is written.

    After every epoch the validation score is reported: the mean over the splits and the last :data:`WINDOW`
    epochs. Return :func:`best_window`, or what went wrong where the training loss did not stay finite.
    """
    config = task.run.config
    dataset = open_once(dataclasses.replace(task.run, config=_data_settings(config)))
    trainers = [
        Trainer(
            without_test_part(dataset, config, seed),
            config.updated({"split": "auto"}),
            seed,
            task.run.seed_folder(seed),
            task.run.device,
        )
        for seed in task.run.seeds
    ]
    objective = objective_of(dataset.task, config)
    scores: list[float] = []
    for epoch in range(config.epochs):
        try:
            records = [trainer.run_epoch(epoch) for trainer in trainers]
        except RunError as error:
            # Some settings let the loss diverge: an outcome of the trial, no end of the search.
            return one_line(error)
        scores.append(statistics.fmean(record[f"val_{objective.name}"] for record in records))
        report({"epoch": epoch + 1, "val": statistics.fmean(scores[-WINDOW:])})
    return best_window(scores, objective.higher_is_better)


def _data_settings(config: RunConfig) -> RunConfig:
    """Reset what has no part in reading the data, so that the trials of a process share it."""
    usual = RunConfig()
    return config.updated({name: getattr(usual, name) for name in (*DEFAULT_SPACE, "num_heads")})

"""Scores of the saved weights of a run, or of the average of several runs."""

import logging
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.data_description import DIGESTS
from gradformer_dgl.training.objectives import Objective, objective_of
from gradformer_dgl.training.trained_run import SeedOutputs, TrainedRun

_logger = logging.getLogger("gradformer_dgl")


def evaluate_runs(*runs: TrainedRun, part: str = "test") -> dict[str, Any]:
    """Score the saved weights of a run, or the average of the outputs of several runs.

    The seeds of several runs are paired: those with the same number must have the same graphs for testing.
    Class probabilities are averaged in classification, values in regression, and ``"members"`` has the scores
    of each run alone. The metric is that of the first run.
    """
    first, *others = runs
    seeds = _common_seeds(runs)
    for run in runs:
        for seed in seeds:
            # Missing weights are found before data is read.
            run.weights(seed)
    for run in runs:
        _require_fit(first, run, seeds, part)
    objective = objective_of(first.dataset.task, first.config)
    outputs = [[run.outputs(seed, part) for seed in seeds] for run in runs]
    scored = [_scores(objective, one) for one in outputs]
    head = {"dataset": first.dataset.name, "split": part}
    if not others:
        return {**head, **scored[0]}
    averages = [_averaged(members, first.dataset.task) for members in zip(*outputs, strict=True)]
    members = [{"run": str(run.folder), **one} for run, one in zip(runs, scored, strict=True)]
    return {**head, **_scores(objective, averages), "members": members}


def average_outputs(
    outputs: Float[Tensor, "members items outputs"], task: str
) -> Float[Tensor, "items outputs"]:
    """Average the outputs of several networks, (members, items, outputs), to float64 of (items, outputs).

    These are values of a regression, or logits whose probabilities are the average of the members'.
    """
    outputs = outputs.double()
    if task == "regression":
        return outputs.mean(0)
    # In logarithms: probabilities near 0 and 1 would lose their digits.
    if task == "multiclass":
        return outputs.log_softmax(2).logsumexp(0)
    return functional.logsigmoid(outputs).logsumexp(0) - functional.logsigmoid(-outputs).logsumexp(0)


def _averaged(members: tuple[SeedOutputs, ...], task: str) -> SeedOutputs:
    outputs = average_outputs(torch.stack([one.outputs for one in members]), task)
    return SeedOutputs(members[0].seed, outputs, members[0].targets)


def _scores(objective: Objective, outputs: list[SeedOutputs]) -> dict[str, Any]:
    scores = [objective.report(one.outputs, one.targets) for one in outputs]
    also = [objective.report_also(one.outputs, one.targets) for one in outputs]
    runs = [
        {"seed": one.seed, "score": score, "also": further}
        for one, score, further in zip(outputs, scores, also, strict=True)
    ]
    return {**objective.summary(scores, also), "runs": runs}


def _common_seeds(runs: tuple[TrainedRun, ...]) -> list[int]:
    seeds = [seed for seed in runs[0].seeds if all(seed in run.seeds for run in runs)]
    if not seeds:
        raise RunError(f"{' and '.join(str(run.folder) for run in runs)} have no seed in common to pair")
    for run in runs:
        left_out = [str(seed) for seed in run.seeds if seed not in seeds]
        if left_out:
            _logger.warning("%s: seed %s left out, which another run lacks", run.folder, ", ".join(left_out))
    return seeds


def _require_fit(first: TrainedRun, other: TrainedRun, seeds: list[int], part: str) -> None:
    names = f"{first.folder} and {other.folder}"
    tasks = [(run.dataset.task, run.dataset.level, run.dataset.out_size) for run in (first, other)]
    if tasks[0] != tasks[1]:
        said = " and ".join(f"{task} of {level}s with {size} outputs" for task, level, size in tasks)
        raise RunError(f"{names} cannot be averaged: their tasks are {said}")
    digests, others = first.data[DIGESTS], other.data[DIGESTS]
    different = [name for name in ("graphs", "labels") if digests[name] != others[name]]
    if different:
        raise RunError(f"{names} cannot be averaged: their data has other {' and '.join(different)}")
    for seed in seeds:
        if not torch.equal(first.split(seed)[part], other.split(seed)[part]):
            raise RunError(f"{names} cannot be averaged: the {part} graphs of seed {seed} differ")

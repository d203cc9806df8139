"""Learning rate over a run."""

import math

from gradformer_dgl.support.errors import ConfigError


def warmup_cosine(step: int, warmup: float, total: int) -> float:
    """Factor of the learning rate: a straight rise from 1e-6 over the warm-up, then half a cosine to 0."""
    if step < warmup:
        return max(1e-6, step / max(1, warmup))
    return max(0.0, 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))))


def learning_rate_factor(
    schedule: str, step: int, steps_per_epoch: int, epochs: int, warmup_epochs: float
) -> float:
    """Factor of the learning rate by the name of the schedule; ``step`` counts the optimiser steps so far.

    ``"constant"`` is 1, without a warm-up. ``"cosine"`` is :func:`warmup_cosine` of the steps.
    ``"reference"`` is that of the published code: :func:`warmup_cosine` of the epochs, with the warm-up in
    epochs, but the number of all steps for the length of the run. So the learning rate is constant within
    an epoch and near 0 in the first of the warm-up, and the cosine, laid out for
    ``epochs * steps_per_epoch`` epochs, has hardly begun to fall when the run ends.
    """
    if schedule == "constant":
        return 1.0
    total = epochs * steps_per_epoch
    if schedule == "cosine":
        warmup = round(warmup_epochs * steps_per_epoch)
        # The first step already moves: it counts as the first of the warm-up.
        return warmup_cosine(step + 1, warmup, total) if step < warmup else warmup_cosine(step, warmup, total)
    if schedule == "reference":
        return warmup_cosine(step // steps_per_epoch, warmup_epochs, total)
    raise ConfigError(f"schedule is constant, cosine or reference, not {schedule!r}")

"""Learning rate over a run."""

import math

from gradformer_dgl.errors import ConfigError


def warmup_cosine(step: int, warmup: int, total: int) -> float:
    """Factor of the learning rate: a straight rise over the warm-up, then half a cosine to 0.

    Parameters
    ----------
    step : int
        Optimiser steps done so far.
    warmup : int
        Steps of the rise.
    total : int
        Steps of the whole run.

    Returns
    -------
    float
        Between 0 and 1; at least 1e-6 within the warm-up.

    Examples
    --------
    >>> from gradformer_dgl.training.schedule import warmup_cosine
    >>> warmup_cosine(5, warmup=10, total=100), warmup_cosine(55, warmup=10, total=100)
    (0.5, 0.5)
    """
    if step < warmup:
        return max(1e-6, step / max(1, warmup))
    return max(0.0, 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))))


def learning_rate_factor(schedule: str, step: int, warmup: int, total: int) -> float:
    """Factor of the learning rate by the name of the schedule, ``"constant"`` or ``"cosine"``.

    A constant learning rate has no warm-up.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        # The first step already moves: it counts as the first of the warm-up.
        return warmup_cosine(step + 1, warmup, total) if step < warmup else warmup_cosine(step, warmup, total)
    raise ConfigError(f"schedule is constant or cosine, not {schedule!r}")

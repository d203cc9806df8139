"""Decay by distance, at the start of training and as each head learned it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gradformer_dgl.plots.plotted_run import PlottedRun
from gradformer_dgl.plots.style import colour, dashes, marker, panels, styled
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.config import RunConfig

DISTANCES_SHOWN = 17
MOST_SEEDS = 6
_NAMES = {"shortest_path": "shortest-path distance in hops", "resistance": "effective resistance in edges"}


def draw_learned_decay(run: PlottedRun) -> Any:
    """Draw the decay that each seed of a run learned; see :func:`decay_figure`."""
    return decay_figure(run.config, learned_tau(run.records_by_seed, run.config.model))


def decay_curves(
    config: RunConfig, tau: Sequence[float], num_distances: int
) -> Float[np.ndarray, "heads distances"]:
    """Return the decay of each head, (heads, distances), at 0, 1, ... times ``config.distance_unit``."""
    from gradformer_dgl.nn.decay import ExponentialDecay

    decay = ExponentialDecay(len(tau), config.gamma, tau, config.slope, False, config.distance_unit)
    return decay.table(num_distances)[:, :-1].numpy()


def learned_tau(records: Mapping[int, Sequence[dict[str, Any]]], model: str = "") -> dict[int, list[float]]:
    """Return the thresholds at the end of training, by seed and head; RunError without any, or diverged."""
    found = {seed: epochs[-1]["tau"] for seed, epochs in records.items() if epochs[-1].get("tau")}
    if not found:
        raise RunError(f"the model {model} has no decay that is learned".replace("  ", " "))
    for seed, tau in found.items():
        if not np.isfinite(tau).all():
            raise RunError(f"the thresholds of seed {seed} are no longer finite: its training diverged")
    return found


def decay_figure(config: RunConfig, learned: Mapping[int, Sequence[float]]) -> Any:
    """Draw the decay of every head at the start of training and at the end, a panel for each of six seeds."""
    shown = list(learned.items())[:MOST_SEEDS]
    with styled():
        alone = len(shown) == 1
        figure, axes = panels(len(shown), 2, 3.4 if alone else 2.9, *([5.2] if alone else []))
        for place, (seed, tau) in zip(axes, shown, strict=True):
            more = "" if len(learned) == len(shown) else f" (one of {len(learned)})"
            draw_decay(place, config, tau, f"Seed {seed}{more}")
    return figure


def draw_decay(axes: Any, config: RunConfig, tau: Sequence[float], title: str) -> None:
    """Draw the decay of every head at the start of training and at the end into one panel."""
    distances = config.distance_unit * np.arange(DISTANCES_SHOWN)
    (start,) = decay_curves(config, [config.hop], DISTANCES_SHOWN)
    axes.plot(
        distances, start, color="0.6", lw=4, solid_capstyle="butt", label=f"start, τ = {config.hop:.2f}"
    )
    for head, curve in enumerate(decay_curves(config, tau, DISTANCES_SHOWN)):
        axes.plot(
            distances,
            curve,
            color=colour(head),
            ls=dashes(head),
            marker=marker(head),
            ms=3.5,
            label=f"head {head + 1}, τ = {tau[head]:.2f}",
        )
    axes.set(title=title, xlabel=_NAMES[config.distance], ylabel="factor on the logit")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(True)
    axes.legend(fontsize=8 if len(tau) <= 6 else 6.5, ncols=1 + len(tau) // 9, handlelength=3)

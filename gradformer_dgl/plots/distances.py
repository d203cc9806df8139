"""Distribution of the distances between nodes, and of the sizes of graphs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.plots.decay import learned_tau
from gradformer_dgl.plots.plotted_run import PlottedRun
from gradformer_dgl.plots.style import WIDTH, colour, marker, styled
from gradformer_dgl.support.errors import RunError

_MOST_SEEDS = 10
_MOST_BARS = 60


def draw_distances_and_thresholds(run: PlottedRun) -> Any:
    """Draw the distances of the data of a run, and the thresholds that its heads learned."""
    cache = DistanceCache(run.spec.cache)
    try:
        learned = learned_tau(run.records_by_seed) if run.config.distance == "shortest_path" else {}
    except RunError:
        learned = {}
    return distances_figure(cache, learned)


def distances_figure(cache: DistanceCache, learned: Mapping[int, Sequence[float]] | None = None) -> Any:
    """Draw the percentage of pairs of nodes at each distance, and the thresholds of every seed above."""
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        top = 1.06 * draw_distances(axes, cache)
        without = _without_path(cache)
        axes.set(title=f"Pairs of nodes in {len(cache):,} graphs{without and '; ' + without}")
        if learned:
            for number, (seed, tau) in enumerate(list(learned.items())[:_MOST_SEEDS]):
                axes.plot(
                    tau,
                    np.full(len(tau), top * (1 + 0.05 * number)),
                    marker=marker(number),
                    ms=5,
                    ls="none",
                    color=colour(number),
                    label=f"τ of the heads, seed {seed}",
                )
            axes.legend(fontsize=8, ncols=1 + len(learned) // 7)
    return figure


def cache_figure(cache: DistanceCache) -> Any:
    """Draw the percentage of pairs of nodes at each distance, and the sizes of the graphs."""
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(6.75, 2.7), layout="constrained")
        distance_axes, size_axes = figure.subplots(1, 2)
        draw_distances(distance_axes, cache)
        distance_axes.set(title=_without_path(cache) or "Distances")
        sizes = cache.node_counts if len(cache) else np.zeros(1, np.int64)
        width = -(-(int(np.ptp(sizes)) + 1) // _MOST_BARS)
        edges = np.arange(sizes.min(), sizes.max() + width + 1, width) - 0.5
        size_axes.hist(sizes, edges, color="0.75", ec="0.3", lw=0.6)
        size_axes.set(xlabel="nodes", ylabel="graphs", title=f"Sizes of {len(cache):,} graphs")
        size_axes.grid(axis="y")
    return figure


def draw_distances(axes: Any, cache: DistanceCache) -> float:
    """Draw a bar for each distance, and return the height of the highest in percent of the pairs."""
    from matplotlib.ticker import MaxNLocator

    histogram = cache.histogram()
    percent = 100 * histogram / _num_pairs(cache)
    axes.bar(np.arange(len(percent)), percent, width=0.9, color="0.75", ec="0.3", lw=0.6)
    axes.set(xlabel="shortest-path distance in hops", ylabel="pairs of nodes, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    return float(max(percent, default=1))


def _num_pairs(cache: DistanceCache) -> int:
    return max(1, int(np.square(cache.node_counts, dtype=np.int64).sum()))


def _without_path(cache: DistanceCache) -> str:
    without = 100 * (1 - cache.histogram().sum() / _num_pairs(cache))
    cutoff = "" if cache.max_distance is None else f" within {cache.max_distance} hops"
    return f"{without:.2g} % have no path{cutoff}" if without > 0 else ""

"""How far apart the nodes of the data are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.plots.style import WIDTH, colour, marker, styled

_MOST_SEEDS = 10


def distances_figure(cache: DistanceCache, learned: Mapping[int, Sequence[float]] | None = None) -> Any:
    """Draw the share of pairs of nodes at each distance, and where the decays of the heads set in.

    Parameters
    ----------
    cache : DistanceCache
        Of the data.
    learned : mapping of int to sequence of float, optional
        For each seed the thresholds of its heads, in hops.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    histogram = cache.histogram()
    pairs = max(1, int(np.square(cache.node_counts, dtype=np.int64).sum()))
    shares = 100 * histogram / pairs
    without = 100 * (1 - histogram.sum() / pairs)
    with styled():
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.bar(np.arange(len(shares)), shares, width=0.9, color="0.75", ec="0.3", lw=0.6)
        axes.set(
            title=f"Pairs of nodes in {len(cache):,} graphs"
            + (f"; {without:.2g} % have no path" + _cutoff(cache) if without > 0 else ""),
            xlabel="shortest-path distance in hops",
            ylabel="pairs of nodes, %",
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        if learned:
            top = 1.06 * max(shares, default=1)
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


def _cutoff(cache: DistanceCache) -> str:
    return "" if cache.max_distance is None else f" within {cache.max_distance} hops"

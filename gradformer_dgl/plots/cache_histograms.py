"""A picture of what a cache holds."""

import os
from pathlib import Path

import numpy as np

from gradformer_dgl.cache.reader import DistanceCache
from gradformer_dgl.support.atomic_write import drafted
from gradformer_dgl.support.errors import CacheError, ConfigError

# Graph sizes are counted in at most so many bars.
MOST_BARS = 60


def check_suffix(file: str | os.PathLike[str]) -> Path:
    """Return the file as a path whose suffix names a format that can be drawn, or raise `ConfigError`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    file = Path(file)
    formats = FigureCanvasAgg.filetypes
    if file.suffix[1:].lower() not in formats:
        raise ConfigError(
            f"{file} is no picture: give it one of the suffixes {', '.join(f'.{name}' for name in formats)}"
        )
    return file


def draw_histograms(cache: DistanceCache, file: str | os.PathLike[str]) -> None:
    """Draw how many pairs are at each distance and how large the graphs are; the file is whole or not there.

    Parameters
    ----------
    cache : DistanceCache
        The cache.
    file : path-like
        Where to; the suffix chooses the format, ``.png`` for example.

    Raises
    ------
    ConfigError
        Where no picture can have this suffix.
    CacheError
        Where the file cannot be written.
    """
    from matplotlib.figure import Figure

    file = check_suffix(file)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    distance_axes, size_axes = figure.subplots(1, 2)

    histogram = cache.histogram()
    pairs = max(int(np.square(cache.node_counts).sum()), 1)
    distance_axes.bar(np.arange(len(histogram)), 100 * histogram / pairs, width=0.9)
    without = 100 * (1 - histogram.sum() / pairs)
    title = "Distances" if without == 0 else f"Distances; {without:.2g} % of the pairs have none"
    distance_axes.set(xlabel="shortest-path distance in hops", ylabel="pairs of nodes, %", title=title)

    sizes = cache.node_counts if len(cache) else np.zeros(1, np.int64)
    width = -(-(int(np.ptp(sizes)) + 1) // MOST_BARS)
    edges = np.arange(sizes.min(), sizes.max() + width + 1, width) - 0.5
    size_axes.hist(sizes, edges)
    size_axes.set(xlabel="nodes", ylabel="graphs", title=f"Sizes of {len(cache):,} graphs")
    for axes in (distance_axes, size_axes):
        axes.set_axisbelow(True)
        axes.grid(axis="y", alpha=0.3)

    try:
        with drafted(file, durable=False) as draft:
            figure.savefig(draft, format=file.suffix[1:].lower(), dpi=150)
    except OSError as error:
        raise CacheError(f"{file} cannot be written: {error.strerror}; choose another place") from None

"""Estimate of the duration of preprocessing, logged before it begins."""

import logging
import time

from gradformer_dgl.cache.writer import CacheSizes
from gradformer_dgl.preprocess.parts import compute_part
from gradformer_dgl.preprocess.tasks import Task

logger = logging.getLogger("gradformer_dgl")

# Of less work than so many parts nothing is logged: it would take a good part of the time to find out.
LEAST_PARTS = 100


def tell_how_long(path: str, task: Task, sizes: CacheSizes, workers: int) -> None:
    """Log size and duration of the whole, judged by the time that the part of one task takes.

    It is computed twice, for the first time may be one of compiling.
    """
    fraction = task.sizes.pairs / max(1, sizes.pairs)
    if fraction * LEAST_PARTS > 1 or not logger.isEnabledFor(logging.INFO):
        return
    compute_part(task)
    begin = time.perf_counter()
    part = compute_part(task)
    seconds = (time.perf_counter() - begin) / max(fraction, 1e-12) / workers
    plan = task.plan
    pair_bytes = part.summary.dtype.itemsize + 4 * len(plan.extra_distances)
    content = pair_bytes * sizes.pairs + 4 * sum(plan.encodings.values()) * sizes.nodes
    logger.info(
        "%s: %s; about %s before compression, and %s",
        path,
        f"{sizes.graphs:,} graphs, {sizes.nodes:,} nodes, {sizes.pairs:,} pairs",
        bytes_text(content),
        duration_text(seconds),
    )


def duration_text(seconds: float) -> str:
    """Return a duration in a unit that suits it."""
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 5400 else f"{seconds / 3600:.2g} h"


def bytes_text(count: float) -> str:
    """Return a size in a unit that suits it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.2g} {unit}" if count < 99.5 else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.2g} TB"

"""Confusion matrix."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Int64

_MOST_WITH_COUNTS, _MOST_NAMED, _LETTERS = 12, 40, 14


def confusion_counts(
    true: Int[np.ndarray, "items"], predicted: Int[np.ndarray, "items"], num_classes: int
) -> Int64[np.ndarray, "classes classes"]:
    """Count items, (items,), by true class (row) and predicted class: int64 of shape (classes, classes).

    Items whose true class is negative have none and do not count.
    """
    given = true >= 0
    cells = true[given].astype(np.int64) * num_classes + predicted[given]
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def draw_confusion(
    axes: Any, counts: Int64[np.ndarray, "classes classes"], names: Sequence[str], title: str
) -> None:
    """Draw the fraction of each class that is predicted as each class, and the counts, (classes, classes)."""
    fractions = counts / np.maximum(1, counts.sum(1, keepdims=True))
    image = axes.imshow(fractions, cmap="Greys", vmin=0, vmax=1)
    if len(counts) <= _MOST_WITH_COUNTS:
        for (row, column), fraction in np.ndenumerate(fractions):
            axes.text(
                column,
                row,
                f"{counts[row, column]}\n{100 * fraction:.0f} %",
                ha="center",
                va="center",
                fontsize=10 if len(counts) < 5 else 7.5 if len(counts) < 8 else 5,
                color="white" if fraction > 0.55 else "black",
            )
    if len(counts) <= _MOST_NAMED:
        short = [name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…" for name in names]
        upright = max(map(len, short)) * len(short) <= 40
        axes.set_xticks(range(len(short)), short, rotation=0 if upright else 90)
        axes.set_yticks(range(len(short)), short)
    axes.set(title=title, xlabel="predicted class", ylabel="true class")
    axes.spines[:].set_visible(True)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.75)
    bar.set_label("fraction of the true class", fontsize=9)

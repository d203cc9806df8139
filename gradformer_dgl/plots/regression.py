"""Predicted against true values, and the distribution of the errors."""

from typing import Any

import numpy as np
from jaxtyping import Float

_MANY = 1000


def draw_scatter(
    axes: Any, true: Float[np.ndarray, "items"], predicted: Float[np.ndarray, "items"], title: str
) -> None:
    """Draw predicted against true values, (items,), with the diagonal on which they agree."""
    axes.scatter(
        true,
        predicted,
        s=12 if len(true) <= _MANY else 5,
        color="#0072B2",
        alpha=0.6 if len(true) <= _MANY else 0.3,
        linewidths=0,
        rasterized=len(true) > _MANY,
    )
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axes.plot(ends, ends, color="black", ls="--", lw=1, label="predicted = true")
    axes.set(title=title, xlabel="true", ylabel="predicted")
    axes.grid(True)
    axes.legend(loc="upper left", fontsize=8)


def draw_errors(axes: Any, errors: Float[np.ndarray, "items"], mean_absolute: float) -> None:
    """Draw the histogram of the errors, (items,)."""
    axes.hist(errors, bins=min(60, max(10, round(len(errors) ** 0.5))), color="0.75", ec="0.3", lw=0.5)
    axes.axvline(0, color="black", ls="--", lw=1)
    axes.set(title=f"Mean absolute error {mean_absolute:.4g}", xlabel="predicted − true", ylabel="test items")
    axes.grid(axis="y")

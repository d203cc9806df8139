"""ROC curves of binary predictions."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

_GRID = np.linspace(0, 1, 201)


def roc_curve(
    scores: Float[np.ndarray, "items"], positive: Bool[np.ndarray, "items"]
) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
    """Return the false and true positive rates, (points,) each, at every threshold between scores, (items,).

    Both classes occur. Items of one score are told apart nowhere.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[last]
    misses = last + 1 - hits
    return np.append(0.0, misses / misses[-1]), np.append(0.0, hits / hits[-1])


def area_under(x: Float[np.ndarray, "points"], y: Float[np.ndarray, "points"]) -> float:
    """Return the area under straight lines from point to point, (points,)."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def draw_roc(
    axes: Any,
    seeds: Sequence[tuple[Float[np.ndarray, "_"], Bool[np.ndarray, "_"]]],
    title: str,
) -> None:
    """Draw the curve of each seed and, of several, their mean at equal false positive rates.

    Scores and classes of a seed have shape (items,); a seed whose test data are of one class has no curve.
    """
    curves = [roc_curve(*one) for one in seeds if 0 < one[1].sum() < len(one[1])]
    axes.plot([0, 1], [0, 1], color="0.5", ls=":", lw=1, label="guessing")
    areas = [area_under(*curve) for curve in curves]
    if len(curves) == 1:
        axes.plot(*curves[0], color="black", label=f"area {areas[0]:.3f}")
    elif curves:
        for number, curve in enumerate(curves):
            label = f"each of {len(curves)} seeds" if number == 0 else None
            axes.plot(*curve, color="0.6", lw=0.8, label=label)
        mean = np.mean([np.interp(_GRID, *curve) for curve in curves], axis=0)
        areas_text = f"{statistics.fmean(areas):.3f} ± {statistics.stdev(areas):.3f}"
        axes.plot(_GRID, mean, color="black", ls=(0, (5, 2)), lw=1.8, label=f"mean, area {areas_text}")
    else:
        axes.text(0.5, 0.6, "one class alone\nin the test data", ha="center", va="center", fontsize=9)
    axes.set(title=title, xlabel="false positive rate", ylabel="true positive rate")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.grid(True)
    axes.legend(loc="lower right", fontsize=8, frameon=True, framealpha=0.85, edgecolor="none")

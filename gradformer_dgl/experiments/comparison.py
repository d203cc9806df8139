"""Comparison of two models on the same splits."""

import dataclasses
import math
import statistics

from gradformer_dgl.experiments.records import Record


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Differences between the test scores of two models over the splits that both were tested on.

    ``difference`` is the mean of the first model's score minus the other's, ``standard_error`` the sample
    standard deviation of the differences over the square root of their number, NaN for one pair; the first
    model is better on ``wins`` of the ``pairs`` of scores, ``ties`` count for neither.
    """

    pairs: int
    difference: float
    standard_error: float
    wins: int
    ties: int


def compare(first: Record, other: Record) -> Comparison | None:
    """Compare two models with the same data set and variant split by split; None without a common split."""
    scores = {(run["seed"], run["fold"]): run["test"] for run in other.runs}
    differences = [
        run["test"] - scores[run["seed"], run["fold"]]
        for run in first.runs
        if (run["seed"], run["fold"]) in scores
    ]
    if not differences:
        return None
    sign = 1 if first.higher_is_better else -1
    deviation = statistics.stdev(differences) if len(differences) > 1 else math.nan
    return Comparison(
        pairs=len(differences),
        difference=statistics.fmean(differences),
        standard_error=deviation / math.sqrt(len(differences)),
        wins=sum(sign * difference > 0 for difference in differences),
        ties=sum(difference == 0 for difference in differences),
    )

"""Comparison of two models on the same splits."""

import dataclasses
import math
import statistics

from gradformer_dgl.experiments.records import Record


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Differences between the test scores of two models over the splits that both were tested on.

    Parameters
    ----------
    pairs : int
        Splits that both have.
    difference : float
        Mean of the first model's test score minus the other's.
    standard_error : float
        Sample standard deviation of the differences over the square root of their number; NaN for one pair.
    wins, ties : int
        Splits on which the first is better, and on which both are the same.
    """

    pairs: int
    difference: float
    standard_error: float
    wins: int
    ties: int


def compare(first: Record, other: Record) -> Comparison | None:
    """Compare two models split by split; None where they have no split in common.

    Parameters
    ----------
    first, other : Record
        Results with the same data set and variant.

    Examples
    --------
    >>> one, two = (Record("A", model, "published", {}, None) for model in ("gradformer", "gin"))
    >>> for seed, scores in enumerate([(80.0, 78.0), (82.0, 82.0), (79.0, 78.0)]):
    ...     one.add({"seed": seed, "fold": None, "test": scores[0]})
    ...     two.add({"seed": seed, "fold": None, "test": scores[1]})
    >>> compare(one, two)
    Comparison(pairs=3, difference=1.0, standard_error=0.5773502691896258, wins=2, ties=1)
    """
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

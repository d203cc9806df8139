"""Cut-off of sparse attention: a bound on its error, and the smallest cut-off within a tolerance."""

import logging
import math
from typing import Protocol

import torch
from torch import Tensor

from gradformer_dgl.pairs.sparse import SparsePairDistances
from gradformer_dgl.pairs.sparse_checks import MOST_HOPS, checked_cutoff
from gradformer_dgl.support.errors import ConfigError

MAX_LOGIT = 5.0
"""Default bound on the absolute scaled products of queries and keys."""
TOLERANCE = 0.05
"""Error beyond which training warns of a learned decay."""

_logger = logging.getLogger("gradformer_dgl")


class HasTable(Protocol):
    """Anything with a table of factors (heads, num_distances + 1), as a decay has one."""

    def table(self, num_distances: int) -> Tensor: ...


def far_factor(decay: HasTable, max_distance: int) -> float:
    """Return the largest factor, in any head, of a reachable pair beyond a cut-off (up to 255 hops).

    Examples
    --------
    >>> from gradformer_dgl import ExponentialDecay
    >>> far_factor(ExponentialDecay(num_heads=2, gamma=0.5, hop=[0.0, 1.0]), max_distance=3)
    0.125
    """
    first = checked_cutoff(max_distance) + 1
    return float(_factors(decay)[:, first:-1].max())


def _factors(decay: HasTable) -> Tensor:
    """Return the absolute factors (heads, hops), up to one hop beyond the largest cut-off."""
    with torch.no_grad():
        return decay.table(MOST_HOPS + 2).abs()


def _checked_logit(max_logit: float) -> float:
    if not 0 <= max_logit < math.inf:
        raise ConfigError(f"max_logit must be 0 or more, and finite, but is {max_logit}")
    return max_logit


def cutoff_error(decay: HasTable, max_distance: int, max_logit: float = MAX_LOGIT) -> float:
    r"""Return a bound on the error of attention that gives pairs beyond a cut-off the logit 0.

    Parameters
    ----------
    decay : Decay
        Anything with ``table(num_distances)``.
    max_distance : int
        The cut-off in hops.
    max_logit : float
        A bound S on :math:`|q_i \cdot k_j| / \sqrt d`. It is taken as given: nothing checks the products.

    Returns
    -------
    float
        The largest difference of an output channel, while no product exceeds ``max_logit``, as a fraction of
        that channel's range: its largest less its smallest value :math:`v_j` in the graph. At most 1.

    Notes
    -----
    Let m be the largest factor of a far pair and x = S m. The weights before normalisation are
    :math:`r_j` times those with a cut-off, where :math:`r_j = 1` within it and
    :math:`|\log r_j| \le x` beyond it: :math:`|e^{s m} - 1| \le e^x - 1`. Two distributions whose
    weights before normalisation differ by factors between :math:`e^{-x}` and :math:`e^x` differ by at most
    :math:`\tanh(x / 2)` in total variation (in the worst case a fraction :math:`1 / (1 + e^x)` of the
    weights is at the one end and the rest at the other), and the means of a channel by at most this times
    its range.
    So the error is at most :math:`\tanh(S m / 2) \le S m / 2`. It is far less in practice: the logits of
    far pairs have both signs, and their errors cancel in the mean.

    Examples
    --------
    >>> from gradformer_dgl import ExponentialDecay
    >>> round(cutoff_error(ExponentialDecay(1, gamma=0.5, hop=0.0), max_distance=9, max_logit=2.0), 6)
    0.000977
    """
    return math.tanh(_checked_logit(max_logit) * far_factor(decay, max_distance) / 2)


def cutoff_for(decay: HasTable, tolerance: float, max_logit: float = MAX_LOGIT) -> int:
    r"""Return the smallest cut-off whose error is within a tolerance, by the bound of :func:`cutoff_error`.

    The bound holds while the scaled products of queries and keys stay within ``max_logit``. Nothing checks
    them; where training makes them larger, the error may exceed the tolerance.

    Parameters
    ----------
    decay : Decay
        With the thresholds it has now; its factors of unreachable pairs must be 0.
    tolerance : float
        Largest error of an output channel allowed, as a fraction of the range of its values, above 0.
    max_logit : float
        A bound on the absolute scaled products of queries and keys, :math:`|q_i \cdot k_j| / \sqrt d`.

    Returns
    -------
    int
        Hops, at least 1.

    Raises
    ------
    ConfigError
        If no cut-off of up to 254 hops is enough, or tolerance or bound are out of range.

    Examples
    --------
    >>> from gradformer_dgl import ExponentialDecay
    >>> [cutoff_for(ExponentialDecay(1, gamma=0.5, hop=hop), tolerance=0.01) for hop in (0.0, 2.0)]
    [7, 9]
    """
    if not tolerance > 0:
        raise ConfigError(f"tolerance must be above 0, but is {tolerance}")
    factors = _factors(decay)
    if bool(factors.isnan().any()):
        raise ConfigError("no cut-off is enough: a factor of this decay is not a number")
    if bool((factors[:, -1] != 0).any()):
        raise ConfigError("no cut-off is enough: this decay is not 0 for unreachable pairs")
    # The largest factor at each distance or farther.
    largest = factors[:, :-1].amax(0).flip(0).cummax(0).values.flip(0)
    within = torch.tanh(_checked_logit(max_logit) * largest.double() / 2) <= tolerance
    if not bool(within[-1]):
        raise ConfigError(
            f"no cut-off of up to {MOST_HOPS} hops keeps the error within {tolerance:g}: "
            f"pairs that far apart still have the factor {float(largest[-1]):.2g}"
        )
    return max(1, int(within.to(torch.uint8).argmax()) - 1)


class CutoffWatch:
    """Warning, given once, that a learned decay has outgrown a cut-off.

    It reads the factors alone: that queries and keys stay within ``max_logit`` is assumed, not checked.

    Parameters
    ----------
    max_distance : int
        The cut-off in hops.
    tolerance : float
        Tolerated error, as :func:`cutoff_for` takes it.
    max_logit : float
        A bound on the absolute scaled products of queries and keys.
    """

    def __init__(self, max_distance: int, tolerance: float = TOLERANCE, max_logit: float = MAX_LOGIT) -> None:
        self.max_distance, self.tolerance, self.max_logit = max_distance, tolerance, max_logit
        self.has_warned = False

    @classmethod
    def of(cls, sparse: SparsePairDistances) -> "CutoffWatch | None":
        """Return the watch of a cut-off; None where no pair with a path is beyond it."""
        # A path to a node beyond the cut-off goes through one at the cut-off.
        whole = sparse.num_pairs == sum(size * size for size in sparse.sizes) or not bool(
            (sparse.distances == sparse.max_distance).any()
        )
        return None if whole else cls(sparse.max_distance)

    def check(self, decay: HasTable) -> float:
        """Return the bound on the error; log a warning where it first exceeds the tolerance."""
        error = cutoff_error(decay, self.max_distance, self.max_logit)
        # An error that is not a number is beyond it too.
        if not error <= self.tolerance and not self.has_warned:
            self.has_warned = True
            _logger.warning(
                "the decay has outgrown the cut-off of %d hops: farther pairs have factors of up to %.2g, "
                "and attention with logits of up to %g an error of up to %.1f %% of the range of its "
                "values; %s",
                self.max_distance,
                far_factor(decay, self.max_distance),
                self.max_logit,
                100 * error,
                self._advice(decay),
            )
        return error

    def _advice(self, decay: HasTable) -> str:
        try:
            enough = cutoff_for(decay, self.tolerance, self.max_logit)
        except ConfigError as error:
            return str(error)
        return f"a cut-off of {enough} would keep it within {100 * self.tolerance:g} %"

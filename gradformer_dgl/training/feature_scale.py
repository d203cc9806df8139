"""Standardisation of numeric features: years, masses and coordinates on one scale."""

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.support.errors import RunError

ROUNDING = 1e-6
"""A deviation below this fraction of the mean is rounding, in float32."""


class FeatureScale(nn.Module):
    """Bring the columns of features to mean 0 and deviation 1.

    Parameters
    ----------
    mean, deviation : Tensor
        One value for each column.

    Raises
    ------
    RunError
        If they are no two vectors of the same size.

    Examples
    --------
    >>> scale = FeatureScale.of(torch.tensor([[1990.0, 0.0], [2010.0, 1.0]]))
    >>> scale(torch.tensor([[2020.0, 1.0]]))
    tensor([[2., 1.]])
    """

    mean: Float[Tensor, " columns"]
    deviation: Float[Tensor, " columns"]

    def __init__(self, mean: Float[Tensor, " columns"], deviation: Float[Tensor, " columns"]) -> None:
        super().__init__()
        if mean.ndim != 1 or mean.shape != deviation.shape:
            raise RunError("a scale of features is two vectors, the mean and the deviation of each column")
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    @classmethod
    def of(cls, features: Shaped[Tensor, "rows *columns"] | None) -> "FeatureScale | None":
        """Return the scale of these features, or None where there is nothing to scale.

        Columns of zeros and ones (categories) stay as they are, and so do those with values that are not
        finite. A column that is constant becomes 0.
        """
        if features is None or not features.is_floating_point() or features.ndim != 2 or not len(features):
            return None
        features = features.float()
        stays = ((features == 0) | (features == 1)).all(0)
        mean = features.mean(0)
        deviation = (features - mean).square().mean(0).sqrt()
        stays |= ~(mean.isfinite() & deviation.isfinite())
        if stays.all():
            return None
        # The mean of a constant is rounded, and what is left of it is noise.
        deviation = torch.where(stays | (deviation <= ROUNDING * mean.abs()), 1.0, deviation)
        return cls(torch.where(stays, 0.0, mean), deviation)

    def forward(self, features: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """Return the features on the common scale."""
        return (features - self.mean) / self.deviation


def feature_scales(
    graphs: PackedGraphs, chosen: Int64[Tensor, " chosen"]
) -> tuple[FeatureScale | None, FeatureScale | None]:
    """Return the scales of the features of nodes and of edges in some of the graphs."""
    are_chosen = torch.zeros(len(graphs), dtype=torch.bool)
    are_chosen[chosen] = True

    def scale(features: Tensor | None, counts: Tensor) -> FeatureScale | None:
        if features is None or not features.is_floating_point():
            return None
        return FeatureScale.of(features[are_chosen.repeat_interleave(counts)])

    return scale(graphs.node_features, graphs.node_counts), scale(graphs.edge_features, graphs.edge_counts)

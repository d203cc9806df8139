"""Network of a run: the model that its settings name, with the scales of features and targets."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from gradformer_dgl.data import GraphDataset, PackedGraphs
from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.models.base import GraphModel
from gradformer_dgl.models.registry import MODELS
from gradformer_dgl.nn.encoders import LinearEncoder
from gradformer_dgl.support.errors import GraphError, RunError
from gradformer_dgl.training.config import RunConfig

ROUNDING = 1e-6
"""A deviation below this fraction of the mean is rounding, in float32."""


def model_class(config: RunConfig) -> type[GraphModel]:
    """Return the class of the model that the settings name."""
    found: type[GraphModel] = MODELS.load(config.model)
    return found


def build_model(dataset: GraphDataset | DatasetInfo, config: RunConfig, **fitted: Any) -> GraphModel:
    """Return a freshly initialised model for a data set; ``fitted`` is what the model's ``fit`` has found."""
    changed = MODELS.part(config.model).traits.get("changed", {})
    return model_class(config).from_settings(dataset, config, **changed, **fitted)


class FeatureScale(nn.Module):
    """Bring the columns of features to mean 0 and deviation 1; both are given as vectors, (columns,)."""

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
        """Return the scale of features, (rows, columns), or None where there is nothing to scale.

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


class Network(nn.Module):
    """A model that takes features and gives outputs in their units, whatever scale it is trained on.

    Of ``targets`` of the training data, (items, outputs), the model learns ``(target - mean) / deviation``.
    The scales of features are left out where the model has no linear encoder for them.
    """

    target_mean: Tensor
    target_deviation: Tensor
    node_scale: FeatureScale | None
    edge_scale: FeatureScale | None

    def __init__(
        self,
        model: GraphModel,
        targets: Float[Tensor, "items outputs"] | None = None,
        precision: str = "fp32",
        node_scale: FeatureScale | None = None,
        edge_scale: FeatureScale | None = None,
    ) -> None:
        super().__init__()
        self.model, self.precision = model, precision
        self.node_scale = node_scale if isinstance(model.node_encoder, LinearEncoder) else None
        self.edge_scale = edge_scale if isinstance(model.edge_encoder, LinearEncoder) else None
        mean, deviation = torch.zeros(1), torch.ones(1)
        if targets is not None:
            given = torch.where(targets.isnan(), 0.0, targets)
            counts = (~targets.isnan()).sum(0).clamp(min=1)
            mean = given.sum(0) / counts
            deviation = (torch.where(targets.isnan(), 0.0, targets - mean).square().sum(0) / counts).sqrt()
            deviation = torch.where(deviation > 0, deviation, 1.0)
        self.register_buffer("target_mean", mean)
        self.register_buffer("target_deviation", deviation)

    def forward(self, batch: GraphBatch) -> Float[Tensor, "items outputs"]:
        """Return the model's outputs, float32 of shape (items, outputs), on the scale that the loss sees."""
        batch = self._scaled(batch)
        with torch.autocast(self.target_mean.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            outputs = self.model(batch)
        return outputs.float() if outputs.dtype == torch.bfloat16 else outputs

    def _scaled(self, batch: GraphBatch) -> GraphBatch:
        nodes, edges = batch.node_features, batch.edge_features
        if self.node_scale is not None and nodes is not None:
            batch = dataclasses.replace(batch, node_features=self.node_scale(nodes))
        if self.edge_scale is not None and edges is not None:
            batch = dataclasses.replace(batch, edge_features=self.edge_scale(edges))
        return batch

    def standardized(self, targets: Tensor) -> Tensor:
        """Bring targets, (items, outputs), to the scale of the model's outputs; classes, int64, stay."""
        if targets.dtype == torch.long:
            return targets
        return (targets - self.target_mean.to(targets.device)) / self.target_deviation.to(targets.device)

    def in_target_units(self, outputs: Tensor) -> Tensor:
        """Bring outputs of the model, (items, outputs), to the unit of the targets."""
        return outputs * self.target_deviation.to(outputs.device) + self.target_mean.to(outputs.device)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over saved weights with their scales; RunError where they are those of another model."""
        for name in ("target_mean", "target_deviation"):
            if name in tensors:
                if tensors[name].ndim != 1:
                    raise RunError(f"the saved weights do not fit the model of this run: {name} is no vector")
                self.register_buffer(name, tensors[name].to(self.target_mean.device))
        self.node_scale = self._saved_scale("node", tensors, self.model.node_encoder)
        self.edge_scale = self._saved_scale("edge", tensors, self.model.edge_encoder)
        try:
            self.load_state_dict(tensors)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise RunError(f"the saved weights do not fit the model of this run: {reason}") from None

    def _saved_scale(
        self, of: str, tensors: Mapping[str, Tensor], encoder: nn.Module | None
    ) -> FeatureScale | None:
        mean, deviation = (tensors.get(f"{of}_scale.{part}") for part in ("mean", "deviation"))
        if mean is None or deviation is None:
            return None
        columns = encoder.linear.in_features if isinstance(encoder, LinearEncoder) else None
        if mean.shape != (columns,) or deviation.shape != (columns,):
            raise RunError(f"the saved weights do not fit the model of this run: wrong columns in {of}_scale")
        return FeatureScale(mean, deviation).to(self.target_mean.device)


def restored_network(info: DatasetInfo, config: RunConfig, tensors: Mapping[str, Tensor]) -> Network:
    """Return the network of a run with its saved weights, ready to predict; RunError if of another model."""
    prefix = "model."
    of_model = {name.removeprefix(prefix): part for name, part in tensors.items() if name.startswith(prefix)}
    try:
        fitted = model_class(config).fitted(of_model)
    except GraphError as error:
        raise RunError(f"{error}: train the run again") from None
    network = Network(build_model(info, config, **fitted), precision=config.precision)
    network.load(dict(tensors))
    return network.eval()

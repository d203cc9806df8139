"""The model of a run: built from its settings and the facts of its data set."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.models.base import GraphModel
from gradformer_dgl.models.colour_weights import ColourWeights
from gradformer_dgl.models.gradformer import Gradformer
from gradformer_dgl.models.graphormer import Graphormer
from gradformer_dgl.nn.encoders import LinearEncoder
from gradformer_dgl.support.errors import GraphError, RunError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.feature_scale import FeatureScale
from gradformer_dgl.training.precision import autocast

BASELINES: dict[str, dict[str, Any]] = {
    "graphgps": {"decay": "none"},
    "transformer": {"decay": "none", "message_passing": None},
    "gin": {"attention": False, "message_passing": "gin"},
    "gcn": {"attention": False, "message_passing": "gcn"},
    "gatedgcn": {"attention": False, "message_passing": "gatedgcn"},
}
"""Baselines that differ from :class:`Gradformer` in these options alone."""


def build_model(
    dataset: GraphDataset | DatasetInfo,
    config: RunConfig,
    colours: Sequence[Int64[Tensor, " _"]] | None = None,
) -> GraphModel:
    """Return a freshly initialised model for a data set.

    All models have the same encoders, channels, layers, readout and head. Edge features are encoded where
    the model uses them.

    Parameters
    ----------
    dataset : GraphDataset or DatasetInfo
        What the model is for.
    config : RunConfig
        Settings.
    colours : sequence of Tensor, optional
        For every round of colour refinement the colours that have weights.
    """
    common: dict[str, Any] = {
        "out_size": dataset.out_size,
        "feat_size": config.feat_size,
        "num_layers": config.num_layers,
        "num_heads": config.num_heads,
        "node_encoder": dataset.node_encoder,
        "node_size": dataset.node_size,
        "encoding": None if config.encoding == "none" else config.encoding,
        "encoding_mode": config.encoding_mode,
        "encoding_feat_size": config.encoding_feat_size or None,
        "encoding_norm": config.encoding_norm,
        "colours": colours,
        "colour_drop": config.wl_drop,
        "colours_apart": config.wl_apart,
        "colour_share": config.wl_share,
        "colour_use": config.wl_use,
        "dropout": config.dropout,
        "attn_drop": config.attn_drop,
        "readout": None if dataset.level == "node" else config.readout,
        "head": config.head,
    }
    edges = {"edge_encoder": dataset.edge_encoder, "edge_size": dataset.edge_size}
    if config.model == "graphormer":
        return Graphormer(**common, **edges)
    options: dict[str, Any] = {
        "message_passing": None if config.message_passing == "none" else config.message_passing,
        "gamma": config.gamma,
        "hop": config.hop,
        "slope": config.slope,
        "learn_hop": config.learn_hop,
        "decay": config.decay,
        "distance_unit": config.distance_unit,
        "drop_path": config.drop_path,
    } | BASELINES.get(config.model, {})
    uses_edges = options["message_passing"] not in (None, "gin", "gcn")
    return Gradformer(**common, **options, **(edges if uses_edges else {}))


class Network(nn.Module):
    """A model that takes features and gives outputs in their units, whatever scale it is trained on.

    Parameters
    ----------
    model : GraphModel
        Gives outputs of shape (items, outputs).
    targets : Tensor, optional
        Targets of the training data, (items, outputs); where given, the model learns
        ``(target - mean) / deviation`` and predictions are scaled back.
    precision : str
        ``"fp32"``, ``"tf32"`` or ``"bf16"``. Outputs are float32 in all of them.
    node_scale, edge_scale : FeatureScale, optional
        What brings features of nodes and edges to the scale that the model sees; left out where it has no
        linear encoder for them.
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

    def forward(self, batch: GraphBatch, apart: bool = False) -> Tensor:
        """Return the model's outputs, on the scale that the loss sees.

        ``apart`` asks for those of each part of the model: shape (parts, items, outputs).
        """
        batch = self._scaled(batch)
        with autocast(self.precision, self.target_mean.device.type):
            outputs = torch.stack(self.model.parts(batch)) if apart else self.model(batch)
        return outputs.float() if outputs.dtype == torch.bfloat16 else outputs

    def _scaled(self, batch: GraphBatch) -> GraphBatch:
        nodes, edges = batch.node_features, batch.edge_features
        if self.node_scale is not None and nodes is not None:
            batch = dataclasses.replace(batch, node_features=self.node_scale(nodes))
        if self.edge_scale is not None and edges is not None:
            batch = dataclasses.replace(batch, edge_features=self.edge_scale(edges))
        return batch

    def standardized(self, targets: Tensor) -> Tensor:
        """Bring targets to the scale of the model's outputs."""
        if targets.dtype == torch.long:
            return targets
        return (targets - self.target_mean.to(targets.device)) / self.target_deviation.to(targets.device)

    def in_target_units(self, outputs: Tensor) -> Tensor:
        """Bring outputs of the model to the unit of the targets."""
        return outputs * self.target_deviation.to(outputs.device) + self.target_mean.to(outputs.device)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over saved weights, and the scales that they were trained with.

        Raises
        ------
        RunError
            Where they are those of another model.
        """
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


def restored_network(facts: DatasetInfo, config: RunConfig, tensors: Mapping[str, Tensor]) -> Network:
    """Return the network of a run with its saved weights, ready to predict.

    Parameters
    ----------
    facts : DatasetInfo
        Of the training data.
    config : RunConfig
        Settings of the run.
    tensors : mapping of str to Tensor
        The weights.

    Raises
    ------
    RunError
        Where the weights are those of another model.
    """
    try:
        part = "colour_embedding" if config.wl_use == "embedding" else "colour_head"
        colours = ColourWeights.known_in(tensors, f"model.{part}.")
    except GraphError as error:
        raise RunError(f"{error}: train the run again") from None
    network = Network(build_model(facts, config, colours), precision=config.precision)
    network.load(dict(tensors))
    return network.eval()

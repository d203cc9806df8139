"""Ensemble: several runs whose predictions are averaged."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.prediction.distances import DistanceNeeds
from gradformer_dgl.prediction.predictor import Predictor
from gradformer_dgl.support.errors import RunError


class Ensemble(Predictor):
    """Average the predictions of several runs, each with the same weight; they are named in messages."""

    def __init__(self, predictors: Mapping[str, Predictor]) -> None:
        (name, first), *others = predictors.items()
        for other_name, other in others:
            _require_alike(f"{name} and {other_name}", first, other)
        self.predictors = list(predictors.values())
        self.members, self.info = len(self.predictors), first.info
        uses_edges = any(one.fit.uses_edges for one in self.predictors)
        self.fit = dataclasses.replace(first.fit, uses_edges=uses_edges)

    def _outputs(
        self, attach: Callable[[DistanceNeeds], PackedGraphs]
    ) -> Float64[Tensor, "members items outputs"]:
        return torch.stack([predictor._outputs(attach).mean(0) for predictor in self.predictors])


def _require_alike(names: str, first: Predictor, other: Predictor) -> None:
    def features(predictor: Predictor) -> tuple[Any, ...]:
        info, fit = predictor.info, predictor.fit
        nodes = (info.node_kind, info.node_size, fit.node_key)
        return *nodes, info.edge_kind, info.edge_size, fit.edge_key, info.source

    pairs: dict[str, list[Any]] = {
        "tasks": [(one.info.task, one.info.level) for one in (first, other)],
        "outputs": [one.info.outputs for one in (first, other)],
        "features": [features(one) for one in (first, other)],
    }
    for what, (one, two) in pairs.items():
        if one != two:
            raise RunError(f"{names} cannot be averaged: their {what} differ")

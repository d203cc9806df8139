"""Objective of a task: the loss that is minimised, and the metrics that are reported."""

import dataclasses
import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor
from torch.nn import functional

from gradformer_dgl.support.errors import DataError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.metrics import Metric, load_metric


def class_weights(labels: Int64[Tensor, "items"], num_classes: int) -> Float[Tensor, "classes"]:
    """Weight of each class by the labels of a batch, (items,): ``(V - V_c) / V``, and 0 for an absent class.

    The weights of the CLUSTER and PATTERN benchmarks (Dwivedi et al., Benchmarking Graph Neural Networks).
    """
    counts = torch.bincount(labels, minlength=num_classes)
    return torch.where(counts > 0, (len(labels) - counts) / max(1, len(labels)), 0.0)


def weighted_cross_entropy(
    logits: Float[Tensor, "items classes"],
    labels: Int64[Tensor, "items"],
    batch: Int64[Tensor, "batch_items"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy with the weights of :func:`class_weights`, averaged by weight."""
    batch = labels if batch is None else batch
    weights = class_weights(batch, logits.shape[1])
    # Where all labels are of one class every weight is 0, and the loss with them.
    whole = weights[batch].sum().to(logits) if weights.any() else 1.0
    return functional.cross_entropy(logits, labels, weight=weights.to(logits), reduction="sum") / whole


# Each loss takes (items, outputs) and its targets; ``batch`` has the targets of all ranks.
def _cross_entropy(logits: Tensor, labels: Tensor, batch: Tensor | None = None) -> Tensor:
    items = len(labels if batch is None else batch)
    return functional.cross_entropy(logits, labels, reduction="sum") / max(1, items)


def _mean_over_given(
    error: Callable[..., Tensor], outputs: Tensor, targets: Tensor, batch: Tensor | None = None
) -> Tensor:
    """Return the mean of an error, (), over the targets that are given (not NaN)."""
    given, whole = ~targets.isnan(), targets if batch is None else batch
    return error(outputs[given], targets[given], reduction="sum") / max(1, int((~whole.isnan()).sum()))


_absolute_error_loss = functools.partial(_mean_over_given, functional.l1_loss)
_binary_loss = functools.partial(_mean_over_given, functional.binary_cross_entropy_with_logits)


@dataclasses.dataclass(frozen=True)
class Objective:
    """Loss that is minimised, metric that selects the best epoch, and further metrics that are reported.

    The loss takes (items, outputs), targets as :func:`as_targets` gives them and, where these are a part of a
    batch, the targets of all of it: the losses of all parts then sum to that of the batch. ``name`` and the
    keys of ``also`` are the names of the metrics in results.
    """

    name: str
    loss: Callable[..., Tensor]
    metric: Metric
    also: Mapping[str, Metric] = dataclasses.field(default_factory=dict)

    @property
    def unit(self) -> str:
        """Unit of the metric."""
        return self.metric.unit

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return self.metric.higher_is_better

    def report(
        self, outputs: Float[Tensor, "items outputs"], targets: Shaped[Tensor, "items *outputs"]
    ) -> float:
        """Return the metric in its unit."""
        return self.metric.report(outputs, targets)

    def report_also(
        self, outputs: Float[Tensor, "items outputs"], targets: Shaped[Tensor, "items *outputs"]
    ) -> dict[str, float]:
        """Return the further metrics, each in its unit."""
        return {name: metric.report(outputs, targets) for name, metric in self.also.items()}

    def summary(self, scores: Sequence[float], also: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """Return mean and sample standard deviation of the scores, and further scores, of several seeds."""
        return {
            "metric": self.name,
            "unit": self.unit,
            **_mean_and_deviation(scores),
            "also": {name: _mean_and_deviation([one[name] for one in also]) for name in also[0]},
        }


def _mean_and_deviation(scores: Sequence[float]) -> dict[str, float]:
    if not all(map(math.isfinite, scores)):
        # The module statistics cannot compute with them.
        return {"mean": sum(scores) / len(scores), "std": math.nan}
    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return {"mean": statistics.fmean(scores), "std": deviation}


_USUAL: dict[tuple[str, bool], tuple[Callable[..., Tensor], dict[str, str]]] = {
    ("multiclass", False): (
        _cross_entropy,
        {"accuracy": "accuracy", "class_averaged_accuracy": "class_averaged_accuracy"},
    ),
    ("multiclass", True): (
        weighted_cross_entropy,
        {"accuracy": "class_averaged_accuracy", "plain_accuracy": "accuracy"},
    ),
    ("binary", False): (_binary_loss, {"roc_auc": "roc_auc"}),
    ("multilabel", False): (_binary_loss, {"roc_auc": "roc_auc"}),
    ("regression", False): (_absolute_error_loss, {"mae": "mae"}),
}
"""Loss of a task, without and with class weights, and its usual metrics: names in results, and in METRICS."""


def objective_for(task: str, weighted: bool = False, metric: str = "auto") -> Objective:
    """Return loss and metrics of a task, with the metric that selects the best epoch.

    ``"auto"`` takes the usual metric of the task; with class weights that is the class-averaged accuracy,
    under the name ``accuracy``.
    """
    if (task, weighted) not in _USUAL:
        raise DataError(f"no {'class-weighted ' if weighted else ''}objective for a {task} task")
    loss, usual = _USUAL[task, weighted]
    if metric == "auto":
        first, *others = ((name, load_metric(code, task)) for name, code in usual.items())
        return Objective(first[0], loss, first[1], dict(others))
    chosen = load_metric(metric, task)
    also = {name: load_metric(name, task) for name in usual.values() if name != chosen.name}
    return Objective(chosen.name, loss, chosen, also)


def objective_of(task: str, config: RunConfig) -> Objective:
    """Return loss and metrics of a task with the settings of a run."""
    return objective_for(task, config.class_weights, getattr(config, "metric", "auto"))


def as_targets(labels: Tensor, task: str) -> Tensor:
    """Return labels as losses take them: (items,) int64 for classes, else (items, outputs) float32."""
    if task == "multiclass":
        return labels.long().reshape(-1)
    return labels.float().reshape(len(labels), math.prod(labels.shape[1:]))

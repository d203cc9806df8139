"""What is minimised and what is reported for each kind of task."""

import dataclasses
import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from gradformer_dgl.support.errors import DataError


def class_weights(labels: Int64[Tensor, "items"], num_classes: int) -> Float[Tensor, "classes"]:
    """Weight of each class of a batch, ``(V - V_c) / V``, and 0 for a class that does not occur.

    The weights of the CLUSTER and PATTERN benchmarks (Dwivedi et al., Benchmarking Graph Neural Networks).

    Examples
    --------
    >>> import torch
    >>> from gradformer_dgl.training.objectives import class_weights
    >>> class_weights(torch.tensor([0, 0, 0, 1]), 3)
    tensor([0.2500, 0.7500, 0.0000])
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
    # Where all labels are of one class every weight is 0, and so is what there is to learn.
    whole = weights[batch].sum().to(logits) if weights.any() else 1.0
    return functional.cross_entropy(logits, labels, weight=weights.to(logits), reduction="sum") / whole


def class_averaged_accuracy(
    logits: Float[Tensor, "items classes"], labels: Int64[Tensor, "items"]
) -> Float[Tensor, ""]:
    """Mean over the classes that occur of the share of their items that are found, in [0, 1]."""
    hits = (logits.argmax(1) == labels).double()
    counts = torch.bincount(labels, minlength=logits.shape[1])
    found = torch.bincount(labels, weights=hits, minlength=logits.shape[1])
    return (found[counts > 0] / counts[counts > 0]).mean()


def accuracy(logits: Float[Tensor, "items classes"], labels: Int64[Tensor, "items"]) -> Float[Tensor, ""]:
    """Share of items whose largest logit is at their label, in [0, 1]."""
    return (logits.argmax(1) == labels).double().mean()


def mean_absolute_error(
    outputs: Float[Tensor, "items outputs"], targets: Float[Tensor, "items outputs"]
) -> Float[Tensor, ""]:
    """Mean of the absolute differences over the targets that are given (not NaN), in the target's unit."""
    given = ~targets.isnan()
    return (outputs[given].double() - targets[given].double()).abs().mean()


def roc_auc(
    logits: Float[Tensor, "items outputs"], labels: Float[Tensor, "items outputs"]
) -> Float[Tensor, ""]:
    """Area under the ROC curve, averaged over the outputs that have both classes, in [0, 1].

    NaN where no output has both, or a logit that counts is NaN.
    """
    from torchmetrics.functional.classification import binary_auroc

    areas = []
    for column in range(logits.shape[1]):
        given = ~labels[:, column].isnan()
        truth = labels[given, column].long()
        if logits[given, column].isnan().any():
            return torch.tensor(torch.nan)
        if 0 < truth.sum() < len(truth):
            # Ranks instead of logits: a sigmoid in float32 would merge the surest predictions.
            ranks = torch.unique(logits[given, column], return_inverse=True)[1].double()
            areas.append(binary_auroc(ranks / max(1.0, float(ranks.max())), truth))
    return torch.stack(areas).mean() if areas else torch.tensor(torch.nan)


def _cross_entropy(logits: Tensor, labels: Tensor, batch: Tensor | None = None) -> Tensor:
    items = len(labels if batch is None else batch)
    return functional.cross_entropy(logits, labels, reduction="sum") / max(1, items)


def _given(targets: Tensor) -> int:
    return max(1, int((~targets.isnan()).sum()))


def _absolute_error_loss(outputs: Tensor, targets: Tensor, batch: Tensor | None = None) -> Tensor:
    given = ~targets.isnan()
    errors = functional.l1_loss(outputs[given], targets[given], reduction="sum")
    return errors / _given(targets if batch is None else batch)


def _binary_loss(logits: Tensor, labels: Tensor, batch: Tensor | None = None) -> Tensor:
    given = ~labels.isnan()
    errors = functional.binary_cross_entropy_with_logits(logits[given], labels[given], reduction="sum")
    return errors / _given(labels if batch is None else batch)


@dataclasses.dataclass(frozen=True)
class Objective:
    """Loss, reported metric, its unit, and whether more of it is better, for one kind of task.

    The loss is a mean over the items of a batch. It takes outputs, targets and, where these are a part of the
    batch, the targets of all of it: the losses of all parts then sum to that of the batch. The metrics of
    ``also`` are reported besides, by name, in the same unit; they select nothing.
    """

    name: str
    unit: str
    higher_is_better: bool
    loss: Callable[..., Tensor]
    metric: Callable[[Tensor, Tensor], Tensor]
    also: dict[str, Callable[[Tensor, Tensor], Tensor]] = dataclasses.field(default_factory=dict)

    def report(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the metric in its unit."""
        return self._in_unit(self.metric(outputs, targets))

    def report_also(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Return the further metrics, which select nothing, in the same unit."""
        return {name: self._in_unit(metric(outputs, targets)) for name, metric in self.also.items()}

    def _in_unit(self, value: Tensor) -> float:
        return 100 * value.item() if self.unit == "%" else value.item()

    def better(self, one: float, other: float) -> bool:
        """Whether one value of the metric beats another."""
        return one > other if self.higher_is_better else one < other


_OBJECTIVES: dict[tuple[str, bool], Objective] = {
    ("multiclass", False): Objective(
        "accuracy", "%", True, _cross_entropy, accuracy, {"class_averaged_accuracy": class_averaged_accuracy}
    ),
    ("multiclass", True): Objective(
        "accuracy", "%", True, weighted_cross_entropy, class_averaged_accuracy, {"plain_accuracy": accuracy}
    ),
    ("binary", False): Objective("roc_auc", "", True, _binary_loss, roc_auc),
    ("multilabel", False): Objective("roc_auc", "", True, _binary_loss, roc_auc),
    ("regression", False): Objective("mae", "", False, _absolute_error_loss, mean_absolute_error),
}


def objective_for(task: str, weighted: bool = False) -> Objective:
    """Loss and metric of a task: multiclass, binary, multilabel or regression.

    Parameters
    ----------
    task : str
        Kind of task.
    weighted : bool
        Weight the classes by their rarity and report class-averaged accuracy; for multiclass tasks.

    Raises
    ------
    DataError
        For a task that is not known, or that has no classes to weight.
    """
    if (task, weighted) not in _OBJECTIVES:
        raise DataError(f"no {'class-weighted ' if weighted else ''}objective for a {task} task")
    return _OBJECTIVES[task, weighted]


def as_targets(labels: Tensor, task: str) -> Tensor:
    """Labels in the shape that the losses take: (items,) int64 for classes, else (items, outputs) float32."""
    if task == "multiclass":
        return labels.long().reshape(-1)
    return labels.float().reshape(len(labels), math.prod(labels.shape[1:]))

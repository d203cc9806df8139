"""Metrics: scores of outputs, of which one selects the best epoch and is reported first."""

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.registry import METRICS

Outputs = Float[Tensor, "items outputs"]
Classes = Int64[Tensor, "items"]
Targets = Float[Tensor, "items outputs"]
Scalar = Float[Tensor, ""]

CLASSES, LABELS, VALUES = ("multiclass",), ("binary", "multilabel"), ("regression",)


class Metric:
    """Base of metrics.

    Attributes
    ----------
    name : str
        Name in results and in the records of the epochs, as ``val_NAME``.
    unit : str
        ``"%"`` for a fraction that is reported in percent, else ``""``.
    higher_is_better : bool
        Direction.
    tasks : tuple of str
        Among ``"multiclass"``, ``"binary"``, ``"multilabel"`` and ``"regression"``.

    Examples
    --------
    >>> import torch
    >>> class Bias(Metric):
    ...     name, tasks, higher_is_better = "bias", ("regression",), False
    ...     def __call__(self, outputs, targets):
    ...         return (outputs - targets).nanmean().abs()
    >>> Bias().report(torch.tensor([[2.0], [5.0]]), torch.tensor([[1.0], [torch.nan]]))
    1.0
    """

    name: ClassVar[str] = ""
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = ()

    def __call__(self, outputs: Outputs, targets: Classes | Targets) -> Scalar:
        """Compute the metric.

        Parameters
        ----------
        outputs : Tensor
            Shape (items, outputs): logits, or values in the unit of the targets.
        targets : Tensor
            Classes of shape (items,), int64; or shape (items, outputs), float32, NaN where one is missing.
        """
        raise NotImplementedError

    def report(self, outputs: Outputs, targets: Classes | Targets) -> float:
        """Return the metric in its unit; NaN where a class is to be chosen by outputs that are NaN."""
        if not targets.is_floating_point() and bool(outputs.isnan().any()):
            return math.nan
        return float(self(outputs, targets)) * (100 if self.unit == "%" else 1)


class Accuracy(Metric):
    """Fraction of the items whose largest logit is at their class."""

    name, unit, tasks = "accuracy", "%", CLASSES

    def __call__(self, outputs: Outputs, targets: Classes) -> Scalar:
        return (outputs.argmax(1) == targets).double().mean()


class ClassAveragedAccuracy(Metric):
    """Recall averaged over the classes that occur (balanced accuracy)."""

    name, unit, tasks = "class_averaged_accuracy", "%", CLASSES

    def __call__(self, outputs: Outputs, targets: Classes) -> Scalar:
        hits = (outputs.argmax(1) == targets).double()
        counts = torch.bincount(targets, minlength=outputs.shape[1])
        found = torch.bincount(targets, weights=hits, minlength=outputs.shape[1])
        return (found[counts > 0] / counts[counts > 0]).mean()


class MacroF1(Metric):
    """F1 score averaged over the classes that occur or are predicted."""

    name, unit, tasks = "macro_f1", "%", CLASSES

    def __call__(self, outputs: Outputs, targets: Classes) -> Scalar:
        from torchmetrics.functional.classification import multiclass_f1_score

        return multiclass_f1_score(outputs, targets, num_classes=outputs.shape[1], average="macro")


class ROCAUC(Metric):
    """Area under the ROC curve, averaged over the outputs that have both classes.

    NaN where no output has both, or a logit that counts is NaN.
    """

    name, tasks = "roc_auc", LABELS

    def __call__(self, outputs: Outputs, targets: Targets) -> Scalar:
        from torchmetrics.functional.classification import binary_auroc

        return _mean_over_outputs(binary_auroc, outputs, targets)


class AveragePrecision(Metric):
    """Average precision (area under the precision-recall curve), averaged as :class:`ROCAUC`."""

    name, tasks = "average_precision", LABELS

    def __call__(self, outputs: Outputs, targets: Targets) -> Scalar:
        from torchmetrics.functional.classification import binary_average_precision

        return _mean_over_outputs(binary_average_precision, outputs, targets)


class MAE(Metric):
    """Mean absolute error over the targets that are given (not NaN)."""

    name, tasks, higher_is_better = "mae", VALUES, False

    def __call__(self, outputs: Outputs, targets: Targets) -> Scalar:
        given = ~targets.isnan()
        return (outputs[given].double() - targets[given].double()).abs().mean()


class RMSE(Metric):
    """Root mean squared error over the targets that are given (not NaN)."""

    name, tasks, higher_is_better = "rmse", VALUES, False

    def __call__(self, outputs: Outputs, targets: Targets) -> Scalar:
        given = ~targets.isnan()
        return (outputs[given].double() - targets[given].double()).square().mean().sqrt()


def load_metric(name: str, task: str) -> Metric:
    """Return a metric for a task by a name in :data:`METRICS`, but ``"auto"``, or by ``module:Class``."""
    kind = METRICS.load(name)
    if not (isinstance(kind, type) and issubclass(kind, Metric) and kind.name.isidentifier()):
        raise ConfigError(f"{name} is no metric: derive a class with a name from {__name__}.Metric")
    if task not in kind.tasks:
        raise ConfigError(f"the metric {kind.name} is for {' and '.join(kind.tasks)} tasks, not for {task}")
    return kind()


def _mean_over_outputs(
    metric: Callable[[Tensor, Tensor], Tensor], logits: Outputs, labels: Targets
) -> Scalar:
    values = []
    for column in range(logits.shape[1]):
        given = ~labels[:, column].isnan()
        truth = labels[given, column].long()
        if logits[given, column].isnan().any():
            return torch.tensor(torch.nan)
        if 0 < truth.sum() < len(truth):
            # Ranks instead of logits: a sigmoid in float32 would merge the surest predictions.
            ranks = torch.unique(logits[given, column], return_inverse=True)[1].double()
            values.append(metric(ranks / max(1.0, float(ranks.max())), truth))
    return torch.stack(values).mean() if values else torch.tensor(torch.nan)

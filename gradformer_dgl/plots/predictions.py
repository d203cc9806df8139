"""Predictions of the test data: the picture that suits the task."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from gradformer_dgl.plots.confusion import confusion_counts, draw_confusion
from gradformer_dgl.plots.plotted_run import PlottedRun
from gradformer_dgl.plots.regression import draw_errors, draw_scatter
from gradformer_dgl.plots.roc import draw_roc
from gradformer_dgl.plots.style import WIDTH, panels, styled
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.trained_run import SeedOutputs

MOST_TARGETS = 6


def draw_predictions(run: PlottedRun) -> Any:
    """Draw the predictions of a run for its test data; see :func:`predictions_figure`."""
    return predictions_figure(run.tests, run.dataset.task, run.info.outputs)


def predictions_figure(tests: Sequence[SeedOutputs], task: str, names: Sequence[str]) -> Any:
    """Draw the predictions of a run for its test data; the seeds count together.

    A regression gets predicted against true values and the errors, a task of two classes a ROC curve and a
    confusion matrix, one of more classes the matrix, a multi-label task a ROC curve for each of the first six
    targets.
    """
    with styled():
        if task == "regression":
            return _regression(tests, names)
        if task == "multilabel":
            return _targets(tests, names)
        if task == "binary" or len(names) == 2:
            return _two_classes(tests, task, names)
        return _classes(tests, names)


def _regression(tests: Sequence[SeedOutputs], names: Sequence[str]) -> Any:
    shown = range(min(len(names), MOST_TARGETS // 2))
    figure, axes = panels(2 * len(shown), 2, 3.1)
    for column, (scatter, histogram) in zip(shown, zip(axes[::2], axes[1::2], strict=True), strict=True):
        pairs = [_given(one, column) for one in tests]
        true = np.concatenate([true for true, _ in pairs])
        predicted = np.concatenate([predicted for _, predicted in pairs])
        if not len(true):
            raise RunError(f"the test data have no values of {names[column]}")
        draw_scatter(scatter, true, predicted, _title(names[column], tests))
        means = [np.abs(predicted - true).mean() for true, predicted in pairs if len(true)]
        draw_errors(histogram, predicted - true, float(np.mean(means)))
    return figure


def _targets(tests: Sequence[SeedOutputs], names: Sequence[str]) -> Any:
    shown = min(len(names), MOST_TARGETS)
    figure, axes = panels(shown, 3 if shown > 4 else 2, 2.6 if shown > 4 else 3.4)
    for column, place in enumerate(axes):
        draw_roc(place, [_labelled(one, column) for one in tests], str(names[column]))
    more = "" if shown == len(names) else f", {shown} of {len(names)} targets"
    figure.suptitle(f"Test data{more}", fontsize=10)
    return figure


def _two_classes(tests: Sequence[SeedOutputs], task: str, names: Sequence[str]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    if task == "binary":
        seeds, classes = [_labelled(one, 0) for one in tests], ("0", "1")
        title = str(names[0])
    else:
        seeds, classes = [_margins(one) for one in tests], (str(names[0]), str(names[1]))
        title = f"Class {names[1]}"
    draw_roc(left, seeds, title)
    true = np.concatenate([positive for _, positive in seeds]).astype(np.int64)
    predicted = np.concatenate([scores > 0 for scores, _ in seeds]).astype(np.int64)
    draw_confusion(right, confusion_counts(true, predicted, 2), classes, _title("Test data", tests))
    return figure


def _classes(tests: Sequence[SeedOutputs], names: Sequence[str]) -> Any:
    from matplotlib.figure import Figure

    true = np.concatenate([one.targets.numpy() for one in tests])
    predicted = np.concatenate([one.outputs.argmax(1).numpy() for one in tests])
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    counts = confusion_counts(true, predicted, len(names))
    draw_confusion(figure.subplots(), counts, [str(name) for name in names], _title("Test data", tests))
    return figure


def _title(name: str, tests: Sequence[SeedOutputs]) -> str:
    return str(name) if len(tests) == 1 else f"{name}, {len(tests)} seeds together"


def _given(test: SeedOutputs, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and outputs of a column, (items,) each, where there is a target."""
    true, predicted = (part[:, column].double().numpy() for part in (test.targets, test.outputs))
    return true[~np.isnan(true)], predicted[~np.isnan(true)]


def _labelled(test: SeedOutputs, column: int) -> tuple[Float[np.ndarray, "items"], Bool[np.ndarray, "items"]]:
    true, scores = _given(test, column)
    return scores, true > 0.5


def _margins(test: SeedOutputs) -> tuple[Float[np.ndarray, "items"], Bool[np.ndarray, "items"]]:
    """Return the logit of the second class minus that of the first, and the targets, (items,) where given."""
    known = test.targets.numpy() >= 0
    logits = test.outputs.double().numpy()[known]
    return logits[:, 1] - logits[:, 0], test.targets.numpy()[known] == 1

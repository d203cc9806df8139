"""Pictures of the test data: the numbers beside those of `evaluate` and of NumPy."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torchmetrics.functional.classification import binary_auroc

from gradformer_dgl.plots.confusion import confusion_counts, draw_confusion
from gradformer_dgl.plots.predictions import predictions_figure
from gradformer_dgl.training.evaluate import evaluate_runs
from gradformer_dgl.training.objectives import objective_for
from gradformer_dgl.training.trained_run import SeedOutputs


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_counts_of_the_confusion_matrix():
    generator = np.random.default_rng(0)
    true, predicted = generator.integers(-1, 5, 311), generator.integers(0, 5, 311)
    counts = confusion_counts(true, predicted, 5)
    for row in range(5):
        for column in range(5):
            assert counts[row, column] == np.sum((true == row) & (predicted == column))
    axes = Figure().subplots()
    draw_confusion(axes, counts, ["a", "b", "c", "d", "a name of many letters"], "anything")
    shares = counts / counts.sum(1)[:, None]
    assert np.allclose(axes.images[0].get_array(), shares)
    assert texts(axes) == [
        f"{count}\n{100 * share:.0f} %" for count, share in zip(counts.flat, shares.flat, strict=True)
    ]
    assert axes.get_yticklabels()[4].get_text() == "a name of man…"


def test_a_class_that_does_not_occur_has_no_share():
    axes = Figure().subplots()
    draw_confusion(axes, np.array([[3, 1], [0, 0]]), ["a", "b"], "anything")
    assert texts(axes) == ["3\n75 %", "1\n25 %", "0\n0 %", "0\n0 %"]


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        ("two_values", {}),
        ("yes_or_no", {"model": "gin"}),
        ("three_classes", {"model": "graphormer"}),
        ("several", {"wl_rounds": 2, "encoding": "rwse:3"}),
        ("nodes", {}),
    ],
)
def test_outputs_are_those_that_are_scored(opened, data, settings):
    run = opened(data, **settings)
    objective = objective_for(run.dataset.task)
    scored = evaluate_runs(run)
    assert [one.seed for one in run.tests] == [0, 1]
    for one, expected in zip(run.tests, scored["runs"], strict=True):
        assert objective.report(one.outputs, one.targets) == pytest.approx(expected["score"], rel=1e-5)


def test_two_classes_get_a_curve_and_a_matrix():
    logits = torch.tensor([[0.3, 1.0], [2.0, -1.0], [0.1, 0.2], [0.9, 0.8], [5.0, 5.5]])
    targets = torch.tensor([1, 0, 0, 1, -1])
    figure = predictions_figure([SeedOutputs(3, logits, targets)], "multiclass", ("no", "yes"))
    curve, matrix = figure.axes[:2]
    area = binary_auroc(torch.tensor([0.7, 0.1, 0.2, 0.15]), torch.tensor([1, 0, 0, 1])).item()
    assert curve.get_legend().get_texts()[1].get_text() == f"area {area:.3f}"
    assert [text.splitlines()[0] for text in texts(matrix)] == ["1", "1", "1", "1"]
    assert [label.get_text() for label in matrix.get_xticklabels()] == ["no", "yes"]


def test_a_binary_task_has_its_threshold_at_one_half():
    outputs = torch.tensor([[2.0], [-0.1], [0.1], [-3.0], [9.0]])
    targets = torch.tensor([[1.0], [1.0], [0.0], [0.0], [torch.nan]])
    figure = predictions_figure([SeedOutputs(0, outputs, targets)] * 2, "binary", ("active",))
    assert [text.splitlines()[0] for text in texts(figure.axes[1])] == ["2", "2", "2", "2"]
    assert figure.axes[0].get_title() == "active"


def test_values_and_errors_of_a_regression():
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(40, 5, generator=generator)
    targets[::3, 1] = torch.nan
    outputs = targets.nan_to_num() + torch.rand(40, 5, generator=generator)
    figure = predictions_figure([SeedOutputs(0, outputs, targets)], "regression", tuple("abcde"))
    assert len(figure.axes) == 6
    scatter, histogram = figure.axes[2:4]
    given = ~targets[:, 1].isnan()
    assert np.allclose(scatter.collections[0].get_offsets(), torch.stack([targets, outputs])[:, given, 1].T)
    errors = (outputs - targets)[given, 1]
    assert histogram.get_title() == f"Mean absolute error {errors.double().abs().mean():.4g}"
    assert sum(bar.get_height() for bar in histogram.patches) == len(errors)


def test_the_first_of_many_targets():
    outputs, targets = torch.rand(30, 9), (torch.rand(30, 9) > 0.5).float()
    names = tuple(f"target {number}" for number in range(9))
    figure = predictions_figure([SeedOutputs(0, outputs, targets)], "multilabel", names)
    assert [axes.get_title() for axes in figure.axes] == list(names[:6])
    assert "6 of 9 targets" in figure.get_suptitle()

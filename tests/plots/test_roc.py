"""The ROC curve beside that of torchmetrics."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torchmetrics.functional.classification import binary_auroc, binary_roc

from gradformer_dgl.plots.roc import area_under, draw_roc, roc_curve


def sample(seed: int, items: int, ties: bool):
    generator = np.random.default_rng(seed)
    positive = generator.random(items) < 0.3
    positive[:2] = True, False
    scores = generator.normal(size=items) + positive
    return np.round(scores) if ties else scores, positive


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("items", [2, 7, 211])
def test_curve_and_area_are_those_of_torchmetrics(items, ties):
    for seed in range(5):
        scores, positive = sample(seed, items, ties)
        false, true = roc_curve(scores, positive)
        # Ranks, for torchmetrics takes the sigmoid of what is outside of [0, 1].
        ranks = np.unique(scores, return_inverse=True)[1] / 1000
        expected = binary_roc(torch.from_numpy(ranks), torch.from_numpy(positive).long())
        assert np.allclose(false, expected[0].numpy(), atol=1e-6)
        assert np.allclose(true, expected[1].numpy(), atol=1e-6)
        area = binary_auroc(torch.from_numpy(ranks), torch.from_numpy(positive).long()).item()
        assert area_under(false, true) == pytest.approx(area, abs=1e-6)


def test_the_mean_curve_of_several_seeds_and_their_areas():
    axes = Figure().subplots()
    seeds = [sample(seed, 53, False) for seed in range(4)]
    alone = sample(9, 5, False)[0], np.ones(5, bool)
    draw_roc(axes, [*seeds, alone], "anything")
    areas = [area_under(*roc_curve(*one)) for one in seeds]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[1] == "each of 4 seeds"
    assert labels[2] == f"mean, area {np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f}"
    guessing, *each, mean = axes.get_lines()
    assert len(each) == 4
    assert guessing.get_linestyle() != mean.get_linestyle() != each[0].get_linestyle()
    x, y = mean.get_data()
    assert area_under(x, y) == pytest.approx(np.mean(areas), abs=0.02)


def test_one_class_alone_has_no_curve():
    axes = Figure().subplots()
    draw_roc(axes, [(np.array([0.1, 0.2]), np.array([True, True]))], "anything")
    assert [text.get_text() for text in axes.texts] == ["one class alone\nin the test data"]
    assert len(axes.get_lines()) == 1

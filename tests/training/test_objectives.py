import pytest
import torch

from gradformer_dgl.support.errors import DataError
from gradformer_dgl.training.metrics import MAE, ROCAUC, Accuracy, ClassAveragedAccuracy
from gradformer_dgl.training.objectives import (
    as_targets,
    class_weights,
    objective_for,
    weighted_cross_entropy,
)


@pytest.mark.parametrize("case", ["wce", "wce2"])
def test_weighted_cross_entropy_is_the_published_one(golden, case):
    logits = torch.tensor(golden[f"loss/{case}/logits"])
    value = weighted_cross_entropy(logits, torch.tensor(golden[f"loss/{case}/target"]).long())
    torch.testing.assert_close(value, torch.tensor(golden[f"loss/{case}/value"]), check_dtype=False)


def test_gradient_of_weighted_cross_entropy_is_the_published_one(golden):
    logits = torch.tensor(golden["loss/wce/logits"], requires_grad=True)
    weighted_cross_entropy(logits, torch.tensor(golden["loss/wce/target"]).long()).backward()
    torch.testing.assert_close(logits.grad, torch.tensor(golden["loss/wce/grad"]), check_dtype=False)
    assert logits.grad.abs().sum() > 0


def test_class_averaged_accuracy_is_the_published_one(golden):
    value = ClassAveragedAccuracy()(
        torch.tensor(golden["loss/acc_sbm/logits"]), torch.tensor(golden["loss/acc_sbm/target"]).long()
    )
    expected = float(golden["loss/acc_sbm/value"])
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_weights_of_a_batch_with_one_class_leave_nothing_to_learn():
    logits = torch.randn(5, 3, requires_grad=True)
    loss = weighted_cross_entropy(logits, torch.full((5,), 2))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()
    assert class_weights(torch.full((5,), 2), 3).tolist() == [0, 0, 0]


def test_weights_of_the_classes_of_a_batch():
    assert class_weights(torch.tensor([0, 0, 0, 1]), 3).tolist() == [0.25, 0.75, 0.0]


def test_accuracy_counts_hits():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [0.0, 2.0]])
    assert Accuracy()(logits, torch.tensor([0, 1, 1, 1])).item() == 0.75
    assert objective_for("multiclass").report(logits, torch.tensor([0, 1, 1, 1])) == 75.0


@pytest.mark.parametrize(("weighted", "also"), [(False, "class_averaged_accuracy"), (True, "plain_accuracy")])
def test_each_accuracy_comes_with_the_other(weighted, also):
    logits, labels = (
        torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [0.0, 2.0]]),
        torch.tensor([0, 1, 1, 1]),
    )
    objective, other = objective_for("multiclass", weighted), objective_for("multiclass", not weighted)
    assert objective.report_also(logits, labels) == {also: other.report(logits, labels)}
    assert {objective.report(logits, labels), other.report(logits, labels)} == {75.0, 250 / 3}
    assert objective_for("regression").report_also(logits, logits) == {}


def test_errors_skip_missing_targets():
    outputs = torch.tensor([[1.0, 5.0], [2.0, 7.0]])
    targets = torch.tensor([[0.0, torch.nan], [4.0, 8.0]])
    assert MAE()(outputs, targets).item() == pytest.approx((1 + 2 + 1) / 3)
    loss = objective_for("regression").loss(outputs.requires_grad_(), targets)
    loss.backward()
    assert loss.item() == pytest.approx(4 / 3)
    assert outputs.grad[0, 1] == 0


def test_roc_auc_is_the_share_of_ordered_pairs():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(61, 2, generator=generator).round(decimals=1)
    labels = (torch.rand(61, 2, generator=generator) < 0.3).float()
    labels[::7, 1] = torch.nan
    expected = []
    for column in range(2):
        positive = logits[labels[:, column] == 1, column][:, None]
        negative = logits[labels[:, column] == 0, column][None, :]
        expected.append(((positive > negative).double() + 0.5 * (positive == negative)).mean())
    assert ROCAUC()(logits, labels).item() == pytest.approx(torch.stack(expected).mean().item(), abs=1e-6)


def test_roc_auc_of_what_is_not_a_number_is_none():
    logits = torch.tensor([[0.1, 0.2], [torch.nan, 0.3], [0.4, torch.nan]])
    labels = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, torch.nan]])
    assert ROCAUC()(logits, labels).isnan()
    # A missing label does not count, whatever the logit is.
    assert ROCAUC()(logits[:, 1:], labels[:, 1:]).item() == 1.0


def test_roc_auc_keeps_very_sure_predictions_apart():
    logits = torch.tensor([[60.0], [80.0], [70.0], [90.0]])
    assert ROCAUC()(logits, torch.tensor([[0.0], [1.0], [0.0], [1.0]])).item() == 1.0


def test_binary_loss_skips_missing_labels():
    logits = torch.tensor([[0.3], [-1.2], [2.0]], requires_grad=True)
    labels = torch.tensor([[1.0], [torch.nan], [0.0]])
    loss = objective_for("multilabel").loss(logits, labels)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[[0, 2]], labels[[0, 2]])
    torch.testing.assert_close(loss, expected)


def test_labels_take_the_shape_of_the_loss():
    assert as_targets(torch.tensor([[1], [0]]), "multiclass").tolist() == [1, 0]
    assert as_targets(torch.tensor([1.0, 0.5]), "regression").shape == (2, 1)


def test_unknown_objective_is_named():
    with pytest.raises(DataError, match="no objective for a ranking task"):
        objective_for("ranking")
    with pytest.raises(DataError, match="no class-weighted objective for a regression task"):
        objective_for("regression", weighted=True)

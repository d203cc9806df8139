"""Numeric features on one scale, whatever their unit."""

import dataclasses

import numpy as np
import pytest
import torch
from rank_scenarios import COMMON, made_dataset, trainer_of

from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.checkpoint import load_checkpoint, save_checkpoint
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.network import FeatureScale
from gradformer_dgl.training.seed_files import CHECKPOINT
from gradformer_dgl.training.tensor_files import load_tensors, save_tensors

CONFIG = RunConfig(**COMMON, message_passing="gine")


def with_features(dataset, nodes, edges):
    graphs = dataclasses.replace(dataset.graphs, node_features=nodes, edge_features=edges)
    return dataclasses.replace(dataset, graphs=graphs)


def in_other_units(dataset):
    """Years, fractions, categories and a constant as features of nodes, and far numbers as those of edges."""
    nodes, edges = dataset.graphs.node_features.clone(), dataset.graphs.edge_features.clone()
    nodes[:, 0] = 2000 + 20 * nodes[:, 0]
    nodes[:, 1] *= 1e-4
    nodes[:, 2] = (nodes[:, 2] > 0).float()
    nodes[:, 3] = 7.5
    return with_features(dataset, nodes, 1e5 * edges)


def by_hand(dataset, graphs):
    """Standardise the columns as numpy does, from the nodes and edges of some graphs alone."""
    scaled = []
    for features, counts in (
        (dataset.graphs.node_features, dataset.graphs.node_counts),
        (dataset.graphs.edge_features, dataset.graphs.edge_counts),
    ):
        values = features.double().numpy()
        known = values[np.isin(np.repeat(np.arange(len(counts)), counts), graphs)]
        for column in range(values.shape[1]):
            if not np.isin(known[:, column], (0, 1)).all():
                values[:, column] -= known[:, column].mean()
                values[:, column] /= known[:, column].std() or 1
        scaled.append(torch.from_numpy(values).float())
    return with_features(dataset, *scaled)


def test_equal_to_features_standardised_by_hand(tmp_path):
    dataset = in_other_units(made_dataset("regression", "graph"))
    trainer = Trainer(dataset, CONFIG, 3, tmp_path / "run")
    raw = CONFIG.updated({"standardize_features": False})
    expected = Trainer(by_hand(dataset, trainer.split["train"].numpy()), raw, 3, tmp_path / "by hand")
    assert expected.network.node_scale is None
    untouched = Trainer(dataset, raw, 3, tmp_path / "raw")
    for part in ("train", "val", "test"):
        assert trainer.evaluate(part) == pytest.approx(expected.evaluate(part), rel=1e-4)
        assert trainer.evaluate(part) != pytest.approx(untouched.evaluate(part), rel=0.1)
    # Not the validation after it: biases before a batch norm have gradients of rounding noise alone.
    for epoch in range(2):
        found, wanted = trainer.run_epoch(epoch), expected.run_epoch(epoch)
        assert found["train_loss"] == pytest.approx(wanted["train_loss"], rel=1e-3)


def test_gradients_reach_the_encoder_through_the_scale(tmp_path):
    dataset = in_other_units(made_dataset("regression", "graph"))
    trainer = Trainer(dataset, CONFIG, 3, tmp_path)
    scaled = by_hand(dataset, trainer.split["train"].numpy())
    network = trainer.network.eval()
    chosen = trainer.split["train"][:9]

    def gradient(outputs):
        network.zero_grad()
        outputs.square().sum().backward()
        return network.model.node_encoder.linear.weight.grad.clone()

    found = gradient(network(dataset.graphs.batch(chosen)))
    expected = gradient(network.model(scaled.graphs.batch(chosen)))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert expected.abs().max() > 1e-2


@pytest.mark.parametrize(
    "features",
    [
        None,
        torch.ones(3, 2, dtype=torch.bool),
        torch.tensor([[0, 5], [3, 1]]),
        torch.eye(3),
        torch.empty(0, 4),
        torch.tensor([[1e30], [-1e30]]),
    ],
    ids=["none", "flags", "categories", "one-hot", "no rows", "squares overflow"],
)
def test_what_is_left_alone(features):
    assert FeatureScale.of(features) is None


@pytest.mark.parametrize("value", [0.1, -7.7, 1e6, 3e-8])
def test_a_constant_does_not_become_noise(value):
    scale = FeatureScale.of(torch.full((1_001, 1), value))
    assert float(scale(torch.full((5, 1), value)).abs().max()) <= 1e-6 * max(1, abs(value))


def test_a_label_follows_from_the_year(tmp_path):
    dataset = made_dataset("multiclass", "graph")
    counts = dataset.graphs.node_counts
    later = torch.arange(len(counts)) % 2
    draw = torch.randn(int(counts.sum()), 1, generator=torch.Generator().manual_seed(1))
    years = 2000 + 3 * draw + 8 * later.repeat_interleave(counts)[:, None]
    graphs = dataclasses.replace(dataset.graphs, node_features=years, labels=later)
    dataset = dataclasses.replace(dataset, graphs=graphs, node_size=1, out_size=2)
    settings = {"epochs": 12, "lr": 1e-2, "val_fraction": 0.3, "readout": "mean", "ema_decay": 0.0}
    result = Trainer(dataset, CONFIG.updated(settings), 0, tmp_path).run()
    assert result.val > 90


def test_a_checkpoint_of_before_goes_on_with_raw_features(tmp_path):
    older = trainer_of("missing targets", tmp_path / "run", standardize_features=False)
    older.files.begin([])
    older.run_epoch(0)
    save_checkpoint(older)
    tensors, facts = load_tensors(tmp_path / "run" / CHECKPOINT)
    del facts["config"]["standardize_features"]
    save_tensors(tmp_path / "run" / CHECKPOINT, tensors, facts)
    trainer = trainer_of("missing targets", tmp_path / "run")
    assert trainer.network.node_scale is not None
    load_checkpoint(trainer)
    assert trainer.network.node_scale is None
    assert trainer.network.edge_scale is None
    assert trainer.evaluate("val") == older.evaluate("val")


def test_saved_weights_bring_their_scale(tmp_path):
    dataset = in_other_units(made_dataset("regression", "graph"))
    trainer = Trainer(dataset, CONFIG, 3, tmp_path / "run")
    trainer.run_epoch(0)
    restored = Trainer(made_dataset("regression", "graph"), CONFIG, 3, tmp_path / "other").scored
    restored.load(trainer.scored.state_dict())
    batch = dataset.graphs.batch([1, 5, 30])
    assert torch.equal(restored.eval()(batch), trainer.scored.eval()(batch))


@pytest.mark.parametrize(
    "name", ["classes", "missing labels", "labels of nodes", "graphormer", "no attention"]
)
def test_features_that_the_model_does_not_read(name, tmp_path):
    trainer = trainer_of(name, tmp_path / "run")
    trainer.files.begin([])
    trainer.run_epoch(0)
    save_checkpoint(trainer)
    again = trainer_of(name, tmp_path / "run")
    load_checkpoint(again)
    # Without labels of both kinds the metric is NaN, the loss is not.
    assert again.evaluate("val")[0] == trainer.evaluate("val")[0]
    assert (again.network.edge_scale is None) == (again.network.model.edge_encoder is None)
    assert again.network.node_scale is not None


@pytest.mark.parametrize("broken", [torch.ones(1), torch.ones(5, 1), torch.ones(())])
def test_a_scale_of_other_columns_is_refused(broken, tmp_path):
    network = trainer_of("missing targets", tmp_path).network
    with pytest.raises(RunError, match="wrong columns in node_scale"):
        network.load(network.state_dict() | {"node_scale.mean": broken})

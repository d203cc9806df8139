"""Settings without effect: those that are named change nothing, those that are not do."""

import dataclasses

import pytest
import torch

from gradformer_dgl.training.config import RunConfig, all_options
from gradformer_dgl.training.idle import idle_settings
from gradformer_dgl.training.loop import Trainer

SMALL = {"epochs": 2, "feat_size": 12, "num_layers": 2, "num_heads": 2, "batch_size": 17}
OTHER = {
    "num_heads": 3,
    "attn_drop": 0.2,
    "drop_path": 0.3,
    "gamma": 0.3,
    "hop": 2.0,
    "slope": 0.4,
    "learn_hop": False,
    "message_passing": "gcn",
    "wl_rounds": 2,
    "wl_min_graphs": 20,
    "wl_counted": False,
    "wl_dropout": 0.1,
    "encoding_mode": "concat",
    "encoding_feat_size": 4,
    "encoding_norm": True,
    "warmup_epochs": 1.0,
    "val_fraction": 0.2,
    "test_fraction": 0.2,
    "folds": 5,
    "standardize": False,
    "head": "mlp",
    "readout": "mean",
    "dropout": 0.3,
    "feat_size": 24,
    "num_layers": 1,
}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"decay": "none"},
        {"model": "gin"},
        {"model": "graphgps"},
        {"model": "transformer", "schedule": "constant"},
        {"model": "graphormer"},
        {"model": "wl"},
        {"encoding": "rwse:5", "split": "random"},
        {"encoding": "rwse:5", "split": "folds", "encoding_mode": "concat"},
    ],
    ids=str,
)
def test_a_setting_has_an_effect_unless_it_is_named(shapes, tmp_path, settings):
    def outcome(**more):
        trainer = Trainer(shapes, RunConfig(**SMALL | settings | more), 0, tmp_path)
        trainer.run_epoch(0)
        state = [part.double().flatten() for part in trainer.network.state_dict().values()]
        return [trainer.records[0]["val_loss"], *torch.cat(state).tolist()]

    config = RunConfig(**SMALL | settings)
    idle, usual = idle_settings(config, shapes), outcome()
    for name, value in OTHER.items():
        if name not in settings:
            changed = outcome(**{name: value})
            assert (changed == usual) == (name in idle), (name, idle.get(name))


def test_names_are_those_of_settings_and_reasons_are_told(shapes):
    names = {option.name for option in all_options()}
    for model in ("gin", "wl", "graphormer", "transformer"):
        assert idle_settings(RunConfig(model=model), shapes).keys() <= names
    idle = idle_settings(RunConfig(model="gin"), shapes)
    assert idle["gamma"] == "the model gin has no attention"
    assert idle["wl_dropout"] == "the model is gin, not wl"
    assert idle["message_passing"] == "the model gin has its own"


def test_data_decides_too(shapes, relabelled):
    parts = {part: torch.arange(3) for part in ("train", "val", "test")}
    split = dataclasses.replace(shapes, splits=parts)
    idle = idle_settings(RunConfig(), split)
    assert idle["val_fraction"] == idle["folds"] == "the data comes with its split"
    nodes = relabelled(torch.zeros(shapes.graphs.num_nodes, dtype=torch.int64), "multiclass", "node", 2)
    assert idle_settings(RunConfig(), nodes)["readout"] == "the task is one of nodes"
    values = relabelled(torch.zeros(97, 1), "regression", "graph", 1)
    assert "standardize" not in idle_settings(RunConfig(), values)

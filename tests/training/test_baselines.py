"""Every model in the one training loop."""

import dataclasses

import pytest
import torch
from rank_scenarios import made_dataset

from gradformer_dgl.models.gradformer import Gradformer
from gradformer_dgl.models.graphormer import Graphormer
from gradformer_dgl.models.registry import MODELS
from gradformer_dgl.plots.run_pictures import draw_run
from gradformer_dgl.training.config import RunConfig, load_preset
from gradformer_dgl.training.evaluate import evaluate_runs
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.network import build_model
from gradformer_dgl.training.runs import train_run
from gradformer_dgl.training.trained_run import open_run

SMALL = {"epochs": 2, "feat_size": 12, "num_layers": 2, "num_heads": 3, "batch_size": 7, "lr": 5e-3}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_trained_and_evaluated(request_for, tmp_path, model, precision):
    request = request_for(model=model, precision=precision, epochs=2)
    result = train_run(request)
    draw_run(request)
    folder = tmp_path / "run"
    run = open_run(folder)
    assert run.config.model == model
    assert evaluate_runs(run)["mean"] == result["mean"]
    assert evaluate_runs(run, part="val")["mean"] == result["val_mean"]
    trainer = Trainer(run.dataset, run.config, 0, tmp_path / "again")
    counted = sum(parameter.numel() for parameter in trainer.network.model.parameters())
    assert result["runs"][0]["parameters"] == counted
    assert (folder / "curve.png").is_file()
    assert (folder / "decay.png").is_file() == (model == "gradformer")


@pytest.mark.parametrize(("task", "level"), [("regression", "graph"), ("multiclass", "node")])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_with_edge_features_on_graphs_and_nodes(model, task, level, tmp_path):
    config = RunConfig(
        **SMALL | {"epochs": 8, "warmup_epochs": 1, "attn_drop": 0.1, "dropout": 0.1},
        model=model,
        message_passing="gine",
        encoding="rwse:3",
        encoding_mode="concat",
    )
    trainer = Trainer(made_dataset(task, level), config, 0, tmp_path)
    trainer.run()
    losses = [record["train_loss"] for record in trainer.records]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("model", [name for name in MODELS if name != "wl"])
def test_edge_features_are_encoded_where_they_are_used(model):
    config = RunConfig(**SMALL, model=model, message_passing="gine")
    network = build_model(made_dataset("regression", "graph"), config)
    assert isinstance(network, Graphormer if model == "graphormer" else Gradformer)
    uses_edges = model in ("gradformer", "graphgps", "graphormer", "gatedgcn")
    assert (network.edge_encoder is not None) == uses_edges


def test_graphgps_differs_from_the_preset_in_the_decay_alone(shapes):
    preset = load_preset("nci1").updated({"encoding": "rwse:5"})
    states = []
    for config in (preset, preset.updated({"model": "graphgps"})):
        torch.manual_seed(0)
        states.append(build_model(shapes, config).state_dict())
    assert states[0].pop("decay.tau").shape == (4,)
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


@pytest.mark.parametrize("model", ["gin", "gcn", "gatedgcn"])
def test_what_a_model_does_not_have_is_ignored(shapes, tmp_path, model):
    trained = []
    for number, settings in enumerate(({}, {"gamma": 0.1, "hop": 1.0, "attn_drop": 0.0, "drop_path": 0.5})):
        config = RunConfig(**SMALL, model=model).updated(settings)
        trainer = Trainer(shapes, config, 0, tmp_path / str(number))
        trainer.run()
        trained.append([record["train_loss"] for record in trainer.records])
    assert trained[0] == trained[1]


def test_the_decay_of_an_overwritten_run_is_not_left(request_for, tmp_path):
    for request in (request_for(epochs=1), request_for(epochs=1, model="gin")):
        train_run(dataclasses.replace(request, overwrite=True))
        draw_run(request)
        assert (tmp_path / "run" / "decay.png").is_file() == (request.config.model == "gradformer")
    assert not (tmp_path / "run" / "decay.png").exists()

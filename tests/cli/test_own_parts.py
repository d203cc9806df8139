"""Parts of one's own, `module:Class`, from the command line: decay, message passing, model, readout, head."""

import json
import sys

import pytest
import torch
import yaml

from gradformer_dgl.nn.registry import DECAYS, HEADS, MESSAGE_PASSING, READOUTS
from gradformer_dgl.support.registry import Part
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.tensor_files import load_tensors

QUICK = ("--epochs", "2", "--feat-size", "8", "--num-layers", "1", "--num-heads", "2", "--batch-size", "16")
MODULE = """
import dgl
import torch
from torch import nn

from gradformer_dgl.models.base import InputOptions, LayeredModel, common_arguments, make_head
from gradformer_dgl.nn import Decay
from gradformer_dgl.nn.message_passing import MessagePassing
from gradformer_dgl.support.registry import Option


def rings():
    graphs = []
    for size in list(range(4, 12)) * 8:
        ends = torch.arange(size), (torch.arange(size) + 1) % size
        graphs.append((dgl.to_bidirected(dgl.graph(ends)), size % 2))
    return graphs


class PowerDecay(Decay):
    options = (Option("strength", 1.0, "power of the distance", 0, 10),)

    def __init__(self, num_heads, strength):
        super().__init__(num_heads)
        self.power = nn.Parameter(torch.full((num_heads, 1), strength))

    def table(self, num_distances):
        hops = torch.arange(1.0, num_distances + 2)
        return hops ** -self.power


class Neighbors(MessagePassing):
    def __init__(self, feat_size):
        super().__init__()
        self.own_weight = nn.Linear(feat_size, feat_size)

    def forward(self, graph, x, edge_features=None, encodings=None):
        src, dst = graph.edges()
        return self.own_weight(torch.zeros_like(x).index_add(0, dst, x[src]))


class OneLayer(LayeredModel):
    options = (Option("width", 4, "channels of the hidden layer", 1, 100),)

    def __init__(self, out_size, width, **options):
        feat_size, head = options.pop("feat_size"), options.pop("head")
        for name in ("num_layers", "num_heads", "dropout", "attn_drop"):
            options.pop(name)
        readout = options.pop("readout")
        super().__init__(out_size, feat_size, 1, InputOptions.of(options), readout=readout)
        self.hidden = nn.Sequential(nn.Linear(feat_size, width), nn.ReLU(), nn.Linear(width, feat_size))
        self.head = make_head(head, feat_size, out_size)

    @classmethod
    def from_settings(cls, data, settings, **fitted):
        return cls(width=settings["width"], **common_arguments(data, settings))

    def transform(self, batch, x, edges, encodings):
        return self.hidden(x)


def norm_nodes(x, node_counts):
    graph = torch.arange(len(node_counts)).repeat_interleave(node_counts)
    return x.new_zeros(len(node_counts), x.shape[1]).index_add(0, graph, x.square()).sqrt()


def wide_head(feat_size, out_size):
    return nn.Sequential(nn.Linear(feat_size, 3 * feat_size), nn.Tanh(), nn.Linear(3 * feat_size, out_size))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, command):
    """A folder with a module of one's own, whose data set is preprocessed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_network_parts.py").write_text(MODULE)
    assert command("-q", "preprocess", "own_network_parts:rings", "--jobs", 1).status == 0
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "weight", "shape"),
    [
        (("--decay", "own_network_parts:PowerDecay"), "model.decay.power", (2, 1)),
        (
            ("--message-passing", "own_network_parts:Neighbors"),
            "model.layers.0.message_passing.own_weight.weight",
            (8, 8),
        ),
        (("--model", "own_network_parts:OneLayer", "--set", "width=5"), "model.hidden.0.weight", (5, 8)),
        (("--readout", "own_network_parts:norm_nodes"), "model.head.weight", (2, 8)),
        (("--head", "own_network_parts:wide_head"), "model.head.0.weight", (24, 8)),
    ],
)
def test_a_part_of_ones_own_is_trained_and_found_again(folder, command, arguments, weight, shape):
    done = command("-q", "train", "own_network_parts:rings", *QUICK, *arguments, "--out", "run")
    assert done.status == 0, done.err
    result = json.loads(done.out.splitlines()[-1])
    tensors, _ = load_tensors(folder / "run" / "seed-0" / "weights.safetensors")
    assert tensors[weight].shape == shape
    again = command("-q", "evaluate", "run", "--trust")
    assert json.loads(again.out.splitlines()[-1])["mean"] == result["mean"]


def test_options_of_a_part_of_ones_own_are_set(folder, command):
    arguments = ("own_network_parts:rings", *QUICK, "--decay", "own_network_parts:PowerDecay", "--lr", "1e-9")
    assert command("-q", "train", *arguments, "--set", "strength=2.5", "--out", "run").status == 0
    tensors, _ = load_tensors(folder / "run" / "seed-0" / "weights.safetensors")
    assert torch.allclose(tensors["model.decay.power"], torch.tensor(2.5))
    assert yaml.safe_load((folder / "run" / "config.yaml").read_text())["config"]["strength"] == 2.5
    for said, message in [
        ("strength=20", "strength lies between 0 and 10"),
        ("strenth=2", "no setting is called 'strenth': did you mean strength?"),
    ]:
        done = command("-q", "train", *arguments, "--set", said, "--out", "other")
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert message in done.err


def test_a_part_that_cannot_be_found_is_one_line(folder, command):
    for name, message in [
        ("own_network_parts:Missing", "the module own_network_parts has no 'Missing'"),
        ("no_such_module_here:Decay", "there is no module 'no_such_module_here'"),
    ]:
        done = command("-q", "train", "own_network_parts:rings", *QUICK, "--decay", name, "--out", "run")
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert message in done.err


@pytest.mark.parametrize(
    ("registry", "setting", "code"),
    [
        (DECAYS, "decay", "gradformer_dgl.nn.decay:NoDecay"),
        (MESSAGE_PASSING, "message_passing", "gradformer_dgl.nn.message_passing:GIN"),
        (READOUTS, "readout", "gradformer_dgl.nn.readout:sum_nodes"),
        (HEADS, "head", "gradformer_dgl.nn.heads:linear_head"),
    ],
)
def test_a_line_in_a_registry_is_enough(registry, setting, code, monkeypatch):
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    registry.add(Part("mine", code))
    assert RunConfig(**{setting: "mine"})[setting] == "mine"

import pytest
import torch
from batches import random_distances, random_graph
from torch import nn

from gradformer_dgl import Gradformer, GraphBatch
from gradformer_dgl.nn.encoders import EDGE_ENCODERS, NODE_ENCODERS, OGB_ATOM_SIZES, make_encoder
from gradformer_dgl.nn.registry import READOUTS
from gradformer_dgl.support.errors import ConfigError, GraphError

SIZES = [7, 1, 5, 0]


def batch_of(sizes=SIZES, **parts):
    graph = random_graph(sizes)
    whole = {
        "node_features": torch.randn(graph.num_nodes(), 11),
        "edge_features": torch.randint(3, (graph.num_edges(),)),
        "encodings": {"rwse:6": torch.rand(graph.num_nodes(), 6)},
    }
    return GraphBatch(graph, random_distances(sizes), **whole | parts)


def small(**options):
    return Gradformer(**{"out_size": 3, "feat_size": 16, "num_layers": 2, "node_size": 11} | options)


@pytest.mark.parametrize("readout", [*READOUTS, None])
@pytest.mark.parametrize("mode", ["add", "concat"])
@pytest.mark.parametrize("message_passing", ["gin", "gine", "gatedgcn", "gatedgcn_gate", None])
def test_every_combination_learns(readout, mode, message_passing):
    # By chance no unit of the head may be active.
    torch.manual_seed(0)
    model = small(
        readout=readout,
        head="mlp",
        encoding="rwse:6",
        encoding_mode=mode,
        encoding_norm=True,
        message_passing=message_passing,
        **({} if message_passing in ("gin", None) else {"edge_encoder": "embedding", "edge_size": 3}),
        dropout=0.1,
        attn_drop=0.5,
        drop_path=0.1,
        hop=2,
    )
    out = model(batch_of())
    assert out.shape == ((13 if readout is None else 4), 3)
    out.square().sum().backward()
    assert not {n for n, p in model.named_parameters() if p.grad is None}
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert model.decay.tau.grad.abs().sum() > 0


def test_thresholds_are_shared_and_stand_in_the_state_once():
    model = small()
    assert [name for name in model.state_dict() if "tau" in name] == ["decay.tau"]


def test_seed_repeats_a_training_step():
    model, batch = small(attn_drop=0.5, dropout=0.2), batch_of()
    outs = []
    for _ in range(2):
        torch.manual_seed(9)
        outs.append(model(batch))
    assert torch.equal(*outs)


def test_no_decay_and_a_decay_of_ones_own():
    assert not [n for n, _ in small(decay="none").named_parameters() if "tau" in n]
    own = small().decay
    assert small(decay=own).decay is own


def test_bfloat16():
    model = small().bfloat16()
    out = model(batch_of())
    assert out.dtype == torch.bfloat16
    assert torch.isfinite(out).all()


def test_ogb_encoders():
    atoms = torch.stack([torch.tensor(OGB_ATOM_SIZES) - 1] * 13)
    model = small(node_encoder="ogb", edge_encoder="ogb", message_passing="gine")
    batch = batch_of(node_features=atoms)
    batch.edge_features = torch.zeros(batch.graph.num_edges(), 3, dtype=torch.int64)
    assert model(batch).shape == (4, 3)


def test_encoders_of_ones_own():
    model = small(node_encoder=nn.Linear(11, 16))
    assert model(batch_of()).shape == (4, 3)


@pytest.mark.parametrize("name", READOUTS)
def test_readouts_equal_those_of_each_graph(name):
    x = torch.randn(13, 5, dtype=torch.float64, requires_grad=True)
    out = READOUTS.load(name)(x, torch.tensor(SIZES))
    parts = x.split(SIZES)
    reduce = {"sum": lambda p: p.sum(0), "mean": lambda p: p.mean(0), "max": lambda p: p.amax(0)}[name]
    expected = torch.stack([reduce(p) if len(p) else p.new_zeros(5) for p in parts])
    torch.testing.assert_close(out, expected)
    weight = torch.randn(out.shape, dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((o * weight).sum(), x)[0] for o in (out, expected))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feat_size": 18}, "feat_size must be divisible by num_heads, but 18 is not by 4"),
        ({"num_layers": 0}, "num_layers must be at least 1, but is 0"),
        (
            {"message_passing": "gated_gcn"},
            r"message_passing is one of .* not 'gated_gcn'; did you mean 'gatedgcn'\?",
        ),
        ({"message_passing": nn.Linear(1, 1)}, "a function that makes a module for each layer"),
        ({"message_passing": "gine"}, "message_passing='gine' needs edge features: give edge_encoder"),
        (
            {"message_passing": "gatedgcn_gate", "edge_encoder": "ogb"},
            "message_passing='gatedgcn_gate' needs encodings: give encoding",
        ),
        ({"readout": "men"}, r"readout is one of sum, mean, max, not 'men'; did you mean 'mean'\?"),
        ({"head": "big"}, "head is one of linear, mlp, not 'big'"),
        ({"encoding_mode": "sum"}, "encoding_mode must be one of add, concat"),
        ({"encoding": "rwse"}, "like 'rwse:20', but this is 'rwse'"),
        (
            {"encoding": "rwse:6", "encoding_mode": "concat", "encoding_feat_size": 16},
            "encoding_feat_size must be above 0 and below feat_size, which is 16, but is 16",
        ),
        ({"node_size": None}, "a linear encoder needs its number of columns"),
        ({"node_encoder": "embeding"}, r"no encoder named 'embeding'.*did you mean 'embedding'\?"),
        ({"node_encoder": "embedding", "node_size": (3, 0)}, "needs its number of categories"),
        ({"gamma": 2.0}, "gamma must be"),
        ({"decay": "none", "hop": 2.0}, "hop is no option of decay='none': leave it out"),
        ({"gama": 0.5}, "no option is called 'gama'"),
    ],
)
def test_config_errors(options, message):
    with pytest.raises(ConfigError, match=message):
        small(**options)


@pytest.mark.parametrize(
    ("options", "parts", "message"),
    [
        ({}, {"node_features": None}, "the batch has no node features"),
        ({}, {"node_features": torch.zeros(13, 7)}, r"shape \(rows, 11\), but .* shape \(13, 7\)"),
        ({}, {"node_features": torch.full((13, 11), torch.nan)}, "features hold NaN"),
        ({"node_encoder": "embedding"}, {}, "integer categories, but was given torch.float32"),
        (
            {"node_encoder": "embedding"},
            {"node_features": torch.full((13,), 11)},
            "category 11 in row 0, column 0 is not one of the 11 categories 0 .. 10",
        ),
        (
            {"node_encoder": "embedding"},
            {"node_features": torch.ones(13, 2).long()},
            "takes 1 columns.*given 2",
        ),
        ({"encoding": "rwse:7"}, {}, r"no encoding 'rwse:7' \(there are: rwse:6\)"),
        (
            {"edge_encoder": "embedding", "edge_size": 3, "message_passing": "gine"},
            {"edge_features": None},
            "no edge features, which the model's edge encoder needs",
        ),
    ],
)
def test_graph_errors(options, parts, message):
    with pytest.raises(GraphError, match=message):
        small(**options)(batch_of(**parts))


def test_batch_without_distances():
    with pytest.raises(GraphError, match="no distances: preprocess the graphs"):
        small()(GraphBatch(random_graph([5]), node_features=torch.zeros(5, 11)))


@pytest.mark.parametrize("encoders", [NODE_ENCODERS, EDGE_ENCODERS])
def test_sum_of_embeddings(encoders):
    encoder = make_encoder(encoders, "embedding", (5, 3), 7)
    features = torch.tensor([[4, 2], [0, 1]])
    first, second = (embedding.weight for embedding in encoder.embeddings)
    assert torch.equal(encoder(features), torch.stack([first[4] + second[2], first[0] + second[1]]))

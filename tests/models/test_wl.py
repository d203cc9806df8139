"""The linear model of Weisfeiler-Leman labels, beside sums of looked-up weights."""

from pathlib import Path

import pytest
import torch

from gradformer_dgl import GraphBatch
from gradformer_dgl.graphs.edge_list import EdgeList
from gradformer_dgl.models.wl import WLModel
from gradformer_dgl.support.errors import ConfigError, GraphError

KNOWN = [torch.tensor([-(2**63), -4, 9]), torch.tensor([], dtype=torch.int64), torch.tensor([9, 2**63 - 1])]
LABELS = torch.tensor([[-4, 1, 9], [9, -4, 2**63 - 1], [8, 9, 10], [-(2**63), 0, -5]])
COUNTS = torch.tensor([3, 1])


def batch_of(labels, counts=COUNTS):
    nodes = len(labels)
    none = torch.zeros(0, dtype=torch.int64)
    graph = EdgeList(none, none, nodes, counts, torch.zeros(len(counts), dtype=torch.int64))
    return GraphBatch(graph, encodings={f"wl:{labels.shape[1]}": labels})


def alone(labels):
    """Return a batch with each node as a graph of its own."""
    return batch_of(labels, torch.ones(len(labels), dtype=torch.int64))


@pytest.fixture
def model():
    made = WLModel(KNOWN, out_size=6, readout=None).double()
    torch.nn.init.normal_(made.weight)
    return made


def by_hand(weight):
    """Sum the rows of the known labels, looked up one by one."""
    rows = iter(weight)
    tables = [{int(label): next(rows) for label in known} for known in KNOWN]
    return torch.stack(
        [
            sum(
                (table[int(label)] for table, label in zip(tables, node, strict=True) if int(label) in table),
                torch.zeros(weight.shape[1]).double(),
            )
            for node in LABELS
        ]
    )


def test_known_labels_add_their_weights(model):
    out, weight = model(batch_of(LABELS)), model.weight
    expected = by_hand(weight)
    assert torch.allclose(out, expected)
    assert not out[2].any()
    given = torch.randn_like(out)
    grads = [torch.autograd.grad(result, weight, given)[0] for result in (out, expected)]
    assert torch.allclose(*grads)


@pytest.mark.parametrize("readout", ["sum", "mean", None])
def test_outputs_are_read_out_as_nodes_are(readout, model):
    whole = WLModel(KNOWN, out_size=6, readout=readout).double()
    whole.load_state_dict(model.state_dict())
    torch.nn.init.normal_(whole.bias)
    nodes = by_hand(whole.weight)
    expected = {
        "sum": torch.stack([nodes[:3].sum(0), nodes[3]]),
        "mean": torch.stack([nodes[:3].mean(0), nodes[3]]),
        None: nodes,
    }[readout]
    assert torch.allclose(whole(batch_of(LABELS)), expected + whole.bias)


def test_a_label_means_nothing_before_it_is_trained():
    assert not WLModel(KNOWN, out_size=3)(batch_of(LABELS)).any()


def test_labels_are_dropped_in_training_only(model):
    whole = model(batch_of(LABELS))
    model.dropout = 0.25
    assert torch.equal(model.eval()(batch_of(LABELS)), whole)
    model.train()
    rows = model(alone(LABELS.repeat(4000, 1)))[1::4]
    first, second = model.weight[[2, 4]] / 0.75
    fractions = [
        sum(torch.allclose(row, kept) for row in rows) / len(rows)
        for kept in (first + second, first, second, torch.zeros(6).double())
    ]
    assert fractions == pytest.approx([9 / 16, 3 / 16, 3 / 16, 1 / 16], abs=0.04)


def test_no_label_is_known():
    empty = torch.tensor([], dtype=torch.int64)
    model = WLModel([empty, empty], out_size=3)
    assert model(alone(torch.tensor([[1, 2]]))).tolist() == [[0.0, 0.0, 0.0]]


def test_saved_weights_tell_the_known_labels(model):
    found = WLModel.fitted(model.state_dict())["known"]
    assert [known.tolist() for known in found] == [known.tolist() for known in KNOWN]
    with pytest.raises(GraphError, match="which labels are of which round"):
        WLModel.fitted({"known": model.known})


def test_mistakes_are_named(model):
    with pytest.raises(GraphError, match=r"labels must have the shape \(nodes, 3\)"):
        model(GraphBatch(batch_of(LABELS).graph, encodings={"wl:3": LABELS[:, :2]}))
    with pytest.raises(GraphError, match="the batch has no encoding 'wl:3'"):
        model(batch_of(LABELS[:, :2]))
    with pytest.raises(ConfigError, match="wl_dropout must be at least 0 and below 1"):
        WLModel(KNOWN, out_size=3, dropout=1.0)


def test_the_package_knows_wl_labels_in_one_model_alone():
    root = Path(__file__).resolve().parents[2] / "gradformer_dgl"
    users = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if "wl_labels" in file.read_text(encoding="utf-8") and "wl_labels" not in file.stem
    }
    assert users == {"models/wl.py"}

import pytest
import torch

from gradformer_dgl import Gradformer, GraphBatch, PairDistances
from gradformer_dgl.graphs.edge_list import EdgeList
from gradformer_dgl.models.colour_weights import ColourWeights
from gradformer_dgl.support.errors import ConfigError, GraphError

KNOWN = [torch.tensor([-(2**63), -4, 9]), torch.tensor([], dtype=torch.int64), torch.tensor([9, 2**63 - 1])]
COLOURS = torch.tensor([[-4, 1, 9], [9, -4, 2**63 - 1], [8, 9, 10], [-(2**63), 0, -5]])


@pytest.fixture
def head():
    made = ColourWeights(KNOWN, out_size=6).double()
    torch.nn.init.normal_(made.weight)
    return made


def by_hand(weight):
    """Sum the rows of the known colours, looked up one by one."""
    rows = iter(weight)
    tables = [{int(colour): next(rows) for colour in known} for known in KNOWN]
    return torch.stack(
        [
            sum(
                (
                    table[int(colour)]
                    for table, colour in zip(tables, node, strict=True)
                    if int(colour) in table
                ),
                torch.zeros(weight.shape[1]).double(),
            )
            for node in COLOURS
        ]
    )


def test_known_colours_add_their_weights(head):
    out, weight = head(COLOURS), head.weight
    expected = by_hand(weight)
    assert torch.allclose(out, expected)
    assert not out[2].any()
    given = torch.randn_like(out)
    grads = [torch.autograd.grad(result, weight, given)[0] for result in (out, expected)]
    assert torch.allclose(*grads)


def test_a_colour_means_nothing_before_it_is_trained():
    assert not ColourWeights(KNOWN, out_size=3)(COLOURS).any()


def test_colours_are_dropped_in_training_only(head):
    whole = head(COLOURS)
    head.drop = 0.25
    assert torch.equal(head.eval()(COLOURS), whole)
    head.train()
    rows = head(COLOURS.repeat(4000, 1))[1::4]
    first, second = head.weight[[2, 4]] / 0.75
    shares = [
        sum(torch.allclose(row, kept) for row in rows) / len(rows)
        for kept in (first + second, first, second, torch.zeros(6).double())
    ]
    assert shares == pytest.approx([9 / 16, 3 / 16, 3 / 16, 1 / 16], abs=0.04)


def test_no_colour_is_known():
    empty = torch.tensor([], dtype=torch.int64)
    assert ColourWeights([empty, empty], out_size=3)(torch.tensor([[1, 2]])).tolist() == [[0.0, 0.0, 0.0]]


def test_mistakes_are_named(head):
    with pytest.raises(GraphError, match=r"colours must have the shape \(nodes, 3\)"):
        head(COLOURS[:, :2])
    with pytest.raises(ConfigError, match="colour_drop must be at least 0 and below 1"):
        ColourWeights(KNOWN, out_size=3, drop=1.0)


@pytest.mark.parametrize("readout", ["sum", "mean", None])
def test_the_model_adds_colours_to_its_outputs(readout):
    torch.manual_seed(0)
    batch = GraphBatch(
        EdgeList(torch.tensor([0, 1]), torch.tensor([1, 0]), 4, torch.tensor([3, 1]), torch.tensor([2, 0])),
        PairDistances(torch.zeros(10, dtype=torch.uint8), torch.tensor([3, 1])),
        node_features=torch.rand(4, 5),
        encodings={"wl:3": COLOURS},
    )
    model = Gradformer(2, 6, 1, 2, node_size=5, colours=KNOWN, readout=readout).eval()
    plain = model(batch)
    torch.nn.init.normal_(model.colour_head.weight)
    of_nodes = model.colour_head(COLOURS)
    added = {
        "sum": torch.stack([of_nodes[:3].sum(0), of_nodes[3]]),
        "mean": torch.stack([of_nodes[:3].mean(0), of_nodes[3]]),
        None: of_nodes,
    }[readout]
    assert torch.allclose(model(batch), plain + added, atol=1e-6)
    model.colours_apart = True
    assert torch.allclose(model(batch), (plain + added) / 2, atol=1e-6)
    model.colour_share = 0.75
    assert torch.allclose(model(batch), plain / 4 + 0.75 * added, atol=1e-6)
    of_network, of_colours = model.parts(batch)
    assert torch.equal(of_network, plain)
    assert torch.allclose(of_colours, added, atol=1e-6)
    batch.encodings = {}
    with pytest.raises(GraphError, match="the batch has no encoding 'wl:3'"):
        model(batch)


@pytest.mark.parametrize("mode", ["add", "concat"])
@pytest.mark.parametrize("use", ["embedding", "both"])
def test_the_model_adds_colours_to_its_nodes(use, mode):
    torch.manual_seed(0)
    batch = GraphBatch(
        EdgeList(torch.tensor([0, 1]), torch.tensor([1, 0]), 4, torch.tensor([3, 1]), torch.tensor([2, 0])),
        PairDistances(torch.zeros(10, dtype=torch.uint8), torch.tensor([3, 1])),
        node_features=torch.rand(4, 5),
        encodings={"wl:3": COLOURS, "rwse:2": torch.rand(4, 2)},
    )
    options = {"node_size": 5, "encoding": "rwse:2", "encoding_mode": mode}
    model = Gradformer(2, 8, 1, 2, colours=KNOWN, colour_use=use, **options).eval()
    plain = Gradformer(2, 8, 1, 2, **options).eval()
    plain.load_state_dict(
        {name: value for name, value in model.state_dict().items() if not name.startswith("colour")}
    )
    assert torch.equal(model(batch), plain(batch))
    for weights in (model.colour_embedding, model.colour_head):
        if weights is not None:
            torch.nn.init.normal_(weights.weight)
    transform = plain.transform
    shift = by_hand(model.colour_embedding.weight.double()).float()
    plain.transform = lambda batch, x, *rest: transform(batch, x + shift, *rest)
    expected = plain(batch)
    if use == "both":
        of_nodes = by_hand(model.colour_head.weight.double()).float()
        expected = expected + torch.stack([of_nodes[:3].sum(0), of_nodes[3]])
    else:
        assert model.colour_head is None
        assert len(model.parts(batch)) == 1
    assert torch.allclose(model(batch), expected, atol=1e-5)
    gradient = torch.autograd.grad(model(batch).sum(), model.colour_embedding.weight)[0]
    assert gradient.abs().sum(1).gt(0).tolist() == [True] * 5


def test_uses_of_colours_are_known():
    with pytest.raises(ConfigError, match="colour_use must be one of head, embedding, both, but is 'heads'"):
        Gradformer(2, 8, 1, 2, node_size=5, colours=KNOWN, colour_use="heads")
    with pytest.raises(ConfigError, match=r"colour_share must lie between 0 and 1, but is 1\.5"):
        Gradformer(2, 8, 1, 2, node_size=5, colours=KNOWN, colours_apart=True, colour_share=1.5)

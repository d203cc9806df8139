import dgl
import pytest
import torch
from batches import random_distances, random_graph
from torch.nn import functional

from gradformer_dgl import GraphBatch
from gradformer_dgl.graphs.edge_list import EdgeList
from gradformer_dgl.kernels.attention.block_plan import BLOCK_OVERHEAD
from gradformer_dgl.models.graphormer import Graphormer
from gradformer_dgl.support.errors import ConfigError, GraphError

SIZES = [7, 1, 0, 13, 5]
CHANNELS, HEADS = 12, 3


def directed_graph(sizes):
    """Add one-way edges to the first graph of a batch: rows and columns, in- and out-degrees differ."""
    first, *others = dgl.unbatch(random_graph(sizes))
    more = torch.randint(sizes[0], (2, 9), generator=torch.Generator().manual_seed(2))
    return dgl.batch([dgl.add_edges(first, *more), *others])


def made_batch(sizes=SIZES, dtype=torch.uint8, longest=11):
    torch.manual_seed(1)
    graph = directed_graph(sizes)
    return GraphBatch(
        graph,
        random_distances(sizes, longest, dtype=dtype),
        torch.randn(graph.num_nodes(), 5, dtype=torch.float64),
        torch.randn(graph.num_edges(), 2, dtype=torch.float64),
    )


def small(**options):
    torch.manual_seed(7)
    defaults = {"edge_encoder": "linear", "edge_size": 2, "max_degree": 3, "max_distance": 4}
    model = Graphormer(2, CHANNELS, 2, HEADS, node_size=5, **defaults | options).double()
    for parameter in model.parameters():
        # Not the initial ones, which are 0 or 1 for norms and biases.
        torch.nn.init.normal_(parameter, std=0.4)
    for encoder in (model.degree_encoder.encoder1, model.degree_encoder.encoder2):
        torch.nn.init.zeros_(encoder.weight[0].detach())
    torch.nn.init.zeros_(model.spatial_encoder.embedding_table.weight[0].detach())
    return model


def dense_reference(model, batch):
    """Compute one graph after the other, from the parameters alone."""
    p = dict(model.named_parameters())
    src, dst = batch.graph.edges()
    outputs, first = [], 0
    for number, n in enumerate(batch.distances.sizes):
        x = batch.node_features[first : first + n] @ p["node_encoder.linear.weight"].T
        x = x + p["node_encoder.linear.bias"]
        own = ((src >= first) & (src < first + n)).nonzero()[:, 0].tolist()
        bias = torch.zeros(n, n, HEADS, dtype=torch.float64)
        for i in range(n):
            into = min(3, sum(int(dst[e]) == first + i for e in own))
            out = min(3, sum(int(src[e]) == first + i for e in own))
            degree = torch.zeros(CHANNELS, dtype=torch.float64)
            if into:
                degree = degree + p["degree_encoder.encoder1.weight"][into]
            if out:
                degree = degree + p["degree_encoder.encoder2.weight"][out]
            x = torch.cat([x[:i], (x[i] + degree)[None], x[i + 1 :]])
        for i in range(n):
            for j in range(n):
                hops = int(batch.distances[number][i, j])
                if hops != batch.distances.unreachable:
                    bias[i, j] = p["spatial_encoder.embedding_table.weight"][min(hops, 4) + 1]
        for e in own:
            given = p["edge_encoder.linear.weight"] @ batch.edge_features[e] + p["edge_encoder.linear.bias"]
            bias[int(src[e]) - first, int(dst[e]) - first] += given
        for index in range(2):

            def linear(name, value, index=index):
                return value @ p[f"layers.{index}.{name}.weight"].T + p[f"layers.{index}.{name}.bias"]

            def norm(name, value, index=index):
                weights = p[f"layers.{index}.{name}.weight"], p[f"layers.{index}.{name}.bias"]
                return functional.layer_norm(value, (CHANNELS,), *weights)

            h = norm("attn_layer_norm", x)
            q, k, v = (linear(f"attn.{name}_proj", h).view(n, HEADS, 4) for name in "qkv")
            logits = torch.einsum("ihd,jhd->ijh", q, k) / 2 + bias
            mixed = torch.einsum("ijh,jhd->ihd", logits.softmax(1), v).reshape(n, CHANNELS)
            x = x + linear("attn.out_proj", mixed)
            x = x + linear("ffn.3", functional.gelu(linear("ffn.0", norm("ffn_layer_norm", x))))
        x = functional.layer_norm(x, (CHANNELS,), p["norm.weight"], p["norm.bias"])
        outputs.append((x.sum(0) if model.readout else x) @ p["head.weight"].T + p["head.bias"])
        first += n
    return torch.stack(outputs) if model.readout else torch.cat(outputs)


def gradients(outputs, model):
    weight = torch.arange(outputs.numel(), dtype=torch.float64).view(outputs.shape).cos()
    return dict(
        zip(
            [name for name, _ in model.named_parameters()],
            torch.autograd.grad((outputs * weight).sum(), list(model.parameters())),
            strict=True,
        )
    )


@pytest.mark.parametrize("readout", ["sum", None])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("padded", ["little", "to the largest graph"])
def test_values_and_gradients_are_those_of_a_dense_computation(readout, dtype, padded, monkeypatch):
    monkeypatch.setitem(BLOCK_OVERHEAD, "cpu", 0 if padded == "little" else 10**9)
    model, batch = small(readout=readout), made_batch(dtype=dtype)
    found, expected = model(batch), dense_reference(model, batch)
    assert found.shape == (5 if readout else 26, 2)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    ours, theirs = gradients(found, model), gradients(expected, model)
    # A bias of all keys shifts the logits of a row alike.
    assert {name for name, grad in theirs.items() if grad.abs().max() < 1e-9} == {
        "layers.0.attn.k_proj.bias",
        "layers.1.attn.k_proj.bias",
    }
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


def test_a_graph_alone_gives_what_it_gives_in_a_batch():
    model = small()
    batch = made_batch([13, 1, 5, 29])
    together = model(batch)
    edges = batch.edge_features.split(batch.graph.batch_num_edges().tolist())
    nodes = batch.node_features.split([13, 1, 5, 29])
    for number, graph in enumerate(dgl.unbatch(batch.graph)):
        distances = random_distances([graph.num_nodes()])
        distances.values.copy_(batch.distances[number].flatten())
        alone = model(GraphBatch(graph, distances, nodes[number], edges[number]))
        torch.testing.assert_close(alone[0], together[number], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("sizes", [[1], [1, 1], [0], [0, 0], [0, 3, 0]])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_small_graphs_make_no_nan(sizes, precision):
    graph = random_graph(sizes)
    batch = GraphBatch(graph, random_distances(sizes), torch.randn(graph.num_nodes(), 5))
    model = Graphormer(2, CHANNELS, 2, HEADS, node_size=5, dropout=0.1, attn_drop=0.3)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        outputs = model(batch)
    outputs.square().sum().backward()
    assert outputs.dtype == torch.float32
    assert outputs.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_no_node_sees_another_graph():
    model = small(readout=None)
    batch = made_batch()
    batch.node_features.requires_grad_()
    outputs = model(batch)
    (grad,) = torch.autograd.grad(outputs[:7].sum(), batch.node_features)
    assert grad[:7].abs().sum() > 0
    assert grad[7:].abs().sum() == 0


def test_a_list_of_edges_serves_as_a_graph():
    model, batch = small(), made_batch()
    src, dst = batch.graph.edges()
    counts = batch.graph.batch_num_nodes().long(), batch.graph.batch_num_edges().long()
    edges = EdgeList(src.long(), dst.long(), batch.graph.num_nodes(), *counts)
    again = GraphBatch(edges, batch.distances, batch.node_features, batch.edge_features)
    torch.testing.assert_close(model(again), model(batch))


def test_what_is_clipped_or_has_no_bias_stays_so_in_training():
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(made_batch()).square().sum().backward()
    optimizer.step()
    assert model.spatial_encoder.embedding_table.weight[0].abs().sum() == 0
    assert model.degree_encoder.encoder1.weight[0].abs().sum() == 0
    assert len(model.spatial_encoder.embedding_table.weight) == 4 + 2
    assert len(model.degree_encoder.encoder1.weight) == 3 + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 5}, "feat_size must be divisible by num_heads, but 12 is not by 5"),
        ({"num_layers": 0}, "num_layers must be at least 1, but is 0"),
        ({"out_size": 0}, "out_size must be at least 1, but is 0"),
        ({"max_degree": 0}, "max_degree must be at least 1, but is 0"),
        ({"max_distance": -1}, "max_distance must be at least 1, but is -1"),
        ({"head": "big"}, "head is one of linear, mlp, not 'big'"),
    ],
)
def test_config_errors(options, message):
    defaults = {"out_size": 2, "feat_size": 12, "num_layers": 2, "num_heads": 3, "node_size": 5}
    with pytest.raises(ConfigError, match=message):
        Graphormer(**defaults | options)


def test_graph_errors():
    batch = made_batch()
    bare = GraphBatch(batch.graph, None, batch.node_features, batch.edge_features)
    with pytest.raises(GraphError, match="no distances: preprocess the graphs"):
        small()(bare)
    bare.distances = random_distances([3])
    with pytest.raises(GraphError, match="batch has 26 nodes, but the distances are those of 3 nodes"):
        small()(bare)

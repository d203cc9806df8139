import dgl
import pytest
import torch
from batches import random_distances, random_graph

from gradformer_dgl import ExponentialDecay, Gradformer, GradformerLayer, GraphBatch
from gradformer_dgl.kernels.attention.dispatch import attention_backend, packed_decay_attention

SIZES = [7, 1, 0, 13, 5, 11]
LOCAL = [
    "gin",
    "gine",
    "gatedgcn",
    "gatedgcn_gate",
    None,
    lambda size: dgl.nn.GINEConv(torch.nn.Linear(size, size)),
]


def made_batch(node_encoder):
    graph, nodes = random_graph(SIZES), sum(SIZES)
    features = torch.randint(5, (nodes,)) if node_encoder == "embedding" else torch.randn(nodes, 5)
    edges = torch.randint(3, (graph.num_edges(),)) if node_encoder == "embedding" else None
    return GraphBatch(
        graph,
        random_distances(SIZES),
        features,
        torch.randn(graph.num_edges(), 3) if edges is None else edges,
        {"rwse:4": torch.rand(nodes, 4)},
    )


def outputs_and_gradients(model, batch, enabled):
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        outputs = model(batch)
    loss = (outputs.float() * torch.arange(outputs.numel()).view(outputs.shape).cos()).mean()
    return outputs, torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)


def relative_error(value, reference):
    return ((value - reference).norm() / reference.norm()).item()


@pytest.mark.parametrize("readout", ["sum", "mean", "max", None])
@pytest.mark.parametrize("decay", ["exponential", "none"])
def test_autocast_runs_with_every_readout_and_decay(readout, decay):
    check(readout=readout, decay=decay)


@pytest.mark.parametrize("message_passing", LOCAL)
@pytest.mark.parametrize("node_encoder", ["linear", "embedding"])
def test_autocast_runs_with_every_message_passing_and_encoder(message_passing, node_encoder):
    check(message_passing=message_passing, node_encoder=node_encoder, encoding_mode="concat")


def check(node_encoder="linear", **options):
    torch.manual_seed(3)
    batch = made_batch(node_encoder)
    thresholds = {} if options.get("decay") == "none" else {"hop": 2.0}
    model = Gradformer(
        3,
        16,
        2,
        4,
        node_encoder=node_encoder,
        node_size=5,
        edge_encoder=node_encoder,
        edge_size=3,
        encoding="rwse:4",
        encoding_norm=True,
        **thresholds,
        **options,
    )
    exact, gradients = outputs_and_gradients(model, batch, enabled=False)
    rounded, rounded_gradients = outputs_and_gradients(model, batch, enabled=True)
    assert relative_error(rounded, exact) < 0.02
    whole, rounded_whole = (torch.cat([g.flatten() for g in part]) for part in (gradients, rounded_gradients))
    assert whole.dtype == rounded_whole.dtype == torch.float32
    assert relative_error(rounded_whole, whole) < 0.1


def test_what_is_summed_and_normalised_is_float32():
    torch.manual_seed(5)
    layer, seen = GradformerLayer(16, 4, "gatedgcn"), []
    for module in layer.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.register_forward_hook(lambda _, given, out: seen.extend([given[0].dtype, out.dtype]))
    graph = random_graph(SIZES)
    x, edges = torch.randn(sum(SIZES), 16).bfloat16(), torch.randn(graph.num_edges(), 16).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(graph, x, random_distances(SIZES), edges)
    assert seen == 8 * [torch.float32]
    assert out.dtype == torch.float32


def test_a_layer_of_another_dtype_stays_one():
    layer, x = GradformerLayer(16, 4).bfloat16(), torch.randn(sum(SIZES), 16).bfloat16()
    assert layer(random_graph(SIZES), x, random_distances(SIZES)).dtype == torch.bfloat16


def tau_gradient(table_dtype):
    torch.manual_seed(7)
    decay = ExponentialDecay(4, hop=2.3)
    qkv, distances = torch.randn(sum(SIZES), 3, 4, 8), random_distances(SIZES)
    table = decay.table(distances.num_distances).to(table_dtype)
    with attention_backend("blocks"), torch.autocast("cpu", torch.bfloat16, table_dtype == torch.bfloat16):
        out = packed_decay_attention(qkv.to(table_dtype), distances, table)
    out.float().square().sum().backward()
    return decay.tau.grad


def test_the_gradient_of_a_bfloat16_table_reaches_the_thresholds():
    exact, rounded = tau_gradient(torch.float32), tau_gradient(torch.bfloat16)
    assert rounded.dtype == torch.float32
    assert relative_error(rounded, exact) < 0.02

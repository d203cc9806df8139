"""The published model, written out with loops over edges and graphs, beside ours with gates on encodings."""

import pytest
import torch
from batches import random_distances, random_graph
from torch.nn import functional

from gradformer_dgl import Gradformer, GraphBatch

SIZES = [7, 1, 5]


def batch_norm(module, x):
    return functional.batch_norm(
        x,
        module.running_mean,
        module.running_var,
        module.weight,
        module.bias,
        training=module.training,
        eps=module.eps,
    )


def gated(module, src, dst, x, edges, encodings):
    """Return GatedGCN with its sums over edges written as a loop, and a gate of the encodings."""
    numerator, denominator = [torch.zeros_like(x[0])] * len(x), [torch.zeros_like(x[0])] * len(x)
    for edge, (u, v) in enumerate(zip(src.tolist(), dst.tolist(), strict=True)):
        apart = (encodings[v] - encodings[u]).square().sum().view(1)
        sigma = torch.sigmoid(
            module.gate_target(x[v]) + module.gate_source(x[u]) + module.gate_edge(edges[edge])
        ) * module.encoding_gate(apart)
        numerator[v] = numerator[v] + sigma * module.message_weight(x[u])
        denominator[v] = denominator[v] + sigma
    mixed = torch.stack(numerator) / (torch.stack(denominator) + 1e-6)
    return x + torch.relu(batch_norm(module.norm, module.self_weight(x) + mixed))


def attention(module, x, distances, table):
    outputs, start = [], 0
    for graph, size in enumerate(SIZES):
        rows = x[start : start + size]
        q, k, v = module.qkv(rows).view(size, 3, table.shape[0], -1).permute(1, 2, 0, 3)
        column = distances[graph].long()
        column = column.masked_fill(column == distances.unreachable, table.shape[1] - 1)
        weights = torch.softmax(q @ k.transpose(1, 2) / q.shape[2] ** 0.5 * table[:, column], 2)
        outputs.append(module.out((weights @ v).transpose(0, 1).reshape(size, -1)))
        start += size
    return torch.cat(outputs)


def published(model, batch):
    """Return the outputs (graphs, out): every gate is given the encodings that the encoder is given."""
    encoder, x = model.structural_encoder, model.node_encoder(batch.node_features)
    encodings = batch.encodings["rwse:6"]
    if encoder.norm is not None:
        encodings = batch_norm(encoder.norm, encodings)
    x = torch.cat([x, encoder.linear(encodings)], 1)
    edges = model.edge_encoder(batch.edge_features)
    src, dst = batch.graph.edges()
    table = model.decay.table(255)
    for layer in model.layers:
        local = batch_norm(layer.norm_local, gated(layer.message_passing, src, dst, x, edges, encodings) + x)
        whole = batch_norm(layer.norm_global, attention(layer.attention, x, batch.distances, table) + x)
        both = local + whole
        x = batch_norm(layer.norm_out, both + layer.mlp[3](torch.relu(layer.mlp[0](both))))
    return model.head(torch.stack([part.sum(0) for part in x.split(SIZES)]))


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_gates_are_given_the_encodings_as_the_published_model_does(norm, mode):
    torch.manual_seed(0)
    model = Gradformer(
        3,
        16,
        2,
        node_size=11,
        encoding="rwse:6",
        encoding_mode="concat",
        encoding_norm=norm,
        message_passing="gatedgcn_gate",
        edge_encoder="embedding",
        edge_size=3,
        head="mlp",
    ).double()
    model.train(mode == "train")
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    graph = random_graph(SIZES)
    batch = GraphBatch(
        graph,
        random_distances(SIZES),
        node_features=torch.randn(graph.num_nodes(), 11, dtype=torch.float64),
        edge_features=torch.randint(3, (graph.num_edges(),)),
        encodings={"rwse:6": torch.rand(graph.num_nodes(), 6, dtype=torch.float64)},
    )
    state = {name: value.clone() for name, value in model.state_dict().items()}
    outputs, gradients = [], []
    for run in (model, lambda batch: published(model, batch)):
        model.load_state_dict(state)
        model.zero_grad()
        out = run(batch)
        (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)).sum().backward()
        outputs.append(out.detach())
        gradients.append({name: one.grad.clone() for name, one in model.named_parameters()})
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-10)
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, rtol=1e-8, atol=1e-9)

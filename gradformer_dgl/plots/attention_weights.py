"""The attention weights of one graph, taken out of a trained network."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.kernels.attention.sparse import as_matrices
from gradformer_dgl.models.graphormer import Graphormer
from gradformer_dgl.nn.layer import DecayAttention, GradformerLayer
from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.pairs.sparse import Distances
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.network import Network


def num_layers_with_attention(network: Network) -> int:
    """Return the number of layers whose attention can be looked at, 0 for a model without attention."""
    layers: Any = getattr(network.model, "layers", ())
    if isinstance(network.model, Graphormer):
        return len(layers)
    return sum(isinstance(layer, GradformerLayer) and layer.attention is not None for layer in layers)


def as_pairs(distances: Distances) -> PairDistances:
    """Return distances as matrices; pairs that are not near count as unreachable."""
    return distances if isinstance(distances, PairDistances) else as_matrices(distances)


@torch.no_grad()
def attention_weights(network: Network, batch: GraphBatch, layer: int) -> Float[Tensor, "heads nodes nodes"]:
    """Return the attention weights of one graph, float32 of shape (heads, nodes, nodes), on the CPU.

    ``[h, i, j]`` is how much of node j the head h takes to node i; every row sums to 1. Layers count from 0.
    """
    if not num_layers_with_attention(network):
        raise RunError("the model has no attention")
    if batch.num_graphs != 1 or not batch.graph.num_nodes():
        raise RunError("attention is that of one graph, which has nodes")
    found: list[Tensor] = []
    chosen: Any = network.model.layers[layer]  # type: ignore[index]
    if isinstance(network.model, Graphormer):
        # What dropout gets are the weights themselves.
        hook = chosen.attn.dropout.register_forward_hook(
            lambda module, given, out: found.append(given[0].clone())
        )
    else:
        hook = chosen.attention.register_forward_pre_hook(
            lambda module, given: found.append(_softmax(module, *given))
        )
    training = network.training
    try:
        network.eval()(batch)
    finally:
        hook.remove()
        network.train(training)
    return found[0].float().cpu()


def _softmax(
    attention: DecayAttention,
    x: Float[Tensor, "nodes channels"],
    near_or_all: Distances,
    table: Float[Tensor, "heads columns"],
) -> Float[Tensor, "heads nodes nodes"]:
    distances = as_pairs(near_or_all)
    with torch.autocast(x.device.type, enabled=False):
        projected = attention.qkv(x.float())
    query, key, _ = projected.view(len(x), 3, attention.num_heads, -1).permute(1, 2, 0, 3)
    column = distances[0].long()
    column = column.masked_fill(column == distances.unreachable, table.shape[1] - 1)
    logits = query @ key.transpose(1, 2) / query.shape[2] ** 0.5 * table.float()[:, column]
    return logits.softmax(2)

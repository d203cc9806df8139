# mypy: allow-untyped-defs
"""Sums over the incoming edges of every node, in single precision: no tensor over edges is made.

Edges come in the order of their destinations: those of node v at ``indptr[v]`` to ``indptr[v + 1]``, with
their source and their number in the graph. Loops over channels do one thing each, for the compiler to turn
them into vector instructions. The two passes of the gated mean open the gates by the same lines: loops in a
function that both call were not turned.
"""

import numpy as np

from gradformer_dgl.compiled import compiled
from gradformer_dgl.vector_math import sigmoid

EPSILON = np.float32(1e-6)
"""Added to a sum of gates, so that a node without edges is not divided by 0."""


@compiled
def sum_activated(indptr, source, number, x, e, out):
    """Set out[v] to the sum of relu(x[u] + e[k]) over the edges k from u to v."""
    channels = x.shape[1]
    for v in range(len(indptr) - 1):
        total = out[v]
        for c in range(channels):
            total[c] = 0
        for place in range(indptr[v], indptr[v + 1]):
            row, edge = x[source[place]], e[number[place]]
            for c in range(channels):
                message = row[c] + edge[c]
                # Not the maximum with 0, which would hide NaN.
                total[c] += np.float32(0) if message < 0 else message


@compiled
def sum_activated_backward(indptr, source, number, x, e, grad, grad_x, grad_e):
    """Set grad_e, and add to grad_x, the gradients of ``sum_activated``."""
    channels = x.shape[1]
    for v in range(len(indptr) - 1):
        given = grad[v]
        for place in range(indptr[v], indptr[v + 1]):
            row, edge, back = x[source[place]], e[number[place]], grad_e[number[place]]
            for c in range(channels):
                back[c] = given[c] if row[c] + edge[c] > 0 else np.float32(0)
            place_x = grad_x[source[place]]
            for c in range(channels):
                place_x[c] += back[c]


@compiled(fastmath=("contract",))
def gated_mean(indptr, source, number, target, origin, message, edges, scale, mean, weight):
    """Set mean[v] to the mean of message[u] over the edges k from u to v, weighted by gates for each channel.

    A gate is scale[k] * sigmoid(target[v] + origin[u] + edges[k]); ``edges`` and ``scale`` may be empty. Sets
    weight[v] to 1 / (sum of the gates + EPSILON).
    """
    channels = target.shape[1]
    by_edge, scaled = len(edges) > 0, len(scale) > 0
    gate, total = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for v in range(len(indptr) - 1):
        here, mixed = target[v], mean[v]
        for c in range(channels):
            mixed[c] = 0
            total[c] = EPSILON
        for place in range(indptr[v], indptr[v + 1]):
            u, k = source[place], number[place]
            there = origin[u]
            for c in range(channels):
                gate[c] = here[c] + there[c]
            if by_edge:
                edge = edges[k]
                for c in range(channels):
                    gate[c] += edge[c]
            for c in range(channels):
                gate[c] = sigmoid(gate[c])
            if scaled:
                for c in range(channels):
                    gate[c] *= scale[k]
            row = message[u]
            for c in range(channels):
                mixed[c] += gate[c] * row[c]
            for c in range(channels):
                total[c] += gate[c]
        inverse = weight[v]
        for c in range(channels):
            inverse[c] = np.float32(1) / total[c]
        for c in range(channels):
            mixed[c] *= inverse[c]


@compiled(fastmath=("contract",))
def gated_mean_backward(
    indptr,
    source,
    number,
    target,
    origin,
    message,
    edges,
    scale,
    mean,
    weight,
    grad,
    grad_target,
    grad_origin,
    grad_message,
    grad_edges,
    grad_scale,
):
    """Compute the gradients of ``gated_mean``: adds to those of nodes, sets those of edges."""
    channels = target.shape[1]
    by_edge, scaled = len(edges) > 0, len(scale) > 0
    gate, back = np.empty(channels, np.float32), np.empty(channels, np.float32)
    pull = np.empty(channels, np.float32)
    for v in range(len(indptr) - 1):
        here, mixed, into_target = target[v], mean[v], grad_target[v]
        for c in range(channels):
            pull[c] = grad[v, c] * weight[v, c]
        for place in range(indptr[v], indptr[v + 1]):
            u, k = source[place], number[place]
            there = origin[u]
            for c in range(channels):
                gate[c] = here[c] + there[c]
            if by_edge:
                edge = edges[k]
                for c in range(channels):
                    gate[c] += edge[c]
            for c in range(channels):
                gate[c] = sigmoid(gate[c])
            factor = scale[k] if scaled else np.float32(1)
            row, into_message, into_origin = message[u], grad_message[u], grad_origin[u]
            for c in range(channels):
                into_message[c] += factor * gate[c] * pull[c]
            for c in range(channels):
                back[c] = gate[c] * pull[c] * (row[c] - mixed[c])
            if scaled:
                grad_scale[k] = back.sum()
            for c in range(channels):
                back[c] *= factor * (np.float32(1) - gate[c])
            for c in range(channels):
                into_target[c] += back[c]
            for c in range(channels):
                into_origin[c] += back[c]
            if by_edge:
                into_edge = grad_edges[k]
                for c in range(channels):
                    into_edge[c] = back[c]

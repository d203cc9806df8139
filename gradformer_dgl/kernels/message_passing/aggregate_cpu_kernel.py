# mypy: allow-untyped-defs
"""Compiled loops of sums over the incoming edges of every node, in single precision.

No tensor over edges is made. ``incoming`` has the edges sorted by destination: those of node v are
``indptr[v]`` to ``indptr[v + 1]``, with their source and their number in the graph. The loops of
``add_activated`` over channels do one thing each, for LLVM to vectorise them. The gated mean takes eight
channels at a time, so that its sums over a node's edges stay in registers.
"""

import numpy as np

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.simd import WIDTH, broadcast, fma, load_first, store_first, total
from gradformer_dgl.jit.simd_math import sigmoid

EPSILON = np.float32(1e-6)
"""Added to a sum of gates, so that a node without edges does not divide by 0."""


@jit
def add_activated(incoming, x, e, out):
    """Set out[v] to x[v] plus the sum of relu(x[u] + e[k]) over the edges k from u to v."""
    indptr, source, number = incoming
    channels = x.shape[1]
    for v in range(len(indptr) - 1):
        own, total = x[v], out[v]
        for c in range(channels):
            total[c] = own[c]
        for place in range(indptr[v], indptr[v + 1]):
            row, edge = x[source[place]], e[number[place]]
            for c in range(channels):
                message = row[c] + edge[c]
                # Not the maximum with 0, which would hide NaN.
                total[c] += np.float32(0) if message < 0 else message


@jit
def add_activated_backward(incoming, x, e, grad, grad_x, grad_e):
    """Set grad_e and grad_x to the gradients of ``add_activated``."""
    indptr, source, number = incoming
    channels = x.shape[1]
    grad_x[:] = grad
    for v in range(len(indptr) - 1):
        given = grad[v]
        for place in range(indptr[v], indptr[v + 1]):
            row, edge, back = x[source[place]], e[number[place]], grad_e[number[place]]
            for c in range(channels):
                back[c] = given[c] if row[c] + edge[c] > 0 else np.float32(0)
            place_x = grad_x[source[place]]
            for c in range(channels):
                place_x[c] += back[c]


@jit(fastmath=("contract",))
def gated_mean(incoming, target, origin, message, edges, scale, mean, weight):
    """Set mean[v] to the mean of message[u] over the edges k from u to v, weighted by gates for each channel.

    A gate is scale[k] * sigmoid(target[v] + origin[u] + edges[k]); ``edges`` and ``scale`` may be empty. Sets
    weight[v] to 1 / (sum of the gates + EPSILON).
    """
    indptr, source, number = incoming
    channels = target.shape[1]
    by_edge, scaled = len(edges) > 0, len(scale) > 0
    for v in range(len(indptr) - 1):
        for c in range(0, channels, WIDTH):
            some = channels - c
            here = load_first(target, v, c, some)
            mixed, gates = broadcast(np.float32(0)), broadcast(EPSILON)
            for place in range(indptr[v], indptr[v + 1]):
                u, k = source[place], number[place]
                x = here + load_first(origin, u, c, some)
                if by_edge:
                    x = x + load_first(edges, k, c, some)
                gate = sigmoid(x)
                if scaled:
                    gate = gate * scale[k]
                mixed = fma(gate, load_first(message, u, c, some), mixed)
                gates = gates + gate
            inverse_sum = broadcast(np.float32(1)) / gates
            store_first(weight, v, c, inverse_sum, some)
            store_first(mean, v, c, mixed * inverse_sum, some)


@jit(fastmath=("contract",))
def gated_mean_backward(incoming, inputs, mean, weight, grad, of_nodes, grad_edges, grad_scale):
    """Compute the gradients of ``gated_mean``: add to those of origin and message, set the others."""
    indptr, source, number = incoming
    target, origin, message, edges, scale = inputs
    grad_target, grad_origin, grad_message = of_nodes
    channels = target.shape[1]
    by_edge, scaled = len(edges) > 0, len(scale) > 0
    for v in range(len(indptr) - 1):
        for c in range(0, channels, WIDTH):
            some = channels - c
            here, mixed = load_first(target, v, c, some), load_first(mean, v, c, some)
            grad_sum = load_first(grad, v, c, some) * load_first(weight, v, c, some)
            into_target = broadcast(np.float32(0))
            for place in range(indptr[v], indptr[v + 1]):
                u, k = source[place], number[place]
                x = here + load_first(origin, u, c, some)
                if by_edge:
                    x = x + load_first(edges, k, c, some)
                gate = sigmoid(x)
                of_message = gate * grad_sum
                back = of_message * (load_first(message, u, c, some) - mixed)
                if scaled:
                    before = np.float32(0) if c == 0 else grad_scale[k]
                    grad_scale[k] = before + total(back)
                    of_message, back = of_message * scale[k], back * scale[k]
                store_first(grad_message, u, c, load_first(grad_message, u, c, some) + of_message, some)
                back = back * (broadcast(np.float32(1)) - gate)
                into_target = into_target + back
                store_first(grad_origin, u, c, load_first(grad_origin, u, c, some) + back, some)
                if by_edge:
                    store_first(grad_edges, k, c, back, some)
            store_first(grad_target, v, c, into_target, some)

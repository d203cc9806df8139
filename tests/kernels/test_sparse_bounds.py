"""Error of a cut-off, in values and gradients, beside dense attention in double precision.

``NODES=5000`` compares graphs of every kind of about so many nodes.
"""

import math
import os
from dataclasses import dataclass

import networkx as nx
import pytest
import torch
from sparse_graphs import KINDS, hops
from torch import Tensor

from gradformer_dgl import ExponentialDecay, SparsePairDistances, cutoff_for, decay_attention
from gradformer_dgl.kernels.attention import attention_backend
from gradformer_dgl.pairs.cutoff import cutoff_error

HEADS, CHANNELS, GAMMA = 2, 5, 0.5
THRESHOLDS = (0.0, 1.0)
NODES = int(os.environ.get("NODES", "0"))
FORMS = {"cpu": torch.float32, "torch": torch.float64}
NAMES = ("values", "queries", "keys", "values' gradients", "thresholds")


@dataclass
class Dense:
    """Results of dense attention, and what the bounds on an error of a cut-off are made of.

    ``results`` are the output and the gradients of query, key, value and thresholds; ``largest_logit`` is S
    of each head, ``spread`` the range of the products of each row's gradient and all values.
    """

    results: list[Tensor]
    largest_logit: Tensor
    spread: Tensor


def decay_of(thresholds):
    decay = ExponentialDecay(HEADS, gamma=GAMMA, hop=list(THRESHOLDS)).double()
    decay.tau.data = thresholds.detach().clone()
    return decay


def inputs(nodes, seed=0):
    """Return query, key, value and the gradient of the output."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(nodes, HEADS, CHANNELS, generator=generator, dtype=torch.float64) for _ in range(4)]


def dense(query, key, value, grad, found, block=256):
    """Compute attention over all pairs, some rows at a time."""
    leaves = [part.clone().requires_grad_() for part in (query, key, value)]
    tau = torch.tensor(THRESHOLDS, dtype=torch.float64, requires_grad=True)
    outputs, spreads, largest = [], [], torch.zeros(HEADS, dtype=torch.float64)
    q, k, v = leaves
    for first in range(0, len(found), block):
        rows = slice(first, first + block)
        beyond = torch.from_numpy(found[rows])[None] - tau[:, None, None]
        # 0 where there is no path, as the distance is infinite.
        factors = GAMMA ** beyond.clamp(min=0)
        logits = torch.einsum("ihc,jhc->hij", q[rows], k) / CHANNELS**0.5
        out = torch.einsum("hij,jhc->ihc", (logits * factors).softmax(-1), v)
        (out * grad[rows]).sum().backward()
        outputs.append(out.detach())
        products = torch.einsum("ihc,jhc->hij", grad[rows], value)
        spreads.append((products.amax(2) - products.amin(2)).T)
        largest = torch.maximum(largest, logits.detach().abs().amax((1, 2)))
    return Dense([torch.cat(outputs), *(leaf.grad for leaf in (*leaves, tau))], largest, torch.cat(spreads))


def sparse(query, key, value, grad, pairs, form):
    """Return output and gradients of one form of sparse attention."""
    leaves = [part.to(FORMS[form], copy=True).requires_grad_() for part in (query, key, value)]
    decay = decay_of(torch.tensor(THRESHOLDS))
    table = decay.table(pairs.num_distances).to(FORMS[form])
    with attention_backend("sparse", form=form, mixed=False):
        out = decay_attention(*leaves, pairs, table)
    (out * grad.to(FORMS[form])).sum().backward()
    found = [out.detach(), *(leaf.grad for leaf in leaves), decay.tau.grad]
    return [part.double() for part in found]


def bounds(reference, max_distance, query, key, value, grad):
    """Return the bounds that the documentation derives, in the order of :data:`NAMES`.

    Those of keys, values and thresholds are of a sum over all nodes.
    """
    by_head = []
    for head, (tau, top) in enumerate(zip(THRESHOLDS, reference.largest_logit.tolist(), strict=True)):
        far = GAMMA ** max(0.0, max_distance + 1 - tau)
        share = cutoff_error(ExponentialDecay(1, gamma=GAMMA, hop=tau), max_distance, top)
        rate, spread = 3 * share + far, reference.spread[:, head]
        steps = spread * rate / CHANNELS**0.5
        by_head.append(
            (
                share * (value[:, head].amax(0) - value[:, head].amin(0)),
                steps[:, None] * key[:, head].abs().amax(0),
                (steps[:, None] * query[:, head].abs()).sum(0),
                2 * share * grad[:, head].abs().sum(0),
                -math.log(GAMMA) * top * rate * spread.sum(),
            )
        )
    return [torch.stack(part, dim=-2 if part[0].ndim else 0) for part in zip(*by_head, strict=True)]


def errors(ours, reference):
    """Return the errors of :data:`NAMES`, those of keys and values summed over all nodes."""
    off = [(mine - other).abs() for mine, other in zip(ours, reference.results, strict=True)]
    return [off[0], off[1], off[2].sum(0), off[3].sum(0), off[4]]


def compare(graph, max_distance, tensors=None):
    """Assert that both forms are within the bounds; return the shares of them that the errors are."""
    tensors = tensors or inputs(len(graph))
    reference = dense(*tensors, hops(graph))
    pairs = SparsePairDistances.from_graph(graph, max_distance, directed=graph.is_directed())
    limits = bounds(reference, max_distance, *tensors)
    exact = sparse(*tensors, pairs, "torch")
    shares = {}
    for name, error, limit in zip(NAMES, errors(exact, reference), limits, strict=True):
        assert (error <= limit).all(), name
        shares[name] = float((error / limit).max())
    # In single precision the same, but for rounding.
    for mine, other in zip(sparse(*tensors, pairs, "cpu"), exact, strict=True):
        assert float((mine - other).norm()) <= 3e-5 * float(other.norm())
        assert float(other.norm()) > 0
    return shares


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_distance", [1, 3])
def test_values_and_gradients_are_within_their_bounds(kind, max_distance):
    assert compare(KINDS[kind](), max_distance)["values"] > 1e-3


def test_values_and_gradients_of_5000_nodes_are_within_their_bounds():
    max_distance = cutoff_for(decay_of(torch.tensor(THRESHOLDS)), tolerance=0.2)
    assert all(share > 0 for share in compare(KINDS["grid"](5003), max_distance).values())


@pytest.mark.skipif(not NODES, reason="takes minutes: NODES=5000 runs it")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tolerance", [0.5, 0.01])
def test_large_graphs_of_every_kind(kind, tolerance):
    compare(KINDS[kind](NODES), cutoff_for(decay_of(torch.tensor(THRESHOLDS)), tolerance))


@pytest.mark.parametrize(("sharp", "values", "gradients"), [(0.1, 0.98, 0.2), (2.0, 0.9, 0.05)])
def test_the_bounds_are_nearly_reached(sharp, values, gradients):
    """Leaves of a star are all far from each other; one half of them draws the queries, the other repels."""
    leaves = 1000
    shape = (leaves + 1, HEADS, CHANNELS)
    signs = torch.where(torch.arange(leaves + 1) % 2 == 0, 1.0, -1.0).double()[:, None, None].expand(shape)
    query = torch.full(shape, sharp / CHANNELS**0.5, dtype=torch.float64)
    tensors = [query, signs.contiguous(), (signs > 0).double(), torch.ones_like(query)]
    shares = compare(nx.star_graph(leaves), 1, tensors)
    assert shares.pop("values") > values
    assert all(share > gradients for share in shares.values()), shares

"""Backend "reference": one dense matrix per graph, against which the other backends are tested."""

import torch
from jaxtyping import Float
from torch import Tensor

from gradformer_dgl.pairs.distances import PairDistances


def reference_attention(
    query: Float[Tensor, "nodes heads head_dim"],
    key: Float[Tensor, "nodes heads head_dim"],
    value: Float[Tensor, "nodes heads head_dim"],
    distances: PairDistances,
    table: Float[Tensor, "heads columns"],
) -> Float[Tensor, "nodes heads head_dim"]:
    """Compute decay attention with one dense matrix per graph and head.

    See :func:`~gradformer_dgl.decay_attention` for the formula and the parameters.

    Examples
    --------
    >>> x = torch.ones(1, 2, 3)
    >>> one = PairDistances(torch.zeros(1, dtype=torch.uint8), torch.tensor([1]))
    >>> reference_attention(x, x, x, one, torch.ones(2, 2)).shape
    torch.Size([1, 2, 3])
    """
    outputs, start = [], 0
    for graph, size in enumerate(distances.sizes):
        q, k, v = (part[start : start + size].transpose(0, 1) for part in (query, key, value))
        column = distances[graph].long()
        column = column.masked_fill(column == distances.unreachable, table.shape[1] - 1)
        logits = q @ k.transpose(1, 2) / query.shape[2] ** 0.5 * table[:, column]
        outputs.append((torch.softmax(logits, dim=-1) @ v).transpose(0, 1))
        start += size
    return torch.cat(outputs) if outputs else torch.zeros_like(query)

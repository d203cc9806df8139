"""Backend "blocks": torch's operations on a few dense blocks of graphs of similar size, on any device.

Padding a batch to its largest graph costs graphs x N_max^2 cells; blocks come close to the sum of n^2. The
backward pass recomputes the attention weights of one block at a time, so that no matrix over pairs is saved.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gradformer_dgl.kernels.attention.attention_op import Backend, Inputs, register, run
from gradformer_dgl.kernels.attention.block_plan import Block, plan
from gradformer_dgl.kernels.attention.dropout import draw_mask
from gradformer_dgl.pairs.distances import PairDistances


def _padded(block: Block, rows: Float[Tensor, "nodes *rest"]) -> Float[Tensor, "block_graphs size *rest"]:
    padded = rows.new_zeros(block.graphs * block.size, *rows.shape[1:])
    padded.index_copy_(0, block.slots, rows.index_select(0, block.nodes))
    return padded.view(block.graphs, block.size, *rows.shape[1:])


def _heads_first(
    padded: Float[Tensor, "block_graphs size heads head_dim"],
) -> Float[Tensor, "matrices size head_dim"]:
    return padded.transpose(1, 2).reshape(-1, padded.shape[1], padded.shape[3])


def _nodes(
    block: Block, matrices: Float[Tensor, "matrices size head_dim"]
) -> Float[Tensor, "block_nodes heads head_dim"]:
    split = matrices.view(block.graphs, -1, block.size, matrices.shape[2]).transpose(1, 2)
    return split.reshape(block.graphs * block.size, *split.shape[2:]).index_select(0, block.slots)


def _weights(
    block: Block,
    query: Float[Tensor, "matrices size head_dim"],
    key: Float[Tensor, "matrices size head_dim"],
    factor: Float[Tensor, "block_graphs heads size size"],
) -> tuple[Float[Tensor, "block_graphs heads size size"], Float[Tensor, "block_graphs heads size size"]]:
    """Return the scaled products of queries and keys, and the attention weights."""
    products = torch.bmm(query * query.shape[2] ** -0.5, key.transpose(1, 2)).view(factor.shape)
    logits = products * factor
    if block.padding is not None:
        logits.masked_fill_(block.padding, -torch.inf)
    return products, torch.softmax(logits, dim=-1)


def _dropout(
    block: Block,
    stays: Tensor | None,
    scale: float,
    like: Float[Tensor, "block_graphs heads size size"],
) -> Float[Tensor, "block_graphs heads size size"] | None:
    """Return 0 for a dropped weight and ``scale`` for one that stays."""
    if stays is None:
        return None
    heads = like.shape[1]
    cells = like.new_zeros(block.column.numel(), heads)
    cells.index_copy_(0, block.cells, stays.index_select(0, block.pairs).to(like.dtype).mul_(scale))
    return cells.view(block.graphs, block.size, block.size, heads).permute(0, 3, 1, 2)


def _attend(inputs: Inputs, out: Tensor, *, max_blocks: int | None = None) -> None:
    qkv, table, distances, _, _ = inputs
    stays, scale = _draw(inputs)
    for block in plan(distances, table.shape[1], max_blocks):
        query, key, value = (_heads_first(part) for part in _padded(block, qkv).unbind(2))
        _, weights = _weights(block, query, key, table[:, block.column].transpose(0, 1))
        mask = _dropout(block, stays, scale, weights)
        if mask is not None:
            weights = weights.mul_(mask)
        out[block.nodes] = _nodes(block, torch.bmm(weights.flatten(0, 1), value))


def _gradients(
    grad_out: Tensor, inputs: Inputs, by_table: bool, out: Tensor, *, max_blocks: int | None = None
) -> tuple[Tensor, Tensor | None]:
    qkv, table, distances, _, _ = inputs
    stays, scale = _draw(inputs)
    grad_qkv = torch.empty_like(qkv)
    exact = torch.float64 if table.dtype == torch.float64 else torch.float32
    grad_table = table.new_zeros(table.shape, dtype=exact) if by_table else None
    for block in plan(distances, table.shape[1], max_blocks):
        query, key, value = (_heads_first(part) for part in _padded(block, qkv).unbind(2))
        grad = _heads_first(_padded(block, grad_out))
        factor = table[:, block.column].transpose(0, 1)
        products, weights = _weights(block, query, key, factor)
        grad_weights = torch.bmm(grad, value.transpose(1, 2)).view(weights.shape)
        mask = _dropout(block, stays, scale, weights)
        dropped = weights
        if mask is not None:
            dropped = weights * mask
            grad_weights.mul_(mask)
        grad_value = torch.bmm(dropped.flatten(0, 1).transpose(1, 2), grad)
        grad_logits = weights * grad_weights
        grad_logits -= weights * grad_logits.sum(-1, keepdim=True)
        if grad_table is not None:
            per_cell = (grad_logits * products).to(exact).transpose(0, 1).flatten(1)
            grad_table.index_add_(1, block.column.flatten(), per_cell)
        grad_products = grad_logits.mul_(factor).mul_(query.shape[2] ** -0.5).flatten(0, 1)
        grads = (
            torch.bmm(grad_products, key),
            torch.bmm(grad_products.transpose(1, 2), query),
            grad_value,
        )
        grad_qkv[block.nodes] = torch.stack([_nodes(block, part) for part in grads], dim=1)
    return grad_qkv, None if grad_table is None else grad_table.to(table.dtype)


def _draw(inputs: Inputs) -> tuple[Bool[Tensor, "pairs heads"] | None, float]:
    if inputs.dropout_p == 0:
        return None, 1.0
    pairs, heads = len(inputs.distances.values), inputs.qkv.shape[2]
    stays, scale = draw_mask(pairs * heads, inputs.dropout_p, inputs.seed, inputs.qkv.device)
    return stays.view(pairs, heads), scale


def block_attention(
    qkv: Float[Tensor, "nodes 3 heads head_dim"],
    distances: PairDistances,
    table: Float[Tensor, "heads columns"],
    dropout_p: float = 0.0,
    seed: int | Tensor = 0,
    max_blocks: int | None = None,
) -> Float[Tensor, "nodes heads head_dim"]:
    """Compute decay attention in dense blocks of graphs of similar size, at most ``max_blocks`` of them.

    See :func:`~gradformer_dgl.kernels.attention.attention_op.run` for the other parameters.

    Examples
    --------
    >>> x = torch.ones(1, 3, 2, 5)
    >>> one = PairDistances(torch.zeros(1, dtype=torch.uint8), torch.tensor([1]))
    >>> block_attention(x, one, torch.ones(2, 2)).shape
    torch.Size([1, 2, 5])
    """
    options = {} if max_blocks is None else {"max_blocks": max_blocks}
    return run(BLOCKS, qkv.contiguous(), table, distances, dropout_p, seed, **options)


BLOCKS = register(Backend("blocks", lambda qkv: [], _attend, _gradients))

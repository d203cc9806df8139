"""Readouts: from the nodes of a graph to one vector."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def sum_nodes(
    x: Float[Tensor, "nodes channels"], node_counts: Int64[Tensor, " graphs"]
) -> Float[Tensor, "graphs channels"]:
    """Sum over the nodes of each graph; 0 for a graph without nodes.

    Examples
    --------
    >>> sum_nodes(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([2, 0, 1])).tolist()
    [[3.0], [0.0], [4.0]]
    """
    return x.new_zeros(len(node_counts), x.shape[1]).index_add(0, _graph_of_node(x, node_counts), x)


def mean_nodes(
    x: Float[Tensor, "nodes channels"], node_counts: Int64[Tensor, " graphs"]
) -> Float[Tensor, "graphs channels"]:
    """Mean over the nodes of each graph; 0 for a graph without nodes.

    Examples
    --------
    >>> mean_nodes(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([2, 0, 1])).tolist()
    [[1.5], [0.0], [4.0]]
    """
    return sum_nodes(x, node_counts) / node_counts.clamp(min=1)[:, None].to(x.dtype)


def max_nodes(
    x: Float[Tensor, "nodes channels"], node_counts: Int64[Tensor, " graphs"]
) -> Float[Tensor, "graphs channels"]:
    """Maximum over the nodes of each graph; 0 for a graph without nodes.

    Examples
    --------
    >>> max_nodes(torch.tensor([[-1.0], [-2.0], [4.0]]), torch.tensor([2, 0, 1])).tolist()
    [[-1.0], [0.0], [4.0]]
    """
    index = _graph_of_node(x, node_counts)[:, None].expand(-1, x.shape[1])
    return x.new_zeros(len(node_counts), x.shape[1]).scatter_reduce(0, index, x, "amax", include_self=False)


def _graph_of_node(
    x: Float[Tensor, "nodes channels"], node_counts: Int64[Tensor, " graphs"]
) -> Int64[Tensor, " nodes"]:
    graphs = torch.arange(len(node_counts), device=x.device)
    return graphs.repeat_interleave(node_counts, output_size=len(x))

"""Checks of the tensors of packed graphs, with messages that name the graph."""

from collections.abc import Sequence

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from gradformer_dgl.pairs.ragged_rows import starts_of
from gradformer_dgl.support.errors import DataError, GraphError


def check_rows(name: str, values: Shaped[Tensor, "..."] | None, expected: int) -> None:
    """Refuse a tensor of shape (rows, ...) with another number of rows."""
    if values is not None and (values.ndim == 0 or len(values) != expected):
        given = "a scalar" if values.ndim == 0 else f"{len(values)} rows"
        raise GraphError(f"{name} must have {expected} rows, one for each, but has {given}")


def check_finite(
    part: str, values: Shaped[Tensor, "rows *columns"] | None, counts: Int64[Tensor, " graphs"]
) -> None:
    """Refuse NaN and infinite features (rows, ...), the nodes or edges of graphs with these ``counts``."""
    if values is None or not values.is_floating_point():
        return
    wrong = ~torch.isfinite(values.flatten(1) if values.ndim > 1 else values[:, None]).all(1)
    if not wrong.any():
        return
    graph, number = place_of_row(int(wrong.nonzero()[0]), counts)
    raise DataError(
        f"a feature of {part} {number} of graph {graph} is NaN or infinite; "
        "mend the data or leave the graph out"
    )


def place_of_row(row: int, counts: Int64[Tensor, " graphs"]) -> tuple[int, int]:
    """Return the graph of a row, and its number there, of graphs with these counts of rows (graphs,)."""
    graph = int(torch.searchsorted(counts.cumsum(0), row, right=True))
    return graph, row - int(starts_of(counts)[graph])


def graph_numbers(indices: Tensor | Sequence[int] | slice, num_graphs: int) -> Int64[Tensor, " chosen"]:
    """Return graph numbers of shape (chosen,), those from the end counted from 0."""
    if isinstance(indices, slice):
        return torch.arange(num_graphs)[indices]
    chosen = torch.as_tensor(indices).cpu()
    if chosen.ndim != 1 or (len(chosen) and (chosen.is_floating_point() or chosen.dtype == torch.bool)):
        raise GraphError(
            f"indices must be graph numbers of shape (graphs,), but are {chosen.dtype} of shape "
            f"{tuple(chosen.shape)}; take mask.nonzero()[:, 0] of a mask"
        )
    chosen = chosen.long()
    wrong = chosen[(chosen < -num_graphs) | (chosen >= num_graphs)]
    if len(wrong):
        raise IndexError(f"graph {int(wrong[0])} of {num_graphs}")
    return torch.where(chosen < 0, chosen + num_graphs, chosen)

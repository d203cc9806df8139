"""Rows of several graphs out of one flat tensor."""

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor


def starts_of(counts: Int64[Tensor, " graphs"]) -> Int64[Tensor, " graphs"]:
    """Where the rows of each graph begin, if those of all graphs lie one after the other.

    Examples
    --------
    >>> starts_of(torch.tensor([3, 0, 2])).tolist()
    [0, 3, 3]
    """
    return counts.cumsum(0) - counts


class Rows:
    """The rows of several graphs, in the order asked for.

    Parameters
    ----------
    starts : Tensor
        Shape (graphs,), int64, on the CPU: the first row of each graph.
    counts : Tensor
        Shape (graphs,), int64, on the CPU: its number of rows.
    device : torch.device
        Where the tensors lie that rows are taken of. Nothing waits for that device.

    Examples
    --------
    >>> rows = Rows(torch.tensor([5, 0]), torch.tensor([2, 3]), torch.device("cpu"))
    >>> rows.index.tolist()
    [5, 6, 0, 1, 2]
    >>> rows.take(torch.arange(10, 20)).tolist()
    [15, 16, 10, 11, 12]
    """

    def __init__(
        self, starts: Int64[Tensor, " graphs"], counts: Int64[Tensor, " graphs"], device: torch.device
    ) -> None:
        self.total = int(counts.sum())
        self.counts = counts.to(device, non_blocking=True)
        shifts = (starts - starts_of(counts)).to(device, non_blocking=True)
        self.index = self.spread(shifts).add_(torch.arange(self.total, device=device))

    def spread(self, per_graph: Int64[Tensor, " graphs"]) -> Int64[Tensor, " rows"]:
        """Repeat the value of each graph for all its rows."""
        return torch.repeat_interleave(per_graph, self.counts, output_size=self.total)

    def take(self, values: Shaped[Tensor, "all_rows *columns"]) -> Shaped[Tensor, "rows *columns"]:
        """Return these rows of a tensor."""
        if values.dtype == torch.uint16:
            # torch gathers no uint16
            return values.view(torch.int16).index_select(0, self.index).view(torch.uint16)
        return values.index_select(0, self.index)
